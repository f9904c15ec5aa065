"""The batched program as one call for a process of its own, whose environment `numerics.environment` describes."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from priorgap.data.splits import load_dataset
from priorgap.training.batched.numerics import Numerics, in_force
from priorgap.training.batched.program import Member, Outcome, train_batched
from priorgap.training.config import BatchedTrainerConfig, Record


@dataclass(frozen=True)
class Answer:
    """What a process that trained a batch gives back.

    Attributes:
        outcomes: of each member, in order.
        numerics: what its products were computed by.
        seconds: how long the program ran.
        cpu_seconds: the processor time that it took, of all threads.
    """

    outcomes: Sequence[Outcome]
    numerics: Numerics
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, eq=False)
class Batch:
    """Some members with all that a fresh process needs to train them.

    Attributes:
        members: with their initial weights.
        data: the folder of the prepared data set.
        trainer: shared by the members, but for the learning rate.
        threads: of the process.
        matmul_precision: torch's.
        follow: opens what is told of each member's epochs; None where nobody looks on.
    """

    members: Sequence[Member]
    data: Path
    trainer: BatchedTrainerConfig
    threads: int
    matmul_precision: str
    follow: Callable[[], AbstractContextManager[Callable[[int, Record], None]]] | None = None

    def __call__(self) -> Answer:
        """Train the members in this process."""
        from threadpoolctl import threadpool_limits

        torch.set_num_threads(self.threads)
        threadpool_limits(limits=self.threads)
        torch.set_float32_matmul_precision(self.matmul_precision)
        dataset = load_dataset(self.data)
        start, cpu_start = time.perf_counter(), time.process_time()
        with nullcontext() if self.follow is None else self.follow() as on_epoch:
            outcomes = train_batched(self.members, dataset, self.trainer, on_epoch)
        return Answer(outcomes, in_force(), time.perf_counter() - start, time.process_time() - cpu_start)
