"""The tables of a report: numbers of the results table as text, mean ± s.d. over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from priorgap.verdict import readings as rd
from priorgap.verdict.labels import NULL_UNKNOWN
from priorgap.verdict.units import is_unit_swap
from priorgap.verdict.words import number, plus_minus

QUALITY = ("fid", "kid", "precision", "recall", "density", "coverage")
BALANCE = "class_balance"
COPYING = ("near_copy_excess", "train_share", "memorisation_auc", "source_auc")
ACCURACY = ("accuracy_real_to_synthetic", "accuracy_synthetic_to_real")
CEILING = "accuracy_real_to_real"
FLOORS = {
    "fid_floor": "FID of real images against real images",
    "fid_reconstruction": "FID of reconstructions",
    "fid_null_bias": "FID expected from the sample sizes alone",
}
LATENT = (
    "rate",
    "active_units_var",
    "active_units_rate",
    "marginal_kl",
    "kl_diag",
    "kl_diag_train",
    "kl_corr",
    "kl_train_mixture",
    "hole_mass",
    "kl_prior_to_fit",
    "effective_share",
    "mmd2",
    "sliced_w2",
    "radius_ks",
    "elbo",
    "amortisation_gap",
    "distortion",
    "distortion_sse",
)
TITLES = {
    "fid": "FID ↓",
    "kid": "KID ↓",
    "precision": "precision ↑",
    "recall": "recall ↑",
    "density": "density ↑",
    "coverage": "coverage ↑",
    BALANCE: "class imbalance ↓",
    "near_copy_excess": "near-copy excess (0)",
    "train_share": "train share (½)",
    "memorisation_auc": "memorisation AUC (½)",
    "source_auc": "source AUC",
    "accuracy_real_to_synthetic": "real→synthetic",
    "accuracy_synthetic_to_real": "synthetic→real",
    "rate": "rate R, nat",
    "active_units_var": "active units (variance)",
    "active_units_rate": "active units (rate)",
    "marginal_kl": "mismatch of the marginals, summed, nat",
    "kl_diag": "mismatch: diagonal moments, nat",
    "kl_diag_train": "the same on training images (converged below 0.05)",
    "kl_corr": "mismatch: correlation, nat",
    "kl_train_mixture": "mixture over training posteriors (a description), nat",
    "hole_mass": "prior mass in holes, H(1 %) (0.01)",
    "kl_prior_to_fit": "KL(p‖f) of the fitted density, nat",
    "effective_share": "effective sample size of f/p, share (1; an upper reading)",
    "mmd2": "squared MMD (0)",
    "sliced_w2": "sliced W2² minus its null (0)",
    "radius_ks": "radius against χ², minus its null (0)",
    "elbo": "ELBO, nat",
    "amortisation_gap": "amortisation gap, nat",
    "distortion": "distortion, nat",
    "distortion_sse": "squared error",
}
_ROLE_ORDER = {"candidate": 0, "control": 1, "specimen": 2}
_ABSENT = "–"


@dataclass(frozen=True)
class TextTable:
    """A table of strings: a heading, a header, rows whose first entry names them, and notes below."""

    heading: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Cell:
    """One group of models as the report shows it: its name, its rows, its part of the verdict."""

    name: str
    rows: pd.DataFrame
    verdict: Mapping[str, Any] | None

    @property
    def samplers(self) -> list[str]:
        """Names of the samplers: candidates in the verdict's order, then controls, then specimens."""
        names = rd.text_column(self.rows, "sampler")
        roles = rd.text_column(self.rows, "role")
        role = dict(zip(names, roles, strict=True))
        ranked = [c["sampler"] for c in self.verdict["details"]["candidates"]] if self.verdict else []
        rank = {name: place for place, name in enumerate(ranked)}
        return sorted(
            (name for name in role if name),
            key=lambda name: (_ROLE_ORDER.get(role[name], 3), rank.get(name, len(rank)), name),
        )

    def marks(self, sampler: str) -> list[str]:
        """Return what is said of a sampler beside its name: winner, role, labels."""
        names = rd.text_column(self.rows, "sampler")
        roles = set(rd.text_column(self.rows, "role")[names == sampler])
        found: list[str] = [role for role in ("control", "specimen") if role in roles]
        if self.verdict is not None:
            found = ["winner"] * (self.verdict["winner"] == sampler) + found
            found += self.verdict["labels"].get(sampler, [])
        return found


