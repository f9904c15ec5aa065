import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from priorgap.core.latents import Moments
from priorgap.core.random import stream
from priorgap.densities import FittedGaussian, Gaussian
from priorgap.densities.protocols import stable_cholesky


def sample(n: int = 4_000) -> torch.Tensor:
    mixing = torch.tensor([[1.0, 0.0], [0.9, 0.3]], dtype=torch.float64)
    return torch.randn(n, 2, generator=stream(0), dtype=torch.float64) @ mixing.T + 2


def test_fit_equals_the_sample_moments() -> None:
    z = sample()
    fitted = Gaussian("full").fit(z, z, generator=stream(0))
    assert torch.allclose(fitted.mean, z.mean(0), atol=1e-12)
    assert torch.allclose(fitted.cov, z.T.cov(), atol=1e-12)


def test_diag_keeps_variances_and_drops_covariances() -> None:
    z = sample()
    fitted = Gaussian("diag").fit(z, z, generator=stream(0))
    assert torch.allclose(fitted.cov, torch.diag(z.var(0)), atol=1e-12)


def test_log_prob_equals_torch_distributions() -> None:
    z = sample()
    fitted = Gaussian("full").fit(z, z, generator=stream(0))
    reference = MultivariateNormal(fitted.mean, fitted.cov).log_prob(z)
    assert torch.allclose(fitted.log_prob(z), reference, atol=1e-10)
    assert fitted.log_prob(z.float()).dtype == torch.float64


def test_full_beats_diag_on_correlated_draws_only() -> None:
    z, heldout = sample(), sample(6_000)[4_000:]
    full, diag = (Gaussian(c).fit(z, z, generator=stream(0)) for c in ("full", "diag"))
    gain = float((full.log_prob(heldout) - diag.log_prob(heldout)).mean())
    correlation = 0.9 / math.sqrt(0.9)
    assert gain == pytest.approx(-0.5 * math.log(1 - correlation**2), abs=0.1)
    independent = torch.randn(4_000, 2, generator=stream(1), dtype=torch.float64)
    full, diag = (Gaussian(c).fit(independent, independent, generator=stream(0)) for c in ("full", "diag"))
    assert abs(float((full.log_prob(independent) - diag.log_prob(independent)).mean())) < 2e-3


def test_shares_the_base_noise_of_the_standard_normal() -> None:
    moments = Moments(torch.ones(3, dtype=torch.float64), 4 * torch.eye(3, dtype=torch.float64))
    drawn = FittedGaussian.from_moments(moments).draw(50, generator=stream(9))
    assert torch.allclose(drawn, 1 + 2 * torch.randn(50, 3, generator=stream(9)))


def test_a_collapsed_unit_is_survived() -> None:
    z = sample()
    z[:, 1] = 0.7
    fitted = Gaussian("full").fit(z, z, generator=stream(0))
    drawn = fitted.draw(100, generator=stream(1))
    assert torch.allclose(drawn[:, 1], torch.tensor(0.7), atol=1e-3)
    assert torch.isfinite(fitted.log_prob(z)).all()


def test_what_is_no_covariance_is_refused() -> None:
    with pytest.raises(ValueError, match="positive semi-definite"):
        stable_cholesky(torch.tensor([[1.0, 3.0], [3.0, 1.0]], dtype=torch.float64))


@pytest.mark.parametrize(
    ("z", "expected"),
    [
        (torch.zeros(1, 2), "1 points: expected at least 2"),
        (torch.zeros(4), "expected \\[n, d\\]"),
        (torch.tensor([[1.0], [float("inf")]]), "not finite"),
    ],
)
def test_bad_points(z: torch.Tensor, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Gaussian("full").fit(z, z, generator=stream(0))


def test_bad_covariance() -> None:
    with pytest.raises(ValueError, match="covariance='round'"):
        Gaussian("round")
