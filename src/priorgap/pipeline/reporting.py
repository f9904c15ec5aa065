"""From measurements to a study's report: the tidy table, the verdict, figures, one page."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml

from priorgap import artifacts
from priorgap.core import measures
from priorgap.core.catalogue import BUILTIN
from priorgap.core.measures import Catalogue, Measure
from priorgap.core.sampler_facts import SamplerFacts, united
from priorgap.measurement import Measurement
from priorgap.pipeline import tracking
from priorgap.pipeline.cells import Cell, Variant
from priorgap.pipeline.hydra_app import EXPERIMENTS, experiments_root
from priorgap.pipeline.stages import encode, measure, sample, train
from priorgap.pipeline.store import Store
from priorgap.report import AggregateFigureData, readme_table, write_report
from priorgap.verdict import FACT_COLUMNS, RESULT_COLUMNS, decide_study

log = logging.getLogger(__name__)
_COSMETIC = (
    "output_root",
    "tracking",
    "study",
    "seed",
    "samplers",
    "metrics",
    "calibrated_samplers",
    "fleet",
    "measure_processes",
)


@dataclass(frozen=True)
class Gathered:
    """All that a report shows of some cells.

    Attributes:
        table: the tidy table.
        skipped: what is absent -> why.
        missing: names of models whose results are not complete.
        catalogue: the entries of the study's measures: our own, and those of its plugins.
        costs: sampler -> what drawing from it takes.
    """

    table: pd.DataFrame
    skipped: dict[str, str]
    missing: list[str]
    catalogue: Catalogue
    costs: dict[str, str]


class NothingMeasured(ValueError):  # noqa: N818
    """A study holds no measurement at all; the message is one line."""


class FactsMissing(ValueError):  # noqa: N818
    """An earlier version drew from a study's samplers and did not ask what they are; the message is one line."""


class Written(NamedTuple):
    """What a report came to.

    Attributes:
        path: the page.
        text: the verdict's paragraph.
        untracked: why W&B has not got all of it; None where it has, or was not to.
    """

    path: Path
    text: str
    untracked: str | None


def write(cells: Sequence[Cell], store: Store) -> Written:
    """Write outputs/<study>/report, and results and figures beside a committed experiment.

    Raises:
        NothingMeasured: nothing of the study is complete.
    """
    folder = store.study(cells[0].study) / "report"
    # two processes that share a study must not replace one page at once, nor write one run twice
    with artifacts.locked(folder, store.locks):
        artifacts.sweep_partial(folder)
        return _write(cells, store, folder)


def _write(cells: Sequence[Cell], store: Store, folder: Path) -> Written:
    study = cells[0].study
    gathered = gather(cells, store)
    for name in gathered.missing:
        log.warning("not complete, left out of the report: %s", name)
    settings = cells[0].config["verdict"]
    verdict = decide_study(
        gathered.table,
        measure=settings["measure"],
        space=settings["space"],
        baseline=settings["baseline"],
        level=settings["level"],
        skipped=gathered.skipped,
        costs=gathered.costs,
        catalogue=gathered.catalogue,
    )
    record = verdict.to_json()
    with artifacts.publish(folder, artifacts.digest(record)) as directory:
        results = gathered.table.to_csv(index=False, float_format="%.10g", lineterminator="\n")
        artifacts.write_text(directory / "results.csv", results)
        artifacts.save_json(directory / "verdict.json", record)
        artifacts.write_text(
            directory / "table.md", readme_table(gathered.table, catalogue=gathered.catalogue)
        )
        write_report(
            directory,
            study=study,
            table=gathered.table,
            verdict=verdict,
            previews=_previews(cells, store),
            aggregates=_aggregates(cells, store),
            provenance=_provenance(cells, store),
            config_text=yaml.safe_dump(dict(cells[0].config), sort_keys=False),
            skipped={**gathered.skipped, **dict.fromkeys(gathered.missing, "not complete")},
            catalogue=gathered.catalogue,
        )
    figures = {p.stem: p for p in sorted((folder / "figures").glob("*.png"))}
    _beside_experiment(study, folder)
    try:
        track_models(cells, store, gathered.catalogue)
        tracking.track_study(
            cells[0].config["tracking"],
            store.study(study),
            study=study,
            table=gathered.table,
            figures={k: v for k, v in figures.items() if not k.startswith(("samples-", "kl_", "aggregate-"))},
            verdict=verdict,
        )
    except tracking.TrackingFailed as error:
        return Written(folder / "report.html", verdict.text, str(error))
    return Written(folder / "report.html", verdict.text, None)


