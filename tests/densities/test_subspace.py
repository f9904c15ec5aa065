"""The mixture in a subspace: what it finds, that it is a density, and what it does where there is nothing to find."""

import math

import pytest
import torch

from priorgap.densities import GaussianMixture
from priorgap.densities.subspace import SubspaceMixture, _turned, _white, unusual_directions
from priorgap.estimators.gaussian import standard_normal_log_prob

MIXTURE = GaussianMixture(n_components=(5, 15), n_fit=20_000, max_iter=60, reg_covar=1e-6)


def ring(n, d, generator, place=(3, 5)):
    """Points of a blurred ring of unit variances in two units, the rest normal."""
    z = torch.randn(n, d, generator=generator)
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    blur = 0.3
    radius = math.sqrt(2 * (1 - blur**2))
    z[:, place[0]] = radius * angle.cos() + blur * torch.randn(n, generator=generator)
    z[:, place[1]] = radius * angle.sin() + blur * torch.randn(n, generator=generator)
    return z


def plane_kl(blur=0.3):
    """KL of the blurred ring to N(0, I) in its plane, by quadrature over the radius: q depends on it alone."""
    r = (torch.arange(40_000, dtype=torch.float64) + 0.5) * 1e-4
    radius = math.sqrt(2 * (1 - blur**2))
    s2 = blur**2
    log_q = (
        -((r - radius).square()) / (2 * s2)
        + torch.special.i0e(r * radius / s2).log()
        - math.log(2 * math.pi * s2)
    )
    log_p = -0.5 * r.square() - math.log(2 * math.pi)
    return float((log_q.exp() * (log_q - log_p) * 2 * math.pi * r).sum() * 1e-4)


@pytest.mark.parametrize("d", [2, 12])
def test_a_ring_among_normal_units_is_found(d, generator):
    place = (0, 1) if d == 2 else (3, 5)
    train, validation, test = (ring(n, d, generator, place) for n in (20_000, 4_000, 10_000))
    fitted = SubspaceMixture((2, 3), MIXTURE).fit(train, validation, generator=generator)
    gained = fitted.log_prob(test) - standard_normal_log_prob(test)
    truth, error = plane_kl(), float(gained.std()) / 100
    assert truth - 0.04 < float(gained.mean()) < truth + 3 * error
    if d > 2:
        loading = torch.linalg.svdvals(fitted.directions[:2][:, list(place)])
        assert float(loading.min()) > 0.995
        # negative controls: a mixture of all units from the same settings, and directions at random
        whole = MIXTURE.fit(train, validation, generator=generator)
        below = gained - (whole.log_prob(test) - standard_normal_log_prob(test))
        assert float(below.mean()) > 5 * float(below.std()) / 100
        wrong = torch.linalg.qr(torch.randn(d, 2, generator=generator, dtype=torch.float64)).Q.T
        white = _white(train.double(), fitted.mean, fitted.factor)
        there = MIXTURE.fit(white @ wrong.T, white[:100] @ wrong.T, generator=generator)
        blind = type(fitted)(fitted.mean, fitted.factor, wrong, there)
        assert float((blind.log_prob(test) - standard_normal_log_prob(test)).mean()) < truth - 0.2


def test_it_follows_a_change_of_units(generator):
    """z -> B z + c changes log f by -log |det B|."""
    train, validation, test = (ring(n, 6, generator) for n in (6_000, 1_000, 500))
    change = torch.eye(6) + 0.3 * torch.randn(6, 6, generator=generator)
    moved = [x @ change.T + 1 for x in (train, validation, test)]
    settings = SubspaceMixture((2,), MIXTURE)
    plain = settings.fit(train, validation, generator=torch.Generator().manual_seed(1)).log_prob(test)
    other = settings.fit(moved[0], moved[1], generator=torch.Generator().manual_seed(1)).log_prob(moved[2])
    assert float((other - plain).mean()) == pytest.approx(-float(torch.linalg.slogdet(change)[1]), abs=0.03)


def test_it_integrates_to_one(generator):
    z = ring(4_000, 2, generator, (0, 1))
    fitted = SubspaceMixture((1,), MIXTURE).fit(z, z[:1000], generator=generator)
    assert fitted.directions.shape == (1, 2)
    axis = torch.linspace(-6, 6, 400, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    assert float(fitted.log_prob(grid).exp().sum()) * float(axis[1] - axis[0]) ** 2 == pytest.approx(
        1, abs=1e-6
    )


def test_where_all_is_normal_it_is_the_gaussian(generator):
    train, validation, test = (torch.randn(n, 5, generator=generator) for n in (20_000, 2_000, 5_000))
    fitted = SubspaceMixture((2, 9), MIXTURE).fit(train, validation, generator=generator)
    assert abs(float((fitted.log_prob(test) - standard_normal_log_prob(test)).mean())) < 0.02


def test_directions_are_orthonormal_and_the_least_normal(generator):
    z = torch.randn(20_000, 6, generator=generator, dtype=torch.float64)
    z[:, 4] = (torch.rand(20_000, generator=generator).double() - 0.5) * math.sqrt(12)  # light tails
    z[:, 1] = torch.rand(20_000, generator=generator).double().log() * -1 - 1  # skewed
    z[:, 2] = (z[:, 0].square() - 1) / math.sqrt(2) * 0.8 + 0.6 * z[:, 2]  # a curve over unit 0
    found = unusual_directions((z - z.mean(0)) / z.std(0), 4)
    torch.testing.assert_close(found @ found.T, torch.eye(4, dtype=torch.float64))
    assert float(found[:, [0, 1, 2, 4]].square().sum()) > 3.9
    assert found[0, 1].abs() > 0.99
    assert len(unusual_directions(z[:, :3], 9)) == 3


def test_turning_helps_and_never_harms(generator):
    z = ring(8_000, 4, generator, (0, 1)).double()
    exact = torch.eye(2, 4, dtype=torch.float64)
    mixture = MIXTURE.fit(z @ exact.T, z[:500] @ exact.T, generator=generator)
    off = torch.linalg.qr((exact + 0.2 * torch.randn(2, 4, generator=generator, dtype=torch.float64)).T).Q.T
    off = torch.where(((off * exact).sum(1) < 0)[:, None], -off, off)

    def score(p):
        y = z @ p.T
        return float((mixture.log_prob(y) + 0.5 * y.square().sum(1)).mean())

    turned = _turned(z, off, mixture)
    torch.testing.assert_close(turned @ turned.T, torch.eye(2, dtype=torch.float64))
    assert score(turned) > score(off) + 0.02
    again = _turned(z, exact, mixture)
    assert score(again) >= score(exact)


def test_degenerate_and_bad_input(generator):
    flat = torch.randn(500, 3, generator=generator)
    flat[:, 2] = flat[:, 0]
    fitted = SubspaceMixture((2,), GaussianMixture(2, 500, 20, 1e-6)).fit(
        flat, flat[:50], generator=generator
    )
    assert bool(torch.isfinite(fitted.log_prob(flat)).all())
    for bad in ((), (0, 2)):
        with pytest.raises(ValueError, match="expected integers of at least 1"):
            SubspaceMixture(bad, MIXTURE)
    with pytest.raises(ValueError, match="z_train"):
        SubspaceMixture((2,), MIXTURE).fit(flat[:1], flat, generator=generator)
