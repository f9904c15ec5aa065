"""Latent measures: good, bad and degenerate models with known answers."""

import math
from dataclasses import replace

import pytest
import torch

from priorgap.core.latents import Latents
from priorgap.core.measurement import Measurement
from priorgap.core.random import stream
from priorgap.densities import GaussianMixture
from priorgap.estimators.gaussian import standard_normal_log_prob
from priorgap.metrics import (
    ActiveUnits,
    Decomposition,
    Elbo,
    KLBracket,
    MarginalKL,
    ModelEvidence,
    NotApplicable,
    Rate,
    TrainMixture,
    bracket_of_kl,
)
from priorgap.metrics.unit_dependence import UnitDependence
from priorgap.priors.standard_normal import StandardNormal
from priorgap.testing.world import fresh, world

BRACKET = KLBracket(n_components=[1, 4], n_fit=4_000, max_iter=30, reg_covar=1e-6, n_draws=2)


def posteriors(n: int, seed: str, *, shift: float = 0.0, std: float = 0.5, dim: int = 2) -> Latents:
    """An aggregate posterior that is exactly N(shift, I) in every unit, with posteriors of this std."""
    mean = shift + math.sqrt(1 - std**2) * torch.randn(n, dim, generator=stream(0, "mean", seed))
    return Latents(mean, torch.full((n, dim), 2 * math.log(std)))


def model(n: int = 2_000, **law: float) -> ModelEvidence:
    return ModelEvidence(*(posteriors(n, name, **law) for name in ("train", "validation", "test")))


def measure(metric: object, given: ModelEvidence) -> dict[tuple[str, str, str], Measurement]:
    rows = metric.measure(given.alone(), generator=stream(0))
    return {(r.measure, r.unit, r.bound): r for r in rows}


def test_rate_equals_the_closed_form_and_sums_its_units() -> None:
    rows = measure(Rate(), model(std=0.5))
    expected = -math.log(0.5)  # E of (mu² + s² - 1)/2 is 0 where q(z) = N(0, 1)
    total = rows["rate", "", "point"]
    assert total.value == pytest.approx(2 * expected, abs=4 * total.std_error)
    assert total.value == pytest.approx(sum(rows["rate", str(j), "point"].value for j in (0, 1)))
    assert total.n == 2_000


def test_rate_is_of_the_test_images() -> None:
    given = model()
    wide = fresh(given, test=posteriors(2_000, "other", std=0.9))
    assert measure(Rate(), wide)["rate", "", "point"].value < 0.5
    assert measure(Rate(), fresh(given, train=None))["rate", "", "point"].value > 1


def test_a_collapsed_model_has_no_rate_and_no_active_units() -> None:
    nothing = Latents(torch.zeros(100, 3), torch.zeros(100, 3))
    given = ModelEvidence(nothing, nothing, nothing)
    assert measure(Rate(), given)["rate", "", "point"].value == 0
    counts = measure(ActiveUnits(0.01, 0.01), given)
    assert counts["active_units_var", "", "point"].value == 0
    assert counts["active_units_rate", "", "point"].value == 0


def test_active_units_by_variance_and_by_rate_differ_where_they_should() -> None:
    """A unit with a constant mean but a narrow s has rate and no variance."""
    mean = torch.randn(500, 3, generator=stream(0)) * torch.tensor([1.0, 0.0, 0.0])
    log_var = torch.tensor([-2.0, -2.0, 0.0]).expand(500, 3)
    counts = measure(ActiveUnits(0.01, 0.01), ModelEvidence(test=Latents(mean, log_var)))
    assert counts["active_units_var", "", "point"].value == 1
    assert counts["active_units_rate", "", "point"].value == 2
    plain = measure(ActiveUnits(0.01, 0.01), ModelEvidence(test=Latents(mean)))
    assert list(plain) == [("active_units_var", "", "point")]


def test_marginals_good_and_bad() -> None:
    good = measure(MarginalKL("train"), model())
    assert good["marginal_kl", "", "point"].value < 0.01
    bad = measure(MarginalKL("train"), model(shift=1.0))
    for unit in ("0", "1"):
        assert bad["marginal_kl", unit, "point"].value == pytest.approx(0.5, abs=0.06)
        assert bad["marginal_w1", unit, "point"].value == pytest.approx(1.0, abs=0.06)
        assert bad["marginal_tv", unit, "point"].value == pytest.approx(0.383, abs=0.03)


