"""What the decode rule costs beside the choice of z: planted ratios come back, and which matters more."""

import re

import numpy as np
import pandas as pd
import pytest
from planted import rows_of, table

from priorgap.core.catalogue import BUILTIN
from priorgap.verdict import decide_study
from priorgap.verdict.contrasts import Contrast
from priorgap.verdict.decode_rules import _larger


def study(mean, draw, n_seeds=6, **more):
    """One model decoded both ways: two cells; a draw's FID has an error of its own."""
    data = table(
        rows_of("fid", mean, n_seeds, cell="aaaa", decode="mean", **more),
        rows_of("fid", draw, n_seeds, cell="bbbb", decode="draw", **more),
    )
    drawn = data["decode"] == "draw"
    data.loc[drawn, "value"] *= np.exp(0.02 * np.random.default_rng(5).standard_normal(int(drawn.sum())))
    return data


def line(data) -> str:
    found = [text for text in decide_study(data).lines if "draws of p(x|z)" in text]
    assert len(found) == 1
    return found[0]


def test_both_halves_have_their_ratio():
    said = line(study({"prior": 100.0, "gmm": 40.0}, {"prior": 150.0, "gmm": 60.0}))
    assert "With gmm, draws of p(x|z) have 1." in said
    assert "gmm has 0.4" in said and "the FID (classifier) of the prior" in said
    assert said.endswith("Both matter, the choice of z more.")


@pytest.mark.parametrize(
    ("mean", "draw", "words"),
    [
        ({"prior": 44.0, "gmm": 40.0}, {"prior": 132.0, "gmm": 120.0}, "the decode rule more"),
        ({"prior": 100.0, "gmm": 40.0}, {"prior": 100.0, "gmm": 40.0}, "the decode rule is not shown to"),
        ({"prior": 40.0, "gmm": 40.0}, {"prior": 80.0, "gmm": 80.0}, "the choice of z is not shown to"),
        ({"prior": 40.0, "gmm": 40.0}, {"prior": 40.0, "gmm": 40.0}, "Neither choice is shown to matter"),
    ],
)
def test_which_matters_more(mean, draw, words):
    assert words in line(study(mean, draw, spread=0.05))


def test_one_rule_alone_says_nothing():
    data = study({"prior": 100.0, "gmm": 40.0}, {"prior": 150.0, "gmm": 60.0})
    alone = data[data["decode"] == "mean"]
    assert not any("draws of p(x|z)" in text for text in decide_study(alone).lines)


def test_cells_that_differ_in_more_are_no_pair():
    data = study({"prior": 100.0, "gmm": 40.0}, {"prior": 150.0, "gmm": 60.0})
    data["loss.alpha"] = data["decode"].map({"mean": 1.0, "draw": 100.0})
    assert not any("draws of p(x|z)" in text for text in decide_study(data).lines)


def numbers(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"(?<![\w.])\d+\.?\d*(?= times)", text)]


def test_the_ratios_are_those_that_were_planted():
    of_draws, of_z = numbers(line(study({"prior": 100.0, "gmm": 40.0}, {"prior": 150.0, "gmm": 60.0})))
    assert of_draws == pytest.approx(1.5, rel=0.05) and of_z == pytest.approx(0.4, rel=0.05)


def test_both_effects_name_the_measure_and_its_space():
    said = line(study({"prior": 100.0, "gmm": 40.0}, {"prior": 150.0, "gmm": 60.0}))
    assert said.count("the FID (classifier) of") == 2


def test_one_space_is_looked_at_where_there_are_two():
    data = study({"prior": 100.0, "gmm": 40.0}, {"prior": 150.0, "gmm": 60.0})
    other = data.assign(space="inception", value=data["value"] * np.where(data["decode"] == "draw", 9.0, 1.0))
    both = pd.concat([data, other])
    (said,) = [t for t in decide_study(both, space="classifier").lines if "draws of p(x|z)" in t]
    assert numbers(said) == numbers(line(data))
    (said,) = [t for t in decide_study(both, space="inception").lines if "draws of p(x|z)" in t]
    assert numbers(said)[0] == pytest.approx(9 * numbers(line(data))[0], rel=0.01)


def test_each_pair_of_cells_has_its_line_and_its_place():
    """Two architectures, each decoded both ways: lines name the architecture, not the decode rule."""
    parts = []
    for name, factor in (("mlp", 1.0), ("conv", 2.0)):
        one = study(
            {"prior": 100.0, "gmm": 40.0}, {"prior": 100.0 * (1 + factor), "gmm": 40.0 * (1 + factor)}
        )
        parts.append(one.assign(model_name=name, cell=one["cell"] + name, model=one["model"] + name))
    found = [t for t in decide_study(pd.concat(parts)).lines if "draws of p(x|z)" in t]
    assert len(found) == 2
    ratios = {text.split(":")[0]: numbers(text)[0] for text in found}
    assert ratios == {
        "model_name=mlp": pytest.approx(2.0, rel=0.05),
        "model_name=conv": pytest.approx(3.0, rel=0.05),
    }


def test_rules_without_a_common_seed_or_measure_say_nothing():
    data = study({"prior": 100.0, "gmm": 40.0}, {"prior": 150.0, "gmm": 60.0})
    apart = data[~((data["decode"] == "draw") & (data["sampler"] == "gmm") & (data["seed"] < 6))]
    assert not any("draws of p(x|z)" in text for text in decide_study(apart).lines)
    later = data.assign(seed=data["seed"].where(data["decode"] == "mean", data["seed"] + 100))
    assert not any("draws of p(x|z)" in text for text in decide_study(later).lines)


def test_the_prior_alone_has_no_other_choice_of_z():
    data = study({"prior": 100.0}, {"prior": 150.0})
    assert not any("draws of p(x|z)" in text for text in decide_study(data).lines)


def contrast(effect, *, scale="log", shown=True):
    return Contrast("a", "b", effect, None, 0.0, 5, scale, shown)


def test_sizes_are_compared_on_the_measure_s_own_scale():
    """A ratio of .2 is larger than one of 3; a difference of -.3 is larger than one of .2."""
    assert "decode rule more" in _larger(contrast(0.2), contrast(3.0))
    assert "choice of z more" in _larger(contrast(1.5), contrast(0.5))
    identity = {"scale": "identity"}
    assert "decode rule more" in _larger(contrast(-0.3, **identity), contrast(0.2, **identity))
    assert "choice of z more" in _larger(contrast(0.1, **identity), contrast(-0.2, **identity))


def test_differences_where_the_measure_has_no_ratios():
    assert BUILTIN["coverage"].scale == "identity"
    parts = [
        rows_of("coverage", means, 6, log=False, seed_effect=0.01, spread=0.001, cell=cell, decode=rule)
        for rule, cell, means in (
            ("mean", "aaaa", {"prior": 0.5, "gmm": 0.8}),
            ("draw", "bbbb", {"prior": 0.4, "gmm": 0.75}),
        )
    ]
    data = table(*parts)
    drawn = data["decode"] == "draw"
    data.loc[drawn, "value"] += 0.002 * np.random.default_rng(5).standard_normal(int(drawn.sum()))
    (said,) = [t for t in decide_study(data, measure="coverage").lines if "draws of p(x|z)" in t]
    assert "Both matter, the choice of z more" in said
    assert "a coverage (classifier) lower by 0.05" in said and "a coverage (classifier) higher by 0.3" in said
    assert said.count("than that of") == 2
