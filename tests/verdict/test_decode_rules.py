"""What the decode rule costs beside the choice of z: planted ratios come back, and which matters more."""

import numpy as np
import pytest
from planted import rows_of, table

from priorgap.verdict import decide_study


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
