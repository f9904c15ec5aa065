"""`priorgap merge`: brings what other machines made of a study into this store; what is here is never replaced."""

import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from priorgap import artifacts
from priorgap.pipeline import records
from priorgap.pipeline.cells import RESERVED_STUDIES, is_study_name
from priorgap.pipeline.cli import refusing
from priorgap.pipeline.store import Store, keep, read_record
from priorgap.pipeline.store_commands import Order, artifacts_of_study, parse

_STAGES = ("train", "calibrate", "encode", "sample", "measure")
# what this project calls its folders; no pattern of a file system's
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=,+@-]*")
_ID = re.compile(r"[0-9a-f]{8}")


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
        for file in _records(source, order.study):
            counts[_adopt_record(file, source, order.store, order.study)] += 1
    sys.stdout.write(
        f"study={order.study}: {counts['taken']} artifacts and {counts['record']} records taken, "
        f"{counts['same']} were here already; `priorgap report study={order.study}` reports on all\n"
    )
    if counts["wrong"]:
        sys.stdout.write(
            f"{counts['wrong']} artifacts or records are damaged where they come from, and were left there\n"
        )
    if counts["other"]:
        sys.stdout.write(f"{counts['other']} artifacts differ from the ones here, which stay\n")
    return 1 if counts["wrong"] or counts["other"] else 0


def _checked(arguments: Sequence[str]) -> Order:
    order = parse(arguments, needs_study=True, merges=True)
    if not is_study_name(order.study):
        raise ValueError(f"study={order.study}: expected the name of a study")
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


def _place(path: Path, source: Store, target: Store, study: str) -> Path | None:
    """Return where an artifact of one store stands in another: a model's folder is found by the model's id.

    None where its names are none that a study has.
    """
    parts = path.relative_to(source.root).parts
    if not all(_PART.fullmatch(part) for part in parts):
        return None
    if parts[0] in RESERVED_STUDIES:
        return target.root.joinpath(*parts)
    label, _, model_id = parts[2].rpartition("-") if len(parts) > 2 else ("", "", "")
    if parts[0] != study or parts[1] not in _STAGES or not _ID.fullmatch(model_id):
        return None
    return target.model(study, parts[1], model_id, label).joinpath(*parts[3:])


def _adopt(path: Path, place: Path | None, target: Store) -> str:
    if place is None or not target.holds(place):
        sys.stdout.write(f"left there, no artifact of a study or behind a link here: {path}\n")
        return "wrong"
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
        artifacts.copy(path, place)
    return "taken"


def _adopt_record(file: Path, source: Store, target: Store, study: str) -> str:
    """Take a record that is sound and not here; what failed there and is done here did not fail."""
    place = target.root / file.relative_to(source.root)
    content = read_record(file) if source.holds(file) else None
    reason = None if content is not None else "it cannot be read, or is a link"
    if content is not None and file.parent.name == "cells":
        try:
            records.read_cell(source, study, file)
        except records.DamagedRecord as error:
            reason = str(error)
    elif content is not None and not (_ID.fullmatch(file.stem) and records.is_failure(content)):
        reason = "it says of no model that it failed"
    if content is None or reason is not None:
        sys.stdout.write(f"wrong: {file}: {reason}\n")
        return "wrong"
    if (
        place.is_file()
        or not target.holds(place)
        or (place.parent.name == "failed" and _trained(target, place))
    ):
        return "passed"
    keep(target, place, content)
    return "record"


def _trained(target: Store, place: Path) -> bool:
    found = (place.parent.parent / "train").glob(f"[!.]*-{place.stem}")
    return any(artifacts.is_complete(path) for path in found)
