"""KID, its standard error and its limits against loops, torchmetrics and simulation."""

import math

import pytest
import torch
from peer_features import Flatten
from refusals import refused

from priorgap.core import torchvision_compat
from priorgap.estimators.kernel import _limits, _sums, kernel_distance, within_sums


def loop_mmd(a, b):
    def kernel(x, y):
        return (float(x @ y) / len(x) + 1) ** 3

    n, m = len(a), len(b)
    aa = sum(kernel(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    bb = sum(kernel(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return aa + bb - 2 * sum(kernel(x, y) for x in a for y in b) / (n * m)


def by_pairs(a, b):
    """Value, F before its cut and S of Hoeffding's decomposition, written out over all pairs."""
    n, m, width = len(a), len(b), a.shape[1]

    def kernel(x, y):
        return (x.double() @ y.double().T / width + 1) ** 3

    def centred(k, diagonal, left, right):
        square = k.square().sum() if diagonal else k.fill_diagonal_(0).square().sum()
        count = k.numel() if diagonal else k.numel() - len(k)
        found = square / count - left.square().mean() - right.square().mean() + left.mean() ** 2
        return float(found.clamp_min(0))

    aa, bb, ab = kernel(a, a).fill_diagonal_(0), kernel(b, b).fill_diagonal_(0), kernel(a, b)
    of_aa, of_bb, of_ab, of_ba = aa.sum(1) / (n - 1), bb.sum(1) / (m - 1), ab.mean(1), ab.mean(0)
    s_aa, s_bb = centred(aa, False, of_aa, of_aa), centred(bb, False, of_bb, of_bb)
    s_ab = centred(ab, True, of_ab, of_ba)
    v_a = float((of_aa - of_ab).var()) - s_aa / n - s_ab / m
    v_b = float((of_bb - of_ba).var()) - s_bb / m - s_ab / n
    second = 2 * s_aa / (n * (n - 1)) + 2 * s_bb / (m * (m - 1)) + 4 * s_ab / (n * m)
    value = float(of_aa.mean() + of_bb.mean() - 2 * ab.mean())
    return value, 4 * v_a / n + 4 * v_b / m, second


def by_search(value, first, second, z=1.959963984540054):
    """The limits by looking at many distances."""
    slope = first / value if value > 0 else 4 * math.sqrt(second / 2)
    reach = 20 * math.sqrt(first + second)
    t = torch.linspace(value - reach, value + reach, 2_000_001, dtype=torch.float64)
    kept = t[(value - t).square() <= z * z * (second + slope * t.clamp_min(0))]
    return float(kept[0]), float(kept[-1])


def test_value_equals_a_loop_and_torchmetrics(generator):
    a = torch.randn(13, 4, generator=generator, dtype=torch.float64)
    b = torch.randn(17, 4, generator=generator, dtype=torch.float64) + 1
    assert kernel_distance(a, b).value.value == pytest.approx(loop_mmd(a, b), rel=1e-10)
    for n in (2, 3):
        least = kernel_distance(a[:n], b)
        assert least.value.value == pytest.approx(loop_mmd(a[:n], b), rel=1e-10)
        assert least.value.std_error is None and least.limits is None
        assert kernel_distance(a, b[:n]).limits is None
    assert kernel_distance(a[:4], b[:4]).limits is not None


@pytest.mark.filterwarnings("ignore:Metric `Kernel")
def test_value_equals_torchmetrics(generator):
    torchvision_compat.ensure()
    from torchmetrics.image.kid import KernelInceptionDistance

    real = torch.randint(0, 3, (120, 1, 4, 4), generator=generator, dtype=torch.uint8)
    fake = torch.randint(1, 4, (120, 1, 4, 4), generator=generator, dtype=torch.uint8)
    peer = KernelInceptionDistance(feature=Flatten(16), subsets=1, subset_size=120)
    peer.update(real, real=True)
    peer.update(fake, real=False)
    ours = kernel_distance(real.flatten(1).double(), fake.flatten(1).double())
    assert ours.value.value == pytest.approx(float(peer.compute()[0]), rel=1e-5)


def test_equals_the_decomposition_over_all_pairs(generator):
    cuts, signs = 0, set()
    for shift in (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.3, 1.5):
        a, b = torch.randn(14, 3, generator=generator), 1.2 * torch.randn(9, 3, generator=generator) + shift
        value, first, second = by_pairs(a, b)
        found = kernel_distance(a, b)
        assert found.value.value == pytest.approx(value, rel=1e-10)
        cuts += first < 0
        assert found.value.std_error == pytest.approx(math.sqrt(max(first, 0) + second), rel=1e-9)
        expected = by_search(value, max(first, 0.0), second)
        step = 6e-5 * found.value.std_error
        assert found.limits == pytest.approx(expected, abs=step)
        signs.add((value > 0, expected[0] > 0))
    assert 0 < cuts < 8 and len(signs) == 3  # with and without the cut; below 0, about 0, above 0


def test_limits_in_every_case():
    # value, F, S: at the null, just beyond its reach, far beyond, and on the other side
    for value, first, second in (
        (0.5, 0.0, 1.0), (1.9, 3.0, 1.0), (2.1, 3.0, 1.0), (40.0, 9.0, 1.0), (-0.5, 2.0, 1.0), (-3.0, 2.0, 1.0),
        (0.0, 2.0, 1.0), (-1.5, 2.0, 1.0), (-9.0, 2.0, 1.0),
    ):  # fmt: skip
        expected = by_search(value, first, second)
        assert _limits(value, first, second, 1.959963984540054) == pytest.approx(expected, abs=1e-4)
    # far from the null they are about the normal interval
    low, high = _limits(1000.0, 9.0, 1e-6, 2.0)
    assert low == pytest.approx(994, abs=0.03) and high == pytest.approx(1006, abs=0.03)
    wide, narrow = (kernel_distance(*pair(0), level=x).limits for x in (0.99, 0.5))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def pair(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(40, 3, generator=generator), torch.randn(30, 3, generator=generator) + 0.4


@pytest.mark.parametrize(
    ("shift", "sizes"), [(0.0, (150, 150)), (0.0, (100, 250)), (0.1, (150, 150)), (0.7, (150, 150))]
)
def test_limits_and_standard_error_against_simulation(shift, sizes, generator):
    n_draws = 200
    values, errors, limits, truth = [], [], [], 0.0
    if shift:
        big = [torch.randn(4000, 6, generator=generator) + 0.5 + s for s in (0.0, shift)]
        truth = kernel_distance(*big).value.value
    for _ in range(n_draws):
        a = torch.randn(sizes[0], 6, generator=generator) + 0.5
        b = torch.randn(sizes[1], 6, generator=generator) + 0.5 + shift
        found = kernel_distance(a, b)
        values.append(found.value.value)
        errors.append(found.value.std_error)
        limits.append(found.limits)
    spread = float(torch.tensor(values).std())
    assert 0.8 < sum(errors) / n_draws / spread < 1.35
    # 200 draws at 95 %: two standard errors are 3 %
    assert 0.92 <= sum(low <= truth <= high for low, high in limits) / n_draws <= 0.99
    normal = sum(abs(v - truth) < 1.96 * e for v, e in zip(values, errors, strict=True)) / n_draws
    if shift == 0:
        # negative control: the standard error follows the value's own noise, and its interval never misses 0
        assert normal > 0.99
        mean = sum(values) / n_draws
        assert abs(mean) < 4 * spread / math.sqrt(n_draws)
        # negative control: the V-statistic, diagonal included, is far from 0
        v = [((p.double() @ q.double().T / 6 + 1) ** 3).mean() for p, q in ((a, a), (b, b), (a, b))]
        assert float(v[0] + v[1] - 2 * v[2]) > 4 * spread / math.sqrt(n_draws)


def test_faults_are_detected_and_the_null_is_covered(generator):
    real = torch.randn(1000, 4, generator=generator)
    fresh = torch.randn(1000, 4, generator=generator)
    low, high = kernel_distance(fresh, real).limits
    assert low < 0 < high
    for bad in (fresh + 0.4, 1.4 * fresh, real[:1].expand(1000, 4), fresh[fresh[:, 0] > 0]):
        found = kernel_distance(bad, real)
        assert found.value.value > 4 * found.value.std_error and found.limits[0] > 0


def test_degenerate():
    same = torch.ones(10, 3)
    found = kernel_distance(same, same)
    assert (found.value.value, found.value.std_error) == pytest.approx((0, 0), abs=1e-6)
    assert found.limits == pytest.approx((0, 0), abs=1e-5)


def test_a_known_part_changes_nothing(generator):
    a, b = torch.randn(30, 3, generator=generator), torch.randn(600, 3, generator=generator) + 0.3
    assert kernel_distance(a, b, within_b=within_sums(b)) == kernel_distance(a, b)
    kernel = ((b.double() @ b.double().T / 3 + 1) ** 3).fill_diagonal_(0)
    torch.testing.assert_close(within_sums(b).row, kernel.sum(1) / 599)
    assert within_sums(b).square == pytest.approx(float(kernel.square().sum()) / (600 * 599), rel=1e-12)


def test_sums_do_not_depend_on_the_tile(generator):
    a, b = torch.randn(20, 3, generator=generator), torch.randn(15, 3, generator=generator)
    for other in (None, b):
        whole, parts = _sums(a, other), _sums(a, other, tile=6)
        for x, y in zip(whole[:2], parts[:2], strict=True):
            torch.testing.assert_close(x, y)
        assert whole[2] == pytest.approx(parts[2])


def test_whole_messages():
    x = torch.zeros(4, 2)
    refused(lambda: kernel_distance(x[:1], x), "a has 1 rows: expected at least 2")
    refused(lambda: kernel_distance(x, x[:1]), "b has 1 rows: expected at least 2")
    refused(lambda: kernel_distance(x, x[:, :1]), "b has 1 columns: expected 2")
    refused(lambda: within_sums(x[:1]), "x has 1 rows: expected at least 2")
    line = "within_b has 3 rows: expected 4, as b has"
    refused(lambda: kernel_distance(x, x, within_b=within_sums(x[:3])), line)
