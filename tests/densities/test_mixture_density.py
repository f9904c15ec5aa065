import pytest
import torch
from sklearn.mixture import GaussianMixture as ScikitMixture
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from priorgap.core.random import stream
from priorgap.densities import FittedMixture, GaussianMixture

TRUE = FittedMixture(
    torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
    torch.tensor([[0.0, 0.0], [4.0, 1.0], [-3.0, 3.0]], dtype=torch.float64),
    torch.tensor([[[1.0, 0.5], [0.5, 1.0]], [[0.3, 0.0], [0.0, 2.0]], [[0.5, -0.2], [-0.2, 0.2]]]).double(),
)


def recipe(**changes: object) -> GaussianMixture:
    return GaussianMixture(
        **({"n_components": 3, "n_fit": 5_000, "max_iter": 50, "reg_covar": 1e-6} | changes)
    )


def test_log_prob_equals_torch_distributions() -> None:
    z = TRUE.draw(500, generator=stream(0))
    reference = MixtureSameFamily(Categorical(TRUE.weight), MultivariateNormal(TRUE.mean, TRUE.cov))
    assert torch.allclose(TRUE.log_prob(z), reference.log_prob(z.double()), atol=1e-10)


def test_draws_meet_the_mixtures_moments() -> None:
    z = TRUE.draw(40_000, generator=stream(1)).double()
    moments = TRUE.moments()
    assert ((z.mean(0) - moments.mean).abs() < 4 * z.std(0) / 200).all()
    assert torch.allclose(z.T.cov(), moments.cov, atol=0.12)


def test_component_frequencies() -> None:
    z = TRUE.draw(20_000, generator=stream(2)).double()
    parts = [MultivariateNormal(m, c) for m, c in zip(TRUE.mean, TRUE.cov, strict=True)]
    near = (TRUE.weight[:, None] * torch.stack([p.log_prob(z).exp() for p in parts])).T
    near = near / near.sum(1, keepdim=True)  # responsibilities: their mean is the weight
    for k, weight in enumerate(TRUE.weight):
        assert float(near[:, k].mean()) == pytest.approx(float(weight), abs=0.015)


def test_fit_recovers_a_known_mixture() -> None:
    z, heldout = TRUE.draw(5_000, generator=stream(3)), TRUE.draw(5_000, generator=stream(4))
    fitted = recipe().fit(z, heldout, generator=stream(0))
    loss = float((TRUE.log_prob(heldout) - fitted.log_prob(heldout)).mean())
    assert -0.005 < loss < 0.02  # nats from the truth, on draws that the fit has not seen


def test_fit_agrees_with_scikit_learn_from_its_own_start() -> None:
    z = TRUE.draw(5_000, generator=stream(3))
    ours = recipe().fit(z, z, generator=stream(0))
    peer = ScikitMixture(3, random_state=0).fit(z.double().numpy())
    assert float(ours.log_prob(z).mean()) == pytest.approx(peer.score(z.double().numpy()), abs=0.01)


def test_validation_chooses_the_number_of_components() -> None:
    z, heldout = TRUE.draw(3_000, generator=stream(3)), TRUE.draw(3_000, generator=stream(4))
    assert recipe(n_components=[1, 3]).fit(z, heldout, generator=stream(0)).n_components == 3
    few, other = TRUE.draw(60, generator=stream(5)), TRUE.draw(3_000, generator=stream(6))
    # with 60 points 25 components follow the noise; the training score would prefer them
    assert recipe(n_components=[3, 25]).fit(few, other, generator=stream(0)).n_components == 3
    assert recipe(n_components=[3, 25]).fit(few, few, generator=stream(0)).n_components == 25


def test_candidates_with_too_few_points_are_left_out() -> None:
    z = TRUE.draw(20, generator=stream(3))
    assert recipe(n_components=[2, 50]).fit(z, z[:0], generator=stream(0)).n_components == 2
    with pytest.raises(ValueError, match="n_components=50: expected at most half of the 20 points"):
        recipe(n_components=50).fit(z, z, generator=stream(0))


def test_a_choice_needs_validation_points() -> None:
    z = TRUE.draw(200, generator=stream(3))
    with pytest.raises(ValueError, match="validation points"):
        recipe(n_components=[2, 3]).fit(z, z[:0], generator=stream(0))


def test_shifting_and_scaling_units_changes_nothing_else() -> None:
    """Calibration moves each unit; the fit must follow exactly, though reg_covar is a fixed number."""
    z = TRUE.draw(2_000, generator=stream(3)).double()
    shift, scale = torch.tensor([3.0, -20.0]).double(), torch.tensor([50.0, 0.01]).double()
    plain = recipe(reg_covar=1e-3).fit(z, z, generator=stream(0))
    moved = recipe(reg_covar=1e-3).fit(z * scale + shift, z, generator=stream(0))
    a = plain.draw(500, generator=stream(1)).double() * scale + shift
    b = moved.draw(500, generator=stream(1)).double()
    assert torch.allclose((a - shift) / scale, (b - shift) / scale, atol=1e-3)


@pytest.mark.parametrize("spoiled", [0, 1])
def test_constant_units_and_repeated_rows_are_survived(spoiled: int) -> None:
    z = TRUE.draw(400, generator=stream(3))
    if spoiled == 0:
        z[:, 1] = 2.0
    else:
        z = z[:4].repeat(100, 1)
    fitted = recipe().fit(z, z, generator=stream(0))
    assert torch.isfinite(fitted.log_prob(z)).all()
    assert torch.isfinite(fitted.draw(100, generator=stream(1))).all()


def test_more_units_than_points() -> None:
    z = torch.randn(12, 30, generator=stream(0))
    fitted = recipe(n_components=2).fit(z, z, generator=stream(0))
    assert torch.isfinite(fitted.draw(10, generator=stream(1))).all()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"n_components": 0}, "n_components=0"),
        ({"n_components": []}, "n_components="),
        ({"n_components": [5, -1]}, "n_components="),
        ({"n_fit": 1}, "n_fit=1"),
        ({"max_iter": 0}, "max_iter=0"),
        ({"reg_covar": -1.0}, "reg_covar=-1.0"),
        ({"reg_covar": float("nan")}, "reg_covar=nan"),
    ],
)
def test_bad_hyperparameters(changes: dict, expected: str) -> None:
    with pytest.raises(ValueError, match=expected) as caught:
        recipe(**changes)
    assert "\n" not in str(caught.value)