def gather(cells: Sequence[Cell], store: Store) -> Gathered:
    """Collect every complete measurement of some cells into the tidy table.

    Raises:
        NothingMeasured: there is none.
        FactsMissing: a sampler was drawn from by a version that did not keep its facts.
    """
    varying = _varying(cells)
    rows: list[dict[str, Any]] = []
    reasons: dict[str, set[str]] = {}
    missing = []
    facts: dict[str, list[SamplerFacts]] = {}
    untold: set[str] = set()
    brought: list[Measure] = []
    for cell in cells:
        for variant in cell.variants:
            told = {
                name: sample.facts_of(sample.folder(cell, variant, store, name)) for name in variant.samplers
            }
            expected = list(measure.plan(cell, variant))
            found = list(measure.read(cell, variant, store))
            if len(found) < len(expected):
                missing.append(f"{cell.label}-{variant.model_id}")
            for kept in found:
                sampler = kept.sampler
                if kept.reason is not None:
                    what = kept.metric if not sampler else f"{kept.metric} of {sampler}"
                    reasons.setdefault(what, set()).add(kept.reason)
                brought += kept.measures
                own = told.get(sampler)
                if sampler and kept.rows and own is None:
                    untold.add(sampler)
                elif own is not None:
                    facts.setdefault(sampler, []).append(own)
                head = _head(cell, variant, sampler, varying) | {"traits": own.traits if own else ""}
                rows += [{**head, **_body(m)} for m in kept.rows]
    if not rows:
        raise NothingMeasured(
            f"study={cells[0].study}: nothing is measured; run `priorgap run` or the stages first"
        )
    if untold:
        raise FactsMissing(
            f"study={cells[0].study}: the facts of {', '.join(sorted(untold))} are missing: an earlier version drew "
            "from them. Run the study again by the command that made it: samplers are fitted anew, nothing is trained"
        )
    last = [column for column in FACT_COLUMNS if column not in varying]
    table = pd.DataFrame(rows, columns=[*RESULT_COLUMNS, *varying, *last])
    skipped = {what: "; ".join(sorted(why)) for what, why in sorted(reasons.items())}
    catalogue = measures.united(BUILTIN.values(), brought)
    costs = {name: united(found).cost for name, found in facts.items()}
    return Gathered(table, skipped, missing, catalogue, costs)


def _head(cell: Cell, variant: Variant, sampler: str, varying: Mapping[str, None]) -> dict[str, Any]:
    from priorgap.pipeline import components

    flat = _flat(cell.config)
    return {
        "study": cell.study,
        "cell": cell.group_id(variant),
        "model": variant.model_id,
        "seed": cell.seed,
        "sampler": sampler,
        "role": components.sampler(cell.config, sampler).role if sampler else "",
        "decode": cell.decode,
        **{key: variant.calibrated if key == "calibrate" else _entry(flat.get(key)) for key in varying},
    }


def _entry(value: Any) -> Any:
    """Return a value as it stands in a column by which the table is grouped: a list as its text."""
    return str(list(value)) if isinstance(value, list | tuple) else value


def _body(row: Measurement) -> dict[str, Any]:
    return row.to_json()


def _flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _varying(cells: Sequence[Cell]) -> dict[str, None]:
    """Return the dotted keys that differ between cells (and `calibrate` where both variants are there)."""
    flats = [_flat(_relevant(cell.config)) for cell in cells]
    keys = sorted({key for flat in flats for key in flat})
    varying = {key: None for key in keys if len({str(flat.get(key)) for flat in flats}) > 1}
    # what merely follows another key says nothing new
    varying = {
        key: None for key in varying if key not in ("prior.dim", "data.source._target_", "data.source.name")
    }
    if len({v.calibrated for cell in cells for v in cell.variants}) > 1:
        varying["calibrate"] = None
    return varying


def _relevant(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in (*_COSMETIC, "calibrate")}


def _sampled(cells: Sequence[Cell]) -> list[tuple[Cell, Variant]]:
    return [(cell, variant) for cell in cells for variant in cell.variants]


