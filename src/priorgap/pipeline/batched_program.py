"""The batched program in processes of its own: some cells in, each one's trained model and its provenance out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from priorgap.data.splits import Dataset
from priorgap.models.families import Model
from priorgap.models.vae import VAE
from priorgap.pipeline import components, models
from priorgap.pipeline.cells import Cell
from priorgap.pipeline.engines.processes import Processes
from priorgap.pipeline.engines.protocol import Lost, Unit
from priorgap.pipeline.stages import prepare
from priorgap.pipeline.store import Store
from priorgap.training.batched import Member, Outcome, refusal
from priorgap.training.batched.numerics import Numerics, environment
from priorgap.training.batched.program import refusal_of_data
from priorgap.training.batched.worker import Answer, Batch
from priorgap.training.config import BatchedTrainerConfig, NonFiniteLoss, TrainResult

_POLL = 0.5


@dataclass(frozen=True)
class Trained:
    """A member's result, and what provenance says of it.

    Attributes:
        outcome: the model, or what stopped it.
        numerics: what its products were computed by.
        n_members: of its batch.
        seconds: the member's share of the program's time.
    """

    outcome: Outcome
    numerics: Numerics
    n_members: int
    seconds: float

    @property
    def provenance(self) -> dict[str, Any]:
        """How it was trained."""
        same = "the same bits in any batch" if self.numerics.strict else "in another batch within rounding"
        return {
            "batched": {"products": self.numerics.products, "bits": same, "members": self.n_members},
            "seconds": round(self.seconds, 2),
        }

    def result(self) -> TrainResult[VAE]:
        """Return the trained model.

        Raises:
            NonFiniteLoss: its loss became NaN or infinite.
        """
        if isinstance(self.outcome, NonFiniteLoss):
            raise self.outcome
        return self.outcome


def train_alone(cell: Cell, store: Store) -> Trained:
    """Train one model as a batch of one.

    Raises:
        RuntimeError: its process ended without an answer.
    """
    ((_, found),) = run([[cell]], store, 1)
    if isinstance(found, Lost):
        raise RuntimeError(f"trainer=batched: {found.reason}")
    return found[0]


def run(
    shares: Sequence[list[Cell]], store: Store, processes: int
) -> Iterator[tuple[list[Cell], list[Trained] | Lost]]:
    """Train each share as one program in a process of its own; yield the shares as they end.

    Args:
        shares: cells whose models differ in what a batch may differ in.
        store: where their data are.
        processes: how many run at once.
    """
    # a process that has multiplied already cannot be switched to products that do not depend on company
    threads = int(shares[0][0].config["numerics"]["threads"])
    engine = Processes(processes, threads, environment())
    left = {Unit((), _batch(cells, store)): cells for cells in shares}
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
    return [Trained(outcome, answer.numerics, n, answer.seconds / n) for outcome in answer.outcomes]


def _batch(cells: Sequence[Cell], store: Store) -> Batch:
    dataset = prepare.load(cells[0], store)
    members = []
    for cell in cells:
        vae = models.build(cell.config, dataset.shape, None)
        assert isinstance(vae, VAE)
        rate = components.trainer(cell.config).learning_rate
        members.append(Member(vae, components.loss(cell.config), cell.seed, rate))
    trainer = components.trainer(cells[0].config)
    assert isinstance(trainer, BatchedTrainerConfig)
    numerics = cells[0].config["numerics"]
    data = store.data(cells[0]).absolute()
    return Batch(members, data, trainer, int(numerics["threads"]), str(numerics["matmul_precision"]))


def check_model(config: Mapping[str, Any], model: Model, dataset: Dataset) -> None:
    """Refuse a model of `trainer=batched` that the program cannot train.

    Raises:
        ValueError: one line with the reason and the remedy.
    """
    if not components.trainer(config).batched:
        return
    reason = refusal(model) or refusal_of_data(dataset)
    if reason is not None:
        raise ValueError(f"trainer=batched: {reason}; expected trainer=default")
