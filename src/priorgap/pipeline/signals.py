"""SIGTERM and SIGHUP end a command like Ctrl-C: it tidies up, and its exit status tells which signal it was."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

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

    def end(number: int, frame: FrameType | None) -> None:
        for other in handlers:
            signal.signal(other, signal.SIG_IGN)
        received.number = number
        raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _NUMBERS if in_main}
    handlers = {number: found for number, found in before.items() if found != signal.SIG_IGN}
    for number in handlers:
        signal.signal(number, end)
    try:
        yield received
    finally:
        for number, found in handlers.items():
            signal.signal(number, found if found is not None else signal.SIG_DFL)
