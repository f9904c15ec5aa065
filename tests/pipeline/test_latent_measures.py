"""The measures beyond `standard` that describe a model: from the command line to the table."""

import csv
import math
from pathlib import Path

import pytest
from tiny_study import run_tiny

# a study of its own and every latent measure: the contracts have the same measures in seconds
pytestmark = pytest.mark.slow

NAMES = (
    "holes",
    "tv_lower",
    "latent_distances",
    "radius",
    "total_correlation",
    "iw_bound",
    "amortisation_gap",
)
SMALL = (
    f"metric=[rate,kl,elbo,copying,{','.join(NAMES)}]",
    "sampler=[prior]",
    "metrics.holes.mixture.n_components=[2]",
    "metrics.holes.n_prior=500",
    "metrics.total_correlation.mixture.n_components=[2]",
    "metrics.tv_lower.n_fit=200",
    "metrics.latent_distances.n_repeats=5",
    "metrics.latent_distances.n_max=200",
    "metrics.iw_bound.n_images=60",
    "metrics.iw_bound.n_draws=[1,100]",
    "metrics.amortisation_gap.n_images=60",
    "metrics.amortisation_gap.n_steps=60",
    "metrics.kl.n_components=[2]",
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> dict[tuple[str, str, str], dict[str, str]]:
    folder: Path = tmp_path_factory.mktemp("latent")
    assert run_tiny(folder, *SMALL, study="latent") == 0
    with (folder / "outputs/latent/report/results.csv").open(newline="") as handle:
        return {(r["measure"], r["unit"], r["bound"]): r for r in csv.DictReader(handle)}


def test_every_measure_is_in_the_table(rows):
    assert {
        "hole_mass",
        "hole_curve",
        "kl_prior_to_fit",
        "effective_share",
        "tv_lower",
        "mmd2",
        "mmd2_p",
        "sliced_w2",
        "sliced_w2_p",
        "radius_ks",
        "radius_p",
        "dimension_wise_kl",
        "total_correlation",
        "iw_bound",
        "amortisation_gap",
    } <= {measure for measure, _, _ in rows}
    assert all(math.isfinite(float(row["value"])) for row in rows.values())


def test_they_agree_with_each_other(rows):
    def value(*key: str) -> float:
        return float(rows[key]["value"])

    def error(*key: str) -> float:
        return float(rows[key]["std_error"])

    many, elbo = ("iw_bound", "100", "point"), ("elbo", "", "point")
    assert value(*many) >= value("iw_bound", "1", "point")
    assert abs(value("iw_bound", "1", "point") - value(*elbo)) < 4 * math.hypot(error(*many), error(*elbo))
    gap = ("amortisation_gap", "", "point")
    assert value(*gap) > -4 * error(*gap)
    # the parts' lower ends cannot exceed the whole's upper end
    parts = value("dimension_wise_kl", "", "lower") + value("total_correlation", "", "lower")
    assert parts <= value("kl", "", "upper")
    assert value("tv_lower", "", "lower") <= 1
