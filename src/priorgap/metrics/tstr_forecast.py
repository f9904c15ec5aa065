"""The worth of sampled series to a forecaster: it is trained on them and tested on real windows."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.arguments import AtLeast
from priorgap.core.catalogue import catalogued
from priorgap.core.measurement import OF_DATA, Measurement
from priorgap.core.measures import Measure
from priorgap.core.random import stream
from priorgap.estimators.forecast_skill import (
    best_penalty,
    forecast_errors,
    persistence_errors,
    skill_between,
)
from priorgap.estimators.published_series import step_groups
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require

_FEWEST = 20


@dataclass(frozen=True)
class TrainOnSyntheticForecast:
    """`tstr_forecast`: a forecast of test windows learned from samples, between none (0) and real windows (1).

    Mean squared error of the later steps of test windows, relative to the variances of the training windows'
    channels, forecast from the first steps by ridge regression; 0 is the error of repeating the last known step
    (persistence), 1 that of the same regression, with the same penalty, on as many training windows. Below 0 samples
    are misleading, as means of p(x|z) are, which lack the noise of real windows. There is no value where training
    windows are not better than persistence. Copies of training windows score 1.

    Attributes:
        n_past: the number of known steps; None: half of a window's.
        n_most: the largest number of windows to learn from.
    """

    n_past: Annotated[int, AtLeast(1)] | None
    n_most: Annotated[int, AtLeast(_FEWEST)]
    name: ClassVar[str] = "tstr_forecast"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("tstr_forecast")
    needs: ClassVar[frozenset[str]] = frozenset({"draw", "decode", "reference", "sequences"})

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the position between the two; n counts test windows, n_reference the windows of each training."""
        require(evidence, self.needs)
        reference = evidence.model.reference
        if reference is None:
            raise NotApplicable("there are no reference data")
        train = reference.train.floats().double()
        scale = train.std((0, 1), correction=0)
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        test, made = (x.floats().double() / scale for x in (reference.test, evidence.samples))
        train /= scale
        n = min(len(made), len(train), self.n_most)
        if n < _FEWEST:
            raise NotApplicable(f"{n} windows to learn from: expected at least {_FEWEST}")
        n_past = test.shape[1] // 2 if self.n_past is None else self.n_past
        # All samplers with equally many draws are compared with the same training windows.
        real = _some(train, n, stream(0, self.name, len(train), n))
        try:
            penalty = best_penalty(real, n_past=n_past)
            found = skill_between(
                forecast_errors(_some(made, n, generator), test, n_past=n_past, penalty=penalty),
                forecast_errors(real, test, n_past=n_past, penalty=penalty),
                persistence_errors(test, n_past=n_past),
                step_groups(reference.test.floats()),
            )
        except ValueError as error:
            raise NotApplicable(str(error)) from error
        return [measured(self.name, found, n=len(test), n_reference=n, space=OF_DATA)]


def _some(x: Float[Tensor, "n T f"], n: int, generator: torch.Generator) -> Float[Tensor, "k T f"]:
    return x[torch.randperm(len(x), generator=generator)[:n].sort().values]
