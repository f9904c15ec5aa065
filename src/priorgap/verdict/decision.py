"""The decision for one cell: rank the candidates, and name a winner only where the evidence shows one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from priorgap.core.catalogue import BUILTIN
from priorgap.core.findings import Finding
from priorgap.core.measurement import OF_DATA
from priorgap.core.measures import Catalogue, Measure, Scale
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.core.verdict_rules import HealthLimits, standard_rules
from priorgap.verdict import readings as rd
from priorgap.verdict.advice import Advice, advise, counts
from priorgap.verdict.contrasts import Contrast, contrasts, scaled_mean
from priorgap.verdict.family import Family, family_of, rank_agreement
from priorgap.verdict.headline import headline, sure
from priorgap.verdict.health import findings_of, is_stop, unmatched_seeds
from priorgap.verdict.labels import NOT_CLEAN, MemorisationAuc, candidate_labels, memorisation, train_shares
from priorgap.verdict.planning import Plan, plan
from priorgap.verdict.sentences import details

_ENOUGH_SEEDS = 5  # With fewer seeds a conclusion is provisional.


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

    Where health says stop, `winner`, `winner_clean`, `effect`, `interval`, `recommended` and `best_set` are None:
    the numbers exist, but have no meaning yet.

    Attributes:
        measure: the measure that ranks the candidates, as an entry of the catalogue.
        space: the feature space in which it was measured.
        winner: the leader, where every other candidate is shown to be worse; None otherwise.
        winner_clean: the same among candidates that are neither reconstructive nor copies.
        effect: the winner's (without one, the leader's) ratio to, or difference from, `against`.
        interval: its interval, at a level at which all intervals of the study hold together.
        n_seeds: the models behind the decision.
        provisional: fewer than five seeds.
        labels: candidate -> its labels (reconstructive, copies, the decoder memorises).
        disagree: second opinions on which the leader is worse than the runner-up.
        headline: what to do; one or two plain sentences.
        sure: how sure that is, and on what it depends.
        details: the sentences with the evidence for it.
        health: findings on what is wrong or worth knowing, the gravest first.
        keys: the varying keys' values of this cell.
        scale: "log": effects are ratios; "identity": differences.
        against: what the effect is relative to: the baseline (or the runner-up, where the baseline leads).
        leader: the candidate with the best mean, whether or not it is the winner; None where nothing could be ranked.
        leader_clean: the same among candidates that are neither reconstructive nor copies.
        reason: why there is no winner; "" where there is one.
        candidates: every candidate from best to worst mean.
        advice: what to do, as data; None where health says stop or nothing could be ranked.
        against_leader: leader - every other candidate.
        against_baseline: every other candidate - baseline; with `against_leader` of one family.
        n_cells: the number of cells in the study, for which the intervals are corrected.
        n_rows: the number of test observations in the ranking; None where unknown.
        redrawn: whether each seed has a split of the data of its own.
        second_opinions: leader - runner-up on the measures that the catalogue names for that, and on the ranking
            measure in other feature spaces.
        without_error: second opinions without a valid standard error, which are no evidence.
        agreement: maps each other feature space to Kendall's tau between its ranking and this one.
        calibration: the calibrated prior - the prior, where both exist.
        memorisation_auc: whether training made posterior draws closer to their own images; None where not measured.
        train_share: maps candidates with the label `the decoder memorises` to their largest mean train share.
        not_converged: seeds whose means and variances are not matched; None where that was not measured.
        caveats: caveats, one sentence each.
        planning: what the seeds could have shown about the difference between the leader and the nearest candidate
            that it is not shown to beat (else the runner-up); None with one seed.
        facts: maps each candidate to the facts that it states about itself.
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
    headline: str = ""
    sure: str = ""
    details: tuple[str, ...] = ()
    health: tuple[Finding, ...] = ()
    keys: dict[str, Any] = field(default_factory=dict)
    scale: Scale = "identity"
    against: str | None = None
    leader: str | None = None
    leader_clean: str | None = None
    reason: str = ""
    level: float = 0.95
    smallest_ratio: float = 1.0
    candidates: tuple[CandidateSummary, ...] = ()
    advice: Advice | None = None
    against_leader: tuple[Contrast, ...] = ()
    against_baseline: tuple[Contrast, ...] = ()
    n_cells: int = 1
    n_rows: int | None = None
    redrawn: bool = False
    baseline: str = "prior"
    second_opinions: dict[str, Contrast] = field(default_factory=dict)
    without_error: tuple[str, ...] = ()
    agreement: dict[str, float] = field(default_factory=dict)
    calibration: Contrast | None = None
    memorisation_auc: MemorisationAuc | None = None
    train_share: dict[str, float] = field(default_factory=dict)
    not_converged: list[int] | None = None
    caveats: tuple[str, ...] = ()
    planning: Plan | None = None
    facts: Mapping[str, SamplerFacts] = field(default_factory=dict)
    catalogue: Catalogue = field(default_factory=lambda: BUILTIN, repr=False)

    @property
    def text(self) -> str:
        """The three tiers as one paragraph."""
        place = f"For {rd.describe(self.keys)}: " if self.keys else ""
        return place + " ".join(part for part in (self.headline, self.sure, *self.details) if part)

    @property
    def recommended(self) -> str | None:
        """The sampler to use; None where health says stop, or none may be recommended."""
        return None if self.advice is None else self.advice.recommended

    @property
    def best_set(self) -> tuple[str, ...] | None:
        """The candidates that are not shown to be worse than the leader, best first; None without a ranking."""
        return None if self.advice is None else self.advice.best_set

    @property
    def stopped(self) -> bool:
        """Whether health forbids a recommendation."""
        return is_stop(self.health)

    def to_json(self) -> dict[str, Any]:
        """Return the public keys, and all of their evidence under `details`."""
        public = ("space", "winner", "winner_clean", "effect", "n_seeds", "provisional", "labels")
        record: dict[str, Any] = {
            "headline": self.headline,
            "sure": self.sure,
            "recommended": self.recommended,
        }
        record["best_set"] = None if self.best_set is None else list(self.best_set)
        record["health"] = [finding.to_json() for finding in self.health]
        record["measure"] = self.measure.name
        record |= {name: getattr(self, name) for name in public}
        record["interval"] = None if self.interval is None else list(self.interval)
        record["disagree"] = list(self.disagree)
        record["text"] = self.text
        record["planning"] = None if self.planning is None else self.planning.to_json()
        auc = self.memorisation_auc
        record["details"] = {
            "sentences": list(self.details),
            "keys": self.keys,
            "scale": self.scale,
            "against": self.against,
            "leader": self.leader,
            "leader_clean": self.leader_clean,
            "reason": self.reason,
            "level": self.level,
            "smallest_ratio": self.smallest_ratio,
            "n_cells": self.n_cells,
            "candidates": [vars(summary) for summary in self.candidates],
            "advice": None if self.advice is None else self.advice.to_json(),
            "against_leader": [contrast.to_json() for contrast in self.against_leader],
            "against_baseline": [contrast.to_json() for contrast in self.against_baseline],
            "second_opinions": {name: c.to_json() for name, c in self.second_opinions.items()},
            "without_error": list(self.without_error),
            "agreement": self.agreement,
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
    smallest_ratio: float | None = None,
    limits: HealthLimits | None = None,
    findings: Sequence[Finding] = (),
    matches: bool | None = None,
    skipped: Mapping[str, str] | None = None,
    costs: Mapping[str, str] | None = None,
    catalogue: Catalogue = BUILTIN,
) -> Verdict:
    """Decide one cell: whether the model is healthy, what is shown about its samplers, and what to do.

    The best set are the candidates that are not shown to be worse than the one with the best mean; a winner is named
    only where that is the leader alone. Measures on the catalogue's log scale (FID) are compared by ratios, all
    others by differences. Controls and specimens are never ranked. One model: the intervals come from the measure's
    own standard errors, and the conclusion is about this trained model only. Two to four: provisional.

    Args:
        table: rows of one cell (and of its calibrated twin), with the columns of results.csv, `traits` included.
        measure: the measure that ranks.
        space: the feature space; None where there is only one.
        baseline: the candidate that effects are relative to.
        level: the level at which all intervals hold together.
        smallest_ratio: the smallest ratio that counts as a difference; None for that of conf/config.yaml.
        limits: the limits of a healthy model; None for those of conf/config.yaml.
        findings: findings from earlier checks of the model's functions or of the data.
        matches: whether training to convergence would match means and variances (see `findings_of`).
        skipped: maps measures to the reason why they were not computed, for use where there is no verdict.
        costs: maps samplers to the cost of drawing from them, which is stated for the winner.
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
    asked = Asked.of(
        measure=measure, space=rd.one_space(group, measure, space), baseline=baseline, level=level,
        smallest_ratio=smallest_ratio, limits=limits, findings=findings, skipped=skipped, costs=costs,
        catalogue=catalogue, features=space,
    )  # fmt: skip
    return decide_cell(keys, group, asked, matches=matches)


