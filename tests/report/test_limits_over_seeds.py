"""A mean over seeds of which some have a value and others only a limit."""

import pandas as pd
import pytest

from priorgap.report.tables import ABSENT, over_seeds


def rows(*readings):
    """(seed, value, bound) each."""
    table = pd.DataFrame(readings, columns=["seed", "value", "bound"])
    return table.assign(std_error=None)


def test_seeds_with_values_have_mean_and_spread():
    assert over_seeds(rows((0, 100.0, "point"), (1, 120.0, "point"))) == "110 ± 14"


def test_limits_beside_a_value_of_the_same_seed_are_not_counted():
    assert over_seeds(rows((0, 4.0, "lower"), (0, 5.0, "point"), (0, 9.0, "upper"), (1, 5.0, "point"))) == "5"


@pytest.mark.parametrize(("bound", "mark"), [("upper", "≤"), ("lower", "≥")])
def test_a_limit_makes_the_mean_a_limit(bound, mark):
    """The seeds at one end would be left out: 120 is no mean of 100 or less, 100 or less, and 120."""
    found = over_seeds(rows((0, 100.0, bound), (1, 100.0, bound), (2, 120.0, "point")))
    assert found == f"{mark} 107 (a limit in 2 of 3 seeds)"


def test_limits_at_both_ends_leave_no_limit_of_the_mean():
    found = over_seeds(rows((0, 100.0, "upper"), (1, 400.0, "lower"), (2, 120.0, "point")))
    assert found == f"{ABSENT} (a limit in 2 of 3 seeds)"


def test_limits_alone_are_shown_as_such():
    assert over_seeds(rows((0, 100.0, "upper"), (1, 100.0, "upper"))) == "≤ 100"
    assert over_seeds(rows((0, 1.0, "lower"), (0, 3.0, "upper"))) == "1 to 3"


def test_an_end_that_a_seed_lacks_has_no_mean():
    assert over_seeds(rows((0, 100.0, "upper"), (1, 400.0, "lower"))) == ABSENT
    assert over_seeds(rows((0, 1.0, "lower"), (0, 3.0, "upper"), (1, 3.0, "lower"))) == "≥ 2"
