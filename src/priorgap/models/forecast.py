"""A VAE of futures: encoder and decoder are told the past of a window, and the decoder writes what follows it."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from priorgap.core.random import isolated
from priorgap.models.conditional import Given, first_affine
from priorgap.models.likelihoods import Likelihood
from priorgap.models.losses import LossTerms
from priorgap.models.networks import Architecture
from priorgap.models.traits import Traits
from priorgap.models.vae import VAE
from priorgap.priors.base import Prior


class AfterPast(Likelihood):
    """p(future | z, past), for raw output that has the window's past, as it is, before the future's raw output.

    The past is given, so that it costs nothing and is the same in means and draws.

    Attributes:
        likelihood: of the future.
        n_past: steps of the past.
    """

    def __init__(self, likelihood: Likelihood, n_past: int, n_steps: int | None = None) -> None:
        super().__init__()
        self.likelihood = likelihood
        self.n_past = n_past
        self._n_steps = n_steps

    @property
    def name(self) -> str:  # type: ignore[override]
        """The future's."""
        return self.likelihood.name

    @property
    def unit_interval(self) -> bool:  # type: ignore[override]
        """Whether x must be in [0, 1]."""
        return self.likelihood.unit_interval

    @property
    def absorbs_alpha(self) -> bool:  # type: ignore[override]
        """Whether a learned scale takes up any weight of the reconstruction."""
        return self.likelihood.absorbs_alpha

    @property
    def of_mean(self) -> bool:  # type: ignore[override]
        """Whether E[x|z] decides p(x|z)."""
        return self.likelihood.of_mean

    def for_shape(self, shape: tuple[int, ...]) -> "AfterPast":
        """Return the likelihood for windows of this shape."""
        future = (shape[0] - self.n_past, *shape[1:])
        return AfterPast(self.likelihood.for_shape(future), self.n_past, shape[0])

    def generated(self, n_dims: int) -> tuple[Likelihood, int]:
        """Return the future's likelihood, and how many of a window's n_dims values are in the future."""
        assert self._n_steps is not None
        return self.likelihood, n_dims // self._n_steps * (self._n_steps - self.n_past)

    def _split(self, x: Float[Tensor, "n t f"]) -> tuple[Tensor, Tensor]:
        return x[:, : self.n_past], x[:, self.n_past :]

    def reconstruction_loss(
        self, raw: Float[Tensor, "n ..."], x: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n"]:
        """Return that of the future."""
        return self.likelihood.reconstruction_loss(self._split(raw)[1], self._split(x)[1])

    def mean(self, raw: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return the past and E[future|z, past]."""
        past, future = self._split(raw)
        return torch.cat([past, self.likelihood.mean(future)], dim=1)

    def negative_log_likelihood(
        self, raw: Float[Tensor, "n ..."], x: Float[Tensor, "n ..."], *, sigma: float | None = None
    ) -> Float[Tensor, "n"]:
        """Return -log p(future|z, past)."""
        return self.likelihood.negative_log_likelihood(self._split(raw)[1], self._split(x)[1], sigma=sigma)

    @torch.no_grad()
    def draw(
        self, raw: Float[Tensor, "n ..."], *, generator: torch.Generator, sigma: float | None = None
    ) -> Float[Tensor, "n ..."]:
        """Return the past and a draw of the future."""
        past, future = self._split(raw.cpu())
        return torch.cat([past, self.likelihood.draw(future, generator=generator, sigma=sigma)], dim=1)

    @torch.no_grad()
    def draw_at(
        self, mean: Float[Tensor, "n ..."], *, generator: torch.Generator, sigma: float | None = None
    ) -> Float[Tensor, "n ..."]:
        """Return the past and a draw of the future around its mean."""
        past, future = self._split(mean)
        return torch.cat([past, self.likelihood.draw_at(future, generator=generator, sigma=sigma)], dim=1)


class _AfterPastDecoder(Given):
    """A decoder of futures given their pasts; its output is the past and then the future's raw output."""

    def __init__(
        self, layers: nn.Sequential, bias: Float[Tensor, "n width"], past: Float[Tensor, "n p f"]
    ) -> None:
        super().__init__(layers, bias)
        self._past = past

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._past, super().forward(x)], dim=1)


