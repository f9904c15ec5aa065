"""Facts of samplers as values: their text in results.csv, JSON, and what holds over several models."""

from dataclasses import replace

import pytest

from priorgap.core.sampler_facts import SamplerFacts, united

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
