"""A conditional VAE: the label goes into the encoder and into the decoder."""

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from priorgap.core.random import isolated
from priorgap.models.likelihoods import Likelihood
from priorgap.models.losses import ElboLoss, LossTerms
from priorgap.models.traits import Traits
from priorgap.models.vae import VAE
from priorgap.priors.base import Prior
from priorgap.priors.vamp import VampPrior


@dataclass(frozen=True)
class Classes:
    """The number of training images in each class 0 .. n-1.

    Attributes:
        counts: one entry for each class of the data; 0 for a class without training images.
    """

    counts: tuple[int, ...]

    @classmethod
    def of(cls, label: Int[Tensor, "n"] | None, n_classes: int | None) -> Self | None:
        """Return the classes of a training split, None where it has no labels."""
        if label is None or n_classes is None:
            return None
        return cls(tuple(label.bincount(minlength=n_classes).tolist()))

    @property
    def frequencies(self) -> Float[Tensor, "n"]:
        """The share of each class, float64."""
        count = torch.tensor(self.counts, dtype=torch.float64)
        return count / count.sum()

    def check(self, label: Int[Tensor, "n"], what: str = "label") -> None:
        """Refuse labels that the model cannot use.

        Raises:
            ValueError: a label is out of range, or of a class without a training image; one line.
        """
        for value in label.unique().tolist():
            if not 0 <= value < len(self.counts):
                raise ValueError(f"{what}={value}: expected a class from 0 to {len(self.counts) - 1}")
            if self.counts[value] == 0:
                seen = ", ".join(str(c) for c, count in enumerate(self.counts) if count)
                raise ValueError(f"{what}={value}: a class that was never seen in training; expected {seen}")


class Given(nn.Sequential):
    """Layers whose first affine one adds a bias for each row, which equals a one-hot label appended to its input."""

    def __init__(self, layers: nn.Sequential, bias: Float[Tensor, "n width"]) -> None:
        super().__init__(*layers)
        self._first = first_affine(layers)
        self._bias = bias

    def forward(self, x: Tensor) -> Tensor:
        """Return the layers' output."""
        for i, layer in enumerate(self):
            x = layer(x)
            if i == self._first:
                # A convolution adds the bias of a channel at every position.
                x = x + self._bias.reshape(*self._bias.shape, *[1] * (x.ndim - 2))
        return x


def first_affine(layers: nn.Sequential) -> int:
    """Return the position of the first affine layer."""
    return next(i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear | nn.Conv2d))


def _class_bias(layers: nn.Sequential, n_classes: int) -> nn.Linear:
    weight = layers[first_affine(layers)].weight
    assert isinstance(weight, Tensor)
    return nn.Linear(n_classes, weight.shape[0], bias=False)


class ConditionalVAE(VAE):
    """q(z|x, y), p(x|z, y) and p(z), so that z need not encode the label.

    Each network's first affine layer adds a bias that depends on the label, which is the same as appending the
    one-hot label to the layer's input. The decoder stays affine in z there, so that calibration folds the same
    columns as in a plain VAE.

    **Source**: Sohn, Lee & Yan (2015), "Learning Structured Output Representation using Deep Conditional
    Generative Models"; here with p(z) instead of their p(z|y).

    Attributes:
        classes: the numbers of training images by class.
        encoder_class, decoder_class: one-hot label -> bias of the first layer.
    """

    traits: ClassVar[Traits] = Traits(conditional=True)

    def __init__(
        self,
        encoder: nn.Sequential,
        decoder: nn.Sequential,
        likelihood: Likelihood,
        prior: Prior,
        shape: tuple[int, ...],
        classes: Classes,
    ) -> None:
        super().__init__(encoder, decoder, likelihood, prior, shape)
        self.classes = classes
        self.encoder_class = _class_bias(encoder, len(classes.counts))
        self.decoder_class = _class_bias(decoder, len(classes.counts))

    def _checked(self, label: Int[Tensor, "n"] | None) -> Int[Tensor, "n"]:
        if label is None:
            raise ValueError("the model is conditional: expected a label for each row")
        self.classes.check(label)
        return label

    def given(self, label: Int[Tensor, "n"]) -> VAE:
        """Return the VAE for these rows' labels; it shares this model's weights."""
        one_hot = functional.one_hot(label, len(self.classes.counts)).to(self.encoder_class.weight.dtype)
        encoder = Given(self.encoder, self.encoder_class(one_hot))
        decoder = Given(self.decoder, self.decoder_class(one_hot))
        return VAE(encoder, decoder, self.likelihood, self.prior, self.shape)

    def encode(
        self, x: Float[Tensor, "n ..."], label: Int[Tensor, "n"] | None = None
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
        """Return mean and log-variance of q(z|x, y); deterministic.

        Raises:
            ValueError: a label is missing, out of range, or of a class without training images.
        """
        return self.given(self._checked(label)).encode(x)

    def decode_raw(
        self, z: Float[Tensor, "n d"], label: Int[Tensor, "n"] | None = None
    ) -> Float[Tensor, "n ..."]:
        """Return the decoder's raw output; raises as `encode` does."""
        return self.given(self._checked(label)).decode_raw(z)

    def decode(
        self, z: Float[Tensor, "n d"], label: Int[Tensor, "n"] | None = None
    ) -> Float[Tensor, "n ..."]:
        """Return the mean E[x|z, y]; raises as `encode` does."""
        return self.likelihood.mean(self.decode_raw(z, label))

    def raw(
        self, z: Float[Tensor, "n d"], label: Int[Tensor, "n"] | None, context: Tensor | None = None
    ) -> Float[Tensor, "n ..."]:
        """Return the decoder's raw output for z with its labels; raises as `encode` does."""
        return self.decode_raw(z, label)

    @property
    def class_frequencies(self) -> Float[Tensor, "n_classes"]:
        """The share of each class among the training images, float64."""
        return self.classes.frequencies

    def facts(self) -> dict[str, object]:
        """Return the number of training images in each class."""
        return {"class_counts": list(self.classes.counts)}

    def check_objective(self, loss: ElboLoss) -> None:
        """Check that loss and prior suit the model.

        Raises:
            ValueError: the prior's pseudo-inputs have no label; or as a plain VAE's.
        """
        if isinstance(self.prior, VampPrior):
            raise ValueError(
                "prior=vamp: its pseudo-inputs have no label, which a conditional encoder takes; "
                "expected another prior"
            )
        super().check_objective(loss)

    def terms(
        self, x: Float[Tensor, "n ..."], noise: Float[Tensor, "n d"], label: Int[Tensor, "n"] | None = None
    ) -> LossTerms:
        """Return the loss terms at z = mean + s * noise; raises as `encode` does."""
        return self.given(self._checked(label)).terms(x, noise)


def condition(vae: VAE, classes: Classes, *, generator: torch.Generator) -> ConditionalVAE:
    """Return a conditional VAE with a plain one's networks; the biases of the classes are drawn from `generator`."""
    with isolated(generator):
        return ConditionalVAE(vae.encoder, vae.decoder, vae.likelihood, vae.prior, vae.shape, classes)
