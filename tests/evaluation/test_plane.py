"""The plane of two units: its density is exact, and each decoded point is where it is said to be."""

from dataclasses import replace

import pytest
import torch

from priorgap.core.latents import Latents
from priorgap.evaluation.measure import latent_space
from priorgap.evaluation.model import ModelFunctions
from priorgap.evaluation.plane import decoded_plane, own_draws, plane_density
from priorgap.modalities import IMAGES, VECTORS
from priorgap.priors.base import Prior
from priorgap.priors.standard_normal import StandardNormal


def functions(decode=None) -> ModelFunctions:
    """A model whose images show z: pixel j is z_j, from -4 (black) to 4 (white)."""

    def shown(z, *_):
        return ((z + 4) / 8).clamp(0, 1).reshape(len(z), 1, 1, -1)

    return ModelFunctions(
        encode=None, decode=decode or shown, prior=None, has_prior=True, class_frequencies=None,
        encode_batch=64, decode_batch=64,
    )  # fmt: skip


def latents(n=400, d=4, seed=0) -> Latents:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(n, d, generator=generator) * torch.tensor([0.1, 1.0, 0.5, 2.0])[:d]
    return Latents(mean, torch.full_like(mean, -2.0))


def test_one_posterior_that_is_the_prior_gives_the_prior():
    found = plane_density(torch.zeros(3, 2), torch.zeros(3, 2), (0, 1))
    axis = found["plane_axis"]
    normal = torch.exp(-0.5 * (axis[:, None] ** 2 + axis**2)) / (2 * torch.pi)
    assert torch.allclose(found["plane_density"], normal, atol=1e-12)


def test_the_density_is_the_mixture_of_posteriors():
    test = latents()
    found = plane_density(test.mean, test.log_var, (3, 1))
    spread = (0.5 * test.log_var.double()).exp()
    place = (10, 50)  # unit 1 is read from the rows, unit 3 from the columns
    at = {1: found["plane_axis"][place[0]], 3: found["plane_axis"][place[1]]}
    terms = [
        torch.distributions.Normal(test.mean[:, u].double(), spread[:, u]).log_prob(at[u]) for u in (1, 3)
    ]
    assert found["plane_density"][place] == pytest.approx(
        float((terms[0] + terms[1]).exp().mean()), rel=1e-10
    )
    wrong = plane_density(test.mean, test.log_var, (1, 3))["plane_density"][place]
    assert wrong != pytest.approx(float(found["plane_density"][place]), rel=0.1), "the order of units counts"


def test_a_deterministic_encoder_leaves_mass_between_the_points():
    """Posteriors narrower than the grid are widened to it: none is lost."""
    mean = torch.full((5, 2), 0.05)
    found = plane_density(mean, torch.full_like(mean, -20.0), (0, 1))
    step = found["plane_axis"][1] - found["plane_axis"][0]
    assert float(found["plane_density"].sum() * step**2) == pytest.approx(1, abs=0.01)


def test_decoded_points_are_where_they_are_said_to_be():
    found = decoded_plane(latents(), functions(), IMAGES, (3, 1))
    g = len(found["plane_at"])
    images = found["plane_shown"].reshape(g, g, 4).float() / 255 * 8 - 4
    for row in range(g):
        for column in range(g):
            z = images[row, column]
            assert z[3] == pytest.approx(float(found["plane_at"][column]), abs=0.02)
            assert z[1] == pytest.approx(float(found["plane_at"][g - 1 - row]), abs=0.02), "up is larger"
            assert z[[0, 2]].abs().max() < 0.02, "the others stay at 0"
    lines = found["traversed_shown"].reshape(len(found["traversed"]), -1, 4).float() / 255 * 8 - 4
    assert found["traversed"].tolist() == [3, 1, 2, 0], "the largest rates first"
    for place, unit in enumerate(found["traversed"].tolist()):
        assert torch.allclose(lines[place, :, unit], found["traversed_at"], atol=0.02)
        others = [other for other in range(4) if other != unit]
        assert lines[place][:, others].abs().max() < 0.02


