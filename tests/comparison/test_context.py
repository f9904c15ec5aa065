"""What a model is told beside x and z: each row keeps its own, draws get the training rows', on equal terms."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from priorgap import compare
from priorgap.comparison import row_store
from priorgap.core.contexts import Contexts
from priorgap.core.latents import LatentDraw
from priorgap.core.random import stream
from priorgap.samplers.drawing import with_contexts

N_UNITS, N_DIMS, SIGMA = 2, 8, 0.5
SAMPLERS = ["prior", "posterior", "posterior_mean", "posterior_heldout", "gaussian_full", "gmm"]


class Planted:
    """x = A z + B c + noise, z and c independent and normal: all laws are known, and so is the posterior."""

    def __init__(self) -> None:
        g = torch.Generator().manual_seed(0)
        self.A = torch.linalg.qr(torch.randn(N_DIMS, N_UNITS, generator=g))[0] * torch.tensor([1.5, 2.5])
        self.B = torch.randn(N_DIMS, 3, generator=g)
        # A's columns are orthogonal: the posterior's units are independent
        self.variance = 1 / (1 + (self.A**2).sum(0) / SIGMA**2)

    def data(self, n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        g = torch.Generator().manual_seed(seed)
        z, c = torch.randn(n, N_UNITS, generator=g), 1 + torch.randn(n, 3, generator=g)
        x = z @ self.A.T + c @ self.B.T + SIGMA * torch.randn(n, N_DIMS, generator=g)
        return x, c

    def encode(self, x, context):
        mean = (x - context @ self.B.T) @ self.A * (self.variance / SIGMA**2)
        return mean, self.variance.log().expand_as(mean)

    def decode(self, z, context):
        return z @ self.A.T + context @ self.B.T

    @property
    def covariance_of_means(self) -> torch.Tensor:
        return (self.A @ self.A.T + self.B @ self.B.T).double()


@pytest.fixture(scope="module")
def planted() -> Planted:
    return Planted()


@pytest.fixture(scope="module")
def rows(planted):
    (train, of_train), (test, of_test) = planted.data(3000, 1), planted.data(2500, 2)
    return {"train": train, "test": test, "context": (of_train, of_test)}


def run(planted, rows, **changes):
    arguments = {
        **rows, "encode": planted.encode, "decode": planted.decode, "samplers": SAMPLERS,
        "metrics": ["rate", "fid", "reconstruction"], "features": "pixels", "n": 2000, "seed": 1,
    }  # fmt: skip
    return compare(**{**arguments, **changes})


@pytest.fixture(scope="module")
def found(planted, rows):
    return run(planted, rows)


def frechet(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return tr(a + b - 2 (a b)^1/2) of two covariances."""
    root = torch.linalg.eigvals(a @ b).real.clamp_min(0).sqrt().sum()
    return float(a.trace() + b.trace() - 2 * root)


def fids(found) -> dict[str, float]:
    table = found.table[(found.table["measure"] == "fid") & (found.table["bound"] == "point")]
    return dict(zip(table["sampler"], table["value"], strict=True))


def test_the_planted_laws_are_found(planted, found):
    """With the true posterior and prior every sampler draws the decoder's means; their distance is the noise's."""
    means = planted.covariance_of_means
    truth = frechet(means, means + SIGMA**2 * torch.eye(N_DIMS, dtype=torch.float64))
    assert set(fids(found)) >= {"prior", "posterior", "gaussian_full"} and not found.skipped
    for name in ("prior", "posterior", "gaussian_full", "gmm"):
        assert fids(found)[name] == pytest.approx(truth, abs=0.12), name
    # the decoded draws themselves have the law of A z + B c
    x = torch.from_numpy(np.asarray(found.samples("prior").x)).double()
    assert torch.allclose(torch.cov(x.T), means, atol=0.12 * float(means.diagonal().max()))
    assert torch.allclose(x.mean(0), planted.B.double().sum(1), atol=0.3)
    assert found.verdict.stopped is False


