"""The batched program as one call in a process of its own, with the environment of `numerics.environment`."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from priorgap.core.devices import device_for, make_cuda_repeatable
from priorgap.data.splits import load_dataset
from priorgap.training.batched.numerics import Numerics, in_force
from priorgap.training.batched.program import Member, Outcome, train_batched
from priorgap.training.config import BatchedTrainerConfig, Record


@dataclass(frozen=True)
class Answer:
    """The result of a process that trained a batch.

    Attributes:
        outcomes: the outcome of each member, in order.
        numerics: how its products were computed.
        seconds: the program's wall time.
        cpu_seconds: the program's processor time over all threads.
    """

    outcomes: Sequence[Outcome]
    numerics: Numerics
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, eq=False)
class Batch:
    """Some members, with everything that a new process needs to train them.

    Attributes:
        members: the members with their initial weights.
        data: the folder of the prepared data set.
        trainer: the settings, which the members share except for the learning rate.
        threads: the number of threads of the process.
        matmul_precision: torch's setting of this name.
        follow: opens the receiver of the members' epoch records; None where nobody follows the training.
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
        device = device_for(self.trainer.accelerator)
        if device == "cuda":
            make_cuda_repeatable()
        dataset = load_dataset(self.data)
        start, cpu_start = time.perf_counter(), time.process_time()
        with nullcontext() if self.follow is None else self.follow() as on_epoch:
            outcomes = train_batched(self.members, dataset, self.trainer, on_epoch, device)
        return Answer(
            outcomes, in_force(device), time.perf_counter() - start, time.process_time() - cpu_start
        )
