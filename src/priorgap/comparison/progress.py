"""Progress messages of a long comparison."""

import sys
import time
from collections.abc import Callable

Say = Callable[[str], object]


def progress_of(given: Say | bool | None) -> Say:
    """Return the function that is called with a line before each step that takes time.

    Args:
        given: the user's function; True prints to standard error; False prints nothing; None prints on a terminal or
            in a notebook.
    """
    if callable(given):
        return given
    looked_at = sys.stderr.isatty() or "ipykernel" in sys.modules
    return _printer() if given or (given is None and looked_at) else _nothing


def _nothing(line: str) -> None:
    pass


def _printer() -> Say:
    start = time.monotonic()

    def say(line: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - start:4.0f} s] {line}\n")
        sys.stderr.flush()

    return say
