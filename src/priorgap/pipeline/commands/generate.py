"""`priorgap generate`: a synthetic data set from a finished study."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from priorgap.core import artifacts, plugins
from priorgap.core.arguments import show
from priorgap.core.build import target_roots
from priorgap.core.catalogue import BUILTIN
from priorgap.core.errors import BadInput, refusing
from priorgap.core.findings import Finding, stop_sentence
from priorgap.core.receivers import PACKAGE
from priorgap.data.exports import Block, Format, format_of, write
from priorgap.data.scaling import ColumnScaling
from priorgap.data.splits import Dataset, load_dataset
from priorgap.data.table_exports import check_table_format, write_table
from priorgap.evaluation.generation import generate
from priorgap.modalities import GapLayout
from priorgap.pipeline import models
from priorgap.pipeline.commands.told import Told, told_of
from priorgap.pipeline.config import parts
from priorgap.pipeline.config.groups import is_study_name
from priorgap.pipeline.store import records
from priorgap.pipeline.store.layout import Store
from priorgap.pipeline.store.records import Record, RecordedModel
from priorgap.samplers.protocols import FittedSampler, SamplerState
from priorgap.tables.layout import TableLayout

if TYPE_CHECKING:
    import pandas as pd

    from priorgap.report.card import DataCard, Measured
    from priorgap.verdict import Recommendation

# More rows than this would not fit onto any disk.
_MOST = 10**9
_DEFAULTS = {
    "model_id": "best",
    "sampler": "",
    "seed": "0",
    "format": "",
    "decode": "",
    "class": "",
    "given": "",
    "output_root": "outputs",
    "plugins": "",
}
_REQUIRED = ("study", "n", "out")
# The nodes of a configuration from which a model is rebuilt.
_REBUILT = ("model", "likelihood", "prior", "loss")


@dataclass(frozen=True)
class Order:
    """The user's request, checked."""

    study: Path
    n: int
    out: Path
    model_id: str
    sampler: str
    seed: int
    format: Format
    decode: str
    label: str
    given: Path | None = None
    plugins: tuple[str, ...] = ()


def main(arguments: Sequence[str]) -> int:
    """Run the command; bad input raises ValueError with one line."""
    with refusing():
        order = _parse(arguments)
        blocks, table, card = _prepare(order)
    from priorgap.report.card import write_card

    try:
        with refusing():
            if table is None:
                write(order.out, blocks, order.n, order.format)
            else:
                write_table(order.out, blocks, table, order.format)
        place = write_card(card, order.out)
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise BadInput(f"out={order.out}: cannot be written: {error.strerror}") from error
    _say(
        f"{order.n} samples of {card.sampler} from model {card.model}, in {order.out}; {place} says what they are"
    )
    return 0


def _prepare(order: Order) -> "tuple[Iterator[Block], TableLayout | None, DataCard]":
    """Find model and sampler, and a table's layout; nothing is drawn before the first block is requested."""
    from priorgap.report.card import DataCard

    store = Store(order.study.parent)
    known = list(records.records_of(store, order.study.name))
    plugins.allow(order.plugins)
    lost = records.unreadable(store, order.study.name)
    if lost and not known:
        raise ValueError(lost[0])
    report = _Report(order.study / "report")
    model_id, sampler = _choose(order, known, store, report)
    found = _find([model for record in known for model in record.models], model_id)
    said = report.said_of(found.id, sampler)
    stop = stop_sentence(said.findings)
    if stop:
        _say(f"WARNING: the verdict recommends no sampler of this model. {stop}")
    record = next(record for record in known if found in record.models)
    # The decode rule by which the model was measured is used, unless another one is requested.
    order = replace(order, decode=order.decode or found.decode)
    step = found.samples.get(sampler)
    if step is None or not (store.is_complete(step) or store.damage(step)):
        names = ", ".join(name for name, s in found.samples.items() if store.is_complete(s)) or "none"
        raise ValueError(f"sampler={sampler}: expected one that was sampled for this model: {names}")
    facts = store.value(step)
    if facts["skipped"] is not None:
        raise ValueError(f"sampler={sampler}: it does not apply to this model: {facts['skipped']}")
    if "facts" not in facts:
        raise ValueError(
            f"sampler={sampler}: an earlier version drew from it; run the study again by the command that made it "
            "(samplers are fitted anew, nothing is trained)"
        )
    _check_packages(order.study.name, record.config, sampler)
    made_by = parts.sampler(record.config, sampler)
    # Checksums are verified before a model is rebuilt from its files.
    model = models.load(store.folder(found.weights))
    modality = model.modality
    file_format = format_of(order.out, order.format, images=modality.pictures)
    if modality.table is not None:
        check_table_format(order.out, file_format)
    tensors = {
        key.removeprefix("state."): value
        for key, value in store.tensors(step).items()
        if key.startswith("state.")
    }
    fitted = made_by.restore(
        SamplerState(facts["state"]["name"], tensors, facts["state"]["json"]), model.prior
    )
    label = None if not order.label else _class_number(order.label, _facts_of_data(record, store))
    # The data of other studies may have been removed, so only the provenance of the data is read.
    scaling = (
        ColumnScaling.kept_in(_facts_of_data(record, store)["provenance"]) if modality.sequences else None
    )
    told = told_of(
        model, fitted, sampler, order.n, given=order.given, label=order.label, label_source=made_by.label_source,
        data=lambda: _data_of(record, store),
    )  # fmt: skip
    card = DataCard(
        study=order.study.name,
        model=found.name,
        sampler=sampler,
        role=str(facts["role"]),
        traits=fitted.facts.traits,
        decode=order.decode,
        seed=order.seed,
        n=order.n,
        label=order.label,
        headline=said.headline,
        findings=said.findings,
        measured=said.measured,
        columns=_names_of(scaling, modality.table),
        gaps=_gaps_of(scaling, modality.gaps),
        context=told.source,
    )
    blocks = _blocks(fitted, model, order, label, told)
    if modality.gaps is not None:
        blocks = _observed(blocks, modality.gaps)
    if scaling is not None:
        blocks = _in_units(blocks, scaling)
    return blocks, modality.table, card