def test_marginals_know_their_part() -> None:
    given = fresh(model(), test=posteriors(500, "t", shift=1.0))
    assert measure(MarginalKL("train"), given)["marginal_kl", "0", "point"].value < 0.01
    row = measure(MarginalKL("test"), given)["marginal_kl", "0", "point"]
    assert row.value > 0.3 and row.n == 500
    with pytest.raises(ValueError, match="part='all'"):
        MarginalKL("all")


def test_decomposition_separates_moments_from_correlation() -> None:
    mixing = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    correlated = Latents(torch.randn(4_000, 2, generator=stream(1)) @ mixing.T, torch.full((4_000, 2), -30.0))
    plain = posteriors(4_000, "train")
    rows = measure(Decomposition(20), ModelEvidence(train=plain, test=correlated))
    corr, diag = rows["kl_corr", "", "point"], rows["kl_diag", "", "point"]
    assert corr.value == pytest.approx(-0.5 * math.log(1 - 0.8**2), abs=4 * corr.std_error)
    assert abs(diag.value) < 4 * diag.std_error + 1e-3
    assert abs(rows["kl_diag_train", "", "point"].value) < 0.003
    shifted = measure(Decomposition(20), ModelEvidence(train=posteriors(2_000, "s", shift=0.5), test=plain))
    assert shifted["kl_diag_train", "", "point"].value == pytest.approx(2 * 0.125, abs=0.03)


def test_decomposition_of_a_constant_unit_is_absent_with_the_reason() -> None:
    constant = Latents(torch.zeros(50, 2))
    with pytest.raises(NotApplicable) as caught:
        measure(Decomposition(5), ModelEvidence(train=constant, test=constant))
    assert "\n" not in str(caught.value)


def test_bracket_holds_no_mismatch() -> None:
    rows = measure(BRACKET, model(4_000))
    assert rows["kl", "", "lower"].value < 1e-3
    assert 0 < rows["kl", "", "upper"].value < 0.1
    # p itself describes validation draws best: the lower end is exactly that of no mismatch
    assert rows["kl", "", "lower"].value == rows["kl_point", "", "lower"].value == 0
    assert rows["kl", "", "upper"].value > rows["kl_point", "", "upper"].value
    z = (rows["kl", "", "upper"].value - rows["kl_point", "", "upper"].value) / rows[
        "kl", "", "upper"
    ].std_error
    assert z == pytest.approx(1.96, abs=0.001)


def test_bracket_holds_a_known_shift() -> None:
    rows = measure(BRACKET, model(4_000, shift=1.0))
    truth = 2 * 0.5
    assert rows["kl", "", "lower"].value < truth < rows["kl", "", "upper"].value
    assert rows["kl_point", "", "lower"].value > 0.9 * truth
    assert rows["kl_point", "", "upper"].value < truth + 0.1


def clusters(n: int, seed: str) -> Latents:
    """A grid of 4 clusters: far from Gaussian, with the moments of N(0, I)."""
    g = stream(0, "clusters", seed)
    corner = torch.randint(0, 2, (n, 2), generator=g) * 2.0 - 1
    return Latents(
        0.95 * corner + 0.1 * torch.randn(n, 2, generator=g), torch.full((n, 2), 2 * math.log(0.25))
    )


def test_bracket_sees_holes_that_moments_do_not() -> None:
    given = ModelEvidence(*(clusters(3_000, name) for name in ("train", "validation", "test")))
    lower = measure(BRACKET, given)["kl", "", "lower"].value
    assert lower > 0.5
    assert abs(measure(Decomposition(10), given)["kl_diag", "", "point"].value) < 0.02
    one = measure(replace(BRACKET, n_components=1), given)["kl", "", "lower"].value
    assert lower - 0.05 < one <= lower + 0.05  # the training mixture steps in for a poor mixture model


def test_bracket_ignores_what_it_was_not_promised() -> None:
    """The lower end is reported on test draws: training posteriors unlike them cannot raise it."""
    far = posteriors(2_000, "train", shift=3.0)
    given = ModelEvidence(far, far, posteriors(2_000, "test"))
    rows = measure(BRACKET, given)
    assert rows["kl_point", "", "lower"].value < 0 and rows["kl", "", "lower"].value == 0


