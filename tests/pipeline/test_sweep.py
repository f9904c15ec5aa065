"""The launcher's own loop: a lost worker costs its job, progress is counted in one place, Ctrl-C ends all."""

import io
import math
import os
import signal
from concurrent.futures.process import BrokenProcessPool
from functools import partial

import pytest
from hydra.core.utils import JobReturn, JobStatus

from priorgap.pipeline.sweep import launcher
from priorgap.pipeline.sweep.engines.processes import Processes, spread
from priorgap.pipeline.sweep.engines.protocol import Job, Lost, Unit
from priorgap.pipeline.sweep.progress import Epochs, Pieces, Progress
from priorgap.pipeline.terminal import LiveLine, duration


def answer(value: str | None = None, die_once: str | None = None, die: bool = False) -> list[JobReturn]:
    """What a worker does here: answer, or be killed (once, where it leaves a mark)."""
    if die or (die_once is not None and not os.path.exists(die_once)):
        if die_once is not None:
            open(die_once, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return [JobReturn(status=JobStatus.COMPLETED, _return_value=value)]


def unit(number: int, **what) -> Unit:
    job = Job(number, (f"seed={number}",), (f"seed={number}",), config=None)  # type: ignore[arg-type]
    return Unit((job,), partial(answer, **what))


@pytest.fixture
def given_up(monkeypatch) -> list[str]:
    """What is recorded of jobs that were lost too often."""
    found: list[str] = []
    monkeypatch.setattr(
        "priorgap.pipeline.sweep.jobs.record_loss", lambda config, reason: found.append(reason)
    )
    return found


def test_a_killed_worker_costs_its_job_alone(tmp_path, caplog, given_up):
    units = [unit(0), unit(1, die_once=str(tmp_path / "died")), unit(2, die=True), *map(unit, (3, 4))]
    progress = Progress(len(units), io.StringIO())
    returns = launcher.drive(units, Processes(2, threads=1), progress, retries=1)
    assert sorted(returns) == [0, 1, 2, 3, 4]
    assert [n for n, r in returns.items() if r.return_value is not None] == [2]
    assert (progress.done, progress.failed) == (4, 1)
    assert given_up == ["its worker process was killed"]
    said = caplog.text
    assert "job #1 (seed=1): its worker process was killed; tried again, 1 of 1" in said
    assert "job #2 (seed=2): its worker process was killed; given up" in said


class Scripted:
    """An engine that answers what it is told to."""

    cells_per_unit = 1

    def __init__(self, outcomes) -> None:
        self.outcomes, self.queue, self.closed = dict(outcomes), [], None

    def has_room(self) -> bool:
        return True

    def start(self, unit: Unit) -> None:
        self.queue.append(unit)

    def wait(self, seconds: float):
        unit = self.queue.pop(0)
        outcome = self.outcomes[unit.jobs[0].number].pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return [(unit, outcome)]

    def running(self) -> int:
        return len(self.queue)

    def close(self, *, kill: bool) -> None:
        self.closed = kill

    def describe(self) -> str:
        return "as told"


def test_lost_jobs_are_tried_again_so_often_and_no_more(given_up):
    engine = Scripted({0: [Lost("gone"), Lost("gone"), answer()], 1: [Lost("away")] * 3, 2: [answer("bad")]})
    progress = Progress(3, io.StringIO())
    returns = launcher.drive([unit(n) for n in range(3)], engine, progress, retries=2)
    assert [returns[n].return_value for n in range(3)] == [None, "away", "bad"]
    assert (progress.done, progress.failed, engine.closed) == (1, 2, False)
    assert given_up == ["away"]


def test_an_interrupt_ends_the_workers():
    engine = Scripted({0: [KeyboardInterrupt()]})
    with pytest.raises(KeyboardInterrupt):
        launcher.drive([unit(0)], engine, Progress(1, io.StringIO()), retries=2)
    assert engine.closed is True


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_is_one_live_line():
    stream, now = Terminal(), iter(range(100))
    progress = Progress(4, stream, clock=lambda: next(now) * 10.0)
    progress.ended(failed=False)
    progress.ended(failed=True)
    progress.show(running=1)
    assert stream.getvalue() == (
        "\r\x1b[K1 of 4 models done, 1 running, 1 waiting, 1 failed; 10 s, about 10 s left"
    )


def test_progress_elsewhere_is_a_line_now_and_then(caplog):
    caplog.set_level("INFO")
    now = [0.0]
    progress = Progress(2, io.StringIO(), clock=lambda: now[0])
    for now[0] in (1.0, 16.0, 32.0, 40.0):
        progress.show(running=2)
    progress.ended(failed=False)
    progress.ended(failed=False)
    progress.close()
    assert [r.message for r in caplog.records] == [
        "0 of 2 models done, 2 running, 0 waiting, 0 failed; 16 s",
        "2 of 2 models done, 0 running, 0 waiting, 0 failed; 40 s",
    ]


def test_epochs_elsewhere_are_a_line_a_minute(caplog):
    """A training that goes on after its 20th epoch takes 30 s an epoch: 10 more of 40 are 5 minutes."""
    caplog.set_level("INFO")
    now = [0.0]
    epochs = Epochs("alpha=1", 40, clock=lambda: now[0])
    for place, epoch in enumerate(range(20, 40), 1):
        now[0] = 30.0 * place
        epochs.ended(epoch, 90.123)
    said = [r.message for r in caplog.records]
    assert len(said) == 10
    assert said[0] == "alpha=1: training, 22 of 40 epochs, loss 90.12, at most about 9 min 00 s left"
    assert said[4] == "alpha=1: training, 30 of 40 epochs, loss 90.12, at most about 5 min 00 s left"
    assert said[-1] == "alpha=1: training, 40 of 40 epochs, loss 90.12"


def test_short_trainings_say_nothing_elsewhere(caplog):
    caplog.set_level("INFO")
    now = [0.0]
    epochs = Epochs("alpha=1", 12, clock=lambda: now[0])
    for epoch in range(12):
        now[0] += 4.9
        epochs.ended(epoch, 1.0)
    assert not caplog.records


def test_epochs_on_a_terminal_are_on_its_live_line(caplog):
    caplog.set_level("INFO")
    stream, now = Terminal(), [0.0]
    line = LiveLine(stream, clock=lambda: now[0])
    line.begin()
    epochs = Epochs("alpha=1", 3, line=line, clock=lambda: now[0])
    assert "training, epoch 1 of 3" in line.line(200)
    now[0] = 70.0
    epochs.ended(0, 5.0)
    assert line.line(200).endswith("training, 1 of 3 epochs, loss 5, at most about 2 min 20 s left")
    line.close()
    assert not caplog.records


def test_time_left_of_pieces_is_counted_by_kind(caplog):
    caplog.set_level("INFO")
    now = [0.0]
    # two samplers with a cheap and a dear metric, and one piece that an earlier run left
    kinds = ["cheap", "dear", "cheap", "dear", "dear"]
    pieces = Pieces(kinds, "measured", clock=lambda: now[0])
    assert pieces.left() == "time left not known yet"
    pieces.ended("dear", worked=False)
    assert pieces.left() == "time left not known yet"
    now[0] = 2.0
    pieces.ended("cheap")
    assert pieces.left() == "about 6 s left"  # what is not known yet counts as the mean of what is
    now[0] = 42.0
    pieces.ended("dear")
    assert pieces.left() == "about 42 s left" and pieces.n_done() == 3
    pieces.ended("dear")
    now[0] = 60.0
    pieces.ended("cheap")
    assert [r.message for r in caplog.records] == [
        "measured 3 of 5; about 42 s left",
        "measured 5 of 5; about 0 s left",
    ]


def test_pieces_that_end_together_share_the_time():
    now = [0.0]
    pieces = Pieces(["a", "b"] * 3, "measured", clock=lambda: now[0])
    now[0] = 8.0
    pieces.ended("a", "b")
    assert pieces.n_done() == 2 and pieces.left() == "about 16 s left"


def test_pieces_that_were_there_take_no_time_from_those_that_end_with_them():
    now = [0.0]
    pieces = Pieces(["a"] * 4 + ["b"] * 4, "measured", clock=lambda: now[0])
    now[0] = 20.0
    pieces.ended("a", "a", worked=False)
    pieces.ended("b", "b")
    assert pieces.left() == "about 40 s left"


def test_pieces_on_a_terminal_are_on_its_live_line(caplog):
    caplog.set_level("INFO")
    stream, now = Terminal(), [0.0]
    line = LiveLine(stream, clock=lambda: now[0])
    line.begin()
    pieces = Pieces(["a", "b"] * 2, "measured", line=line, clock=lambda: now[0])
    now[0] = 30.0
    pieces.ended("a")
    now[0] = 40.0
    pieces.ended("b")
    line.close()
    assert "40 s · measured 2 of 4; about 40 s left" in stream.getvalue()
    assert not caplog.records


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59.4, "59 s"), (61, "1 min 01 s"), (3660, "1 h 01 min")]
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


def test_calls_spread_over_processes(tmp_path, monkeypatch):
    calls = {f"{k}": partial(pow, 2, k) for k in range(5)}
    assert dict(spread(calls, 2, 1)) == {f"{k}": 2**k for k in range(5)}
    with pytest.raises(ValueError, match="math domain error"):
        list(spread({"bad": partial(math.sqrt, -1), **calls}, 2, 1))
    with pytest.raises(BrokenProcessPool):
        list(spread({"killed": partial(os._exit, 1)}, 1, 1))
    assert dict(spread(calls, 2, 1))["3"] == 8  # new processes take the place of killed ones
    monkeypatch.chdir(tmp_path)
    assert dict(spread({"where": os.getcwd}, 2, 1)) == {"where": str(tmp_path)}