def test_contexts_that_do_not_belong_to_their_rows_are_found_out(planted, rows, found):
    """The negative control: the same contexts in another order."""
    shuffled = tuple(
        one[torch.randperm(len(one), generator=torch.Generator().manual_seed(5))] for one in rows["context"]
    )
    worse = run(planted, rows, context=shuffled)
    (finding,) = [one for one in worse.health if one.severity == "stop"]
    assert finding.name in ("reconstructions_no_better_than_the_mean", "exploded_posteriors")
    assert worse.verdict.stopped and not found.verdict.stopped
    # a weaker effect of the context leaves the model healthy, and the measures tell
    mild = Planted()
    mild.B = 0.35 * mild.B
    (train, c), (test, d) = mild.data(3000, 1), mild.data(2500, 2)
    data = {"train": train, "test": test}
    good = run(mild, {**data, "context": (c, d)}, metrics=["fid", "rate", "reconstruction"])
    order = [one[torch.randperm(len(one), generator=torch.Generator().manual_seed(6))] for one in (c, d)]
    bad = run(mild, {**data, "context": order}, metrics=["fid", "rate", "reconstruction"])
    assert fids(bad)["posterior"] > fids(good)["posterior"] + 0.05
    share = [
        float(one.table.loc[one.table["measure"] == "explained_share", "value"].iloc[0])
        for one in (good, bad)
    ]
    assert share[1] < share[0] - 0.05


def test_each_draw_has_its_own_context(found, rows):
    draws = {name: one.draw for name, one in found.drawn.draws.items()}
    for name in ("posterior", "posterior_mean"):
        assert torch.equal(draws[name].context, draws[name].source)
    # all samplers without rows of their own are decoded at the same contexts, each of another training row
    for name in ("gaussian_full", "gmm"):
        assert torch.equal(draws[name].context, draws["prior"].context)
    assert len(draws["prior"].context.unique()) == 2000 and int(draws["prior"].context.max()) < 3000
    # held-out rows are no training rows, and keep their own contexts too
    assert int(draws["posterior_heldout"].context.min()) >= 3000


class Copy:
    """The context is a part of the row itself, so that every mistake of order shows: encode and decode refuse it."""

    def __init__(self) -> None:
        self.n_encoded = self.n_decoded = 0

    def encode(self, x, context):
        assert torch.allclose(x[:, 2:], context["copy"], atol=1e-5) and context["number"].dtype == torch.int64
        assert torch.equal(context["number"], (context["copy"][:, 0] * 1000).round().long())
        self.n_encoded += 1
        return x[:, :2], torch.full_like(x[:, :2], -6.0)

    def decode(self, z, context):
        assert len(z) == len(context["copy"])
        self.n_decoded += 1
        return torch.cat([z, context["copy"]], 1)


def _copy_data(n: int, seed: int):
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))
    x[:, 2] = (x[:, 2] * 1000).round() / 1000
    return x, {"copy": x[:, 2:], "number": (x[:, 2] * 1000).round().long()}


def test_every_call_gets_the_context_of_its_rows():
    """Of the training, validation and test rows, of reconstructions, copies and draws, whoever asks."""
    model, (train, of_train), (test, of_test) = Copy(), _copy_data(300, 0), _copy_data(200, 1)
    found = compare(
        model.encode, model.decode, train, test, context=(of_train, of_test), samplers=SAMPLERS, n=120,
        metrics=["rate", "fid", "copying", "reconstruction", "quality_by_density"], features="pixels",
    )  # fmt: skip
    assert model.n_encoded > 5 and model.n_decoded > 10 and set(fids(found)) >= set(SAMPLERS[:5])
    # means with their own contexts are the training rows themselves
    assert torch.equal(found.samples("posterior_mean").x, train[found.drawn.of("posterior_mean").draw.source])


def test_a_share_of_rows_keeps_its_contexts(monkeypatch):
    """Of batches that are more than memory holds: the rows that are kept, and the contexts of these."""
    monkeypatch.setattr(row_store, "MOST_BYTES", 120 * 4 * 4)
    model, (train, of_train), (test, of_test) = Copy(), _copy_data(400, 0), _copy_data(90, 1)
    third, of_third = _copy_data(80, 2)
    found = compare(
        model.encode, model.decode, iter(train.split(50)), test, validation=third,
        context=(of_train, of_test, of_third),
        samplers=["prior", "posterior_mean"], metrics=["fid"], features="pixels", n=60,
    )  # fmt: skip
    (note,) = [one for one in found.health if one.name == "share_of_rows_of_train"]
    assert "120 of 400 train rows" in note.sentence and model.n_encoded > 3
    rows = {tuple(row) for row in train.tolist()}
    assert {tuple(row) for row in found.samples("posterior_mean").x.tolist()} <= rows


def test_loaders_that_shuffle_have_no_order_for_contexts():
    model, (train, of_train) = Copy(), _copy_data(40, 0)
    loader = DataLoader(TensorDataset(train), batch_size=8, shuffle=True)
    with pytest.raises(
        ValueError, match="context: train is a DataLoader that shuffles; expected shuffle=False"
    ):
        compare(model.encode, model.decode, loader, train, context=(of_train, of_train))


