"""The output of a command at work: one line that is rewritten on a terminal, plain lines elsewhere."""

import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

_BACK = "\r\x1b[K"
_BOLD_CYAN, _RESET = "\x1b[1;36m", "\x1b[0m"
_BEAT = 1.0
_WIDE = 1000

log = logging.getLogger(__name__)


def counted(n: int, noun: str) -> str:
    """Return a number of things with the noun in its number.

    Example:
        >>> counted(1, "model"), counted(2, "model")
        ('1 model', '2 models')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


class LiveLine:
    """One line that shows the progress of a command, updated at least once a second; silent without a terminal.

    Args:
        stream: the stream to write to if it is a terminal; None is the current standard error.
        clock: seconds, monotonic.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._given, self._clock = stream, clock
        self._lock = threading.RLock()
        self._start, self._total, self._done, self._failed = clock(), 0, 0, 0
        self._doing, self._on = "", False
        self._stop = threading.Event()
        self.quiet = self.verbose = False

    @property
    def _stream(self) -> TextIO:
        return sys.stderr if self._given is None else self._given

    @property
    def live(self) -> bool:
        """Whether there is a live line now."""
        return self._on

    def begin(self) -> None:
        """Start, if standard error is a terminal and neither quiet nor verbose output was requested."""
        if self.quiet or self.verbose or self._on or not self._stream.isatty():
            return
        with self._lock:
            self._start, self._total, self._done, self._failed = self._clock(), 0, 0, 0
            self._on, self._stop = True, threading.Event()
        threading.Thread(target=self._beat, args=(self._stop,), daemon=True, name="priorgap-line").start()

    def close(self) -> None:
        """Remove the line."""
        with self._lock:
            if self._on:
                self._on = False
                self._stop.set()
                self._write(_BACK)

    def of(self, total: int) -> None:
        """Set the number of models; 0 hides the count."""
        with self._lock:
            self._total, self._done, self._failed = total, 0, 0
            self._start = self._clock() if total else self._start

    def ended(self, *, failed: bool) -> None:
        """Count a model; without a live line and with several models, print how many are finished."""
        with self._lock:
            self._failed += failed
            self._done += not failed
            if self._total > 1 and not self._on:
                self._doing = ""
                log.info("%s", self.line(_WIDE))

    def at(self, doing: str) -> None:
        """Set what is being done."""
        with self._lock:
            self._doing = doing
            self._draw()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Hide the line while a permanent line is printed."""
        with self._lock:
            if self._on:
                self._write(_BACK)
            try:
                yield
            finally:
                self._draw()

    def line(self, columns: int) -> str:
        """Return the line, shortened to a terminal's width."""
        elapsed, ended = self._clock() - self._start, self._done + self._failed
        parts = [duration(elapsed)]
        if self._total > 1:
            done = f"{self._done} of {self._total} models done"
            parts.insert(0, done + (f", {self._failed} failed" if self._failed else ""))
            if 0 < ended < self._total:
                parts.append(f"about {duration(elapsed / ended * (self._total - ended))} left")
        text = " · ".join([*parts, *([self._doing] if self._doing else [])])
        return text if len(text) < columns else f"{text[: max(0, columns - 2)]}…"

    def _draw(self) -> None:
        if self._on:
            self._write(_BACK + self.line(shutil.get_terminal_size().columns))

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            # The terminal was closed, but the work continues.
            self._on = False

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(_BEAT):
            with self._lock:
                self._draw()


LINE = LiveLine()


class Handler(logging.StreamHandler[TextIO]):
    """Shows log records on the live line if there is one, else as lines; warnings are always permanent lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record."""
        if record.levelno >= logging.WARNING:
            with LINE.hidden():
                super().emit(record)
        elif LINE.live:
            LINE.at(_doing(record.getMessage()))
        elif not LINE.quiet:
            super().emit(record)


def _doing(message: str) -> str:
    """Return a message with its subject moved to the end, where a long one is cut off first."""
    about, colon, what = message.partition(": ")
    return f"{what} ({about})" if colon else message


def say(line: str, *, always: bool = True) -> None:
    """Print a permanent line to standard error; with `always` false, not if quiet output was requested."""
    if always or not LINE.quiet:
        with LINE.hidden():
            sys.stderr.write(f"priorgap: {line}\n")


def marked(line: str, stream: TextIO) -> str:
    """Return a verdict's line with its first words in colour, if the terminal supports it and NO_COLOR is not set."""
    words, colon, rest = line.partition(": ")
    plain = not colon or line[:1].isspace() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return line if plain or not stream.isatty() else f"{_BOLD_CYAN}{words}:{_RESET} {rest}"


def duration(seconds: float) -> str:
    """Return a number of seconds in readable units."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {whole % 60:02d} s" if minutes else f"{whole} s"
