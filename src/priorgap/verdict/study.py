"""The decision for a study: one verdict for each cell, and their common conclusion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd

from priorgap.core.catalogue import BUILTIN
from priorgap.core.findings import Finding, stop_sentence
from priorgap.core.measures import Catalogue, Measure, entry, united
from priorgap.core.verdict_rules import HealthLimits
from priorgap.verdict import readings as rd
from priorgap.verdict.decision import Asked, Verdict, decide_cell
from priorgap.verdict.decode_rules import decode_lines
from priorgap.verdict.headline import study_headline, study_sure
from priorgap.verdict.health import in_order
from priorgap.verdict.labels import plain_name
from priorgap.verdict.study_sentences import study_lines


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
    def headline(self) -> str:
        """What to do."""
        if len(self.cells) == 1:
            return self.cells[0].headline
        return study_headline(self.cells) if self.cells else self.text

    @property
    def sure(self) -> str:
        """How sure that is."""
        return self.cells[0].sure if len(self.cells) == 1 else study_sure(self.cells)

    @property
    def details(self) -> tuple[str, ...]:
        """The sentences with the evidence: those of the only cell, or a line for each cell."""
        return self.cells[0].details if len(self.cells) == 1 else tuple(self.lines[1:])

    @property
    def health(self) -> tuple[Finding, ...]:
        """The findings of all cells, each once, the gravest first."""
        return in_order(list(dict.fromkeys(finding for cell in self.cells for finding in cell.health)))

    @property
    def tiers(self) -> list[str]:
        """What to do, how sure that is, and the details, as lines for a terminal."""
        lines = [f"Do this: {self.headline}"]
        lines += [f"How sure: {self.sure}"] if self.sure else []
        lines += ["Details:", *(f"  {line}" for line in self.details)] if self.details else []
        return lines

    @property
    def stopped(self) -> bool:
        """Whether health forbids a recommendation in every cell."""
        return bool(self.cells) and all(cell.stopped for cell in self.cells)

    @property
    def recommended(self) -> str | None:
        """The sampler that all cells recommend; None where they differ or one recommends none."""
        return _unanimous([cell.recommended for cell in self.cells])

    @property
    def measure(self) -> Measure | None:
        """The measure that ranks the candidates; None where no cell is finished."""
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
        """Whether any cell's decision is provisional, or there is none."""
        return any(cell.provisional for cell in self.cells) or not self.cells

    @property
    def disagree(self) -> list[str]:
        """The second opinions that contradict the ranking of any cell."""
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
                "headline": self.headline,
                "sure": self.sure,
                "recommended": self.recommended,
                "best_set": _common([cell.best_set for cell in self.cells]),
                "health": [finding.to_json() for finding in self.health],
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


def _common(sets: Sequence[Sequence[str] | None]) -> list[str] | None:
    """Return the best set that all cells share; None where they differ or one has none."""
    known = [sorted(one) for one in sets if one is not None]
    alike = len(known) == len(sets) and known and all(one == known[0] for one in known)
    return known[0] if alike else None


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
    smallest_ratio: float | None = None,
    limits: HealthLimits | None = None,
    findings: Sequence[Finding] = (),
    matches: Mapping[str, bool] | None = None,
    skipped: Mapping[str, str] | None = None,
    costs: Mapping[str, str] | None = None,
    redrawn: bool = False,
    catalogue: Catalogue = BUILTIN,
) -> StudyVerdict:
    """Decide every cell of a study; a cell and its calibrated twin are decided together.

    Args:
        table: all rows of the study, with the columns of results.csv and one per varying key.
        measure: the measure that ranks the candidates.
        space: the study's one declared feature space; None where there is only one. A measure of the
            data themselves (an accuracy, a distance of series) is ranked whatever the space.
        baseline: the candidate that effects are relative to.
        level: the level at which all intervals of the study hold together.
        smallest_ratio: the smallest ratio that counts as a difference; None for that of conf/config.yaml.
        limits: the limits of a healthy model; None for those of conf/config.yaml.
        findings: findings from earlier checks of the models' functions or of the data.
        matches: maps cells to whether training to convergence would match means and variances (`health.findings_of`).
        skipped: maps measures to the reason why they were not computed.
        costs: maps samplers to the cost of drawing from them, which is stated for a winner.
        redrawn: whether each seed has a split of the data of its own.
        catalogue: the entries of all measures of the study.

    Returns:
        The cells' verdicts, in the order of their keys, and the paragraph.

    Raises:
        ValueError: as for `decide`.
    """
    table = rd.tidy(table)
    groups = list(rd.cell_groups(table))
    if not groups and findings:
        # Nothing was measured, and the findings say why.
        groups = [({}, table)]
    asked = Asked.of(
        measure=measure, space=rd.one_space(table, measure, space), baseline=baseline, level=level,
        smallest_ratio=smallest_ratio, limits=limits, findings=findings, skipped=skipped, costs=costs,
        catalogue=catalogue, n_cells=max(1, len(groups)), redrawn=redrawn, features=space,
    )  # fmt: skip
    cells = [
        decide_cell(keys, group, asked, matches=_matches(group, matches or {})) for keys, group in groups
    ]
    return StudyVerdict(cells=cells, lines=[*study_lines(cells), *decode_lines(cells, groups)])


