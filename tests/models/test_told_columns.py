"""Models that are told columns of a table: what depends on them, what is paid for, and what calibration may fold."""

import pytest
import torch

from priorgap.core.contexts import Contexts
from priorgap.core.latents import LatentDraw, Latents
from priorgap.core.random import stream
from priorgap.models.calibrate import calibrate
from priorgap.models.decoding import DrawnDecoder
from priorgap.models.families import GivenMLP, build_model
from priorgap.models.likelihoods import Gaussian
from priorgap.models.losses import ElboLoss
from priorgap.models.table_likelihood import TableLikelihood
from priorgap.models.told import ToldVAE
from priorgap.samplers.drawing import with_contexts
from priorgap.tables.layout import Column, TableLayout

D = 3
LAYOUT = TableLayout(
    (
        Column("age", "continuous", 0, 1),
        Column("city", "categorical", 1, 4, categories=("u", "v", "w")),
        Column("unit", "categorical", 4, 4, constant=True, value="kg"),
        Column("pay", "continuous", 4, 5, missing=5),
        Column("sex", "categorical", 6, 8, categories=("f", "m")),
    ),
    "sex",
)
# pay with its indicator and city; the others
TOLD, REST = [1, 2, 3, 4, 5], [0, 6, 7]


def made(given=("pay", "city"), likelihood=None) -> ToldVAE:
    law = TableLikelihood(1.0, 0.01, LAYOUT) if likelihood is None else likelihood
    found = build_model(GivenMLP(D, (16,), given=given), law, None, (8,), generator=stream(0, "weights"))
    assert isinstance(found, ToldVAE)
    return found


def rows(n: int, name: str = "rows") -> torch.Tensor:
    generator = stream(1, name)
    x = torch.zeros(n, 8)
    x[:, 0] = torch.randn(n, generator=generator)
    x[torch.arange(n), 1 + torch.randint(3, (n,), generator=generator)] = 1
    x[:, 5] = (torch.rand(n, generator=generator) < 0.3).float()
    x[:, 4] = torch.randn(n, generator=generator) * (1 - x[:, 5])
    x[torch.arange(n), 6 + torch.randint(2, (n,), generator=generator)] = 1
    return x


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=stream(1, "x"))


def test_a_part_of_a_layout_stands_as_with_the_others_taken_out() -> None:
    assert LAYOUT.places(["pay", "city", "unit"]) == (1, 2, 3, 4, 5)
    part = LAYOUT.part(["age", "unit", "pay", "sex"])
    assert [(c.name, c.start, c.stop, c.missing) for c in part.coded] == [
        ("age", 0, 1, None), ("pay", 1, 2, 2), ("sex", 3, 5, None),
    ]  # fmt: skip
    assert part.width == 5 and part.names == ("age", "unit", "pay", "sex") and part.target == "sex"
    assert LAYOUT.part(["age"]).target is None and LAYOUT.part(LAYOUT.names) == LAYOUT
    x = rows(50)
    whole = dict(zip(LAYOUT.names, LAYOUT.decoded(x), strict=True))
    taken = dict(zip(part.names, part.decoded(x[:, [0, 4, 5, 6, 7]]), strict=True))
    assert all(str(taken[name].tolist()) == str(whole[name].tolist()) for name in taken)


def test_the_columns_are_given_and_decide_the_others() -> None:
    vae, x, z = made(), rows(6), normal(6, D)
    told = vae.context_of(x)
    assert torch.equal(told, x[:, TOLD])
    raw = vae.decode_raw(z, told)
    assert raw.shape == (6, 8) and torch.equal(raw[:, TOLD], told)
    for decoded in (vae.decode(z, told), vae.likelihood.expectation(raw)):
        assert torch.equal(decoded[:, TOLD], told)
    other = told.clone()
    other[0] = (
        torch.tensor([0.0, 0.0, 1.0, 2.0, 0.0]) if told[0, 2] == 0 else torch.tensor([1.0, 0, 0, 2.0, 0])
    )
    moved = (vae.decode_raw(z, other)[:, REST] - raw[:, REST]).abs().amax(1)
    # the row whose columns changed, and no other
    assert moved[0] > 1e-3 and moved[1:].max() < 1e-6
    # q(z|x) reads given columns and others
    mean = vae.encode(x)[0]
    for place in (0, 4):
        changed = x.clone()
        changed[:, place] += 1
        assert (vae.encode(changed)[0] - mean).abs().max() > 1e-4


def test_the_loss_is_that_of_the_other_columns() -> None:
    vae, x, noise = made(), rows(7), normal(7, D)
    terms = vae.terms(x, noise)
    mean, log_var = vae.encode(x)
    raw = vae.decode_raw(mean + (0.5 * log_var).exp() * noise, x[:, TOLD])
    # one number with sigma 1, and one of two categories
    by_hand = 0.5 * (x[:, 0] - raw[:, 0]).square() - (x[:, 6:] * raw[:, 6:].log_softmax(1)).sum(1)
    torch.testing.assert_close(terms.reconstruction, by_hand)
    assert terms.rate.shape == (7, D)
    # a model of whole rows pays for the given columns too
    whole = TableLikelihood(1.0, 0.01, LAYOUT).reconstruction_loss(raw, x)
    assert (whole - by_hand).min() > 1e-3
    assert vae.likelihood.generated(8)[1] == 3 and len(next(iter(vae.likelihood.parameters()))) == 1
    loss = ElboLoss(alpha=6.0, reduction="mean")
    assert loss.in_sum_units(vae.likelihood, 8) == loss.in_sum_units(TableLikelihood(1.0, 0.01), 3)
    (grad,) = torch.autograd.grad(terms.reconstruction.sum(), [vae.reader[-1].weight])
    assert grad.abs().max() > 0


