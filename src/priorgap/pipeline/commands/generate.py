"""`priorgap generate`: a synthetic data set from a finished study."""

import json
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from priorgap.core import artifacts, plugins
from priorgap.core.arguments import show
from priorgap.core.batched_calls import decode_all
from priorgap.core.build import target_roots
from priorgap.core.errors import BadInput, refusing
from priorgap.core.random import stream
from priorgap.core.receivers import PACKAGE
from priorgap.modalities import modality_of
from priorgap.pipeline import models
from priorgap.pipeline.config import parts
from priorgap.pipeline.config.groups import is_study_name
from priorgap.pipeline.store import records
from priorgap.pipeline.store.layout import Store
from priorgap.pipeline.store.records import Record, RecordedModel
from priorgap.samplers.drawing import with_labels
from priorgap.samplers.protocols import FittedSampler, SamplerState

_BLOCK = 4096
# beyond, no disk holds them
_MOST = 10**9
_DEFAULTS = {
    "model_id": "best",
    "sampler": "",
    "seed": "0",
    "format": "",
    "decode": "",
    "output_root": "outputs",
    "plugins": "",
}
_REQUIRED = ("study", "n", "out")
# what a model is rebuilt from
_REBUILT = ("model", "likelihood", "prior", "loss")
_FORMATS = ("npz", "parquet", "png")


@dataclass(frozen=True)
class Order:
    """What was asked for, checked."""

    study: Path
    n: int
    out: Path
    model_id: str
    sampler: str
    seed: int
    format: str
    decode: str
    plugins: tuple[str, ...] = ()


def main(arguments: Sequence[str]) -> int:
    """Run the command; bad input raises ValueError with one line."""
    with refusing():
        order = _parse(arguments)
        blocks, name = _prepare(order)
    try:
        _WRITERS[order.format](order.out, blocks, order.n)
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise BadInput(f"out={order.out}: cannot be written: {error.strerror}") from error
    _say(f"{order.n} samples of {name}, in {order.out}")
    return 0


def _prepare(order: Order) -> tuple[Iterator[tuple[np.ndarray, np.ndarray | None]], str]:
    """Find model and sampler; nothing is drawn before the first block is asked for."""
    store = Store(order.study.parent)
    known = list(records.records_of(store, order.study.name))
    plugins.allow(order.plugins)
    lost = records.unreadable(store, order.study.name)
    if lost and not known:
        raise ValueError(lost[0])
    model_id, sampler = _choose(order.study, known, store, order.model_id, order.sampler)
    found = _find([model for record in known for model in record.models], model_id)
    _warn_of_health(order.study, found.id)
    record = next(record for record in known if found in record.models)
    # as it was measured, unless another rule is asked for
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
    # checksums hold before a model is rebuilt from its files
    model = models.load(store.folder(found.weights))
    if order.format == "png" and not modality_of(model.kind).pictures:
        raise ValueError(f"out={order.out}: the data are no images; expected .npz or .parquet")
    tensors = {
        key.removeprefix("state."): value
        for key, value in store.tensors(step).items()
        if key.startswith("state.")
    }
    fitted = made_by.restore(
        SamplerState(facts["state"]["name"], tensors, facts["state"]["json"]), model.prior
    )
    return _blocks(fitted, model, order), f"{sampler} from model {found.name}"


def _check_packages(study: str, config: Mapping[str, Any], sampler: str) -> None:
    """Refuse what a package made that this command was not given: a record is no reason to import one.

    Raises:
        ValueError: one line that names the packages.
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
    kind = given["format"] or {".npz": "npz", ".parquet": "parquet", "": "png"}.get(out.suffix, "")
    if kind not in _FORMATS:
        raise ValueError(f"out={out}: expected .npz, .parquet or a folder, or format={'|'.join(_FORMATS)}")
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


def _choose(
    study: Path, known: Sequence[Record], store: Store, model_id: str, sampler: str
) -> tuple[str, str]:
    """Return the model id and the sampler: what was given, or what the study's report found best."""
    if model_id != "best" and sampler:
        return model_id, sampler
    import pandas as pd

    from priorgap.verdict import Recommendation, pick_model

    report = study / "report"
    if not (report / "verdict.json").is_file():
        raise ValueError(f"study={study.name}: no report; run `priorgap report study={study.name}` first")
    artifacts.check(report, "verdict.json", "results.csv")
    recommended = Recommendation.from_json(artifacts.load_json(report / "verdict.json"))
    table = pd.read_csv(report / "results.csv", dtype={"unit": str, "cell": str, "model": str})
    steps = [m.samples[sampler] for record in known for m in record.models if sampler in m.samples]
    reasons = [store.value(step)["skipped"] for step in steps if store.is_complete(step)]
    if reasons and None not in reasons:
        raise ValueError(f"sampler={sampler}: it does not apply to any model: {reasons[0]}")
    best, named = pick_model(table, recommended, sampler=sampler or None)
    return (best if model_id == "best" else model_id), named


