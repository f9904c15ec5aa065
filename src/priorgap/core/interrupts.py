"""Interrupts that are put off while code runs that would lose them."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NUMBERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def put_off() -> Iterator[None]:
    """Put off Python's handlers of SIGINT, SIGTERM and SIGHUP until the block has ended.

    Compiled code that calls Python meets what a handler raises as an error of that call. safetensors then says that a
    sound file holds no tensor, or panics, and the interrupt is lost. Handlers run in the main thread alone: in others
    nothing is done.

    Example:
        >>> with put_off():
        ...     total = 1 + 1
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _NUMBERS if in_main}
    handlers = {number: found for number, found in before.items() if callable(found)}
    for number in handlers:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, found in handlers.items():
            signal.signal(number, found)
        if came:
            signal.raise_signal(came[0])
