"""Draws of each applicable sampler, all of their measures, and the table of both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from priorgap.comparison.decode_rules import DRAW, DecodeRule, model_name
from priorgap.comparison.threads import CallerThread, n_threads_for
from priorgap.core.measurement import Measurement
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.evaluation.model import ModelFunctions
from priorgap.evaluation.sample import Draws, fit_and_draw
from priorgap.metrics.evidence import ModelEvidence
from priorgap.metrics.measuring import measure_one
from priorgap.metrics.protocols import Metric
from priorgap.samplers.applicability import ModelTraits
from priorgap.samplers.protocols import FitInputs, Sampler, SamplerNotApplicable
from priorgap.verdict import FACT_COLUMNS, RESULT_COLUMNS

if TYPE_CHECKING:
    import pandas as pd


def draws_of(
    samplers: Sequence[Sampler],
    inputs: FitInputs,
    traits: ModelTraits,
    model: ModelFunctions,
    n: int,
    seed: int,
) -> tuple[list[Draws], dict[str, str]]:
    """Return the draws of each applicable sampler, and the reasons for the others by name."""
    draws, skipped = [], {}
    for sampler in samplers:
        try:
            draws.append(fit_and_draw(sampler, inputs, traits, model, n, seed=seed))
        except SamplerNotApplicable as reason:
            skipped[sampler.name] = str(reason)
    return draws, skipped


Rows = list[tuple[str, str, Measurement]]


def measure(
    metrics: Sequence[Metric],
    models: Mapping[DecodeRule, ModelEvidence],
    draws: Sequence[Draws],
    *,
    seed: int,
    progress: Callable[[str], object] = lambda line: None,
) -> tuple[dict[DecodeRule, Rows], dict[str, str]]:
    """Measure a model and its samplers, for each decode rule.

    Returns:
        For each rule (sampler, role, measurement) rows; and the reasons for absent measures by name.
    """
    rows: dict[DecodeRule, Rows] = {rule: [] for rule in models}
    skipped: dict[str, str] = {}
    # Metrics that use no x have the same result for each rule.
    shared: dict[str, tuple[list[Measurement], str | None]] = {}
    for rule, model in models.items():
        of_draws = " (draws of p(x|z))" if rule == DRAW and len(models) > 1 else ""
        progress(f"measuring the model{of_draws}")
        alone = model.alone()
        for metric in (m for m in metrics if m.scope == "model"):
            found, reason = shared.get(metric.name) or measure_one(metric, alone, seed=seed)
            if "decode" not in metric.needs:
                shared[metric.name] = found, reason
            rows[rule] += [("", "", row) for row in found]
            if reason is not None:
                skipped[metric.name] = reason
        for one, (own, reasons) in zip(
            draws, _of_samplers(metrics, model, draws, seed, progress, of_draws), strict=True
        ):
            rows[rule] += [(one.sampler.name, one.sampler.role, row) for row in own]
            skipped |= reasons
    return rows, skipped


def _of_samplers(
    metrics: Sequence[Metric],
    model: ModelEvidence,
    draws: Sequence[Draws],
    seed: int,
    progress: Callable[[str], object],
    of_draws: str,
) -> list[tuple[list[Measurement], dict[str, str]]]:
    """Return each sampler's measurements, and the reasons for absent measures; several samplers run at once."""
    caller = CallerThread(n_threads_for(len(draws)))
    say = caller.here(progress)
    model = replace(
        model,
        decode=None if model.decode is None else caller.here(model.decode),
        expected=None if model.expected is None else caller.here(model.expected),
        encode=None if model.encode is None else caller.here(model.encode),
        log_likelihood=None if model.log_likelihood is None else caller.here(model.log_likelihood),
    )

    def task(one: Draws) -> tuple[list[Measurement], dict[str, str]]:
        say(f"measuring {one.sampler.name}{of_draws}")
        evidence = model.of(one.sampler.name, one.sampler.role, one.draw, label_source=one.label_source)
        rows, skipped = [], {}
        for metric in (m for m in metrics if m.scope == "sampler"):
            found, reason = measure_one(metric, evidence, seed=seed)
            rows += found
            if reason is not None:
                skipped[f"{metric.name} of {one.sampler.name}"] = reason
        return rows, skipped

    return caller.run([partial(task, one) for one in draws])


def table_of(rows: Mapping[DecodeRule, Rows], facts: Mapping[str, SamplerFacts], seed: int) -> "pd.DataFrame":
    """Return measurements as rows with the columns of results.csv; each decode rule is a cell of its own."""
    import pandas as pd

    traits = {"": "", **{name: fact.traits for name, fact in facts.items()}}
    records = []
    for rule, own in rows.items():
        name = model_name(rule)
        head = {"study": "compare", "cell": name, "model": name, "seed": seed, "decode": rule}
        records += [
            {**head, "sampler": s, "role": role, "traits": traits[s], **row.to_json()} for s, role, row in own
        ]
    return pd.DataFrame(records, columns=[*RESULT_COLUMNS, *FACT_COLUMNS])
