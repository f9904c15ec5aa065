"""`priorgap merge`: copies a study's results from other machines into this store; existing results are kept."""

import sys
from collections import Counter
from collections.abc import Sequence

from priorgap.core import artifacts
from priorgap.core.errors import refusing
from priorgap.pipeline.commands.store_arguments import Order, parse
from priorgap.pipeline.config.groups import is_study_name
from priorgap.pipeline.store import records
from priorgap.pipeline.store.layout import SHELVED, Store, keep
from priorgap.pipeline.store.records import Record, RecordedStep


def main(arguments: Sequence[str]) -> int:
    """Run the command; bad input raises ValueError with one line."""
    with refusing():
        order = _checked(arguments)
        assert order.study is not None
        sources = [(Store(root), _records(Store(root), order.study)) for root in order.others]
    counts: Counter[str] = Counter()
    for source, known in sources:
        steps = {step.path: step for record in known for step in record.steps}
        for step in steps.values():
            counts[_adopt(step, source, order.store)] += 1
        counts["records"] += sum(_adopt_record(record, source, order.store) for record in known)
        counts["wrong"] += sum(not _adopt_failure(record, source, order.store) for record in known)
    sys.stdout.write(
        f"study={order.study}: {counts['taken']} results and {counts['records']} records taken, "
        f"{counts['same']} were here already; `priorgap report study={order.study}` reports on all\n"
    )
    if counts["wrong"]:
        sys.stdout.write(
            f"{counts['wrong']} results or records are damaged where they come from, and were left there\n"
        )
    if counts["other"]:
        sys.stdout.write(f"{counts['other']} results differ from the ones here, which stay\n")
    return 1 if counts["wrong"] or counts["other"] else 0


def _checked(arguments: Sequence[str]) -> Order:
    order = parse(arguments, needs_study=True, merges=True)
    assert order.study is not None
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


def _records(source: Store, study: str) -> list[Record]:
    """Return a study's records in another store; a record that names places outside its study refuses them all.

    Raises:
        ValueError: a record cannot be read.
    """
    return [records.read(file) for file in records.files_of(source, study)]


def _adopt(step: RecordedStep, source: Store, target: Store) -> str:
    """Copy one result; return what was done with it."""
    if not source.holds(source.path(step)):
        sys.stdout.write(f"left there, it stands behind a link: {source.path(step)}\n")
        return "wrong"
    theirs, ours = source.known(step), target.known(step)
    if theirs is None and not _is_there(step, source):
        return "missing"
    if ours is not None and theirs is not None and not target.damage(step):
        if ours.content == theirs.content:
            return "same"
        sys.stdout.write(f"differs, left alone: {target.path(step)} (from {source.path(step)})\n")
        return "other"
    damage = source.damage(step)
    for line in damage:
        sys.stdout.write(f"wrong: {line}\n")
    if damage or theirs is None:
        return "wrong"
    if step.kind in SHELVED and target.holds(target.path(step)):
        (shelf, name), (place, _) = source.shelf(step), target.shelf(step)
        place.adopt(name, shelf)
        return "taken"
    if not target.holds(target.path(step)):
        sys.stdout.write(f"left there, it would stand behind a link here: {source.path(step)}\n")
        return "wrong"
    with target.locked(step.path):
        artifacts.sweep_partial(target.path(step))
        artifacts.copy(source.path(step), target.path(step))
    return "taken"


def _is_there(step: RecordedStep, store: Store) -> bool:
    """Whether there is anything at a result's place, damaged or not."""
    return bool(store.damage(step)) if step.kind in SHELVED else store.path(step).exists()


def _adopt_record(record: Record, source: Store, target: Store) -> bool:
    """Copy a record that is missing here; return whether it was copied."""
    if records.record_file(target, record.study, record.train_id).is_file():
        return False
    records.write(record, target)
    return True


def _adopt_failure(record: Record, source: Store, target: Store) -> bool:
    """Copy the failure of a model that is not finished here; return whether it could be read."""
    theirs = records.failure_file(source, record.study, record.train_id)
    if not theirs.exists() or not source.holds(theirs):
        return True
    failed = records.sound_failure(theirs)
    if failed is None:
        sys.stdout.write(f"wrong: {theirs}: it says of no model that it failed\n")
        return False
    place = records.failure_file(target, record.study, record.train_id)
    trained = any(target.is_complete(step) for step in record.steps if step.kind == "train")
    if not trained and not place.is_file():
        keep(target, place, failed)
    return True
