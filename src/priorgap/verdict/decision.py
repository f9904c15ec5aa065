"""The decision for one cell: rank the candidates, name a winner only where the evidence does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from priorgap.core.catalogue import BUILTIN
from priorgap.core.measures import Catalogue, Measure, Scale
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.verdict import readings as rd
from priorgap.verdict.contrasts import Contrast, contrasts, scaled_mean
from priorgap.verdict.labels import NOT_CLEAN, MemorisationAuc, candidate_labels, memorisation, not_converged
from priorgap.verdict.planning import Plan, plan
from priorgap.verdict.sentences import cell_text

_ENOUGH_SEEDS = 5  # below this a conclusion is provisional


@dataclass(frozen=True)
class CandidateSummary:
    """One candidate's measure over the seeds of a cell."""

    sampler: str
    mean: float
    std_deviation: float | None
    n_seeds: int


@dataclass(frozen=True)
class Verdict:
    """The conclusion for one cell.

    Attributes:
        measure: what ranks the candidates: its entry of the catalogue.
        space: the feature space it was measured in.
        winner: the named winner; None where no difference was shown or nothing could be ranked.
        winner_clean: the named winner among candidates that are neither reconstructive nor copies.
        effect: the winner's (without one, the leader's) ratio to, or difference from, `against`.
        interval: its Holm-adjusted interval.
        n_seeds: the models behind the decision.
        provisional: fewer than five seeds.
        labels: candidate -> its labels (reconstructive, copies, the decoder memorises).
        disagree: second opinions (kid, density, coverage) on which the leader is worse than the runner-up.
        text: the paragraph.
        keys: the varying keys' values of this cell.
        scale: "log": effects are ratios; "identity": differences.
        against: what the effect is relative to: the baseline (the runner-up, where the leader is it).
        leader: the candidate with the best mean, named or not; None where nothing could be ranked.
        leader_clean: the same among candidates that are neither reconstructive nor copies.
        reason: why there is no winner; "" where there is one.
        candidates: every candidate from best to worst mean.
        against_leader: leader − every other candidate, one Holm family.
        against_baseline: every other candidate − baseline, one Holm family.
        second_opinions: leader − runner-up on the measures that the catalogue names for that.
        calibration: the calibrated prior − the prior, where both exist.
        memorisation_auc: whether training made the posterior's own images closer; None where not measured.
        not_converged: seeds whose model is not converged; None where that was not measured.
        caveats: one sentence each.
        planning: what the seeds could have shown of leader − the nearest candidate that it is not shown to
            beat (without such a one, − the runner-up); None with one seed.
        facts: candidate -> what it says of itself.
        catalogue: the entries of all measures of the study.
    """

    measure: Measure
    space: str
    winner: str | None
    winner_clean: str | None
    effect: float | None
    interval: tuple[float, float] | None
    n_seeds: int
    provisional: bool
    labels: dict[str, list[str]]
    disagree: list[str]
    text: str = ""
    keys: dict[str, Any] = field(default_factory=dict)
    scale: Scale = "identity"
    against: str | None = None
    leader: str | None = None
    leader_clean: str | None = None
    reason: str = ""
    level: float = 0.95
    candidates: tuple[CandidateSummary, ...] = ()
    against_leader: tuple[Contrast, ...] = ()
    against_baseline: tuple[Contrast, ...] = ()
    second_opinions: dict[str, Contrast] = field(default_factory=dict)
    calibration: Contrast | None = None
    memorisation_auc: MemorisationAuc | None = None
    not_converged: list[int] | None = None
    caveats: tuple[str, ...] = ()
    planning: Plan | None = None
    facts: Mapping[str, SamplerFacts] = field(default_factory=dict)
    catalogue: Catalogue = field(default_factory=lambda: BUILTIN, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return the public keys, and all that they rest on under `details`."""
        public = ("space", "winner", "winner_clean", "effect", "n_seeds", "provisional", "labels")
        record: dict[str, Any] = {"measure": self.measure.name}
        record |= {name: getattr(self, name) for name in public}
        record["interval"] = None if self.interval is None else list(self.interval)
        record["disagree"] = list(self.disagree)
        record["text"] = self.text
        record["planning"] = None if self.planning is None else self.planning.to_json()
        auc = self.memorisation_auc
        record["details"] = {
            "keys": self.keys,
            "scale": self.scale,
            "against": self.against,
            "leader": self.leader,
            "leader_clean": self.leader_clean,
            "reason": self.reason,
            "level": self.level,
            "candidates": [vars(summary) for summary in self.candidates],
            "against_leader": [contrast.to_json() for contrast in self.against_leader],
            "against_baseline": [contrast.to_json() for contrast in self.against_baseline],
            "second_opinions": {name: c.to_json() for name, c in self.second_opinions.items()},
            "calibration": None if self.calibration is None else self.calibration.to_json(),
            "not_converged": self.not_converged,
            "caveats": list(self.caveats),
            "facts": {name: facts.to_json() for name, facts in self.facts.items()},
            "measure": self.measure.to_json(),
        }
        record["details"]["memorisation_auc"] = None if auc is None else auc.to_json()
        return record


def decide(
    table: pd.DataFrame,
    *,
    measure: str = "fid",
    space: str | None = None,
    baseline: str = "prior",
    level: float = 0.95,
    skipped: Mapping[str, str] | None = None,
    costs: Mapping[str, str] | None = None,
    catalogue: Catalogue = BUILTIN,
) -> Verdict:
    """Decide one cell: which candidate has the best mean of `measure`, and whether that is shown.

    The winner is named only if the Holm-adjusted paired intervals of winner − every other candidate exclude
    no difference. What the catalogue has on the log scale (FID) is compared by
    ratios, all else by differences. Controls and specimens
    are never ranked. One model: the interval comes from the measure's own standard errors, and the conclusion
    is about this trained model only. Two to four: provisional.

    Args:
        table: rows of one cell (and of its calibrated twin), with the columns of results.csv, `traits` included.
        measure: what ranks.
        space: the feature space; None where the measure was made in one only.
        baseline: the candidate that effects are relative to.
        level: the family-wise level of the intervals.
        skipped: measure -> why it was not computed, for the reason of an absent verdict.
        costs: sampler -> what drawing from it takes, said of the winner.
        catalogue: the entries of all measures of the study.

    Returns:
        The verdict, with its paragraph.

    Raises:
        ValueError: a measure that does not rank, an ambiguous space, a table of several cells, or a sampler whose
            traits are missing.
    """
    groups = list(rd.cell_groups(table))
    if len(groups) > 1:
        named = "; ".join(rd.describe(keys) for keys, _ in groups)
        raise ValueError(f"table: expected one cell, got {len(groups)} ({named})")
    keys, group = groups[0] if groups else ({}, table)
    return decide_cell(
        keys, group, measure=measure, space=space, baseline=baseline, level=level, skipped=skipped, costs=costs,
        catalogue=catalogue,
    )  # fmt: skip


def decide_cell(
    keys: dict[str, Any],
    group: pd.DataFrame,
    *,
    measure: str,
    space: str | None,
    baseline: str,
    level: float,
    skipped: Mapping[str, str] | None,
    costs: Mapping[str, str] | None,
    catalogue: Catalogue,
) -> Verdict:
    """Decide one cell of a study whose varying keys have these values; see `decide`."""
    if not 0 < level < 1:
        raise ValueError(f"level={level}: expected a number between 0 and 1")
    ranked_by = rd.ranking(catalogue, measure)
    space = rd.one_space(group, measure, space)
    group = rd.with_calibrated_labels(group)
    candidates = rd.candidates_of(group)
    facts = {name: fact for name, fact in rd.facts_of(group, costs).items() if name in candidates}
    rows = rd.select(group, measure, space or None)
    label_source = rd.most_common_label_source(rows[rows["role"] == "candidate"])
    rows = rows[rd.text_column(rows, "label_source") == label_source]
    values = rd.readings_of(rows, candidates)
    n_seeds = len({seed for by_seed in values.values() for seed in by_seed})
    asked = _Asked(ranked_by, space, baseline, level, n_seeds, catalogue, facts, keys)
    if len(values) < 2:
        return _absent(group, values, asked, dict(skipped or {}))
    draft = _decide(group, values, asked)
    caveats = _caveats(group, rows, values, label_source)
    return _with_text(draft, caveats)


@dataclass(frozen=True)
class _Asked:
    """What a verdict is asked for one cell, and what is known of its candidates."""

    measure: Measure
    space: str
    baseline: str
    level: float
    n_seeds: int
    catalogue: Catalogue
    facts: Mapping[str, SamplerFacts]
    keys: dict[str, Any]

    @property
    def one_model(self) -> bool:
        return self.n_seeds == 1


def _absent(group: pd.DataFrame, values: rd.Readings, asked: _Asked, skipped: dict[str, str]) -> Verdict:
    measure, space = asked.measure.name, asked.space
    where = f" in {space} space" if space else ""
    if values:
        reason = (
            f"only one candidate ({next(iter(values))}) has {measure}{where}: there is nothing to compare"
        )
    else:
        reason = f"{measure} was not computed{where} for any candidate"
        if measure in skipped:
            reason += f" ({skipped[measure]})"
    draft = Verdict(
        measure=asked.measure,
        space=space,
        winner=None,
        winner_clean=None,
        effect=None,
        interval=None,
        n_seeds=asked.n_seeds,
        provisional=asked.n_seeds < _ENOUGH_SEEDS,
        labels=candidate_labels(group, asked.facts, asked.level),
        disagree=[],
        keys=asked.keys,
        reason=reason,
        level=asked.level,
        candidates=tuple(_summary(name, by_seed) for name, by_seed in values.items()),
        not_converged=not_converged(group),
        facts=asked.facts,
        catalogue=asked.catalogue,
    )
    return _with_text(draft, ())


def _with_text(draft: Verdict, caveats: tuple[str, ...]) -> Verdict:
    complete = {**vars(draft), "caveats": caveats}
    return Verdict(**{**complete, "text": cell_text(Verdict(**complete))})


def _ranked(values: rd.Readings, sign: int, scale: Scale) -> list[str]:
    """Return the candidates from best to worst mean, over the seeds that all of them have."""
    common = sorted(set.intersection(*(set(by_seed) for by_seed in values.values())))
    means = {name: scaled_mean(v, common or sorted(v), scale) for name, v in values.items()}
    return sorted(values, key=lambda name: (-sign * means[name], name))


def _against_leader(
    values: rd.Readings, order: list[str], scale: Scale, level: float, one_model: bool
) -> list[Contrast]:
    pairs = [(order[0], other) for other in order[1:]]
    return contrasts(values, pairs, scale=scale, level=level, one_model=one_model)


def _decide(group: pd.DataFrame, values: rd.Readings, asked: _Asked) -> Verdict:
    scale, level, one_model = rd.scale_of(asked.measure, values), asked.level, asked.one_model
    order = _ranked(values, asked.measure.sign, scale)
    leader, runner_up = order[0], order[1]
    versus = _against_leader(values, order, scale, level, one_model)
    labels = candidate_labels(group, {name: asked.facts[name] for name in order}, level)
    clean = [name for name in order if not NOT_CLEAN & set(labels.get(name, []))]
    versus_clean = _against_leader(values, clean, scale, level, one_model) if len(clean) > 1 else []
    winner = leader if all(contrast.shown for contrast in versus) else None
    named_clean = bool(clean) and all(contrast.shown for contrast in versus_clean)
    baseline = asked.baseline
    baselines = contrasts(
        values,
        [(name, baseline) for name in order if name != baseline] if baseline in values else [],
        scale=scale,
        level=level,
        one_model=one_model,
    )
    effect = next((c for c in baselines if c.sampler == leader), versus[0])
    opinions = _second_opinions(group, leader, runner_up, asked)
    unshown = [contrast.against for contrast in versus if not contrast.shown]
    nearest = unshown[0] if unshown else runner_up
    return Verdict(
        measure=asked.measure,
        space=asked.space,
        winner=winner,
        winner_clean=clean[0] if named_clean else None,
        effect=effect.effect,
        interval=effect.interval,
        n_seeds=asked.n_seeds,
        provisional=asked.n_seeds < _ENOUGH_SEEDS,
        labels=labels,
        disagree=[n for n, c in opinions.items() if c.shown and asked.catalogue[n].sign * c.effect < 0],
        keys=asked.keys,
        scale=scale,
        against=effect.against,
        leader=leader,
        leader_clean=clean[0] if clean else None,
        reason="" if winner else f"no difference shown between {leader} and {', '.join(unshown)}",
        level=level,
        candidates=tuple(_summary(name, values[name]) for name in order),
        against_leader=tuple(versus),
        against_baseline=tuple(baselines),
        second_opinions=opinions,
        calibration=_calibration(values, baseline, scale, level, one_model),
        memorisation_auc=memorisation(group, level),
        not_converged=not_converged(group),
        planning=plan(values, leader, nearest, scale=scale, level=level, n_comparisons=len(versus)),
        facts=asked.facts,
        catalogue=asked.catalogue,
    )


def _summary(name: str, by_seed: dict[int, rd.Reading]) -> CandidateSummary:
    values = [reading.value for reading in by_seed.values()]
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return CandidateSummary(name, float(np.mean(values)), spread, len(values))


def _second_opinions(group: pd.DataFrame, leader: str, runner_up: str, asked: _Asked) -> dict[str, Contrast]:
    """Return leader − runner-up on each second opinion, with its own, unadjusted interval."""
    found = {}
    for measure in (one.name for one in asked.catalogue.values() if one.second_opinion):
        values = rd.readings_of(rd.select(group, measure, asked.space or None), [leader, runner_up])
        if len(values) == 2:
            pair = [(leader, runner_up)]
            found[measure] = contrasts(
                values, pair, scale="identity", level=asked.level, one_model=asked.one_model
            )[0]
    return found


def _calibration(
    values: rd.Readings, baseline: str, scale: Scale, level: float, one_model: bool
) -> Contrast | None:
    calibrated = f"{baseline}{rd.CALIBRATED}"
    if baseline not in values or calibrated not in values:
        return None
    return contrasts(values, [(calibrated, baseline)], scale=scale, level=level, one_model=one_model)[0]


def _caveats(
    group: pd.DataFrame, rows: pd.DataFrame, values: rd.Readings, label_source: str
) -> tuple[str, ...]:
    found = []
    counts = {len(by_seed) for by_seed in values.values()}
    if len(counts) > 1:
        found.append("Not every candidate was measured for every seed; pairs use the seeds they share.")
    if "n" in rows.columns and rows[rows["role"] == "candidate"]["n"].dropna().nunique() > 1:
        found.append("The candidates were measured on different numbers of samples.")
    missing = sorted(set(rd.candidates_of(group)) - set(values))
    if missing:
        kind = f" with labels from the {label_source}" if label_source else ""
        found.append(f"Without this measure{kind}, so not ranked: {', '.join(missing)}.")
    return tuple(found)
