"""A variational autoencoder by composition: encoder, decoder, likelihood, prior."""

import math
from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from priorgap.core.random import isolated
from priorgap.models.affine import not_free
from priorgap.models.likelihoods import Likelihood
from priorgap.models.losses import ElboLoss, LossTerms
from priorgap.models.networks import Architecture
from priorgap.models.told_part import Part
from priorgap.models.traits import Traits
from priorgap.priors.base import Prior, PriorSpec
from priorgap.priors.standard_normal import StandardNormal


class VAE(nn.Module):
    """q(z|x) = N(mean, exp log_var), p(x|z) by a likelihood on the decoder's raw output, p(z) by a prior.

    Attributes:
        encoder: x -> [n, 2 d], means then log-variances.
        decoder: z -> raw [n, *shape].
        likelihood: what raw means.
        prior: p(z).
        shape: shape of one observation.
    """

    traits: ClassVar[Traits] = Traits()
    # The part of x that decoding is given (`told.ToldVAE`); a plain VAE is given nothing.
    part: Part | None = None

    def __init__(
        self,
        encoder: nn.Sequential,
        decoder: nn.Sequential,
        likelihood: Likelihood,
        prior: Prior,
        shape: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood
        self.prior = prior
        self.shape = tuple(shape)

    @property
    def latent_dim(self) -> int:
        """Dimension of z."""
        return self.prior.dim

    def encode(self, x: Float[Tensor, "n ..."]) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
        """Return the posterior's mean and log-variance; deterministic."""
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        return mean, log_var

    def decode_raw(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n ..."]:
        """Return the decoder's raw output, for the likelihood; deterministic."""
        found: Tensor = self.decoder(z)
        return found

    def decode(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n ..."]:
        """Return the mean E[x|z]; deterministic."""
        return self.likelihood.mean(self.decode_raw(z))

    @property
    def encoding(self) -> Callable[..., tuple[Tensor, Tensor | None]] | None:
        """The function that gives posteriors: `encode`; None for a model without an encoder."""
        return self.encode

    def raw(
        self, z: Float[Tensor, "n d"], label: Int[Tensor, "n"] | None, context: Tensor | None = None
    ) -> Float[Tensor, "n ..."]:
        """Return the decoder's raw output for z; this model ignores labels and contexts."""
        return self.decode_raw(z)

    def context_of(self, x: Float[Tensor, "n ..."]) -> Tensor | None:
        """Return what decoding needs of observations beside z and labels: nothing."""
        return None

    @property
    def class_frequencies(self) -> Float[Tensor, "n_classes"] | None:
        """The share of each class among the training images of a conditional model; None for others."""
        return None

    def facts(self) -> dict[str, object]:
        """Return facts beyond the weights and the configuration, as plain JSON types."""
        return {}

    def describe(self, loss: ElboLoss) -> str:
        """Return one line that says which objective the model is trained on."""
        return loss.describe(self.likelihood, math.prod(self.shape))

    def check_objective(self, loss: ElboLoss) -> None:
        """Check that a loss suits the model.

        Raises:
            ValueError: it does not; one line.
        """
        loss.check_prior(self.prior)

    def not_free_at_z(self) -> str | None:
        """Return why a shift and a scale of z cannot be folded into the networks; None where they can."""
        head, first = self.encoder[-1], self.decoder[0]
        if not isinstance(head, nn.Linear) or head.out_features != 2 * self.latent_dim:
            return (
                f"the encoder ends with {type(head).__name__}: expected an affine head, 2 x latent_dim wide"
            )
        if not isinstance(first, nn.Linear) or first.in_features != self.latent_dim:
            return f"the decoder starts with {type(first).__name__}: expected an affine layer on z"
        for what, layer in (("the encoder's head", head), ("the decoder's first layer", first)):
            reason = not_free(layer)
            if reason is not None:
                return f"{what} {reason}"
        return None

    def moments_may_differ(self, loss: ElboLoss, *, weight_decay: float) -> str | None:
        """Return why a converged model may keep a diagonal mismatch; None where it cannot.

        At an optimum of the ELBO with a prior N(0, I) each unit of q(z) has mean 0 and variance 1: otherwise the
        shift and scale that give it these moments would lower the rate at equal reconstructions. This assumes a shift
        and a scale that the networks can express at no cost.

        Args:
            loss: what the model was trained on.
            weight_decay: the weight decay of its optimiser, which makes the scale cost something.
        """
        if not isinstance(self.prior, StandardNormal):
            return f"the prior is {type(self.prior).__name__}, not N(0, I)"
        if loss.free_bits is not None:
            return f"loss.free_bits={loss.free_bits}: units below it have no reason to match the prior"
        if weight_decay > 0:
            return f"weight_decay={weight_decay:g}: the scale of z is chosen against the size of the weights"
        return self.not_free_at_z()

    def check_decode(self, rule: str) -> None:
        """Check that x can be computed from z by a decode rule; a VAE allows both the mean and a draw of p(x|z)."""

    def terms(self, x: Float[Tensor, "n ..."], noise: Float[Tensor, "n d"]) -> LossTerms:
        """Return the loss terms at z = mean + s * noise.

        The rate is the prior's closed form, or, where it has none, one unbiased draw of log q(z|x) - log p(z)
        as a single column.
        """
        mean, log_var = self.encode(x)
        std = (0.5 * log_var).exp()
        z = mean + std * noise
        rate = self.prior.kl(mean, log_var)
        if rate is None:
            log_q = -0.5 * (noise.square() + log_var).sum(1) - 0.5 * self.latent_dim * math.log(2 * math.pi)
            drawn = (log_q - self.prior.log_prob(z)).unsqueeze(1)
            return LossTerms(self.likelihood.reconstruction_loss(self.decode_raw(z), x), drawn, drawn=True)
        return LossTerms(self.likelihood.reconstruction_loss(self.decode_raw(z), x), rate)


def build_vae(
    architecture: Architecture,
    likelihood: Likelihood,
    prior: PriorSpec | None,
    shape: tuple[int, ...],
    *,
    generator: torch.Generator,
) -> VAE:
    """Build a VAE whose weights are drawn from `generator`; global random state is untouched.

    Args:
        architecture: sizes of the networks.
        likelihood: p(x|z); options that depend on the kind of data are resolved here.
        prior: p(z), of the architecture's latent dimension; None is the standard normal.
        shape: shape of one observation.
        generator: draws the initial weights, those of a learned prior last.

    Raises:
        ValueError: the prior has another dimension, or the architecture does not take this shape.
    """
    spec: PriorSpec = StandardNormal(architecture.latent_dim) if prior is None else prior
    if spec.dim != architecture.latent_dim:
        raise ValueError(f"prior of dimension {spec.dim}: expected latent_dim={architecture.latent_dim}")
    with isolated(generator):
        encoder, decoder = architecture.build(tuple(shape))
        law = spec.build(encoder, tuple(shape))
    return VAE(encoder, decoder, likelihood.for_shape(tuple(shape)), law, tuple(shape))


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], origin: str = "weights") -> None:
    """Copy named tensors into a model.

    Raises:
        ValueError: a name is missing, unknown, or has another shape; the line names `origin` and the tensor.
    """
    expected = model.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors:
            raise ValueError(f"{origin}: no tensor {name}: it belongs to another model")
        if name not in expected:
            raise ValueError(f"{origin}: unknown tensor {name}: it belongs to another model")
        if tensors[name].shape != expected[name].shape:
            raise ValueError(
                f"{origin}: {name} has shape {tuple(tensors[name].shape)}, "
                f"the model expects {tuple(expected[name].shape)}"
            )
    model.load_state_dict(dict(tensors))
