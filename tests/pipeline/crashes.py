"""Runs the console script in forked processes that can be killed for real, at a named moment of their work.

A fork server imports the heavy packages once, so that each run costs its own work and no imports.
"""

import importlib
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

STAGES = ("prepare", "reference", "train", "calibrate", "encode", "sample", "measure")
_PRELOAD = [
    # first, for it makes torchvision importable
    "priorgap.training.fit",
    "matplotlib.pyplot",
    "sklearn.mixture",
    "priorgap.pipeline.execute",
    *(f"priorgap.pipeline.stages.{stage}" for stage in STAGES),
    "priorgap.pipeline.reporting",
]


@dataclass(frozen=True)
class Moment:
    """A call at which a process is killed.

    Attributes:
        target: the function, as module:attribute or module:class.attribute.
        words: what its arguments must mention, all of them, for the call to count.
        after: whether it is killed when the call is over; else just before it.
        count: the how manieth such call.
    """

    target: str
    words: tuple[str, ...] = ()
    after: bool = False
    count: int = 1


@dataclass(frozen=True)
class Trouble:
    """A disk that refuses: every write beyond a file size, or every sync after the first few.

    Attributes:
        file_size: the largest file, in bytes; a real limit of the process.
        syncs: how many syncs succeed before the disk is full.
    """

    file_size: int | None = None
    syncs: int | None = None


class Child:
    """A run of the console script in a process of its own."""

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        *,
        moment: Moment | None = None,
        trouble: Trouble | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOAD)
        self._said = folder / f"said-{len(list(folder.glob('said-*')))}.txt"
        self._said.touch()
        self.process: BaseProcess = context.Process(
            target=_run, args=(folder, self._said, tuple(arguments), moment, trouble, dict(environment or {}))
        )
        self.process.start()

    def finish(self, timeout: float = 900) -> int:
        """Wait, and return the exit status (the negative signal for a process that was killed)."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.process.kill()
            raise AssertionError(f"still running after {timeout} s: {self.said}")
        return self.process.exitcode

    @property
    def said(self) -> str:
        """What it wrote on standard output and standard error."""
        return self._said.read_text()


def _run(
    folder: Path,
    said: Path,
    arguments: tuple[str, ...],
    moment: Moment | None,
    trouble: Trouble | None,
    environment: Mapping[str, str],
) -> None:
    # the fork server may have inherited the service of an earlier test's W&B, which has ended
    os.environ.pop("WANDB_SERVICE", None)
    os.environ.update(environment)
    # the fork server ignores Ctrl-C, and so would what it forks
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # tests may run under nohup, whose children ignore it
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.chdir(folder)
    with said.open("ab", buffering=0) as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    if moment is not None:
        _kill_at(moment)
    if trouble is not None:
        _make(trouble)
    from priorgap.pipeline import cli

    cli.main(arguments)


def _owner(target: str) -> tuple[object, str]:
    module, _, path = target.partition(":")
    owner: object = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    return owner, name


def _kill_at(moment: Moment) -> None:
    owner, name = _owner(moment.target)
    original: Callable[..., object] = getattr(owner, name)
    left = moment.count

    def replacement(*args: object, **kwargs: object) -> object:
        nonlocal left
        # a shelf is known by its folder
        mentioned = " ".join(str(getattr(a, "folder", a)) for a in (*args, *kwargs.values()))
        left -= all(word in mentioned for word in moment.words)
        if left == 0 and not moment.after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, replacement)


def _make(trouble: Trouble) -> None:
    if trouble.file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (trouble.file_size, trouble.file_size))
    if trouble.syncs is not None:
        import errno

        original, left = os.fsync, trouble.syncs

        def fsync(handle: int) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            original(handle)

        os.fsync = fsync
