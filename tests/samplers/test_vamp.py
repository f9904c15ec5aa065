"""A VampPrior made after training: all images give the posterior sampler, the first few do not."""

import pytest
import torch

from priorgap.core.latents import Latents
from priorgap.core.random import stream
from priorgap.samplers import FitInputs, LatentDensity, Posterior, SamplerNotApplicable, Vamp

CENTRES = torch.tensor([[-4.0, 0.0], [0.0, 4.0], [4.0, 0.0], [0.0, -4.0]])


def clusters(n: int) -> Latents:
    """Four clusters, one after the other, as in data that are sorted by class."""
    label = torch.arange(n) * 4 // n
    mean = CENTRES[label] + 0.3 * torch.randn(n, 2, generator=stream(1, "means"))
    return Latents(mean, torch.full_like(mean, 0.3).log() * 2, label)


def draw(k: int, choice: str, n: int = 2_000):
    train = clusters(400)
    law = Vamp(k, choice).fit(FitInputs(train, train), generator=stream(0, "fit"))
    return train, law, law.sample(n, generator=stream(0, "sample"))


def cluster_shares(z: torch.Tensor) -> torch.Tensor:
    return torch.cdist(z, CENTRES).argmin(1).bincount(minlength=4).double() / len(z)


def represents(z: torch.Tensor) -> None:
    """Every quarter of the data gets a quarter of the draws, give or take the 3 s.e. of 60 images."""
    assert (cluster_shares(z) - 0.25).abs().max() < 0.17


def test_all_images_give_the_posterior_draw_for_draw() -> None:
    train, _, z = draw(400, "random", n=400)
    plain = (
        Posterior()
        .fit(FitInputs(train, train), generator=stream(0))
        .sample(400, generator=stream(0, "sample"))
    )
    assert torch.equal(z.z, plain.z) and torch.equal(z.source, plain.source)


@pytest.mark.parametrize("choice", ["random", "kmeans"])
def test_source_is_the_training_row_of_the_component(choice: str) -> None:
    train, law, z = draw(40, choice)
    assert set(z.source.tolist()) <= set(law.rows.tolist()) and len(z.source.unique()) == len(law.rows) <= 40
    noise = torch.randn(2_000, 2, generator=stream(0, "sample"))
    rows = train.take(z.source)
    assert torch.allclose(z.z, rows.mean + rows.std * noise, atol=1e-6)
    assert torch.equal(z.label, rows.label)


def test_components_are_used_equally_often_and_in_no_order() -> None:
    _, law, z = draw(7, "random", n=700)
    assert z.source.bincount()[law.rows].tolist() == [100] * 7
    assert any(len(block.unique()) < 7 for block in z.source.split(7))


@pytest.mark.parametrize("choice", ["random", "kmeans"])
def test_components_represent_the_data(choice: str) -> None:
    represents(draw(60, choice)[2].z)


def test_the_first_images_of_sorted_data_do_not() -> None:
    # negative control: pseudo-inputs taken from the head of the data
    train = clusters(400)
    first = Vamp(60, "random").fit(FitInputs(train.take(torch.arange(60)), train), generator=stream(0, "fit"))
    with pytest.raises(AssertionError):
        represents(first.sample(2_000, generator=stream(0, "sample")).z)


def test_kmeans_with_one_component_a_cluster_finds_all_clusters() -> None:
    _, law, _ = draw(4, "kmeans")
    assert sorted(clusters(400).label[law.rows].tolist()) == [0, 1, 2, 3]


def test_density_is_the_equal_weight_mixture() -> None:
    train, law, _ = draw(5, "random")
    z = torch.randn(6, 2, generator=stream(4)).double()
    terms = torch.distributions.Normal(train.mean[law.rows].double(), 0.3).log_prob(z[:, None, :]).sum(-1)
    assert isinstance(law, LatentDensity)
    assert torch.allclose(law.log_prob(z), torch.logsumexp(terms, 1) - torch.tensor(5.0).log(), atol=1e-3)


def test_one_component_is_one_posterior() -> None:
    # degenerate: a single Gaussian, with no diversity but its own
    _, law, z = draw(1, "random")
    assert z.source.unique().tolist() == law.rows.tolist()
    assert torch.allclose(z.z.std(0), torch.tensor(0.3), atol=0.02)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="n_components=0"):
        Vamp(0, "random")
    with pytest.raises(ValueError, match="choice='first'"):
        Vamp(3, "first")
    train = Latents(torch.randn(20, 2, generator=stream(0)))
    with pytest.raises(SamplerNotApplicable, match="vamp: the encoder gives no log_var"):
        Vamp(3, "random").fit(FitInputs(train, train), generator=stream(0))
