"""The decision for a study: one verdict per cell, and what they say together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from priorgap.verdict import readings as rd
from priorgap.verdict.decision import Verdict, decide
from priorgap.verdict.labels import plain_name
from priorgap.verdict.words import study_lines


@dataclass(frozen=True)
class StudyVerdict:
    """The verdicts of a study's cells, and its paragraph in pieces (for the study, then for each cell)."""

    cells: list[Verdict]
    lines: list[str]

    @property
    def text(self) -> str:
        """The study's paragraph."""
        return " ".join(self.lines)

    def to_json(self) -> dict[str, Any]:
        """Return the keys of a verdict for the whole study, with every cell's under `cells`.

        With one cell these are the cell's own. With several: a winner that all cells name, else None; no
        effect; the smallest number of seeds; the union of the labels and of the disagreements. `lines` is the
        paragraph in pieces: what holds for the study, then one piece per cell.
        """
        if len(self.cells) == 1:
            record = self.cells[0].to_json()
        else:
            first = self.cells[0] if self.cells else None
            record = {
                "measure": first.measure if first else None,
                "space": first.space if first else None,
                "winner": _unanimous([cell.winner for cell in self.cells]),
                "winner_clean": _unanimous([cell.winner_clean for cell in self.cells]),
                "effect": None,
                "interval": None,
                "n_seeds": min((cell.n_seeds for cell in self.cells), default=0),
                "provisional": any(cell.provisional for cell in self.cells) or not self.cells,
                "labels": _union([cell.labels for cell in self.cells]),
                "disagree": sorted({name for cell in self.cells for name in cell.disagree}),
                "text": self.text,
                "planning": None,
            }
        return {**record, "lines": list(self.lines), "cells": [cell.to_json() for cell in self.cells]}


def _unanimous(names: list[str | None]) -> str | None:
    return names[0] if names and len(set(names)) == 1 else None


def _union(labels: list[dict[str, list[str]]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for of_cell in labels:
        for name, values in of_cell.items():
            known = found.setdefault(name, [])
            known.extend(value for value in values if value not in known)
    return found


def decide_study(
    table: pd.DataFrame,
    *,
    measure: str = "fid",
    space: str | None = None,
    baseline: str = "prior",
    level: float = 0.95,
    skipped: Mapping[str, str] | None = None,
) -> StudyVerdict:
    """Decide every cell of a study; a cell and its calibrated twin are decided together.

    Args:
        table: all rows of the study, with the columns of results.csv and one per varying key.
        measure: what ranks the candidates.
        space: the study's one declared feature space; None where the measure was made in one only.
        baseline: the candidate that effects are relative to.
        level: the family-wise level of the intervals, per cell.
        skipped: measure -> why it was not computed.

    Returns:
        The cells' verdicts, in the order of their keys, and the paragraph.

    Raises:
        ValueError: as for `decide`.
    """
    table = rd.tidy(table)
    space = rd.one_space(table, measure, space)
    cells = [
        decide(group, measure=measure, space=space, baseline=baseline, level=level, skipped=skipped)
        for _, group in rd.cell_groups(table)
    ]
    return StudyVerdict(cells=cells, lines=study_lines(cells))


def pick_model(
    table: pd.DataFrame, verdict: Mapping[str, Any], *, sampler: str | None = None
) -> tuple[str, str]:
    """Return (model id, sampler) to generate from when nobody names one.

    The sampler is the given one or the verdict's: per cell the winner, or where none is named the leader,
    among candidates that are neither reconstructive nor copies (all candidates, where none is). The model is
    the one with that sampler's best value of the verdict's measure in the whole study.

    Args:
        table: the study's results.
        verdict: what `StudyVerdict.to_json` returned.
        sampler: a candidate's name; None for the verdict's.

    Raises:
        ValueError: no cell ranks its candidates, or the sampler was not measured.
    """
    measure, space = str(verdict["measure"]), verdict["space"] or None
    options: list[tuple[float, str, str]] = []
    groups = [rd.with_calibrated_labels(group) for _, group in rd.cell_groups(table)]
    for cell, group in zip(verdict["cells"], groups, strict=True):
        details = cell["details"]
        name = sampler or details["leader_clean"] or details["leader"]
        rows = rd.select(group, measure, space)
        rows = rows[rd.text_column(rows, "sampler") == name]
        for model, value in zip(rows["model"], rows["value"], strict=True):
            options.append((-rd.sign_of(measure) * float(value), str(model), plain_name(str(name))))
    if not options:
        wanted = f"sampler={sampler}" if sampler else "the verdict"
        raise ValueError(f"model_id=best: {wanted} has no {measure} in this study; name a model")
    _, model, name = min(options)
    return model, name
