"""The batched program in processes of its own: cells in, trained models with their provenance out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from priorgap.data.splits import Dataset
from priorgap.models.families import Model
from priorgap.models.vae import VAE
from priorgap.pipeline import models
from priorgap.pipeline.config import parts
from priorgap.pipeline.config.plan import PlannedModel
from priorgap.pipeline.desk import Desk
from priorgap.pipeline.store.layout import Files
from priorgap.pipeline.sweep.engines.processes import Processes
from priorgap.pipeline.sweep.engines.protocol import Lost, Unit
from priorgap.pipeline.trainings import kept
from priorgap.training.batched import Member, Outcome, refusal
from priorgap.training.batched.numerics import Numerics, environment
from priorgap.training.batched.scope import refusal_of_data
from priorgap.training.batched.worker import Answer, Batch
from priorgap.training.config import BatchedTrainerConfig, NonFiniteLoss, TrainResult

_POLL = 0.5


@dataclass(frozen=True)
class Trained:
    """A member's result, and the facts for its provenance.

    Attributes:
        outcome: the model, or the error that stopped it.
        numerics: how its products were computed.
        n_members: the number of members in its batch.
        seconds: the member's share of the program's time.
        cpu_seconds: its share of the program's processor time.
    """

    outcome: Outcome
    numerics: Numerics
    n_members: int
    seconds: float
    cpu_seconds: float

    @property
    def provenance(self) -> dict[str, Any]:
        """The provenance of the training."""
        same = "the same bits in any batch" if self.numerics.strict else "in another batch within rounding"
        return {
            "batched": {"products": self.numerics.products, "bits": same, "members": self.n_members},
            "seconds": round(self.seconds, 2),
            # This is the time of the program's process, which the process that stores the result cannot measure.
            "cpu_seconds": round(self.cpu_seconds, 2),
        }

    def result(self) -> TrainResult[VAE]:
        """Return the trained model.

        Raises:
            NonFiniteLoss: its loss became NaN or infinite.
        """
        if isinstance(self.outcome, NonFiniteLoss):
            raise self.outcome
        return self.outcome

    def kept(self, model: PlannedModel, dataset: Dataset) -> Files:
        """Return the files of the training to store; raises as `result` does."""
        return kept(model, self.result(), dataset, self.provenance)


def train_alone(model: PlannedModel, desk: Desk) -> Trained:
    """Train one model as a batch of one.

    Raises:
        RuntimeError: its process ended without an answer.
    """
    ((_, found),) = run([[model]], desk, 1)
    if isinstance(found, Lost):
        raise RuntimeError(f"trainer=batched: {found.reason}")
    return found[0]


def run(
    shares: Sequence[list[PlannedModel]], desk: Desk, processes: int
) -> Iterator[tuple[list[PlannedModel], list[Trained] | Lost]]:
    """Train each share as one program in a process of its own; yield the shares as they finish.

    Args:
        shares: groups of models that differ only in what may differ within a batch.
        desk: the objects that this process shares.
        processes: the number of processes that run at once.
    """
    # New processes are needed, because MKL's strict mode cannot be set in a process that has already multiplied.
    threads = int(shares[0][0].cell.config["numerics"]["threads"])
    engine = Processes(processes, threads, environment())
    left = {Unit((), _batch(group, desk)): group for group in shares}
    finished = False
    try:
        for unit in left:
            engine.start(unit)
        while left:
            for unit, found in engine.wait(_POLL):
                yield left.pop(unit), found if isinstance(found, Lost) else _shared_out(found)
        finished = True
    finally:
        engine.close(kill=not finished)


def _shared_out(answer: Any) -> list[Trained]:
    assert isinstance(answer, Answer)
    n = len(answer.outcomes)
    shares = answer.seconds / n, answer.cpu_seconds / n
    return [Trained(outcome, answer.numerics, n, *shares) for outcome in answer.outcomes]


def _batch(group: Sequence[PlannedModel], desk: Desk) -> Batch:
    dataset = desk.dataset(group[0])
    members = []
    for model in group:
        config = model.cell.config
        # `check_model` has refused everything except plain VAEs.
        network = cast(VAE, models.build(config, dataset.shape, dataset.modality, None))
        rate = parts.trainer(config).learning_rate
        members.append(Member(network, parts.loss(config), model.cell.seed, rate))
    config = group[0].cell.config
    trainer = parts.trainer(config)
    assert isinstance(trainer, BatchedTrainerConfig)
    data = desk.store.path(group[0].data).absolute()
    numerics = config["numerics"]
    return Batch(
        members,
        data,
        trainer,
        int(numerics["threads"]),
        str(numerics["matmul_precision"]),
        desk.following.batch(group),
    )


def check_model(config: Mapping[str, Any], model: Model, dataset: Dataset) -> None:
    """Refuse a model that `trainer=batched` cannot train.

    Raises:
        ValueError: one line with the reason and the remedy.
    """
    if not parts.trainer(config).batched:
        return
    reason = refusal(model) or refusal_of_data(dataset)
    if reason is not None:
        raise ValueError(f"trainer=batched: {reason}; expected trainer=default")
