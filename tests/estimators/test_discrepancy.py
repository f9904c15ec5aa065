"""FID against torchmetrics, scipy, closed forms and simulation."""

import math

import pytest
import torch
from peer_features import Flatten
from refusals import drawn_from_its_generator, refused, seeded
from scipy import stats
from scipy.linalg import sqrtm

from priorgap.core import torchvision_compat
from priorgap.estimators.discrepancy import (
    frechet_distance,
    frechet_from_features,
    frechet_null_bias,
    frechet_null_interval,
)
from priorgap.estimators.gaussian import sample_moments


def random_cov(d, generator, rank=None):
    root = torch.randn(d, rank or d + 3, generator=generator, dtype=torch.float64)
    return root @ root.T / d


def scipy_frechet(mean_a, cov_a, mean_b, cov_b):
    root = sqrtm((cov_a @ cov_b).numpy())
    return float((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * root.trace().real)


# ---- Fréchet


def test_closed_form_of_commuting_gaussians():
    mean = torch.tensor([1.0, -2.0])
    cov_a, cov_b = torch.diag(torch.tensor([4.0, 9.0])), torch.diag(torch.tensor([1.0, 16.0]))
    value = frechet_distance(mean, cov_a, torch.zeros(2), cov_b)
    assert value == pytest.approx(1 + 4 + (2 - 1) ** 2 + (3 - 4) ** 2)


def test_equals_scipy_and_is_symmetric(generator):
    mean_a, mean_b = torch.randn(2, 9, generator=generator, dtype=torch.float64)
    cov_a, cov_b = random_cov(9, generator), random_cov(9, generator)
    value = frechet_distance(mean_a, cov_a, mean_b, cov_b)
    assert value == pytest.approx(scipy_frechet(mean_a, cov_a, mean_b, cov_b), rel=1e-8)
    assert value == pytest.approx(frechet_distance(mean_b, cov_b, mean_a, cov_a), rel=1e-9)
    # negative control: the root of the product entry by entry is another number
    wrong = float((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace())
    wrong -= 2 * float((cov_a.diagonal() * cov_b.diagonal()).sqrt().sum())
    assert value != pytest.approx(wrong, rel=1e-3)


def test_singular_covariances(generator):
    cov_a, cov_b = random_cov(8, generator, rank=3), random_cov(8, generator, rank=5)
    zero = torch.zeros(8)
    value = frechet_distance(zero, cov_a, zero, cov_b)
    # the nuclear norm of the product of the factors needs no matrix root
    factors = [torch.linalg.eigh(c) for c in (cov_a, cov_b)]
    roots = [v * w.clamp_min(0).sqrt() for w, v in factors]
    expected = cov_a.trace() + cov_b.trace() - 2 * torch.linalg.svdvals(roots[0].T @ roots[1]).sum()
    assert value == pytest.approx(float(expected), rel=1e-6)
    assert value == pytest.approx(frechet_distance(zero, cov_b, zero, cov_a), rel=1e-6)


@pytest.mark.parametrize("width", [129, 400])
def test_many_dimensions_and_bad_conditions(width, generator):
    """Against singular values of the two roots' product, which square nothing, from a condition of 1 to 1e12."""

    def root(decades):
        turn = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))[0]
        return turn * 10 ** (-0.5 * decades * torch.linspace(0, 1, width, dtype=torch.float64))

    zero = torch.zeros(width, dtype=torch.float64)
    for decades in (0, 6, 12):
        a, b = root(decades), root(decades)
        expected = float(a.square().sum() + b.square().sum() - 2 * torch.linalg.svdvals(a.T @ b).sum())
        cov_a, cov_b = a @ a.T, b @ b.T
        found = frechet_distance(zero, cov_a, zero + 1 / 8, cov_b)
        assert found == pytest.approx(expected + width / 64, rel=1e-6)
        # negative control: one coordinate left out of one covariance
        cov_b[:, -1] = cov_b[-1, :] = 0
        assert frechet_distance(zero, cov_a, zero + 1 / 8, cov_b) != pytest.approx(found, rel=1e-6)


