"""Steps that a module takes itself, several for each of Lightning's batches, are those that Lightning takes."""

from functools import partial
from pathlib import Path

import pytest
import torch
from killing import Killed
from torch.optim import LBFGS, SGD
from torch.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau

from priorgap.core.random import stream
from priorgap.data.digits import Digits
from priorgap.data.splits import Dataset, Split
from priorgap.models.controls import Adversary
from priorgap.models.families import GanMLP, build_model
from priorgap.models.likelihoods import Bernoulli, Gaussian
from priorgap.models.losses import ElboLoss
from priorgap.models.networks import MLP
from priorgap.models.vae import VAE, build_vae
from priorgap.training import TrainerConfig
from priorgap.training.datamodule import Batch, steps_of_a_batch
from priorgap.training.fit import train_vae
from priorgap.training.gan import train_gan
from priorgap.training.lightning import pl
from priorgap.training.module import VaeModule


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Dataset:
    return Digits().load(root=tmp_path_factory.mktemp("none"), download=False)


@pytest.fixture(scope="module")
def vectors(digits) -> Dataset:
    """Rows of 37 floats, so that most rows start at an address that no allocation would have."""
    parts = (digits.train, digits.validation, digits.test)
    return Dataset("vectors", *(Split(p.floats().flatten(1)[:, :37], kind="float_vector") for p in parts))


def fit(place: Path, data: Dataset, *, callbacks=(), progress: bool = False, batch_size: int = 50, **trainer):
    likelihood = Bernoulli() if data.train.kind == "uint8_image" else Gaussian()
    vae = build_vae(MLP(3, (32,)), likelihood, None, data.shape, generator=stream(0, "weights"))
    config = TrainerConfig(max_epochs=3, batch_size=batch_size, accelerator="cpu", **trainer)
    return train_vae(
        vae, data, ElboLoss(), config, seed=0, directory=place, progress=progress, callbacks=callbacks
    )


def same(a, b) -> bool:
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


CHANGES = {
    "adam": {},
    "clipped": {"gradient_clip": 1.0},
    "bf16": {"precision": "bf16"},
    "early stopping": {"patience": 1},
    "schedule": {"scheduler": partial(ExponentialLR, gamma=0.5)},
    "plateau": {"scheduler": partial(ReduceLROnPlateau, patience=0, factor=0.1, threshold=10.0)},
    "momentum": {"optimizer": partial(SGD, momentum=0.9), "learning_rate": 1e-4},
    "several losses a step": {"optimizer": partial(LBFGS, max_iter=3), "learning_rate": 1e-3},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("name", ["digits", "vectors"])
def test_own_steps_have_the_bits_of_lightnings(tmp_path, request, name, changes):
    data = request.getfixturevalue(name)
    own = fit(tmp_path / "own", data, **changes)
    lightnings = fit(tmp_path / "lightning", data, callbacks=[pl.Callback()], **changes)
    assert same(own.vae, lightnings.vae)
    assert own.curves == lightnings.curves
    # each change reaches the steps, and rows of other steps give other weights
    assert changes in ({}, {"patience": 1}) or not same(own.vae, fit(tmp_path / "plain", data).vae)
    assert not same(own.vae, fit(tmp_path / "other", data, batch_size=49, **changes).vae)


@pytest.mark.parametrize("changes", [{}, {"gradient_clip": 0.1}], ids=["adam", "clipped"])
def test_a_gans_steps_do_not_depend_on_lightnings_batches(tmp_path, digits, changes):
    def trained(place: Path, **more):
        architecture = GanMLP(3, (16,), adversary=Adversary(r1=0.5, betas=(0.5, 0.9)))
        model = build_model(architecture, Bernoulli(), None, digits.shape, generator=stream(0, "weights"))
        config = TrainerConfig(max_epochs=2, batch_size=50, accelerator="cpu", **changes)
        return train_gan(model, digits, config, seed=0, directory=tmp_path / place, progress=False, **more)

    own, watched = trained("own"), trained("watched", callbacks=[pl.Callback()])
    assert same(own.vae, watched.vae)
    assert own.curves == watched.curves


def test_lightning_gets_several_steps_at_a_time_unless_somebody_looks_on(tmp_path, digits, monkeypatch):
    sizes: list[int] = []
    inner = VaeModule.training_step

    def counted(self, batch, batch_idx):
        sizes.append(len(batch.x))
        return inner(self, batch, batch_idx)

    monkeypatch.setattr(VaeModule, "training_step", counted)
    n = len(digits.train)
    fit(tmp_path / "own", digits)
    assert sizes == 3 * [*[8 * 50] * (n // 400), n % 400]
    sizes.clear()
    fit(tmp_path / "watched", digits, callbacks=[pl.Callback()])
    assert sizes == 3 * [*[50] * (n // 50), n % 50]


def test_a_run_that_dies_between_the_steps_of_a_batch_resumes_to_the_same_bits(tmp_path, digits, monkeypatch):
    whole = fit(tmp_path / "whole", digits)
    calls = 0
    inner = VAE.terms

    def mortal(self, *given):
        nonlocal calls
        calls += 1
        if calls == 40:  # the second epoch's 17th step, after 22 steps and one batch of validation
            raise Killed
        return inner(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(VAE, "terms", mortal)
        with pytest.raises(Killed):
            fit(tmp_path / "dead", digits)
    seen = fit(tmp_path / "dead", digits)
    assert same(whole.vae, seen.vae)
    assert whole.curves == seen.curves


def test_rows_of_a_step_start_in_memory_of_their_own():
    x = torch.arange(7 * 37, dtype=torch.float32).reshape(7, 37)
    batch = Batch(x, None, torch.arange(7))
    parts = batch.split(3)
    assert [len(p.x) for p in parts] == [3, 3, 1]
    assert torch.equal(torch.cat([p.x for p in parts]), x)
    assert torch.equal(torch.cat([p.label for p in parts]), batch.label)
    assert all(p.noise is None and p.x.storage_offset() == 0 for p in parts)
    assert len({p.x.untyped_storage().data_ptr() for p in parts} | {x.data_ptr()}) == 4
    assert batch.split(7) == [batch]


def test_large_rows_come_for_fewer_steps():
    assert steps_of_a_batch(torch.zeros(1000, 1, 28, 28, dtype=torch.uint8), 128) == 8
    assert steps_of_a_batch(torch.zeros(3, 3, 128, 128), 32) == 2
    assert steps_of_a_batch(torch.zeros(3, 3, 128, 128), 1000) == 1


@pytest.mark.parametrize("callbacks", [(), (pl.Callback(),)], ids=["own", "lightning's"])
def test_the_bar_counts_steps(tmp_path, digits, capfd, callbacks):
    fit(tmp_path, digits, callbacks=callbacks, progress=True)
    total = 3 * -(-len(digits.train) // 50)
    assert f" {total}/{total} " in capfd.readouterr().err
