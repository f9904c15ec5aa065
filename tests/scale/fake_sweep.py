"""A sweep of fake cells as a command of its own: `python -m fake_sweep ROOT ADDRESS CELLS BYTES NODE_FOLDER [DIES]`.

The worker of the cell DIES is killed, whenever it is tried.

It says in JSON what it took. The launcher's loop, the engine, errands, packs and publication are those of models.
"""

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import fake_cells
from hydra.core.utils import JobReturn, JobStatus

from priorgap.pipeline.store import records
from priorgap.pipeline.sweep import jobs
from priorgap.pipeline.sweep.engines.protocol import Job, Unit
from priorgap.pipeline.sweep.engines.ray_cluster import RayCluster, node_id
from priorgap.pipeline.sweep.exchange import Exchange, exchanging
from priorgap.pipeline.sweep.launcher import drive
from priorgap.pipeline.sweep.node_folder import Answer, Tidy
from priorgap.pipeline.sweep.progress import Progress


def main(root: str, address: str, n: str, n_bytes: str, base: str, dies: str = "-1") -> None:
    store = fake_cells.prepare(Path(root))
    found = fake_cells.cells(int(n), int(n_bytes))
    started = time.monotonic()
    for cell in found:
        records.write(cell.record(), store)
    recorded = time.monotonic()
    engine = RayCluster(address, 1, 0, 1, retries=3, last=Tidy(base))
    connected = time.monotonic()
    # a job of no configuration has no record of its failure
    jobs.record_loss = lambda config, reason: None
    n_done = 0
    listing = 0.0
    with exchanging(store, engine, node_id, base) as exchange:

        def units() -> Iterator[Unit]:
            nonlocal n_done, listing
            for cell in found:
                began = time.monotonic()
                unit = unit_of(cell, exchange, dies=cell.number == int(dies))
                if unit.known is not None:
                    n_done += 1
                    listing += time.monotonic() - began
                yield unit

        returns = drive(units(), engine, Progress(len(found)), retries=0)
    print(
        json.dumps(
            {
                "there": n_done,
                "failed": [r.return_value for r in returns.values() if r.return_value is not None],
                "records_s": round(recorded - started, 2),
                "listing_s": round(listing, 2),
                "sweep_s": round(time.monotonic() - connected, 2),
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
        ),
        flush=True,
    )


def unit_of(cell: fake_cells.Cell, exchange: Exchange, *, dies: bool) -> Unit:
    job = Job(cell.number, (), (f"seed={cell.number}",), None)  # type: ignore[arg-type]
    steps = cell.steps()
    if exchange.is_done(cell.id, steps):
        return Unit((job,), nothing, known=[answer()])
    compute = die if dies else partial(fake_cells.compute, cell=cell)
    errand = exchange.errand(steps, [fake_cells.DATA], compute)

    def receive(found: Answer) -> list[JobReturn]:
        assert found.returned == cell.id
        with exchange.received(found, cell.id, steps):
            return [answer()]

    return Unit((job,), errand, receive)


def die(root: Path) -> None:
    """End as a process does that the system kills for its memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def nothing() -> None:
    pass


def answer() -> JobReturn:
    return JobReturn(status=JobStatus.COMPLETED)


if __name__ == "__main__":
    main(*sys.argv[1:])
