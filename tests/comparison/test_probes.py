"""A look at a few rows: a good model raises nothing, each fault its own finding, and the model stays as it was."""

import time
from functools import cache

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from priorgap import compare
from priorgap.comparison import probes
from priorgap.comparison.probes import buffers_of, guarded, probe_model
from priorgap.core.findings import Finding
from priorgap.core.random import stream
from priorgap.data.splits import Split
from priorgap.evaluation.model import ModelFunctions


class Net(nn.Module):
    """A small VAE of digits, trained in a second."""

    def __init__(self, norm=False):
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 64), nn.BatchNorm1d(64) if norm else nn.Identity(), nn.ReLU()
        )
        self.mean, self.log_var = nn.Linear(64, 4), nn.Linear(64, 4)
        self.decoder = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64))

    def encode(self, x):
        hidden = self.body(x)
        return self.mean(hidden), self.log_var(hidden)

    def decode(self, z):
        return torch.sigmoid(self.decoder(z)).view(-1, 1, 8, 8)


@cache
def digits():
    x = torch.tensor(load_digits().images / 16, dtype=torch.float32)[:, None]
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    x = (x * 255).round().to(torch.uint8)
    return x[:1300], x[1300:]


@cache
def trained(norm=False, beta=1.0):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, x = Net(norm), digits()[0].float() / 255
        optimiser = torch.optim.Adam(net.parameters(), 2e-3)
        for _ in range(500):
            batch = x[torch.randint(len(x), (128,))]
            mean, log_var = net.encode(batch)
            logits = net.decoder(mean + torch.randn_like(mean) * (log_var / 2).exp())
            loss = nn.functional.binary_cross_entropy_with_logits(logits, batch.flatten(1), reduction="sum")
            rate = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum()
            optimiser.zero_grad()
            ((loss + beta * rate) / 128).backward()
            optimiser.step()
    return net.eval()


def found(encode, decode, train=None, test=None, *, standard_normal=True):
    kind = {2: "float_vector", 4: "uint8_image"}
    own = digits()
    parts = {
        name: Split(x, None, kind[x.ndim])
        for name, x in (
            ("train", own[0] if train is None else train),
            ("test", own[1] if test is None else test),
        )
    }
    model = ModelFunctions(encode, decode, None, True, None, 500, 500)
    return probe_model(model, parts, standard_normal=standard_normal)


def names(findings):
    return [finding.name for finding in findings]


def flat(x):
    return x.flatten(1).float() / 255


def test_a_good_model_raises_nothing():
    for net in (trained(), trained(norm=True)):
        assert found(net.encode, net.decode) == []
    net = trained()
    own = (flat(x) for x in digits())
    assert found(net.encode, lambda z: net.decode(z).flatten(1), *own) == []


def drawing(x):
    mean, log_var = trained().encode(x)
    return mean + torch.randn_like(mean) * (log_var / 2).exp(), log_var


def of_posterior(change):
    def encode(x):
        return change(*trained().encode(x))

    return encode


