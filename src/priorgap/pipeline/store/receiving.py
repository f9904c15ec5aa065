"""Publishing results computed elsewhere: each completely and with the key that it must have here, or not at all."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Protocol, TypeVar

from priorgap.core import artifacts
from priorgap.core.shelves import Shelf
from priorgap.pipeline.store.folders import folder_of
from priorgap.pipeline.store.layout import SHELVED, Placed, Store


class Named(Placed, Protocol):
    """A step with a place and a name."""

    @property
    def name(self) -> str:
        """The name in messages."""
        ...


S = TypeVar("S", bound=Named)


class Refused(ValueError):  # noqa: N818
    """A returned result is not the requested one; the message is one line."""


def take(steps: Sequence[S], theirs: Store, ours: Store, key: Callable[[S], str | None]) -> int:
    """Move results into the store, in the order of their steps; sound results that exist here are kept.

    Args:
        steps: the requested results, in a valid order; any others are left there.
        theirs: the store that received them, on the same file system and synced to disk.
        ours: the store.
        key: returns the key that a result must have, or None if an input is missing; it is called after all inputs of
            the step were moved.

    Returns:
        The number of results that were moved.

    Raises:
        Refused: a result was computed from other inputs or by other code, or is damaged.
    """
    groups: dict[PurePosixPath, list[S]] = {}
    for step in steps:
        groups.setdefault(PurePosixPath(folder_of(step, ours)), []).append(step)
    return sum(_take_group(group, theirs, ours, key) for group in groups.values())


def _take_group(group: Sequence[S], theirs: Store, ours: Store, key: Callable[[S], str | None]) -> int:
    wanted: dict[S, str] = {}
    for step in group:
        there, expected = theirs.known(step), key(step)
        if there is None or expected is None:
            continue
        if there.key != expected:
            raise Refused(
                f"{step.kind}, {step.name}: its node computed it from other inputs or by other code; expected the "
                "same installation of priorgap on all nodes"
            )
        if not ours.is_sound(step, expected):
            wanted[step] = expected
    for step in wanted:
        for line in theirs.damage(step):
            raise Refused(f"damaged: {line}")
    if not wanted:
        return 0
    first = next(iter(wanted))
    if first.kind in SHELVED:
        _take_shelf(wanted, theirs.shelf(first)[0], ours)
    else:
        with ours.locked(first.path):
            artifacts.move(theirs.path(first), ours.path(first))
    return len(wanted)


def _take_shelf(wanted: Mapping[S, str], theirs: Shelf, ours: Store) -> None:
    shelf, _ = ours.shelf(next(iter(wanted)))
    names = {ours.shelf(step)[1] for step in wanted}
    if set(theirs.entries) == names and not theirs.damaged and shelf.move(theirs.folder):
        return
    for name in names:
        shelf.adopt(name, theirs)
