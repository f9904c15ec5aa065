"""Runs that are written during training: they show curves, and do not change any computation."""

import logging
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from priorgap.pipeline.config.plan import PlannedModel
from priorgap.pipeline.following import FollowBatch, Follower, Look, Nobody
from priorgap.pipeline.store.records import RecordedModel
from priorgap.pipeline.tracking.access import Agent, TrackingFailed
from priorgap.pipeline.tracking.runs import OpenRun, RunName
from priorgap.training.config import Record

log = logging.getLogger(__name__)
# The default largest number of pictures in a training.
_N_PICTURES = 6
# Set once W&B could not be reached; the report then writes the rest, and no model waits again.
_lost = threading.Event()


def run_name(
    config: Mapping[str, Any],
    model: RecordedModel | PlannedModel,
    study: str,
    label: str,
    agent: Agent | None = None,
) -> RunName:
    """Return the identification of a model's run."""
    return RunName(
        study,
        f"{label}{' calibrated' if model.calibrated else ''}",
        "model",
        model.id,
        {**config, "calibrated": model.calibrated, "model_id": model.id},
        agent,
    )


class LiveRuns:
    """The runs of one process: opened when a training begins, and left open for later measurements.

    As a context manager it closes them, as failed if the block raises or `failed` was set.

    Args:
        tracking: the group of the configuration.
        folder: the study's folder.
        wanted: whether anything is written during training.
        asked: the model whose run an agent requested, and the agent.
    """

    def __init__(
        self,
        tracking: Mapping[str, Any],
        folder: Path,
        *,
        wanted: bool,
        asked: tuple[str, Agent] | None = None,
    ) -> None:
        self._tracking, self._folder, self._asked = tracking, folder, asked
        self._wanted = wanted and tracking["mode"] != "off"
        self._open: dict[str, OpenRun] = {}
        self.failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for run in self._open.values():
            _guarded(partial(run.close, failed=self.failed or error is not None))
        self._open.clear()

    def training(self, model: PlannedModel) -> Follower:
        """Open a model's run, and return the observer that logs its epochs."""
        if not self._wanted or _lost.is_set():
            return Nobody()
        run = _opened(self._tracking, self._folder, self._named(model), final=True)
        if run is None:
            return Nobody()
        self._open[model.id] = run
        return _Curves(run, _every(self._tracking, model.cell.config))

    def batch(self, models: Sequence[PlannedModel]) -> FollowBatch | None:
        """Return the observer that logs a batch's epochs, in the process that trains it.

        A batch is trained in seconds, so runs that cannot be watched are written only once, with the measures.
        """
        if not self._wanted or self._tracking["mode"] != "online" or _lost.is_set():
            return None
        return _BatchCurves(dict(self._tracking), self._folder, tuple(map(self._named, models)))

    def agent(self, model_id: str) -> Agent | None:
        """Return the agent that requested a model's run; None where none did."""
        return self._asked[1] if self._asked is not None and self._asked[0] == model_id else None

    def _named(self, model: PlannedModel) -> RunName:
        cell = model.cell
        return run_name(cell.config, model, cell.study, cell.label, self.agent(model.id))

    def take(self, model_id: str) -> OpenRun | None:
        """Return the open run of a model, which the caller must then close."""
        return self._open.pop(model_id, None)


def _every(tracking: Mapping[str, Any], config: Mapping[str, Any]) -> int:
    """Return the number of epochs between pictures; 0 for none."""
    asked = tracking["pictures_every"]
    return math.ceil(int(config["trainer"]["max_epochs"]) / _N_PICTURES) if asked is None else int(asked)


class _Curves:
    """Logs the epochs of one model, and at intervals a picture of its samples."""

    def __init__(self, run: OpenRun, every: int) -> None:
        self._run: OpenRun | None = run
        self._every = every

    def resumed(self, curves: Sequence[Record]) -> None:
        """Log those epochs from before a resume that the run does not have."""
        if self._run is not None and not _guarded(partial(self._run.curves, curves)):
            self._run = None

    def epoch(self, record: Record, look: Look) -> None:
        """Log an epoch, with the picture if one is due."""
        turn = self._every > 0 and (int(record["epoch"]) + 1) % self._every == 0
        if self._run is not None and not _guarded(
            partial(self._run.curves, [record], look if turn else None)
        ):
            self._run = None


@dataclass(frozen=True)
class _BatchCurves:
    """Logs the epochs of a batch's models, in any process that opens it; their runs are continued afterwards."""

    tracking: Mapping[str, Any]
    folder: Path
    names: tuple[RunName, ...]

    @contextmanager
    def _following(self) -> Iterator[Callable[[int, Record], None]]:
        runs: dict[int, OpenRun | None] = {}

        def epoch(place: int, record: Record) -> None:
            if place not in runs:
                lost = _lost.is_set()
                named = self.names[place]
                runs[place] = None if lost else _opened(self.tracking, self.folder, named, final=False)
            run = runs[place]
            if run is not None and not _guarded(partial(run.curves, [record])):
                runs[place] = None

        failed = True
        try:
            yield epoch
            failed = False
        finally:
            for place, run in runs.items():
                if run is not None and _guarded(run.close) and failed:
                    # The batch failed and nothing else will continue the run, so it is reopened to be recorded as
                    # failed.
                    ended = _opened(self.tracking, self.folder, self.names[place], final=True)
                    if ended is not None:
                        _guarded(partial(ended.close, failed=True))

    def __call__(self) -> AbstractContextManager[Callable[[int, Record], None]]:
        """Open nothing yet; a model's run is opened with its first epoch."""
        return self._following()


def _opened(tracking: Mapping[str, Any], folder: Path, named: RunName, *, final: bool) -> OpenRun | None:
    try:
        return OpenRun(tracking, folder, named, final=final)
    except TrackingFailed as error:
        _say_lost(error)
        return None


def _guarded(call: Callable[[], None]) -> bool:
    """Call a function and report a failure in one line, because no training may fail because of its curves."""
    try:
        call()
    except Exception as error:
        _say_lost(error)
        return False
    return True


def _say_lost(error: Exception) -> None:
    if not _lost.is_set():
        line = " ".join(str(error).split()) or type(error).__name__
        log.warning("%s; the work goes on, and its runs are written at the end", line)
    _lost.set()