def test_dead_coordinates_count_by_their_means_and_variances(generator):
    """A coordinate that is constant in one set only contributes its variance, in both only its means."""
    cov = random_cov(3, generator)
    small = frechet_distance(torch.zeros(3), cov, torch.ones(3), 2 * cov)

    def widened(matrix, fourth, fifth):
        out = torch.zeros(5, 5, dtype=torch.float64)
        out[:3, :3], out[3, 3], out[4, 4] = matrix, fourth, fifth
        return out

    mean_a, mean_b = torch.zeros(5), torch.tensor([1.0, 1.0, 1.0, 2.0, 0.0])
    value = frechet_distance(mean_a, widened(cov, 0.0, 0.0), mean_b, widened(2 * cov, 0.0, 0.7))
    assert value == pytest.approx(small + 4 + 0.7, rel=1e-9)


def test_all_coordinates_dead():
    zero = torch.zeros(2, 2)
    assert frechet_distance(torch.zeros(2), zero, torch.ones(2), zero) == pytest.approx(2.0)
    features = torch.zeros(5, 3)
    assert frechet_from_features(features, features).value == 0.0
    assert frechet_from_features(features, features + 1).value == pytest.approx(3.0)


def test_identical_sets_have_distance_zero(generator):
    for n in (400, 20):  # more and fewer rows than columns
        x = torch.randn(n, 30, generator=generator)
        assert frechet_from_features(x, x).value < 1e-5


def test_equals_torchmetrics_with_the_same_features(generator):
    torchvision_compat.ensure()
    from torchmetrics.image.fid import FrechetInceptionDistance

    real = torch.randint(0, 200, (300, 1, 4, 4), generator=generator, dtype=torch.uint8)
    fake = torch.randint(30, 256, (260, 1, 4, 4), generator=generator, dtype=torch.uint8)
    peer = FrechetInceptionDistance(feature=Flatten(16), input_img_size=(1, 4, 4)).set_dtype(torch.float64)
    peer.update(real, real=True)
    peer.update(fake, real=False)
    ours = frechet_from_features(real.flatten(1).float(), fake.flatten(1).float())
    assert ours.value == pytest.approx(float(peer.compute()), rel=1e-6)


@pytest.mark.filterwarnings("ignore:Matrix is singular")
def test_digits_pixels_with_fewer_images_than_needed(generator):
    """Plain Cholesky dies here: three pixels are always 0 and others nearly so."""
    from sklearn.datasets import load_digits

    x = torch.tensor(load_digits().data).double()[torch.randperm(1797, generator=generator)]
    for n in (40, 800):
        a, b = x[:n], x[n : 2 * n] * 0.8
        (mean_a, cov_a), (mean_b, cov_b) = sample_moments(a), sample_moments(b)
        assert int(torch.linalg.cholesky_ex(cov_a)[1]) != 0
        expected = scipy_frechet(mean_a, cov_a, mean_b, cov_b)
        estimate = frechet_from_features(a, b)
        assert estimate.value == pytest.approx(expected, rel=1e-4)


def test_detects_shift_scale_point_and_half_the_modes(generator):
    """Each fault is far above the null interval of the same sizes; the same law is inside it."""

    def real(n):
        mode = torch.where(torch.rand(n, 1, generator=generator) < 0.5, 2.0, -2.0)
        return torch.randn(n, 4, generator=generator) + torch.cat([mode, torch.zeros(n, 3)], 1)

    pool, test = real(2000), real(500)
    low, high = frechet_null_interval(pool, 500, 500, generator=generator)
    assert 0 <= low < high < 0.2
    assert low <= frechet_from_features(real(500), test).value <= high
    fresh = real(500)
    for bad in (fresh + 0.3, 1.3 * fresh, test[:1].expand(500, 4), fresh[fresh[:, 0] > 0]):
        estimate = frechet_from_features(bad, test)
        assert estimate.value > high
        assert estimate.std_error is not None and estimate.value - 2 * estimate.std_error > high


@pytest.mark.parametrize("shift", [0.5, 2.0])
def test_standard_error_against_simulation(shift, generator):
    d, n, m = 5, 400, 250
    root = torch.randn(d, d, generator=generator) / math.sqrt(d)
    values, errors = [], []
    for _ in range(150):
        a = torch.randn(n, d, generator=generator) @ root
        b = 1.5 * torch.randn(m, d, generator=generator) + shift
        estimate = frechet_from_features(a, b)
        values.append(estimate.value)
        errors.append(estimate.std_error)
    scatter = float(torch.tensor(values, dtype=torch.float64).std())
    ratio = sum(errors) / len(errors) / scatter
    assert 0.85 < ratio < 1.15


