"""run, the stages, report: compose and check all configurations, make what is missing, report, name failures."""

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from priorgap.core import artifacts
from priorgap.core.errors import BadInput, refusing
from priorgap.pipeline.config.model_config import ModelConfig, validate
from priorgap.pipeline.config.session import Request, Session
from priorgap.pipeline.store import finished, records
from priorgap.pipeline.store.layout import Store
from priorgap.pipeline.sweep.batching_rule import refuse_old_words
from priorgap.pipeline.terminal import LINE, Handler, counted, marked, say

if TYPE_CHECKING:
    from priorgap.pipeline.config.plan import Plan
    from priorgap.pipeline.desk import Desk

log = logging.getLogger(__name__)
# The default number of processes that measure one model is at most this, because each holds the data in memory.
_MOST = 4


def main(command: str, overrides: tuple[str, ...], multirun: bool, config_dir: str | None) -> int:
    """Run `priorgap run`, a stage, or `report`; bad input raises BadInput with one line.

    A sweep over `study` runs one command for each study, after all of them were checked.
    """
    request = Request(overrides, multirun, config_dir)
    # An agent of W&B waits for a run of its own, even for a model that exists already.
    if command == "run" and "WANDB_SWEEP_ID" not in os.environ:
        done = finished.finished(request)
        if done is not None:
            say(done)
            return 0
    status = 0
    for session, cells in checked_sessions(request):
        with session:
            status = max(status, run_checked(command, session, cells))
    return status


def checked_sessions(request: Request) -> list[tuple[Session, list[ModelConfig]]]:
    """Return a session for each study of a command with its configurations, composed and checked.

    Raises:
        BadInput: a configuration cannot be used; one line.
    """
    with refusing():
        refuse_old_words(request.overrides)
        return [(session, _checked(session)) for session in _sessions(request)]


def _sessions(request: Request) -> list[Session]:
    session = Session(request)
    if len(session.studies) < 2:
        return [session]
    return [Session(request.with_study(name)) for name in session.studies]


def _checked(session: Session) -> list[ModelConfig]:
    """Compose and check the configurations of a command, before heavy imports and before anything is written."""
    with session:
        cells = [ModelConfig(config, names) for config, names in session.cells()]
    validate(cells)
    return cells


def run_checked(command: str, session: Session, cells: Sequence[ModelConfig]) -> int:
    """Run a command on checked configurations inside their session; return the exit status."""
    from priorgap.pipeline.config.plan import KINDS, plan_of
    from priorgap.pipeline.tracking.access import check_access

    # Until Hydra sets up logging for the cells, log messages go to standard error.
    form = logging.Formatter("[%(asctime)s] %(message)s", "%H:%M:%S")
    handler = Handler(sys.stderr)
    handler.setFormatter(form)
    logging.basicConfig(handlers=[handler])
    logging.getLogger("priorgap").setLevel(logging.DEBUG if LINE.verbose else logging.INFO)
    store = Store(Path(str(cells[0].config["output_root"])))
    wanted = KINDS if command in ("run", "report") else (command,)
    with refusing():
        plan = plan_of(cells)
        settings = cells[0].config["tracking"]
        if command in ("run", "report") or (command in ("train", "measure") and settings["mode"] == "online"):
            check_access(settings)
        for name in {cell.study for cell in cells}:
            if not store.holds(store.study(name)):
                raise ValueError(
                    f"study={name}: {store.study(name)} is a link; expected a folder of the store"
                )
        if "prepare" not in wanted:
            _check_prepared(plan, store)
    failed: list[str] = []
    if command != "report":
        failed = _make(plan, store, session, wanted)
        for line in failed:
            say(line)
    if command in ("run", "report"):
        return _report(command, session, plan, store, failed)
    return 1 if failed else 0


def _check_prepared(plan: "Plan", store: Store) -> None:
    for step in dict.fromkeys(model.data for model in plan.models):
        if not store.is_complete(step):
            raise ValueError(f"{store.path(step)}: the data are not there; run `priorgap prepare` first")


