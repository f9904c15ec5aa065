"""In which space samplers are ranked: a feature space, or none, where a measure is of the data themselves."""

import pytest
from planted import CLEAR, row, rows_of, table

from priorgap.verdict import decide_study

DISTANCE = "autocorrelation_distance"


def study(*more):
    # FID says the contrary, and reconstructions as far off as the samples say that the decoder limits
    distances = rows_of(DISTANCE, {"prior": 0.5, "gmm": 0.1}, 5, space="data", log=False, seed_effect=0.0)
    fids = rows_of("fid", {"prior": 40.0, "gmm": 45.0}, 5, std_error=0.01)
    own = [
        row("", name, seed, value)
        for seed in range(5)
        for name, value in (("fid_floor", 2.0), ("fid_reconstruction", 41.0))
    ]
    return table(distances, fids, own, *more)


def test_what_is_of_the_data_is_ranked_whatever_the_space():
    for space in (None, "classifier"):
        found = decide_study(study(), measure=DISTANCE, space=space)
        assert found.winner == "gmm" and found.space == "data"
        assert "feature space" not in found.cells[0].sure and " in data space" not in found.text


def test_health_looks_at_the_feature_space_all_the_same():
    findings = {one.name for one in decide_study(study(), measure=DISTANCE, space="classifier").health}
    assert "decoder_limits" in findings


def test_units_do_not_rank():
    channels = rows_of(DISTANCE, {"prior": 0.0, "gmm": 9.0}, 5, space="data", log=False, unit="0")
    assert decide_study(study(channels), measure=DISTANCE, space="classifier").winner == "gmm"


def test_a_measure_of_another_feature_space_says_which():
    fids = rows_of("fid", CLEAR, 5, space="pixels")
    found = decide_study(table(fids), measure="fid", space="classifier")
    assert found.cells[0].reason == (
        "fid was not computed in classifier space for any candidate, but in pixels; expected verdict.space=pixels"
    )


@pytest.mark.parametrize("space", [None, "classifier"])
def test_one_candidate_is_nothing_to_compare(space):
    rows = rows_of(DISTANCE, {"gmm": 0.1}, 5, space="data", log=False)
    reason = decide_study(table(rows), measure=DISTANCE, space=space).cells[0].reason
    assert reason == f"only one candidate (gmm) has {DISTANCE}: there is nothing to compare"
