"""Outside packages whose classes a configuration may name: those that this command was given, and no others."""

import re
from collections.abc import Iterable

_NAMED: list[str] = []


def allow(names: Iterable[str]) -> None:
    """Let configurations of this process name classes of these packages.

    Raises:
        ValueError: not the name of a package.
    """
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise ValueError(f"plugins={name}: expected the name of an installed package")
        if name not in _NAMED:
            _NAMED.append(name)


def allowed() -> tuple[str, ...]:
    """Return the packages that this process was given."""
    return tuple(_NAMED)