def _make(plan: "Plan", store: Store, session: Session, wanted: Sequence[str]) -> list[str]:
    """Make the missing results of the wanted stages; return a line for each configuration that failed."""
    from priorgap.pipeline.config.plan import MODEL_KINDS, SHARED_KINDS
    from priorgap.pipeline.desk import Desk
    from priorgap.pipeline.execute import execute
    from priorgap.pipeline.plan_files import write_made
    from priorgap.pipeline.sweep.jobs import CellTask
    from priorgap.pipeline.tracking.live import LiveRuns

    settings = plan.cells[0].config["tracking"]
    folder = store.study(plan.cells[0].study)
    desk = Desk(store, LiveRuns(settings, folder, wanted=settings["mode"] == "online"))
    with refusing():
        _set_numerics(plan.cells)
        # Data are loaded and checked first, so that nothing of the study is written if a file is corrupt.
        _check_data(plan, desk, load="prepare" in wanted)
        _make_root(store)
        execute(plan, ["prepare"] if "prepare" in wanted else [], desk)
        if "prepare" in wanted:
            write_made(plan, "prepare", store)
    if "reference" in wanted:
        say(_size_line(plan, store, desk), always=False)
        if "measure" in wanted:
            from priorgap.pipeline.sweep import estimate as costs

            line = costs.expected_time(plan, store)
            if line:
                say(line, always=False)
        with refusing():
            execute(plan, ["reference"], desk)
        write_made(plan, "reference", store)
    stages = [kind for kind in wanted if kind not in SHARED_KINDS]
    if not stages:
        return []
    known, here = session.grid_is_known, False
    if known:
        for cell in plan.cells:
            records.write(records.record_of(cell, iter(plan.by_cell[cell])), store)
    task = CellTask(tuple(stages), _processes(plan.cells, session), known)
    if known and "train" in stages:
        # If batched training left nothing to do, starting workers would cost more than checking in this process.
        here = _train_batched(plan, desk, session) and stages == ["train"]
    one_by_one = here or session.launcher == "basic"
    if one_by_one:
        LINE.of(len({model.train.path for model in plan.models}) if known else 0)
    else:
        # The sweep has a line of its own for all processes.
        LINE.close()
    lost = session.launch(task, here=here)
    LINE.begin()
    LINE.of(0)
    for kind in stages:
        # The stage's folder is created even if a study calibrates nothing, because DVC requires every declared
        # output.
        if kind in MODEL_KINDS:
            (store.study(plan.cells[0].study) / kind).mkdir(parents=True, exist_ok=True)
    if known:
        trainings = [(cell.study, cell.train_id) for cell in plan.cells]
    else:
        study = plan.cells[0].study
        trainings = [(study, record.train_id) for record in records.records_of(store, study)]
    return [*lost, *_failures(trainings, store)]


def _report(command: str, session: Session, plan: "Plan", store: Store, failed: list[str]) -> int:
    LINE.at("writing the report")
    from priorgap.pipeline import gathering, reporting

    with refusing():
        reported = _reported(session.request, plan, store)
    if command == "report":
        failed = list(_failures(((r.study, r.train_id) for r in reported), store))
        for line in failed:
            say(line)
    try:
        written = reporting.write(reported, _how(session.request, plan, reported), store)
    except (artifacts.Damaged, gathering.FactsMissing) as error:
        raise BadInput(str(error)) from error
    except gathering.NothingMeasured as error:
        if not failed:
            raise BadInput(str(error)) from error
        return 1  # Every model failed, and this has been reported.
    if written.untracked is not None:
        failed.append(f"{written.untracked} (results are complete; the same command tries it again)")
        say(failed[-1])
    if command == "run" and not failed and session.grid_is_known:
        finished.remember(session.request, plan, store, written.path, _size(plan))
    say(f"report: {written.path}")
    LINE.close()
    sys.stdout.write("".join(f"{marked(line, sys.stdout)}\n" for line in written.verdict.tiers))
    return 1 if failed else 0


def _set_numerics(cells: Sequence[ModelConfig]) -> None:
    """Set the first cell's numerics; report all cells whose numerics do not suit this machine before any work."""
    from priorgap.core.artifacts import canonical_json
    from priorgap.pipeline import precision

    seen = {canonical_json([cell.config["numerics"], cell.config["trainer"]]): cell for cell in cells}
    for cell in seen.values():
        precision.check(cell.config)
    precision.set_numerics(cells[0].config)
    for cell in {str(cell.config["trainer"].get("precision")): cell for cell in cells}.values():
        precision.advise(cell.config)


