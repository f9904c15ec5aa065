"""Dependence of one unit on the others: closed forms, quadrature, and laws whose answer is known."""

import math
from collections.abc import Callable

import pytest
import torch
from refusals import refused
from torch import Tensor

from priorgap.core.random import stream
from priorgap.estimators.uncertainty import Estimate
from priorgap.estimators.unit_dependence import gaussian_dependence, mixture_dependence

Mixture = tuple[Tensor, Tensor, Tensor]


def random_cov(d: int, name: str) -> Tensor:
    a = torch.randn(d, 2 * d, generator=stream(0, "cov", name), dtype=torch.float64)
    return a @ a.T / (2 * d)


def draw(mixture: Mixture, n: int) -> Tensor:
    weight, mean, cov = mixture
    generator = stream(0, "draw")
    chosen = torch.multinomial(weight, n, replacement=True, generator=generator)
    noise = torch.randn(n, mean.shape[1], generator=generator, dtype=torch.float64)
    return mean[chosen] + torch.einsum("nij,nj->ni", torch.linalg.cholesky(cov)[chosen], noise)


def two_bumps(distance: float, d: int = 2) -> Mixture:
    """Two unit Gaussians at +-distance along the diagonal of the first two units."""
    mean = torch.zeros(2, d, dtype=torch.float64)
    mean[0, :2], mean[1, :2] = distance, -distance
    return torch.tensor([0.5, 0.5]).double(), mean, torch.eye(d, dtype=torch.float64).repeat(2, 1, 1)


def by_quadrature(mixture: Mixture) -> float:
    """I(z_1; z_2) of a mixture in the plane, on a grid."""
    weight, mean, cov = mixture
    axis = torch.linspace(-12, 12, 1201, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    laws = [torch.distributions.MultivariateNormal(m, c) for m, c in zip(mean, cov, strict=True)]
    joint = sum(w * law.log_prob(points).exp() for w, law in zip(weight, laws, strict=True))
    p = joint.view(1201, 1201) * (24 / 1200) ** 2
    first, second = p.sum(1, keepdim=True), p.sum(0, keepdim=True)
    return float((p * (p / (first * second)).clamp_min(1e-300).log()).sum())


@pytest.mark.parametrize("rho", [0.0, 0.3, -0.9])
def test_linear_dependence_of_two_units_is_the_textbook_value(rho: float) -> None:
    cov = torch.tensor([[4.0, 2 * rho], [2 * rho, 1.0]], dtype=torch.float64)
    expected = torch.full((2,), -0.5 * math.log(1 - rho**2), dtype=torch.float64)
    torch.testing.assert_close(gaussian_dependence(cov), expected)


def test_linear_dependence_equals_a_regression_on_the_other_units() -> None:
    cov = random_cov(6, "six")
    for j in range(6):
        others = [i for i in range(6) if i != j]
        explained = cov[j, others] @ torch.linalg.solve(cov[others][:, others], cov[others, j])
        expected = -0.5 * math.log(1 - float(explained / cov[j, j]))
        assert float(gaussian_dependence(cov)[j]) == pytest.approx(expected, rel=1e-9)


def test_linear_dependence_does_not_change_with_a_units_scale() -> None:
    cov, scale = random_cov(5, "five"), torch.tensor([1.0, 1e-4, 10, 1e3, 1]).double()
    torch.testing.assert_close(gaussian_dependence(cov * scale[:, None] * scale), gaussian_dependence(cov))


@pytest.mark.parametrize(
    "cov",
    [torch.zeros(2, 2), torch.ones(3, 3), torch.zeros(2, 3), torch.zeros(0, 0)],
    ids=["no variance", "redundant", "not square", "empty"],
)
def test_what_has_no_dependence_is_refused(cov: Tensor) -> None:
    with pytest.raises(ValueError, match="expected"):
        gaussian_dependence(cov)


def test_one_component_gives_the_gaussian_value() -> None:
    cov = random_cov(4, "four")
    mixture = (torch.ones(1).double(), torch.arange(4).double()[None], cov[None])
    found = mixture_dependence(draw(mixture, 20_000), *mixture)
    for value, expected in zip(found, gaussian_dependence(cov), strict=True):
        assert value.std_error is not None
        assert value.value == pytest.approx(float(expected), abs=4 * value.std_error)


def within(estimate: Callable[..., list[Estimate]], mixture: Mixture) -> bool:
    """Whether an estimator meets the quadrature's value within 4 standard errors in both units."""
    found, truth = estimate(draw(mixture, 20_000), *mixture), by_quadrature(mixture)
    return all(abs(e.value - truth) <= 4 * (e.std_error or 0) for e in found)


def in_the_plane() -> Mixture:
    mean = torch.tensor([[2.0, 1.0], [-2.0, 1.5], [0.0, -2.0]]).double()
    cov = torch.stack([random_cov(2, name) for name in "abc"])
    return torch.tensor([0.5, 0.3, 0.2]).double(), mean, cov


def test_a_mixture_in_the_plane_meets_quadrature() -> None:
    assert within(mixture_dependence, in_the_plane())


def without_the_conditional(z: Tensor, weight: Tensor, mean: Tensor, cov: Tensor) -> list[Estimate]:
    """Wrong: the components' units taken as independent, cov's diagonal for the precision's inverse."""
    return mixture_dependence(z, weight, mean, torch.diag_embed(cov.diagonal(dim1=1, dim2=2)))


def of_the_gaussian(z: Tensor, weight: Tensor, mean: Tensor, cov: Tensor) -> list[Estimate]:
    """Wrong for a mixture: its two moments alone."""
    centred = mean - weight @ mean
    pooled = torch.einsum("k,kij->ij", weight, cov) + torch.einsum("k,ki,kj->ij", weight, centred, centred)
    return [Estimate(float(v), 0.003) for v in gaussian_dependence(pooled)]


@pytest.mark.parametrize("wrong", [without_the_conditional, of_the_gaussian])
def test_wrong_variants_are_rejected(wrong: Callable[..., list[Estimate]]) -> None:
    assert not within(wrong, in_the_plane())


def test_independent_units_have_none_and_modes_are_seen_without_correlation() -> None:
    four = torch.tensor([[2.0, 2.0], [2.0, -2.0], [-2.0, 2.0], [-2.0, -2.0]]).double()
    cov = 0.3 * torch.eye(2).double().repeat(4, 1, 1)
    product = (torch.full((4,), 0.25).double(), four, cov)
    for value in mixture_dependence(draw(product, 20_000), *product):
        assert abs(value.value) < 1e-9
    # half the modes: the diagonal's two, of the same marginals, where one unit's sign tells the other's
    half = (torch.full((2,), 0.5).double(), four[[0, 3]], cov[:2])
    assert all(abs(v.value - math.log(2)) < 0.02 for v in mixture_dependence(draw(half, 20_000), *half))
    # a cross: uncorrelated, and yet where one unit is far out the other is not
    cross = (product[0], torch.tensor([[3.0, 0], [-3, 0], [0, 3], [0, -3]]).double(), cov)
    assert float(gaussian_dependence(torch.cov(cross[1].T)).max()) < 1e-9
    assert mixture_dependence(draw(cross, 20_000), *cross)[0].value > 0.3


def test_dependence_grows_with_the_distance_of_two_bumps_and_leaves_out_other_units() -> None:
    far, near = (mixture_dependence(draw(two_bumps(x, 3), 20_000), *two_bumps(x, 3)) for x in (3.0, 0.5))
    assert far[0].value > 0.6 > 0.1 > near[0].value > 0
    assert abs(far[2].value) < 1e-9
    assert far[2].std_error is not None


def test_one_unit_depends_on_nothing() -> None:
    z = torch.randn(100, 1, generator=stream(0))
    one = (torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1))
    assert mixture_dependence(z, *one)[0].value == pytest.approx(0, abs=1e-12)
    assert float(gaussian_dependence(torch.ones(1, 1))[0]) == 0


