"""The standard error of KID against simulation, at its null and away from it."""

import pytest
import torch

from priorgap.estimators.discrepancy import kernel_distance
from priorgap.estimators.kernel_error import kernel_standard_error


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
