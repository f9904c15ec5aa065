"""Pictures of a model in training: what they show, when, and that training goes on as if nobody had looked."""

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_study import content, run_tiny
from wandb_runs import read_runs

from priorgap.data.splits import Dataset, Split
from priorgap.modalities import IMAGES, VECTORS
from priorgap.models.conditional import Classes
from priorgap.pipeline import models
from priorgap.pipeline.config.model_config import ModelConfig
from priorgap.pipeline.config.session import Request, Session
from priorgap.pipeline.tracking.live import _every
from priorgap.pipeline.training_pictures import picture


def config_of(*words: str) -> dict:
    with Session(Request(words, False)) as session:
        (found,) = [ModelConfig(config, names) for config, names in session.cells()]
    return dict(found.config)


def dataset(n: int = 20) -> Dataset:
    generator = torch.Generator().manual_seed(0)

    def split(rows: int) -> Split:
        x = torch.randint(0, 256, (rows, 1, 8, 8), generator=generator, dtype=torch.uint8)
        return Split(x, torch.arange(rows) % 10)

    return Dataset("digits", split(40), split(20), split(n), 10)


@pytest.mark.parametrize(
    ("word", "n_rows"),
    [
        ("model=mlp", 3),
        ("model=conv", 3),
        ("model=conditional_mlp", 3),
        ("model=autoencoder_mlp", 2),
        ("model=gan_mlp", 2),
    ],
)
def test_rows_are_test_images_reconstructions_and_draws_of_the_prior(word, n_rows):
    config, data = config_of(word), dataset()
    classes = Classes.of(data.train.label, 10) if "conditional" in word else None
    model = models.build(config, (1, 8, 8), IMAGES, classes).train()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    found = picture(model, data, config, seed=3)
    assert found.shape == (n_rows * 9 - 1, 8 * 9 - 1) and found.dtype == np.uint8
    for i in range(8):
        assert np.array_equal(found[:8, 9 * i : 9 * i + 8], data.test.x[i, 0].numpy())
    assert np.array_equal(found, picture(model, data, config, seed=3)), "the same z each time"
    if n_rows == 3 or "gan" in word:
        assert not np.array_equal(found[-8:], picture(model, data, config, seed=4)[-8:])
    # training goes on as if nobody had looked
    assert torch.equal(state, torch.get_rng_state()) and all(part.training for part in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_a_decoder_that_draws_from_the_global_state_does_not_move_it(monkeypatch):
    config, data = config_of("model=mlp"), dataset()
    model = models.build(config, (1, 8, 8), IMAGES, None)
    own = type(model).decode_raw
    monkeypatch.setattr(type(model), "decode_raw", lambda self, z: own(self, z) + torch.randn(1))
    state = torch.get_rng_state()
    assert picture(model, data, config, seed=0) is not None
    assert torch.equal(state, torch.get_rng_state())


def test_few_rows_and_what_is_no_image():
    config, data = config_of("model=mlp"), dataset(n=3)
    model = models.build(config, (1, 8, 8), IMAGES, None)
    assert picture(model, data, config, seed=0).shape == (26, 26)
    values = Split(torch.zeros(5, 4), kind="float_vector")
    vectors = Dataset("values", values, values, values)
    assert picture(models.build(config, (4,), VECTORS, None), vectors, config, seed=0) is None


@pytest.mark.parametrize(
    ("asked", "n_epochs", "n_pictures"),
    [(None, 120, 6), (None, 7, 3), (None, 1, 1), (0, 120, 0), (50, 120, 2)],
)
def test_there_are_as_many_as_asked_for_and_at_most_six_by_themselves(asked, n_epochs, n_pictures):
    every = _every({"pictures_every": asked}, {"trainer": {"max_epochs": n_epochs}})
    assert sum(every > 0 and (epoch + 1) % every == 0 for epoch in range(n_epochs)) == n_pictures


def test_they_stand_at_the_steps_of_their_epochs_and_change_no_bit(tiny, tmp_path):
    def study(name: str, *words: str) -> Path:
        folder = tmp_path / name
        for part in ("data", "reference"):
            shutil.copytree(tiny / "outputs" / part, folder / "outputs" / part)
        assert run_tiny(folder, "trainer.max_epochs=4", "seed=0", *words) == 0
        return folder

    looked = study("looked", "tracking=offline", "tracking.pictures_every=2")
    (run,) = [one for one in read_runs(looked / "outputs/tiny/wandb") if one.job_type == "model"]
    epochs = [row for row in run.history if "train/loss" in row]
    assert [row["epoch"] for row in epochs] == [0, 1, 2, 3] == [row["_step"] for row in epochs]
    shown = {row["epoch"]: row["train/pictures.path"] for row in epochs if "train/pictures.path" in row}
    assert list(shown) == [1, 3]
    pictures = [np.asarray(Image.open(run.folder / "files" / path)) for path in shown.values()]
    assert all(one.shape[:2] == (26, 71) for one in pictures)
    assert np.array_equal(pictures[0][:8], pictures[1][:8]), "test images stay"
    assert not np.array_equal(pictures[0][9:], pictures[1][9:]), "what the model makes does not"
    none = study("none", "tracking=offline", "tracking.pictures_every=0")
    (run,) = [one for one in read_runs(none / "outputs/tiny/wandb") if one.job_type == "model"]
    assert not any("train/pictures.path" in row for row in run.history)
    assert content(looked) == content(none) == content(study("off", "tracking=off"))
