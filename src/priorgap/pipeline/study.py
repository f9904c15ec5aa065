"""A command on a study: compose and check every cell, run what is not done, report, say what failed."""

import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from priorgap import artifacts
from priorgap.building import configuration_directory
from priorgap.pipeline.cells import Cell, validate
from priorgap.pipeline.cli import STAGES, BadInput, refusing
from priorgap.pipeline.closure import tree_digest
from priorgap.pipeline.hydra_app import EXPERIMENTS, Request, Session, experiments_root
from priorgap.pipeline.store import Store, keep

log = logging.getLogger(__name__)
_SHARED_STAGES = ("prepare", "reference")


def main(command: str, overrides: tuple[str, ...], multirun: bool, config_dir: str | None, show: bool) -> int:
    """Run `priorgap run`, a stage, or `report`; bad input raises ValueError with one line."""
    request = Request(overrides, multirun, config_dir)
    if not show and command == "run":
        done = _finished(request)
        if done is not None:
            _say(done)
            return 0
    with refusing():
        session = Session(request)
    with session:
        with refusing():
            cells = [Cell(config, names) for config, names in session.cells()]
        if show:
            import yaml

            sys.stdout.write(yaml.safe_dump(dict(cells[0].config), sort_keys=False))
            return 0
        return _run(command, request, session, cells)


