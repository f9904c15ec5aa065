"""A user's model in the forms that are in use: the same table from each; its own axes, range, type and labels."""

from functools import cache

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal

from pretended_device import operations, pretended
from priorgap import compare
from priorgap.core.latents import Latents
from priorgap.samplers.ex_post import ExPostGaussian
from priorgap.samplers.protocols import FitInputs

D = 4


@cache
def digits():
    bunch = load_digits()
    order = torch.randperm(len(bunch.images), generator=torch.Generator().manual_seed(0))[:900]
    return torch.tensor(bunch.images / 16, dtype=torch.float32)[order, None], torch.tensor(bunch.target)[
        order
    ]


class Model(nn.Module):
    """A linear VAE in closed form: principal components and a posterior of one width."""

    def __init__(self):
        super().__init__()
        flat = digits()[0][:600].flatten(1)
        _, s, v = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
        self.centre = nn.Parameter(flat.mean(0))
        self.basis = nn.Parameter(v[:D] * (s[:D] / len(flat) ** 0.5)[:, None])

    def encode(self, x):
        mean = (x.flatten(1) - self.centre) @ torch.linalg.pinv(self.basis.float()).to(x.dtype)
        return mean, torch.full_like(mean, -2.0)

    def forward(self, z):
        return (z @ self.basis + self.centre).clamp(0, 1).view(-1, 1, 8, 8)


@cache
def model():
    return Model().eval()


def run(encode, decode, view=lambda x: x, **more):
    x = digits()[0]
    arguments = {
        "samplers": ["prior", "posterior", "gaussian_full"], "metrics": ["rate", "fid", "kid"], "features": "pixels",
        "n": 100, **more,
    }  # fmt: skip
    return compare(encode, decode, view(x[:600]), view(x[600:]), **arguments)


@cache
def expected():
    return run(model().encode, model())


def mean_of(x):
    return model().encode(x)[0]


def log_var_of(x):
    return model().encode(x)[1]


class Output(dict):
    """An output object whose entries are attributes."""

    __getattr__ = dict.__getitem__


class Holder:
    """An object of the user's own that holds the network."""

    def __init__(self, net):
        self.net = net

    def encode(self, x):
        return self.net.encode(x)

    def decode(self, z):
        return self.net(z)


FORMS = {
    "list": (lambda x: list(model().encode(x)), model()),
    "three outputs": (lambda x: (x, mean_of(x), log_var_of(x)), model(), {"posterior": (1, 2)}),
    "names": (lambda x: {"mu": mean_of(x), "logvar": log_var_of(x)}, model()),
    "arrays": (lambda x: tuple(a.numpy() for a in model().encode(x)), lambda z: model()(z).numpy()),
    "output object": (
        lambda x: Output(embedding=mean_of(x), log_covariance=log_var_of(x)),
        lambda z: Output(reconstruction=model()(z)),
    ),
    "(x, z)": (model().encode, lambda z: (model()(z), z)),
    "Bernoulli": (model().encode, lambda z: Bernoulli(probs=model()(z))),
    "flat rows": (model().encode, lambda z: model()(z).flatten(1)),
    "latents of [2, 2, 1]": (
        lambda x: [a.view(-1, 2, 2, 1) for a in model().encode(x)],
        lambda z: model()(z.view(*one_of(z, (2, 2, 1)))),
    ),
    "a holder": (Holder(model()).encode, Holder(model()).decode),
}


def one_of(z, shape):
    assert z.shape[1:] == shape
    return len(z), D


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_form_gives_the_same_table(form):
    encode, decode, *more = FORMS[form]
    found = run(encode, decode, **(more[0] if more else {}))
    assert found.table.equals(expected().table) and found.health == expected().health


@pytest.mark.parametrize("wrap", [lambda n: n, lambda n: Independent(n, 1)], ids=["Normal", "Independent"])
def test_a_distribution_is_the_same_posterior(wrap):
    found = run(lambda x: wrap(Normal(mean_of(x), (log_var_of(x) / 2).exp())), model())
    assert (found.table["value"] - expected().table["value"]).abs().max() < 1e-4


LAYOUTS = {
    "no channels": (lambda x: x[:, 0], lambda x: x[:, None]),
    "channels last": (lambda x: x.permute(0, 2, 3, 1), lambda x: x.permute(0, 3, 1, 2)),
    "minus one to one": (lambda x: 2 * x - 1, lambda x: (x + 1) / 2),
    "0 to 255": (lambda x: (255 * x).round(), lambda x: x / 255),
}


