"""Small records of a study: which cells it holds, and which of them failed."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from priorgap import artifacts
from priorgap.pipeline.cells import Cell
from priorgap.pipeline.store import Store, forget, keep, read_record

log = logging.getLogger(__name__)


def cell_file(store: Store, cell: Cell) -> Path:
    """Where a study records what a cell is."""
    return store.study(cell.study) / "cells" / f"{cell.train_id}.json"


def record(cell: Cell, store: Store) -> Cell:
    """Record what a cell is, so that a study is known without its command line; return it under its first name.

    The command that first names a model gives its folders their readable name: two commands that write the same
    model in different words would else work in two folders, each under a lock of its own.
    """
    file = cell_file(store, cell)
    if read_record(file) != _content(named(cell, store)):
        with artifacts.locked(file, store.locks):
            artifacts.sweep_partial(file)
            artifacts.save_json(file, _content(named(cell, store)))
    return named(cell, store)


def _content(cell: Cell) -> dict[str, Any]:
    return {"config": dict(cell.config), "overrides": list(cell.overrides)}


def named(cell: Cell, store: Store) -> Cell:
    """Return a cell under the name that its record gives it, if there is one."""
    known = _read(cell_file(store, cell))
    return cell if known is None else Cell(cell.config, known.overrides)


def _read(file: Path) -> Cell | None:
    known: Any = read_record(file)
    try:
        return Cell(known["config"], tuple(known["overrides"]))
    except (TypeError, KeyError):
        return None


def cells_of(store: Store, study: str) -> Iterator[Cell]:
    """Yield every cell that a study has seen."""
    for file in sorted((store.study(study) / "cells").glob("[!.]*.json")):
        known = _read(file)
        if known is None:
            log.warning("%s: cannot be read, left out; the run that made it writes it again", file)
        else:
            yield known


def studies(store: Store) -> list[str]:
    """Return the names of the studies of a store."""
    return sorted(p.parent.name for p in store.root.glob("[!.]*/cells"))


def _failure_file(store: Store, cell: Cell) -> Path:
    return store.study(cell.study) / "failed" / f"{cell.train_id}.json"


def record_failure(store: Store, cell: Cell, error: str, trace: str = "") -> None:
    """Record that a cell failed, and why."""
    content = {"label": cell.label, "overrides": list(cell.overrides), "error": error, "traceback": trace}
    keep(store, _failure_file(store, cell), content)


def forget_failure(store: Store, cell: Cell) -> None:
    """Record that a cell is done."""
    forget(store, _failure_file(store, cell))


def failure(store: Store, cell: Cell) -> dict[str, Any] | None:
    """Return why a cell failed the last time that it was run; None where it did not."""
    file = _failure_file(store, cell)
    if not file.is_file():
        return None
    found: dict[str, Any] | None = read_record(file)
    return found or {"label": cell.label, "error": "its record cannot be read"}
