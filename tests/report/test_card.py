"""The card beside a synthetic data set: facts for programs and people, numbers from the results, a mark."""

import pandas as pd
import pytest
import yaml

from priorgap.core.catalogue import BUILTIN
from priorgap.core.findings import Finding
from priorgap.report.card import DataCard, measured_of, write_card
from priorgap.verdict import FACT_COLUMNS, RESULT_COLUMNS

STOP = Finding("stop", "not_converged", 800.0, 150.0, "Train the model first.")
NOTE = Finding("note", "few_rows", None, None, "Few rows.", follows="not_converged")


def card(**changes):
    facts = {
        "study": "s",
        "model": "m-1",
        "sampler": "gmm",
        "role": "candidate",
        "traits": "none",
        "decode": "mean",
        "seed": 3,
        "n": 12_000,
    }
    return DataCard(**{**facts, **changes})


def facts_of(text):
    return yaml.safe_load(text.split("---")[1])


def table(*rows):
    head = {
        "study": "s",
        "model": "m-1",
        "sampler": "gmm",
        "space": "",
        "unit": "",
        "bound": "",
        "std_error": None,
    }
    return pd.DataFrame([{**head, **row} for row in rows], columns=[*RESULT_COLUMNS, *FACT_COLUMNS])


def test_facts_stand_first_and_can_be_read_by_programs():
    text = card(label="3").to_markdown()
    assert text.startswith("---\n")
    found = facts_of(text)
    assert (
        found["sampler"] == "gmm"
        and found["n"] == 12_000
        and found["class"] == "3"
        and found["usable"] is True
    )
    assert set(found["versions"]) == {"priorgap", "torch", "numpy", "python"}
    assert "class" not in facts_of(card().to_markdown())


def test_what_health_forbids_is_marked_before_anything_else_is_said():
    text = card(findings=(STOP, NOTE)).to_markdown()
    assert facts_of(text)["usable"] is False
    assert text.index("**Do not use these data.** Train the model first.") < text.index(
        "No row is an observation"
    )
    assert "- note: Few rows." in text
    assert "Do not use" not in card(findings=(NOTE,)).to_markdown()


@pytest.mark.parametrize(
    ("traits", "words"),
    [("reconstructs", "reconstructs training rows."), ("none", "seed 3.\n"), ("", "seed 3.\n")],
)
def test_traits_are_said_in_words(traits, words):
    assert words in card(traits=traits).to_markdown()


def test_the_numbers_are_those_of_this_model_and_sampler():
    rows = table(
        {"measure": "fid", "space": "classifier", "value": 8.5, "std_error": 0.1},
        {"measure": "fid", "space": "pixels", "value": 99.0},
        {"measure": "fid", "space": "classifier", "value": 1.0, "sampler": "prior"},
        {"measure": "fid", "space": "classifier", "value": 2.0, "model": "m-2"},
        {"measure": "identical_share", "space": "pixels", "value": 0.25, "std_error": 0.01},
        {"measure": "identical_share", "space": "pixels", "value": 0.5, "unit": "class 1"},
        {"measure": "identical_share", "space": "pixels", "value": float("nan"), "bound": "upper"},
        {"measure": "kid", "space": "classifier", "value": 4.0},
    )
    found = measured_of(
        rows, model="m-1", sampler="gmm", measure=BUILTIN["fid"], space="classifier", catalogue=BUILTIN
    )
    assert [(one.value, one.std_error) for one in found] == [(8.5, 0.1), (0.25, 0.01)]
    assert "| FID (classifier) | 8.5 | 0.1 |" in card(measured=found).to_markdown()
    assert measured_of(rows[:0], model="m", sampler="x", measure=None, space="", catalogue=BUILTIN) == ()


def test_the_card_lies_beside_the_data(tmp_path):
    place = write_card(card(), tmp_path / "x.npz")
    assert place == tmp_path / "x.npz.card.md" and place.read_text(encoding="utf-8") == card().to_markdown()