def test_standard_error_needs_both_sets_and_the_map(generator):
    """Negative controls: the randomness of one set alone, or of the means alone, is too little."""
    d, n, m = 5, 2000, 200
    values, errors, one_set, means_only = [], [], [], []
    for _ in range(120):
        a, b = torch.randn(n, d, generator=generator), 2 * torch.randn(m, d, generator=generator) + 0.3
        estimate = frechet_from_features(a, b)
        values.append(estimate.value)
        errors.append(estimate.std_error)
        shift = a.double().mean(0) - b.double().mean(0)
        means_only.append(float(2 * ((b.double() @ shift).var() / m + (a.double() @ shift).var() / n).sqrt()))
        one_set.append(float(2 * (a.double() @ shift).var().sqrt() / math.sqrt(n)))
    scatter = float(torch.tensor(values, dtype=torch.float64).std())
    average = [sum(x) / len(x) / scatter for x in (errors, means_only, one_set)]
    assert 0.85 < average[0] < 1.15 and average[1] < 0.5 and average[2] < 0.2


def test_standard_error_with_dead_and_low_rank_features(generator):
    """Features of rank 3 in 10 columns, 4 of them constant: the scatter is still matched."""
    lift = torch.zeros(3, 10)
    lift[:, :6] = torch.randn(3, 6, generator=generator)
    values, errors = [], []
    for _ in range(120):
        a = torch.randn(300, 3, generator=generator) @ lift
        b = (1.6 * torch.randn(300, 3, generator=generator) + 0.5) @ lift
        estimate = frechet_from_features(a, b)
        values.append(estimate.value)
        errors.append(estimate.std_error)
    ratio = sum(errors) / len(errors) / float(torch.tensor(values, dtype=torch.float64).std())
    assert 0.85 < ratio < 1.15


def test_no_standard_error_near_the_floor(generator):
    x = torch.randn(1000, 6, generator=generator)
    estimate = frechet_from_features(x[:500], x[500:])
    assert estimate.std_error is None and estimate.value < 0.1


def test_null_bias_against_simulation(generator):
    d, n, m = 6, 400, 300
    root = torch.randn(d, d, generator=generator, dtype=torch.float64)
    draws = [
        frechet_from_features(
            torch.randn(n, d, generator=generator, dtype=torch.float64) @ root,
            torch.randn(m, d, generator=generator, dtype=torch.float64) @ root,
        ).value
        for _ in range(150)
    ]
    values = torch.tensor(draws, dtype=torch.float64)
    expected = frechet_null_bias(root.T @ root, n, m)
    assert abs(float(values.mean()) - expected) < 4 * float(values.std()) / math.sqrt(150) + 0.02 * expected
    # negative control: without the covariance's share
    means_alone = (1 / n + 1 / m) * float((root.T @ root).trace())
    assert means_alone < 0.6 * expected


def test_null_bias_of_the_identity_by_hand():
    assert frechet_null_bias(torch.eye(2), 10, 10) == pytest.approx(0.2 * (2.5 + 1.0))
    assert frechet_null_bias(torch.zeros(2, 2), 10, 10) == 0.0
    assert frechet_null_bias(torch.diag(torch.tensor([1.0, 0.0])), 10, 10) == pytest.approx(0.2 * 1.5)


def test_null_interval_covers(generator):
    inside = 0
    for _ in range(100):
        pool = torch.randn(600, 3, generator=generator)
        low, high = frechet_null_interval(pool, 100, 100, generator=generator)
        fresh = torch.randn(200, 3, generator=generator)
        inside += low <= frechet_from_features(fresh[:100], fresh[100:]).value <= high
    assert inside >= 88


def test_frechet_bad_input(generator):
    x = torch.randn(10, 3, generator=generator)
    for call, message in (
        (lambda: frechet_from_features(x, x[:, :2]), "b has 2 columns: expected 3"),
        (lambda: frechet_from_features(x[:1], x), "a has 1 rows"),
        (lambda: frechet_null_interval(x, 6, 6, generator=generator), "n=6, m=6"),
        (lambda: frechet_null_interval(x, 5, 5, generator=generator, n_repeats=2), "n_repeats=2"),
        (lambda: frechet_null_bias(torch.eye(2), 1, 5), "n=1, m=5"),
        (lambda: frechet_distance(torch.zeros(2), torch.eye(2), torch.zeros(3), torch.eye(3)), "shapes"),
    ):
        with pytest.raises(ValueError) as error:
            call()
        assert message in str(error.value) and "\n" not in str(error.value)


