"""All complete measurements of some recorded models as one tidy table; nothing that a record names is built."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from priorgap.core import artifacts, measures
from priorgap.core.catalogue import BUILTIN
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Catalogue, Measure
from priorgap.core.sampler_facts import SamplerFacts, united
from priorgap.pipeline.config import training_precision
from priorgap.pipeline.config.model_config import DATA_SEEDS
from priorgap.pipeline.store.layout import Store
from priorgap.pipeline.store.records import MARGINALS, Record, RecordedModel, RecordedStep
from priorgap.verdict import FACT_COLUMNS, RESULT_COLUMNS

_COSMETIC = (
    "output_root",
    "tracking",
    "study",
    "seed",
    "samplers",
    "metrics",
    "calibrated_samplers",
    "batching",
    "measure_processes",
)


@dataclass(frozen=True)
class Gathered:
    """Everything that a report shows about some cells.

    Attributes:
        table: the tidy table.
        skipped: maps what is absent to the reason.
        missing: names of models whose results are not complete.
        catalogue: the entries of the study's measures: our own, and those of its plugins.
        costs: maps samplers to the cost of drawing from them.
        known_as: maps samplers to their usual names in published code, if they have one.
        redrawn: whether each seed has a split of the data of its own.
        without_draws: maps samplers that apply to no model to the reason.
    """

    table: pd.DataFrame
    skipped: dict[str, str]
    missing: list[str]
    catalogue: Catalogue
    costs: dict[str, str]
    known_as: dict[str, str]
    redrawn: bool
    without_draws: dict[str, str]


class NothingMeasured(ValueError):  # noqa: N818
    """A study holds no measurement at all; the message is one line."""


class FactsMissing(ValueError):  # noqa: N818
    """An earlier version drew from a study's samplers without recording their facts; the message is one line."""


def catalogue_of(reported: Sequence[Record], store: Store) -> Catalogue:
    """Return the entries of the measures of some models: our own, and those of plugins."""
    own = [
        Measure.from_json(entry)
        for _, model in models_of(reported)
        for step in _complete(model, store)
        for entry in store.value(step)["measures"]
    ]
    return measures.united(BUILTIN.values(), own)


def gather(reported: Sequence[Record], store: Store) -> Gathered:
    """Collect every complete measurement of some models into the tidy table.

    Raises:
        NothingMeasured: there is no measurement.
        FactsMissing: a version that did not record facts drew from a sampler.
        Damaged: a measurement differs from its manifest.
    """
    varying = _varying(reported)
    rows: list[dict[str, Any]] = []
    reasons: dict[str, set[str]] = {}
    inapplicable: dict[str, str] = {}
    missing: list[str] = []
    facts: dict[str, list[SamplerFacts]] = {}
    untold: set[str] = set()
    own: list[Measure] = []
    for record, model in models_of(reported):
        complete = _complete(model, store)
        if len(complete) < len(measurements_of(model)):
            missing.append(f"{record.label}-{model.id}")
        drawn = _drawn(model, store)
        inapplicable |= {name: str(r["skipped"]) for name, r in drawn.items() if r["skipped"] is not None}
        told = {name: SamplerFacts.from_json(r["facts"]) for name, r in drawn.items() if "facts" in r}
        for name, fact in told.items():
            facts.setdefault(name, []).append(fact)
        for step in complete:
            content = store.value(step)
            if content["skipped"] is not None:
                what = step.metric if not step.sampler else f"{step.metric} of {step.sampler}"
                reasons.setdefault(what, set()).add(content["skipped"])
            own += [Measure.from_json(entry) for entry in content["measures"]]
            head = _head(record, model, step.sampler, varying, store)
            head["traits"] = told[step.sampler].traits if step.sampler in told else ""
            if step.sampler and content["rows"] and step.sampler not in told:
                untold.add(step.sampler)
            rows += [{**head, **Measurement.from_json(row).to_json()} for row in content["rows"]]
    if not rows:
        raise NothingMeasured(
            f"study={reported[0].study}: nothing is measured; run `priorgap run` or the stages first"
        )
    if untold:
        raise FactsMissing(
            f"study={reported[0].study}: the facts of {', '.join(sorted(untold))} are missing: an earlier version "
            "drew from them. Run the study again by the command that made it: samplers are fitted anew, and "
            "nothing is trained"
        )
    last = [column for column in FACT_COLUMNS if column not in varying]
    table = pd.DataFrame(rows, columns=[*RESULT_COLUMNS, *varying, *last])
    skipped = {what: "; ".join(sorted(why)) for what, why in sorted(reasons.items())}
    whole = {name: united(found) for name, found in facts.items()}
    costs = {name: fact.cost for name, fact in whole.items()}
    known_as = {name: fact.known_as for name, fact in whole.items() if fact.known_as}
    catalogue = measures.united(BUILTIN.values(), own)
    without_draws = {name: reason for name, reason in inapplicable.items() if name not in facts}
    return Gathered(table, skipped, missing, catalogue, costs, known_as, _redraws(reported), without_draws)


