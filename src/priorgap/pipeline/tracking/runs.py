"""A run of W&B: opening, logging curves, closing; the facts of the machine that it gets, the files that it keeps."""

import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from priorgap.core import artifacts
from priorgap.pipeline.following import Look
from priorgap.pipeline.tracking.access import Agent, TrackingFailed, leave_the_service_of_others
from priorgap.pipeline.tracking.marks import written_before

if TYPE_CHECKING:
    from wandb import Image, Settings
    from wandb.sdk.wandb_run import Run

log = logging.getLogger(__name__)
# Limits in seconds, so that an unreachable server does not delay a study longer (W&B's own are 90, and none at the
# end).
_TO_BEGIN, _TO_END = 30.0, 60.0
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")
_ROWS = "test rows; their reconstructions; draws of the prior"
# Keys about the store and tracking, which do not describe the model and are not sent to W&B.
_PRIVATE = ("output_root", "tracking")


@dataclass(frozen=True)
class RunName:
    """The identification of a run in W&B.

    Attributes:
        study: the study, which is the run's group.
        name: the readable name.
        job_type: model or report.
        about: the model's id, or "report".
        config: the composed configuration.
        agent: the agent that requested this run alone, with an id of its own.
    """

    study: str
    name: str
    job_type: str
    about: str
    config: Mapping[str, Any]
    agent: Agent | None = None

    def id(self, folder: Path) -> str:
        """Return the run's id: the agent's, else the one it was written under before, else one that a rerun finds.

        Args:
            folder: the study's folder.
        """
        if self.agent is not None:
            return self.agent.run
        known = written_before(folder, self.about)
        return known.run if known is not None else artifacts.digest([self.study, self.about])[:16]


class OpenRun:
    """A run that is being written; `close` ends it.

    Args:
        tracking: the group of the configuration.
        folder: the study's folder.
        named: the run's identification.
        final: whether closing it ends the run; if not, another process continues it.

    Raises:
        TrackingFailed: W&B cannot be reached, or refuses.
    """

    def __init__(
        self, tracking: Mapping[str, Any], folder: Path, named: RunName, *, final: bool = True
    ) -> None:
        leave_the_service_of_others()
        import wandb

        self.named, self.id = named, named.id(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._earlier = list((folder / "wandb").glob(f"offline-run-*-{self.id}"))
        try:
            self.run: Run = wandb.init(
                project=str(tracking["project"]),
                entity=tracking["entity"],
                group=named.study,
                job_type=named.job_type,
                name=named.name,
                id=self.id,
                resume="allow",
                # Without this a second job of the process would be merged into the first one's run.
                reinit="create_new",
                mode="online" if tracking["mode"] == "online" else "offline",
                config=public(named.config),
                dir=str(folder),
                settings=_settings(final, named.agent),
            )
        except Exception as error:
            raise _failed(named, error) from error
        self._n_epochs = int(self.run.starting_step)
        self.run.define_metric("epoch")
        self.run.define_metric("train/*", step_metric="epoch")
        self.run.define_metric("validation/*", step_metric="epoch")

    def curves(self, records: Sequence[Mapping[str, float]], look: Look | None = None) -> None:
        """Log epochs, each under its number as the step; epochs that the run has already are left out.

        Args:
            records: the records of the epochs.
            look: makes the picture for their step; None for no picture.
        """
        for record in records:
            if int(record["epoch"]) >= self._n_epochs:
                pictures = {} if look is None else _pictures(look)
                self.run.log({**{_curve_name(key): value for key, value in record.items()}, **pictures})
                self._n_epochs = int(record["epoch"]) + 1

    def close(self, *, failed: bool = False) -> None:
        """End the run, and remove the local files of earlier processes, whose content this run includes.

        Raises:
            TrackingFailed: not all of the data arrived.
        """
        place = Path(self.run.dir).parent
        try:
            self.run.finish(exit_code=1 if failed else 0)
        except Exception as error:
            raise _failed(self.named, error) from error
        for folder in self._earlier:
            if not list(folder.glob("*.synced")):
                shutil.rmtree(folder, ignore_errors=True)
        _forget_logs(place)


@contextmanager
def written(run: OpenRun) -> Iterator["Run"]:
    """Pass a run to the block for logging, and close it; an error of W&B becomes one line.

    Raises:
        TrackingFailed: W&B cannot be reached, or refuses.
    """
    import wandb

    try:
        yield run.run
    except BaseException as error:
        with suppress(TrackingFailed):
            run.close(failed=True)
        if isinstance(error, wandb.Error):
            raise _failed(run.named, error) from error
        raise
    run.close()


def add_artifact(run: "Run", name: str, kind: str, file: Path) -> None:
    """Add a file of the store, which stays there, as an artifact with a fixed name."""
    import wandb

    artifact = wandb.Artifact(_NOT_IN_NAMES.sub("-", name)[:128], type=kind)
    artifact.add_file(str(file), policy="immutable")
    run.log_artifact(artifact)


def _failed(named: RunName, error: Exception) -> TrackingFailed:
    line = " ".join(str(error).split()) or type(error).__name__
    return TrackingFailed(f"W&B, run {named.name}: {line}")


def _settings(final: bool, agent: Agent | None) -> "Settings":
    import wandb

    return wandb.Settings(
        console="off",
        silent=True,
        x_disable_stats=True,
        # Switches off host, user, command line and paths of the machine.
        x_disable_meta=True,
        x_disable_machine_info=True,
        disable_git=True,
        disable_code=True,
        init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT", _TO_BEGIN)),
        finish_timeout=float(os.environ.get("WANDB_FINISH_TIMEOUT", _TO_END)),
        finish_timeout_raises=True,
        x_update_finish_state=final,
        sweep_id=None if agent is None else agent.sweep,
    )


def public(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without data of a machine or a person; of a path only the last part is kept."""
    return {key: _without_folders(value) for key, value in config.items() if key not in _PRIVATE}


def _without_folders(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_folders(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(entry) for entry in value]
    if isinstance(value, str) and (value.startswith("~") or PurePath(value).is_absolute()):
        return PurePath(value).name
    return value


def _forget_logs(place: Path) -> None:
    """Remove W&B's own logs of a run that ended well, because they contain paths of the machine."""
    shutil.rmtree(place / "logs", ignore_errors=True)
    for link in (*place.parent.glob("debug*.log"), place.parent / "latest-run"):
        if link.is_symlink():
            link.unlink(missing_ok=True)


def _pictures(look: Look) -> "dict[str, Image]":
    import wandb

    found = look()
    return {} if found is None else {"train/pictures": wandb.Image(found, caption=_ROWS)}


def _curve_name(column: str) -> str:
    """Return train/loss for train_loss, because W&B makes a section of the part before the slash."""
    part, _, rest = column.partition("_")
    return f"{part}/{rest}" if part in ("train", "validation") and rest else column
