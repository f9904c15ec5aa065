"""Published scores of generated series under their own names; these scores do not detect copies of training data.

A sampler that returns training windows gets the scores of new real windows, which are the best possible: read the
scores together with `copy_shares`. They differ from the published code in that the real windows are test windows, on
which no model was trained, and that windows that share steps stay on one side of a split.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.core.arguments import AtLeast
from priorgap.core.catalogue import catalogued
from priorgap.core.measurement import OF_DATA, Measurement
from priorgap.core.measures import Measure
from priorgap.core.random import stream
from priorgap.data.splits import Split
from priorgap.estimators.published_series import (
    balanced_accuracy,
    marginal_distribution_difference,
    prediction_error,
    step_groups,
    unit_scale,
)
from priorgap.estimators.uncertainty import Estimate
from priorgap.features.recurrent import fit_predictor, fit_teller, predicted, said_first
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require
from priorgap.metrics.reference import Reference

_NEEDS = frozenset({"draw", "decode", "reference", "sequences"})
# One window in this many is held out to test the classifier.
_N_PARTS = 5


@dataclass(frozen=True)
class DiscriminativeScore:
    """`discriminative_score`: |accuracy - 1/2| of a GRU classifier between samples and test windows; 0 is best.

    Two layers, trained on four fifths of as many samples as test windows and tested on the rest. Copies of training
    windows score like new real windows. Near 0 the score is biased upwards by about its error.

    Attributes:
        n_hidden: units of each layer.
        n_steps: steps of training.
        n_most: the largest number of windows of each set.

    **Source**: `discriminative_metrics.py` of TimeGAN's code (Yoon et al., NeurIPS 2019), whose GRU has one layer of
    half as many units as channels, and whose split is random.
    """

    n_hidden: Annotated[int, AtLeast(1)]
    n_steps: Annotated[int, AtLeast(1)]
    n_most: Annotated[int, AtLeast(20)]
    name: ClassVar[str] = "discriminative_score"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("discriminative_score")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the score; n counts samples, n_reference test windows."""
        reference = _known(evidence)
        n = min(len(evidence.samples), len(reference.test), self.n_most)
        train, held, group = [], [], []
        sets = (evidence.samples, reference.test)
        for split, x in zip(sets, _scaled(sets, reference), strict=True):
            rows = torch.randperm(len(x), generator=generator)[:n].sort().values
            own = _groups(split)[rows]
            out = _held_out(own, generator=generator)
            train.append(x[rows[~out]])
            held.append(x[rows[out]])
            group.append(own[out])
        teller = fit_teller(*train, n_hidden=self.n_hidden, n_steps=self.n_steps, generator=generator)
        right = (said_first(teller, held[0]), ~said_first(teller, held[1]))
        accuracy = balanced_accuracy(right, (group[0], group[1]))
        found = Estimate(abs(accuracy.value - 0.5), accuracy.std_error)
        return [measured(self.name, found, n=n, n_reference=n, space=OF_DATA)]


