"""Posterior parameters of a set of images, and draws of z, as frozen values."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Latents:
    """Posteriors q(z|x_i) = N(mean_i, diag exp(log_var_i)); `log_var` is None for a deterministic encoder.

    `context` holds the numbers of the rows' contexts (`core.contexts`), for a model that takes contexts.
    """

    mean: Float[Tensor, "n d"]
    log_var: Float[Tensor, "n d"] | None = None
    label: Int[Tensor, "n"] | None = None
    context: Int[Tensor, "n"] | None = None

    def __post_init__(self) -> None:
        if self.mean.ndim != 2:
            raise ValueError(f"mean has shape {tuple(self.mean.shape)}: expected [n, d]")
        if self.log_var is not None and self.log_var.shape != self.mean.shape:
            raise ValueError(
                f"log_var has shape {tuple(self.log_var.shape)}: expected that of mean, {tuple(self.mean.shape)}"
            )
        if self.label is not None and self.label.shape != self.mean.shape[:1]:
            raise ValueError(f"label has shape {tuple(self.label.shape)}: expected [{len(self.mean)}]")
        if self.context is not None and self.context.shape != self.mean.shape[:1]:
            raise ValueError(f"context has shape {tuple(self.context.shape)}: expected [{len(self.mean)}]")

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def dim(self) -> int:
        """Latent dimension d."""
        return self.mean.shape[1]

    @property
    def std(self) -> Float[Tensor, "n d"]:
        """Posterior standard deviations s_i; zeros for a deterministic encoder."""
        return torch.zeros_like(self.mean) if self.log_var is None else (0.5 * self.log_var).exp()

    def take(self, index: Int[Tensor, "m"]) -> "Latents":
        """Return the rows in `index`."""
        return Latents(
            self.mean[index],
            None if self.log_var is None else self.log_var[index],
            None if self.label is None else self.label[index],
            None if self.context is None else self.context[index],
        )

    def draw(self, *, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw one z = mean + s * eps per row, in one call (torch.randn in chunks gives other numbers)."""
        noise = torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype)
        return self.mean + self.std * noise

    def without_labels(self) -> "Latents":
        """Return the same posteriors without labels."""
        return replace(self, label=None)


@dataclass(frozen=True)
class LatentDraw:
    """Draws of z, with the training row that each came from and its label, where the distribution has such.

    `context` holds the numbers of their contexts (`core.contexts`), for a model that takes contexts.
    """

    z: Float[Tensor, "n d"]
    source: Int[Tensor, "n"] | None = None
    label: Int[Tensor, "n"] | None = None
    context: Int[Tensor, "n"] | None = None

    def __len__(self) -> int:
        return len(self.z)


# The largest d for which a d x d covariance is computed: above it memory, time and the number of rows do not suffice
# (at d = 16,384 one matrix takes 2 GiB).
MOST_FULL = 512


def check_full(dim: int) -> None:
    """Refuse to compute a full covariance of more than `MOST_FULL` dimensions.

    Raises:
        ValueError: one line with both numbers.
    """
    if dim > MOST_FULL:
        raise ValueError(f"z has {dim:,} dimensions; a full covariance is fitted up to {MOST_FULL}")


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of a distribution, float64."""

    mean: Float[Tensor, "d"]
    cov: Float[Tensor, "d d"]