def test_contexts_have_the_type_of_the_model():
    """Floats that of its parameters; numbers of classes or batches stay integers."""
    net = torch.nn.Linear(4, 2).double()
    seen = set()

    def encode(x, context):
        seen.add((x.dtype, context["size"].dtype, context["batch"].dtype))
        return net(x) + context["size"], torch.full((len(x), 2), -2.0)

    def decode(z, context):
        return torch.cat([z, context["size"].expand(len(z), 1), context["batch"][:, None]], 1)

    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    told = {"size": np.abs(x[:, :1].numpy()), "batch": (x[:, 1] > 0).long().tolist()}
    halves = [{name: one[part] for name, one in told.items()} for part in (slice(0, 120), slice(120, 200))]
    compare(
        encode,
        decode,
        x[:120],
        x[120:],
        context=halves,
        samplers=["prior"],
        metrics=["fid"],
        features="pixels",
        n=40,
    )
    assert seen == {(torch.float64, torch.float64, torch.int64)}


class Labelled(Copy):
    """The label decides the context: whoever draws a class must draw a context of that class."""

    def encode(self, x, label, context):
        assert torch.equal(context[:, 0].long(), label)
        return x[:, :2], torch.full_like(x[:, :2], -1.0)

    def decode(self, z, label, context):
        assert torch.equal(context[:, 0].long(), label)
        self.n_decoded += 1
        return torch.cat([z, context], 1)


def test_labels_and_contexts_agree():
    g = torch.Generator().manual_seed(0)
    label = torch.randint(3, (400,), generator=g)
    x = torch.cat(
        [torch.randn(400, 2, generator=g), label[:, None].float(), torch.randn(400, 1, generator=g)], 1
    )
    model = Labelled()
    found = compare(
        model.encode, model.decode, x[:250], x[250:], labels=(label[:250], label[250:]),
        context=(x[:250, 2:], x[250:, 2:]), metrics=["fid"], features="pixels", n=100,
        samplers=["prior", "posterior", "posterior_heldout", "per_class_gaussian_full", "single_posterior"],
    )  # fmt: skip
    assert not found.skipped and model.n_decoded
    two = found.generate(50, "per_class_gaussian_full", label=2)
    assert set(two.x[:, 2]) == {2.0}
    with pytest.raises(ValueError, match="context: the model takes a label too; expected label= of these"):
        found.generate(5, "prior", context=x[:5, 2:])
    assert set(found.generate(5, "prior", context=torch.tensor([[1.0, 9.0]]), label=1).x[:, 3]) == {9.0}


def test_contexts_are_drawn_evenly_and_by_class():
    table = Contexts(torch.arange(7.0)[:, None], torch.arange(5), torch.tensor([0, 0, 0, 1, 1]))
    z = torch.zeros(20, 1)
    free = with_contexts(LatentDraw(z), table, generator=stream(0, "c"))
    assert free.context.bincount().tolist() == [4] * 5
    label = torch.arange(20) % 2
    of_class = with_contexts(LatentDraw(z, None, label), table, generator=stream(0, "c"))
    assert (
        set(of_class.context[label == 1].tolist()) == {3, 4} and int(of_class.context[label == 0].max()) == 2
    )
    with pytest.raises(ValueError, match="class 7, which no training row has"):
        with_contexts(LatentDraw(z, None, label * 7), table, generator=stream(0, "c"))


def test_arrays_frames_lists_and_dictionaries_are_the_same(planted, rows):
    few = {"train": rows["train"][:200], "test": rows["test"][:100]}
    of_train, of_test = (one[:k].numpy() for one, k in zip(rows["context"], (200, 100), strict=True))

    def values(given, decode=planted.decode, encode=planted.encode):
        found = compare(
            encode, decode, **few, context=given, samplers=["prior"], metrics=["fid"], features="pixels", n=50
        )
        return fids(found)

    expected = values((torch.from_numpy(of_train), torch.from_numpy(of_test)))
    frames = [pd.DataFrame(one, columns=list("abc")) for one in (of_train.astype("float64"), of_test)]
    assert values((of_train, of_test)) == values(frames) == values([of_train.tolist(), of_test.tolist()])
    assert values((of_train, of_test)) == expected
    named = [{"a": one[:, :1], "rest": one[:, 1:]} for one in (of_train, of_test)]

    def joined(function):
        return lambda x, context: function(x, torch.cat([context["a"], context["rest"]], 1))

    assert values(named, joined(planted.decode), joined(planted.encode)) == expected


