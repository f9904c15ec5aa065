"""`priorgap merge`: brings what other machines made of a study into this store; what is here is never replaced."""

import os
import shutil
import sys
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from priorgap import artifacts
from priorgap.pipeline import records
from priorgap.pipeline.cli import refusing
from priorgap.pipeline.store import Store, keep, read_record
from priorgap.pipeline.store_commands import Order, artifacts_of_study, parse

_STAGES = ("train", "calibrate", "encode", "sample", "measure")


def main(arguments: Sequence[str]) -> int:
    """Run the command; bad input raises ValueError with one line."""
    with refusing():
        order = _checked(arguments)
    assert order.study is not None
    counts: Counter[str] = Counter()
    for root in order.others:
        source = Store(root)
        for path in artifacts_of_study(source, order.study):
            # a report is written anew, of all
            if path.parent != source.study(order.study):
                counts[_adopt(path, _place(path, source, order.store, order.study), order.store)] += 1
        counts["cells"] += sum(
            _adopt_record(file, source, order.store) for file in _records(source, order.study)
        )
    sys.stdout.write(
        f"study={order.study}: {counts['taken']} artifacts and {counts['cells']} records taken, "
        f"{counts['same']} were here already; `priorgap report study={order.study}` reports on all\n"
    )
    if counts["wrong"]:
        sys.stdout.write(
            f"{counts['wrong']} artifacts are damaged where they come from, and were left there\n"
        )
    if counts["other"]:
        sys.stdout.write(f"{counts['other']} artifacts differ from the ones here, which stay\n")
    return 1 if counts["wrong"] or counts["other"] else 0


def _checked(arguments: Sequence[str]) -> Order:
    order = parse(arguments, needs_study=True, merges=True)
    if not order.others:
        raise ValueError("from: missing; expected from=OUTPUTS, or several separated by commas")
    for root in order.others:
        if order.study not in records.studies(Store(root)):
            raise ValueError(f"from={root}: no study={order.study} there")
        if root.resolve() == order.store.root.resolve():
            raise ValueError(f"from={root}: the same store as output_root")
    return order


def _records(source: Store, study: str) -> list[Path]:
    """Return the records of the cells, then of failures."""
    return [
        f for kind in ("cells", "failed") for f in sorted((source.study(study) / kind).glob("[!.]*.json"))
    ]


def _place(path: Path, source: Store, target: Store, study: str) -> Path:
    """Return where an artifact of one store stands in another: a model's folder is found by the model's id."""
    parts = path.relative_to(source.root).parts
    if parts[0] != study or parts[1] not in _STAGES:
        return target.root.joinpath(*parts)
    label, _, model_id = parts[2].rpartition("-")
    return target.model(study, parts[1], model_id, label).joinpath(*parts[3:])


def _adopt(path: Path, place: Path, target: Store) -> str:
    if artifacts.is_complete(place):
        if artifacts.content_digest(place) == artifacts.content_digest(path):
            return "same"
        sys.stdout.write(f"differs, left alone: {place} (from {path})\n")
        return "other"
    damage = artifacts.damage(path)
    for line in damage:
        sys.stdout.write(f"wrong: {line}\n")
    if damage:
        return "wrong"
    with artifacts.locked(place, target.locks):
        artifacts.sweep_partial(place)
        _copy(path, place)
    return "taken"


def _copy(path: Path, place: Path) -> None:
    """Copy an artifact with its manifest as it is: whole, synced, then renamed."""
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f".partial-{uuid.uuid4().hex[:8]}-{place.name}")
    try:
        shutil.copytree(path, partial)
        for file in (*partial.rglob("*"), partial):
            handle = os.open(file, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        if place.exists():  # a damaged one
            shutil.rmtree(place)
        partial.rename(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _adopt_record(file: Path, source: Store, target: Store) -> bool:
    place = target.root / file.relative_to(source.root)
    content = read_record(file)
    # what failed there and is done here did not fail
    settled = file.parent.name == "failed" and _trained(target, place)
    if content is None or place.is_file() or settled:
        return False
    keep(target, place, content)
    return True


def _trained(target: Store, place: Path) -> bool:
    found = (place.parent.parent / "train").glob(f"[!.]*-{place.stem}")
    return any(artifacts.is_complete(path) for path in found)