def _names_of(scaling: ColumnScaling | None, table: TableLayout | None) -> tuple[str, ...]:
    """Return the names of the columns whose values are written in the file's units."""
    if table is not None:
        return table.names
    return () if scaling is None else scaling.names


def _gaps_of(scaling: ColumnScaling | None, gaps: GapLayout | None) -> tuple[str, ...]:
    """Return the names of the window columns whose values may be missing."""
    return () if scaling is None or gaps is None else tuple(scaling.names[i] for i in gaps.about)


def _observed(blocks: Iterator[Block], gaps: GapLayout) -> Iterator[Block]:
    """Yield windows with values only, NaN where missing."""
    for block in blocks:
        yield replace(block, x=gaps.observed(block.x).astype(block.x.dtype))


def _in_units(blocks: Iterator[Block], scaling: ColumnScaling) -> Iterator[Block]:
    """Yield the rows in the units of the data's file."""
    for block in blocks:
        yield replace(block, x=scaling.restored(block.x).astype(block.x.dtype))


def _facts_of_data(record: Record, store: Store) -> dict[str, Any]:
    """Return the provenance of the study's data, once its checksum is verified."""
    (step,) = (one for one in record.steps if one.kind == "prepare")
    artifacts.check(store.folder(step), "dataset.json")
    found: dict[str, Any] = artifacts.load_json(store.folder(step) / "dataset.json")
    return found


def _data_of(record: Record, store: Store) -> Dataset:
    """Return the study's data, once their checksums are verified; a model with contexts needs a part of them."""
    (step,) = (one for one in record.steps if one.kind == "prepare")
    folder = store.folder(step)
    artifacts.check(folder)
    return load_dataset(folder)


def _class_number(given: str, facts: Mapping[str, Any]) -> int:
    """Return the number of a class, given as a number or by its name in the data.

    Raises:
        ValueError: there is no such class; one line with the existing ones.
    """
    if facts["n_classes"] is None:
        raise ValueError(f"class={given}: the data of this study have no classes")
    names = [str(name) for name in facts["provenance"].get("classes") or []]
    if given in names:
        return names.index(given)
    if given.isdecimal() and int(given) < facts["n_classes"]:
        return int(given)
    known = ", ".join(names[:20]) if names else f"0 to {facts['n_classes'] - 1}"
    raise ValueError(f"class={show(given)}: expected one of {known}")


def _check_packages(study: str, config: Mapping[str, Any], sampler: str) -> None:
    """Refuse a study with classes of packages that this command was not given: a record must not cause imports.

    Raises:
        ValueError: such packages are used; one line that names them.
    """
    needed = [*(config.get(group) for group in _REBUILT), config["samplers"].get(sampler)]
    roots = target_roots(needed) - {PACKAGE}
    known = (*plugins.allowed(), *plugins.installed())
    unknown = sorted(root for root in roots if root not in known and plugins.is_possible(root))
    if unknown:
        names = ",".join(unknown)
        raise ValueError(f"study={study}: made with the plugin {names}; if you trust it, plugins=[{names}]")