def _previews(cells: Sequence[Cell], store: Store) -> dict[str, dict[str, np.ndarray | Path]]:
    found: dict[str, dict[str, np.ndarray | Path]] = {}
    for cell, variant in _sampled(cells):
        for name in variant.samplers:
            file = sample.folder(cell, variant, store, name) / "preview.safetensors"
            if file.is_file():
                images = artifacts.load_tensors(file)["x"].permute(0, 2, 3, 1).numpy()
                found.setdefault(variant.model_id, {})[name] = images
    return found


def _aggregates(cells: Sequence[Cell], store: Store) -> dict[str, AggregateFigureData]:
    found = {}
    for cell, variant in _sampled(cells):
        place = measure.folder(cell, variant, store) / measure.MODEL / measure.MARGINALS
        if artifacts.is_complete(place) and (place / "marginals.safetensors").is_file():
            tensors = artifacts.load_tensors(place / "marginals.safetensors")
            label = tensors.get("label")
            ranked = tensors["divergence"].argsort(descending=True).tolist()
            units = (ranked[0], ranked[min(1, len(ranked) - 1)])
            found[variant.model_id] = AggregateFigureData(
                grid=tensors["grid"].numpy(),
                density=tensors["marginals"].numpy(),
                z=tensors["z"][:, list(units)].numpy(),
                units=units,
                label=None if label is None else label.numpy(),
            )
    return found


def _provenance(cells: Sequence[Cell], store: Store) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for cell in cells:
        manifest = artifacts.read_manifest(store.data(cell))
        if manifest is not None:
            facts = artifacts.load_json(store.data(cell) / "dataset.json")
            result[f"data {facts['name']}"] = {
                "checksum": artifacts.content_digest(store.data(cell))[:16],
                "official split": facts["official"],
            }
        trained = artifacts.read_manifest(store.model(cell.study, "train", cell.train_id, cell.label))
        if trained is not None:
            keep = ("packages", "python", "hardware", "commit")
            result["models"] = {k: v for k, v in trained["provenance"].items() if k in keep}
    result["numerics"] = dict(cells[0].config["numerics"])
    return result


def track_models(cells: Sequence[Cell], store: Store, catalogue: Catalogue) -> None:
    """Write the W&B run of every measured model; unchanged ones are left alone."""
    for cell, variant in _sampled(cells):
        settings = cell.config["tracking"]
        if settings["mode"] == "off":
            continue
        rows = [(kept.sampler, row) for kept in measure.read(cell, variant, store) for row in kept.rows]
        folder = store.model(cell.study, "train", cell.train_id, cell.label)
        if not rows or not artifacts.is_complete(folder):
            continue
        previews = _previews([cell], store).get(variant.model_id, {})
        tracking.track_model(
            settings,
            store.study(cell.study),
            study=cell.study,
            name=f"{cell.label}{' calibrated' if variant.calibrated else ''}",
            model_id=variant.model_id,
            config={**cell.config, "calibrated": variant.calibrated, "model_id": variant.model_id},
            curves=train.read_curves(folder),
            rows=rows,
            previews={k: v for k, v in previews.items() if isinstance(v, np.ndarray)},
            stages=_stages(cell, variant, store),
            catalogue=catalogue,
        )


def _stages(cell: Cell, variant: Variant, store: Store) -> list[str]:
    places = {
        "train": store.model(cell.study, "train", cell.train_id, cell.label),
        "calibrate": store.model(cell.study, "calibrate", variant.model_id, cell.label),
        "encode": encode.folder(cell, variant, store),
    }
    found = [stage for stage, place in places.items() if artifacts.is_complete(place)]
    return [*found, "sample", "measure"]


def _beside_experiment(study: str, folder: Path) -> None:
    """Copy results and figures beside a committed experiment, so that git shows its numbers."""
    place = experiments_root() / EXPERIMENTS / study
    if not (place / "config.yaml").is_file():
        return
    artifacts.sweep_partial(place / "results.csv")
    artifacts.write_bytes(place / "results.csv", (folder / "results.csv").read_bytes())
    figures = place / "figures"
    shutil.rmtree(figures, ignore_errors=True)
    figures.mkdir(parents=True)  # also where there is no figure of the whole study: DVC asks for the folder
    # grids and units of every model stay in outputs: a repository holds what the README shows
    for file in sorted((folder / "figures").glob("*.png")):
        if not file.name.startswith(("samples-", "kl_per_unit-", "aggregate-")):
            artifacts.write_bytes(figures / file.name, file.read_bytes())
