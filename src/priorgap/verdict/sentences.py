"""The verdict in words: one paragraph per cell and one for the study, generated from the numbers alone."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from priorgap.core.measures import Measure
from priorgap.verdict.contrasts import Contrast
from priorgap.verdict.labels import COPIES, DECODER_MEMORISES, NOT_CLEAN, RECONSTRUCTIVE
from priorgap.verdict.readings import describe

if TYPE_CHECKING:
    from priorgap.verdict.decision import CandidateSummary, Verdict


def measure_name(measure: Measure, space: str = "") -> str:
    """Return a measure's name as prose has it, with its space: "FID (classifier)"."""
    return f"{measure.title} ({space})" if space else measure.title


def number(value: float) -> str:
    """Return a value at three significant digits, without an exponent where one is avoidable."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1000:
        text = f"{value:.3g}"
        return text if "e" not in text else f"{value:.0f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2g}"


def plus_minus(mean: float, spread: float) -> str:
    """Return "20.4 ± 0.6": both at the decimals that give the larger of them three significant digits."""
    largest = max(abs(mean), abs(spread))
    decimals = 0 if largest == 0 else min(6, max(0, 2 - math.floor(math.log10(largest))))
    return f"{mean:,.{decimals}f} ± {spread:,.{decimals}f}"


def interval_text(interval: tuple[float, float] | None) -> str:
    """Return "[low, high]", or the words for having none."""
    return "[no interval]" if interval is None else f"[{number(interval[0])}, {number(interval[1])}]"


def effect_text(contrast: Contrast) -> str:
    """Return "0.41 times prior's [0.38, 0.45]" or "prior's −0.02 [...]" by the contrast's scale."""
    if contrast.scale == "log":
        return (
            f"{number(contrast.effect)} times that of {contrast.against} {interval_text(contrast.interval)}"
        )
    side = "above" if contrast.effect >= 0 else "below"
    interval = interval_text(contrast.interval)
    return f"{number(abs(contrast.effect))} {side} that of {contrast.against} (difference {interval})"


def mean_text(summary: "CandidateSummary") -> str:
    """Return "12.3 ± 0.4 (s.d.)" over seeds, or the single value."""
    if summary.std_deviation is None:
        return number(summary.mean)
    return f"{plus_minus(summary.mean, summary.std_deviation)} (s.d.)"