def _parse(arguments: Sequence[str]) -> Order:
    given = dict(_DEFAULTS)
    for word in arguments:
        key, separator, value = word.partition("=")
        if not separator or key not in (*_DEFAULTS, *_REQUIRED):
            raise ValueError(
                f"{word}: expected key=value with a key of {', '.join((*_REQUIRED, *_DEFAULTS))}"
            )
        if not value:
            raise ValueError(f"{key}=: expected a value")
        given[key] = value
    for key in _REQUIRED:
        if key not in given:
            raise ValueError(f"{key}: missing; priorgap generate needs study=, n= and out=")
    root = Path(given["output_root"])
    if not root.is_dir():
        raise ValueError(f"output_root={root}: no such folder")
    study = root / given["study"]
    if not is_study_name(given["study"]) or not study.is_dir():
        raise ValueError(f"study={given['study']}: no such study in {given['output_root']}")
    out = Path(given["out"])
    kind = format_of(out, given["format"])
    if given["decode"] not in ("", "mean", "draw"):
        raise ValueError(f"decode={given['decode']}: expected mean or draw")
    if out.exists():
        raise ValueError(f"out={out}: exists already; expected a new path")
    file = next((place for place in out.parents if place.exists() and not place.is_dir()), None)
    if file is not None:
        raise ValueError(f"out={out}: {file} is a file; expected a path in a folder")
    return Order(
        study,
        _integer(given, "n", 1, _MOST),
        out,
        given["model_id"],
        given["sampler"],
        _integer(given, "seed", 0, None),
        kind,
        given["decode"],
        given["class"],
        Path(os.path.expanduser(given["given"])) if given["given"] else None,
        tuple(name.strip() for name in given["plugins"].strip("[]").split(",") if name.strip()),
    )


def _integer(given: dict[str, str], key: str, least: int, most: int | None) -> int:
    try:
        value = int(given[key])
    except ValueError:
        value = least - 1
    if value < least or (most is not None and value > most):
        limit = "" if most is None else f" and at most {most:,}"
        raise ValueError(f"{key}={show(given[key])}: expected an integer >= {least}{limit}")
    return value


class _Said(NamedTuple):
    """The statements of a study's report on a model's sampler; empty where there is no report."""

    headline: str = ""
    findings: tuple[Finding, ...] = ()
    measured: "tuple[Measured, ...]" = ()


class _Report:
    """A study's report, read once, when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def exists(self) -> bool:
        """Whether there is a report."""
        return (self._folder / "verdict.json").is_file()

    @cached_property
    def content(self) -> "tuple[Recommendation, pd.DataFrame]":
        """The report's recommendation and results, once their checksums are verified."""
        import pandas as pd

        from priorgap.verdict import Recommendation

        artifacts.check(self._folder, "verdict.json", "results.csv")
        recommended = Recommendation.from_json(artifacts.load_json(self._folder / "verdict.json"))
        types = {"unit": str, "cell": str, "model": str}
        return recommended, pd.read_csv(self._folder / "results.csv", dtype=types)

    def said_of(self, model_id: str, sampler: str) -> _Said:
        """Return the report's statements on a model's sampler."""
        if not self.exists:
            return _Said()
        from priorgap.report.card import measured_of
        from priorgap.verdict import health_of

        recommended, table = self.content
        measured = measured_of(
            table,
            model=model_id,
            sampler=sampler,
            measure=recommended.measure,
            space=recommended.space or "",
            catalogue=BUILTIN,
        )
        return _Said(recommended.headline, health_of(table, recommended, model_id), measured)


def _choose(order: Order, known: Sequence[Record], store: Store, report: _Report) -> tuple[str, str]:
    """Return the model id and the sampler: the given ones, or the best of the study's report."""
    model_id, sampler = order.model_id, order.sampler
    if model_id != "best" and sampler:
        return model_id, sampler
    from priorgap.verdict import pick_model

    study = order.study.name
    if not report.exists:
        raise ValueError(f"study={study}: no report; run `priorgap report study={study}` first")
    recommended, table = report.content
    steps = [m.samples[sampler] for record in known for m in record.models if sampler in m.samples]
    reasons = [store.value(step)["skipped"] for step in steps if store.is_complete(step)]
    if reasons and None not in reasons:
        raise ValueError(f"sampler={sampler}: it does not apply to any model: {reasons[0]}")
    best, named = pick_model(table, recommended, sampler=sampler or None)
    return (best if model_id == "best" else model_id), named


def _find(known: Sequence[RecordedModel], model_id: str) -> RecordedModel:
    found = [model for model in known if model.id.startswith(model_id)]
    if len(found) != 1:
        what = "no model" if not found else f"{len(found)} models"
        names = ", ".join(model.name for model in known[:12]) or "none"
        raise ValueError(f"model_id={model_id}: {what} of this study begins so; there are {names}")
    return found[0]


def _blocks(
    fitted: FittedSampler,
    model: models.TrainedModel,
    order: Order,
    label: int | None,
    told: Told,
) -> Iterator[Block]:
    """Yield the rows block by block, with a progress bar on a terminal."""
    from tqdm import tqdm

    with tqdm(total=order.n, unit="sample", disable=not sys.stderr.isatty()) as bar:
        yield from generate(
            fitted,
            model.decoder(order.decode, order.seed),
            order.n,
            seed=order.seed,
            batch=model.decode_batch,
            modality=model.modality,
            frequencies=model.class_frequencies,
            label=label,
            contexts=told.contexts,
            context=told.rows,
            progress=bar.update,
        )


def _say(line: str) -> None:
    sys.stderr.write(f"priorgap: {line}\n")
