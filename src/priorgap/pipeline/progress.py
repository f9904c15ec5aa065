"""A sweep's progress in one place: one live line on a terminal, a plain line now and then elsewhere."""

import logging
import sys
import time
from collections.abc import Callable
from typing import TextIO

log = logging.getLogger(__name__)
_EVERY = 15.0


class Progress:
    """Counts what has ended and says so.

    Args:
        total: the number of models.
        stream: where the live line goes, when it is a terminal.
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
        """Say where the sweep stands, if that is news."""
        self.running = running
        if self._stream.isatty():
            self._stream.write(f"\r\x1b[K{self.line()}")
            self._stream.flush()
        elif self._clock() - self._said_at >= _EVERY and self.counts() != self._said:
            self._say()

    def close(self) -> None:
        """Say how it ended."""
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


def duration(seconds: float) -> str:
    """Return seconds as a person says them."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {whole % 60:02d} s" if minutes else f"{whole} s"
