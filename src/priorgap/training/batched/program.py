"""Many small fully connected VAEs trained as one program: stacked weights, one batched product for all.

Members may differ in the objective's weights, the seed and the learning rate. Each keeps its own initial weights,
order, noise, clipping, curves and early stopping, and its result is an ordinary trained model. Sums over rows are
taken member by member, so that only the batched products could make a member depend on the others; where
`numerics.in_force().strict` holds they do not.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from priorgap.core.random import stream
from priorgap.data.splits import Dataset, as_float
from priorgap.models.losses import ElboLoss, LossTerms, objective
from priorgap.models.vae import VAE
from priorgap.training.batched.adam import Adam
from priorgap.training.batched.scope import refusal, refusal_of_data
from priorgap.training.batched.stacking import Stack
from priorgap.training.checks import check_data, likely_cause
from priorgap.training.config import (
    VALIDATION_BATCH,
    BatchedTrainerConfig,
    NonFiniteLoss,
    Part,
    Record,
    TrainResult,
)

Outcome = TrainResult[VAE] | NonFiniteLoss


@dataclass(frozen=True, eq=False)
class Member:
    """One model of a batch.

    Attributes:
        vae: the model with its initial weights; they are changed.
        loss: the weights of its objective.
        seed: the seed of its order and noise.
        learning_rate: the learning rate of its optimiser.
    """

    vae: VAE
    loss: ElboLoss
    seed: int
    learning_rate: float


def train_batched(
    members: Sequence[Member],
    dataset: Dataset,
    trainer: BatchedTrainerConfig,
    on_epoch: Callable[[int, Record], None] | None = None,
    device: str | torch.device = "cpu",
) -> list[Outcome]:
    """Train all members in this process; return for each its result, or the error that stopped it.

    On another device than the CPU a member's last digits may depend on the other members.

    Args:
        members: models of one architecture, likelihood and shape, for which `refusal` is None.
        dataset: trained on `train`; `validation` alone decides on early stopping; `test` is not read.
        trainer: how to train; `learning_rate` is each member's own.
        on_epoch: called with a member's number and the record of an epoch.
        device: where to compute; the data go there as a whole, the results are on the CPU.

    Raises:
        ValueError: no member, members that cannot be stacked, or data that do not fit them.
    """
    if not members:
        raise ValueError("members: expected at least one")
    for member in members:
        check_data(member.vae, dataset)
        reason = refusal(member.vae) or refusal_of_data(dataset)
        if reason is not None:
            raise ValueError(f"trainer=batched: {reason}; expected trainer=default")
    program = _Program(members, dataset, trainer, torch.device(device))
    for epoch in range(trainer.max_epochs):
        ended = program.run_epoch(epoch)
        if on_epoch is not None:
            for training in ended:
                on_epoch(training.number, dict(training.curves[-1]))
        if not program.running:
            break
    outcomes = program.outcomes()
    return [likely_cause(o, dataset.train) if isinstance(o, NonFiniteLoss) else o for o in outcomes]


class _Training:
    """One member during training: its curves, its best weights, and whether it has ended."""

    def __init__(self, number: int, member: Member) -> None:
        self.number, self.member = number, member
        self.loss = member.loss.in_sum_units(member.vae.likelihood, math.prod(member.vae.shape))
        self.curves: list[Record] = []
        self.best_epoch = -1
        self.best_weights: dict[str, Tensor] = {}
        self.stopped = False
        self.error: NonFiniteLoss | None = None
        self._sums: dict[Part, list[float]] = {}
        self._n_rows: dict[Part, int] = {}
        self._n_steps: dict[Part, int] = {}

    def weighted(self, part: Part, terms: LossTerms, epoch: int) -> Tensor:
        """Return a batch's loss; warm-up and free bits apply to training only."""
        if part == "validation":
            return objective(terms, self.loss.alpha, self.loss.beta)
        return objective(terms, self.loss.alpha, self.loss.beta_at(epoch), self.loss.free_bits)

    def add(self, part: Part, means: Sequence[float], n_rows: int, epoch: int) -> None:
        """Add a batch's means to the epoch's sums; a value that is not finite ends this member's training."""
        if self.error is not None:
            return
        step = self._n_steps.get(part, 0)
        if not all(map(math.isfinite, means)):
            values = ", ".join(f"{v:g}" for v in means)
            self.error = NonFiniteLoss(
                f"non-finite {part} loss at step {step} of epoch {epoch} (loss, reconstruction, kl = {values})",
                untrained=(part, step, epoch) == ("train", 0, 0),
            )
            return
        sums = self._sums.get(part, [0.0] * len(means))
        self._sums[part] = [s + m * n_rows for s, m in zip(sums, means, strict=True)]
        self._n_rows[part] = self._n_rows.get(part, 0) + n_rows
        self._n_steps[part] = step + 1

    def end_epoch(self, epoch: int, patience: int | None) -> bool:
        """Record the epoch; return whether its weights are the best so far."""
        record: Record = {"epoch": epoch}
        for part, sums in self._sums.items():
            for name, value in zip(("loss", "reconstruction", "kl"), sums, strict=True):
                record[f"{part}_{name}"] = value / self._n_rows[part]
        self._sums, self._n_rows, self._n_steps = {}, {}, {}
        self.curves.append(record)
        if patience is None:
            return False
        best = self.curves[self.best_epoch]["validation_loss"] if self.best_epoch >= 0 else math.inf
        better = record["validation_loss"] < best
        if better:
            self.best_epoch = epoch
        self.stopped = epoch - self.best_epoch >= patience
        return better