def test_large_images_have_a_coarser_grid():
    large = functions(lambda z, *_: torch.zeros(len(z), 3, 32, 32))
    assert len(decoded_plane(latents(), large, IMAGES, (0, 1))["plane_at"]) == 9
    assert len(decoded_plane(latents(), functions(), IMAGES, (0, 1))["plane_at"]) == 15


def test_a_conditional_model_is_told_one_class():
    told = []

    def decode(z, label, *_):
        told.append(label)
        return torch.zeros(len(z), 1, 2, 2)

    test = replace(latents(10), label=torch.tensor([1, 2, 2, 2, 0, 0, 1, 2, 1, 2]))
    model = replace(functions(decode), class_frequencies=torch.ones(3) / 3)
    decoded_plane(test, model, IMAGES, (0, 1))
    after_the_first_look = torch.cat(told[1:])
    assert set(after_the_first_look.tolist()) == {2}, "the most frequent one"


def test_only_images_are_decoded_and_one_unit_has_no_plane():
    known = latent_space(latents(), functions(), VECTORS, seed=0)
    assert "plane_density" in known and "plane_shown" not in known
    units = known["divergence"].argsort(descending=True, stable=True)[:2]
    assert known["plane_units"].tolist() == units.tolist()
    alone = latents(d=1)
    assert "plane_density" not in latent_space(alone, functions(), IMAGES, seed=0)


class TwoLumps(Prior):
    """Unit 0 at -3 or 5, unit 1 about 1, unit 2 about 2."""

    def log_prob(self, z):
        raise NotImplementedError

    def sample(self, n, *, generator):
        z = 0.5 * torch.randn(n, self.dim, generator=generator) + torch.tensor([0.0, 1.0, 2.0])
        z[:, 0] += torch.where(torch.rand(n, generator=generator) < 0.25, -3.0, 5.0)
        return z


def test_a_prior_of_the_models_own_is_drawn_from_the_seed():
    model = replace(functions(), prior=TwoLumps(3))
    first, again = (latent_space(latents(d=3), model, IMAGES, seed=0) for _ in range(2))
    assert torch.equal(first["plane_prior"], again["plane_prior"])
    assert not torch.equal(
        first["plane_prior"], latent_space(latents(d=3), model, IMAGES, seed=1)["plane_prior"]
    )


def test_the_plane_of_the_models_own_prior_holds_what_its_lumps_hold():
    draws = own_draws(TwoLumps(3), torch.Generator().manual_seed(1))
    found = plane_density(torch.zeros(3, 3), torch.zeros(3, 3), (0, 1), draws)
    axis, prior = found["plane_axis"], found["plane_prior"]
    step = float(axis[1] - axis[0])
    assert float(axis[-1]) > 6, "N(0, I) ends at 3.5; this one goes on"
    assert float(prior.sum()) * step**2 == pytest.approx(1, abs=0.02)
    across, up = prior.sum(0) * step**2, prior.sum(1) * step**2
    assert float(across[axis < 1].sum()) == pytest.approx(0.25, abs=0.02)
    assert float((up * axis).sum()) == pytest.approx(1, abs=0.05), "rows are the second unit's"
    # an eye takes dips for what they are: between the lumps there is next to nothing
    assert float(across[(axis > 0.5) & (axis < 1.5)].sum()) < 0.05
    decoded = decoded_plane(latents(d=3), functions(), IMAGES, (0, 1), draws)
    assert float(decoded["plane_at"][-1]) == pytest.approx(float(axis[-1]))
    third = decoded["plane_shown"].reshape(-1, 3)[:, 2].float() / 255 * 8 - 4
    assert third.numpy() == pytest.approx(2, abs=0.05), "the others are at the prior's mean"


def test_the_standard_prior_needs_no_draws():
    assert (
        own_draws(None, torch.Generator()) is None and own_draws(StandardNormal(3), torch.Generator()) is None
    )
    known = latent_space(latents(), replace(functions(), prior=StandardNormal(4)), IMAGES, seed=0)
    assert "plane_prior" not in known and float(known["plane_axis"][-1]) == 3.5
