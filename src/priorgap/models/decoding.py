"""Decoding by drawing x ~ p(x|z) instead of returning the mean."""

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

    The noise of a row comes from a stream of (seed, that z): whatever batch, order or size a row is decoded in,
    it gives the same x, so that pictures, measures and generated data agree. Equal z give equal x.

    Attributes:
        raw: z and its label (None without one) -> the decoder's raw output, on any device.
        likelihood: what it means.
        sigma: the standard deviation that the objective implies (`ElboLoss.sigma_x`); None is the likelihood's own.
        seed: of the noise.
    """

    raw: Callable[[Tensor, Tensor | None], Tensor]
    likelihood: Likelihood
    sigma: float | None
    seed: int

    @torch.no_grad()
    def __call__(
        self, z: Float[Tensor, "n d"], /, label: Int[Tensor, "n"] | None = None
    ) -> Float[Tensor, "n ..."]:
        """Return one x for each z; images are clipped to [0, 1], as they would be when stored."""
        raw = self.raw(z, label).cpu()
        names = [hashlib.sha256(row.tobytes()).hexdigest() for row in z.float().cpu().numpy()]
        rows = [
            self.likelihood.draw(own[None], generator=stream(self.seed, "x", name), sigma=self.sigma)
            for own, name in zip(raw, names, strict=True)
        ]
        x = torch.cat(rows)
        return x.clamp(0, 1) if x.ndim == 4 else x
