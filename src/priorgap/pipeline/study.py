"""A command on a study: compose and check every cell, run what is not done, report, say what failed."""

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from priorgap import artifacts
from priorgap.pipeline import finished, records
from priorgap.pipeline.cells import Cell, validate
from priorgap.pipeline.cli import STAGES, BadInput, refusing
from priorgap.pipeline.fleet_rule import Rule
from priorgap.pipeline.hydra_app import Request, Session
from priorgap.pipeline.store import Store

log = logging.getLogger(__name__)
_SHARED_STAGES = ("prepare", "reference")
# processes that measure one model unless more are asked for: each holds the data
_MOST = 4


def main(command: str, overrides: tuple[str, ...], multirun: bool, config_dir: str | None, show: bool) -> int:
    """Run `priorgap run`, a stage, or `report`; bad input raises ValueError with one line."""
    request = Request(overrides, multirun, config_dir)
    if not show and command == "run":
        done = finished.finished(request)
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
    from priorgap.pipeline import tracking
    from priorgap.pipeline.stages import reference

    # until Hydra sets up logging for the cells, what happens before them is said on standard error
    logging.basicConfig(format="[%(asctime)s] %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("priorgap").setLevel(logging.INFO)
    with refusing():
        validate(cells)
        if command in ("run", "report"):
            tracking.check_access(cells[0].config["tracking"])
    store = Store.of(cells[0])
    wanted = STAGES if command in ("run", "report") else (command,)
    if command != "report":
        with refusing():
            _set_numerics(cells)
        # data are loaded and checked first: nothing of the study is written for a corrupt file
        with refusing():
            _prepare(cells, store, wanted)
        if "reference" in wanted:
            _say(_plan(cells, store) + _expected(cells, store))
            if "measure" in wanted:
                from priorgap.pipeline import costs

                line = costs.expected_time(cells, store)
                if line:
                    _say(line)
            for cell in _one_per(cells, lambda c: json.dumps([c.data_id, c.config["feature_spaces"]])):
                reference.reference(cell, store)
        per_cell = [s for s in wanted if s not in _SHARED_STAGES]
        if per_cell:
            cells = [records.record(cell, store) for cell in cells]
            # workers would cost more than to see that nothing is left for them
            here = "train" in per_cell and _train_in_fleets(cells, store, session) and per_cell == ["train"]
            task = partial(_task, stages=tuple(per_cell), workers=_processes(cells, session))
            session.launch(task, here=here)
            for stage in per_cell:
                # a study that calibrates nothing still has the stage's folder: DVC asks for every declared output
                (store.study(cells[0].study) / stage).mkdir(parents=True, exist_ok=True)
    # a command that computes nothing of a cell has nothing to say of what an earlier one met there
    failed = list(_failures(cells, store)) if set(wanted) - set(_SHARED_STAGES) else []
    for line in failed:
        _say(line)
    if command in ("run", "report"):
        from priorgap.pipeline import reporting

        with refusing():
            reported = _reported_cells(request, cells, store)
        try:
            written = reporting.write(reported, store)
        except reporting.FactsMissing as error:
            raise BadInput(str(error)) from error
        except reporting.NothingMeasured as error:
            if not failed:
                raise BadInput(str(error)) from error
            return 1  # every cell failed, and has been said to
        if written.untracked is not None:
            failed.append(f"{written.untracked} (results are complete; the same command tries it again)")
            _say(failed[-1])
        if command == "run" and not failed:
            finished.remember(request, cells, store, written.path, _size(cells))
        _say(f"report: {written.path}")
        sys.stdout.write(f"{written.text}\n")
    return 1 if failed else 0


def _set_numerics(cells: Sequence[Cell]) -> None:
    """Set the first cell's numerics; say of all, before any work, where they do not suit this machine."""
    from priorgap.pipeline import precision
    from priorgap.pipeline.stages import run as stages

    for cell in _one_per(cells, lambda c: json.dumps([c.config["numerics"], c.config["trainer"]])):
        precision.check(cell.config)
    stages.set_numerics(cells[0].config)
    for cell in _one_per(cells, lambda c: str(c.config["trainer"].get("precision"))):
        precision.advise(cell.config)


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


def _train_in_fleets(cells: Sequence[Cell], store: Store, session: Session) -> bool:
    """Train what is trained in fleets; return whether that leaves no model to be trained."""
    rule = Rule.of(session.launcher, cells[0].config["fleet"])
    if rule is None or len(cells) < rule.min_models:
        return False
    from priorgap.pipeline import fleets
    from priorgap.pipeline.engines.processes import processes_for

    # without a launcher everything is done in this process
    threads = int(cells[0].config["numerics"]["threads"])
    workers = 1 if session.launcher == "basic" else session.n_jobs or processes_for(threads)
    fleets.train(cells, store, rule, workers=workers)
    return not fleets.left_to_train(cells, store)


def _processes(cells: Sequence[Cell], session: Session) -> int:
    """Return how many processes one model's measures may take: where a launcher shares out models, one."""
    if session.launcher != "basic":
        return 1
    from priorgap.pipeline.engines.processes import processes_for

    config = cells[0].config
    return int(config["measure_processes"] or min(_MOST, processes_for(int(config["numerics"]["threads"]))))


def _task(config: Any, *, stages: Sequence[str], workers: int) -> str | None:
    from priorgap.pipeline.jobs import run_cell

    return run_cell(config, stages=stages, workers=workers)


def _one_per(cells: Sequence[Cell], key: Any) -> list[Cell]:
    return list({key(cell): cell for cell in reversed(cells)}.values())


def _size(cells: Sequence[Cell]) -> str:
    trained = {cell.train_id for cell in cells}
    models = {v.model_id for cell in cells for v in cell.variants}
    draws = {(v.model_id, s) for cell in cells for v in cell.variants for s in v.samplers}
    calibrated = f", {len(models)} with calibrated ones" if len(models) > len(trained) else ""
    return f"{len(trained)} models{calibrated}, {len(draws)} model x sampler cells"


def _plan(cells: Sequence[Cell], store: Store) -> str:
    """Say how large the study is, and how many of its models are left to be trained."""
    from priorgap.pipeline.fleets import left_to_train

    return f"{_size(cells)}; {left_to_train(cells, store)} to train, finished work is skipped"


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


def _reported_cells(request: Request, cells: Sequence[Cell], store: Store) -> list[Cell]:
    """Return the cells that a report covers: an experiment's grid exactly; else all that the study has seen."""
    if request.experiment is not None:
        return list(cells)
    # a bare `report study=NAME` composes a default cell that may never have been run
    chosen = {cell.train_id: cell for cell in cells if records.cell_file(store, cell).is_file()}
    typed = {override.lstrip("+~").partition("=")[0].partition(".")[0] for override in request.overrides}
    said = typed & {"tracking", "verdict"}
    for known in records.cells_of(store, cells[0].study):
        # how to report is the command's to say, also of cells that it does not name
        config = {**known.config, **{group: cells[0].config[group] for group in said}}
        chosen.setdefault(known.train_id, Cell(config, known.overrides))
    if not chosen:
        raise ValueError(f"study={cells[0].study}: nothing has been run in it")
    return list(chosen.values())


def _failures(cells: Sequence[Cell], store: Store) -> Iterator[str]:
    for cell in cells:
        found = records.failure(store, cell)
        if found is not None:
            yield f"failed: {found['label']}: {found['error']} (the same command tries it again)"


def _say(line: str) -> None:
    sys.stderr.write(f"priorgap: {line}\n")
