"""What a command refuses: one line, and an exit status of its own."""

from collections.abc import Iterator
from contextlib import contextmanager


class BadInput(ValueError):  # noqa: N818
    """What was typed, or a file it names, cannot be used; the message is one line."""


@contextmanager
def refusing() -> Iterator[None]:
    """Turn a ValueError into bad input; elsewhere a ValueError is a fault of ours and keeps its traceback."""
    try:
        yield
    except ValueError as error:
        raise BadInput(" ".join(str(error).split())) from error