DROPOUT = nn.Dropout(0.5)
FAULTS = {
    "a draw of z for the mean": (drawing, None, "encode_not_repeatable"),
    "dropout": (of_posterior(lambda m, v: (DROPOUT(m), v)), None, "encode_not_repeatable"),
    "sigma": (of_posterior(lambda m, v: (m, (v / 2).exp())), None, "sigma_for_log_var"),
    "variance": (of_posterior(lambda m, v: (m, v.exp())), None, "sigma_for_log_var"),
    "log sigma": (of_posterior(lambda m, v: (m, v / 2)), None, "log_sigma_for_log_var"),
    "log_var of -100": (of_posterior(lambda m, v: (m, v - 100)), None, "log_var_range"),
    "collapse": (of_posterior(lambda m, v: (0.01 * m, 0.0 * v - 1e-3)), None, "nothing_in_the_latent_space"),
    "exploded": (of_posterior(lambda m, v: (50 * m, v)), lambda z: trained().decode(z / 50), "exploded_posteriors"),
    "logits": (None, lambda z: trained().decoder(z).view(-1, 1, 8, 8), "decoder_range"),
    "tanh": (None, lambda z: 2 * trained().decode(z) - 1, "decoder_range"),
    "0 to 255": (None, lambda z: 255 * trained().decode(z), "decoder_range"),
    "constant": (None, lambda z: torch.full((len(z), 1, 8, 8), 0.3), "constant_decoder"),
    "units in another order": (
        None, lambda z: trained().decode(z.flip(1) * torch.tensor([-1.0, 1, -1, 1])),
        "reconstructions_no_better_than_the_mean",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_raises_its_own_finding_first(fault):
    encode, decode, name = FAULTS[fault]
    findings = found(encode or trained().encode, decode or trained().decode)
    assert names(findings)[:1] == [name]
    first = findings[0]
    assert first.severity == ("warn" if name.startswith("log_sigma") else "stop")
    assert (
        first.value is None
        or first.limit is None
        or first.value >= first.limit
        or name == "constant_decoder"
        or name == "nothing_in_the_latent_space"
    )
    assert len(first.sentence) > 40


def test_batch_normalisation_in_train_mode_is_seen_and_its_statistics_stay():
    net = trained(norm=True)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()
    try:
        buffers = buffers_of(net.encode, net.decode)
        assert any(name.endswith("running_mean") for name in buffers)
        findings = found(guarded(net.encode, buffers), guarded(net.decode, buffers))
        assert names(findings)[0] == "encode_depends_on_batch"
        assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
        # negative control: without the guard they move
        found(net.encode, net.decode)
        assert not torch.equal(before["body.2.running_mean"], net.body[2].running_mean)
    finally:
        net.load_state_dict(before)
        net.eval()


def test_modules_are_found_behind_functions():
    net = trained(norm=True)
    for function in (net, net.encode, lambda x: net.encode(x), guarded(net.encode, buffers_of(net))):
        assert buffers_of(function)
    assert buffers_of(None, torch.sigmoid) == {}


def test_the_random_state_stays():
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    found(drawing, trained().decode)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("n", "severity"), [(0, None), (20, "warn"), (300, "stop")])
def test_rows_shared_by_the_splits(n, severity):
    train, test = digits()
    findings = found(trained().encode, trained().decode, test=torch.cat([train[:n], test[: 400 - n]]))
    shared = [f for f in findings if f.name == "rows_shared_by_train_and_test"]
    assert [f.severity for f in shared] == ([severity] if severity else [])
    if severity:
        assert shared[0].value == pytest.approx(n / 400) and f"{n} of 400 test rows" in shared[0].sentence


def test_test_rows_that_are_training_rows_with_noise_of_a_255th_are_shared():
    train, test = digits()
    noise = torch.rand(100, *train.shape[1:], generator=stream(0, "noise"))
    copied = torch.cat([(train[:100] + noise).round().clamp(0, 255).to(torch.uint8), test[:300]])
    shared = [f for f in found(trained().encode, trained().decode, test=copied) if "rows_shared" in f.name]
    assert [(f.name, f.value) for f in shared] == [("rows_shared_by_train_and_test", 0.25)]
    assert "100 of 400 test rows" in shared[0].sentence and "to within a grey level" in shared[0].sentence


def test_an_autoencoder_is_asked_nothing_of_a_prior():
    net = trained()
    assert found(lambda x: (100 * net.encode(x)[0], None), lambda z: net.decode(z / 100)) == []
    findings = found(lambda x: (torch.zeros(len(x), 4), None), net.decode)
    assert "nothing_in_the_latent_space" in names(findings)
    far = of_posterior(lambda m, v: (50 * m, v))
    assert found(far, lambda z: net.decode(z / 50), standard_normal=False) == []


def test_compare_says_what_was_found():
    net, (train, test) = trained(), digits()
    more = {"samplers": ["prior", "posterior"], "metrics": ["rate"], "features": "pixels"}
    result = compare(of_posterior(lambda m, v: (m, v.exp())), net.decode, train, test, **more)
    assert names(result.health)[0] == "sigma_for_log_var"
    assert compare(net.encode, net.decode, train, test, **more).health == ()


def test_a_finding_is_checked():
    with pytest.raises(ValueError, match="severity='bad'"):
        Finding("bad", "x", None, None, "A sentence.")
    with pytest.raises(ValueError, match="expected letters"):
        Finding("stop", "two words", None, None, "A sentence.")
    with pytest.raises(ValueError, match="no number"):
        Finding("stop", "x", float("nan"), None, "A sentence.")


def test_a_refusal_costs_a_few_calls_and_no_look_at_all_rows(monkeypatch):
    """A data set of MNIST's size, and an encoder that returns sigma: refused before anything expensive."""
    n, n_test = 60_000, 10_000
    g = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (n + n_test, 1, 28, 28), generator=g, dtype=torch.uint8)
    weights = torch.randn(784, 4, generator=g) / 28
    back = torch.linalg.pinv(weights)
    rows = {"encode": [], "decode": []}

    def encode(x):
        rows["encode"].append(len(x))
        mean = (x.flatten(1) - 0.5) @ weights
        return mean, torch.full_like(mean, 0.1)

    def decode(z):
        rows["decode"].append(len(z))
        return (z @ back + 0.5).clamp(0, 1).view(-1, 1, 28, 28)

    def search(split):
        raise AssertionError("all rows were searched")

    monkeypatch.setattr(probes, "rows_of", search)
    before = time.process_time()
    found = compare(encode, decode, x[:n], x[n:])
    spent = time.process_time() - before
    assert "log_var is never below 0" in found.verdict.headline and found.drawn is None
    assert sum(rows["encode"]) < 500 and len(rows["encode"]) <= 6
    assert sum(rows["decode"]) < 150 and len(rows["decode"]) <= 2
    # on all cores together; 2 s on one where it was written
    assert spent < 10
