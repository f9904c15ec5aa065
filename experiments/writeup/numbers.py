"""Numbers in sentences: what `[0.24][gmm]` shows, of what its definition asks."""

import math
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np

from priorgap.core.measures import Scale
from priorgap.report.tables import mean_and_spread
from priorgap.verdict import readings as rd
from priorgap.verdict.contrasts import Contrast
from priorgap.verdict.headline import interval_text
from priorgap.verdict.headline import number as three_digits
from writeup.published import Published
from writeup.query import EvidenceError, Query

NOT_YET = "not measured yet"
_HOUR = 3600


def number(query: Query, study: Published) -> str:
    """Return what stands in a sentence: a number, with its interval where the definition says so.

    Raises:
        EvidenceError: it was not measured, though the study is published.
    """
    if not study.final:
        return NOT_YET
    if query.kind in ("headline", "sure"):
        return str((study.verdict or {})[query.kind]).rstrip(".")
    if query.kind == "took":
        return took(study)
    if query.kind == "verdict":
        return _decided(query, study)
    if query.kind == "mean":
        return _over(query, study, _mean)
    return _over(query, study, _contrast)


def signed(text: str) -> str:
    """Return a number with a minus as it is printed."""
    return text.replace("-", "−")


def effect(contrast: Contrast, *, interval: bool) -> str:
    """Return "0.24 [0.19, 0.31]", or the effect alone."""
    shown = signed(three_digits(contrast.effect))
    return f"{shown} {signed(interval_text(contrast.interval))}" if interval else shown


def took(study: Published) -> str:
    """Return "0.57 CPU-hours", or that it was not recorded."""
    seconds = cpu_seconds(study)
    return "not recorded" if seconds is None else f"{three_digits(seconds / _HOUR)} CPU-hours"


def cpu_seconds(study: Published) -> float | None:
    """Return the processor time of a study's results; None where some of them do not say it."""
    found = (study.provenance or {}).get("took")
    if not found or found["without_cpu_seconds"]:
        return None
    return float(found["cpu_seconds"])


def combinations(query: Query, study: Published, measure: Any) -> list[dict[str, tuple[str, ...]]]:
    """Return what the factors of `by` choose, each combination that has rows of the measure."""
    # a factor of one side's brackets may be missing in the other: rows of any sampler say which values there are
    known = study.rows(measure, query.where, query.file)
    choices = [query.where.get(factor) or study.values_of(known, factor) for factor in query.by]
    found = []
    for values in product(*choices):
        chosen = {factor: (value,) for factor, value in zip(query.by, values, strict=True)}
        keep = np.ones(len(known), dtype=bool)
        for factor, (value,) in chosen.items():
            keep &= (rd.text_column(known, factor) == value).to_numpy(dtype=bool)
        if np.any(keep):
            found.append({**query.where, **chosen})
    return found


Evaluated = tuple[float, str]


def _over(
    query: Query, study: Published, one: Callable[[Query, Published, Mapping[str, Any]], Evaluated]
) -> str:
    """Return one number, or "0.16 to 0.53" over the factors of `by`."""
    measure = query.names[-1] if query.names else None
    if measure is None:
        raise EvidenceError(f"{query.kind}: expected a measure")
    if not query.by:
        return one(query, study, query.where)[1]
    found = sorted({one(query, study, where) for where in combinations(query, study, measure)})
    if not found:
        raise EvidenceError(f"{study.id}: by {', '.join(query.by)}: no {measure.name}")
    if len(found) == 1:
        return found[0][1]
    return f"{found[0][1]} to {found[-1][1]}"


def _mean(query: Query, study: Published, where: Mapping[str, Any]) -> Evaluated:
    if len(query.names) != 2:
        raise EvidenceError("mean: expected a sampler (or model) and a measure")
    sampler, measure = query.names
    values = [r.value for r in study.by_seed(sampler, measure, where, query.file).values()]
    mean = math.fsum(values) / len(values)
    if "percent" in query.shown:
        return mean, f"{signed(three_digits(100 * mean))} %"
    return mean, signed(mean_and_spread(values) if "spread" in query.shown else three_digits(mean))


def _decided(query: Query, study: Published) -> str:
    """Return what the verdict says of two samplers of a cell; its interval holds together with all others."""
    ((first, second),) = query.pairs
    keys = {key: ",".join(values) for key, values in query.where.items()}
    for cell in (study.verdict or {})["cells"]:
        details = cell["details"]
        if keys != {key: str(value) for key, value in details["keys"].items()}:
            continue
        for one in (*details["against_baseline"], *details["against_leader"]):
            if (one["sampler"], one["against"]) == (first.name, second.name):
                shown = signed(three_digits(one["effect"]))
                return (
                    f"{shown} {signed(interval_text(one['interval']))}"
                    if "interval" in query.shown
                    else shown
                )
    raise EvidenceError(
        f"{study.id}: the verdict does not compare {first.name} with {second.name} where {keys}"
    )


def _contrast(query: Query, study: Published, where: Mapping[str, Any]) -> Evaluated:
    if len(query.pairs) != 1 or len(query.names) != 1:
        raise EvidenceError(f"{query.kind}: expected one pair and one measure in a sentence")
    scale: Scale = "log" if query.kind == "ratio" else "identity"
    found = study.contrast(query.pairs[0], query.names[0], where, scale=scale, file=query.file)
    return found.effect, effect(found, interval="interval" in query.shown)
