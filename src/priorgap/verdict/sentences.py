"""The third tier of a verdict: the details behind it."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from priorgap.core.findings import Severity
from priorgap.verdict.contrasts import Contrast
from priorgap.verdict.headline import (
    basis,
    interval_text,
    join,
    measure_name,
    number,
    opinion_name,
)
from priorgap.verdict.health import sentences_of
from priorgap.verdict.labels import COPIES, DECODER_MEMORISES, NOT_CLEAN, RECONSTRUCTIVE

if TYPE_CHECKING:
    from priorgap.verdict.decision import CandidateSummary, Verdict


def plus_minus(mean: float, spread: float) -> str:
    """Return "20.4 ± 0.6", both with the number of decimals that gives the larger one three significant digits."""
    largest = max(abs(mean), abs(spread))
    decimals = 0 if largest == 0 else min(6, max(0, 2 - math.floor(math.log10(largest))))
    return f"{mean:,.{decimals}f} ± {spread:,.{decimals}f}"


def effect_text(contrast: Contrast) -> str:
    """Return "0.41 times prior's [0.38, 0.45]" or "prior's −0.02 [...]" by the contrast's scale."""
    if contrast.scale == "log":
        return (
            f"{number(contrast.effect)} times that of {contrast.against} {interval_text(contrast.interval)}"
        )
    side = "above" if contrast.effect >= 0 else "below"
    interval = interval_text(contrast.interval)
    within = f"(difference {interval})" if contrast.interval is not None else interval
    return f"{number(abs(contrast.effect))} {side} that of {contrast.against} {within}"


def mean_text(summary: "CandidateSummary") -> str:
    """Return "12.3 ± 0.4 (s.d.)" over seeds, or the single value."""
    if summary.std_deviation is None:
        return number(summary.mean)
    return f"{plus_minus(summary.mean, summary.std_deviation)} (s.d.)"


def details(verdict: "Verdict") -> tuple[str, ...]:
    """Return the sentences with the evidence for a cell's headline."""
    follows = list(
        sentences_of(verdict.health[1:] if verdict.stopped else verdict.health, _SAID_HERE[verdict.stopped])
    )
    if verdict.leader is None or verdict.stopped:
        return (*follows, *verdict.caveats)
    sentences = [
        _opening(verdict),
        _evidence(verdict),
        *_planning(verdict),
        *_clean_choice(verdict),
        *_agreement(verdict),
        *_label_sentences(verdict),
        *calibrated_prior(verdict),
        *follows,
        *verdict.caveats,
    ]
    if verdict.recommended is not None:
        sentences.append("The choice was made on the test observations that it is reported on.")
        sentences += _cost(verdict, verdict.recommended)
    return tuple(sentences)


# Maps whether the verdict stopped to the severities of findings that are listed here; the tier above states the
# others.
_SAID_HERE: Mapping[bool, tuple[Severity, ...]] = {True: ("stop", "warn", "note"), False: ("note",)}


def _cost(verdict: "Verdict", sampler: str) -> list[str]:
    cost = verdict.facts[sampler].cost
    return [cost] if cost else []


def _opening(verdict: "Verdict") -> str:
    extreme = "lowest" if verdict.measure.sign < 0 else "highest"
    name = measure_name(verdict.measure, verdict.space)
    mean = mean_text(verdict.candidates[0])
    count = len(verdict.candidates)
    if verdict.winner is None:
        others = [name for name in verdict.best_set or () if name != verdict.leader]
        return (
            f"{basis(verdict)}, no difference shown: {verdict.leader} has the {extreme} mean {name}, "
            f"{mean}, but {join(others)} {'is' if len(others) == 1 else 'are'} not shown to be worse."
        )
    if verdict.disagree:
        return (
            f"{basis(verdict)}, measures disagree: {verdict.winner} has the {extreme} {name} of {count} "
            f"candidates, {mean}."
        )
    # The winner reconstructs or copies, so it is stated but not recommended.
    if verdict.winner != verdict.leader_clean:
        return f"{basis(verdict)}, {verdict.winner} has the {extreme} {name} of {count} candidates, {mean}."
    if verdict.provisional:
        return f"{basis(verdict)}, use {verdict.winner}: the {extreme} {name} of {count} candidates, {mean}."
    return f"{basis(verdict)}, {verdict.winner} is the best of {count} candidates by {name}: {mean}."


def _evidence(verdict: "Verdict") -> str:
    contrast = next(
        (c for c in verdict.against_baseline if c.sampler == verdict.leader), verdict.against_leader[0]
    )
    spread = "within-model standard errors" if verdict.n_seeds == 1 else "paired by model"
    shown = "; every other candidate is shown to be worse" if verdict.winner else ""
    name = measure_name(verdict.measure)
    how = f"{verdict.level:.0%} interval, {spread}, simultaneous over all pairs"
    if contrast.interval is None:
        how = "how far chance alone would take it is not known"
    return f"Its {name} is {effect_text(contrast)} ({how}){shown}."


def _planning(verdict: "Verdict") -> list[str]:
    """State what could have been shown where nothing was: a small study without result is no evidence of equality."""
    plan = verdict.planning
    if verdict.winner is not None or plan is None:
        return []
    size = f"a ratio of {number(plan.detectable)}" if plan.scale == "log" else number(plan.detectable)
    seen = f"These {plan.n_seeds} seeds would show {size} against {plan.against} with {plan.power:.0%} probability"
    if plan.seeds_needed is None:
        return [f"{seen}; no number of seeds up to 100,000 would show what was observed."]
    return [f"{seen}; what was observed, if true, would need about {plan.seeds_needed:,} seeds."]


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


def _agreement(verdict: "Verdict") -> list[str]:
    """State how similarly other feature spaces rank, and which second opinions have no valid error."""
    sentences = [
        f"The feature space {space} ranks the candidates {_alike(tau)} (Kendall's tau {number(tau)})."
        for space, tau in verdict.agreement.items()
    ]
    if verdict.without_error:
        names = join([opinion_name(verdict, name) for name in verdict.without_error])
        sentences.append(f"Without a valid standard error, and so without a say: {names}.")
    return sentences


def _alike(tau: float) -> str:
    # Rounded like the number that is shown, because Kendall's 0.8 may be 0.7999... in floating point.
    tau = round(tau, 3)
    if tau >= 0.8:
        return "alike"
    if tau >= 0.3:
        return "roughly alike"
    return "differently" if tau > -0.3 else "in nearly the opposite order"


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
            sentences.append(
                f"{join(names)} {verb} training images: exact or near copies are more than unseen images explain."
            )
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


def calibrated_prior(verdict: "Verdict") -> list[str]:
    """Return what calibration does to the prior, as a sentence; [] where the study has no calibrated models."""
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
