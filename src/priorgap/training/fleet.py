"""Many small fully connected VAEs trained as one program: stacked weights, one batched product for all.

Replicas may differ in the objective's weights, the seed and the learning rate. Each keeps its own initial weights,
order, noise, clipping, curves and early stopping, and its result is an ordinary trained model, as if it had
been trained alone: the products are batched by hand, and what is summed over a batch is summed replica by replica.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from priorgap.data.binarize import GreySplit
from priorgap.data.splits import Dataset, as_float
from priorgap.fused_steps import fused_steps
from priorgap.models.losses import ElboLoss, LossTerms, objective
from priorgap.models.vae import VAE
from priorgap.priors.standard_normal import StandardNormal
from priorgap.streams import stream
from priorgap.training.callbacks import Record
from priorgap.training.fit import VALIDATION_BATCH, TrainerConfig, TrainResult, check_data
from priorgap.training.module import NonFiniteLoss, Part
from priorgap.training.stacking import Stack

Outcome = TrainResult | NonFiniteLoss


@dataclass(frozen=True, eq=False)
class Replica:
    """One model of a fleet.

    Attributes:
        vae: the model with its initial weights; they are changed.
        loss: the weights of its objective.
        seed: of its order and noise.
        learning_rate: of its optimiser.
    """

    vae: VAE
    loss: ElboLoss
    seed: int
    learning_rate: float


def refusal(vae: nn.Module, dataset: Dataset) -> str | None:
    """Return why a model cannot be part of a fleet, in one line; None where it can."""
    if type(vae) is not VAE:
        return f"{type(vae).__name__} is no plain VAE"
    if not isinstance(vae.prior, StandardNormal):
        return f"the prior is {type(vae.prior).__name__}"
    if any(True for _ in vae.likelihood.parameters()):
        return f"the {vae.likelihood.name} likelihood has parameters of its own"
    if dataset.train.x.device.type != "cpu":
        return "the data are not in the memory of the CPU"
    if isinstance(dataset.train, GreySplit):
        return "the training images are redrawn in every epoch"
    return Stack.refusal(vae.encoder) or Stack.refusal(vae.decoder)


def train_fleet(replicas: Sequence[Replica], dataset: Dataset, trainer: TrainerConfig) -> list[Outcome]:
    """Train all replicas; each gives its result, or the error that stopped it alone.

    Args:
        replicas: models of one architecture, likelihood and shape, for which `refusal` is None.
        dataset: as in `train_vae`.
        trainer: as in `train_vae`; `learning_rate` is each replica's own, `accelerator` is the CPU.

    Raises:
        ValueError: no replica, replicas that cannot be stacked, mixed precision, or data that do not fit them.
    """
    if not replicas:
        raise ValueError("replicas: expected at least one")
    if trainer.precision is not None:
        raise ValueError(f"trainer.precision={trainer.precision}: a fleet trains in float32; expected null")
    for replica in replicas:
        check_data(replica.vae, dataset)
        reason = refusal(replica.vae, dataset)
        if reason is not None:
            raise ValueError(f"replicas: {reason}; expected models that can be stacked")
    fleet = _Fleet(replicas, dataset, trainer)
    for epoch in range(trainer.max_epochs):
        fleet.run_epoch(epoch)
        if not fleet.sailing:
            break
    return fleet.outcomes()


class _Member:
    """One replica while it trains: its curves, its best weights, its end."""

    def __init__(self, number: int, replica: Replica) -> None:
        self.number, self.replica = number, replica
        self.loss = replica.loss.in_sum_units(replica.vae.likelihood, math.prod(replica.vae.shape))
        self.curves: list[Record] = []
        self.best_epoch = -1
        self.best_weights: dict[str, Tensor] = {}
        self.stopped = False
        self.error: NonFiniteLoss | None = None
        self._sums: dict[Part, list[float]] = {}
        self._n_rows: dict[Part, int] = {}
        self._n_steps: dict[Part, int] = {}

    def weighted(self, part: Part, terms: LossTerms, epoch: int) -> Tensor:
        """Return a batch's loss: warm-up and free bits shape training alone."""
        if part == "validation":
            return objective(terms, self.loss.alpha, self.loss.beta)
        return objective(terms, self.loss.alpha, self.loss.beta_at(epoch), self.loss.free_bits)

    def add(self, part: Part, means: Sequence[float], n_rows: int, epoch: int) -> None:
        """Add a batch's means to the epoch's sums; a value that is not finite ends this replica."""
        if self.error is not None:
            return
        step = self._n_steps.get(part, 0)
        if not all(map(math.isfinite, means)):
            values = ", ".join(f"{v:g}" for v in means)
            self.error = NonFiniteLoss(
                f"non-finite {part} loss at step {step} of epoch {epoch} (loss, reconstruction, kl = {values}): "
                "try a lower learning_rate or a gradient_clip"
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


class _Fleet:
    def __init__(self, replicas: Sequence[Replica], dataset: Dataset, trainer: TrainerConfig) -> None:
        self._dataset, self._config = dataset, trainer
        self._likelihood = replicas[0].vae.likelihood
        self._prior = replicas[0].vae.prior
        self._d = replicas[0].vae.latent_dim
        self._members = [_Member(number, replica) for number, replica in enumerate(replicas)]
        self.sailing = list(self._members)
        self._stack = Stack([(m.replica.vae.encoder, m.replica.vae.decoder) for m in self._members])
        cls = torch.optim.AdamW if trainer.optimizer == "adamw" else torch.optim.Adam
        self._optimizer = cls(
            [
                {"params": views, "lr": m.replica.learning_rate}
                for views, m in zip(self._stack.views, self.sailing, strict=True)
            ],
            weight_decay=trainer.weight_decay,
            fused=True,
        )
        self._validation_noise = [
            torch.randn(
                len(dataset.validation), self._d, generator=stream(m.replica.seed, "validation noise")
            )
            for m in self._members
        ]

    def run_epoch(self, epoch: int) -> None:
        """Run one epoch of every replica that still sails; drop those that end with it."""
        with fused_steps(self._optimizer) as steps:
            for x, noise in self._training_batches(epoch):
                loss = self._losses("train", x, noise, epoch)
                self._stack.zero_grad()
                loss.backward()
                if self._config.gradient_clip is not None:
                    for views in self._stack.views:
                        nn.utils.clip_grad_norm_(views, self._config.gradient_clip)
                steps.step()
        with torch.no_grad():
            for x, noise in self._validation_batches():
                self._losses("validation", x, noise, epoch)
        for place, member in enumerate(self.sailing):
            if member.error is None and member.end_epoch(epoch, self._config.patience):
                self._stack.store(place, member.replica.vae)
                weights = member.replica.vae.state_dict()
                member.best_weights = {k: v.detach().clone() for k, v in weights.items()}
        self._drop()

    def _losses(self, part: Part, x: Tensor, noise: Float[Tensor, "k b d"], epoch: int) -> Tensor:
        """Return the sum of the replicas' losses of one batch each, and add to their sums."""
        mean, log_var = self._stack.encode(x).chunk(2, dim=2)
        z = mean + (0.5 * log_var).exp() * noise
        rate = self._prior.kl(mean, log_var)
        assert rate is not None
        raw = self._stack.decode(z)
        n_replicas, n_rows = x.shape[:2]
        rows = self._likelihood.reconstruction_loss(raw.flatten(0, 1), x.flatten(0, 1))
        losses, means = [], []
        for k, member in enumerate(self.sailing):
            terms = LossTerms(rows.view(n_replicas, n_rows)[k], rate[k])
            losses.append(member.weighted(part, terms, epoch))
            means += [
                losses[-1].detach(),
                terms.reconstruction.detach().mean(),
                terms.rate.detach().sum(1).mean(),
            ]
        found = torch.stack(means).view(n_replicas, 3).tolist()
        for member, own in zip(self.sailing, found, strict=True):
            member.add(part, own, n_rows, epoch)
        return torch.stack(losses).sum()

    def _training_batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x [k, b, ...], noise [k, b, d]): each replica's own order and noise, as when it is alone."""
        split = self._dataset.train
        seeds = [m.replica.seed for m in self.sailing]
        orders = [torch.randperm(len(split), generator=stream(s, "order", epoch)) for s in seeds]
        noises = [stream(s, "noise", epoch) for s in seeds]
        for rows in torch.stack(orders).split(self._config.batch_size, dim=1):
            drawn = [torch.randn(rows.shape[1], self._d, generator=g) for g in noises]
            yield as_float(split.x[rows]), torch.stack(drawn)

    def _validation_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        noises = torch.stack([self._validation_noise[m.number] for m in self.sailing])
        parts = self._dataset.validation.x.split(VALIDATION_BATCH)
        for x, noise in zip(parts, noises.split(VALIDATION_BATCH, dim=1), strict=True):
            yield as_float(x)[None].expand(len(self.sailing), *x.shape), noise

    def _drop(self) -> None:
        kept = [k for k, m in enumerate(self.sailing) if m.error is None and not m.stopped]
        for k, member in enumerate(self.sailing):
            if k not in kept:
                self._stack.store(k, member.replica.vae)
        if len(kept) == len(self.sailing):
            return
        self.sailing = [self.sailing[k] for k in kept]
        old = self._stack.views
        groups, state = self._optimizer.param_groups, self._optimizer.state
        self._stack = self._stack.take(kept) if kept else self._stack
        self._optimizer.param_groups = [groups[k] for k in kept]
        for group, place, views in zip(self._optimizer.param_groups, kept, self._stack.views, strict=False):
            for before, after in zip(old[place], views, strict=True):
                state[after] = state.pop(before)
            group["params"] = views

    def outcomes(self) -> list[Outcome]:
        """Return every replica's result, its weights in its own model."""
        for place, member in enumerate(self.sailing):
            self._stack.store(place, member.replica.vae)
        return [self._outcome(member) for member in self._members]

    def _outcome(self, member: _Member) -> Outcome:
        if member.error is not None:
            return member.error
        vae = member.replica.vae.eval()
        if self._config.patience is not None:
            vae.load_state_dict(member.best_weights)
        n_epochs = len(member.curves)
        best = member.best_epoch if self._config.patience is not None else n_epochs - 1
        reason: Literal["max_epochs", "early_stopping"] = "early_stopping" if member.stopped else "max_epochs"
        return TrainResult(vae, member.curves, n_epochs, best, reason)