# ---- step by step, borders, messages


def influence_by_differences(a, b):
    """The Fréchet distance's derivative in the weight of each row, by central differences of weighted moments."""

    def moments(x, weight):
        share = weight / weight.sum()
        mean = share @ x
        return mean, (x - mean).T @ ((x - mean) * share[:, None]) * len(x) / (len(x) - 1)

    found = []
    for which, x in enumerate((a, b)):
        values = []
        for i in range(len(x)):
            ends = []
            for step in (1e-4, -1e-4):
                weights = [torch.ones(len(y), dtype=torch.float64) for y in (a, b)]
                weights[which][i] += step
                ends.append(frechet_distance(*moments(a, weights[0]), *moments(b, weights[1])))
            values.append((ends[0] - ends[1]) / 2e-4 * len(x))
        found.append(torch.tensor(values, dtype=torch.float64))
    return found


def test_the_standard_error_is_that_of_the_influence_function(generator):
    a = torch.randn(40, 3, generator=generator, dtype=torch.float64) @ random_cov(3, generator)
    b = 2 * torch.randn(25, 3, generator=generator, dtype=torch.float64) + 3
    of_a, of_b = influence_by_differences(a, b)
    expected = math.sqrt(float(of_a.var() / 40 + of_b.var() / 25))
    # the influence is that of covariances over n; ours are over n - 1
    assert frechet_from_features(a, b).std_error == pytest.approx(expected, rel=0.05)
    flat = [torch.cat([x, torch.full((len(x), 1), 2.0).double()], 1) for x in (a, b)]
    assert frechet_from_features(*flat).std_error == pytest.approx(frechet_from_features(a, b).std_error)
    thin = [x[:, [0, 1, 2, 0]] for x in (a, b)]  # rank 3 in 4 columns
    of_a, of_b = influence_by_differences(*thin)
    expected = math.sqrt(float(of_a.var() / 40 + of_b.var() / 25))
    assert frechet_from_features(*thin).std_error == pytest.approx(expected, rel=0.05)


def test_the_standard_error_of_skewed_sets_away_from_the_origin(generator):
    """Skewness ties a row's distance from its mean to its direction: signs and centring show."""
    a = torch.rand(60, 2, generator=generator, dtype=torch.float64).log().neg() + 4
    b = 1.5 * torch.rand(45, 2, generator=generator, dtype=torch.float64).log().neg() + 6
    of_a, of_b = influence_by_differences(a, b)
    found = frechet_from_features(a, b).std_error
    assert found == pytest.approx(math.sqrt(float(of_a.var() / 60 + of_b.var() / 45)), rel=0.03)
    # negative control: the means' part with the other sign
    shift = a.mean(0) - b.mean(0)
    turned = of_b + 4 * ((b - b.mean(0)) @ shift)
    assert found != pytest.approx(math.sqrt(float(of_a.var() / 60 + turned.var() / 45)), rel=0.1)


def test_the_floor_is_five_null_biases(generator):
    """Move one set until its distance is just below, then just above, five times the expected null value."""
    a = torch.randn(60, 2, generator=generator, dtype=torch.float64)
    b = torch.randn(40, 2, generator=generator, dtype=torch.float64)
    seen = []
    for shift in torch.linspace(0, 1.5, 61).tolist():
        (_, cov_a), (_, cov_b) = sample_moments(a), sample_moments(b + shift)
        floor = 5 * frechet_null_bias(0.6 * cov_a + 0.4 * cov_b, 60, 40)
        found = frechet_from_features(a, b + shift)
        assert (found.std_error is None) == (found.value < floor)
        seen.append(found.std_error is None)
    assert 10 < sum(seen) < 50