def cells_of(table: pd.DataFrame, verdict: Mapping[str, Any]) -> list[Cell]:
    """Return the study's cells, each with its verdict."""
    by_keys = {rd.describe(cell["details"]["keys"]): cell for cell in verdict.get("cells", [])}
    found = []
    for keys, group in rd.cell_groups(table):
        name = rd.describe(keys)
        found.append(Cell(name or "all models", rd.with_calibrated_labels(group), by_keys.get(name)))
    return found


def mean_and_spread(values: Sequence[float], std_errors: Sequence[float | None] = ()) -> str:
    """Return "12.3 ± 0.4", mean and s.d. over seeds; with one value, the value ± its standard error."""
    if not len(values):
        return _ABSENT
    mean = float(np.mean(values))
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    if spread > 1e-9 * abs(mean):  # a constant over seeds (a floor, a sample size) has no spread to show
        return plus_minus(mean, spread)
    error = std_errors[0] if len(values) == 1 and std_errors else None
    return number(mean) if error is None else f"{plus_minus(mean, error)} (s.e.)"


def _entry(rows: pd.DataFrame, sampler: str) -> str:
    own = rows[rd.text_column(rows, "sampler") == sampler]
    by_seed = rd.readings_of(own, [sampler]).get(sampler, {})
    return mean_and_spread([r.value for r in by_seed.values()], [r.std_error for r in by_seed.values()])


def _columns(rows: pd.DataFrame, measures: Sequence[str]) -> list[tuple[str, str]]:
    """Return the (measure, space) pairs that some sampler has, in the order of the measures."""
    found = []
    for measure in measures:
        selected = rd.select(rows, measure)
        named = selected[rd.text_column(selected, "sampler") != ""]
        found += [(measure, space) for space in sorted(set(rd.text_column(named, "space")))]
    return found


def _header(columns: Sequence[tuple[str, str]]) -> list[str]:
    spaces: dict[str, set[str]] = {}
    for measure, space in columns:
        spaces.setdefault(measure, set()).add(space)
    one = {measure for measure, found in spaces.items() if len(found) == 1}
    return [TITLES[m] if m in one and m != "fid" else f"{TITLES[m]} ({space})" for m, space in columns]


