"""Errors in a command's input: a message of one line, and an exit status of its own."""

from collections.abc import Iterator
from contextlib import contextmanager


class BadInput(ValueError):  # noqa: N818
    """An argument, or a file that it names, cannot be used; the message is one line."""


@contextmanager
def refusing() -> Iterator[None]:
    """Turn a ValueError into BadInput; outside of this context a ValueError is a bug and keeps its traceback."""
    try:
        yield
    except ValueError as error:
        raise BadInput(" ".join(str(error).split())) from error
