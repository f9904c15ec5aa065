"""Progress of a sweep, of one model's work and of its training: live on a terminal, occasional lines elsewhere."""

import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TextIO

from priorgap.pipeline.terminal import LINE, LiveLine, duration

log = logging.getLogger(__name__)
_EVERY = 15.0
# An epoch takes long where a training does, so that more lines would say little more.
_EVERY_EPOCHS = 60.0


class Progress:
    """Counts finished models and reports progress.

    Args:
        total: the number of models.
        stream: the stream of the live line, if it is a terminal.
        clock: seconds, monotonic.
    """

    def __init__(
        self, total: int, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._start = self._said_at = clock()
        self._said = ""
        self.total, self.done, self.failed, self.running = total, 0, 0, 0

    def ended(self, *, failed: bool) -> None:
        """Count a model."""
        self.failed += failed
        self.done += not failed

    def show(self, running: int) -> None:
        """Report the state of the sweep, if it has changed."""
        self.running = running
        if self._stream.isatty():
            self._stream.write(f"\r\x1b[K{self.line()}")
            self._stream.flush()
        elif self._clock() - self._said_at >= _EVERY and self.counts() != self._said:
            self._say()

    def close(self) -> None:
        """Report how the sweep ended."""
        self.running = 0
        if self._stream.isatty():
            self._stream.write("\r\x1b[K")
        if self.counts() != self._said:
            self._say()

    def _say(self) -> None:
        self._said, self._said_at = self.counts(), self._clock()
        log.info("%s", self.line())

    def counts(self) -> str:
        """Return the four counts."""
        waiting = self.total - self.done - self.failed - self.running
        parts = [f"{self.done} of {self.total} models done", f"{self.running} running"]
        return ", ".join([*parts, f"{waiting} waiting", f"{self.failed} failed"])

    def line(self) -> str:
        """Return the counts, the time since the start and the time left."""
        elapsed = self._clock() - self._start
        ended = self.done + self.failed
        left = elapsed / ended * (self.total - ended) if ended else None
        guess = "" if left is None or ended == self.total else f", about {duration(left)} left"
        return f"{self.counts()}; {duration(elapsed)}{guess}"


class _Saying:
    """What is said of work: on the live line of a terminal; elsewhere a log line, not more often than `every`."""

    def __init__(self, line: LiveLine, clock: Callable[[], float], every: float, label: str = "") -> None:
        self._line, self._clock, self._every = line, clock, every
        self._label = f"{label}: " if label else ""
        self._said_at = clock()

    def say(self, said: str) -> None:
        """Say it; the label is for log lines, of which several models may write."""
        now = self._clock()
        if self._line.live:
            self._line.at(said)
        elif now - self._said_at >= self._every:
            self._said_at = now
            log.info("%s%s", self._label, said)


class Pieces:
    """Progress of work in pieces of known kinds: on the live line of a terminal, in occasional lines elsewhere.

    The time left is estimated from the time of each kind so far; a kind that has not occurred yet counts as the mean.
    Kinds repeat (a metric for each sampler), so that all times are soon known.

    Args:
        kinds: the kind of every piece, in any order.
        verb: the verb for the work on them.
        line: the live line.
        clock: as in `Progress`.
    """

    def __init__(
        self,
        kinds: Sequence[str],
        verb: str,
        *,
        line: LiveLine = LINE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._left, self._total, self._verb, self._clock = Counter(kinds), len(kinds), verb, clock
        self._took: dict[str, list[float]] = {}
        self._since = clock()
        self._saying = _Saying(line, clock, _EVERY)

    def ended(self, *kinds: str, worked: bool = True) -> None:
        """Count pieces that ended together; those that existed already (`worked` false) do not count for the time."""
        now = self._clock()
        if worked:
            for kind in kinds:
                self._took.setdefault(kind, []).append((now - self._since) / len(kinds))
            self._since = now
        self._left.subtract(kinds)
        self._saying.say(f"{self._verb} {self.n_done()} of {self._total}; {self.left()}")

    def n_done(self) -> int:
        """Return the number of finished pieces."""
        return self._total - self._left.total()

    def left(self) -> str:
        """Return how long the rest will take, in words."""
        if not self._took:
            return "time left not known yet"
        means = {kind: sum(times) / len(times) for kind, times in self._took.items()}
        usual = sum(means.values()) / len(means)
        return f"about {duration(sum(n * means.get(kind, usual) for kind, n in self._left.items()))} left"


class Epochs:
    """Progress of one training: on the live line of a terminal, in occasional lines elsewhere.

    Args:
        label: the model's name.
        total: the number of epochs at most.
        line: the live line.
        clock: as in `Progress`.
    """

    def __init__(
        self,
        label: str,
        total: int,
        *,
        line: LiveLine = LINE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._clock, self._start = total, clock, clock()
        self._saying = _Saying(line, clock, _EVERY_EPOCHS, label)
        self._first: int | None = None
        line.at(f"training, epoch 1 of {total}")

    def ended(self, epoch: int, loss: float) -> None:
        """Report that an epoch, counted from 0, has ended with this training loss.

        A resumed training does not start at 0: its time for an epoch is that of the epochs seen here.
        """
        self._first = epoch if self._first is None else self._first
        n_done = epoch + 1
        left = (self._clock() - self._start) / (n_done - self._first) * (self._total - n_done)
        said = f"training, {n_done} of {self._total} epochs, loss {loss:.4g}"
        said += f", at most about {duration(left)} left" if n_done < self._total else ""
        self._saying.say(said)
