"""Signal handlers for a while: kept as they were before, and put off while code runs that would lose an interrupt."""

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

_NUMBERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def handlers_kept(numbers: Sequence[int]) -> Iterator[Mapping[int, Any]]:
    """Yield the handlers that signals have, and set them again at the end of the block.

    Only the main thread may set handlers: in others there are none.

    Example:
        >>> with handlers_kept([signal.SIGTERM]) as before:
        ...     _ = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        >>> signal.getsignal(signal.SIGTERM) == before[signal.SIGTERM]
        True
    """
    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in numbers if in_main}
    try:
        yield before
    finally:
        for number, found in before.items():
            if found is not None:
                signal.signal(number, found)
            elif signal.getsignal(number) is not None:
                # a handler that Python had not set cannot be set again
                signal.signal(number, signal.SIG_DFL)


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

    try:
        with handlers_kept(_NUMBERS) as before:
            for number, found in before.items():
                if callable(found):
                    signal.signal(number, note)
            yield
    finally:
        if came:
            signal.raise_signal(came[0])