def _complete(model: RecordedModel, store: Store) -> list[RecordedStep]:
    found = []
    for step in measurements_of(model):
        if store.is_complete(step):
            found.append(step)
        else:
            _refuse_damaged(step, store)
    return found


def _drawn(model: RecordedModel, store: Store) -> dict[str, Any]:
    """Return what is stored of each sampler: the facts that it states about itself, or why it does not apply."""
    return {name: store.value(step) for name, step in model.samples.items() if store.is_complete(step)}


def _refuse_damaged(step: RecordedStep, store: Store) -> None:
    damage = store.damage(step)
    if damage:
        raise artifacts.Damaged(f"damaged: {damage[0]}; the command that made it makes it again")


def measurements_of(model: RecordedModel) -> list[RecordedStep]:
    """Return the measurements of a model, without data that only pictures need."""
    return [step for step in model.of("measure") if step.metric != MARGINALS]


def models_of(reported: Sequence[Record]) -> list[tuple[Record, RecordedModel]]:
    """Return every model of some records, trained and calibrated, with its record."""
    return [(record, model) for record in reported for model in record.models]


def _head(
    record: Record, model: RecordedModel, sampler: str, varying: Mapping[str, None], store: Store
) -> dict[str, Any]:
    flat = _flat(record.config)
    return {
        "study": record.study,
        "cell": model.group,
        "model": model.id,
        "seed": model.seed,
        "decode": model.decode,
        "sampler": sampler,
        "role": store.value(model.samples[sampler])["role"] if sampler else "",
        **{key: model.calibrated if key == "calibrate" else _entry(key, flat.get(key)) for key in varying},
    }


def _entry(key: str, value: Any) -> Any:
    """Return a value in the form of a column by which the table is grouped: a list becomes text."""
    return str(list(value)) if isinstance(value, list | tuple) else training_precision.named(key, value)


def _flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _varying(reported: Sequence[Record]) -> dict[str, None]:
    """Return the dotted keys that differ between models (and `calibrate` if both kinds exist)."""
    flats = [_flat(_relevant(record.config)) for record in reported]
    keys = sorted({key for flat in flats for key in flat})
    varying = {key: None for key in keys if len({str(flat.get(key)) for flat in flats}) > 1}
    # Keys that change only together with another key are left out.
    varying = {
        key: None
        for key in varying
        if key != "prior.dim" and not (key.startswith("data.source.") and _follows(key, "data.name", flats))
    }
    varying = {
        key: None
        for key in varying
        if not _is_redrawn_with_the_seed(key, reported) and not _is_an_option_of_a_class(key, flats)
    }
    if len({model.calibrated for _, model in models_of(reported)}) > 1:
        varying["calibrate"] = None
    return varying


def _follows(key: str, other: str, flats: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a key has one value for each value of another: a data set has its own files and columns."""
    values: dict[str, set[str]] = {}
    for flat in flats:
        values.setdefault(str(flat.get(other)), set()).add(str(flat.get(key)))
    return len(values) > 1 and all(len(found) == 1 for found in values.values())


def _is_an_option_of_a_class(key: str, flats: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether only some of a group's classes have the key, each with a single value of it."""
    target = f"{key.partition('.')[0]}._target_"
    lacking = [flat for flat in flats if key not in flat]
    return key != target and bool(lacking) and _follows(key, target, flats)


def _is_redrawn_with_the_seed(key: str, reported: Sequence[Record]) -> bool:
    """Return whether a key is the data's own seed, with one value for each seed of the study."""
    if key not in [f"data.source.{name}" for name in DATA_SEEDS]:
        return False
    flats = [_flat({"seed": record.config["seed"], "data": record.config["data"]}) for record in reported]
    return _follows(key, "seed", [flat for flat in flats if key in flat])


def _redraws(reported: Sequence[Record]) -> bool:
    """Return whether each seed has its own split of the data, or its own synthetic data."""
    for name in DATA_SEEDS:
        sources = [record.config["data"]["source"] for record in reported]
        values = {str(source.get(name)) for source in sources}
        if len(values) > 1 and _is_redrawn_with_the_seed(f"data.source.{name}", reported):
            return True
    return False


def _relevant(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in (*_COSMETIC, "calibrate")}