@pytest.mark.parametrize("name", LAYOUTS, ids=str)
def test_a_model_gets_and_gives_observations_as_the_user_has_them(name):
    own, stored = LAYOUTS[name]
    seen = []

    def encode(x):
        seen.append(x)
        return model().encode(stored(x))

    found = run(encode, lambda z: own(model()(z)), own)
    assert seen[0].shape[1:] == own(digits()[0][:1]).shape[1:]
    assert torch.allclose(seen[0][:4].double(), own(digits()[0][:4]).double(), atol=0.51)
    change = (found.table["value"] - expected().table["value"]).abs()
    assert change.max() < 1e-3 * expected().table["value"].abs().max()
    assert [finding.name for finding in found.health if finding.name == "data_as_read"] == ["data_as_read"]


def test_bytes_go_to_a_model_of_another_range():
    own, stored = LAYOUTS["minus one to one"]
    found = run(
        lambda x: model().encode(stored(x)), lambda z: own(model()(z)),
        lambda x: (x * 255).round().to(torch.uint8), range=(-1, 1),
    )  # fmt: skip
    # negative control: without it the model gets [0, 1] and gives [-1, 1]
    change = (found.table["value"] - expected().table["value"]).abs()
    assert change.max() < 1e-3 * expected().table["value"].abs().max()
    with pytest.raises(ValueError, match=r"decode: gave values from -1 to .*expected images in \[0, 1\]"):
        run(
            lambda x: model().encode(stored(x)), lambda z: own(model()(z)),
            lambda x: (x * 255).round().to(torch.uint8),
        )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_a_model_of_another_type_gets_that_type(dtype):
    net = Model().eval().to(dtype)
    types = set()

    def encode(x):
        types.add(x.dtype)
        mean = (x.flatten(1) - net.centre).float() @ torch.linalg.pinv(net.basis.float())
        return mean.to(dtype), torch.full_like(mean, -2.0).to(dtype)

    found = run(encode, net)
    assert types == {dtype} and not found.table["value"].isna().any()
    rate, known = (
        float(t.table[(t.table["measure"] == "rate") & (t.table["unit"] == "")]["value"].iloc[0])
        for t in (found, expected())
    )
    assert abs(rate - known) < (1e-5 if dtype == torch.float64 else 0.05) * known


def test_modules_on_several_devices_are_refused_unless_one_is_named():
    near, far = model(), nn.Linear(D, 2, device="meta")

    def decode(z):
        return near(z) if far is not None else far(z)

    with pytest.raises(ValueError, match=r"decode: uses modules on several devices \(cpu, meta\)"):
        run(near.encode, decode)
    with pytest.raises(ValueError, match="device=nope: expected a device that PyTorch has here"):
        run(near.encode, near, device="nope")
    assert run(near.encode, decode, device="cpu").table.equals(expected().table)


class Conditional(nn.Module):
    """Decodes the mean image of the class, moved a little by z; knows classes by the user's own labels."""

    def __init__(self, known):
        super().__init__()
        x, label = digits()
        self.known = known
        self.means = nn.Parameter(torch.stack([x[:600][label[:600] == c].mean(0) for c in range(10)]))

    def encode(self, x, label):
        z = (x - self.means[self.known(label)]).flatten(1)[:, 20 : 20 + D]
        return 4 * z, torch.full_like(z, -3.0)

    def forward(self, z, label):
        move = 0.02 * z.mean(1)[:, None, None, None]
        return (self.means[self.known(label)] * (1 + move)).clamp(0, 1)


NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
LABELS = {
    "integers": (lambda y: y, lambda label: label),
    "from one": (lambda y: y + 1, lambda label: label - 1),
    "columns": (lambda y: y[:, None], lambda label: label[:, 0]),
    "one-hot": (lambda y: nn.functional.one_hot(y, 10), lambda label: label.argmax(1)),
    # names come as names
    "names": (lambda y: [NAMES[k] for k in y], lambda label: [NAMES.index(name) for name in label]),
}


@cache
def conditional(kind, *metrics):
    to, known = LABELS[kind]
    net, label = Conditional(known), digits()[1]
    return run(
        net.encode, net, labels=(to(label[:600]), to(label[600:])), metrics=metrics,
        samplers=["posterior"],
    )  # fmt: skip


@pytest.mark.parametrize("kind", LABELS, ids=str)
def test_a_conditional_model_gets_labels_as_the_user_wrote_them(kind):
    found, known = (conditional(one, "rate", "fid").table for one in (kind, "integers"))
    assert len(known) > 2 and found.equals(known)