def join(names: Sequence[str]) -> str:
    """Return "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def cell_text(verdict: "Verdict") -> str:
    """Return the paragraph of one cell."""
    place = f"For {describe(verdict.keys)}: " if verdict.keys else ""
    if verdict.leader is None:
        return f"{place}No verdict: {verdict.reason}."
    sentences = [
        _opening(verdict),
        _evidence(verdict),
        *_planning(verdict),
        *_clean_choice(verdict),
        *_disagreement(verdict),
    ]
    sentences += [
        *_label_sentences(verdict),
        *_calibration(verdict),
        *_convergence(verdict),
        *verdict.caveats,
    ]
    if verdict.winner is not None:
        sentences += _cost(verdict, verdict.winner)
    return place + " ".join(sentences)


def _cost(verdict: "Verdict", sampler: str) -> list[str]:
    cost = verdict.facts[sampler].cost
    return [cost] if cost else []


def _basis(verdict: "Verdict") -> str:
    if verdict.n_seeds == 1:
        return "For this trained model only (how much training again would change is unknown)"
    if verdict.provisional:
        return f"Provisional ({verdict.n_seeds} seeds)"
    return f"Over {verdict.n_seeds} seeds"


def _opening(verdict: "Verdict") -> str:
    extreme = "lowest" if verdict.measure.sign < 0 else "highest"
    name = measure_name(verdict.measure, verdict.space)
    mean = mean_text(verdict.candidates[0])
    count = len(verdict.candidates)
    if verdict.winner is None:
        others = [contrast.against for contrast in verdict.against_leader if not contrast.shown]
        return (
            f"{_basis(verdict)}, no difference shown: {verdict.leader} has the {extreme} mean {name}, "
            f"{mean}, but against {join(others)} the interval includes equality."
        )
    if verdict.disagree:
        return (
            f"{_basis(verdict)}, measures disagree: {verdict.winner} has the {extreme} {name} of {count} "
            f"candidates, {mean}."
        )
    if verdict.winner != verdict.leader_clean:  # it reconstructs or copies: a fact, no advice
        return f"{_basis(verdict)}, {verdict.winner} has the {extreme} {name} of {count} candidates, {mean}."
    if verdict.provisional:
        return f"{_basis(verdict)}, use {verdict.winner}: the {extreme} {name} of {count} candidates, {mean}."
    return f"{_basis(verdict)}, {verdict.winner} is the best of {count} candidates by {name}: {mean}."


def _evidence(verdict: "Verdict") -> str:
    contrast = next(
        (c for c in verdict.against_baseline if c.sampler == verdict.leader), verdict.against_leader[0]
    )
    spread = "within-model standard errors" if verdict.n_seeds == 1 else "paired by model"
    shown = "; against every other candidate the interval excludes equality" if verdict.winner else ""
    name = measure_name(verdict.measure)
    how = f"{verdict.level:.0%} interval, {spread}, Holm-adjusted"
    return f"Its {name} is {effect_text(contrast)} ({how}){shown}."


def _planning(verdict: "Verdict") -> list[str]:
    """Say what could have been shown, where nothing was: silence of a small study is no evidence of equality."""
    plan = verdict.planning
    if verdict.winner is not None or plan is None:
        return []
    size = f"a ratio of {number(plan.detectable)}" if plan.scale == "log" else number(plan.detectable)
    seen = f"These {plan.n_seeds} seeds would show {size} against {plan.against} with {plan.power:.0%} probability"
    if plan.seeds_needed is None:
        return [f"{seen}; no number of seeds up to 100,000 would show what was observed."]
    return [f"{seen}; what was observed, if true, would need about {plan.seeds_needed} seeds."]


def _clean_choice(verdict: "Verdict") -> list[str]:
    leader_labels = set(verdict.labels.get(verdict.leader or "", []))
    if not leader_labels & NOT_CLEAN:
        return []
    if verdict.leader_clean is None:
        return ["No candidate is free of that: all are reconstructive or copy."]
    summary = next(c for c in verdict.candidates if c.sampler == verdict.leader_clean)
    contrast = next((c for c in verdict.against_baseline if c.sampler == verdict.leader_clean), None)
    beside = f", {effect_text(contrast)}" if contrast is not None else ""
    if verdict.winner_clean is None:
        return [
            "Among candidates that neither reconstruct nor copy, no difference shown; "
            f"{verdict.leader_clean} leads with {mean_text(summary)}{beside}."
        ]
    return [
        f"Where samples must not be reconstructions or copies, use {verdict.winner_clean}: "
        f"{mean_text(summary)}{beside}."
    ]


def _disagreement(verdict: "Verdict") -> list[str]:
    if not verdict.disagree:
        return []
    parts = [
        f"{measure_name(verdict.catalogue[name])} (difference {number(c.effect)} {interval_text(c.interval)})"
        for name, c in verdict.second_opinions.items()
        if name in verdict.disagree
    ]
    contrast = verdict.second_opinions[verdict.disagree[0]]
    lead = "Measures disagree: " if verdict.winner is None else ""
    return [f"{lead}{contrast.against} is better than {contrast.sampler} on {join(parts)}."]


def _label_sentences(verdict: "Verdict") -> list[str]:
    sentences = []
    for label in (RECONSTRUCTIVE, COPIES, DECODER_MEMORISES):
        names = [
            summary.sampler
            for summary in verdict.candidates
            if label in verdict.labels.get(summary.sampler, [])
        ]
        if not names:
            continue
        if label == RECONSTRUCTIVE:
            sentences.append(f"{join(names)} is reconstructive by definition{_auc_text(verdict)}.")
        elif label == COPIES:
            verb = "copies" if len(names) == 1 else "copy"
            sentences.append(f"{join(names)} {verb} training images (near_copy_excess and train_share).")
        else:
            sentences.append(
                f"With {join(names)} the decoder memorises: samples sit nearer to training images than to "
                "unseen ones (train_share)."
            )
    return sentences


def _auc_text(verdict: "Verdict") -> str:
    if verdict.memorisation_auc is None:
        return " (memorisation_auc was not measured)"
    auc = verdict.memorisation_auc
    null = "0.5 where training adds no closeness"
    if not auc.null_known:
        null = "null unknown: held-out images are no random part of the training pool"
    return f" (memorisation_auc {number(auc.value)} {interval_text(auc.interval)}; {null})"


def _calibration(verdict: "Verdict") -> list[str]:
    if verdict.calibration is None:
        return []
    means = {summary.sampler: summary.mean for summary in verdict.candidates}
    contrast = verdict.calibration
    before, after = means[contrast.against], means[contrast.sampler]
    name = measure_name(verdict.measure)
    text = f"Calibration takes the prior's {name} from {number(before)} to {number(after)}"
    target = next((c.sampler for c in verdict.candidates if _is_ex_post(verdict, c.sampler)), None)
    if target is not None and verdict.measure.sign * (means[target] - before) > 0:
        share = (after - before) / (means[target] - before)
        text += f", {share:.0%} of its deficit to {target}"
    return [f"{text}."]


def _is_ex_post(verdict: "Verdict", name: str) -> bool:
    return not verdict.facts[name].fixed and not (NOT_CLEAN & set(verdict.labels.get(name, [])))


def _convergence(verdict: "Verdict") -> list[str]:
    if not verdict.not_converged:
        return []
    seeds = join([str(seed) for seed in verdict.not_converged])
    which = "seed" if len(verdict.not_converged) == 1 else "seeds"
    return [
        f"Not converged ({which} {seeds}): the diagonal mismatch on training posteriors is above 0.05 nat, "
        "which a fully trained model does not have, so part of the prior's deficit is under-training."
    ]


def study_lines(cells: "Sequence[Verdict]") -> list[str]:
    """Return the study's paragraph in pieces: one cell's own text, or a count and then a line per cell."""
    if not cells:
        return ["No verdict: the study has no finished cell."]
    if len(cells) == 1:
        return [cells[0].text]
    sentences = [_headline(cells)]
    copying = sorted({name for cell in cells for name, found in cell.labels.items() if COPIES in found})
    if copying:
        sentences.append(f"Copying was found for {join(copying)}.")
    unconverged = [describe(cell.keys) for cell in cells if cell.not_converged]
    if unconverged:
        sentences.append(f"Not converged: {'; '.join(unconverged)}.")
    return [" ".join(sentences), *(_cell_line(cell) for cell in cells)]


def _marked(cells: "Sequence[Verdict]", name: str) -> str:
    """Return a sampler's name, with what it is where it must not be taken for a clean one in some of the cells."""
    found = {label for cell in cells for label in cell.labels.get(name, []) if label in NOT_CLEAN}
    return f"{name} ({', '.join(sorted(found))})" if found else name