def test_the_null_interval_step_by_step(generator):
    pool, same, values = torch.randn(30, 2, generator=generator), seeded(), []
    for _ in range(20):
        order = torch.randperm(30, generator=same)
        values.append(frechet_from_features(pool[order[:12]], pool[order[12:19]]).value)
    x = torch.tensor(values, dtype=torch.float64)
    half = float(stats.t.ppf(0.975, 19)) * float(x.std()) * math.sqrt(1 + 1 / 20)
    found = drawn_from_its_generator(lambda g: frechet_null_interval(pool, 12, 7, generator=g))
    assert found == pytest.approx((max(0.0, float(x.mean()) - half), float(x.mean()) + half), rel=1e-9)
    assert found[0] == 0  # cut there
    narrow = frechet_null_interval(pool, 12, 7, generator=seeded(), level=0.2)
    half *= float(stats.t.ppf(0.6, 19) / stats.t.ppf(0.975, 19))
    assert narrow == pytest.approx((float(x.mean()) - half, float(x.mean()) + half), rel=1e-9)
    three = frechet_null_interval(pool, 15, 15, generator=generator, n_repeats=3)
    assert three[0] < three[1]
    assert frechet_null_interval(pool[:4], 2, 2, generator=generator)[1] > 0


def test_null_bias_by_hand_with_unequal_eigenvalues_and_sizes():
    pairs = 0.5 * (1 / 2 + 16 / 8 + 2 * 4 / 5)
    assert frechet_null_bias(torch.diag(torch.tensor([1.0, 4.0])), 4, 8) == pytest.approx(
        (1 / 4 + 1 / 8) * (1.25 * 5 + pairs)
    )
    assert frechet_null_bias(torch.eye(1), 2, 2) == pytest.approx(1.5)


def test_moments_of_tiny_and_unequal_scales(generator):
    """The Fréchet distance scales with its units squared, whatever the columns' scales."""
    cov_a, cov_b = random_cov(4, generator), random_cov(4, generator)
    zero = torch.zeros(4).double()
    plain = frechet_distance(zero, cov_a, zero, cov_b)
    for scale in (1e-6, 1e6):
        assert frechet_distance(zero, scale * cov_a, zero, scale * cov_b) == pytest.approx(
            scale * plain, rel=1e-8
        )
    steep = torch.diag(torch.tensor([1e8, 1.0, 1e-4, 1e-8]).double())
    other = torch.diag(torch.tensor([4e8, 9.0, 1e-4, 4e-8]).double())
    expected = (2e4 - 1e4) ** 2 + (3 - 1) ** 2 + 0 + (2e-4 - 1e-4) ** 2
    assert frechet_distance(zero, steep, zero, other) == pytest.approx(expected, rel=1e-9)


def test_whole_messages(generator):
    x, eye, zero = torch.randn(10, 3, generator=generator), torch.eye(2), torch.zeros(2)
    for moments in (
        (torch.zeros(3), eye, zero, eye),
        (zero, eye, torch.zeros(3), eye),
        (zero, torch.eye(3), zero, eye),
        (zero, eye, zero, torch.eye(3)),
    ):
        shapes = [tuple(t.shape) for t in moments]
        line = f"moments have shapes {shapes}: expected [D], [D, D], [D], [D, D] of one D"
        refused(lambda m=moments: frechet_distance(*m), line)
    refused(lambda: frechet_from_features(x[:1], x), "a has 1 rows: expected at least 2")
    refused(lambda: frechet_from_features(x, x[:1]), "b has 1 rows: expected at least 2")
    refused(lambda: frechet_from_features(x, x[:, :2]), "b has 2 columns: expected 3")
    assert frechet_from_features(x[:2], x[2:4]).value > 0
    for n, m in ((1, 5), (5, 1)):
        refused(lambda n=n, m=m: frechet_null_bias(eye, n, m), f"n={n}, m={m}: expected integers >= 2")
    for n, m in ((6, 5), (1, 5), (5, 1)):
        line = f"n={n}, m={m}: expected integers >= 2 with n + m <= 10 rows of pool"
        refused(lambda n=n, m=m: frechet_null_interval(x, n, m, generator=generator), line)
    refused(
        lambda: frechet_null_interval(x[:3], 2, 2, generator=generator),
        "pool has 3 rows: expected at least 4",
    )
    refused(
        lambda: frechet_null_interval(x, 5, 5, generator=generator, n_repeats=2),
        "n_repeats=2: expected an integer >= 3",
    )
