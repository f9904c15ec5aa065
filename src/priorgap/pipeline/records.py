"""Small records of a study: which cells it holds, and which of them failed.

A record may have come with a study from elsewhere, so it is data: every name in it that becomes part of a path is
checked, and what the running command decides (where the store is, what leaves the machine) is never taken from it.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from priorgap.pipeline.cells import Cell, is_name, is_study_name
from priorgap.pipeline.store import Store, forget, keep, read_record

log = logging.getLogger(__name__)
# groups whose keys name folders
_NAMED = ("samplers", "metrics", "feature_spaces")


class DamagedRecord(ValueError):  # noqa: N818
    """A record that is not as its study would have written it; the message says why, one line."""


def cell_file(store: Store, cell: Cell) -> Path:
    """Where a study records what a cell is."""
    return store.study(cell.study) / "cells" / f"{cell.train_id}.json"


def record(cell: Cell, store: Store) -> Cell:
    """Record what a cell is, so that a study is known without its command line; return it under its first name.

    The command that first names a model gives its folders their readable name: two commands that write the same
    model in different words would else work in two folders, each under a lock of its own.
    """
    found = named(cell, store)
    keep(store, cell_file(store, cell), {"config": dict(found.config), "overrides": list(found.overrides)})
    return named(cell, store)


def named(cell: Cell, store: Store) -> Cell:
    """Return a cell under the name that its record gives it, if there is one."""
    try:
        known = read_cell(store, cell.study, cell_file(store, cell))
    except DamagedRecord:
        return cell
    return Cell(cell.config, known.overrides)


def read_cell(store: Store, study: str, file: Path) -> Cell:
    """Return the cell that a record of a study describes.

    Raises:
        DamagedRecord: it cannot be read, or is not of this study, or names what is no name.
    """
    if not store.holds(file):
        raise DamagedRecord("a link leads there")
    content = read_record(file)
    if content is None:
        raise DamagedRecord("it cannot be read")
    config, overrides = content.get("config"), content.get("overrides")
    if not isinstance(config, dict) or not isinstance(overrides, list):
        raise DamagedRecord("it holds no configuration")
    if not all(isinstance(word, str) for word in overrides):
        raise DamagedRecord("its overrides are no words")
    if config.get("study") != study:
        raise DamagedRecord(f"it is of study={config.get('study')}")
    cell = Cell(config, tuple(overrides))
    try:
        names = [config["data"]["name"], *(name for group in _NAMED for name in config[group])]
        identity = (cell.train_id, cell.data_id, cell.label, cell.seed, cell.variants)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DamagedRecord(f"its configuration is not whole ({type(error).__name__}: {error})") from error
    strange = next((name for name in names if not is_name(name)), None)
    if strange is not None:
        raise DamagedRecord(f"{strange!r} is no name")
    if identity[0] != file.stem:
        raise DamagedRecord("it is another model's, or another version's of priorgap")
    return cell


def cell_files(store: Store, study: str) -> list[Path]:
    """Return the records of a study's cells, sorted."""
    folder = store.study(study) / "cells"
    return sorted(folder.glob("[!.]*.json")) if store.holds(folder) else []


def cells_of(store: Store, study: str) -> Iterator[Cell]:
    """Yield every cell that a study has seen."""
    for file in cell_files(store, study):
        try:
            yield read_cell(store, study, file)
        except DamagedRecord as reason:
            log.warning("%s: damaged, left out: %s; the run that made it writes it again", file, reason)


def as_commanded(known: Cell, config: Mapping[str, Any]) -> Cell:
    """Return a recorded cell with what only the running command decides: places, and what leaves the machine.

    Args:
        known: a cell that a record describes.
        config: the configuration that the command composed.
    """
    data = {
        key: config["data"].get(key, value) if key in ("root", "download") else value
        for key, value in known.config["data"].items()
    }
    kept = {key: value for key, value in known.config.items() if key != "hydra"}
    own = {key: config[key] for key in ("output_root", "tracking")}
    return Cell({**kept, **own, "data": data}, known.overrides)


def studies(store: Store) -> list[str]:
    """Return the names of the studies of a store."""
    found = [p.parent for p in store.root.glob("[!.]*/cells")]
    return sorted(p.name for p in found if is_study_name(p.name) and store.holds(p))


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
    found = read_record(file)
    if found is None or not is_failure(found):
        return {"label": cell.label, "error": "its record cannot be read"}
    return found


def is_failure(content: Mapping[str, Any]) -> bool:
    """Whether a record says what a failed cell's does."""
    return all(isinstance(content.get(key), str) for key in ("label", "error"))
