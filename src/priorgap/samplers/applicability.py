"""Which sampler applies to which model, decided before training from the needs that each sampler declares."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from priorgap.samplers.needs import needs_of
from priorgap.samplers.protocols import Sampler

PriorKind = Literal["standard_normal", "learned", "none"]


@dataclass(frozen=True)
class ModelTraits:
    """The properties of a model and its data on which samplers depend.

    Attributes:
        encoder: whether there is an encoder, so that images have posteriors.
        log_var: whether its posteriors have a variance; False for a plain autoencoder.
        prior: the distribution p(z) that the model was trained with: N(0, I), a learned one, or none.
        conditional: whether the decoder needs a class with each z. Draws without a label then get one
            (`samplers.drawing`), so that this makes no sampler invalid.
        labels: whether the data have labels.
    """

    encoder: bool
    log_var: bool
    prior: PriorKind
    conditional: bool
    labels: bool


_MISSING: Mapping[str, str] = {
    "encoder": "the model has no encoder",
    "log_var": "the encoder gives no log_var",
    "labels": "the data have no labels",
    "prior": "the model has no prior",
    "standard_prior": "defined for the standard-normal prior only",
}
MODELS: Mapping[str, ModelTraits] = {
    "VAE": ModelTraits(True, True, "standard_normal", False, True),
    "VAE, learned prior": ModelTraits(True, True, "learned", False, True),
    "conditional VAE": ModelTraits(True, True, "standard_normal", True, True),
    "autoencoder": ModelTraits(True, False, "none", False, True),
    "GAN": ModelTraits(False, False, "standard_normal", False, True),
    "VAE, no labels": ModelTraits(True, True, "standard_normal", False, False),
}


def offers(traits: ModelTraits) -> frozenset[str]:
    """Return the needs of samplers that a model meets."""
    met: dict[str, bool] = {
        "encoder": traits.encoder,
        "log_var": traits.encoder and traits.log_var,
        "labels": traits.labels,
        "prior": traits.prior != "none",
        "standard_prior": traits.prior == "standard_normal",
    }
    return frozenset(need for need, holds in met.items() if holds)


def invalid(sampler: Sampler, traits: ModelTraits) -> str | None:
    """Return why a sampler does not apply to a model, in one line; None where it does."""
    offered = offers(traits)
    for need, reason in _MISSING.items():
        if need in needs_of(sampler) and need not in offered:
            return f"{sampler.name}: {reason}"
    return None


def validity_table(samplers: Iterable[Sampler], models: Mapping[str, ModelTraits] = MODELS) -> str:
    """Return the table of samplers and models as Markdown: yes, or what is missing."""
    lines = [f"| sampler | {' | '.join(models)} |", f"|{'---|' * (len(models) + 1)}"]
    for sampler in sorted(samplers, key=lambda s: s.name):
        cells = (_cell(sampler, traits) for traits in models.values())
        lines.append(f"| `{sampler.name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(sampler: Sampler, traits: ModelTraits) -> str:
    reason = invalid(sampler, traits)
    return "yes" if reason is None else reason.removeprefix(f"{sampler.name}: ")
