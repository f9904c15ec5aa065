"""SIGTERM and SIGHUP end a command like Ctrl-C: it tidies up, and its exit status tells which signal it was."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from priorgap.core.interrupts import handlers_kept

# The signals by which batch systems or services end a process, and a closed terminal.
_NUMBERS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Received:
    """The signal that ended a command; Ctrl-C unless another came."""

    number: int = signal.SIGINT

    @property
    def status(self) -> int:
        """The exit status that a shell gives a process ended by this signal."""
        return 128 + self.number


@contextmanager
def as_interrupts() -> Iterator[Received]:
    """Raise KeyboardInterrupt on the first of these signals; an ignored one (as under nohup) stays ignored."""
    received = Received()
    with handlers_kept(_NUMBERS) as before:
        ours = [number for number, found in before.items() if found != signal.SIG_IGN]

        def end(number: int, frame: FrameType | None) -> None:
            for other in ours:
                signal.signal(other, signal.SIG_IGN)
            received.number = number
            raise KeyboardInterrupt

        for number in ours:
            signal.signal(number, end)
        yield received