@dataclass(frozen=True)
class PredictiveScore:
    """`predictive_score`: error of a GRU trained on samples that predicts test windows' next steps; low is good.

    The error is the mean absolute error over channels and steps, relative to the range of each channel in training
    windows. For comparison `predictive_real` is the error of the same network trained on as many training windows,
    and `predictive_persistence` that of repeating the last step: samples that teach nothing about time come near the
    latter or exceed it. Copies of training windows score like `predictive_real`, and so nearly do channels combined
    from different windows if each channel predicts its own next step.

    Attributes:
        n_hidden: units of each of two layers.
        n_steps: training steps of both networks.
        n_most: the largest number of training windows.

    **Source**: `predictive_metrics.py` of TimeGAN's code (Yoon et al., NeurIPS 2019), which predicts the last
    channel from the others with one layer, and tests on the windows that the generator was trained on.
    """

    n_hidden: Annotated[int, AtLeast(1)]
    n_steps: Annotated[int, AtLeast(1)]
    n_most: Annotated[int, AtLeast(20)]
    name: ClassVar[str] = "predictive_score"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued(
        "predictive_score", "predictive_real", "predictive_persistence"
    )
    needs: ClassVar[frozenset[str]] = _NEEDS

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return three rows; n counts training windows (for persistence, test windows), n_reference test windows."""
        reference = _known(evidence)
        made, train, test = _scaled((evidence.samples, reference.train, reference.test), reference)
        if test.shape[1] < 2:
            raise NotApplicable("windows of one step: expected at least two")
        n, m = min(len(made), len(train), self.n_most), len(test)
        group = step_groups(reference.test.floats())
        error = self._error(made[torch.randperm(len(made), generator=generator)[:n]], test, group)
        best = self._real(reference, train, test, group, n)
        persistence = prediction_error(test[:, :-1], test[:, 1:], group)
        return [
            measured("predictive_score", error, n=n, n_reference=m, space=OF_DATA),
            measured("predictive_real", best, n=n, n_reference=m, space=OF_DATA),
            measured("predictive_persistence", persistence, n=m, n_reference=m, space=OF_DATA),
        ]

    def _error(
        self, x: Float[Tensor, "n T f"], test: Float[Tensor, "m T f"], group: Int[Tensor, "m"] | None
    ) -> Estimate:
        # Networks trained on equally many windows start from the same weights and use the same order.
        generator = stream(0, "predictor", *x.shape)
        reader = fit_predictor(x, n_hidden=self.n_hidden, n_steps=self.n_steps, generator=generator)
        return prediction_error(predicted(reader, test), test[:, 1:], group)

    def _real(
        self,
        reference: Reference,
        train: Float[Tensor, "n T f"],
        test: Float[Tensor, "m T f"],
        group: Int[Tensor, "m"] | None,
        n: int,
    ) -> Estimate:
        """Return the error of a network trained on n training windows, cached with the reference for all samplers."""
        key = ("predictive_real", self.n_hidden, self.n_steps, n)
        kept: tuple[Tensor, Tensor, Estimate] | None = reference.memo.get(key)
        # The data are compared, because a copied reference with other data must not use the old value.
        if kept is None or kept[0] is not reference.train.x or kept[1] is not reference.test.x:
            rows = torch.randperm(len(train), generator=stream(0, "predictive_real", len(train)))[:n]
            found = self._error(train[rows], test, group)
            kept = reference.memo[key] = (reference.train.x, reference.test.x, found)
        return kept[2]


@dataclass(frozen=True)
class MarginalDistributionDifference:
    """`mdd`: mean absolute difference of histograms of samples and test windows at each step and channel; 0 is best.

    Values are relative to the range of each channel in training windows. The measure ignores the order in time and
    which channels belong together: windows with exchanged channels have the same value, and copies of training
    windows score like new real windows. Biased upwards by few windows; no standard error.

    Attributes:
        n_bins: the number of bins for each step and channel.

    **Source**: MDD of TSGBench's code (Ang et al., PVLDB 17(3), 2023), which leaves the first step out.
    """

    n_bins: Annotated[int, AtLeast(1)]
    name: ClassVar[str] = "mdd"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("mdd")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the difference; n counts samples, n_reference test windows."""
        reference = _known(evidence)
        made, test = _scaled((evidence.samples, reference.test), reference)
        try:
            found = marginal_distribution_difference(made, test, n_bins=self.n_bins)
        except ValueError as error:
            raise NotApplicable(str(error)) from error
        return [measured(self.name, found, n=len(made), n_reference=len(test), space=OF_DATA)]


def _known(evidence: Evidence) -> Reference:
    require(evidence, _NEEDS)
    if evidence.model.reference is None:
        raise NotApplicable("there are no reference data")
    return evidence.model.reference


def _scaled(parts: tuple[Split, ...], reference: Reference) -> list[Float[Tensor, "n T f"]]:
    try:
        return unit_scale(tuple(part.floats() for part in parts), reference.train.floats())
    except ValueError as error:
        raise NotApplicable(str(error)) from error


def _groups(windows: Split) -> Int[Tensor, "n"]:
    group = step_groups(windows.floats())
    if group is None:
        raise NotApplicable(f"{len(windows)} windows that share steps: too few for parts that share none")
    return group


def _held_out(group: Int[Tensor, "n"], *, generator: torch.Generator) -> Tensor:
    """Return which rows belong to a random fifth of the groups.

    Raises:
        NotApplicable: there are too few groups.
    """
    _, index = group.unique(return_inverse=True)
    n_groups = int(index.max()) + 1
    if n_groups < 2 * _N_PARTS:
        raise NotApplicable(f"{n_groups} independent windows: expected at least {2 * _N_PARTS}")
    out = torch.zeros(n_groups, dtype=torch.bool)
    out[torch.randperm(n_groups, generator=generator)[: n_groups // _N_PARTS]] = True
    return out[index]
