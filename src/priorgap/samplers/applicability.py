"""Which sampler has a meaning for which model: decided before training, from what each sampler says it needs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from priorgap.samplers.needs import needs_of
from priorgap.samplers.protocols import Sampler

PriorKind = Literal["standard_normal", "learned", "none"]


@dataclass(frozen=True)
class ModelTraits:
    """What a model and its data offer to samplers.

    Attributes:
        encoder: whether there is one, so that images have posteriors.
        log_var: whether its posteriors have a variance; False for a plain autoencoder.
        prior: the distribution p(z) that the model was trained with: N(0, I), a learned one, or none.
        conditional: whether the decoder must be told a class with each z; draws without a label then get
            one (`samplers.drawing`), so that no sampler is invalid for that.
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
    """Return the needs that a model meets."""
    met: dict[str, bool] = {
        "encoder": traits.encoder,
        "log_var": traits.encoder and traits.log_var,
        "labels": traits.labels,
        "prior": traits.prior != "none",
        "standard_prior": traits.prior == "standard_normal",
    }
    return frozenset(need for need, holds in met.items() if holds)


def invalid(sampler: Sampler, traits: ModelTraits) -> str | None:
    """Return why a sampler has no meaning for a model, in one line; None where it has one."""
    offered = offers(traits)
    for need, reason in _MISSING.items():
        if need in needs_of(sampler) and need not in offered:
            return f"{sampler.name}: {reason}"
    return None


def validity_table(samplers: Iterable[Sampler], models: Mapping[str, ModelTraits] = MODELS) -> str:
    """Return the sampler x model table as Markdown: yes, or what is missing."""
    lines = [f"| sampler | {' | '.join(models)} |", f"|{'---|' * (len(models) + 1)}"]
    for sampler in sorted(samplers, key=lambda s: s.name):
        cells = (_cell(sampler, traits) for traits in models.values())
        lines.append(f"| `{sampler.name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(sampler: Sampler, traits: ModelTraits) -> str:
    reason = invalid(sampler, traits)
    return "yes" if reason is None else reason.removeprefix(f"{sampler.name}: ")