@dataclass(frozen=True)
class Asked:
    """The questions that a verdict answers, the same for every cell of a study.

    `space` is the measure's own space, `features` the feature space of the other measures in the verdict; `redrawn`
    says whether each seed has a split of the data of its own.
    """

    measure: Measure
    space: str
    features: str
    baseline: str
    level: float
    smallest_ratio: float
    limits: HealthLimits
    findings: tuple[Finding, ...]
    skipped: Mapping[str, str]
    costs: Mapping[str, str]
    catalogue: Catalogue
    n_cells: int = 1
    redrawn: bool = False

    @classmethod
    def of(
        cls,
        *,
        measure: str,
        space: str,
        baseline: str,
        level: float,
        smallest_ratio: float | None,
        limits: HealthLimits | None,
        findings: Sequence[Finding],
        skipped: Mapping[str, str] | None,
        costs: Mapping[str, str] | None,
        catalogue: Catalogue,
        n_cells: int = 1,
        redrawn: bool = False,
        features: str | None = None,
    ) -> Self:
        """Check the arguments, and fill in the default values of conf/.

        Raises:
            ValueError: a measure that does not rank, a level outside (0, 1), a ratio below 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"level={level}: expected a number between 0 and 1")
        ratio = standard_rules().smallest_ratio if smallest_ratio is None else smallest_ratio
        if ratio < 1:
            raise ValueError(f"smallest_ratio={ratio}: expected a number >= 1")
        return cls(
            rd.ranking(catalogue, measure), space, space if features is None else features, baseline, level, ratio,
            limits or standard_rules().health, tuple(findings), dict(skipped or {}), dict(costs or {}), catalogue,
            n_cells, redrawn,
        )  # fmt: skip


def decide_cell(
    keys: dict[str, Any], group: pd.DataFrame, asked: Asked, *, matches: bool | None = None
) -> Verdict:
    """Decide one cell of a study, with the given values of its varying keys; see `decide`."""
    group = rd.with_calibrated_labels(group)
    health = findings_of(
        group,
        asked.limits,
        space=asked.features,
        baseline=asked.baseline,
        matches=matches,
        given=asked.findings,
    )
    converged = unmatched_seeds(group, asked.limits)
    candidates = rd.candidates_of(group)
    facts = {name: fact for name, fact in rd.facts_of(group, asked.costs).items() if name in candidates}
    rows = rd.select(group, asked.measure.name, asked.space or None)
    label_source = rd.most_common_label_source(rows[rows["role"] == "candidate"])
    rows = rows[rd.text_column(rows, "label_source") == label_source]
    values = rd.readings_of(rows, candidates)
    n_seeds = len({seed for by_seed in values.values() for seed in by_seed})
    labels = candidate_labels(group, facts, asked.level)
    draft = Verdict(
        measure=asked.measure, space=asked.space, winner=None, winner_clean=None, effect=None, interval=None,
        n_seeds=n_seeds, provisional=n_seeds < _ENOUGH_SEEDS, labels=labels, disagree=[], health=health, keys=keys,
        level=asked.level, smallest_ratio=asked.smallest_ratio, n_cells=asked.n_cells, n_rows=_n_rows(rows),
        redrawn=asked.redrawn,
        baseline=asked.baseline, not_converged=converged, facts=facts, catalogue=asked.catalogue,
        train_share=train_shares(group, labels),
        candidates=tuple(_summary(name, by_seed) for name, by_seed in values.items()),
    )  # fmt: skip
    if len(values) < 2:
        return _with_words(replace(draft, reason=_absent(group, values, asked)))
    draft = _ranked_verdict(draft, group, values, label_source, asked)
    draft = replace(draft, caveats=_caveats(group, rows, values, label_source))
    return _with_words(_nulled(draft) if draft.stopped else draft)


def _n_rows(rows: pd.DataFrame) -> int | None:
    if "n_reference" not in rows.columns or rows["n_reference"].dropna().empty:
        return None
    return int(rows["n_reference"].min())


def _absent(group: pd.DataFrame, values: rd.Readings, asked: Asked) -> str:
    measure, space = asked.measure.name, asked.space
    where = f" in {space} space" if space not in ("", OF_DATA) else ""
    if values:
        only = next(iter(values))
        return f"only one candidate ({only}) has {measure}{where}: there is nothing to compare"
    reason = f"{measure} was not computed{where} for any candidate"
    others = _other_spaces(group, measure, space)
    if others:
        return f"{reason}, but in {', '.join(others)}; expected verdict.space={others[0]}"
    return reason + (f" ({asked.skipped[measure]})" if measure in asked.skipped else "")


def _nulled(draft: Verdict) -> Verdict:
    """Return the verdict of an unhealthy model, in which no sampler is named."""
    return replace(
        draft, winner=None, winner_clean=None, effect=None, interval=None, advice=None, planning=None, disagree=[],
        reason=draft.health[0].sentence.removesuffix("."),
    )  # fmt: skip


def _with_words(draft: Verdict) -> Verdict:
    return replace(draft, headline=headline(draft), sure=sure(draft), details=details(draft))


def _ranked(values: rd.Readings, sign: int, scale: Scale) -> list[str]:
    """Return the candidates from best to worst mean, over the seeds that all of them have."""
    common = sorted(set.intersection(*(set(by_seed) for by_seed in values.values())))
    means = {name: scaled_mean(v, common or sorted(v), scale) for name, v in values.items()}
    return sorted(values, key=lambda name: (-sign * means[name], name))


def _ranked_verdict(
    draft: Verdict, group: pd.DataFrame, values: rd.Readings, source: str, asked: Asked
) -> Verdict:
    scale, level, baseline = rd.scale_of(asked.measure, values), asked.level, asked.baseline
    order = _ranked(values, asked.measure.sign, scale)
    leader, runner_up = order[0], order[1]
    family = family_of(values, scale=scale, level=level, n_cells=asked.n_cells)
    versus = [family.contrast(leader, other) for other in order[1:]]
    clean = [name for name in order if not NOT_CLEAN & set(draft.labels.get(name, []))]
    advice = advise(
        order, family, draft.facts, draft.labels, measure=asked.measure, baseline=baseline,
        smallest_ratio=asked.smallest_ratio,
    )  # fmt: skip
    winner = leader if advice.best_set == (leader,) else None
    beside = [name for name in order if name != baseline] if baseline in values else []
    baselines = [family.contrast(name, baseline) for name in beside]
    effect = next((c for c in baselines if c.sampler == leader), versus[0])
    opinions, mute = _second_opinions(group, source, leader, runner_up, draft, asked)
    unshown = [name for name in advice.best_set if name != leader]
    nearest = unshown[0] if unshown else runner_up
    return replace(
        draft, winner=winner, winner_clean=_alone(clean, family, asked.smallest_ratio),
        effect=effect.effect, interval=effect.interval, against=effect.against, scale=scale,
        disagree=[n for n, c in opinions.items() if c.shown and _sign(n, asked) * c.effect < 0],
        leader=leader, leader_clean=clean[0] if clean else None,
        reason="" if winner else f"no difference shown between {leader} and {', '.join(unshown)}",
        candidates=tuple(_summary(name, values[name]) for name in order), advice=advice,
        against_leader=tuple(versus), against_baseline=tuple(baselines),
        second_opinions=opinions, without_error=mute, agreement=_agreement(group, source, order, asked),
        calibration=_calibration(values, baseline, scale, level, draft.n_seeds == 1),
        memorisation_auc=memorisation(group, level),
        planning=plan(
            values, leader, nearest, scale=scale, level=level, n_comparisons=len(versus),
            pooled_error=family.error(leader, nearest) if family.pooled and draft.n_seeds > 1 else None,
        ),
    )  # fmt: skip


def _alone(order: Sequence[str], family: Family, smallest_ratio: float) -> str | None:
    """Return the first of some candidates if all others are shown to be worse."""
    others = [family.contrast(name, order[0]) for name in order[1:]]
    return order[0] if order and all(counts(contrast, smallest_ratio) for contrast in others) else None


def _sign(opinion: str, asked: Asked) -> int:
    return asked.catalogue[opinion.partition(" (")[0]].sign


def _summary(name: str, by_seed: dict[int, rd.Reading]) -> CandidateSummary:
    values = [reading.value for reading in by_seed.values()]
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return CandidateSummary(name, float(np.mean(values)), spread, len(values))


def _second_opinions(
    group: pd.DataFrame, source: str, leader: str, runner_up: str, draft: Verdict, asked: Asked
) -> tuple[dict[str, Contrast], tuple[str, ...]]:
    """Return leader − runner-up on each second opinion, with its interval, and the opinions without a valid error."""
    asked_of = [
        (one.name, asked.features, one.name) for one in asked.catalogue.values() if one.second_opinion
    ]
    ranks = asked.measure.name
    asked_of += [(ranks, space, f"{ranks} ({space})") for space in _other_spaces(group, ranks, asked.space)]
    found, mute = {}, []
    for measure, space, name in asked_of:
        if name == ranks:
            continue
        rows = rd.select(group, measure, space or None, label_source=source if measure == ranks else None)
        values = rd.readings_of(rows, [leader, runner_up])
        if len(values) < 2:
            continue
        contrast = contrasts(
            values, [(leader, runner_up)], scale="identity", level=asked.level, one_model=draft.n_seeds == 1
        )[0]
        found[name] = contrast
        if contrast.interval is None:
            mute.append(name)
    return found, tuple(mute)


def _other_spaces(group: pd.DataFrame, measure: str, space: str) -> list[str]:
    rows = rd.select(group, measure)
    found = set(rd.text_column(rows[rd.text_column(rows, "role") == "candidate"], "space"))
    return sorted(found - {space, ""})


def _agreement(group: pd.DataFrame, source: str, order: Sequence[str], asked: Asked) -> dict[str, float]:
    """Return Kendall's tau between the ranking and that in every other feature space."""

    def means(where: str) -> dict[str, float]:
        rows = rd.select(group, asked.measure.name, where or None, label_source=source)
        values = rd.readings_of(rows, list(order))
        return {name: float(np.mean([r.value for r in by_seed.values()])) for name, by_seed in values.items()}

    own, found = means(asked.space), {}
    for other in _other_spaces(group, asked.measure.name, asked.space):
        there = means(other)
        common = [name for name in order if name in there]
        tau = rank_agreement([[own[n] for n in common], [there[n] for n in common]])
        if tau is not None:
            found[other] = tau
    return found


