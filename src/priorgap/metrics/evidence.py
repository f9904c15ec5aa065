"""The evidence that metrics use: a model's posteriors and decoder, the real data, and one sampler's draws.

Expensive parts (decoding, features, searches) are computed when a metric first needs them, and cached.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from priorgap.core.latents import LatentDraw, Latents
from priorgap.data.splits import Split
from priorgap.estimators.checks import NotFinite
from priorgap.estimators.gaussian import standard_normal_log_prob
from priorgap.features.maps import extract
from priorgap.metrics.reference import Reference
from priorgap.priors.base import Prior
from priorgap.priors.standard_normal import StandardNormal

# Takes the numbers of contexts as a third argument where there are any.
Decode = Callable[..., Tensor]
LogLikelihood = Callable[[Tensor, Tensor], Tensor]
Encode = Callable[[Split], Tensor]

# The reasons go from general to specific: without reference data there is no floor either.
_REASONS = {
    "encoder": "the model has no encoder",
    "prior": "the model has no prior",
    "train": "there are no training posteriors",
    "validation": "there are no validation posteriors",
    "test": "there are no test posteriors",
    "log_var": "the encoder gives no log_var",
    "standard_normal": "defined for the standard-normal prior only",
    "decode": "there is no decoder",
    "encode": "there is no encoder",
    "reference": "there are no reference data",
    "features": "there are no reference data",
    "sequences": "the observations are no series",
    "table": "the observations are no rows of a table",
    "values": "the observations are images",
    "floor": "the reference has no real-against-real floor",
    "labels": "the data have no labels, or one class only",
    "classifiers": "the reference has no labeller and judge (the data have no labels)",
    "distortion": "there are no per-image distortions",
    "log_likelihood": "log p(x|z) of the test images is not known",
    "draw": "there are no draws of a sampler",
    "label_source": "unlabelled: the sampler's draws carry no label of their own",
}
_NOT_FINITE = "decode gave values that are not finite"
# A latent unit beyond this value is outside of every distribution under study, and its squares overflow.
_EXPLODED = 1e6
_OF_ENCODER = ("train", "validation", "test", "log_var")
NAMES = tuple(_REASONS)


class NotApplicable(ValueError):  # noqa: N818
    """This measure cannot be computed from this evidence; the message is the reason, in one line."""


@dataclass(frozen=True, eq=False)
class ModelEvidence:
    """Everything that is known of one model, shared by the evidence of its samplers. None means missing.

    Attributes:
        train, validation, test: posteriors, in the order of the reference's images; all three are None for a model
        without an encoder.
        prior: the model's prior; None stands for N(0, I).
        decode: (z [n, d], label [n] or None) -> decoded means [n, ...], images in [0, 1], on the CPU. It splits any n
            into batches of a fixed size. For a model that takes contexts it gets their numbers as a third argument.
        expected: like decode, but always E[x|z]; None: the result of decode is used instead.
        reference: the real data, with everything computed from them alone.
        distortion: -log p(x|z) of each test image with its normaliser, nats; one draw of z for each image.
        distortion_sse: squared error of each test image, summed over its dimensions.
        log_likelihood: (z [m, d], rows [m]) -> log p(x|z) of these test images with its normaliser, nats;
            differentiable in z.
        encode: maps decoded draws in the stored form of data to their posterior means [n, d], on the CPU.
        seed: seeds the draws that the evidence makes itself (of posteriors, for copying and reconstruction).
        heldout_exchangeable: whether the validation images are a random part of the pool that the training
            images came from. None: not known; then the null value of memorisation_auc is unknown. False, as for time
            series: then the null value of every measure of closeness is unknown.
        has_prior: whether the model has a distribution p(z); a plain autoencoder has none.
    """

    train: Latents | None = None
    validation: Latents | None = None
    test: Latents | None = None
    prior: Prior | None = None
    decode: Decode | None = None
    reference: Reference | None = None
    distortion: Float[Tensor, "n_test"] | None = None
    distortion_sse: Float[Tensor, "n_test"] | None = None
    log_likelihood: LogLikelihood | None = None
    seed: int = 0
    heldout_exchangeable: bool | None = True
    has_prior: bool = True
    encode: Encode | None = None
    expected: Decode | None = None
    # Results that several metrics share, computed by the first that needs them, each under a name of its own.
    memo: dict[tuple[str, int], Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.reference is None:
            return
        for part in ("train", "validation", "test"):
            latents, split = getattr(self, part), getattr(self.reference, part)
            if latents is not None and len(latents) != len(split):
                raise ValueError(
                    f"{part} has {len(latents)} posteriors: expected one for each of {len(split)} images"
                )

    def alone(self) -> "Evidence":
        """Return the evidence of the model without a sampler, for metrics of scope model."""
        return Evidence(self)

    def of(self, sampler: str, role: str, draw: LatentDraw, *, label_source: str = "") -> "Evidence":
        """Return the evidence of one sampler's draws.

        Args:
            sampler: the sampler's name.
            role: candidate, control or specimen.
            draw: all draws for quality measures, made once.
            label_source: `Sampler.label_source`; ignored where the draws carry no label.
        """
        return Evidence(self, sampler, role, draw, label_source if draw.label is not None else "")

    def decoded(
        self,
        z: Float[Tensor, "n d"],
        label: Int[Tensor, "n"] | None = None,
        context: Int[Tensor, "n"] | None = None,
    ) -> Split:
        """Return decoded draws in the stored form of data.

        Raises:
            ValueError: there is no decoder or no reference, or the decoder's result has a wrong shape.
            NotApplicable: the decoder's values are not finite, because the model has diverged or these draws are too
                far out.
        """
        return self._as_stored(self.decode, z, label, context)

    def _as_stored(
        self,
        decode: Decode | None,
        z: Float[Tensor, "n d"],
        label: Int[Tensor, "n"] | None,
        context: Int[Tensor, "n"] | None,
    ) -> Split:
        if decode is None or self.reference is None:
            raise ValueError(_REASONS["decode"] if decode is None else _REASONS["reference"])
        expected = (len(z), *self.reference.train.shape)
        try:
            with torch.no_grad():
                x = decode(z, *conditions(label, context))
        except NotFinite as error:
            raise NotApplicable(_NOT_FINITE) from error
        if tuple(x.shape) != expected:
            raise ValueError(f"decode gave {tuple(x.shape)}: expected {expected}")
        if not bool(torch.isfinite(x).all()):
            raise NotApplicable(_NOT_FINITE)
        real = self.reference.train
        return real.alike(real.modality.stored(x), label, context)

    @cached_property
    def not_finite(self) -> Mapping[str, str]:
        """Maps the parts whose posteriors are not finite to the reason why they cannot be used."""
        found = {}
        for part in ("train", "validation", "test"):
            latents: Latents | None = getattr(self, part)
            if latents is not None:
                n = int((~_finite_rows(latents)).sum())
                if n:
                    found[part] = f"{n} of {len(latents)} {part} posteriors are not finite"
        return found

    @cached_property
    def exploded(self) -> str | None:
        """Return the reason where posteriors are finite, but so wide that sums over them are not; else None."""
        for part in ("train", "validation", "test"):
            latents: Latents | None = getattr(self, part)
            if latents is None:
                continue
            size = float(latents.mean.abs().max())
            if latents.log_var is not None:
                size = max(size, float((0.5 * latents.log_var.double()).exp().max()))
            if size > _EXPLODED:
                return f"the {part} posteriors have exploded (they reach to {size:.2g})"
        return None

    def log_prior(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return log p(z) of the model's prior, nats, float64."""
        if self.prior is None:
            return standard_normal_log_prob(z)
        with torch.no_grad():
            return self.prior.log_prob(z.double()).double()

    @cached_property
    def test_reconstructions(self) -> Split:
        """The test images reconstructed from their posterior means, in the stored form of data."""
        if self.test is None:
            raise ValueError(_REASONS["test"])
        return self.decoded(self.test.mean.float(), self.test.label, self.test.context)

    @cached_property
    def test_expectations(self) -> Split:
        """E[x|z] at the posterior means of the test observations, in the stored form of data."""
        if self.test is None:
            raise ValueError(_REASONS["test"])
        decode = self.expected or self.decode
        return self._as_stored(decode, self.test.mean.float(), self.test.label, self.test.context)

    @cached_property
    def reconstruction_features(self) -> Float[Tensor, "n D"]:
        """Features of the validation images' reconstructions, decoded from their posterior means."""
        if self.validation is None or self.reference is None:
            raise ValueError("reconstructions need validation posteriors and the reference")
        x = self.decoded(self.validation.mean.float(), self.validation.label, self.validation.context)
        return extract(self.reference.feature_map, x.x)


