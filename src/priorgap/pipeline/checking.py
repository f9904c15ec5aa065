"""`priorgap verify`: every checksum of a study, of its artifacts and of the real data's; what a rerun would redo."""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from priorgap import artifacts
from priorgap.pipeline import records
from priorgap.pipeline.cells import Cell
from priorgap.pipeline.cli import refusing
from priorgap.pipeline.engines.processes import available_cores
from priorgap.pipeline.store import Store
from priorgap.pipeline.store_commands import artifacts_of_study, expected_of, in_words, parse


def main(arguments: Sequence[str]) -> int:
    """Run the command; bad input raises ValueError with one line."""
    with refusing():
        order = parse(arguments)
    wrong = sum([_verify(order.store, study) for study in order.studies])
    return 1 if wrong else 0


def _verify(store: Store, study: str) -> int:
    """Check one study; return how many artifacts are not as their manifests say."""
    paths = list(artifacts_of_study(store, study))
    # hashing lets go of the interpreter
    with ThreadPoolExecutor(available_cores()) as pool:
        found = dict(zip(paths, pool.map(_damage, paths), strict=True))
    broken = {path: lines for path, lines in found.items() if lines}
    for path, lines in broken.items():
        for line in lines:
            sys.stdout.write(f"wrong: {line}\n")
        sys.stdout.write(
            f"  the command that made it makes {path} again, and what was computed from it if that differs\n"
        )
    incomplete = [path for cell in records.cells_of(store, study) for path in _missing(store, cell)]
    n_files, n_bytes = _extent(path for path in paths if path not in broken)
    rest = f"; {len(incomplete)} results are not there yet (priorgap ls study={study})" if incomplete else ""
    bad = f", {len(broken)} wrong" if broken else ""
    sys.stdout.write(
        f"study={study}: {len(paths)} artifacts{bad}; {n_files} sound files, {in_words(n_bytes)}{rest}\n"
    )
    return len(broken)


def _damage(path: Path) -> list[str]:
    return artifacts.damage(path)


def _missing(store: Store, cell: Cell) -> list[Path]:
    try:
        return [path for path in expected_of(cell, store) if not path.is_dir()]
    except ValueError as error:
        sys.stdout.write(f"not looked for: {error}\n")
        return []


def _extent(paths: Iterator[Path]) -> tuple[int, int]:
    manifests = [artifacts.read_manifest(path) for path in paths]
    sizes = [entry["bytes"] for m in manifests if m is not None for entry in m["files"].values()]
    return len(sizes), sum(sizes)
