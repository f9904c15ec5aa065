"""Health: findings from a model's measurements on whether it can be judged, made before anything is ranked.

A finding with severity `stop` means that no sampler can be recommended; its sentence says what to do first. `warn`
accompanies a recommendation, and `note` is for readers of the details. The limits are in conf/, `verdict.health`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import get_args

import pandas as pd

from priorgap.core.findings import Finding, Severity
from priorgap.core.verdict_rules import HealthLimits
from priorgap.verdict import readings as rd
from priorgap.verdict.model_findings import (
    DECODER,
    EMPTY_LATENT,
    EXPLODED,
    MEANS,
    MOMENTS,
    NOT_CONVERGED,
    RECONSTRUCTION,
    TOO_FEW_ROWS,
    UNUSED,
    ModelRows,
    computed_findings,
)

_ORDER = {severity: place for place, severity in enumerate(get_args(Severity))}


# Findings that another finding causes; they are listed below it and are not faults of their own.
CONSEQUENCES: Mapping[str, frozenset[str]] = {
    EXPLODED: frozenset({EMPTY_LATENT, RECONSTRUCTION, DECODER, MEANS, NOT_CONVERGED, MOMENTS, UNUSED}),
    EMPTY_LATENT: frozenset({RECONSTRUCTION, DECODER, MEANS, NOT_CONVERGED, MOMENTS, UNUSED}),
    RECONSTRUCTION: frozenset({DECODER, MEANS, NOT_CONVERGED, MOMENTS, UNUSED}),
    DECODER: frozenset({NOT_CONVERGED, MOMENTS}),
    TOO_FEW_ROWS: frozenset({DECODER, MEANS}),
}
# The findings that are computed from measurements, causes before their consequences.
COMPUTED = (
    TOO_FEW_ROWS,
    EXPLODED,
    EMPTY_LATENT,
    RECONSTRUCTION,
    DECODER,
    MEANS,
    NOT_CONVERGED,
    MOMENTS,
    UNUSED,
)
# The findings that a wrongly connected model may cause.
_OF_ANY = frozenset(COMPUTED) - {TOO_FEW_ROWS}


def is_stop(findings: Sequence[Finding]) -> bool:
    """Return whether one of the findings forbids a recommendation."""
    return any(finding.severity == "stop" for finding in findings)


def in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return findings in the order in which they are stated: the gravest first, a cause before its consequences.

    Findings from outside (checks of the model's own functions) come before findings from measurements: a wrongly
    connected model explains bad numbers, but not the reverse. Findings that a stop explains are marked as following
    from it.
    """
    known = {name: place for place, name in enumerate(COMPUTED)}
    ranked = sorted(findings, key=lambda f: (_ORDER[f.severity], known.get(f.name, -1)))
    cause = next((f for f in ranked if f.severity == "stop"), None)
    if cause is None:
        return tuple(ranked)
    explained = CONSEQUENCES.get(cause.name, _OF_ANY)
    marked = [replace(f, follows=cause.name) if f is not cause and f.name in explained else f for f in ranked]
    return tuple(sorted(marked, key=lambda f: (_ORDER[f.severity], bool(f.follows))))


def findings_of(
    group: pd.DataFrame,
    limits: HealthLimits,
    *,
    space: str,
    baseline: str,
    matches: bool | None = None,
    given: Sequence[Finding] = (),
) -> tuple[Finding, ...]:
    """Return the findings on the models of one cell.

    Args:
        group: the cell's rows of results.csv.
        limits: the limits of a healthy model.
        space: the feature space of the ranking.
        baseline: the sampler that all others are compared with.
        matches: whether training to convergence would bring the means and variances of q(z) to the prior's: an
            affine head and first layer, no weight decay and no constraint on their norm. None: not known.
        given: findings from earlier checks of the model's functions or of the data.

    Returns:
        Findings, the gravest first. Quantities that were not measured give no findings.
    """
    model = ModelRows(group[rd.text_column(group, "sampler") == ""], group, space, baseline)
    known = {finding.name for finding in given}
    own = computed_findings(model, limits, matches=matches)
    return in_order([*given, *(finding for finding in own if finding.name not in known)])


def unmatched_seeds(group: pd.DataFrame, limits: HealthLimits) -> list[int] | None:
    """Return the seeds whose means and variances are not matched; None where these were not measured."""
    own = group[~rd.is_calibrated(group)] if len(group) else group
    by_seed = rd.readings_of(rd.select(own, "kl_diag_train"), [""]).get("")
    if by_seed is None:
        return None
    return sorted(seed for seed, reading in by_seed.items() if reading.value > limits.moments)


def sentences_of(findings: Sequence[Finding], severities: Sequence[Severity]) -> Iterator[str]:
    """Yield the sentences of findings with these severities, in order; consequences are marked as such."""
    for finding in findings:
        if finding.severity in severities:
            tail = f" (follows from {finding.follows.replace('_', ' ')})" if finding.follows else ""
            yield finding.sentence[:-1] + tail + "." if tail else finding.sentence