def _headline(cells: "Sequence[Verdict]") -> str:
    counts: dict[str, int] = {}
    for cell in cells:
        if cell.winner is not None:
            counts[cell.winner] = counts.get(cell.winner, 0) + 1
    n_seeds = min(cell.n_seeds for cell in cells)
    seeds = f"{n_seeds} {'seed' if n_seeds == 1 else 'seeds'} a cell"
    basis = f"Provisional ({seeds})" if any(cell.provisional for cell in cells) else f"Over {seeds}"
    named = [
        f"{_marked(cells, name)} in {count}"
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    open_cells = len(cells) - sum(counts.values())
    if open_cells:
        named.append(f"no difference shown in {open_cells}")
    name = measure_name(cells[0].measure, cells[0].space)
    return f"{basis}, by {name}, of {len(cells)} cells the winner is: {join(named)}."


def _cell_line(cell: "Verdict") -> str:
    if cell.leader is None:
        return f"{describe(cell.keys)}: no verdict, {cell.reason}."
    contrast = next((c for c in cell.against_baseline if c.sampler == cell.leader), cell.against_leader[0])
    status = "" if cell.winner else " leads, no difference shown"
    disagree = f", measures disagree ({', '.join(cell.disagree)})" if cell.disagree else ""
    clean = ""
    if cell.leader_clean not in (None, cell.leader):
        shown = "" if cell.winner_clean else ", no difference shown"
        clean = f"; leaving out reconstructions and copies: {cell.leader_clean}{shown}"
    calibration = "".join(f"; {sentence[0].lower()}{sentence[1:-1]}" for sentence in _calibration(cell))
    return (
        f"{describe(cell.keys)}: {_marked([cell], cell.leader)}{status} ({mean_text(cell.candidates[0])}, "
        f"{effect_text(contrast)}){disagree}{clean}{calibration}."
    )