def _by_sampler(cell: Cell, measures: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    columns = _columns(cell.rows, measures)
    rows = []
    # three arms of every unit would bury the samplers; they have a table of their own (`report.units`)
    for sampler in (name for name in cell.samplers if not is_unit_swap(name)):
        entries = [_entry(rd.select(cell.rows, measure, space), sampler) for measure, space in columns]
        if any(entry != _ABSENT for entry in entries):
            rows.append([sampler, *entries])
    return _header(columns), rows


def quality_table(cell: Cell) -> TextTable | None:
    """Return sampler × quality measures of a cell, with its floors and sample sizes as notes."""
    header, rows = _by_sampler(cell, (*QUALITY, BALANCE))
    if not rows:
        return None
    notes = [_sizes(cell.rows)]
    for measure, meaning in FLOORS.items():
        for space, values in _model_values(cell.rows, measure).items():
            notes.append(f"{meaning} ({space}): {mean_and_spread(values)}.")
    return TextTable(cell.name, ["sampler", *header], rows, [note for note in notes if note])


def _sizes(rows: pd.DataFrame) -> str:
    quality = rows[rows["measure"].isin(QUALITY) & (rd.text_column(rows, "unit") == "")]
    seeds = quality["seed"].nunique()
    text = f"Mean ± s.d. over {seeds} seeds" if seeds > 1 else "One model"
    for column, words in (("n", "samples"), ("n_reference", "real test items")):
        sizes = sorted({int(size) for size in quality[column].dropna()}) if column in quality else []
        if sizes:
            text += f"; {' or '.join(f'{size:,}' for size in sizes)} {words}"
    return text + "."


def _model_values(rows: pd.DataFrame, measure: str) -> dict[str, list[float]]:
    """Return the values of a measure that belongs to no sampler, by space, one per seed."""
    selected = rd.select(rows, measure)
    selected = selected[rd.text_column(selected, "sampler") == ""]
    spaces = rd.text_column(selected, "space")
    return {
        space: [float(v) for v in selected[spaces == space].drop_duplicates("seed")["value"]]
        for space in sorted(set(spaces))
    }


def copying_table(cell: Cell) -> TextTable | None:
    """Return sampler × copying measures of a cell, with its labels."""
    header, rows = _by_sampler(cell, COPYING)
    if not rows:
        return None
    labels = cell.verdict["labels"] if cell.verdict else {}
    rows = [[*row, ", ".join(labels.get(row[0], [])) or _ABSENT] for row in rows]
    whole = cell.rows.assign(unit=rd.text_column(cell.rows, "unit").replace(NULL_UNKNOWN, ""))
    notes = [
        f"{TITLES[measure]} of the model's posterior ({space}): {mean_and_spread(values)}."
        for measure in COPYING
        for space, values in _model_values(whole, measure).items()
    ]
    if (rd.text_column(cell.rows, "unit") == NULL_UNKNOWN).any():
        notes.append(
            "The held-out images were no random part of the training pool, so ½ is not what an honest "
            "model has for memorisation AUC."
        )
    return TextTable(cell.name, ["sampler", *header, "label"], rows, notes)


def accuracy_table(cell: Cell) -> TextTable | None:
    """Return sampler and label source × accuracies, with the ceiling that belongs to each label source."""
    rows = []
    for source in _label_sources(cell.rows):
        for sampler in cell.samplers:
            found = [rd.select(cell.rows, measure, label_source=source) for measure in ACCURACY]
            entries = [_entry(measured, sampler) for measured in found]
            if any(entry != _ABSENT for entry in entries):
                rows.append([sampler, source or _ABSENT, *entries])
        selected = rd.select(cell.rows, CEILING, label_source=source)
        values = [float(v) for v in selected.drop_duplicates("seed")["value"]]
        if values:
            # without a label source it is the judge's own accuracy, the ceiling of real→synthetic
            own = [mean_and_spread(values), _ABSENT]
            rows.append(["ceiling: real→real", source or "–", *(own if not source else reversed(own))])
    if not rows:
        return None
    return TextTable(cell.name, ["sampler", "labels from", *(TITLES[measure] for measure in ACCURACY)], rows)


def _label_sources(rows: pd.DataFrame) -> list[str]:
    measured = rows[rows["measure"].isin([*ACCURACY, CEILING])]
    return sorted(set(rd.text_column(measured, "label_source")))


def latent_table(cells: Sequence[Cell]) -> TextTable | None:
    """Return model measures × cells: rate, active units, mismatch with its bracket, ELBO."""
    rows = []
    for measure in LATENT:
        entries = [
            mean_and_spread([v for values in _model_values(cell.rows, measure).values() for v in values])
            for cell in cells
        ]
        if any(entry != _ABSENT for entry in entries):
            rows.append([TITLES[measure], *entries])
    brackets = [_bracket(cell.rows) for cell in cells]
    if any(bracket != _ABSENT for bracket in brackets):
        rows.append(["mismatch KL(q(z)‖p(z)), certified bracket, nat", *brackets])
    return TextTable("", ["measure", *(cell.name for cell in cells)], rows) if rows else None


def _bracket(rows: pd.DataFrame) -> str:
    ends = []
    for bound in ("lower", "upper"):
        of_bound = (rows["measure"] == "kl") & (rd.text_column(rows, "bound") == bound)
        values = rows[of_bound & (rd.text_column(rows, "unit") == "")]["value"]
        if not len(values):
            return _ABSENT
        ends.append(number(float(values.mean())))
    return f"{ends[0]} to {ends[1]}"


def readme_table(table: pd.DataFrame, *, measures: Sequence[str] = QUALITY) -> str:
    """Return sampler × measures as a Markdown table, mean ± s.d. over seeds; cells follow each other.

    Args:
        table: the study's results, with the columns of results.csv.
        measures: which columns, in this order; those that nobody measured are left out.
    """
    groups = list(rd.cell_groups(table))
    cells = [Cell(rd.describe(keys), rd.with_calibrated_labels(group), None) for keys, group in groups]
    columns = _columns(rd.with_calibrated_labels(table), measures) if cells else []
    named = any(cell.name for cell in cells)
    lines = [["cell"] * named + ["sampler", *_header(columns)]]
    lines.append(["---"] * (len(lines[0]) - len(columns)) + ["---:"] * len(columns))
    for cell in cells:
        for sampler in cell.samplers:
            entries = [_entry(rd.select(cell.rows, measure, space), sampler) for measure, space in columns]
            if any(entry != _ABSENT for entry in entries):
                lines.append([cell.name] * named + [f"`{sampler}`", *entries])
    return "".join(f"| {' | '.join(entry.replace('|', '¦') for entry in line)} |\n" for line in lines)