class _Program:
    def __init__(
        self,
        members: Sequence[Member],
        dataset: Dataset,
        trainer: BatchedTrainerConfig,
        device: torch.device,
    ) -> None:
        self._config, self._device = trainer, device
        self._train, self._validation = dataset.train.x.to(device), dataset.validation.x.to(device)
        self._likelihood = copy.deepcopy(members[0].vae.likelihood).to(device)
        self._prior = members[0].vae.prior
        self._d = members[0].vae.latent_dim
        self._trainings = [_Training(number, member) for number, member in enumerate(members)]
        self.running = list(self._trainings)
        self._stack = Stack([(m.vae.encoder, m.vae.decoder) for m in members], device)
        self._adam = Adam(
            self._stack.views,
            [m.learning_rate for m in members],
            weight_decay=trainer.weight_decay,
            decoupled=trainer.optimizer == "adamw",
        )
        self._validation_noise = [
            torch.randn(len(dataset.validation), self._d, generator=stream(m.seed, "validation noise")).to(
                device
            )
            for m in members
        ]
        # The means of each batch of the epoch, which are read at its end: reading one makes a GPU wait.
        self._means: list[tuple[Part, int, Tensor]] = []

    def run_epoch(self, epoch: int) -> list[_Training]:
        """Run one epoch of every member still in training; drop those that end with it; return those that ran."""
        for x, noise in self._training_batches(epoch):
            loss = self._losses("train", x, noise, epoch)
            self._stack.zero_grad()
            loss.backward()
            if self._config.gradient_clip is not None:
                for views in self._stack.views:
                    nn.utils.clip_grad_norm_(views, self._config.gradient_clip)
            self._adam.step()
        with torch.no_grad():
            for x, noise in self._validation_batches():
                self._losses("validation", x, noise, epoch)
        self._read_means(epoch)
        for place, training in enumerate(self.running):
            if training.error is None and training.end_epoch(epoch, self._config.patience):
                self._stack.store(place, training.member.vae)
                weights = training.member.vae.state_dict()
                training.best_weights = {k: v.detach().clone() for k, v in weights.items()}
        ended = [training for training in self.running if training.error is None]
        self._drop()
        return ended

    def _losses(self, part: Part, x: Tensor, noise: Float[Tensor, "k b d"], epoch: int) -> Tensor:
        """Return the sum of the members' losses of one batch each, and keep their means for the end of the epoch."""
        mean, log_var = self._stack.encode(x).chunk(2, dim=2)
        z = mean + (0.5 * log_var).exp() * noise
        rate = self._prior.kl(mean, log_var)
        assert rate is not None
        raw = self._stack.decode(z)
        n_members, n_rows = x.shape[:2]
        rows = self._likelihood.reconstruction_loss(raw.flatten(0, 1), x.flatten(0, 1))
        losses, means = [], []
        for k, training in enumerate(self.running):
            terms = LossTerms(rows.view(n_members, n_rows)[k], rate[k])
            losses.append(training.weighted(part, terms, epoch))
            means += [
                losses[-1].detach(),
                terms.reconstruction.detach().mean(),
                terms.rate.detach().sum(1).mean(),
            ]
        self._means.append((part, n_rows, torch.stack(means).view(n_members, 3)))
        return torch.stack(losses).sum()

    def _read_means(self, epoch: int) -> None:
        parts, counts, means = zip(*self._means, strict=True)
        for part, n_rows, found in zip(parts, counts, torch.stack(means).cpu().tolist(), strict=True):
            for training, own in zip(self.running, found, strict=True):
                training.add(part, own, n_rows, epoch)
        self._means = []

    def _training_batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x [k, b, ...], noise [k, b, d]), with each member's own order and noise."""
        x, seeds = self._train, [t.member.seed for t in self.running]
        orders = [torch.randperm(len(x), generator=stream(s, "order", epoch)) for s in seeds]
        noises = [stream(s, "noise", epoch) for s in seeds]
        for rows in torch.stack(orders).to(self._device).split(self._config.batch_size, dim=1):
            drawn = [torch.randn(rows.shape[1], self._d, generator=g) for g in noises]
            yield as_float(x[rows]), torch.stack(drawn).to(self._device, non_blocking=True)

    def _validation_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        noises = torch.stack([self._validation_noise[t.number] for t in self.running])
        parts = self._validation.split(VALIDATION_BATCH)
        for x, noise in zip(parts, noises.split(VALIDATION_BATCH, dim=1), strict=True):
            yield as_float(x)[None].expand(len(self.running), *x.shape), noise

    def _drop(self) -> None:
        kept = [k for k, t in enumerate(self.running) if t.error is None and not t.stopped]
        for k, training in enumerate(self.running):
            if k not in kept:
                self._stack.store(k, training.member.vae)
        if len(kept) == len(self.running):
            return
        self.running = [self.running[k] for k in kept]
        if kept:
            self._stack = self._stack.take(kept)
            self._adam.take(kept, self._stack.views)

    def outcomes(self) -> list[Outcome]:
        """Return every member's result, with its weights copied into its own model."""
        for place, training in enumerate(self.running):
            self._stack.store(place, training.member.vae)
        return [self._outcome(training) for training in self._trainings]

    def _outcome(self, training: _Training) -> Outcome:
        if training.error is not None:
            return training.error
        vae = training.member.vae.eval()
        if self._config.patience is not None:
            vae.load_state_dict(training.best_weights)
        n_epochs = len(training.curves)
        best = training.best_epoch if self._config.patience is not None else n_epochs - 1
        reason: Literal["max_epochs", "early_stopping"] = (
            "early_stopping" if training.stopped else "max_epochs"
        )
        return TrainResult(vae, training.curves, n_epochs, best, reason)
