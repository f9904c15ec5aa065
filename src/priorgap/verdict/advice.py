"""Advice: which sampler to use, and whether the baseline (the prior) suffices."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from priorgap.core.measures import Measure
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.verdict.contrasts import Contrast
from priorgap.verdict.family import Family
from priorgap.verdict.labels import NOT_CLEAN

Kind = Literal["replace", "keep", "keep_for_now", "open", "use", "none"]


@dataclass(frozen=True)
class Advice:
    """The advice for one cell.

    Attributes:
        kind: replace (the baseline is shown to be worse than the recommended sampler), keep (no other usable sampler
            is better by the smallest difference that counts), keep_for_now (nothing else is shown to be better), open
            (the recommended sampler has the better mean, but is not shown to be better), use (there is no baseline to
            compare with), none (no sampler may be recommended).
        recommended: the sampler to use; None where there is none.
        best_set: the candidates that are not shown to be worse than the leader, best mean first.
        against: the recommended sampler (for `keep`, the best other one) against the baseline; None without one.
        ties: the other candidates, without the baseline, that are not shown to differ from the recommended one.
        barred: the samplers that are shown to be better than the recommended one, but may not be used.
    """

    kind: Kind
    recommended: str | None
    best_set: tuple[str, ...]
    against: Contrast | None = None
    ties: tuple[str, ...] = ()
    barred: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        against = None if self.against is None else self.against.to_json()
        listed = {name: list(getattr(self, name)) for name in ("best_set", "ties", "barred")}
        return {"kind": self.kind, "recommended": self.recommended, "against": against, **listed}


def counts(contrast: Contrast, smallest_ratio: float) -> bool:
    """Return whether a difference is shown and, on the log scale, at least the smallest ratio that counts."""
    if not contrast.shown:
        return False
    return contrast.scale != "log" or abs(math.log(contrast.effect)) >= math.log(smallest_ratio)


def is_eligible(sampler: str, facts: Mapping[str, SamplerFacts], labels: Mapping[str, Sequence[str]]) -> bool:
    """Return whether a sampler may be recommended: it neither reconstructs, nor copies, nor needs training data."""
    own = facts[sampler]
    return not (own.reconstructs or own.needs_training_data or NOT_CLEAN & set(labels.get(sampler, ())))


def advise(
    order: Sequence[str],
    family: Family,
    facts: Mapping[str, SamplerFacts],
    labels: Mapping[str, Sequence[str]],
    *,
    measure: Measure,
    baseline: str,
    smallest_ratio: float,
) -> Advice:
    """Return what to do in one cell.

    Args:
        order: the candidates from best to worst mean.
        family: their differences.
        facts: the facts that they state about themselves.
        labels: the labels that were found for them.
        measure: the measure that ranks them.
        baseline: the sampler that all others are compared with.
        smallest_ratio: the smallest ratio that counts as a difference.
    """

    def worse(one: str, other: str) -> bool:
        """Return whether `one` is shown to be worse than `other` by a difference that counts; its mean is worse."""
        return counts(family.contrast(one, other), smallest_ratio)

    best = (order[0], *(name for name in order[1:] if not worse(name, order[0])))
    eligible = [name for name in order if is_eligible(name, facts, labels)]
    if not eligible:
        return Advice("none", None, best)
    first = eligible[0]
    kind: Kind = "use"
    against = None
    if baseline in order:
        kind, first, against = _beside_baseline(eligible, family, measure, baseline, smallest_ratio)
    above = order[: order.index(first)]
    ties = tuple(n for n in order if n not in (first, baseline) and not worse(n, first))
    # Samplers with a better mean that are shown to be better, but may not be recommended.
    barred = tuple(name for name in above if worse(name, first) and name not in eligible)
    return Advice(kind, first, best, against, ties, barred)


def _beside_baseline(
    eligible: Sequence[str], family: Family, measure: Measure, baseline: str, smallest_ratio: float
) -> tuple[Kind, str, Contrast | None]:
    """Return (kind, recommended, the contrast behind it), for a baseline among the candidates."""
    first = eligible[0]
    others = [family.contrast(name, baseline) for name in eligible if name != baseline]
    if first != baseline:
        contrast = family.contrast(first, baseline)
        better = (
            measure.sign * (math.log(contrast.effect) if contrast.scale == "log" else contrast.effect) > 0
        )
        if baseline not in eligible:
            return ("replace" if better and counts(contrast, smallest_ratio) else "use"), first, contrast
        if counts(contrast, smallest_ratio):
            return "replace", first, contrast
        if contrast.shown or _none_better(others, measure, smallest_ratio):
            return "keep", baseline, contrast
        return "open", first, contrast
    if not others:
        return "keep_for_now", baseline, None
    kept: Kind = "keep" if _none_better(others, measure, smallest_ratio) else "keep_for_now"
    return kept, baseline, others[0]


def _none_better(others: Sequence[Contrast], measure: Measure, smallest_ratio: float) -> bool:
    """Return whether the intervals exclude that another sampler beats the baseline by a difference that counts."""
    for contrast in others:
        if contrast.interval is None or contrast.scale != "log":
            return False
        low, high = contrast.interval
        if (low < 1 / smallest_ratio) if measure.sign < 0 else (high > smallest_ratio):
            return False
    return True
