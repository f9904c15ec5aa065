"""Sets of wide rows in the coordinates of their span: distances, FID and its error are those of the rows."""

import math

import pytest
import torch

from priorgap.estimators.debiasing import frechet_infinity
from priorgap.estimators.discrepancy import (
    _Transport,
    frechet_distance,
    frechet_from_features,
    frechet_null_bias,
    frechet_null_interval,
)
from priorgap.estimators.gaussian import sample_moments
from priorgap.estimators.span import in_span


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sets(n: int, m: int, d: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Correlated rows with unequal scales and another mean and scale in the second set."""
    g = seeded(seed)
    mix = torch.randn(d, d, generator=g, dtype=torch.float64) / math.sqrt(d)
    a, b = (torch.randn(k, d, generator=g, dtype=torch.float64) @ mix for k in (n, m))
    return a, 1.5 * b + 0.2


@pytest.mark.parametrize(("n", "m", "d"), [(12, 20, 200), (2, 2, 50), (40, 3, 60), (30, 29, 60)])
def test_fid_and_its_error_are_those_of_the_full_matrices(n: int, m: int, d: int) -> None:
    a, b = sets(n, m, d)
    (mean_a, cov_a), (mean_b, cov_b) = sample_moments(a), sample_moments(b)
    found = frechet_from_features(a, b)
    assert found.value == pytest.approx(frechet_distance(mean_a, cov_a, mean_b, cov_b), rel=1e-6)
    if found.std_error is not None:
        ways = _Transport(mean_a, cov_a, mean_b, cov_b, vectors=True).influence(a - mean_a, b - mean_b)
        variance = sum(float(way.var()) / len(way) for way in ways)
        assert found.std_error == pytest.approx(math.sqrt(variance), rel=1e-5)
    shifted = frechet_from_features(a, b + 1.0)
    assert shifted.value > 1.05 * found.value, "negative control"


def test_distances_and_moments_are_kept_and_the_columns_are_the_rank() -> None:
    a, b = sets(5, 7, 300)
    short, other = in_span(a, b)
    assert short.shape == (5, 11) and other.shape == (7, 11)
    assert torch.allclose(torch.cdist(short, other), torch.cdist(a, b))
    values, full = (torch.linalg.eigvalsh(sample_moments(x)[1]) for x in (short, a))
    assert torch.allclose(values, full[-11:], atol=1e-10)
    assert frechet_null_bias(sample_moments(short)[1], 5, 7) == pytest.approx(
        frechet_null_bias(sample_moments(a)[1], 5, 7), rel=1e-6
    )


def test_rows_that_are_enough_are_left_alone() -> None:
    a, b = sets(30, 30, 60)
    assert all(x is y for x, y in zip(in_span(a, b), (a, b), strict=True))
    assert in_span(a[:15], b[:15])[0].shape == (15, 29)


def test_rows_without_a_direction() -> None:
    same = torch.ones(4, 90)
    assert [x.tolist() for x in in_span(same, same)] == [[[0.0]] * 4] * 2
    assert frechet_from_features(same, same).value == 0
    # two points
    a, b = torch.zeros(3, 90), torch.zeros(3, 90)
    b[:, 0] = 2.0
    assert in_span(a, b)[0].shape == (3, 1) and frechet_from_features(a, b).value == pytest.approx(4.0)


def test_wide_features_need_no_matrix_of_their_width() -> None:
    """A covariance of 400,000 columns would take 1.3 terabytes."""
    a, b = (torch.randn(20, 400_000, generator=seeded(s)) for s in (0, 1))
    value = frechet_from_features(a, b + 0.01).value
    # orthogonal directions: the traces of both covariances, and the distance of the means
    traces = sum(float(x.double().var(0).sum()) for x in (a, b))
    means = float((a.double().mean(0) - b.double().mean(0) - 0.01).square().sum())
    assert value == pytest.approx(traces + means, rel=0.01)
    low, high = frechet_null_interval(torch.cat([a, b]), 10, 10, generator=seeded(), n_repeats=4)
    assert 0 < low < high
    assert frechet_infinity(a, b, generator=seeded(), n_splits=1).value > 0