def test_classes_have_the_users_names_in_the_table():
    table = conditional("names", "class_balance").table
    assert table[table["measure"] == "class_share"]["unit"].tolist() == sorted(NAMES)


def test_latents_of_many_dimensions_leave_out_what_needs_a_full_covariance():
    def encode(x):
        mean = nn.functional.interpolate(x, size=24).repeat(1, 2, 1, 1) * 2 - 1
        return mean, torch.full_like(mean, -2.0)

    def decode(z):
        assert z.shape[1:] == (2, 24, 24)
        return nn.functional.adaptive_avg_pool2d(((z[:, :1] + 1) / 2).clamp(0, 1), 8)

    found = run(
        encode, decode, samplers=["prior", "posterior", "gaussian_diag", "gaussian_full", "gmm"],
        metrics=["rate", "decomposition", "kl", "fid"],
    )  # fmt: skip
    reason = "z has 1,152 dimensions; a full covariance is fitted up to 512"
    assert found.skipped == {
        "decomposition": reason, "kl": reason, "gaussian_full": f"gaussian_full: {reason}", "gmm": f"gmm: {reason}",
    }  # fmt: skip
    assert set(found.table["sampler"]) == {"", "prior", "posterior", "gaussian_diag"}


def test_the_low_rank_gaussian_is_there_in_many_dimensions():
    def encode(x):
        mean = nn.functional.interpolate(x, size=24).repeat(1, 2, 1, 1) * 2 - 1
        return mean, torch.full_like(mean, -2.0)

    def decode(z):
        return nn.functional.adaptive_avg_pool2d(((z[:, :1] + 1) / 2).clamp(0, 1), 8)

    names = ["prior", "posterior", "gaussian_diag", "gaussian_low_rank"]
    found = run(encode, decode, samplers=names, metrics=["fid"])
    assert found.skipped == {}
    fid = dict(zip(found.table["sampler"], found.table["value"], strict=True))
    # neighbouring units go together, which the diagonal does not know
    assert fid["gaussian_low_rank"] < 0.7 * fid["gaussian_diag"]


def test_the_diagonal_gaussian_of_many_dimensions_is_the_same_distribution():
    """By its moments, its density and its draws, against scipy's formula in plain tensors."""
    g = torch.Generator().manual_seed(0)
    scale = torch.linspace(0.1, 3, 700)
    train = Latents(torch.randn(400, 700, generator=g) * scale + 1, torch.full((400, 700), -1.0))
    fitted = ExPostGaussian("diag").fit(FitInputs(train, train, None, None), generator=g)
    mean = train.mean.double().mean(0)
    variance = train.mean.double().var(0, correction=0) + torch.tensor(-1.0, dtype=torch.float64).exp()
    z = fitted.sample(20_000, generator=torch.Generator().manual_seed(1)).z.double()
    assert torch.allclose(z.mean(0), mean, atol=6 * float(variance.max().sqrt()) / 20_000**0.5)
    assert torch.allclose(z.var(0), variance, rtol=0.07)
    expected_density = Normal(mean, variance.sqrt()).log_prob(z[:5]).sum(1)
    assert torch.allclose(fitted.log_prob(z[:5]), expected_density, rtol=1e-10)
    again = ExPostGaussian("diag").restore(fitted.state())
    same = (one.sample(5, generator=torch.Generator().manual_seed(2)).z for one in (fitted, again))
    assert torch.equal(*same)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_model_on_a_device_has_its_features_and_classifiers_there_too(n_threads):
    label = digits()[1]
    more = {
        "features": "classifier", "metrics": ["fid"], "samplers": ["prior", "posterior"],
        "labels": (label[:600], label[600:]),
    }  # fmt: skip
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        here = run(model().encode, model(), **more)
        with pretended() as device:
            moved = Model().eval().to(device)
            there = run(moved.encode, moved, **more)
            assert {"convolution", "convolution_backward"} <= operations()
            assert all(p.device == device for p in moved.parameters())
    finally:
        torch.set_num_threads(before)
    assert there.table.equals(here.table)


def test_a_users_feature_network_stays_where_it_is():
    class Features(nn.Module):
        name, fitted = "mine", False

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(64, 3)

        def forward(self, x):
            return self.layer(x.flatten(1))

    torch.manual_seed(0)
    own = Features()
    here = run(model().encode, model(), features=own, metrics=["fid"])
    with pretended() as device:
        own.to(device)
        there = run(model().encode, model(), features=own, metrics=["fid"])
        assert own.layer.weight.device == device
    assert there.table.equals(here.table)
