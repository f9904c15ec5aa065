"""Measures of uncovered prior mass, distances and dependence: good, bad and degenerate models of known laws."""

import math
from dataclasses import replace

import pytest
import torch
from scipy import stats

from priorgap.core.latents import Latents
from priorgap.core.measurement import Measurement
from priorgap.core.random import stream
from priorgap.densities import GaussianMixture
from priorgap.metrics import (
    DependenceSplit,
    Holes,
    LatentDistances,
    ModelEvidence,
    NotApplicable,
    Radius,
    TotalVariation,
)
from priorgap.metrics.overlap import fitted_density, prior_draws
from priorgap.priors.standard_normal import StandardNormal
from priorgap.testing.world import fresh

MIXTURE = GaussianMixture(n_components=(1, 4), n_fit=4_000, max_iter=30, reg_covar=1e-6)
HOLES = Holes(mixture=MIXTURE, n_draws=1, n_prior=4_000, levels=[0.001, 0.1], n_repeats=50)
VARIATION = TotalVariation(n_fit=1_000, n_eval=1_500)
DISTANCES = LatentDistances(n_max=400, n_projections=20, n_repeats=19)
DEPENDENCE = DependenceSplit(mixture=MIXTURE, n_draws=1)
S = 0.5


def posteriors(n: int, seed: str, law: str) -> Latents:
    """Posteriors of one s whose aggregate is N(0, I) ("good"), or is not."""
    g = stream(0, "mean", law, seed)
    mean = math.sqrt(1 - S**2) * torch.randn(n, 2, generator=g)
    if law == "shifted":
        mean += 1.5
    if law == "narrow":
        return Latents(0.1 * mean, torch.full((n, 2), 2 * math.log(0.2)))
    if law == "half":
        mean[:, 0] = mean[:, 0].abs() + 1
    if law == "correlated":
        mean[:, 1] = 0.9 * mean[:, 0] + math.sqrt(1 - 0.81) * mean[:, 1]
    return Latents(mean, torch.full((n, 2), 2 * math.log(S)))


def model(law: str, n: int = 1_500) -> ModelEvidence:
    return ModelEvidence(*(posteriors(n, name, law) for name in ("train", "validation", "test")))


def measure(metric: object, given: ModelEvidence) -> dict[tuple[str, str, str], Measurement]:
    rows = metric.measure(given.alone(), generator=stream(0))
    return {(r.measure, r.unit, r.bound): r for r in rows}


def test_holes_of_a_matched_model() -> None:
    rows = measure(HOLES, model("good"))
    mass = rows["hole_mass", "", "point"]
    assert abs(mass.value - 0.01) < 3 * mass.std_error
    assert (mass.n, mass.n_reference) == (4_000, 1_500)
    curve = rows["hole_curve", "0.1", "point"]
    assert abs(curve.value - 0.1) < 3 * curve.std_error
    assert ("hole_curve", "0.001", "point") in rows
    reverse = rows["kl_prior_to_fit", "", "point"]
    assert 0 <= reverse.value + 2 * reverse.std_error < 0.05
    assert rows["effective_share", "", "point"].value > 0.95


@pytest.mark.parametrize(("law", "least"), [("shifted", 0.1), ("half", 0.3), ("narrow", 0.7)])
def test_holes_are_found(law: str, least: float) -> None:
    rows = measure(HOLES, model(law))
    mass = rows["hole_mass", "", "point"]
    assert mass.value - 3 * mass.std_error > least
    assert rows["kl_prior_to_fit", "", "point"].value > 0.5
    assert rows["effective_share", "", "point"].value < 0.6


def test_hole_mass_of_a_shift_is_near_the_closed_form() -> None:
    """q = N(m, I): outside q's 99 % ball, by the noncentral chi-squared law."""
    mass = measure(HOLES, model("shifted"))["hole_mass", "", "point"]
    truth = stats.ncx2(2, 2 * 1.5**2).sf(stats.chi2(2).ppf(0.99))
    assert mass.value == pytest.approx(truth, abs=3 * mass.std_error + 0.03)


def test_levels_that_the_test_images_are_too_few_for_are_left_out() -> None:
    given = fresh(model("good"), test=posteriors(200, "t", "good"))
    units = [unit for name, unit, _ in measure(HOLES, given) if name == "hole_curve"]
    assert units == ["0.1"]
    with pytest.raises(NotApplicable, match="98 test posteriors: expected at least 99"):
        measure(HOLES, fresh(model("good"), test=posteriors(98, "t", "good")))


def test_one_fit_serves_all_metrics_of_equal_settings() -> None:
    given = model("good")
    first = fitted_density(given, MIXTURE, 1)
    assert fitted_density(given, MIXTURE, 1) is first
    measure(DEPENDENCE, given)
    assert len(given.memo) == 1
    assert fitted_density(given, replace(MIXTURE, max_iter=2), 1) is not first