def _warn_of_health(study: Path, model_id: str) -> None:
    """Say loudly where a named model is one that the verdict does not recommend anything of."""
    report = study / "report"
    if not (report / "verdict.json").is_file():
        return
    import pandas as pd

    from priorgap.verdict import Recommendation, stop_of

    artifacts.check(report, "verdict.json", "results.csv")
    recommended = Recommendation.from_json(artifacts.load_json(report / "verdict.json"))
    if any(recommended.stops):
        table = pd.read_csv(report / "results.csv", dtype={"unit": str, "cell": str, "model": str})
        stop = stop_of(table, recommended, model_id)
        if stop:
            _say(f"WARNING: the verdict recommends no sampler of this model. {stop}")


def _find(known: Sequence[RecordedModel], model_id: str) -> RecordedModel:
    found = [model for model in known if model.id.startswith(model_id)]
    if len(found) != 1:
        what = "no model" if not found else f"{len(found)} models"
        names = ", ".join(model.name for model in known[:12]) or "none"
        raise ValueError(f"model_id={model_id}: {what} of this study begins so; there are {names}")
    return found[0]


def _blocks(
    fitted: FittedSampler, model: models.TrainedModel, order: Order
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yield quantised samples and labels block by block; the first m of n are the same for every n."""
    from tqdm import tqdm

    decode, modality = model.decoder(order.decode, order.seed), modality_of(model.kind)
    with tqdm(total=order.n, unit="sample", disable=not sys.stderr.isatty()) as bar:
        for block in range(-(-order.n // _BLOCK)):
            keep = min(_BLOCK, order.n - block * _BLOCK)
            draw = fitted.sample(_BLOCK, generator=stream(order.seed, "generate", block))
            of_labels = stream(order.seed, "generate", block, "label")
            draw = with_labels(draw, model.class_frequencies, generator=of_labels)
            label = None if draw.label is None else draw.label[:keep]
            x = decode_all(decode, draw.z[:keep], batch=model.decode_batch, label=label)
            yield (
                modality.stored(x).numpy(),
                (None if label is None else label.numpy()),
            )
            bar.update(keep)


class _Writer(Protocol):
    def __call__(self, out: Path, blocks: Iterator[tuple[np.ndarray, np.ndarray | None]], n: int) -> None: ...


def _partial(out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.with_name(f".partial-{uuid.uuid4().hex[:8]}-{out.name}")


def _write_npz(out: Path, blocks: Iterator[tuple[np.ndarray, np.ndarray | None]], n: int) -> None:
    parts = list(blocks)
    arrays = {"x": np.concatenate([x for x, _ in parts])}
    labels = [label for _, label in parts if label is not None]
    if labels:
        arrays["y"] = np.concatenate(labels)
    partial = _partial(out).with_suffix(".npz")
    try:
        np.savez_compressed(partial, allow_pickle=False, **arrays)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _write_parquet(out: Path, blocks: Iterator[tuple[np.ndarray, np.ndarray | None]], n: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    partial = _partial(out)
    writer = None
    try:
        for x, label in blocks:
            flat = pa.array(x.reshape(-1))
            columns = {"x": pa.FixedSizeListArray.from_arrays(flat, int(np.prod(x.shape[1:])))}
            if label is not None:
                columns["y"] = pa.array(label)
            table = pa.table(columns).replace_schema_metadata({"shape": json.dumps(x.shape[1:])})
            if writer is None:
                writer = pq.ParquetWriter(partial, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _write_png(out: Path, blocks: Iterator[tuple[np.ndarray, np.ndarray | None]], n: int) -> None:
    """Write one PNG a sample, in a folder a class where there are labels: data=image_folder reads them back."""
    from PIL import Image

    partial = _partial(out)
    partial.mkdir()
    index, width = 0, len(str(n - 1))
    try:
        for x, label in blocks:
            for row in range(len(x)):
                folder = partial if label is None else partial / str(label[row])
                folder.mkdir(exist_ok=True)
                Image.fromarray(x[row].transpose(1, 2, 0).squeeze()).save(folder / f"{index:0{width}d}.png")
                index += 1
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


_WRITERS: dict[str, _Writer] = {"npz": _write_npz, "parquet": _write_parquet, "png": _write_png}


def _say(line: str) -> None:
    sys.stderr.write(f"priorgap: {line}\n")
