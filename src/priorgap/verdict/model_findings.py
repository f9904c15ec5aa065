"""Findings from a model's measurements: what is wrong with it, or must be known of it, before samplers are ranked.

Each function reads the rows of one cell and returns one finding, or None where the quantity is within its limit or
was not measured.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from priorgap.core.findings import Finding
from priorgap.core.verdict_rules import HealthLimits
from priorgap.verdict import readings as rd

TOO_FEW_ROWS = "too_few_rows"
EXPLODED = "exploded_posteriors"
EMPTY_LATENT = "nothing_in_the_latent_space"
RECONSTRUCTION = "reconstructions_no_better_than_the_mean"
DECODER = "decoder_limits"
MEANS = "means_hide_what_the_decoder_can"
NOT_CONVERGED = "not_converged"
MOMENTS = "moments"
UNUSED = "unused_units"
NOT_APPLIED = "sampler_does_not_apply"


@dataclass(frozen=True)
class ModelRows:
    """The rows from which findings are computed."""

    own: pd.DataFrame
    group: pd.DataFrame
    space: str
    baseline: str

    def by_seed(self, measure: str, space: str | None = None) -> dict[int, float]:
        """Return the model's value by seed; {} where it was not measured."""
        rows = rd.select(self.own, measure, space)
        found: dict[int, float] = {}
        for seed, value in zip(rows["seed"], rows["value"], strict=True):
            found.setdefault(int(seed), float(value))
        return found

    def _of_single_units(self, measure: str) -> pd.DataFrame:
        return self.own[(self.own["measure"] == measure) & (rd.text_column(self.own, "unit") != "")]

    def of_units(self, measure: str) -> dict[int, float]:
        """Return the largest value over latent units, by seed."""
        rows = self._of_single_units(measure)
        found: dict[int, float] = {}
        for seed, value in zip(rows["seed"], rows["value"], strict=True):
            if not math.isnan(float(value)):
                found[int(seed)] = max(found.get(int(seed), -math.inf), float(value))
        return found

    def n_units(self, measure: str) -> dict[int, int]:
        """Return how many latent units have a value of their own, by seed."""
        rows = self._of_single_units(measure)
        found: dict[int, set[str]] = {}
        for seed, unit in zip(rows["seed"], rd.text_column(rows, "unit"), strict=True):
            found.setdefault(int(seed), set()).add(unit)
        return {seed: len(units) for seed, units in found.items()}

    def mean_fids(self) -> dict[str, float]:
        """Return the mean FID of each candidate in the space of the ranking."""
        rows = rd.select(self.group, "fid", self.space or None)
        names = rd.candidates_of(rows)
        values = rd.readings_of(rows, names)
        return {name: _mean([r.value for r in by_seed.values()]) for name, by_seed in values.items()}

    def where(self, seeds: Sequence[int]) -> str:
        """Return " (seed 3)" where not all models have the fault."""
        every = {int(seed) for seed in self.group["seed"].dropna()}
        if set(seeds) == every:
            return ""
        return f" ({'seed' if len(seeds) == 1 else 'seeds'} {_listed(sorted(seeds))})"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _listed(seeds: Sequence[int]) -> str:
    names = [str(seed) for seed in seeds]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _few_rows(model: ModelRows, limits: HealthLimits) -> Finding | None:
    rows = rd.select(model.group, "fid", model.space or None)
    sizes = rows["n_reference"].dropna() if "n_reference" in rows.columns else rows["value"].iloc[:0]
    if not len(sizes):
        return None
    n = int(sizes.min())
    if n < limits.rows_stop:
        sentence = f"Bring more test observations first: {n} are too few to tell samplers apart."
        return Finding("stop", TOO_FEW_ROWS, n, limits.rows_stop, sentence)
    if n < limits.rows_warn:
        sentence = (
            f"There are only {n} test observations: small differences between samplers are beyond them."
        )
        return Finding("warn", TOO_FEW_ROWS, n, limits.rows_warn, sentence)
    return None


