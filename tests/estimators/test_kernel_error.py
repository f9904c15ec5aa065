"""The standard error of KID against simulation, at its null and away from it."""

import pytest
import torch
from refusals import refused

from priorgap.estimators.discrepancy import kernel_distance
from priorgap.estimators.kernel_error import _sums, kernel_standard_error


@pytest.mark.parametrize(("shift", "sizes"), [(0.0, (150, 150)), (0.0, (100, 250)), (0.7, (150, 150))])
def test_against_simulation(shift, sizes, generator):
    values, errors, blocks = [], [], []
    for _ in range(150):
        a = torch.randn(sizes[0], 6, generator=generator) + 0.5
        b = torch.randn(sizes[1], 6, generator=generator) + 0.5 + shift
        found = kernel_distance(a, b, generator=generator, n_subsets=10)
        values.append(found.value)
        blocks.append(found.std_error)
        errors.append(kernel_standard_error(a, b))
    spread = float(torch.tensor(values).std())
    assert 0.8 < sum(errors) / 150 / spread < 1.25
    mean = sum(values) / 150 if shift else 0.0
    covered = sum(abs(v - mean) < 1.96 * e for v, e in zip(values, errors, strict=True)) / 150
    assert covered > 0.89
    if shift == 0:
        # negative control: the spread of disjoint blocks is several times too large at the null
        assert sum(blocks) / 150 > 2 * spread


def test_degenerate_and_bad_input():
    same = torch.ones(10, 3)
    assert kernel_standard_error(same, same) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="a has 3 rows"):
        kernel_standard_error(torch.zeros(3, 2), torch.zeros(9, 2))


def by_pairs(a, b):
    """Hoeffding's decomposition written out over all pairs."""
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
    v_a = max(float((of_aa - of_ab).var()) - s_aa / n - s_ab / m, 0.0)
    v_b = max(float((of_bb - of_ba).var()) - s_bb / m - s_ab / n, 0.0)
    second = 2 * s_aa / (n * (n - 1)) + 2 * s_bb / (m * (m - 1)) + 4 * s_ab / (n * m)
    return (4 * v_a / n + 4 * v_b / m + second) ** 0.5, v_a, v_b


def test_equals_the_decomposition_over_all_pairs(generator):
    cuts = 0
    for shift in (0.0, 0.0, 0.0, 0.0, 1.5):
        a, b = torch.randn(14, 3, generator=generator), 1.2 * torch.randn(9, 3, generator=generator) + shift
        expected, *first = by_pairs(a, b)
        assert kernel_standard_error(a, b) == pytest.approx(expected, rel=1e-10)
        cuts += sum(v == 0 for v in first)
    assert 0 < cuts < 10  # with and without the cut at 0
    assert by_pairs(a[:4], b[:4])[0] == pytest.approx(kernel_standard_error(a[:4], b[:4]), rel=1e-10)


def test_sums_do_not_depend_on_the_chunk(generator):
    a = torch.randn(20, 3, generator=generator)
    for diagonal in (True, False):
        whole, parts = _sums(a, a, diagonal=diagonal), _sums(a, a, diagonal=diagonal, chunk=6)
        for x, y in zip(whole[:2], parts[:2], strict=True):
            torch.testing.assert_close(x, y)
        assert whole[2] == pytest.approx(parts[2])


def test_whole_messages():
    x = torch.zeros(4, 2)
    refused(lambda: kernel_standard_error(x[:3], x), "a has 3 rows: expected at least 4")
    refused(lambda: kernel_standard_error(x, x[:3]), "b has 3 rows: expected at least 4")
    refused(lambda: kernel_standard_error(x, x[:, :1]), "b has 1 columns: expected 2")
