"""A trained model as functions: the interface that all steps of an evaluation use."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.core.batched_calls import Decode, Encode, decode_all, encode_all
from priorgap.core.contexts import ContextRows, Contexts
from priorgap.core.latents import LatentDraw, Latents
from priorgap.data.splits import Split
from priorgap.modalities import Modality
from priorgap.priors.base import Prior


@dataclass(frozen=True, eq=False)
class ModelFunctions:
    """The functions that encode and decode, and the distribution of z used in training.

    Attributes:
        encode: x -> mean and log-variance, given labels and contexts where it takes them; None without an encoder.
        decode: z -> x, given labels and contexts where it takes them: the mean of p(x|z), or a draw.
        prior: p(z), on the CPU; None stands for N(0, I) where `has_prior`.
        has_prior: whether there is a distribution p(z); a plain autoencoder has none.
        class_frequencies: for a conditional model, the share of each class in training; else None.
        encode_batch, decode_batch: the fixed batch sizes; results depend on them in the last bits.
        device: where encode takes its images.
        contexts: the contexts that the model takes beside x and z; None for a model without contexts.
        expected: like decode, but always E[x|z]; None: only decode is known.
    """

    encode: Encode | None
    decode: Decode
    prior: Prior | None
    has_prior: bool
    class_frequencies: Float[Tensor, "n_classes"] | None
    encode_batch: int
    decode_batch: int
    device: str = "cpu"
    contexts: Contexts | None = None
    expected: Decode | None = None

    @property
    def conditional(self) -> bool:
        """Whether every draw needs a label."""
        return self.class_frequencies is not None

    def posteriors(self, split: Split) -> Latents:
        """Return the posteriors of a split, in fixed batches, on the CPU.

        Raises:
            ValueError: the model has no encoder, or its result has an unexpected shape or value.
        """
        if self.encode is None:
            raise ValueError("the model has no encoder")
        return encode_all(
            self.encode,
            lambda rows: split.batch(rows, torch.device(self.device)),
            len(split),
            batch=self.encode_batch,
            label=split.label,
            context=self._told(split.context),
        )

    def posterior_means(self, split: Split) -> Float[Tensor, "n d"]:
        """Return the posterior means of a split."""
        return self.posteriors(split).mean.cpu()

    def decoded(
        self,
        z: Float[Tensor, "n d"],
        label: Int[Tensor, "n"] | None = None,
        context: Int[Tensor, "n"] | None = None,
    ) -> Float[Tensor, "n ..."]:
        """Return x for each z, decoded in fixed batches, on the CPU.

        Args:
            z: latents.
            label: their classes.
            context: the numbers of their contexts.

        Raises:
            ValueError: decode's result has an unexpected shape or value.
        """
        return decode_all(self.decode, z, batch=self.decode_batch, label=label, context=self._told(context))

    def expectation(
        self,
        z: Float[Tensor, "n d"],
        label: Int[Tensor, "n"] | None = None,
        context: Int[Tensor, "n"] | None = None,
    ) -> Float[Tensor, "n ..."]:
        """Return E[x|z] for each z; where only `decode` is known, its result."""
        decode = self.expected or self.decode
        return decode_all(decode, z, batch=self.decode_batch, label=label, context=self._told(context))

    def preview(self, draws: Latents | LatentDraw, modality: Modality) -> Tensor:
        """Return the first draws decoded, in the stored form of data: as many as a report shows."""
        z = draws.mean if isinstance(draws, Latents) else draws.z
        rows = slice(modality.n_shown)
        label, context = (None if one is None else one[rows] for one in (draws.label, draws.context))
        return modality.stored(self.decoded(z[rows], label, context))

    def _told(self, context: Int[Tensor, "n"] | None) -> ContextRows | None:
        return None if self.contexts is None or context is None else ContextRows(self.contexts, context)