def _make_root(store: Store) -> None:
    try:
        store.root.mkdir(parents=True, exist_ok=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        # The folder cannot be created at all, as under /proc; a full or read-only disk raises other errors.
        raise ValueError(
            f"output_root={store.root}: no folder can be made there: {error.strerror}"
        ) from error


def _check_data(plan: "Plan", desk: "Desk", *, load: bool) -> None:
    """Load each data set that is wanted or stored, and check that it suits every model; nothing is stored.

    Raises:
        ValueError: data are not available, or do not suit a model; one line.
    """
    from priorgap.pipeline.facts import check

    ready = [m for m in plan.models if load or desk.store.path(m.data).is_dir()]
    for model in ready:
        desk.dataset(model)
    check(ready, desk)


def _train_batched(plan: "Plan", desk: "Desk", session: Session) -> bool:
    """Train the models of `trainer=batched`, for any launcher; return whether no other model is left to train."""
    from priorgap.pipeline.sweep import batched
    from priorgap.pipeline.sweep.batching_rule import BatchingRule
    from priorgap.pipeline.sweep.engines.processes import processes_for

    config = plan.cells[0].config
    rule = BatchingRule(**config["batching"])
    line = batched.advice(plan, desk, rule)
    if line:
        say(line)
    # The basic launcher works in one process.
    threads = int(config["numerics"]["threads"])
    at_once = 1 if session.launcher == "basic" else session.n_jobs or processes_for(threads)
    batched.train(plan, desk, rule, processes=at_once)
    return all(desk.store.is_complete(model.train) for model in plan.models)


def _processes(cells: Sequence[ModelConfig], session: Session) -> int:
    """Return the number of processes for one model's measures: one where a launcher distributes models."""
    if session.launcher != "basic":
        return 1
    from priorgap.pipeline.sweep.engines.processes import processes_for

    config = cells[0].config
    return int(config["measure_processes"] or min(_MOST, processes_for(int(config["numerics"]["threads"]))))


def _size(plan: "Plan") -> str:
    trained = {model.train.path for model in plan.models}
    models = {model.id for model in plan.models}
    draws = {step.path for model in plan.models for step in model.samples.values()}
    more = ["calibrated ones"] if any(model.calibrated for model in plan.models) else []
    more += ["both decode rules"] if len({model.decode for model in plan.models}) > 1 else []
    also = f", {len(models)} with {' and '.join(more)}" if more and len(models) > len(trained) else ""
    cells = counted(len(draws), "model x sampler cell")
    return f"{counted(len(trained), 'model')}{also}, {cells}"


def _size_line(plan: "Plan", store: Store, desk: "Desk") -> str:
    """Return a line on the study's size: models, trainings left, largest disk space, expected time."""
    trainings = {model.train.path: model.train for model in plan.models}.values()
    left = sum(not store.is_complete(step) for step in trainings)
    n_bytes = 0
    for model in plan.models:
        if store.is_complete(model.data):
            dataset, config = desk.dataset(model), model.cell.config
            d, n_test = int(config["model"]["latent_dim"]), len(dataset.test)
            rows = len(dataset.train) + len(dataset.validation) + n_test
            # Posteriors take two float32 for each unit; draws one, with an index and a label; weights and pictures 8
            # MB.
            draws = len(model.samples) * min(int(config["n_samples"]), n_test) * (4 * d + 16)
            n_bytes += rows * (8 * d + 8) + draws + 8_000_000
    known = [store.known(step) for step in trainings]
    seconds = [float(k.provenance["seconds"]) for k in known if k is not None and "seconds" in k.provenance]
    time = f"; a training took {sum(seconds) / len(seconds):.0f} s before" if seconds else ""
    return f"{_size(plan)}; {left} to train, finished work is skipped; up to {n_bytes / 1e9:.2g} GB{time}"


def _reported(request: Request, plan: "Plan", store: Store) -> list[records.Record]:
    """Return what a report covers: exactly an experiment's grid, else all models of the study."""
    study = plan.cells[0].study
    own = [records.record_of(cell, iter(plan.by_cell[cell])) for cell in plan.cells]
    if request.experiment is not None:
        return own
    # A bare `report study=NAME` composes a default configuration that may never have been run.
    chosen = {r.train_id: r for r in own if records.record_file(store, study, r.train_id).is_file()}
    for known in records.records_of(store, study):
        chosen.setdefault(known.train_id, records.as_commanded(known, plan.cells[0].config))
    lost = records.unreadable(store, study)
    if not chosen:
        unread = f" that can be read: {lost[0]}" if lost else ""
        raise ValueError(f"study={study}: nothing has been run in it{unread}")
    for line in lost:
        say(line)
    # The order is the same for every command that reports.
    return sorted(chosen.values(), key=lambda record: (record.config["seed"], record.train_id))


def _how(request: Request, plan: "Plan", reported: Sequence[records.Record]) -> dict[str, Any]:
    """Return the report's settings: tracking is set by the command, the verdict's rules also by the study."""
    command = plan.cells[0].config
    typed = {override.lstrip("+~").partition("=")[0] for override in request.overrides}
    if request.experiment is not None:
        return {"tracking": command["tracking"], "verdict": command["verdict"]}
    verdict = known = reported[0].config["verdict"]
    if any(key.partition(".")[0] == "verdict" for key in typed):
        # Without a typed space or features the command's space is only a default, so the study's is kept.
        own = typed & {"verdict", "verdict.space", "features"}
        verdict = command["verdict"] if own else {**command["verdict"], "space": known["space"]}
    return {"tracking": command["tracking"], "verdict": verdict}


def _failures(trainings: Iterable[tuple[str, str]], store: Store) -> Iterator[str]:
    for study, train_id in dict.fromkeys(trainings):
        found = records.failure(store, study, train_id)
        if found is not None:
            yield f"failed: {found['label']}: {found['error']} (the same command tries it again)"
