"""`priorgap ls`: lists a store's studies, or a study's models and what each lacks; it reads only records."""

import logging
import sys
from collections.abc import Iterator, Sequence

from priorgap.core import artifacts
from priorgap.core.errors import refusing
from priorgap.pipeline.commands.store_arguments import in_words, parse, size
from priorgap.pipeline.store import records
from priorgap.pipeline.store.folders import folder_of
from priorgap.pipeline.store.index import Index
from priorgap.pipeline.store.layout import Store
from priorgap.pipeline.store.records import Record, RecordedModel, RecordedStep

log = logging.getLogger(__name__)
_HEAD = ("model", "train", "encode", "sample", "measure", "state", "size", "seconds", "finished")


def main(arguments: Sequence[str]) -> int:
    """Run the command; bad input raises ValueError with one line."""
    with refusing():
        order = parse(arguments)
    if order.study is not None:
        unread: list[str] = []
        _table(_HEAD, list(_models(order.store, order.study, unread)))
    else:
        _table(
            ("study", "models", "trained", "failed", "report", "size", "last result"),
            [_study(order.store, name) for name in order.studies],
        )
        unread = [
            line
            for study in order.studies
            for line in records.unreadable(order.store, study, other_versions=False)
        ]
    for line in unread:
        sys.stderr.write(f"priorgap: {line}\n")
    return 1 if unread else 0


def _study(store: Store, name: str) -> tuple[str, ...]:
    known = list(records.records_of(store, name))
    trained = [
        found
        for record in known
        for step in {s.path: s for s in record.steps if s.kind == "train"}.values()
        if (found := store.known(step)) is not None
    ]
    failed = sum(records.failure(store, name, record.train_id) is not None for record in known)
    report = "yes" if artifacts.is_complete(store.study(name) / "report") else "no"
    last = max((_when(found.provenance.get("finished")) for found in trained), default="")
    counts = (str(len(known)), str(len(trained)), str(failed))
    return (name, *counts, report, in_words(size(store.study(name))), last)


def _when(finished: object) -> str:
    return str(finished or "")[:16].replace("T", " ")


def _models(store: Store, study: str, unread: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield a line for each model; trainings in the index are not read again.

    Args:
        store: the store.
        study: the study's name.
        unread: receives a line for each record that cannot be read.
    """
    index = Index(store, study)
    for file in records.files_of(store, study):
        known = index.row(file.stem)
        if known is not None and known.lines:
            yield from known.lines
            continue
        try:
            record = records.read(file)
        except records.OtherVersion as error:
            log.warning("%s; the command that made it writes it again", error)
            yield (file.stem, *[""] * 4, "other version", "", "", "")
        except ValueError as error:
            unread.append(records.left_out(error))
        else:
            own = [step for step in record.steps if step.kind not in records.SHARED]
            stamps = index.stamps(record.train_id, dict.fromkeys(folder_of(step, store) for step in own))
            lines = tuple(_model(store, record, model) for model in record.models)
            index.keep(record.train_id, stamps, lines=lines)
            yield from lines
    try:
        index.write()
    except OSError as error:
        # A store without write permission is listed like any other.
        log.debug("no index is written: %s", error)


def _model(store: Store, record: Record, model: RecordedModel) -> tuple[str, ...]:
    ends: dict[str, list[RecordedStep]] = {
        "train": [*model.of("train"), *model.of("calibrate")],
        **{kind: model.of(kind) for kind in ("encode", "sample", "measure")},
    }
    there = {stage: sum(store.is_complete(step) for step in steps) for stage, steps in ends.items()}
    failed = records.failure(store, record.study, record.train_id) is not None
    complete = all(there[stage] == len(steps) for stage, steps in ends.items())
    state = "failed" if failed else "complete" if complete else "incomplete"
    known = store.known(model.of("train")[0])
    seconds = "" if known is None else f"{known.provenance.get('seconds', 0):.0f}"
    finished = "" if known is None else _when(known.provenance.get("finished"))
    folders = dict.fromkeys(folder_of(step, store) for steps in ends.values() for step in steps)
    counts = [f"{there[stage]}/{len(steps)}" for stage, steps in ends.items()]
    return (model.name, *counts, state, in_words(sum(map(size, folders))), seconds, finished)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        line = "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True))
        sys.stdout.write(f"{line.rstrip()}\n")