def test_decode_alone_may_take_it(planted, rows):
    found = run(
        planted, rows, encode=lambda x: (x[:, :2] / 3, torch.full_like(x[:, :2], -1.0)), samplers=["prior"],
        metrics=["rate"],
    )  # fmt: skip
    assert found.drawn is None or "prior" in found.drawn.draws


def test_new_rows_have_contexts_that_are_given_or_drawn(planted, found, tmp_path):
    own = found.generate(300, "prior")
    assert own.context.shape == (300, 3) and "of training rows" in own.card.to_markdown()
    assert np.array_equal(own.context[:50], found.generate(50, "prior").context)
    # one for all rows, and one for each
    one = torch.tensor([[4.0, -2.0, 1.0]])
    fixed = found.generate(4000, "prior", context=one)
    assert fixed.context.shape == (4000, 3) and (fixed.context == one.numpy()).all()
    assert "are given" in fixed.card.to_markdown()
    assert np.allclose(fixed.x.mean(0), (one @ planted.B.T).numpy(), atol=0.25)
    assert np.allclose(np.cov(fixed.x.T), (planted.A @ planted.A.T).numpy(), atol=0.5)
    each = torch.arange(30.0).reshape(10, 3)
    several = found.generate(10, "gaussian_full", context=each)
    again = found.generate(10, "gaussian_full", context=each * 0)
    assert np.allclose(several.x - again.x, (each @ planted.B.T).numpy(), atol=1e-4)
    several.save(tmp_path / "new.npz")
    assert np.array_equal(np.load(tmp_path / "new.npz.context.npz")["context"], each.numpy())
    # a training row's draw has that row's context
    rows = found.generate(20, "posterior_mean")
    assert set(rows.context[:, 0]) <= set(np.float32(found.drawn.models["mean"].contexts.values[:3000, 0]))
    with pytest.raises(ValueError, match=r"context is float32 \(3, 3\): expected 10 rows"):
        found.generate(10, "prior", context=each[:3])
    with pytest.raises(
        ValueError, match=r"context is floats of shape \[2\] a row; expected floats of shape \[3\]"
    ):
        found.generate(10, "prior", context=each[:, :2])


C = torch.ones(30, 3)
BAD = {
    "not a pair": ({"context": C}, "context: got Tensor, expected 2: one for each data argument"),
    "one of two": ({"context": (C,)}, "context: got 1 of them, expected 2"),
    "of one part only": ({"context": (C, None)}, "context of test: got .*None.*; expected an array"),
    "too few rows": ({"context": (C[:7], C)}, r"context of train is float32 \(7, 3\): expected 30 rows"),
    "names": ({"context": (["a"] * 30, C)}, "context of train is <U1 .*expected numbers"),
    "NaN": ({"context": (C, C * torch.nan)}, "context of test: NaN or infinity in 30 of 30 rows"),
    "other columns": ({"context": (C, C[:, :2])}, r"context of test is floats of shape \[2\] a row; .*\[3\], as"),
    "integers": ({"context": (C, C.long())}, "context of test is integers .*expected floats"),
    "other names": ({"context": ({"a": C}, {"b": C})}, "context of test: has .*b.*expected .*a"),
    "no names": ({"context": ({}, {})}, "context of train: a dictionary with keys"),
    "of another width": (
        {"context": (C[:, :2], C[:, :2])},
        r"context: encode fails on rows of shape \[8\] with contexts float32 \[n, 2\] \(RuntimeError: .*; expected",
    ),
    "missing": ({"context": None}, r"encode: takes a context, and none is given; expected context=\(TRAIN, TEST\)"),
    "nobody takes it": (
        {"encode": lambda x: (x[:, :2], None), "decode": lambda z: z},
        "context: neither encode nor decode takes an argument named context",
    ),
    "another name": (
        {"decode": lambda z, c: z},
        r"decode: takes c beside its first argument; expected the names label .* and context",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_contexts_are_one_line(planted, case):
    changes, words = BAD[case]
    x = planted.data(30, 3)[0]
    arguments = {"encode": planted.encode, "decode": planted.decode, "context": (C, C), **changes}
    with pytest.raises(ValueError, match=words) as caught:
        compare(**arguments, train=x, test=x + 1, samplers=["prior"], metrics=["fid"], features="pixels")
    assert "\n" not in str(caught.value)
