"""What a decode rule costs, in words."""

import pytest

from priorgap.verdict.contrasts import Contrast
from priorgap.verdict.decode_rules import _effect


@pytest.mark.parametrize(
    ("scale", "effect", "interval", "said"),
    [
        ("log", 0.5, (0.4, 0.6), "0.5 times [0.4, 0.6] the FID"),
        ("identity", 0.1, (0.05, 0.2), "a FID higher by 0.1 [0.05, 0.2] than that"),
        ("identity", -0.1, (-0.2, 0.05), "a FID lower by 0.1 [-0.05, 0.2] than that"),
        ("identity", -0.1, None, "a FID lower by 0.1 [no interval] than that"),
    ],
)
def test_an_effect_says_its_direction_and_its_interval_goes_with_it(scale, effect, interval, said):
    assert _effect(Contrast("draw", "mean", effect, interval, 0.5, 5, scale, False), "FID") == said
