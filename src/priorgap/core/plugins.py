"""Plugins: other packages whose classes a configuration may name, and the options (conf/) that they add.

A package counts as a plugin when this process was told of it (`plugins=[mypkg]`, or `allow`), or when it is installed
and declares itself by an entry point in the group `priorgap.plugins`. Its code is imported only when a name in it is
needed.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

GROUP = "priorgap.plugins"
# Packages that cannot be plugins: priorgap itself, and those for which `receivers` has rules of its own.
_NO_PLUGINS = frozenset({"priorgap", "torch", "torchmetrics", "pytorch_lightning", "sklearn"})
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

_GIVEN: list[str] = []


def allow(names: Iterable[str]) -> None:
    """Let configurations of this process name classes of these packages.

    Args:
        names: packages that can be imported; this function imports none of them.

    Raises:
        ValueError: the first that is no package, or cannot be a plugin; one line.
    """
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"plugins={name}: expected the name of an installed package")
        if not is_possible(name):
            raise ValueError(f"plugins={name}: expected a package of your own")
        folder(name)
        if name not in _GIVEN:
            _GIVEN.append(name)


def is_possible(name: str) -> bool:
    """Whether a package can be a plugin: not priorgap, Python's own, or one that `receivers` has rules for."""
    return name not in _NO_PLUGINS and name not in sys.stdlib_module_names


def allowed() -> tuple[str, ...]:
    """Return the packages that this process was told to allow."""
    return tuple(_GIVEN)


def allow_installed(name: str) -> bool:
    """Let configurations name classes of a package if it declares itself a plugin; return whether it does."""
    if name not in installed():
        return False
    allow([name])
    return True


@cache
def installed() -> tuple[str, ...]:
    """Return the packages that declare themselves plugins by an entry point, without importing any of them."""
    from importlib.metadata import entry_points

    found = (entry.value.partition(":")[0].partition(".")[0] for entry in entry_points(group=GROUP))
    return tuple(sorted({name for name in found if _NAME.fullmatch(name) and is_possible(name)}))


def folder(name: str) -> Path:
    """Return the folder of a package, without importing it.

    Raises:
        ValueError: the package is not installed.
    """
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        raise ValueError(f"plugins={name}: no such package is installed (a folder with __init__.py)")
    return Path(spec.origin).parent


def option_folders() -> Iterator[tuple[str, Path]]:
    """Yield package and conf/ folder of each plugin that has options: first those given, then those installed."""
    for name in dict.fromkeys((*allowed(), *installed())):
        try:
            found = folder(name) / "conf"
        except ValueError:
            continue  # An entry point may outlive its package; this must not break any command.
        if found.is_dir():
            yield name, found
