"""What the commands on a store share: their arguments, sizes and times in words, and what a study holds on disk."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from priorgap import artifacts
from priorgap.pipeline import records
from priorgap.pipeline.cells import Cell
from priorgap.pipeline.store import Store


@dataclass(frozen=True)
class Order:
    """What was asked for, checked.

    Attributes:
        store: the output root.
        study: the study's name; None for all of them.
        flags: the options given, of those that the command knows.
        others: further output roots.
    """

    store: Store
    study: str | None
    flags: frozenset[str]
    others: tuple[Path, ...] = ()

    @property
    def studies(self) -> list[str]:
        """The studies that are meant."""
        return records.studies(self.store) if self.study is None else [self.study]


def parse(
    arguments: Sequence[str], *, flags: Sequence[str] = (), needs_study: bool = False, merges: bool = False
) -> Order:
    """Read the arguments of a command on a store.

    Raises:
        ValueError: one line.
    """
    given = {"study": "", "output_root": "outputs", **({"from": ""} if merges else {})}
    chosen = set()
    for word in arguments:
        key, separator, value = word.partition("=")
        if word in flags:
            chosen.add(word)
        elif word.startswith("-"):
            raise ValueError(f"{word}: unknown option; expected {', '.join((*flags, '--help'))}")
        elif not separator or key not in given:
            raise ValueError(f"{word}: expected key=value with a key of {', '.join(given)}")
        else:
            given[key] = value
    root = Path(given["output_root"])
    if not merges and not root.is_dir():
        raise ValueError(f"output_root={root}: no such folder")
    study = given["study"] or None
    if study is None and needs_study:
        raise ValueError("study: missing; expected study=NAME")
    store = Store(root)
    if study is not None and not merges and study not in records.studies(store):
        known = ", ".join(records.studies(store)) or "none"
        raise ValueError(f"study={study}: no such study in {root}; there are: {known}")
    others = tuple(Path(p) for p in given.get("from", "").strip("[]").split(",") if p.strip())
    return Order(store, study, frozenset(chosen), others)


def size(path: Path) -> int:
    """Return the bytes of all files under a folder."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(f"{folder}/{name}").st_size
            except FileNotFoundError:
                continue  # a sweep that runs now has renamed it
    return total


def in_words(n_bytes: float) -> str:
    """Return a number of bytes as a person says it."""
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} GB"


def artifacts_under(folder: Path, store: Store) -> Iterator[Path]:
    """Yield every artifact of a store under a folder, published ones only; links lead to no artifact."""
    if not store.holds(folder):
        return
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if artifacts.MANIFEST in names:
            folders.clear()
            yield Path(place)


def artifacts_of_study(store: Store, study: str) -> Iterator[Path]:
    """Yield every artifact of a study, then those of the real data that its cells stand on."""
    for stage in sorted(p for p in store.study(study).glob("[!.]*") if p.is_dir()):
        if stage.name not in ("logs", "wandb", "resume", "cells", "failed", "tracked"):
            yield from artifacts_under(stage, store)
    cells = {cell.data_id: cell for cell in records.cells_of(store, study)}
    for cell in cells.values():
        yield from artifacts_under(store.data(cell), store)
        yield from artifacts_under(store.reference(cell, ""), store)


def expected_of(cell: Cell, store: Store) -> list[Path]:
    """Return every artifact that a cell of a study names, those of the real data included; raises as `planning`."""
    from priorgap.pipeline.stages import run as stages

    with planning(cell):
        return list(stages.artifacts_of([cell], store))


@contextmanager
def planning(cell: Cell) -> Iterator[None]:
    """Say of a recorded cell that cannot be planned why that is.

    Raises:
        ValueError: another version of priorgap recorded it, with settings that this one does not know.
    """
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = error if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise ValueError(
            f"study={cell.study}: {cell.label} was recorded by another version of priorgap ({why}); "
            "the study's own command records it anew"
        ) from error
