"""Decoding by a draw x ~ p(x|z) instead of the mean."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.core.random import stream
from priorgap.models.likelihoods import Likelihood


@dataclass(frozen=True, eq=False)
class DrawnDecoder:
    """z -> one draw of x ~ p(x|z), on the CPU.

    The noise of a row comes from a stream of (seed, its z). A row gives the same x in any batch, order or set size,
    so that pictures, measures and generated data agree. Equal z give equal x.

    Attributes:
        raw: maps z, its label (or None) and, where given, its context to the decoder's raw output, on any device.
        likelihood: the meaning of the raw output.
        sigma: the standard deviation that the objective implies (`ElboLoss.sigma_x`); None means the likelihood's
            own.
        seed: the seed of the noise.
    """

    raw: Callable[..., Tensor]
    likelihood: Likelihood
    sigma: float | None
    seed: int

    @torch.no_grad()
    def __call__(
        self,
        z: Float[Tensor, "n d"],
        /,
        label: Int[Tensor, "n"] | None = None,
        context: Tensor | None = None,
    ) -> Float[Tensor, "n ..."]:
        """Return one x for each z; images are clipped to [0, 1], as they would be when stored."""
        raw = self.raw(z, label) if context is None else self.raw(z, label, context)
        x = drawn_rows(z, raw, self.likelihood.draw, sigma=self.sigma, seed=self.seed)
        return x.clamp(0, 1) if x.ndim == 4 else x


def drawn_rows(
    z: Float[Tensor, "n d"],
    given: Float[Tensor, "n ..."],
    draw: Callable[..., Float[Tensor, "1 ..."]],
    *,
    sigma: float | None,
    seed: int,
) -> Float[Tensor, "n ..."]:
    """Return one draw for each row, by the stream of (seed, its z), on the CPU.

    Args:
        z: the latents.
        given: the decoder's result for each: raw outputs, or means.
        draw: `Likelihood.draw` of raw outputs, `Likelihood.draw_at` of means.
        sigma: the standard deviation; None means the likelihood's own.
        seed: the seed of the noise.
    """
    rows = [
        draw(own[None], generator=x_stream(seed, row), sigma=sigma)
        for own, row in zip(given.cpu(), z.cpu(), strict=True)
    ]
    return torch.cat(rows)


def x_stream(seed: int, z: Float[Tensor, "d"]) -> torch.Generator:
    """Return the stream of the noise of x for one z."""
    return stream(seed, "x", hashlib.sha256(z.float().cpu().numpy().tobytes()).hexdigest())
