"""Which sampler has a meaning for which model: from what samplers say, as documented, and true of `fit`."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from priorgap.core.build import build, configuration_directory, load_option
from priorgap.core.latents import Latents
from priorgap.core.random import stream
from priorgap.priors.base import Prior
from priorgap.samplers import (
    ExPostGaussian,
    FitInputs,
    Kde,
    PerClass,
    PriorSampler,
    Sampler,
    SamplerNotApplicable,
    UnitSwap,
)
from priorgap.samplers.applicability import MODELS, invalid, validity_table
from priorgap.samplers.needs import needs_of

NAMES = sorted(p.stem for p in (configuration_directory() / "sampler").glob("*.yaml"))
METHODS = Path(__file__).parents[2] / "docs" / "methods.md"


def configured(name: str) -> Sampler:
    return build(load_option("sampler", name), Sampler, where=name)


def test_documented_table_is_the_one_that_is_used() -> None:
    assert validity_table(map(configured, NAMES)) in METHODS.read_text()


@pytest.mark.parametrize(
    ("sampler", "model", "reason"),
    [
        (PriorSampler(), "GAN", None),
        (PriorSampler(), "autoencoder", "prior: the model has no prior"),
        (ExPostGaussian("full"), "autoencoder", None),
        (ExPostGaussian("full"), "GAN", "gaussian_full: the model has no encoder"),
        (Kde([1.0], 2), "autoencoder", "kde: the encoder gives no log_var"),
        (Kde([1.0], 2), "GAN", "kde: the model has no encoder"),
        (PerClass(ExPostGaussian("full")), "VAE, no labels", "per_class_gaussian_full: the data have no labels"),
        (PerClass(Kde([1.0], 2)), "autoencoder", "per_class_kde: the encoder gives no log_var"),
        (UnitSwap(0, "prior"), "VAE, learned prior", "unit_swap_0_prior: defined for the standard-normal prior only"),
        (UnitSwap(0, "shuffle"), "VAE, learned prior", None),
    ],
    ids=lambda v: getattr(v, "name", v),
)  # fmt: skip
def test_pairs(sampler: Sampler, model: str, reason: str | None) -> None:
    assert invalid(sampler, MODELS[model]) == reason


def test_a_sampler_that_says_nothing_needs_an_encoder() -> None:
    assert needs_of(ExPostGaussian("diag")) == {"encoder"}


class Learned(Prior):
    """A prior that is not N(0, I)."""

    def log_prob(self, z: torch.Tensor) -> torch.Tensor:
        return -0.25 * z.square().sum(1)

    def sample(self, n: int, *, generator: torch.Generator) -> torch.Tensor:
        return 2**0.5 * torch.randn(n, self.dim, generator=generator)


# they train something: too slow to fit once more for each kind of model
TRAINED = ("flow", "two_stage", "reweighted", "gmm")


@pytest.mark.parametrize("model", ["VAE", "VAE, learned prior", "VAE, no labels", "autoencoder"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_called_invalid_is_refused_by_fit_and_nothing_else(name: str, model: str) -> None:
    sampler, traits = configured(name), MODELS[model]
    reason = invalid(sampler, traits)
    if traits.prior == "none" and "prior" in (reason or "").partition(": ")[2]:
        return  # FitInputs has no way to say "none": there None is N(0, I)
    g = stream(1)
    mean, label = torch.randn(40, 2, generator=g), torch.arange(40) % 2
    latents = Latents(mean, torch.zeros(40, 2), label)
    if not traits.log_var:
        latents = replace(latents, log_var=None)
    if not traits.labels:
        latents = latents.without_labels()
    inputs = FitInputs(latents, latents, Learned(2) if traits.prior == "learned" else None)
    if reason is not None:
        with pytest.raises(SamplerNotApplicable):
            sampler.fit(inputs, generator=g)
    elif not any(word in name for word in TRAINED):
        sampler.fit(inputs, generator=g)
