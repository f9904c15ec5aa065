"""What is said beside a rank: whose memorisation_auc it is, in which space, and the shares of what memorises."""

import pytest
from planted import CLEAR, row, rows_of, table

from priorgap.core.measurement import NULL_UNKNOWN
from priorgap.verdict import decide
from priorgap.verdict.labels import MemorisationAuc, memorisation, plain_name, train_shares


def auc_rows(value, *, sampler="", space="pixels", unit="", limits=(0.4, 0.9)):
    points = [("point", value), *zip(("lower", "upper"), limits, strict=True)]
    return [
        row(sampler, "memorisation_auc", 0, v, space=space, unit=unit, bound=bound) for bound, v in points
    ]


def test_the_model_s_own_area_with_its_limits():
    found = memorisation(table(auc_rows(0.6)), 0.95)
    assert found == MemorisationAuc(0.6, (pytest.approx(0.4), pytest.approx(0.9)), True)


def test_a_sampler_s_area_is_none_of_the_model():
    assert memorisation(table(auc_rows(0.9, sampler="gmm")), 0.95) is None
    both = table(auc_rows(0.9, sampler="gmm"), auc_rows(0.6))
    assert memorisation(both, 0.95).value == 0.6
    assert memorisation(table(rows_of("fid", CLEAR, 2)), 0.95) is None


def test_an_area_of_known_null_goes_before_one_of_an_unknown_one():
    data = table(auc_rows(0.9, unit=NULL_UNKNOWN, space="data"), auc_rows(0.6))
    assert memorisation(data, 0.95).value == 0.6 and memorisation(data, 0.95).null_known
    alone = memorisation(table(auc_rows(0.9, unit=NULL_UNKNOWN, limits=(0.8, 0.95))), 0.95)
    assert (alone.value, alone.null_known) == (0.9, False)
    assert alone.interval == (pytest.approx(0.8), pytest.approx(0.95))


def test_a_limit_alone_is_no_value():
    limits = [r for r in auc_rows(0.6) if r["bound"] != "point"]
    assert memorisation(table(limits), 0.95) is None
    # and one limit of the two gives no interval
    half = [r for r in auc_rows(0.6) if r["bound"] != "upper"]
    assert memorisation(table(half), 0.95) == MemorisationAuc(0.6, None, True)


def test_as_plain_json():
    assert MemorisationAuc(0.6, (0.5, 0.7), True).to_json() == {
        "value": 0.6,
        "interval": [0.5, 0.7],
        "null_known": True,
    }
    assert MemorisationAuc(0.6, None, False).to_json()["interval"] is None
    rows = [*auc_rows(0.6), *rows_of("fid", {"prior": 100.0, "posterior": 20.0}, 1, std_error=0.01)]
    written = decide(table(rows)).to_json()["details"]["memorisation_auc"]
    assert written["interval"] == [pytest.approx(0.4), pytest.approx(0.9)]


def test_the_largest_mean_share_over_spaces_of_what_memorises():
    rows = []
    for seed in range(2):
        for space, value in (("pixels", 0.6), ("aligned pixels", 0.7), ("inception", 0.65)):
            rows.append(row("gmm", "train_share", seed, value + 0.02 * seed, space=space, std_error=0.01))
        rows.append(row("prior", "train_share", seed, 0.9, space="pixels", std_error=0.01))
    labels = {"gmm": ["the decoder memorises"], "prior": ["copies"]}
    assert train_shares(table(rows), labels) == {"gmm": pytest.approx(0.71)}
    assert train_shares(table(rows), {"kde": ["the decoder memorises"]}) == {}


def test_the_mark_of_a_calibrated_model_is_no_part_of_a_name():
    assert plain_name("prior (calibrated)") == plain_name("prior") == "prior"
