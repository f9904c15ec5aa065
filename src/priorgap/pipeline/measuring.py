"""All measurements of a model: one after the other, or its samplers shared out over processes."""

import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from priorgap import artifacts
from priorgap.pipeline import models
from priorgap.pipeline.cells import Cell, Variant
from priorgap.pipeline.engines.processes import spread
from priorgap.pipeline.progress import Pieces
from priorgap.pipeline.stages import sample
from priorgap.pipeline.stages.measure import Model, Piece, folder, keep_marginals, pieces, take
from priorgap.pipeline.store import Store

log = logging.getLogger(__name__)
# values of one sampler's images from which on a process for them pays: 1,300 of MNIST's
_LARGE = 1_000_000


def measure(cell: Cell, variant: Variant, store: Store, *, workers: int = 1) -> Path:
    """Measure a model and its samplers; each measurement is skipped where it is done.

    With `workers` above 1 the samplers are shared out over so many processes where that pays, to the same numbers.
    """
    shared = Model(cell, variant, store)
    keep_marginals(shared)
    todo = pieces(shared)
    left = _left(todo) if workers > 1 else []
    workers = min(workers, len(left))
    if workers > 1 and not _is_large(shared):
        workers = 1
    names, live = [p.name for own in todo.values() for p in own], bool(cell.config["trainer"]["progress"])
    mark = " (calibrated)" if variant.calibrated else ""
    with closing(Pieces(names, "measured", live=live)) as progress:
        count: Counter[str] = Counter()
        for sampler, taken in _measured(shared, todo, left, workers):
            new = [piece.name for piece, worked in taken if worked]
            if len(new) < len(taken):
                progress.ended(*(piece.name for piece, worked in taken if not worked), worked=False)
            if new:
                progress.ended(*new)
            count[sampler] += len(new)
            todo[sampler] = todo[sampler][len(taken) :]
            if count[sampler] and not todo[sampler]:
                log.info("%s%s: %d measures of %s", cell.label, mark, count[sampler], sampler or "the model")
    return folder(cell, variant, store)


def _left(todo: Mapping[str, Sequence[Piece]]) -> list[str]:
    """Return the samplers that have something to be measured."""
    return [s for s, own in todo.items() if not all(artifacts.is_complete(p.path, p.key) for p in own)]


def _is_large(shared: Model) -> bool:
    """Whether one sampler's images are so many that measuring them takes longer than starting a process."""
    if models.device_of(shared.cell.config) != "cpu":
        return False
    test = shared.dataset.test
    return sample.n_samples(shared.cell, len(test)) * math.prod(test.shape) >= _LARGE


def _measured(
    shared: Model, todo: Mapping[str, Sequence[Piece]], left: Sequence[str], workers: int
) -> Iterator[tuple[str, list[tuple[Piece, bool]]]]:
    """Yield each sampler ("" for the model) with pieces that are done now, and whether each had to be taken."""
    for sampler, own in list(todo.items()):
        if workers < 2 or sampler not in left:
            for piece in own:
                yield sampler, [(piece, take(shared, piece))]
    if workers < 2:
        return
    calls = {s: partial(_take_all, shared.cell, shared.variant, shared.store, todo[s]) for s in left}
    log.info("%s: the measures of %d samplers in %d processes", shared.cell.label, len(left), workers)
    for sampler, worked in spread(calls, workers, int(shared.cell.config["numerics"]["threads"])):
        yield sampler, list(zip(todo[sampler], worked, strict=True))


def _take_all(cell: Cell, variant: Variant, store: Store, own: Sequence[Piece]) -> list[bool]:
    """Take the measurements of one sampler, in a process of its own; return which had to be taken."""
    from priorgap.pipeline.stages.run import set_numerics

    set_numerics(cell.config)
    shared = Model(cell, variant, store)
    return [take(shared, piece) for piece in own]
