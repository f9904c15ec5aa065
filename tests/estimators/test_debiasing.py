"""FID without its dependence on n: simulation at known distances."""

import pytest
import torch
from refusals import drawn_from_its_generator, refused, seeded

from priorgap.estimators.debiasing import frechet_infinity
from priorgap.estimators.discrepancy import frechet_distance, frechet_from_features

D = 8


def pair(n, shift, generator):
    return torch.randn(n, D, generator=generator), 1.3 * torch.randn(n, D, generator=generator) + shift


def truth(shift):
    eye = torch.eye(D, dtype=torch.float64)
    return frechet_distance(torch.zeros(D).double(), eye, torch.full((D,), shift).double(), 1.69 * eye)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_removes_the_dependence_on_n(shift, generator):
    plain, free, errors = {}, {}, []
    for n in (60, 240):
        runs = [pair(n, shift, generator) for _ in range(60)]
        plain[n] = torch.tensor([frechet_from_features(*x).value for x in runs])
        found = [frechet_infinity(*x, generator=generator, n_splits=2) for x in runs]
        free[n] = torch.tensor([x.value for x in found])
        errors += [x.std_error for x in found if x.std_error is not None]

    def bias(values):
        return float(values.mean()) - truth(shift), float(values.std()) / 60**0.5

    # negative control: FID itself is off by many standard errors, four times as far at a quarter of n
    assert bias(plain[60])[0] > 8 * bias(plain[60])[1]
    assert bias(plain[60])[0] > 2.5 * bias(plain[240])[0]
    small, s = bias(free[60])
    large, t = bias(free[240])
    assert abs(large) < 4 * t
    # what is left at n = 7 D is of the second order
    assert abs(small) < 4 * s + 0.25 * bias(plain[60])[0]


def test_the_standard_error_is_that_of_the_scatter(generator):
    found = [frechet_infinity(*pair(400, 0.5, generator), generator=generator) for _ in range(50)]
    spread = float(torch.tensor([x.value for x in found]).std())
    mean_error = sum(x.std_error for x in found) / 50
    assert 0.75 < mean_error / spread < 1.35


def test_equal_laws_scatter_about_zero(generator):
    runs = [
        (torch.randn(100, D, generator=generator), torch.randn(100, D, generator=generator))
        for _ in range(60)
    ]
    found = torch.tensor([frechet_infinity(*x, generator=generator, n_splits=2).value for x in runs])
    assert abs(float(found.mean())) < 4 * float(found.std()) / 60**0.5 + 0.1
    assert float(found.min()) < 0


def test_degenerate_and_bad_input(generator):
    same = torch.ones(20, 3)
    assert frechet_infinity(same, same, generator=generator).value == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="a has 3 rows"):
        frechet_infinity(torch.zeros(3, 2), torch.zeros(9, 2), generator=generator)
    with pytest.raises(ValueError, match="n_splits=0"):
        frechet_infinity(same, same, generator=generator, n_splits=0)


def test_is_twice_the_whole_less_the_mean_of_halves(generator):
    a, b = torch.randn(31, 2, generator=generator), 2 * torch.randn(24, 2, generator=generator)
    for n_splits in (1, 3):
        found, same, halves = frechet_infinity(a, b, generator=seeded(), n_splits=n_splits), seeded(), []
        for _ in range(n_splits):
            i, j = (torch.randperm(n, generator=same) for n in (31, 24))
            halves += [frechet_from_features(a[i[:16]], b[j[:12]]).value]
            halves += [frechet_from_features(a[i[16:]], b[j[12:]]).value]
        whole = frechet_from_features(a, b)
        assert found.value == pytest.approx(2 * whole.value - sum(halves) / len(halves), rel=1e-12)
        assert found.std_error == whole.std_error
    four = frechet_infinity(a, b, generator=seeded(), n_splits=4)
    assert drawn_from_its_generator(lambda g: frechet_infinity(a, b, generator=g)) == four


def test_what_is_refused(generator):
    x = torch.randn(4, 2, generator=generator)
    frechet_infinity(x, x + 1, generator=generator, n_splits=1)
    calls = {
        "a has 3 rows: expected at least 4": (x[:3], x, 1),
        "b has 3 rows: expected at least 4": (x, x[:3], 1),
        "b has 1 columns: expected 2": (x, x[:, :1], 1),
        "n_splits=0: expected an integer >= 1": (x, x, 0),
    }
    for line, (a, b, n) in calls.items():
        refused(lambda a=a, b=b, n=n: frechet_infinity(a, b, generator=generator, n_splits=n), line)