def conditions(label: Int[Tensor, "n"] | None, context: Int[Tensor, "n"] | None) -> tuple[Tensor | None, ...]:
    """Return the decoder's inputs other than z: the label, and the context if there is one."""
    return (label,) if context is None else (label, context)


def _finite_rows(latents: Latents) -> Bool[Tensor, "n"]:
    rows = torch.isfinite(latents.mean).all(1)
    return rows if latents.log_var is None else rows & torch.isfinite(latents.log_var).all(1)


@dataclass(frozen=True, eq=False)
class Evidence:
    """A model, and the draws of one of its samplers (none for metrics of scope model).

    Build it with `ModelEvidence.of` or `ModelEvidence.alone`.

    Attributes:
        model: the evidence of the model.
        sampler, role: the sampler's name and role.
        draw: its draws of z, with their labels where it has them.
        label_source: the origin of these labels: source, condition, or "" for none.
    """

    model: ModelEvidence
    sampler: str = ""
    role: str = ""
    draw: LatentDraw | None = None
    label_source: str = ""

    def lacks(self, name: str) -> str | None:
        """Return why the evidence with this name is missing; None if it is present.

        Names: encoder, prior (a distribution p(z)), train, validation, test (posteriors), log_var, standard_normal
        (the prior is N(0, I)), decode, encode, reference, features (the measure depends on the feature space),
        sequences (observations are series), table (they are rows of a table), values (they are numbers, not images),
        floor, labels, classifiers, distortion, log_likelihood, draw, label_source.

        Raises:
            KeyError: no evidence has such a name.
        """
        model, reference = self.model, self.model.reference
        given = [x for x in (model.train, model.validation, model.test) if x is not None]
        present = {
            "encoder": bool(given),
            "prior": model.has_prior,
            "train": model.train is not None,
            "validation": model.validation is not None,
            "test": model.test is not None,
            "log_var": bool(given) and all(x.log_var is not None for x in given),
            "standard_normal": model.has_prior
            and (model.prior is None or isinstance(model.prior, StandardNormal)),
            "decode": model.decode is not None,
            "encode": model.encode is not None,
            "reference": reference is not None,
            "features": reference is not None,
            "sequences": reference is not None and reference.train.modality.sequences,
            "table": reference is not None and reference.train.table is not None,
            "values": reference is not None and not reference.train.modality.pictures,
            "floor": reference is not None and reference.floor is not None,
            "labels": reference is not None and reference.n_classes is not None,
            "classifiers": reference is not None and reference.classifiers is not None,
            "distortion": model.distortion is not None and model.distortion_sse is not None,
            "log_likelihood": model.log_likelihood is not None,
            "draw": self.draw is not None,
            "label_source": self.label_source != "",
        }
        if present[name]:
            return self._not_finite(name)
        # A general lack that explains the specific one is given as the reason.
        if name in _OF_ENCODER and not given:
            return _REASONS["encoder"]
        return _REASONS["prior" if name == "standard_normal" and not model.has_prior else name]

    def _not_finite(self, name: str) -> str | None:
        """Return why evidence that is present cannot be used."""
        if name == "draw" and self.draw is not None and not bool(torch.isfinite(self.draw.z).all()):
            return "the sampler's draws are not finite"
        return self.model.not_finite.get(name)

    @property
    def exploded(self) -> str | None:
        """Return the reason if the model or the draws are so wide that sums over them are not finite; else None."""
        if self.draw is not None and float(self.draw.z.abs().max()) > _EXPLODED:
            return f"the draws have exploded (they reach to {float(self.draw.z.abs().max()):.2g})"
        return self.model.exploded

    @cached_property
    def samples(self) -> Split:
        """The sampler's decoded draws, quantised like the data, with their own labels if they have any."""
        if self.draw is None:
            raise ValueError(_REASONS["draw"])
        return self.model.decoded(self.draw.z, self.draw.label, self.draw.context)

    @cached_property
    def features(self) -> Float[Tensor, "n D"]:
        """The features of `samples` in the reference's space."""
        if self.model.reference is None:
            raise ValueError(_REASONS["reference"])
        return extract(self.model.reference.feature_map, self.samples.x)

    @cached_property
    def labeller_labels(self) -> Int[Tensor, "n"]:
        """Labels of `samples` by the labeller."""
        reference = self.model.reference
        if reference is None or reference.classifiers is None:
            raise ValueError(_REASONS["classifiers"])
        return reference.classifiers.label(self.samples.x)