def test_total_variation_of_a_matched_model_is_not_above_zero() -> None:
    rows = measure(VARIATION, model("good"))
    assert {unit for _, unit, _ in rows} == {"", "logistic", "boosting", "nearest"}
    for name in ("", "logistic", "boosting", "nearest"):
        point, low = rows["tv_lower", name, "point"], rows["tv_lower", name, "lower"]
        assert abs(point.value) < 3 * point.std_error
        assert low.value < 0
        assert (point.n, point.n_reference) == (1_500, 2_000)


@pytest.mark.parametrize("law", ["shifted", "half", "narrow"])
def test_total_variation_is_found_and_not_exceeded(law: str) -> None:
    rows = measure(VARIATION, model(law))
    assert rows["tv_lower", "", "lower"].value > 0.25
    if law == "shifted":
        truth = 2 * stats.norm.cdf(1.5 * math.sqrt(2) / 2) - 1
        assert rows["tv_lower", "", "lower"].value <= truth
        assert rows["tv_lower", "logistic", "point"].value == pytest.approx(truth, abs=0.06)


def test_training_posteriors_cannot_raise_the_bound() -> None:
    """q is of held-out images: a model that differs from p on training images alone shows nothing."""
    far, good = posteriors(1_500, "train", "shifted"), model("good")
    rows = measure(VARIATION, fresh(good, train=far))
    assert rows["tv_lower", "", "lower"].value < 0.05


def test_the_row_without_a_unit_is_one_of_the_classifiers() -> None:
    rows = measure(VARIATION, model("half"))
    chosen = rows["tv_lower", "", "point"].value
    assert chosen in [rows["tv_lower", name, "point"].value for name in ("logistic", "boosting", "nearest")]


def test_distances_good_and_bad() -> None:
    good = measure(DISTANCES, model("good"))
    for name in ("mmd2", "sliced_w2"):
        row = good[name, "", "point"]
        assert abs(row.value) < 3 * row.std_error
        assert good[f"{name}_p", "", "point"].value >= 0.1
        assert (row.n, row.n_reference) == (400, 400)
    for law in ("shifted", "half", "narrow"):
        bad = measure(DISTANCES, model(law))
        for name in ("mmd2", "sliced_w2"):
            row = bad[name, "", "point"]
            assert row.value > 3 * row.std_error
            assert bad[f"{name}_p", "", "point"].value == pytest.approx(0.05)


def test_distances_are_to_the_models_own_prior() -> None:
    class Shifted(StandardNormal):
        def sample(self, n: int, *, generator: torch.Generator) -> torch.Tensor:
            return super().sample(n, generator=generator) + 1.5

    given = fresh(model("shifted"), prior=Shifted(2))
    assert float(prior_draws(given, 5_000, 2, generator=stream(0)).mean()) == pytest.approx(1.5, abs=0.05)
    row = measure(DISTANCES, given)["sliced_w2", "", "point"]
    assert abs(row.value) < 3 * row.std_error


def test_radius_good_and_bad() -> None:
    good = measure(Radius(), model("good"))
    assert abs(good["radius_ks", "", "point"].value) < 3 * good["radius_ks", "", "point"].std_error
    assert good["radius_p", "", "point"].value > 0.01
    for law in ("shifted", "narrow"):
        bad = measure(Radius(), model(law))
        assert bad["radius_ks", "", "point"].value > 0.2
        assert bad["radius_p", "", "point"].value < 1e-6


def test_dependence_sits_where_it_is() -> None:
    good = measure(DEPENDENCE, model("good"))
    correlated = measure(DEPENDENCE, model("correlated"))
    shifted = measure(DEPENDENCE, model("shifted"))
    for name in ("dimension_wise_kl", "total_correlation"):
        assert good[name, "", "lower"].value <= 0.001
        assert 0 <= good[name, "", "upper"].value < 0.1
        point = good[f"{name}_point", "", "lower"]
        # a KL is at least 0, and so are its limits
        assert good[name, "", "lower"].value == pytest.approx(
            max(0.0, point.value - 1.959964 * point.std_error)
        )
    rho = 0.9 * (1 - S**2)
    truth = -0.5 * math.log(1 - rho**2)
    low, high = (correlated["total_correlation", "", side].value for side in ("lower", "upper"))
    assert 0.5 * truth < low <= truth <= high
    assert correlated["dimension_wise_kl", "", "upper"].value < 0.1
    assert shifted["dimension_wise_kl", "", "lower"].value > 2 * 0.5 * 1.5**2 - 0.2
    assert shifted["total_correlation", "", "upper"].value < 0.1


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: replace(HOLES, levels=[0.7]), r"levels=\[0.7\]"),
        (lambda: replace(HOLES, n_prior=1), "n_prior=1"),
        (lambda: replace(VARIATION, n_fit=1), "n_fit=1"),
        (lambda: replace(DISTANCES, n_repeats=1), "n_repeats=1"),
        (lambda: replace(DEPENDENCE, n_draws=0), "n_draws=0"),
    ],
)
def test_bad_values(make: object, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        make()