def _calibration(
    values: rd.Readings, baseline: str, scale: Scale, level: float, one_model: bool
) -> Contrast | None:
    calibrated = f"{baseline}{rd.CALIBRATED}"
    if baseline not in values or calibrated not in values:
        return None
    return contrasts(values, [(calibrated, baseline)], scale=scale, level=level, one_model=one_model)[0]


def _sizes(rows: pd.DataFrame) -> list[str]:
    """Return what is said where not all values rest on equally many samples."""
    if rows["n"].nunique() < 2:
        return []
    if rows.groupby("seed")["n"].nunique().max() > 1:
        return ["The candidates were measured on different numbers of samples."]
    low, high = int(rows["n"].min()), int(rows["n"].max())
    return [f"Seeds have {low:,} to {high:,} samples, in each the same for all candidates."]


def _caveats(
    group: pd.DataFrame, rows: pd.DataFrame, values: rd.Readings, label_source: str
) -> tuple[str, ...]:
    found = []
    counts = {len(by_seed) for by_seed in values.values()}
    if len(counts) > 1:
        found.append("Not every candidate was measured for every seed; pairs use the seeds they share.")
    if "n" in rows.columns:
        found += _sizes(rows[(rows["role"] == "candidate") & rows["n"].notna()])
    missing = sorted(set(rd.candidates_of(group)) - set(values))
    if missing:
        kind = f" with labels from the {label_source}" if label_source else ""
        found.append(f"Without this measure{kind}, so not ranked: {', '.join(missing)}.")
    return tuple(found)
