"""A VAE that is given a part of x: encoder and decoder know it, and the decoder generates the rest."""

import math
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from priorgap.core.random import isolated
from priorgap.models.conditional import Given, first_affine
from priorgap.models.likelihoods import Likelihood
from priorgap.models.losses import LossTerms
from priorgap.models.networks import Architecture
from priorgap.models.told_part import Part
from priorgap.models.traits import Traits
from priorgap.models.vae import VAE, build_vae
from priorgap.priors.base import Prior, PriorSpec


class RestLikelihood(Likelihood):
    """p(rest | z, part), for raw output in which the given part of x stands unchanged in its place.

    The part adds nothing to the loss, and is the same in means and draws.

    Attributes:
        likelihood: the likelihood of the rest.
        part: the part that is given.
    """

    def __init__(self, likelihood: Likelihood, part: Part) -> None:
        super().__init__()
        self.likelihood = likelihood
        self.part = part

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name of the rest's likelihood."""
        return self.likelihood.name

    @property
    def unit_interval(self) -> bool:  # type: ignore[override]
        """Whether x must be in [0, 1]."""
        return self.likelihood.unit_interval

    @property
    def absorbs_alpha(self) -> bool:  # type: ignore[override]
        """Whether a learned scale compensates any weight of the reconstruction."""
        return self.likelihood.absorbs_alpha

    @property
    def of_mean(self) -> bool:  # type: ignore[override]
        """Whether E[x|z] determines p(x|z)."""
        return self.likelihood.of_mean

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        """Whether `mean` has a gradient."""
        return self.likelihood.smooth

    def for_shape(self, shape: tuple[int, ...]) -> "RestLikelihood":
        """Return the likelihood with options that depend on the rest's shape resolved."""
        return RestLikelihood(self.likelihood.for_shape(self.part.rest_shape), self.part)

    def generated(self, n_dims: int) -> tuple[Likelihood, int]:
        """Return the rest's likelihood, and the number of values in the rest."""
        return self.likelihood, math.prod(self.part.rest_shape)

    def reconstruction_loss(
        self, raw: Float[Tensor, "n ..."], x: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n"]:
        """Return the reconstruction loss of the rest."""
        return self.likelihood.reconstruction_loss(self.part.rest(raw), self.part.rest(x))

    def _with_part(self, whole: Tensor, rest: Tensor) -> Tensor:
        return self.part.joined(self.part.of(whole), rest)

    def mean(self, raw: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return the part and the mean of the rest."""
        return self._with_part(raw, self.likelihood.mean(self.part.rest(raw)))

    def expectation(self, raw: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return the part and E[rest|z, part]."""
        return self._with_part(raw, self.likelihood.expectation(self.part.rest(raw)))

    def negative_log_likelihood(
        self, raw: Float[Tensor, "n ..."], x: Float[Tensor, "n ..."], *, sigma: float | None = None
    ) -> Float[Tensor, "n"]:
        """Return -log p(rest|z, part)."""
        return self.likelihood.negative_log_likelihood(self.part.rest(raw), self.part.rest(x), sigma=sigma)

    @torch.no_grad()
    def draw(
        self, raw: Float[Tensor, "n ..."], *, generator: torch.Generator, sigma: float | None = None
    ) -> Float[Tensor, "n ..."]:
        """Return the part and a draw of the rest."""
        raw = raw.cpu()
        drawn = self.likelihood.draw(self.part.rest(raw), generator=generator, sigma=sigma)
        return self._with_part(raw, drawn)

    @torch.no_grad()
    def draw_at(
        self, mean: Float[Tensor, "n ..."], *, generator: torch.Generator, sigma: float | None = None
    ) -> Float[Tensor, "n ..."]:
        """Return the part and a draw of the rest around its mean."""
        drawn = self.likelihood.draw_at(self.part.rest(mean), generator=generator, sigma=sigma)
        return self._with_part(mean, drawn)


class _RestDecoder(Given):
    """A decoder of the rest, given the part; its output is the part and the rest's raw output."""

    def __init__(
        self, layers: nn.Sequential, bias: Float[Tensor, "n width"], part: Part, own: Tensor
    ) -> None:
        super().__init__(layers, bias)
        self._part = part
        self._own = own

    def forward(self, x: Tensor) -> Tensor:
        return self._part.joined(self._own, super().forward(x))


class ToldVAE(VAE):
    """q(z|x), p(rest|z, part) and p(z), where a part of x is given, so that z encodes only what the part leaves open.

    The encoder reads the whole of x. A network of its own reads the part and adds a bias to the output of the
    decoder's first affine layer, so that the decoder stays affine in z there and calibration folds the same columns
    as in a plain VAE. The decoded x includes the part as it was given, so that measures can tell whether the rest
    fits its part.

    **Source**: Sohn, Lee & Yan (2015), "Learning Structured Output Representation using Deep Conditional
    Generative Models"; here with p(z) instead of their p(z|part).

    Attributes:
        part: the part that is given.
    """

    part: Part

    def __init__(
        self,
        encoder: nn.Sequential,
        decoder: nn.Sequential,
        likelihood: Likelihood,
        prior: Prior,
        shape: tuple[int, ...],
        reader: nn.Sequential,
        part: Part,
    ) -> None:
        super().__init__(encoder, decoder, likelihood, prior, shape)
        self.add_module(part.name, reader)
        self.part = part

    @property
    def traits(self) -> Traits:  # type: ignore[override]
        """The traits of a VAE that is given the part."""
        return Traits(told=self.part.told)

    @property
    def reader(self) -> nn.Sequential:
        """The network that maps the part to a bias of the decoder's first affine layer."""
        return cast(nn.Sequential, self.get_submodule(self.part.name))

    def context_of(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return the given part of rows."""
        return self.part.of(x)

    def given(self, own: Float[Tensor, "n ..."]) -> VAE:
        """Return the VAE for these rows' parts; it shares this model's weights."""
        decoder = _RestDecoder(self.decoder, self.reader(own), self.part, own)
        return VAE(self.encoder, decoder, self.likelihood, self.prior, self.shape)

    def _checked(self, own: Tensor | None) -> Tensor:
        expected = self.part.shape
        if own is None or tuple(own.shape[1:]) != expected:
            got = "none" if own is None else list(own.shape[1:])
            raise ValueError(
                f"the model is told {self.part.told.one}: expected one of shape {list(expected)} for each row, "
                f"got {got}"
            )
        return own

    def decode_raw(
        self, z: Float[Tensor, "n d"], own: Float[Tensor, "n ..."] | None = None
    ) -> Float[Tensor, "n ..."]:
        """Return the given parts and the decoder's raw output for the rest.

        Raises:
            ValueError: a part is missing or of another shape.
        """
        return self.given(self._checked(own)).decode_raw(z)

    def decode(
        self, z: Float[Tensor, "n d"], own: Float[Tensor, "n ..."] | None = None
    ) -> Float[Tensor, "n ..."]:
        """Return the given parts and the mean of the rest; raises as `decode_raw` does."""
        return self.likelihood.mean(self.decode_raw(z, own))

    def raw(
        self, z: Float[Tensor, "n d"], label: Int[Tensor, "n"] | None, context: Tensor | None = None
    ) -> Float[Tensor, "n ..."]:
        """Return the decoder's raw output for z with its parts; raises as `decode_raw` does."""
        return self.decode_raw(z, context)

    def terms(self, x: Float[Tensor, "n ..."], noise: Float[Tensor, "n d"]) -> LossTerms:
        """Return the loss terms at z = mean + s * noise; the given part is not reconstructed."""
        return self.given(self.context_of(x)).terms(x, noise)


@dataclass(frozen=True)
class _Rest:
    """An architecture whose encoder reads the whole of x and whose decoder generates the rest."""

    architecture: Architecture
    part: Part

    @property
    def latent_dim(self) -> int:
        return self.architecture.latent_dim

    def build(self, shape: tuple[int, ...]) -> tuple[nn.Sequential, nn.Sequential]:
        return self.encoder(shape, 2 * self.latent_dim), self.decoder(shape)

    def encoder(self, shape: tuple[int, ...], n_outputs: int) -> nn.Sequential:
        return self.architecture.encoder(shape, n_outputs)

    def decoder(self, shape: tuple[int, ...]) -> nn.Sequential:
        return self.architecture.decoder(self.part.rest_shape)


def build_told_vae(
    architecture: Architecture,
    likelihood: Likelihood,
    prior: PriorSpec | None,
    shape: tuple[int, ...],
    part: Part,
    *,
    generator: torch.Generator,
) -> ToldVAE:
    """Return a VAE that is given a part of x.

    Args:
        architecture: sizes of encoder, decoder and the network that reads the part.
        likelihood: the likelihood of the rest.
        prior: p(z); None is the standard normal.
        shape: the shape of the whole of x.
        part: the part that is given.
        generator: draws the initial weights, those of the network that reads the part last.
    """
    law = RestLikelihood(likelihood, part)
    vae = build_vae(_Rest(architecture, part), law, prior, shape, generator=generator)
    first = vae.decoder[first_affine(vae.decoder)]
    assert isinstance(first, nn.Linear)
    with isolated(generator):
        reader = architecture.encoder(part.shape, first.out_features)
    return ToldVAE(vae.encoder, vae.decoder, vae.likelihood, vae.prior, vae.shape, reader, part)
