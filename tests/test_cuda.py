"""On a GPU: the same numbers each time, and the CPU's but for rounding. `pytest -m gpu` runs them, one at a time."""

import csv
from pathlib import Path

import pytest
import torch
from tiny_study import run_tiny

from priorgap.core.devices import computing_on, make_cuda_repeatable
from priorgap.core.random import stream
from priorgap.data.digits import Digits
from priorgap.data.splits import Dataset
from priorgap.features.classifier import ClassifierFeatures, fit_classifier
from priorgap.features.maps import extract
from priorgap.models.likelihoods import Bernoulli
from priorgap.models.losses import ElboLoss
from priorgap.models.networks import MLP
from priorgap.models.vae import VAE, build_vae
from priorgap.training import BatchedTrainerConfig, TrainerConfig, TrainResult
from priorgap.training.batched import Member, train_batched
from priorgap.training.fit import train_vae

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Dataset:
    make_cuda_repeatable()
    return Digits().load(root=tmp_path_factory.mktemp("none"), download=False)


def vae(seed: int, data: Dataset) -> VAE:
    return build_vae(MLP(4, (32,)), Bernoulli(), None, data.shape, generator=stream(seed, "weights"))


def vector(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().cpu().flatten() for p in model.parameters()])


def check_near(found: VAE, expected: VAE, initial: VAE) -> None:
    """Two trainings that differ in rounding alone, by the way from their initial weights."""
    way = (vector(expected) - vector(initial)).norm()
    assert float((vector(found) - vector(expected)).norm() / way) < 1e-2


@pytest.mark.parametrize("precision", [None, "bf16"])
def test_training_repeats_and_is_near_the_cpus(tmp_path, digits, precision):
    def trained(accelerator: str, place: str) -> VAE:
        config = TrainerConfig(max_epochs=2, batch_size=128, accelerator=accelerator, precision=precision)
        return train_vae(
            vae(0, digits), digits, ElboLoss(), config, seed=0, directory=tmp_path / place, progress=False
        ).vae

    first, again = trained("cuda", "first"), trained("cuda", "again")
    assert torch.equal(vector(first), vector(again))
    if precision is None:
        check_near(first, trained("cpu", "cpu"), vae(0, digits))


def test_a_batch_of_models_is_near_the_cpus(digits):
    def trained(device: str) -> list[VAE]:
        members = [Member(vae(k, digits), ElboLoss(10.0 * k + 1), k, 1e-3) for k in range(3)]
        found = train_batched(members, digits, BatchedTrainerConfig(max_epochs=2), device=device)
        return [one.vae for one in found if isinstance(one, TrainResult)]

    there, again, here = trained("cuda"), trained("cuda"), trained("cpu")
    assert len(there) == 3
    for k in range(3):
        assert torch.equal(vector(there[k]), vector(again[k]))
        check_near(there[k], here[k], vae(k, digits))


def test_a_classifier_and_its_features_are_near_the_cpus(digits):
    few = digits.train.take(slice(0, 300))

    def features(device: str) -> torch.Tensor:
        with computing_on(device):
            made = fit_classifier(few.x, few.label, n_classes=10, epochs=2, generator=stream(0, "classifier"))
            return extract(ClassifierFeatures(made), digits.test.x)

    there = features("cuda")
    assert torch.equal(there, features("cuda"))
    assert torch.allclose(there, features("cpu"), atol=1e-2)


def test_a_study_repeats_and_is_near_the_cpus(tmp_path):
    def rows(name: str, accelerator: str) -> dict[tuple[str, ...], str]:
        place = tmp_path / name
        place.mkdir()
        words = ("data=digits", "seed=0", "hydra/launcher=basic", "features=[classifier]")
        assert run_tiny(place, *words, f"trainer.accelerator={accelerator}") == 0
        with (place / "outputs/tiny/report/results.csv").open(newline="", encoding="utf-8") as file:
            keys = ("sampler", "measure", "unit", "space", "label_source", "bound")
            return {tuple(row[k] for k in keys): row["value"] for row in csv.DictReader(file)}

    there = rows("first", "cuda")
    assert there == rows("again", "cuda")
    for key, value in rows("cpu", "cpu").items():
        if key[1] == "fid":
            assert float(there[key]) == pytest.approx(float(value), rel=0.05)


def test_an_interrupted_training_resumes_to_the_same_bits(tmp_path, digits):
    class Stop(Exception):  # noqa: N818
        pass

    def trained(place: Path, stop_after: int | None = None) -> VAE:
        def look(record: dict[str, float]) -> None:
            if record["epoch"] == stop_after:
                raise Stop

        config = TrainerConfig(max_epochs=3, batch_size=128, accelerator="cuda")
        return train_vae(
            vae(0, digits), digits, ElboLoss(), config, seed=0, directory=place, progress=False, on_epoch=look
        ).vae

    with pytest.raises(Stop):
        trained(tmp_path / "cut", stop_after=1)
    assert torch.equal(vector(trained(tmp_path / "cut")), vector(trained(tmp_path / "whole")))
