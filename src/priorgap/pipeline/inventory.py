"""`priorgap ls`: the studies of a store; of one study, its models and what each still lacks."""

import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from priorgap import artifacts
from priorgap.pipeline import records
from priorgap.pipeline.cells import Cell, Variant
from priorgap.pipeline.cli import refusing
from priorgap.pipeline.store import Store
from priorgap.pipeline.store_commands import in_words, parse, planning, size

log = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> int:
    """Run the command; bad input raises ValueError with one line."""
    with refusing():
        order = parse(arguments)
    if order.study is not None:
        rows = list(_models(order.store, order.study))
        _table(
            ("model", "train", "encode", "sample", "measure", "state", "size", "seconds", "finished"), rows
        )
        return 0
    _table(
        ("study", "models", "trained", "failed", "report", "size", "last result"),
        [_study(order.store, name) for name in order.studies],
    )
    return 0


def _study(store: Store, name: str) -> tuple[str, ...]:
    folder = store.study(name)
    cells = list(records.cells_of(store, name))
    trained = [p for p in (folder / "train").glob("[!.]*") if artifacts.is_complete(p)]
    failed = sum(records.failure(store, cell) is not None for cell in cells)
    report = "yes" if artifacts.is_complete(folder / "report") else "no"
    last = max((_finished(p) for p in trained), default="")
    counts = (str(len(cells)), str(len(trained)), str(failed))
    return (name, *counts, report, in_words(size(folder)), last)


def _finished(path: Path) -> str:
    manifest = artifacts.read_manifest(path)
    when = "" if manifest is None else str(manifest["provenance"].get("finished", ""))
    return when[:16].replace("T", " ")


def _models(store: Store, study: str) -> Iterator[tuple[str, ...]]:
    said = False
    for cell in records.cells_of(store, study):
        try:
            with planning(cell):
                rows = [_model(store, cell, variant) for variant in cell.variants]
        except ValueError as error:
            # of one model; the others' reasons are like it
            if not said:
                log.warning("%s", error)
            said = True
            trained = store.model(study, "train", cell.train_id, cell.label)
            name = f"{cell.label}-{cell.train_id}"
            rows = [(name, *[""] * 4, "other version", in_words(size(trained)), "", _finished(trained))]
        yield from rows


def _model(store: Store, cell: Cell, variant: Variant) -> tuple[str, ...]:
    from priorgap.pipeline.stages import encode, measure, sample

    trained = store.model(study := cell.study, "train", cell.train_id, cell.label)
    ends = {
        "train": [trained],
        "encode": [encode.folder(cell, variant, store)],
        "sample": [sample.folder(cell, variant, store, name) for name in variant.samplers],
        "measure": list(measure.folders(cell, variant, store)),
    }
    if variant.calibrated:
        ends["train"].append(store.model(study, "calibrate", variant.model_id, cell.label))
    there = {stage: sum(artifacts.is_complete(p) for p in paths) for stage, paths in ends.items()}
    failed = records.failure(store, cell) is not None
    complete = all(there[stage] == len(paths) for stage, paths in ends.items())
    state = "failed" if failed else "complete" if complete else "incomplete"
    manifest = artifacts.read_manifest(trained)
    seconds = "" if manifest is None else f"{manifest['provenance'].get('seconds', 0):.0f}"
    roots = (trained, ends["encode"][0], *ends["sample"], measure.folder(cell, variant, store))
    name = f"{cell.label}-{variant.model_id}{' (calibrated)' if variant.calibrated else ''}"
    counts = [f"{there[stage]}/{len(paths)}" for stage, paths in ends.items()]
    return (name, *counts, state, in_words(sum(map(size, roots))), seconds, _finished(trained))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        line = "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True))
        sys.stdout.write(f"{line.rstrip()}\n")
