"""The rule of the label, clause by clause, on planted rows: each limit must hold in every model of the cell."""

import pytest
from planted import copying, row, table

from priorgap.core.measurement import NULL_UNKNOWN
from priorgap.verdict.copying_label import copying_label, limits, rows_of, shared_limit_exceeds, spaces
from priorgap.verdict.readings import Reading


def limited(measure, seed, low, high, *, sampler="gmm", space="pixels", **more):
    """A share with its limits, the point between them."""
    values = (("point", (low + high) / 2), ("lower", low), ("upper", high))
    return [row(sampler, measure, seed, value, space=space, bound=bound, **more) for bound, value in values]


def identical(seed, low, *, floor=0.01):
    return [
        *limited("identical_share", seed, low, low + 0.1),
        *limited("identical_share_floor", seed, 0.0, floor),
    ]


def near(seed, train_low, *, share=0.3, floor=0.1, unit="", space="pixels"):
    return [
        *limited("near_copy_share", seed, share, share + 0.1, space=space),
        *limited("near_copy_share_floor", seed, 0.0, floor, space=space),
        *limited("near_train_share", seed, train_low, train_low + 0.2, space=space, unit=unit),
    ]


def label(*parts, sampler="gmm", level=0.95):
    return copying_label(table(*parts), sampler, level)


@pytest.mark.parametrize(("low", "expected"), [(0.0101, "copies"), (0.01, None), (0.005, None)])
def test_identical_draws_must_exceed_identical_test_images(low, expected):
    assert label(identical(0, low)) == expected
    assert label(identical(0, 0.5), identical(1, low)) == expected


def test_a_floor_of_another_model_is_no_floor_of_this_one():
    assert label(identical(0, 0.2), identical(1, 0.2, floor=0.3)) is None
    # a model whose draws were not compared is no proof either
    without = [r for r in identical(1, 0.2) if r["measure"] != "identical_share"]
    assert label(identical(0, 0.2), without) is None


def test_another_sampler_s_copies_are_its_own():
    assert label(identical(0, 0.2), sampler="prior") is None


@pytest.mark.parametrize(("low", "expected"), [(0.501, "copies"), (0.5, None), (0.4, None)])
def test_near_copies_must_be_of_training_images(low, expected):
    assert label(near(0, low)) == expected
    assert label(near(0, 0.9), near(1, low)) == expected


def test_near_copies_count_in_any_one_space():
    clean = near(0, 0.4)
    assert label(clean, near(0, 0.8, space="aligned pixels")) == "copies"
    # but in one space in every model: not here in the first and there in the second
    first = [*near(0, 0.8), *near(0, 0.4, space="aligned pixels")]
    second = [*near(1, 0.4), *near(1, 0.8, space="aligned pixels")]
    assert label(first, second) is None
    assert label(first, [*near(1, 0.8), *near(1, 0.4, space="aligned pixels")]) == "copies"


def test_a_model_without_near_copies_copies_nothing():
    none = [r for r in near(1, 0.9, share=0.0) if r["measure"] != "near_train_share"]
    assert label(near(0, 0.9)) == "copies"
    assert label(near(0, 0.9), none) is None


@pytest.mark.parametrize(("share", "expected"), [(0.1001, "copies"), (0.1, None), (0.05, None)])
def test_where_the_null_is_unknown_near_copies_must_exceed_those_of_test_images_too(share, expected):
    assert label(near(0, 0.9, share=share, unit=NULL_UNKNOWN)) == expected
    # where it is known they need not
    assert label(near(0, 0.9, share=share)) == "copies"


@pytest.mark.parametrize(
    ("excess", "share", "expected"),
    [
        (0.0181, 0.6, "copies"),  # 0.01 + 2.576 · 0.003 = 0.01773
        (0.0172, 0.6, "the decoder memorises"),
        (0.2, 0.5082, "copies"),
        (0.2, 0.5072, "the decoder memorises"),  # beyond 0.5 + 1.96 · 0.003 = 0.50588 alone
        (0.2, 0.5054, None),
        (-0.1, 0.4, None),
    ],
)
def test_the_joint_rule_and_memorising(excess, share, expected):
    assert label(copying("gmm", excess, share, 1)) == expected
    # models that agree say no more than one
    assert label(copying("gmm", excess, share, 3)) == expected


def test_the_level_is_that_of_memorising():
    part = copying("gmm", -0.1, 0.5054, 1)  # 1.8 errors above one half
    assert label(part, level=0.9) == "the decoder memorises"
    assert label(part, level=0.95) is None
    strict = copying("gmm", -0.1, 0.507, 1)
    assert label(strict, level=0.95) == "the decoder memorises" and label(strict, level=0.99) is None


def test_train_share_of_one_space_does_not_join_another_s_excess():
    share = [r for r in copying("gmm", 0.2, 0.7, 3) if r["measure"] == "train_share"]
    excess = [{**r, "space": "inception"} for r in copying("gmm", 0.2, 0.7, 3) if r not in share]
    assert label(share, excess) == "the decoder memorises"
    later = [{**r, "space": "zz"} for r in copying("gmm", 0.2, 0.7, 3)]
    # a space that shows nothing does not take back what another has shown
    assert (
        label(copying("gmm", -0.1, 0.7, 3), [{**r, "value": 0.1} for r in later]) == "the decoder memorises"
    )
    assert label(copying("gmm", -0.1, 0.7, 3), later) == "copies"


def test_nothing_measured_nothing_said():
    assert label([row("gmm", "fid", 0, 3.0)]) is None


def test_limits_and_spaces():
    data = table(identical(0, 0.2), identical(1, 0.3), near(0, 0.9, space="b"), near(0, 0.9, space="a"))
    rows = rows_of(data, "gmm")
    assert rows_of(data, "prior") == []
    assert limits(rows, "identical_share", "lower") == {0: 0.2, 1: 0.3}
    assert limits(rows, "identical_share", "upper") == {
        0: pytest.approx(0.3),
        1: pytest.approx(0.4),
    }
    assert limits(rows, "no_such", "lower") == {}
    assert spaces(rows, "near_copy_share") == ["a", "b"] and spaces(rows, "no_such") == []


def test_two_values_of_one_model_are_refused():
    twice = [row("gmm", "train_share", 0, value, space="pixels", std_error=0.01) for value in (0.4, 0.9)]
    with pytest.raises(ValueError, match=r"^sampler=gmm: two values for seed 0 of one measure and cell$"):
        copying_label(table(twice), "gmm", 0.95)
    # in two spaces they are two measurements
    apart = [{**one, "space": space} for one, space in zip(twice, ("a", "b"), strict=True)]
    assert copying_label(table(apart), "gmm", 0.95) == "the decoder memorises"


def test_the_mean_of_models_and_of_their_errors_decides():
    models = {0: Reading(0.7, 0.1), 1: Reading(0.9, 0.3)}  # 0.8 and 0.2
    assert shared_limit_exceeds(models, 0.8 - 1.65 * 0.2, 0.95)
    assert not shared_limit_exceeds(models, 0.8 - 1.64 * 0.2, 0.95)
    # an exact value has an error of 0, which is known
    assert shared_limit_exceeds({0: Reading(0.6, 0.0)}, 0.5999, 0.95)
    assert not shared_limit_exceeds({0: Reading(0.6, 0.0)}, 0.6, 0.95)