def _exploded(model: ModelRows, limits: HealthLimits) -> Finding | None:
    by_seed = model.of_units("rate") or model.by_seed("rate")
    bad = {seed: value for seed, value in by_seed.items() if value > limits.unit_rate}
    if not bad:
        return None
    worst = max(bad.values())
    size = f"{_number(worst)} nats" if math.isfinite(worst) else "infinite"
    sentence = (
        f"Check the encoder's log_var, and the training, first{model.where(list(bad))}: the posteriors have exploded "
        f"(the largest rate of a latent unit is {size})."
    )
    return Finding("stop", EXPLODED, worst, limits.unit_rate, sentence)


def _empty(model: ModelRows, limits: HealthLimits) -> Finding | None:
    active, rate = model.by_seed("active_units_var"), model.by_seed("rate")
    bad = {seed for seed, value in active.items() if value == 0}
    bad |= {seed for seed, value in rate.items() if value < limits.rate}
    if not bad:
        return None
    rates = [rate[seed] for seed in bad if seed in rate]
    said = f"; the rate is {_number(min(rates))} nat" if rates else ""
    units = (
        "no latent unit is active" if any(active.get(seed) == 0 for seed in bad) else "it is all but unused"
    )
    sentence = (
        f"Train the model first{model.where(list(bad))}: there is nothing in its latent space ({units}{said}), so "
        "every sampler gives the same images."
    )
    return Finding("stop", EMPTY_LATENT, min(rates) if rates else 0.0, limits.rate, sentence)


def _reconstruction(model: ModelRows, limits: HealthLimits) -> Finding | None:
    bad = {seed: v for seed, v in model.by_seed("explained_share").items() if v < limits.explained}
    if not bad:
        return None
    sentence = (
        f"Train the model first{model.where(list(bad))}: its reconstructions are no better than the mean "
        "observation. If it is trained, what decode returns is not on the scale of the data."
    )
    return Finding("stop", RECONSTRUCTION, min(bad.values()), limits.explained, sentence)


def _decoder(model: ModelRows, limits: HealthLimits) -> Finding | None:
    floors = model.by_seed("fid_floor", model.space)
    found = model.by_seed("fid_reconstruction", model.space)
    fids = model.mean_fids()
    if not fids or not floors or min(floors.values()) <= 0:
        return None
    seeds = sorted(set(floors) & set(found))
    if not seeds:
        return _all_far(min(fids.values()), _mean(list(floors.values())), limits)
    floor, own = _mean([floors[s] for s in seeds]), _mean([found[s] for s in seeds])
    beside = fids.get(model.baseline, max(fids.values()))
    times, best = own / floor, min(fids.values())
    far = times >= limits.decoder_warn and own >= limits.decoder_share * beside
    # Reconstructions are closer here, but still limit every sampler: even the best one is hardly better than they
    # are.
    near = times >= limits.decoder_near and own >= limits.decoder_near_share * beside
    near &= best >= limits.decoder_near_share * own
    if not far and not near:
        return None
    facts = (
        f"its reconstructions have FID {_number(own)}, {_number(times)} times that of real images "
        f"({_number(floor)}), and the best sampler has {_number(best)}"
    )
    if far and times >= limits.decoder_stop:
        sentence = f"Train the model longer, or a better decoder, first: {facts}."
        return Finding("stop", DECODER, times, limits.decoder_stop, sentence)
    sentence = f"The decoder limits quality more than the choice of sampler: {facts}."
    limit = limits.decoder_warn if far else limits.decoder_near
    return Finding("warn", DECODER, times, limit, sentence)


def _all_far(best: float, floor: float, limits: HealthLimits) -> Finding | None:
    """Return a finding on the best sampler, for models without reconstructions."""
    times = best / floor
    if times < limits.decoder_stop:
        return None
    sentence = (
        f"Train the model longer, or a better one, first: the best sampler has FID {_number(best)}, "
        f"{_number(times)} times that of real images ({_number(floor)})."
    )
    return Finding("stop", DECODER, times, limits.decoder_stop, sentence)