def _matches(group: pd.DataFrame, known: Mapping[str, bool]) -> bool | None:
    found = {known.get(cell) for cell in rd.text_column(group, "cell")}
    return found.pop() if len(found) == 1 else None


@dataclass(frozen=True)
class Recommendation:
    """The recommendations in a stored verdict, cell by cell.

    Attributes:
        measure: the measure that ranked.
        space: the feature space; None where there is none.
        samplers: for each cell the recommended sampler, or None.
        findings: for each cell the findings of health, the gravest first.
        headline: what to do, in a sentence.
    """

    measure: Measure
    space: str | None
    samplers: tuple[str | None, ...]
    findings: tuple[tuple[Finding, ...], ...]
    headline: str = ""

    @property
    def stops(self) -> tuple[str, ...]:
        """For each cell the sentence of health that forbids a recommendation; "" where there is none."""
        return tuple(stop_sentence(cell) for cell in self.findings)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read the recommendation from the result of `StudyVerdict.to_json`.

        Raises:
            ValueError: the record is of an earlier version or damaged.
        """
        try:
            details = [cell["details"] for cell in record["cells"]]
            known = united(Measure.from_json(one["measure"]) for one in details)
            samplers = tuple(cell["recommended"] for cell in record["cells"])
            findings = tuple(
                tuple(Finding.from_json(one) for one in cell["health"]) for cell in record["cells"]
            )
            name, space, headline = record["measure"], record["space"], str(record["headline"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                "verdict.json: of an earlier version, or damaged; run the study again, and its report"
            ) from error
        if not details:
            raise ValueError("model_id=best: the study has no finished cell; name model_id= and sampler=")
        if not all(one is None or isinstance(one, str) for one in samplers):
            raise ValueError("verdict.json: recommended is no name of a sampler")
        return cls(entry(known, str(name)), None if not space else str(space), samplers, findings, headline)


def pick_model(
    table: pd.DataFrame, recommended: Recommendation, *, sampler: str | None = None
) -> tuple[str, str]:
    """Return the (model id, sampler) from which data are generated by default.

    The sampler is the given one or, cell by cell, the recommended one. A sampler that reconstructs, copies or needs
    the training data is never chosen by default, and no model is taken from a cell where health says stop. The model
    is the one with that sampler's best value of the verdict's measure in the whole study.

    Args:
        table: the study's results.
        recommended: the recommendation of its verdict.
        sampler: a candidate's name; None for the recommended one.

    Raises:
        ValueError: no model is healthy, no cell ranks its candidates, none of them may be taken, or the sampler was
            not measured.
    """
    measure = recommended.measure
    options: list[tuple[float, str, str]] = []
    groups = [rd.with_calibrated_labels(group) for _, group in rd.cell_groups(table)]
    if recommended.stops and all(recommended.stops):
        raise ValueError(
            f"model_id=best: {recommended.stops[0]} To draw all the same, name model_id= and sampler="
        )
    for own, stop, group in zip(recommended.samplers, recommended.stops, groups, strict=True):
        if stop:
            continue
        name = sampler or own
        rows = rd.select(group, measure.name, recommended.space)
        rows = rows[rd.text_column(rows, "sampler") == name]
        for model, value in zip(rows["model"], rows["value"], strict=True):
            options.append((-measure.sign * float(value), str(model), plain_name(str(name))))
    if not options and sampler is None and not any(recommended.samplers):
        raise ValueError(_nothing_clean(table, measure))
    if not options:
        raise ValueError(_nothing_ranked(groups, measure, sampler))
    _, model, name = min(options)
    return model, name


def health_of(table: pd.DataFrame, recommended: Recommendation, model: str) -> tuple[Finding, ...]:
    """Return the findings of health on a model's cell.

    Args:
        table: the study's results.
        recommended: the recommendation of its verdict.
        model: the model's id.
    """
    for (_, group), found in zip(rd.cell_groups(table), recommended.findings, strict=True):
        if model in set(rd.text_column(group, "model")):
            return found
    return ()


def _nothing_ranked(groups: Sequence[pd.DataFrame], measure: Measure, sampler: str | None) -> str:
    known = sorted({name for group in groups for name in rd.text_column(group, "sampler")} - {""})
    if sampler is not None and sampler not in known:
        names = ", ".join(known)
        return (
            f"sampler={sampler}: not in this study; expected one of {names}, or run the study with it first"
        )
    wanted = f"sampler={sampler}" if sampler else "the verdict"
    return f"model_id=best: {wanted} has no {measure.name} in this study; name model_id= and sampler="


def _nothing_clean(table: pd.DataFrame, measure: Measure) -> str:
    if rd.select(table, measure.name).empty:
        return f"model_id=best: the verdict has no {measure.name} in this study; name model_id= and sampler="
    candidates = ", ".join(rd.candidates_of(table))
    return (
        "sampler: every candidate of this study reconstructs training images, copies them or needs them, and none is "
        f"taken unasked; expected sampler= with one of {candidates}"
    )