def test_bracket_uses_the_models_prior() -> None:
    class Wide(StandardNormal):
        def log_prob(self, z: torch.Tensor) -> torch.Tensor:
            return super().log_prob(z / 3) - self.dim * math.log(3)

    given = fresh(model(4_000), prior=Wide(2))
    truth = 2 * (math.log(3) + 0.5 / 9 - 0.5)
    rows = measure(BRACKET, given)
    assert rows["kl", "", "lower"].value < truth < rows["kl", "", "upper"].value
    assert rows["kl_point", "", "lower"].value == pytest.approx(truth, abs=0.05)


def test_train_mixture_shows_log_n_and_not_the_mismatch() -> None:
    narrow = ModelEvidence(*[posteriors(300, "t", std=0.02, dim=8)] * 3)
    row = measure(TrainMixture(300), narrow)["kl_train_mixture", "", "point"]
    rate = measure(Rate(), narrow)["rate", "", "point"].value
    assert row.value == pytest.approx(rate - math.log(300), abs=0.5)
    assert (row.n, row.n_reference) == (300, 300)


def test_elbo_is_minus_distortion_minus_rate() -> None:
    given = world().model
    rows = measure(Elbo(), given)
    rate = measure(Rate(), given)["rate", "", "point"].value
    distortion = rows["distortion", "", "point"].value
    assert rows["elbo", "", "point"].value == pytest.approx(-distortion - rate, rel=1e-6)
    assert rows["distortion_sse", "", "point"].value == pytest.approx(2 * distortion, rel=1e-6)
    with pytest.raises(NotApplicable, match="one distortion for each test image"):
        measure(Elbo(), fresh(given, distortion=torch.ones(3)))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: replace(BRACKET, n_draws=0), "n_draws=0"),
        (lambda: replace(BRACKET, n_components=[]), "n_components"),
        (
            lambda: ModelEvidence(reference=world().reference, test=posteriors(3, "x")),
            "test has 3 posteriors",
        ),
    ],
)
def test_bad_values(make: object, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        make()


def test_rates_of_a_prior_without_a_closed_form_are_drawn():
    """A mixture of one Gaussian N(m, s^2 I): the closed form is known, and not that of N(0, I)."""
    from priorgap.priors.mixture import MixturePrior

    prior = MixturePrior(3, 1, full=False)
    with torch.no_grad():
        prior.mean.fill_(0.5)
        prior.log_std.fill_(math.log(1.5))
    g = stream(1)
    latents = Latents(torch.randn(400, 3, generator=g), 0.5 * torch.randn(400, 3, generator=g) - 1)
    model = ModelEvidence(
        latents, latents, latents, prior=prior, distortion=torch.ones(400), distortion_sse=torch.ones(400)
    )
    mean, var = latents.mean.double(), latents.log_var.double().exp()
    closed = (0.5 * ((mean - 0.5) ** 2 + var) / 2.25 - 0.5 - 0.5 * latents.log_var + math.log(1.5)).sum(1)
    (rate,) = Rate().measure(model.alone(), generator=stream(2))
    assert rate.unit == "" and rate.std_error > 0
    drawn = closed.std() / 400**0.5
    assert abs(rate.value - float(closed.mean())) < 4 * (3 / (8 * 400)) ** 0.5
    assert rate.std_error == pytest.approx(float(drawn), rel=0.2)
    standard = float(0.5 * (mean**2 + var - 1 - latents.log_var).sum(1).mean())
    assert abs(rate.value - standard) > 0.2  # negative control: N(0, I) in its place
    elbo = {row.measure: row.value for row in Elbo().measure(model.alone(), generator=stream(2))}
    assert elbo["elbo"] == pytest.approx(-1 - rate.value)
    counts = ActiveUnits(0.01, 0.01).measure(model.alone(), generator=stream(2))
    assert [row.measure for row in counts] == ["active_units_var"]


DEPENDENCE = UnitDependence(n_components=[1, 4], n_fit=4_000, max_iter=30, reg_covar=1e-6)


def follower(n: int, seed: str, *, strength: float) -> Latents:
    """Unit 1 follows the sign of unit 0, which has two modes; unit 2 follows nobody."""
    generator = stream(0, "follower", seed)
    sign = torch.randint(0, 2, (n, 1), generator=generator) * 2.0 - 1
    mean = torch.cat([sign, strength * sign, torch.zeros(n, 1)], 1) + 0.3 * torch.randn(
        n, 3, generator=generator
    )
    return Latents(mean, torch.full((n, 3), -4.0))


def test_dependence_finds_the_units_that_follow_each_other_and_no_other() -> None:
    parts = (follower(4_000, name, strength=1.0) for name in ("train", "validation", "test"))
    rows = measure(DEPENDENCE, ModelEvidence(*parts))
    for j in ("0", "1"):
        assert rows["unit_dependence", j, "point"].value == pytest.approx(math.log(2), abs=0.05)
        assert rows["unit_dependence_linear", j, "point"].value > 0.5
    assert abs(rows["unit_dependence", "2", "point"].value) < 0.02
    assert rows["unit_dependence_linear", "2", "point"].value < 0.01


def test_independent_units_have_no_dependence() -> None:
    rows = measure(DEPENDENCE, model(4_000))
    for j in ("0", "1"):
        assert abs(rows["unit_dependence", j, "point"].value) < 0.02


def test_a_unit_that_is_constant_leaves_dependence_out_with_the_reason() -> None:
    flat = Latents(torch.zeros(100, 2), None)
    with pytest.raises(NotApplicable, match="constant"):
        measure(DEPENDENCE, ModelEvidence(flat, flat, flat))


def test_a_ring_in_two_of_many_units_is_seen_by_the_bracket() -> None:
    """The other densities see next to nothing of it: the subspace is what the lower end stands on."""

    def ring(n: int, name: str, d: int = 16) -> Latents:
        mean = math.sqrt(1 - 0.3**2) * torch.randn(n, d, generator=stream(3, name))
        angle = 2 * math.pi * torch.rand(n, generator=stream(4, name))
        radius = math.sqrt(2 * (1 - 0.3**2))
        mean[:, 0], mean[:, 1] = radius * angle.cos(), radius * angle.sin()
        return Latents(mean, torch.full((n, d), 2 * math.log(0.3)))

    parts = [ring(n, name) for n, name in ((5_000, "a"), (1_000, "b"), (1_000, "c"))]
    mixture = GaussianMixture(10, 5_000, 40, 1e-6)
    found, name = bracket_of_kl(*parts, mixture=mixture, n_draws=1, generator=stream(0))
    z_train, z_validation, z_test = (p.draw(generator=stream(5, i)) for i, p in enumerate(parts))
    alone = mixture.fit(z_train, z_validation, generator=stream(6))
    without = float((alone.log_prob(z_test) - standard_normal_log_prob(z_test)).mean())
    assert name == "subspace"
    assert found.lower.value > without + 4 * found.lower.std_error
    assert found.lower.value + 2 * found.lower.std_error > 0.85 * 0.4989
    assert found.limits()[0] < 0.4989 < found.limits()[1]  # by quadrature of the radius


def test_many_units_and_few_images_have_a_lower_end() -> None:
    """128 units of variance 1.3 or 0.7, 1,800 images: a full covariance says nothing, its diagonal does."""
    spread = torch.where(torch.arange(128) % 2 == 0, 1.3, 0.7)

    def wide(n: int, name: str) -> Latents:
        z = torch.randn(n, 128, generator=stream(0, "wide", name))
        return Latents(z * (spread - 0.01).sqrt(), torch.full((n, 128), 2 * math.log(0.1)))

    given = ModelEvidence(wide(1800, "train"), wide(600, "validation"), wide(600, "test"))
    rows = measure(BRACKET, given)
    truth = float(0.5 * (spread - 1 - spread.log()).sum())
    assert 0.7 * truth < rows["kl", "", "lower"].value < truth
    assert rows["kl_rows_per_parameter", "", "point"].value < 2
    floor = rows["kl_upper_floor", "", "point"].value
    assert 0 < floor < rows["kl", "", "upper"].value
    assert rows["kl_largest_share", "", "point"].value < 0.1