class ForecastVAE(VAE):
    """q(z|past, future), p(future|z, past) and p(z): z says what the past leaves open.

    The encoder reads the whole window. A network of its own reads the past and adds a bias to the output of the
    decoder's first affine layer, so that the decoder stays affine in z there and calibration folds the same columns
    as in a plain VAE. What is decoded is the whole window, the given past before the future: measures see whether the
    future goes on from its own past.

    **Source**: Sohn, Lee & Yan (2015), "Learning Structured Output Representation using Deep Conditional
    Generative Models"; here with p(z) instead of their p(z|past).

    Attributes:
        past: past -> bias of the decoder's first affine layer.
        n_past: steps of the past.
    """

    traits: ClassVar[Traits] = Traits(past=True)

    def __init__(
        self,
        encoder: nn.Sequential,
        decoder: nn.Sequential,
        likelihood: Likelihood,
        prior: Prior,
        shape: tuple[int, ...],
        past: nn.Sequential,
        n_past: int,
    ) -> None:
        super().__init__(encoder, decoder, likelihood, prior, shape)
        self.past = past
        self.n_past = n_past

    def context_of(self, x: Float[Tensor, "n t f"]) -> Float[Tensor, "n p f"]:
        """Return the pasts of windows."""
        return x[:, : self.n_past]

    def given(self, past: Float[Tensor, "n p f"]) -> VAE:
        """Return the VAE of these rows' pasts; it shares this model's weights."""
        decoder = _AfterPastDecoder(self.decoder, self.past(past), past)
        return VAE(self.encoder, decoder, self.likelihood, self.prior, self.shape)

    def _checked(self, past: Tensor | None) -> Tensor:
        expected = (self.n_past, *self.shape[1:])
        if past is None or tuple(past.shape[1:]) != expected:
            got = "none" if past is None else list(past.shape[1:])
            raise ValueError(
                f"the model is told a past: expected one of shape {list(expected)} for each row, got {got}"
            )
        return past

    def decode_raw(
        self, z: Float[Tensor, "n d"], past: Float[Tensor, "n p f"] | None = None
    ) -> Float[Tensor, "n t f"]:
        """Return the pasts and the decoder's raw output for what follows them.

        Raises:
            ValueError: a past is missing or of another shape.
        """
        return self.given(self._checked(past)).decode_raw(z)

    def decode(
        self, z: Float[Tensor, "n d"], past: Float[Tensor, "n p f"] | None = None
    ) -> Float[Tensor, "n t f"]:
        """Return the pasts and the mean of what follows them; raises as `decode_raw` does."""
        return self.likelihood.mean(self.decode_raw(z, past))

    def raw(
        self, z: Float[Tensor, "n d"], label: Int[Tensor, "n"] | None, context: Tensor | None = None
    ) -> Float[Tensor, "n t f"]:
        """Return the decoder's raw output for z with its pasts; raises as `decode_raw` does."""
        return self.decode_raw(z, context)

    def terms(self, x: Float[Tensor, "n t f"], noise: Float[Tensor, "n d"]) -> LossTerms:
        """Return the loss terms at z = mean + s * noise; the past is given, and no part of the reconstruction."""
        return self.given(self.context_of(x)).terms(x, noise)


def forecasting(
    vae: VAE, architecture: Architecture, n_past: int, *, generator: torch.Generator
) -> ForecastVAE:
    """Return the VAE of futures of a plain one's networks, whose decoder writes futures.

    Args:
        vae: the networks; its shape is that of whole windows, its likelihood an `AfterPast`.
        architecture: makes the network that reads the past.
        n_past: steps of the past.
        generator: draws that network's weights.
    """
    first = vae.decoder[first_affine(vae.decoder)]
    assert isinstance(first, nn.Linear)
    with isolated(generator):
        past = architecture.encoder((n_past, *vae.shape[1:]), first.out_features)
    return ForecastVAE(vae.encoder, vae.decoder, vae.likelihood, vae.prior, vae.shape, past, n_past)