def _means(model: ModelRows, limits: HealthLimits) -> Finding | None:
    """Note that means of p(x|z) are further from test rows than a sampler's draws, so that they set no limit for it.

    Reconstructions and samplers differ in their numbers of rows, and fewer rows have a larger FID. So only a
    difference larger than that among real rows counts.
    """
    if (rd.text_column(model.group, "decode") == "draw").any():
        return None
    floors, found = model.by_seed("fid_floor", model.space), model.by_seed("fid_reconstruction", model.space)
    fids, seeds = model.mean_fids(), sorted(set(floors) & set(found))
    best = min(fids.values(), default=math.nan)
    if not seeds or not best > 0:
        return None
    floor, own = _mean([floors[s] for s in seeds]), _mean([found[s] for s in seeds])
    if not (own >= limits.decoder_means * best and own - best > floor):
        return None
    sentence = (
        f"Measure draws of p(x|z) beside its means (decode=[mean,draw]): reconstructions have FID {_number(own)}, "
        f"further from test observations than the best sampler ({_number(best)}), so the means do not show what the "
        "decoder can do."
    )
    return Finding("note", MEANS, own / best, limits.decoder_means, sentence)


def _moments(model: ModelRows, limits: HealthLimits, matches: bool | None) -> Finding | None:
    own = model.own[~rd.is_calibrated(model.own)] if len(model.own) else model.own
    rows = rd.select(own, "kl_diag_train")
    by_seed = {int(s): float(v) for s, v in zip(rows["seed"], rows["value"], strict=True)}
    bad = {seed: value for seed, value in by_seed.items() if value > limits.moments}
    if not bad:
        return None
    seeds = f"{'seed' if len(bad) == 1 else 'seeds'} {_listed(sorted(bad))}"
    worst = max(bad.values())
    facts = (
        f"the latent units' means and variances on training observations differ from the prior's by up to "
        f"{_number(worst)} nat"
    )
    if matches:
        sentence = (
            f"Not converged ({seeds}): {facts}, which longer training would remove for this kind of model."
        )
        return Finding("warn", NOT_CONVERGED, worst, limits.moments, sentence)
    remedy = "calibrate=true or the sampler gaussian_diag gives that part back"
    sentence = f"Moments not matched ({seeds}): {facts}; {remedy}."
    return Finding("note", MOMENTS, worst, limits.moments, sentence)


def _unused(model: ModelRows, limits: HealthLimits) -> Finding | None:
    active, n_units = model.by_seed("active_units_rate"), model.n_units("rate")
    seeds = sorted(set(active) & set(n_units))
    if not seeds:
        return None
    total = max(n_units[s] for s in seeds)
    unused = _mean([n_units[s] - active[s] for s in seeds])
    if unused < limits.unused_units:
        return None
    sentence = (
        f"{round(unused)} of {total} latent units are not in use: a density fitted to all of them spends parameters "
        "on these; the sampler active_gmm fits a mixture to the units in use alone."
    )
    return Finding("note", UNUSED, unused, limits.unused_units, sentence)


def computed_findings(model: ModelRows, limits: HealthLimits, *, matches: bool | None) -> list[Finding]:
    """Return the findings on the models of one cell, in the order of `COMPUTED`.

    Args:
        model: the rows that they are computed from.
        limits: the limits of a healthy model.
        matches: whether training to convergence would bring the means and variances of q(z) to the prior's; None:
            not known.
    """
    found = (
        _few_rows(model, limits), _exploded(model, limits), _empty(model, limits), _reconstruction(model, limits),
        _decoder(model, limits), _means(model, limits), _moments(model, limits, matches), _unused(model, limits),
    )  # fmt: skip
    return [finding for finding in found if finding is not None]


def not_applied(reasons: Mapping[str, str]) -> list[Finding]:
    """Return a finding for each sampler that was asked for and did not apply.

    Args:
        reasons: maps the sampler's name to the reason, in one line.
    """
    return [
        Finding(
            "note",
            NOT_APPLIED,
            None,
            None,
            f"{name} has no draws: {reason.removeprefix(f'{name}: ').rstrip('.')}.",
        )
        for name, reason in sorted(reasons.items())
    ]
