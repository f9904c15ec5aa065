"""A measure that diverged evidence does not allow is absent with its reason; a mistake in a metric still surfaces."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from priorgap.comparison.user_inputs import metric_of, standard_metrics
from priorgap.core.catalogue import catalogued
from priorgap.core.latents import LatentDraw, Latents
from priorgap.estimators.checks import NotFinite, check_matrix, check_vector
from priorgap.metrics import NotApplicable
from priorgap.metrics.measuring import measure_one
from priorgap.metrics.protocols import measured
from priorgap.testing.world import decode, fresh, world


@dataclass(frozen=True)
class MeanSquare:
    """Of the draws, in float32: infinite where these have exploded."""

    mistake: bool = False
    name: ClassVar[str] = "mean_square"
    scope: ClassVar[str] = "sampler"
    measures: ClassVar = catalogued("mmd2")
    needs: ClassVar = frozenset({"draw"})

    def measure(self, evidence, *, generator):
        squares = evidence.draw.z.float().square().sum(1)
        check_vector("squares", squares / 0 if self.mistake else squares)
        return [measured("mmd2", float(squares.mean()), n=len(squares))]


def evidence(z=None, **changes):
    draw = world().draw(40, seed=1)
    return fresh(world().model, **changes).of("x", "candidate", LatentDraw(draw.z if z is None else z))


def changed(latents: Latents, row: int, value: float, field: str) -> Latents:
    given = getattr(latents, field).clone()
    given[row, 0] = value
    return replace(latents, **{field: given})


def test_a_metric_that_can_be_computed_is() -> None:
    rows, reason = measure_one(MeanSquare(), evidence(), seed=0)
    assert reason is None and [row.measure for row in rows] == ["mmd2"]


def test_exploded_draws_take_what_is_not_finite_with_them() -> None:
    z = world().draw(40, seed=1).z * 1e25
    rows, reason = measure_one(MeanSquare(), evidence(z), seed=0)
    assert rows == [] and "the draws have exploded (they reach to" in reason and "e+25" in reason


def test_a_mistake_of_a_metric_surfaces() -> None:
    """Negative control: the evidence is sound, so nothing but the metric can be at fault."""
    with pytest.raises(NotFinite, match="squares has values that are not finite"):
        measure_one(MeanSquare(mistake=True), evidence(), seed=0)
    with pytest.raises(ValueError, match="no such thing"):
        broken = MeanSquare()
        object.__setattr__(broken, "measure", lambda evidence, generator: int("no such thing"))
        measure_one(broken, evidence(world().draw(40, seed=1).z * 1e25), seed=0)


@pytest.mark.parametrize("field", ["mean", "log_var"])
@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_posteriors_that_are_not_finite_are_as_good_as_missing(part, field) -> None:
    broken = changed(changed(getattr(world().model, part), 3, float("nan"), field), 5, float("inf"), field)
    given = evidence(**{part: broken})
    reason = f"2 of {len(broken)} {part} posteriors are not finite"
    assert given.lacks(part) == reason
    others = {"train", "validation", "test", "log_var", "encoder", "draw"} - {part}
    assert all(given.lacks(other) is None for other in others)
    needed = part in metric_of("rate").needs
    rows, absent = measure_one(metric_of("rate"), given.model.alone(), seed=0)
    assert (rows == []) == needed and absent == (reason if needed else None)


def test_draws_that_are_not_finite_are_none() -> None:
    z = world().draw(40, seed=1).z.clone()
    z[7, 0] = float("inf")
    assert measure_one(MeanSquare(), evidence(z), seed=0) == ([], "the sampler's draws are not finite")


def test_what_is_decoded_to_values_that_are_not_finite_is_absent() -> None:
    def far_out(z, label):
        x = decode(z)
        x[z.norm(dim=1) > 2] = float("nan")
        return x

    def raising(z, label):
        raise NotFinite("decode: gave a tensor with NaN or infinity")

    for function in (far_out, raising):
        given = evidence(decode=function)
        rows, reason = measure_one(metric_of("sharpness"), given, seed=0)
        assert rows == [] and reason == "decode gave values that are not finite"
        # what needs no images is measured
        rows, reason = measure_one(metric_of("rate"), replace(given, sampler="", role="", draw=None), seed=0)
        assert reason is None and rows


@pytest.mark.parametrize("scale", [1e8, 1e20, 1e30])
def test_every_metric_of_a_diverged_model_gives_rows_or_a_reason(scale) -> None:
    """Means beyond all bounds: numbers where they are finite, a reason elsewhere, and never an error."""
    parts = {
        part: replace(getattr(world().model, part), mean=getattr(world().model, part).mean * scale)
        for part in ("train", "validation", "test")
    }
    given = evidence(world().draw(60, seed=2).z * scale, **parts)
    assert "exploded" in given.exploded and "exploded" in given.model.exploded
    for name in standard_metrics():
        metric = metric_of(name)
        rows, reason = measure_one(
            metric, given if metric.scope == "sampler" else given.model.alone(), seed=0
        )
        assert (reason is None) == bool(rows) or reason is None
        assert all(abs(row.value) < float("inf") for row in rows)


def test_wide_posteriors_have_exploded_too_and_sound_ones_have_not() -> None:
    model = world().model
    assert model.exploded is None and evidence().exploded is None
    for value, expected in ((27.0, False), (28.0, True)):  # standard deviations of 7.3e5 and 1.2e6
        wide = fresh(model, validation=changed(model.validation, 0, value, "log_var"))
        assert (wide.exploded is not None and "validation" in wide.exploded) == expected


def test_the_errors_of_estimators_are_of_their_kind() -> None:
    x = torch.zeros(4, 2)
    x[2, 1] = float("nan")
    with pytest.raises(NotFinite, match="x has 1 rows that are not finite"):
        check_matrix("x", x)
    with pytest.raises(NotFinite, match="x has values that are not finite"):
        check_vector("x", x[2])
    with pytest.raises(ValueError, match="expected a vector") as wrong:
        check_vector("x", x)
    assert not isinstance(wrong.value, NotFinite)
    assert issubclass(NotApplicable, ValueError) and not issubclass(NotApplicable, NotFinite)
