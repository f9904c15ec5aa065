"""Folders of results, artifacts and shelves alike, as the commands on a store use them."""

import os
from collections.abc import Iterator
from pathlib import Path

from priorgap.core import artifacts
from priorgap.core.shelves import Shelf, is_shelf
from priorgap.pipeline.store.layout import SHELVED, Placed, Store


def folder_of(step: Placed, store: Store) -> Path:
    """Return the folder that holds a result: its own, or its shelf's."""
    return store.shelf(step)[0].folder if step.kind in SHELVED else store.path(step)


def content_of(folder: Path) -> str:
    """Return the digest of everything in a folder of results.

    Raises:
        FileNotFoundError: there is no valid manifest.
    """
    if is_shelf(folder):
        entries = Shelf(folder, folder).entries
        return artifacts.digest({name: entry.content for name, entry in entries.items()})
    return artifacts.content_digest(folder)


def damage_of(folder: Path) -> list[str]:
    """Return one line for each result of a folder that is damaged."""
    return Shelf(folder, folder).damage() if is_shelf(folder) else artifacts.damage(folder)


def results_under(folder: Path, store: Store) -> Iterator[Path]:
    """Yield every folder of published results under a folder of a store; links are not followed."""
    if not store.holds(folder):
        return
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if artifacts.MANIFEST in names:
            folders.clear()
            yield Path(place)


def count_of(folder: Path) -> int:
    """Return the number of results in a folder."""
    return len(Shelf(folder, folder).entries) if is_shelf(folder) else 1


def extent_of(folder: Path) -> tuple[int, int]:
    """Return the number of files in a folder of results without its manifest, and their bytes."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != artifacts.MANIFEST]
    return len(files), sum(p.stat().st_size for p in files)
