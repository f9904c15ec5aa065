"""How long the measures of a study will take, from what the same measures took before on this machine."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from priorgap import artifacts
from priorgap.pipeline.cells import Cell
from priorgap.pipeline.stages import measure
from priorgap.pipeline.store import Store, read_record

Seconds = dict[str, list[float]]


def expected_time(cells: Sequence[Cell], store: Store) -> str:
    """Return a line on the time that the measures still to be taken will need, "" where none is left.

    Each measure costs the median of what it cost before under this output root: in studies of the same data
    and number of samples, or failing that in any. Measures that have never been taken here are counted, not
    guessed. What several measures share (decoding, features) is in the first one's time.
    """
    missing = list(_missing(cells, store))
    if not missing:
        return ""
    near, anywhere = _earlier(store, cells[0].config)
    total, unknown = 0.0, set[str]()
    for name in missing:
        found = near.get(name) or anywhere.get(name)
        if found:
            total += median(found)
        else:
            unknown.add(name.partition("@")[0])
    line = f"{len(missing)} measures to take"
    if total:
        line += f", about {_words(total)} by earlier runs"
    if unknown:
        line += f"; never timed here: {', '.join(sorted(unknown))}"
    return line


def _missing(cells: Sequence[Cell], store: Store) -> Iterator[str]:
    for cell in cells:
        for variant in cell.variants:
            for path in measure.folders(cell, variant, store):
                if not artifacts.is_complete(path):
                    yield path.name


def _earlier(store: Store, config: Any) -> tuple[Seconds, Seconds]:
    """Return seconds by measure, of studies like this one and of all."""
    near: Seconds = defaultdict(list)
    anywhere: Seconds = defaultdict(list)
    wanted = (config["data"]["name"], config["n_samples"])
    for study in sorted(p for p in store.root.glob("*") if (p / "measure").is_dir()):
        alike = _facts(study) == wanted
        for file in study.glob(f"measure/*/*/*/{artifacts.MANIFEST}"):
            manifest = artifacts.read_manifest(file.parent)
            seconds = None if manifest is None else manifest["provenance"].get("seconds")
            if seconds is not None:
                anywhere[file.parent.name].append(float(seconds))
                if alike:
                    near[file.parent.name].append(float(seconds))
    return near, anywhere


def _facts(study: Path) -> tuple[str, int] | None:
    for file in sorted((study / "cells").glob("*.json")):
        try:
            config = (read_record(file) or {})["config"]
            return str(config["data"]["name"]), int(config["n_samples"])
        except (KeyError, TypeError, ValueError):
            continue  # a damaged record: commands that need it say so
    return None


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