def test_chunks_do_not_change_the_result() -> None:
    mixture = in_the_plane()
    z = draw(mixture, 3_000)
    whole = mixture_dependence(z, *mixture)
    parts = [mixture_dependence(part, *mixture) for part in z.split(1_000)]
    for j in range(2):
        assert whole[j].value == pytest.approx(sum(p[j].value for p in parts) / 3, rel=1e-9)


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        mixture_dependence(torch.zeros(3, 2), torch.ones(1), torch.zeros(1, 3), torch.eye(3)[None])


def test_a_mixture_of_three_units_equals_its_marginals_written_out() -> None:
    """Each marginal's density from torch.distributions, unit by unit."""
    weight = torch.tensor([0.7, 0.3]).double()
    mean = torch.tensor([[0.5, -1.0, 2.0], [-1.5, 0.0, 1.0]]).double()
    cov = torch.stack([random_cov(3, "p"), random_cov(3, "q")])
    z = draw((weight, mean, cov), 50)

    def log_f(units: list[int]) -> Tensor:
        parts = [
            w.log()
            + torch.distributions.MultivariateNormal(m[units], c[units][:, units]).log_prob(z[:, units])
            for w, m, c in zip(weight, mean, cov, strict=True)
        ]
        return torch.stack(parts).logsumexp(0)

    for j, found in enumerate(mixture_dependence(z, weight, mean, cov)):
        terms = log_f([0, 1, 2]) - log_f([j]) - log_f([i for i in range(3) if i != j])
        assert found.value == pytest.approx(float(terms.mean()), rel=1e-9)
        assert found.std_error == pytest.approx(float(terms.std()) / math.sqrt(50), rel=1e-9)


def test_nearly_redundant_units_are_measured_and_redundant_ones_refused() -> None:
    def pair(left_over: float) -> Tensor:
        rho = math.sqrt(1 - left_over)
        return torch.tensor([[1.0, rho], [rho, 1.0]], dtype=torch.float64)

    assert gaussian_dependence(pair(4e-12))[0] == pytest.approx(-0.5 * math.log(4e-12), abs=1e-3)
    line = "a latent unit is a linear function of others: expected one that says something new"
    for cov in (pair(1e-13), torch.ones(2, 2), torch.tensor([[1.0, 2.0], [2.0, 1.0]])):
        refused(lambda c=cov: gaussian_dependence(c), line)


def test_whole_messages() -> None:
    for shape in ((3,), (2, 3), (0, 0)):
        refused(lambda s=shape: gaussian_dependence(torch.ones(s)), f"cov has shape {shape}: expected [d, d]")
    for cov in (torch.diag(torch.tensor([1.0, 0.0])), torch.diag(torch.tensor([1.0, -1.0]))):
        line = "a latent unit is constant: expected units that vary"
        refused(lambda c=cov: gaussian_dependence(c), line)
    right = [(5, 2), (3,), (3, 2), (3, 2, 2)]
    for place, wrong in ((0, (5,)), (0, (5, 1)), (1, (2,)), (3, (3, 2, 1))):
        shapes = [wrong if k == place else s for k, s in enumerate(right)]
        line = f"z, weight, mean, cov have shapes {shapes}: expected [n, d], [k], [k, d], [k, d, d]"
        refused(lambda s=shapes: mixture_dependence(*(torch.ones(x) for x in s)), line)