def _run(command: str, request: Request, session: Session, cells: Sequence[Cell]) -> int:
    from priorgap.pipeline.stages import reference
    from priorgap.pipeline.stages import run as stages

    # until Hydra sets up logging for the cells, what happens before them is said on standard error
    logging.basicConfig(format="[%(asctime)s] %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("priorgap").setLevel(logging.INFO)
    with refusing():
        validate(cells)
    store = Store.of(cells[0])
    wanted = STAGES if command in ("run", "report") else (command,)
    if command != "report":
        stages.set_numerics(cells[0].config)
        # data are loaded and checked first: nothing of the study is written for a corrupt file
        with refusing():
            _prepare(cells, store, wanted)
        if "reference" in wanted:
            _say(_plan(cells) + _expected(cells, store))
            if "measure" in wanted:
                from priorgap.pipeline import costs

                line = costs.expected_time(cells, store)
                if line:
                    _say(line)
            for cell in _one_per(cells, lambda c: json.dumps([c.data_id, c.config["feature_spaces"]])):
                reference.reference(cell, store)
        per_cell = [s for s in wanted if s not in _SHARED_STAGES]
        if per_cell:
            for cell in cells:
                _record(cell, store)
            session.launch(partial(_task, stages=tuple(per_cell)))
            for stage in per_cell:
                # a study that calibrates nothing still has the stage's folder: DVC asks for every declared output
                (store.study(cells[0].study) / stage).mkdir(parents=True, exist_ok=True)
    failed = list(_failures(cells, store))
    for line in failed:
        _say(line)
    if command in ("run", "report"):
        from priorgap.pipeline import reporting

        with refusing():
            reported = _reported_cells(request, cells, store)
        try:
            written = reporting.write(reported, store)
        except reporting.NothingMeasured as error:
            if not failed:
                raise BadInput(str(error)) from error
            return 1  # every cell failed, and has been said to
        if written.untracked is not None:
            failed.append(f"{written.untracked} (results are complete; the same command tries it again)")
            _say(failed[-1])
        if command == "run" and not failed:
            _remember(request, cells, store, written.path)
        _say(f"report: {written.path}")
        sys.stdout.write(f"{written.text}\n")
    return 1 if failed else 0


def _prepare(cells: Sequence[Cell], store: Store, wanted: Sequence[str]) -> None:
    """Load each data set, check that every cell's model fits its data, and only then store anything.

    Raises:
        ValueError: one line, for data that cannot be had or a model that does not fit.
    """
    from priorgap.pipeline.stages import prepare
    from priorgap.pipeline.stages import run as stages

    first = _one_per(cells, lambda cell: cell.data_id)
    if "prepare" not in wanted:
        first = [cell for cell in first if store.data(cell).is_dir()]
    datasets = {cell.data_id: prepare.obtain(cell, store) for cell in first}
    stages.check_against_data([cell for cell in cells if cell.data_id in datasets], datasets, store)
    if "prepare" in wanted:
        for cell in first:
            prepare.prepare(cell, store, datasets[cell.data_id])


def _task(config: Any, *, stages: Sequence[str]) -> None:
    from priorgap.pipeline.jobs import run_cell

    run_cell(config, stages=stages)


def _one_per(cells: Sequence[Cell], key: Any) -> list[Cell]:
    return list({key(cell): cell for cell in reversed(cells)}.values())


def _plan(cells: Sequence[Cell]) -> str:
    models = {v.model_id for cell in cells for v in cell.variants}
    draws = {(v.model_id, s) for cell in cells for v in cell.variants for s in v.samplers}
    trained = {cell.train_id for cell in cells}
    return (
        f"{len(trained)} models to train, {len(models)} to sample, {len(draws)} model x sampler cells; "
        "finished work is skipped"
    )


def _expected(cells: Sequence[Cell], store: Store) -> str:
    """Say how much disk the study takes at most, and how long one model took where one of its data is finished."""
    from priorgap.data.splits import load_dataset

    n_bytes = 0
    for cell in cells:
        if store.data(cell).is_dir():
            dataset = load_dataset(store.data(cell))
            d, n = int(cell.config["model"]["latent_dim"]), int(cell.config["n_samples"])
            rows = len(dataset.train) + len(dataset.validation) + len(dataset.test)
            n_test = len(dataset.test)
            # posteriors are two float32 a unit; draws one, and an index and a label; weights and pictures: 8 MB
            for variant in cell.variants:
                draws = len(variant.samplers) * min(n, n_test) * (4 * d + 16)
                n_bytes += rows * (8 * d + 8) + draws + 8_000_000
    seconds = [
        found
        for cell in cells
        for manifest in store.root.glob(f"*/train/*/{artifacts.MANIFEST}")
        if (found := _seconds(manifest, cell)) is not None
    ]
    time = f"; a training took {sum(seconds) / len(seconds):.0f} s before" if seconds else ""
    return f"; up to {n_bytes / 1e9:.2g} GB{time}"


def _seconds(manifest: Path, cell: Cell) -> float | None:
    if not manifest.parent.name.endswith(cell.train_id):
        return None
    found = artifacts.read_manifest(manifest.parent)
    return None if found is None else found["provenance"].get("seconds")


def _record(cell: Cell, store: Store) -> None:
    """Keep what a cell is, so that `priorgap report study=...` knows the study without its command line."""
    file = store.study(cell.study) / "cells" / f"{cell.train_id}.json"
    content = {"config": dict(cell.config), "overrides": list(cell.overrides)}
    keep(store, file, content)


def _reported_cells(request: Request, cells: Sequence[Cell], store: Store) -> list[Cell]:
    """Return the cells that a report covers: an experiment's grid exactly; else all that the study has seen."""
    if request.experiment is not None:
        return list(cells)
    # a bare `report study=NAME` composes a default cell that may never have been run
    chosen = {cell.train_id: cell for cell in cells if _was_run(cell, store)}
    typed = {override.lstrip("+~").partition("=")[0].partition(".")[0] for override in request.overrides}
    said = typed & {"tracking", "verdict"}
    for file in sorted((store.study(cells[0].study) / "cells").glob("*.json")):
        content = artifacts.load_json(file)
        # how to report is the command's to say, also of cells that it does not name
        config = {**content["config"], **{group: cells[0].config[group] for group in said}}
        chosen.setdefault(file.stem, Cell(config, tuple(content["overrides"])))
    if not chosen:
        raise ValueError(f"study={cells[0].study}: nothing has been run in it")
    return list(chosen.values())


def _was_run(cell: Cell, store: Store) -> bool:
    return (store.study(cell.study) / "cells" / f"{cell.train_id}.json").is_file()


def _failures(cells: Sequence[Cell], store: Store) -> Iterator[str]:
    from priorgap.pipeline.jobs import failure_file

    for cell in cells:
        file = failure_file(store, cell)
        if file.is_file():
            record = artifacts.load_json(file)
            yield f"failed: {record['label']}: {record['error']} (the same command tries it again)"


# -- a finished study is recognised before Hydra is even loaded ------------------------------------------------


def _inputs(request: Request) -> str:
    """Return a digest of all that a run can depend on: the command, the vocabulary, the experiment, the code."""
    folders = [configuration_directory(), Path(__file__).parents[1]]
    local = Path.cwd() / "conf"
    if local.is_dir() and local.resolve() != configuration_directory().resolve():
        folders.append(local)
    if request.config_dir is not None and Path(request.config_dir).is_dir():
        folders.append(Path(request.config_dir))
    if request.experiment is not None:
        file = experiments_root() / EXPERIMENTS / request.experiment / "config.yaml"
        if file.is_file():
            folders.append(file)
    words = [list(request.overrides), request.multirun, str(request.config_dir)]
    return artifacts.digest([words, tree_digest(folders)])


def _root(request: Request) -> Path:
    given = [o.partition("=")[2] for o in request.overrides if o.startswith("output_root=")]
    return Path(given[-1] if given else "outputs")


def _finished_file(request: Request) -> Path:
    return _root(request) / ".finished" / f"{_inputs(request)[:24]}.json"


def _remember(request: Request, cells: Sequence[Cell], store: Store, report: Path) -> None:
    from priorgap.pipeline.stages import run as stages

    found = {str(path): artifacts.content_digest(path) for path in stages.artifacts_of(cells, store)}
    line = f"study={cells[0].study} is complete ({_plan(cells).partition(';')[0]}): nothing to do; report: {report}"
    keep(store, _finished_file(request), {"artifacts": found, "line": line, "report": str(report)})


def _finished(request: Request) -> str | None:
    """Return what to say when all that this command makes is there, whole and of the same inputs."""
    file = _finished_file(request)
    if not file.is_file():
        return None
    record: Mapping[str, Any] = artifacts.load_json(file)
    if not Path(record["report"]).is_file():
        return None
    for name, content in record["artifacts"].items():
        path = Path(name)
        if artifacts.read_manifest(path) is None or artifacts.content_digest(path) != content:
            return None
        if artifacts.damage(path):
            return None
    return str(record["line"])


def _say(line: str) -> None:
    sys.stderr.write(f"priorgap: {line}\n")
