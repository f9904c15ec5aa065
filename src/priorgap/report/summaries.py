"""A study's summary table, as Markdown and as LaTeX."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from priorgap.core.catalogue import BUILTIN
from priorgap.core.measures import Catalogue
from priorgap.report import tables as tab
from priorgap.verdict import StudyVerdict
from priorgap.verdict import readings as rd


@dataclass(frozen=True)
class _Line:
    """A sampler of a cell: its name with its marks, and its entries."""

    cell: str
    sampler: str
    is_what: str
    entries: list[str]


@dataclass(frozen=True)
class _Summary:
    """Samplers × measures of all cells; `named` says whether cells have names."""

    named: bool
    header: list[str]
    lines: list[_Line]


def readme_table(
    table: pd.DataFrame,
    *,
    measures: Sequence[str] | None = None,
    catalogue: Catalogue = BUILTIN,
    verdict: StudyVerdict | None = None,
) -> str:
    """Return samplers × measures as a Markdown table, mean ± s.d. over seeds, cell after cell.

    Candidates come first, the best first; a name is followed by its role, or by the reason why it may not be used.

    Args:
        table: the study's results, with the columns of results.csv.
        measures: the columns in this order, without those that were not measured. None: the measures of sample
            quality that may rank.
        catalogue: the entries of the study's measures.
        verdict: the study's, for its order and its labels; None orders by the first column.
    """
    found = _summary(table, measures, catalogue, verdict)
    lines = [["cell"] * found.named + ["sampler", *found.header]]
    lines.append(["---"] * (len(lines[0]) - len(found.header)) + ["---:"] * len(found.header))
    for line in found.lines:
        name = f"`{line.sampler}`" + (f" ({line.is_what})" if line.is_what else "")
        lines.append([line.cell] * found.named + [name, *line.entries])
    return "".join(f"| {' | '.join(entry.replace('|', '¦') for entry in line)} |\n" for line in lines)


def latex_table(
    table: pd.DataFrame,
    *,
    measures: Sequence[str] | None = None,
    catalogue: Catalogue = BUILTIN,
    verdict: StudyVerdict | None = None,
) -> str:
    """Return the table of `readme_table` as a LaTeX tabular for booktabs, with rules between cells."""
    found = _summary(table, measures, catalogue, verdict)
    head = ["cell"] * found.named + ["sampler", *found.header]
    lines = [
        "% \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{{'l' * (1 + found.named)}{'r' * len(found.header)}}}",
        "\\toprule",
        " & ".join(latex(entry) for entry in head) + r" \\",
        "\\midrule",
    ]
    before = None
    for line in found.lines:
        lines += ["\\midrule"] if before not in (None, line.cell) else []
        name = line.sampler + (f" ({line.is_what})" if line.is_what else "")
        cell = [line.cell if before != line.cell else ""] * found.named
        lines.append(" & ".join(latex(entry) for entry in [*cell, name, *line.entries]) + r" \\")
        before = line.cell
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "±": r"$\pm$", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "→": r"$\to$", "≥": r"$\geq$", "≤": r"$\leq$",
    "½": r"$\frac{1}{2}$", "–": "--", "‖": r"$\Vert$", "−": "$-$",
    **{mark: "\\" + mark for mark in "&%$#_{}"},
}  # fmt: skip


def latex(text: str) -> str:
    """Return text escaped for LaTeX."""
    return "".join(_LATEX.get(mark, mark) for mark in text)


def _summary(
    table: pd.DataFrame, measures: Sequence[str] | None, catalogue: Catalogue, verdict: StudyVerdict | None
) -> _Summary:
    if verdict is None:
        groups = list(rd.cell_groups(table))
        cells = [
            tab.Cell(rd.describe(keys), rd.with_calibrated_labels(group), None) for keys, group in groups
        ]
    else:
        cells = [replace(c, name=rd.describe(c.keys)) for c in tab.cells_of(table, verdict, catalogue)]
    chosen = (
        [catalogue[name] for name in measures]
        if measures is not None
        else [measure for measure in tab.measures_of(catalogue, "quality") if measure.rankable]
    )
    columns = tab.columns_of(rd.with_calibrated_labels(table), chosen) if cells else []
    named = any(cell.name for cell in cells)
    lines = []
    for cell in cells:
        parts = [column.of(cell.rows) for column in columns]
        for sampler in cell.samplers if verdict is not None else _best_first(cell, columns):
            entries = [tab.over_seeds(part[rd.text_column(part, "sampler") == sampler]) for part in parts]
            if any(entry != tab.ABSENT for entry in entries):
                lines.append(_Line(cell.name, sampler, ", ".join(cell.marks(sampler)), entries))
    return _Summary(named, tab.heads(columns), lines)


def _best_first(cell: tab.Cell, columns: Sequence[tab.Column]) -> list[str]:
    """Return a cell's samplers by role and by the mean of the first column, best first."""
    if not columns:
        return cell.samplers
    rows = columns[0].of(cell.rows)
    means = rows.groupby(rd.text_column(rows, "sampler"))["value"].mean()
    role = dict(zip(rd.text_column(cell.rows, "sampler"), rd.text_column(cell.rows, "role"), strict=True))
    sign = columns[0].measure.sign or 1
    return sorted(
        cell.samplers,
        key=lambda name: (tab.ROLE_ORDER.get(role[name], 3), -sign * means.get(name, -sign * np.inf), name),
    )
