"""The decision for a study: one verdict per cell, and what they say together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd

from priorgap.core.catalogue import BUILTIN
from priorgap.core.measures import Catalogue, Measure, entry, united
from priorgap.verdict import readings as rd
from priorgap.verdict.decision import Verdict, decide_cell
from priorgap.verdict.labels import plain_name
from priorgap.verdict.sentences import study_lines


@dataclass(frozen=True)
class StudyVerdict:
    """The verdicts of a study's cells, and its paragraph in pieces (for the study, then for each cell)."""

    cells: list[Verdict]
    lines: list[str]

    @property
    def text(self) -> str:
        """The study's paragraph."""
        return " ".join(self.lines)

    @property
    def measure(self) -> Measure | None:
        """What ranks the candidates; None where no cell is finished."""
        return self.cells[0].measure if self.cells else None

    @property
    def space(self) -> str:
        """The feature space of the ranking; "" where there is none."""
        return self.cells[0].space if self.cells else ""

    @property
    def winner(self) -> str | None:
        """The winner that all cells name; None where they differ or one has none."""
        return _unanimous([cell.winner for cell in self.cells])

    @property
    def n_seeds(self) -> int:
        """The smallest number of models behind a cell's decision."""
        return min((cell.n_seeds for cell in self.cells), default=0)

    @property
    def provisional(self) -> bool:
        """Whether some cell's decision is, or there is none."""
        return any(cell.provisional for cell in self.cells) or not self.cells

    @property
    def disagree(self) -> list[str]:
        """The second opinions that contradict the ranking of some cell."""
        return sorted({name for cell in self.cells for name in cell.disagree})

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
                "measure": first.measure.name if first else None,
                "space": first.space if first else None,
                "winner": self.winner,
                "winner_clean": _unanimous([cell.winner_clean for cell in self.cells]),
                "effect": None,
                "interval": None,
                "n_seeds": self.n_seeds,
                "provisional": self.provisional,
                "labels": _union([cell.labels for cell in self.cells]),
                "disagree": self.disagree,
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
    costs: Mapping[str, str] | None = None,
    catalogue: Catalogue = BUILTIN,
) -> StudyVerdict:
    """Decide every cell of a study; a cell and its calibrated twin are decided together.

    Args:
        table: all rows of the study, with the columns of results.csv and one per varying key.
        measure: what ranks the candidates.
        space: the study's one declared feature space; None where the measure was made in one only.
        baseline: the candidate that effects are relative to.
        level: the family-wise level of the intervals, per cell.
        skipped: measure -> why it was not computed.
        costs: sampler -> what drawing from it takes, said of a winner.
        catalogue: the entries of all measures of the study.

    Returns:
        The cells' verdicts, in the order of their keys, and the paragraph.

    Raises:
        ValueError: as for `decide`.
    """
    table = rd.tidy(table)
    space = rd.one_space(table, measure, space)
    cells = [
        decide_cell(
            keys,
            group,
            measure=measure,
            space=space,
            baseline=baseline,
            level=level,
            skipped=skipped,
            costs=costs,
            catalogue=catalogue,
        )
        for keys, group in rd.cell_groups(table)
    ]
    return StudyVerdict(cells=cells, lines=study_lines(cells))


@dataclass(frozen=True)
class Recommendation:
    """What a stored verdict recommends, cell by cell.

    Attributes:
        measure: what ranked.
        space: the feature space; None where there is none.
        samplers: per cell the best candidate that neither reconstructs nor copies; None where there is none.
    """

    measure: Measure
    space: str | None
    samplers: tuple[str | None, ...]

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read it from what `StudyVerdict.to_json` returned.

        Raises:
            ValueError: the record is of an earlier version or damaged.
        """
        try:
            details = [cell["details"] for cell in record["cells"]]
            known = united(Measure.from_json(one["measure"]) for one in details)
            samplers = tuple(one["leader_clean"] for one in details)
            name, space = record["measure"], record["space"]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                "verdict.json: of an earlier version, or damaged; run the study again, and its report"
            ) from error
        if not details:
            raise ValueError("model_id=best: the study has no finished cell; name a model")
        if not all(one is None or isinstance(one, str) for one in samplers):
            raise ValueError("verdict.json: leader_clean is no name of a sampler")
        return cls(entry(known, str(name)), None if not space else str(space), samplers)


def pick_model(
    table: pd.DataFrame, recommended: Recommendation, *, sampler: str | None = None
) -> tuple[str, str]:
    """Return (model id, sampler) to generate from when nobody names one.

    The sampler is the given one or, cell by cell, the recommended: the winner, or where none is named the leader,
    among candidates that neither reconstruct nor copy. One that does is never taken unasked. The model is the one
    with that sampler's best value of the verdict's measure in the whole study.

    Args:
        table: the study's results.
        recommended: what its verdict recommends.
        sampler: a candidate's name; None for the verdict's.

    Raises:
        ValueError: no cell ranks its candidates, none of them is clean, or the sampler was not measured.
    """
    measure = recommended.measure
    options: list[tuple[float, str, str]] = []
    groups = [rd.with_calibrated_labels(group) for _, group in rd.cell_groups(table)]
    for clean, group in zip(recommended.samplers, groups, strict=True):
        name = sampler or clean
        rows = rd.select(group, measure.name, recommended.space)
        rows = rows[rd.text_column(rows, "sampler") == name]
        for model, value in zip(rows["model"], rows["value"], strict=True):
            options.append((-measure.sign * float(value), str(model), plain_name(str(name))))
    if not options and sampler is None and not any(recommended.samplers):
        raise ValueError(_nothing_clean(table, measure))
    if not options:
        wanted = f"sampler={sampler}" if sampler else "the verdict"
        raise ValueError(f"model_id=best: {wanted} has no {measure.name} in this study; name a model")
    _, model, name = min(options)
    return model, name


def _nothing_clean(table: pd.DataFrame, measure: Measure) -> str:
    if rd.select(table, measure.name).empty:
        return f"model_id=best: the verdict has no {measure.name} in this study; name a model"
    candidates = ", ".join(rd.candidates_of(table))
    return (
        "sampler: every candidate of this study reconstructs training images or copies them, and none is taken "
        f"unasked; expected sampler= with one of {candidates}"
    )
