"""The effect of the decode rule compared with that of the choice of z, in studies that measure draws and means."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from priorgap.verdict import readings as rd
from priorgap.verdict.contrasts import Contrast, contrasts
from priorgap.verdict.headline import interval_text, measure_name, number, spoken

if TYPE_CHECKING:
    from priorgap.verdict.decision import Verdict

DECODE, MEAN, DRAW = "decode", "mean", "draw"


def decode_lines(
    cells: "Sequence[Verdict]", groups: Sequence[tuple[Mapping[str, Any], pd.DataFrame]]
) -> list[str]:
    """Return a line for each two cells that differ only in the decode rule, with the effects of sampler and rule.

    Args:
        cells: the verdicts of a study.
        groups: the keys and rows of each, in the same order.
    """
    lines = []
    for mean, draw in _pairs([dict(keys) for keys, _ in groups]):
        if not (cells[mean].stopped or cells[draw].stopped):
            lines += _line(cells[mean], groups[mean][1], groups[draw][1])
    return lines


def _pairs(keys: Sequence[dict[str, Any]]) -> Iterator[tuple[int, int]]:
    """Yield pairs of indices of cells that differ only in the decode rule: mean, draw."""
    rest = [{key: value for key, value in own.items() if key != DECODE} for own in keys]
    for i, own in enumerate(keys):
        for j, other in enumerate(keys):
            if (own.get(DECODE), other.get(DECODE)) == (MEAN, DRAW) and rest[i] == rest[j]:
                yield i, j


def _line(cell: "Verdict", of_means: pd.DataFrame, of_draws: pd.DataFrame) -> list[str]:
    sampler = _beside_the_baseline(cell)
    if sampler is None:
        return []
    by_rule = {
        rule: rd.readings_of(rd.select(rows, cell.measure.name, cell.space or None), [sampler]).get(
            sampler, {}
        )
        for rule, rows in ((MEAN, of_means), (DRAW, of_draws))
    }
    if not set(by_rule[MEAN]) & set(by_rule[DRAW]):
        return []
    (rule,) = contrasts(
        by_rule, [(DRAW, MEAN)], scale=cell.scale, level=cell.level, one_model=cell.n_seeds == 1
    )
    place = {key: value for key, value in cell.keys.items() if key != DECODE}
    where = f"{rd.describe(place)}: " if place else ""
    name = measure_name(cell.measure, cell.space)
    text = f"With {spoken(sampler)}, draws of p(x|z) have {_effect(rule, name)} of the mean"
    of_z = next((c for c in cell.against_baseline if c.sampler == sampler), None)
    if of_z is None:
        return [f"{where}{text}."]
    text += f"; with the mean, {spoken(sampler)} has {_effect(of_z, name)} of {spoken(cell.baseline)}"
    return [f"{where}{text}. {_larger(rule, of_z)}."]


def _beside_the_baseline(cell: "Verdict") -> str | None:
    """Return the sampler that represents a choice of z: the recommended one, or the next if that is the baseline."""
    named = [cell.recommended, cell.leader_clean, *(summary.sampler for summary in cell.candidates)]
    return next((name for name in named if name is not None and name != cell.baseline), None)


def _effect(contrast: Contrast, name: str) -> str:
    """Return "1.5 times [1.2, 1.9] the FID", or "a coverage higher by 0.1 [0.05, 0.2] than that", to precede "of"."""
    if contrast.scale == "log":
        return f"{number(contrast.effect)} times {interval_text(contrast.interval)} the {name}"
    lower = contrast.effect < 0
    interval = contrast.interval
    if lower and interval is not None:
        interval = -interval[1], -interval[0]
    how = "lower" if lower else "higher"
    return f"a {name} {how} by {number(abs(contrast.effect))} {interval_text(interval)} than that"


def _larger(rule: Contrast, of_z: Contrast) -> str:
    if not (rule.shown or of_z.shown):
        return "Neither choice is shown to matter"
    if rule.shown and of_z.shown:
        sizes = [abs(math.log(c.effect)) if c.scale == "log" else abs(c.effect) for c in (rule, of_z)]
        return "Both matter, the " + ("decode rule" if sizes[0] > sizes[1] else "choice of z") + " more"
    return (
        "The decode rule matters; the choice of z is not shown to"
        if rule.shown
        else ("The choice of z matters; the decode rule is not shown to")
    )
