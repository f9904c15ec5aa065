"""Temporal behaviour of samples compared with test windows: lagged correlations, spectra, step marginals, floors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.arguments import AtLeast
from priorgap.core.catalogue import catalogued
from priorgap.core.measurement import OF_DATA, Measurement
from priorgap.core.measures import Measure
from priorgap.data.splits import Split
from priorgap.estimators.series import (
    SeriesDistance,
    autocorrelation_distance,
    cross_correlation_distance,
    marginal_distance,
    spectrum_distance,
)
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require

_NEEDS = frozenset({"draw", "decode", "reference", "sequences"})
Distance = Callable[[Float[Tensor, "n T f"], Float[Tensor, "m T f"]], SeriesDistance]


def _rows(name: str, distance: Distance, evidence: Evidence) -> list[Measurement]:
    """Return the distance of all draws to the test windows: overall, and by channel where there are several."""
    require(evidence, _NEEDS)
    reference = evidence.model.reference
    if reference is None:
        raise NotApplicable("there are no reference data")
    channels = _compared(reference.test)
    made, real = _only(evidence.samples, channels), _only(reference.test, channels)
    try:
        found = distance(made, real)
    except ValueError as error:
        raise NotApplicable(str(error)) from error
    n, m = len(made), len(real)
    rows = [measured(name, found.whole, n=n, n_reference=m, space=OF_DATA)]
    if len(found.by_channel) > 1:
        rows += [
            measured(name, one, n=n, n_reference=m, space=OF_DATA, unit=c)
            for c, one in zip(channels, found.by_channel, strict=True)
        ]
    return rows


def _compared(test: Split) -> list[int]:
    """Return the channels to compare: all except channels of gaps that are constant in test windows.

    A column may have gaps in training windows and none in test windows; the other channels can still be compared.
    """
    channels = list(range(test.shape[1]))
    gaps = test.modality.gaps
    if gaps is None:
        return channels
    x = test.floats()
    still = (x.amax((0, 1)) == x.amin((0, 1))).tolist()
    return [c for c in channels if not (still[c] and c in gaps.uncertain)] or channels


def _only(windows: Split, channels: list[int]) -> Float[Tensor, "n T f"]:
    x = windows.floats()
    return x if len(channels) == x.shape[2] else x[..., channels]


@dataclass(frozen=True)
class Autocorrelation:
    """`autocorrelation_distance`: mean absolute difference of autocorrelations at lags 1 to n_lags; 0 is best.

    Rows by channel in `unit`. Biased upwards for small sets: compare it with its floor.

    Attributes:
        n_lags: the largest lag; shorter windows have fewer.
    """

    n_lags: Annotated[int, AtLeast(1)]
    name: ClassVar[str] = "autocorrelation"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("autocorrelation_distance")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the overall row, and the rows by channel."""
        return _rows("autocorrelation_distance", self.distance, evidence)

    def distance(self, a: Tensor, b: Tensor) -> SeriesDistance:
        """Compare two sets of windows."""
        return autocorrelation_distance(a, b, n_lags=self.n_lags)


@dataclass(frozen=True)
class CrossCorrelation:
    """`cross_correlation_distance`: the same of pairs of channels, at lags -n_lags to n_lags; 0 is best.

    Rows by channel in `unit`: the mean over the other channels.

    Attributes:
        n_lags: the largest lag; shorter windows have fewer.
    """

    n_lags: Annotated[int, AtLeast(0)]
    name: ClassVar[str] = "cross_correlation"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("cross_correlation_distance")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the overall row, and the rows by channel."""
        return _rows("cross_correlation_distance", self.distance, evidence)

    def distance(self, a: Tensor, b: Tensor) -> SeriesDistance:
        """Compare two sets of windows."""
        return cross_correlation_distance(a, b, n_lags=self.n_lags)


@dataclass(frozen=True)
class Spectrum:
    """`spectrum_distance`: total variation between normalised power spectra, mean over channels; 0 is best.

    Rows by channel in `unit`. The measure ignores the amplitude.
    """

    name: ClassVar[str] = "spectrum"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("spectrum_distance")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the overall row, and the rows by channel."""
        return _rows("spectrum_distance", spectrum_distance, evidence)


@dataclass(frozen=True)
class StepMarginals:
    """`step_marginal_distance`: Wasserstein-1 of the values at each step, mean over steps and channels; 0 is best.

    In standard deviations of the test windows' channel; rows by channel in `unit`. Apart from the step, the measure
    ignores the order in time.
    """

    name: ClassVar[str] = "step_marginals"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("step_marginal_distance")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the overall row, and the rows by channel."""
        return _rows("step_marginal_distance", marginal_distance, evidence)


@dataclass(frozen=True)
class SeriesFloors:
    """`autocorrelation_floor`, ...: the distances of real training windows to the test windows, in the same way.

    They are computed for the last training windows, as many as there are test windows; no sampler can be expected to
    be better. Where test windows are later and the series drifts, the floor includes the drift.

    Attributes:
        autocorrelation_lags: n_lags of the distance of autocorrelations.
        cross_correlation_lags: n_lags of the distance of cross-correlations.
    """

    autocorrelation_lags: Annotated[int, AtLeast(1)]
    cross_correlation_lags: Annotated[int, AtLeast(0)]
    name: ClassVar[str] = "series_floors"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued(
        "autocorrelation_floor", "cross_correlation_floor", "spectrum_floor", "step_marginal_floor"
    )
    needs: ClassVar[frozenset[str]] = frozenset({"reference", "sequences"})

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return a row for each distance; that of pairs of channels is left out where there is only one channel."""
        require(evidence, self.needs)
        reference = evidence.model.reference
        if reference is None:
            raise NotApplicable("there are no reference data")
        channels = _compared(reference.test)
        train = _only(reference.train, channels)[-len(reference.test) :]
        test = _only(reference.test, channels)
        distances: Sequence[tuple[str, Distance]] = (
            ("autocorrelation_floor", Autocorrelation(self.autocorrelation_lags).distance),
            ("cross_correlation_floor", CrossCorrelation(self.cross_correlation_lags).distance),
            ("spectrum_floor", spectrum_distance),
            ("step_marginal_floor", marginal_distance),
        )
        found, reasons = [], []
        for name, distance in distances:
            try:
                value = distance(train, test).whole
            except ValueError as error:
                reasons.append(str(error))
                continue
            found.append(measured(name, value, n=len(train), n_reference=len(test), space=OF_DATA))
        if not found:
            raise NotApplicable(reasons[0])
        return found