def test_calibration_folds_and_leaves_reconstructions() -> None:
    vae, x = made(), rows(200)
    latents = Latents(*vae.encode(x))
    folded = calibrate(vae, latents)
    assert isinstance(folded, ToldVAE)
    mean, log_var = folded.encode(x)
    total = mean.var(0, correction=0) + log_var.exp().mean(0)
    torch.testing.assert_close(total, torch.ones(D), rtol=1e-3, atol=1e-3)
    told = vae.context_of(x)
    torch.testing.assert_close(
        folded.decode_raw(mean, told), vae.decode_raw(latents.mean, told), rtol=1e-3, atol=1e-4
    )
    assert (vae.decode_raw(mean, told) - vae.decode_raw(latents.mean, told)).abs().max() > 1e-3


def test_draws_keep_the_columns() -> None:
    vae, x, z = made(), rows(300), normal(300, D)
    told = vae.context_of(x)
    drawn = DrawnDecoder(vae.raw, vae.likelihood, None, seed=1)(z, context=told)
    assert torch.equal(drawn[:, TOLD], told)
    assert torch.equal(drawn[:, 6:].sum(1), torch.ones(300))
    residual = drawn[:, 0] - vae.decode_raw(z, told)[:, 0].detach()
    assert 0.85 < float(residual.std()) < 1.15


def fitted(x: torch.Tensor) -> ToldVAE:
    vae = made(("city",))
    optimizer = torch.optim.Adam(vae.parameters(), 0.01)
    generator = stream(0, "noise")
    for _ in range(400):
        optimizer.zero_grad()
        terms = vae.terms(x, torch.randn((len(x), D), generator=generator))
        (terms.reconstruction + terms.rate.sum(1)).mean().backward()
        optimizer.step()
    return vae.eval()


def test_the_others_follow_the_given_column() -> None:
    x = rows(600)
    # age is three standard deviations higher in city w
    x[:, 0] = 0.3 * x[:, 0] + 3 * x[:, 3]
    vae = fitted(x)
    z = normal(600, D)
    drawn = DrawnDecoder(vae.raw, vae.likelihood, None, seed=1)(z, context=vae.context_of(x))
    in_w = x[:, 3] == 1
    assert torch.equal(drawn[:, 1:4], x[:, 1:4])
    assert float(drawn[in_w, 0].mean()) == pytest.approx(3, abs=0.4)
    assert float(drawn[~in_w, 0].mean()) == pytest.approx(0, abs=0.4)

    def misfit(columns: torch.Tensor) -> float:
        return float((drawn[:, 0] - 3 * columns[:, 2]).square().mean())

    # negative control: the columns of another row
    assert misfit(x[:, 1:4]) < 0.6 and misfit(x[:, 1:4].roll(1, 0)) > 2


def test_what_cannot_be_given_is_one_line() -> None:
    varying = "age, city, pay, sex"
    for given, said in (
        (
            ("town",),
            rf"^model\.given=\[town\]: town is no column of the table.*expected some of {varying}$",
        ),
        (("age", "unit"), rf"unit is constant; expected some of {varying}$"),
        (("age", "city", "pay", "sex"), "all columns that vary are given; expected at most 3"),
    ):
        with pytest.raises(ValueError, match=said):
            made(given)
    with pytest.raises(ValueError, match=r"likelihood=gaussian knows of none; expected data=table"):
        made(likelihood=Gaussian())
    for given in (None, (), "", ("age", "age"), (True,), 1.5):
        with pytest.raises(
            ValueError, match=r"^given=.*: expected names of columns of the table, each once; unsaid"
        ):
            GivenMLP(D, (16,), given=given)  # type: ignore[arg-type]
    assert GivenMLP(given="age").given == GivenMLP(given=["age"]).given == ("age",)
    vae = made()
    with pytest.raises(
        ValueError, match=r"told a row of columns pay, city: expected one of shape \[5\] .* none$"
    ):
        vae.decode(normal(2, D))


def test_a_given_label_is_that_of_the_draw() -> None:
    assert made(("sex",)).part.tells_label and not made(("age",)).part.tells_label
    values, label = torch.arange(10.0)[:, None], torch.tensor([0, 1, 0])
    told = Contexts(values, torch.arange(4), fresh=torch.arange(7, 10), fresh_label=label)
    draw = LatentDraw(torch.zeros(6, D), None, torch.tensor([0, 1, 0, 1, 0, 0]))
    found = with_contexts(draw, told, generator=stream(0, "c")).context
    assert found is not None and found[[1, 3]].tolist() == [8, 8]
    assert sorted(found[[0, 2, 4, 5]].tolist()) == [7, 7, 9, 9]
    with pytest.raises(ValueError, match="draws of class 2, which no test row has"):
        with_contexts(LatentDraw(torch.zeros(1, D), None, torch.tensor([2])), told, generator=stream(0, "c"))
    # draws without a class get any
    free = with_contexts(LatentDraw(torch.zeros(3, D)), told, generator=stream(0, "c")).context
    assert free is not None and sorted(free.tolist()) == [7, 8, 9]
