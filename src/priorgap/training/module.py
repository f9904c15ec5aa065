"""The Lightning module, which passes batches to the model and logs by epoch; the formulas are in `models`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from priorgap.core.random import stream
from priorgap.data.splits import as_float
from priorgap.models.controls import Autoencoder
from priorgap.models.losses import ElboLoss, LossTerms, objective
from priorgap.models.vae import VAE
from priorgap.training.config import MakeScheduler, Part
from priorgap.training.datamodule import Batch
from priorgap.training.lightning import LightningOptimizer, OptimizerLRScheduler, pl
from priorgap.training.means import EpochMeans

# The metric that a configured scheduler may monitor.
MONITOR = "validation_loss"


@runtime_checkable
class Trainee(Protocol):
    """What callbacks need from a module.

    Attributes:
        prefix: the prefix of the network's names in the module's state.
        means: the means of the last epoch, by part and term.
    """

    prefix: str
    means: dict[str, float]

    @property
    def network(self) -> nn.Module:
        """The network that is trained and published."""
        ...


class EpochModule(pl.LightningModule):
    """The common base of the modules here: the noise of a step, and means that are logged once an epoch.

    Args:
        terms: names of the losses that steps add.
        seed: the seed of the noise of training.
        latent_dim: the dimension of the noise.
    """

    def __init__(self, terms: tuple[str, ...], *, seed: int, latent_dim: int) -> None:
        super().__init__()
        self.means: dict[str, float] = {}
        self._epoch_means = EpochMeans(terms)
        self._seed, self._d = seed, latent_dim
        self._noise = torch.Generator()

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, fast for the name of the running hook, which Lightning sets dozens of times a step."""
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def noise(self, batch: Batch) -> Tensor:
        """Return the noise of a batch: stored for validation, drawn from the epoch's stream for training."""
        if batch.noise is not None:
            return batch.noise
        drawn = torch.randn(len(batch.x), self._d, generator=self._noise)
        # A blocking copy would wait for the GPU in each step.
        return drawn.to(batch.x.device, non_blocking=True)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        """Drop the gradients as the optimiser's `zero_grad` does, which also records itself for profilers."""
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def on_train_epoch_start(self) -> None:
        """Start the epoch's stream of noise."""
        self._noise = stream(self._seed, "noise", self.current_epoch)

    def on_validation_epoch_start(self) -> None:
        """Read the epoch's training means before validation, so that a loss that is not finite ends training here."""
        self._take("train")

    def on_validation_epoch_end(self) -> None:
        """Log the means over the validation rows."""
        self._log(self._take("validation"))

    def on_train_epoch_end(self) -> None:
        """Log the means over the training rows, and step the schedules that Lightning leaves alone."""
        self._take("train")
        self._log({name: value for name, value in self.means.items() if name.startswith("train_")})
        for schedule in self._schedules():
            if isinstance(schedule, ReduceLROnPlateau):
                schedule.step(self.means[MONITOR])
            elif not self.automatic_optimization:
                schedule.step()

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> None:
        """Step a schedule, except one that monitors validation, which was stepped already.

        Lightning would step that one after the epoch's checkpoint was written, and a resumed run would miss the step.
        """
        if not isinstance(scheduler, ReduceLROnPlateau):
            super().lr_scheduler_step(scheduler, metric)

    def _schedules(self) -> list[Any]:
        found = self.lr_schedulers()
        return [] if found is None else found if isinstance(found, list) else [found]

    def _take(self, part: Part) -> dict[str, float]:
        found = dict(self._epoch_means.take(part, self.current_epoch))
        if found:
            kept = self.means if part == "validation" else {}
            self.means = {**kept, **found}
        return found

    def _log(self, means: dict[str, float]) -> None:
        # In float64, because the choice of the best epoch must not depend on float32's resolution.
        values = {name: torch.tensor(value, dtype=torch.float64) for name, value in means.items()}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remove hyperparameter objects from the checkpoint, so that it can be loaded with `weights_only=True`."""
        checkpoint.pop("hyper_parameters", None)


@dataclass(frozen=True)
class OwnSteps:
    """How a module takes the steps of a batch itself.

    Attributes:
        batch_size: the rows of a step.
        clip: the largest norm of the gradient, None for no clipping.
    """

    batch_size: int
    clip: float | None


class VaeModule(EpochModule):
    """Trains a VAE, or an autoencoder (with rate 0), on `objective`.

    Args:
        vae: the model; its weights are changed.
        loss: the weights of the two terms, in sum units.
        seed: the seed of the noise of training.
        optimizer: builds a network's optimiser.
        scheduler: builds the learning rate's schedule from an optimiser, with a step for each epoch; None: the rate
            is constant.
        steps: how the module takes steps itself, several for each of Lightning's batches; None: Lightning takes one
            step for each batch (automatic optimisation).
    """

    prefix: str = "vae."

    def __init__(
        self,
        vae: VAE | Autoencoder,
        loss: ElboLoss,
        *,
        seed: int,
        optimizer: Callable[[nn.Module], torch.optim.Optimizer],
        scheduler: MakeScheduler | None = None,
        steps: OwnSteps | None = None,
    ) -> None:
        super().__init__(("loss", "reconstruction", "kl"), seed=seed, latent_dim=vae.latent_dim)
        self.automatic_optimization = steps is None
        self.vae = vae
        self._loss, self._steps = loss, steps
        self._make_optimizer, self._make_scheduler = optimizer, scheduler

    @property
    def network(self) -> nn.Module:
        """The model that is trained."""
        return self.vae

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """Return the loss of a batch for Lightning's step, or take the batch's steps here."""
        if self._steps is None:
            return self._objective("train", batch)
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        for rows in batch.split(self._steps.batch_size):
            optimizer.step(partial(self._loss_with_gradients, rows, optimizer.optimizer, self._steps.clip))
        return None

    def _loss_with_gradients(
        self, batch: Batch, optimizer: torch.optim.Optimizer, clip: float | None
    ) -> Tensor:
        """Return the loss of a step's rows, and set the gradients to what Lightning's own steps have."""
        loss = self._objective("train", batch)
        self.optimizer_zero_grad(self.current_epoch, 0, optimizer)
        self.manual_backward(loss)
        if clip is not None:
            nn.utils.clip_grad_norm_(self.vae.parameters(), clip)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a validation batch to the epoch's means."""
        self._objective("validation", batch)

    def _objective(self, part: Part, batch: Batch) -> Tensor:
        label = () if batch.label is None else (batch.label,)
        terms = self.vae.terms(as_float(batch.x), self.noise(batch), *label)
        loss = self._weighted(part, terms)
        rate = terms.rate.detach().sum(1)
        means = [loss, terms.reconstruction.detach().mean(), rate.mean()]
        self._epoch_means.add(part, means, len(batch.x), rate if terms.drawn else None)
        return loss

    def _weighted(self, part: Part, terms: LossTerms) -> Tensor:
        """Return a batch's loss; warm-up and free bits apply to training only, validation uses the final weights."""
        if part == "validation":
            return objective(terms, self._loss.alpha, self._loss.beta)
        beta = self._loss.beta_at(self.current_epoch)
        return objective(terms, self._loss.alpha, beta, self._loss.free_bits)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimiser and the schedule, if there is one."""
        optimizer = self._make_optimizer(self.vae)
        if self._make_scheduler is None:
            return optimizer
        schedule = self._make_scheduler(optimizer)
        if not self.automatic_optimization:
            return [optimizer], [schedule]
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "epoch", "monitor": MONITOR},
        }
