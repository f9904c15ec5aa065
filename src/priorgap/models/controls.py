"""Two controls beside the VAE: an autoencoder (no noise, no prior) and a GAN with the same decoder (no encoder)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from priorgap.models.likelihoods import Likelihood
from priorgap.models.losses import ElboLoss, LossTerms
from priorgap.models.told_part import Part
from priorgap.models.traits import Traits
from priorgap.priors.standard_normal import StandardNormal


class Autoencoder(nn.Module):
    """x -> code -> raw: a deterministic encoder, and no distribution of z.

    Attributes:
        encoder: x -> [n, d].
        decoder: z -> raw [n, *shape].
        likelihood: what raw means.
        latent_dim: d.
        shape: shape of one observation.
    """

    traits: ClassVar[Traits] = Traits(log_var=False, prior=False)
    # No part of x is given to the decoder (`vae.VAE.part`).
    part: Part | None = None
    prior: ClassVar[None] = None

    def __init__(
        self,
        encoder: nn.Sequential,
        decoder: nn.Sequential,
        likelihood: Likelihood,
        latent_dim: int,
        shape: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood
        self.latent_dim = latent_dim
        self.shape = tuple(shape)

    def encode(self, x: Float[Tensor, "n ..."]) -> tuple[Float[Tensor, "n d"], None]:
        """Return the code, and no log-variance."""
        return self.encoder(x), None

    def decode_raw(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n ..."]:
        """Return the decoder's raw output, for the likelihood."""
        found: Tensor = self.decoder(z)
        return found

    def decode(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n ..."]:
        """Return the mean E[x|z]."""
        return self.likelihood.mean(self.decode_raw(z))

    @property
    def encoding(self) -> Callable[..., tuple[Tensor, None]]:
        """The function that gives codes: `encode`."""
        return self.encode

    def raw(
        self, z: Float[Tensor, "n d"], label: Int[Tensor, "n"] | None, context: Tensor | None = None
    ) -> Float[Tensor, "n ..."]:
        """Return the decoder's raw output; labels are ignored."""
        return self.decode_raw(z)

    def context_of(self, x: Float[Tensor, "n ..."]) -> Tensor | None:
        """Return what decoding needs of observations beside z and labels: nothing."""
        return None

    @property
    def class_frequencies(self) -> None:
        """None: the model is not conditional."""
        return None

    def facts(self) -> dict[str, object]:
        """Return facts beyond the weights and the configuration: none."""
        return {}

    def describe(self, loss: ElboLoss) -> str:
        """Return one line that says which objective the model is trained on."""
        line = loss.describe(self.likelihood, math.prod(self.shape))
        return f"{line}; no prior: beta has no effect"

    def moments_may_differ(self, loss: ElboLoss, *, weight_decay: float) -> str | None:
        """Return why a converged model may keep a diagonal mismatch: it has no prior to match."""
        return "an autoencoder's codes have no reason to match a prior"

    def check_objective(self, loss: ElboLoss) -> None:
        """Check that a loss suits the model.

        Raises:
            ValueError: it has free bits, but the model has no KL.
        """
        if loss.free_bits is not None:
            raise ValueError(
                f"loss.free_bits={loss.free_bits}: the model is trained without a KL; expected null"
            )

    def check_decode(self, rule: str) -> None:
        """Check that x can be computed from z by a decode rule; both are allowed."""

    def terms(self, x: Float[Tensor, "n ..."], noise: Float[Tensor, "n d"]) -> LossTerms:
        """Return the reconstruction loss and a rate of 0: there is no prior, and the noise is not used."""
        raw = self.decode_raw(self.encode(x)[0])
        return LossTerms(self.likelihood.reconstruction_loss(raw, x), torch.zeros_like(noise))


@dataclass(frozen=True)
class Adversary:
    """How the discriminator is trained.

    Attributes:
        r1: weight of the discriminator's squared gradient at real data, halved in the loss; 0 leaves it out.
        betas: Adam's, for both networks.
    """

    r1: float
    betas: tuple[float, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        if not 0 <= self.r1 < float("inf"):
            raise ValueError(f"r1={self.r1}: expected a number of at least 0")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas={list(self.betas)}: expected two numbers from 0 to below 1")


class GAN(nn.Module):
    """The VAE's decoder, trained against a discriminator that is the encoder's mirror with one logit.

    z is always drawn from p(z): there is no encoder, so there are no posteriors.

    **Source**: Goodfellow et al. (2014), "Generative Adversarial Nets", the non-saturating loss; Mescheder,
    Geiger & Nowozin (2018), "Which Training Methods for GANs do actually Converge?", the R1 penalty.

    Attributes:
        decoder: z -> raw [n, *shape].
        discriminator: x -> [n, 1].
        likelihood: what raw means; its mean is the generated sample.
        prior: N(0, I).
        adversary: how the discriminator is trained.
        shape: shape of one observation.
    """

    traits: ClassVar[Traits] = Traits(encoder=False, log_var=False)
    # No part of x is given to the decoder (`vae.VAE.part`).
    part: Part | None = None

    def __init__(
        self,
        decoder: nn.Sequential,
        discriminator: nn.Sequential,
        likelihood: Likelihood,
        latent_dim: int,
        adversary: Adversary,
        shape: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.discriminator = discriminator
        self.likelihood = likelihood
        self.prior = StandardNormal(latent_dim)
        self.adversary = adversary
        self.shape = tuple(shape)

    @property
    def latent_dim(self) -> int:
        """Dimension of z."""
        return self.prior.dim

    def decode_raw(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n ..."]:
        """Return the decoder's raw output."""
        found: Tensor = self.decoder(z)
        return found

    def decode(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n ..."]:
        """Return the generated sample."""
        return self.likelihood.mean(self.decode_raw(z))

    @property
    def encoding(self) -> None:
        """None: there is no encoder."""
        return None

    def raw(
        self, z: Float[Tensor, "n d"], label: Int[Tensor, "n"] | None, context: Tensor | None = None
    ) -> Float[Tensor, "n ..."]:
        """Return the decoder's raw output; labels are ignored."""
        return self.decode_raw(z)

    def context_of(self, x: Float[Tensor, "n ..."]) -> Tensor | None:
        """Return what decoding needs of observations beside z and labels: nothing."""
        return None

    @property
    def class_frequencies(self) -> None:
        """None: the model is not conditional."""
        return None

    def facts(self) -> dict[str, object]:
        """Return facts beyond the weights and the configuration: none."""
        return {}

    def describe(self, loss: ElboLoss) -> str:
        """Return one line that says which objective the model is trained on."""
        return f"a GAN, r1={self.adversary.r1:g}: alpha and beta have no effect"

    def moments_may_differ(self, loss: ElboLoss, *, weight_decay: float) -> str | None:
        """Return why a converged model may keep a diagonal mismatch: a GAN has no posterior to match a prior."""
        return "a GAN has no posterior to match a prior"

    def check_objective(self, loss: ElboLoss) -> None:
        """Check that a loss suits the model.

        Raises:
            ValueError: it has free bits, but the model has no KL.
        """
        if loss.free_bits is not None:
            raise ValueError(
                f"loss.free_bits={loss.free_bits}: the model is trained without a KL; expected null"
            )
        loss.check_prior(self.prior)

    def check_decode(self, rule: str) -> None:
        """Check that x can be computed from z by a decode rule.

        Raises:
            ValueError: the rule is a draw, which needs p(x|z).
        """
        if rule != "mean":
            raise ValueError(f"decode={rule}: a GAN has no p(x|z) to draw from; expected mean")

    def discriminator_terms(
        self, x: Float[Tensor, "n ..."], fake: Float[Tensor, "n ..."]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Return -E log D(x) - E log(1 - D(fake)), nats (2 log 2 at chance level), and E |grad D(x)|^2."""
        real = x.detach().requires_grad_()
        logit = self.discriminator(real)
        loss = functional.softplus(-logit).mean() + functional.softplus(self.discriminator(fake)).mean()
        (gradient,) = torch.autograd.grad(logit.sum(), real, create_graph=True)
        return loss, gradient.square().flatten(1).sum(1).mean()

    def generator_loss(self, fake: Float[Tensor, "n ..."]) -> Float[Tensor, ""]:
        """Return -E log D(fake), nats."""
        return functional.softplus(-self.discriminator(fake)).mean()
