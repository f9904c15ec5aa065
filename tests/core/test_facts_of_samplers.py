"""Facts of samplers as values: their text in results.csv, JSON, and what holds over several models."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from priorgap.core.latents import Latents
from priorgap.core.sampler_facts import SamplerFacts, united
from priorgap.priors.standard_normal import StandardNormal
from priorgap.samplers import LiteralLogVar, MuPlusLogVar, Posterior, PosteriorMean, PriorSampler
from priorgap.samplers.drawing import fit_inputs

PLAIN = SamplerFacts(reconstructs=False, needs_training_data=False, fixed=False, cost="A fit.")
COPY = SamplerFacts(reconstructs=True, needs_training_data=True, fixed=False, cost="Posteriors.")


@pytest.mark.parametrize(
    ("facts", "text"),
    [(PLAIN, "none"), (COPY, "reconstructs needs_training_data"), (replace(PLAIN, fixed=True), "fixed")],
)
def test_traits_are_text_and_back(facts: SamplerFacts, text: str) -> None:
    assert facts.traits == text
    assert SamplerFacts.from_traits(text, facts.cost) == facts
    assert SamplerFacts.from_json(facts.to_json()) == facts


@pytest.mark.parametrize("text", ["", " ", "clean", "reconstructs, fixed"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^traits=.*expected none, or words of reconstructs"):
        SamplerFacts.from_traits(text)


def test_a_damaged_record_is_refused() -> None:
    record = COPY.to_json()
    with pytest.raises(ValueError, match="fixed missing"):
        SamplerFacts.from_json({k: v for k, v in record.items() if k != "fixed"})
    with pytest.raises(ValueError, match=r"^reconstructs='no': expected true or false"):
        SamplerFacts.from_json(record | {"reconstructs": "no"})


def test_it_reconstructs_where_it_does_for_any_model() -> None:
    assert united([PLAIN, COPY]) == united([COPY, PLAIN]) == COPY
    both = united([replace(PLAIN, fixed=True), PLAIN])
    assert not both.fixed and both.cost == "A fit."


def test_a_name_in_other_code_stays_with_the_sampler() -> None:
    named = replace(PLAIN, known_as="mode 3")
    assert SamplerFacts.from_json(named.to_json()) == named and united([named, named]) == named
    assert "known_as" not in PLAIN.to_json()
    with pytest.raises(ValueError, match=r"^known_as=3: expected a sentence"):
        replace(PLAIN, known_as=3)  # type: ignore[arg-type]


def test_the_three_modes_are_said_by_their_samplers() -> None:
    """What the words say is what the sampler does: z of each mode from mu, log_var and the noise."""
    generator = torch.Generator().manual_seed(0)
    train = Latents(torch.randn(40, 3, generator=generator), torch.randn(40, 3, generator=generator))
    inputs = fit_inputs(train, train, StandardNormal(3))
    page = (Path(__file__).parents[2] / "docs" / "generate_new_data.md").read_text()
    for sampler, formula, mode in (
        (LiteralLogVar(), "z = mu + eps * log_var", 1), (MuPlusLogVar(), "z = mu + log_var", 2),
        (PriorSampler(), "z = eps", 3), (Posterior(), "z = mu + eps * exp(log_var / 2)", 1),
        (PosteriorMean(), "z = mu,", 2),
    ):  # fmt: skip
        fitted = sampler.fit(inputs, generator=torch.Generator().manual_seed(1))
        assert f"mode {mode} of generate_new_data" in fitted.facts.known_as
        assert formula in fitted.facts.known_as and f"`{sampler.name}`" in page
        draw = fitted.sample(30, generator=torch.Generator().manual_seed(2))
        eps = torch.randn(30, 3, generator=torch.Generator().manual_seed(2))
        mu, log_var = (0, 0) if draw.source is None else (train.mean[draw.source], train.log_var[draw.source])
        s = 0 if draw.source is None else train.std[draw.source]
        z = {
            "literal_log_var": mu + eps * log_var, "mu_plus_log_var": mu + log_var, "prior": eps,
            "posterior": mu + eps * s, "posterior_mean": mu,
        }  # fmt: skip
        torch.testing.assert_close(draw.z, z.pop(sampler.name))
        # and no other mode's
        assert all((draw.z - other).abs().max() > 0.1 for other in z.values())
