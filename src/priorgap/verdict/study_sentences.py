"""The paragraph of a study of several cells: what to do, what holds of all cells, and a line for each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from priorgap.verdict.headline import join, measure_name, study_headline, study_sure
from priorgap.verdict.health import COMPUTED
from priorgap.verdict.labels import COPIES, NOT_CLEAN
from priorgap.verdict.model_findings import UNUSED
from priorgap.verdict.readings import describe
from priorgap.verdict.sentences import calibrated_prior, effect_text, mean_text

if TYPE_CHECKING:
    from priorgap.verdict.decision import Verdict


def study_lines(cells: "Sequence[Verdict]") -> list[str]:
    """Return the study's paragraph in pieces: one cell's own text, or a common text and then a line for each cell."""
    if not cells:
        return ["No verdict: the study has no finished cell."]
    if len(cells) == 1:
        return [cells[0].text]
    sentences = [study_headline(cells), study_sure(cells), _winners(cells)]
    copying = sorted({name for cell in cells for name, found in cell.labels.items() if COPIES in found})
    if copying:
        sentences.append(f"Copying was found for {join(copying)}.")
    unmatched = [describe(cell.keys) for cell in cells if cell.not_converged]
    if unmatched:
        sentences.append(f"Means and variances are not matched: {'; '.join(unmatched)}.")
    unused = [describe(cell.keys) for cell in cells if any(found.name == UNUSED for found in cell.health)]
    if unused:
        sentences.append(
            f"Many latent units are not in use; active_gmm leaves them out: {'; '.join(unused)}."
        )
    sentences += _notes_of_all(cells)
    return [" ".join(part for part in sentences if part), *(_cell_line(cell) for cell in cells)]


def _notes_of_all(cells: "Sequence[Verdict]") -> list[str]:
    """Return the notes about the data or the study that all cells share; notes about models stand by cell."""
    every = [set(cell.health) for cell in cells]
    return [
        found.sentence
        for found in cells[0].health
        if found.severity == "note" and found.name not in COMPUTED and all(found in one for one in every)
    ]


def _marked(cells: "Sequence[Verdict]", name: str) -> str:
    """Return a sampler's name with the labels (reconstructive, copies) that it has in any of the cells."""
    found = {label for cell in cells for label in cell.labels.get(name, []) if label in NOT_CLEAN}
    return f"{name} ({', '.join(sorted(found))})" if found else name


def _winners(cells: "Sequence[Verdict]") -> str:
    counts: dict[str, int] = {}
    ranked = [cell for cell in cells if cell.advice is not None]
    for cell in ranked:
        if cell.winner is not None:
            counts[cell.winner] = counts.get(cell.winner, 0) + 1
    named = [
        f"{_marked(cells, name)} in {count}"
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    if len(ranked) > sum(counts.values()):
        named.append(f"no single one in {len(ranked) - sum(counts.values())}")
    if not ranked:
        return ""
    name = measure_name(cells[0].measure, cells[0].space)
    return f"By {name}, of {len(cells)} cells the winner is: {join(named)}."


def _cell_line(cell: "Verdict") -> str:
    if cell.leader is None or cell.stopped:
        return f"{describe(cell.keys)}: no verdict: {cell.reason}."
    contrast = next((c for c in cell.against_baseline if c.sampler == cell.leader), cell.against_leader[0])
    status = "" if cell.winner else " leads, not shown to be alone"
    disagree = f", measures disagree ({', '.join(cell.disagree)})" if cell.disagree else ""
    clean = ""
    if cell.leader_clean not in (None, cell.leader):
        shown = "" if cell.winner_clean else ", not shown to be alone"
        clean = f"; leaving out reconstructions and copies: {cell.leader_clean}{shown}"
    calibration = "".join(f"; {sentence[0].lower()}{sentence[1:-1]}" for sentence in calibrated_prior(cell))
    return (
        f"{describe(cell.keys)}: {_marked([cell], cell.leader)}{status} ({mean_text(cell.candidates[0])}, "
        f"{effect_text(contrast)}){disagree}{clean}{calibration}."
    )
