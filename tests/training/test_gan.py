"""Training of conditional models and of the controls: exact resume, both optimisers, what is refused."""

from pathlib import Path

import pytest
import torch
from killing import Killed, KillIn

from priorgap.core.random import stream
from priorgap.data.splits import Dataset, Split
from priorgap.models.conditional import Classes
from priorgap.models.controls import Adversary
from priorgap.models.families import AutoencoderMLP, ConditionalMLP, GanConv, GanMLP, build_model
from priorgap.models.likelihoods import Gaussian
from priorgap.models.losses import ElboLoss
from priorgap.training.config import NonFiniteLoss
from priorgap.training.datamodule import ImageData
from priorgap.training.fit import CHECKPOINT, TrainerConfig, train_vae
from priorgap.training.gan import train_gan

ADVERSARY = Adversary(1.0, (0.5, 0.99))


def labelled(n: int = 120) -> Dataset:
    """Images of one of two patterns, by class, with noise."""
    label = torch.arange(n) % 2
    pattern = torch.rand(2, 1, 8, 8, generator=stream(0, "patterns"))
    noise = torch.rand(n, 1, 8, 8, generator=stream(0, "noise"))
    split = Split((200 * pattern[label] + 55 * noise).to(torch.uint8), label)
    parts = [split.take(slice(*edges)) for edges in ((0, n // 2), (n // 2, 3 * n // 4), (3 * n // 4, n))]
    return Dataset("labelled", *parts, n_classes=2)


def gan(architecture=None, seed: int = 0):
    chosen = architecture or GanMLP(2, (16,), adversary=ADVERSARY)
    return build_model(chosen, Gaussian(), None, (1, 8, 8), generator=stream(seed))


def fit_gan(directory: Path, *, model=None, data=None, **changes):
    extra = {k: changes.pop(k) for k in ("callbacks", "on_epoch") if k in changes}
    settings = {"max_epochs": 3, "batch_size": 2, "accelerator": "cpu", **changes}
    return train_gan(
        model or gan(), data or labelled(), TrainerConfig(**settings), seed=0, directory=directory,
        progress=False, **extra,
    )  # fmt: skip


def same(a, b) -> bool:
    other = b.state_dict()
    return all(torch.equal(v, other[k]) for k, v in a.state_dict().items())


@pytest.mark.parametrize("dead_in", [1, 2])
def test_a_killed_gan_resumes_to_the_same_bits(tmp_path, dead_in):
    whole = fit_gan(tmp_path / "whole")
    with pytest.raises(Killed):
        fit_gan(tmp_path / "cut", callbacks=[KillIn(dead_in)])
    torch.manual_seed(99)
    resumed = fit_gan(tmp_path / "cut", model=gan(seed=7))
    assert same(whole.vae, resumed.vae) and whole.curves == resumed.curves
    assert set(whole.curves[0]) == {"epoch"} | {
        f"{part}_{term}" for part in ("train", "validation") for term in ("loss", "discriminator", "penalty")
    }


@pytest.mark.parametrize("forgotten", [0, 1])
def test_resuming_a_gan_needs_both_optimisers(tmp_path, forgotten):
    """Negative control: the equality above would notice that one optimiser's state is lost."""
    whole = fit_gan(tmp_path / "whole")
    with pytest.raises(Killed):
        fit_gan(tmp_path / "cut", callbacks=[KillIn(2)])
    path = tmp_path / "cut" / CHECKPOINT
    checkpoint = torch.load(path, weights_only=True)
    assert len(checkpoint["optimizer_states"]) == 2
    for entry in checkpoint["optimizer_states"][forgotten]["state"].values():
        entry["exp_avg"].zero_()
    torch.save(checkpoint, path)
    assert not same(whole.vae, fit_gan(tmp_path / "cut").vae)


def test_one_step_of_a_gan_equals_a_bare_loop(tmp_path):
    data, model = labelled(), gan()
    result = fit_gan(tmp_path, model=gan(), data=data, max_epochs=1, batch_size=30)
    adam = [
        torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.99), fused=True)
        for net in (model.discriminator, model.decoder)
    ]
    noise = stream(0, "noise", 0)
    for rows in torch.randperm(len(data.train), generator=stream(0, "order", 0)).split(30):
        fake = model.decode(torch.randn(len(rows), 2, generator=noise))
        loss, penalty = model.discriminator_terms(data.train.batch(rows), fake.detach())
        adam[0].zero_grad()
        (loss + 0.5 * penalty).backward()
        adam[0].step()
        adam[1].zero_grad()
        model.generator_loss(fake).backward()
        adam[1].step()
    for a, b in zip(model.parameters(), result.vae.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


@pytest.mark.slow
def test_a_gan_learns_the_mean_and_spread_of_vectors(tmp_path):
    """N(2, 0.5^2) in two dimensions; untrained, the mean is near 0."""
    x = 2 + 0.5 * torch.randn(1200, 2, generator=stream(0, "x"))
    parts = [Split(part, None, "float_vector") for part in x.split([1000, 100, 100])]
    model = build_model(GanMLP(2, (32,), adversary=ADVERSARY), Gaussian(), None, (2,), generator=stream(0))
    z = torch.randn(2000, 2, generator=stream(1))
    with torch.no_grad():
        assert float((model.decode(z).mean(0) - 2).abs().max()) > 1
    fit_gan(tmp_path, model=model, data=Dataset("vectors", *parts), max_epochs=40, batch_size=50)
    with torch.no_grad():
        drawn = model.decode(z)
    assert float((drawn.mean(0) - 2).abs().max()) < 0.3
    assert float(drawn.std(0).min()) > 0.25 and float(drawn.std(0).max()) < 0.8


def test_a_gan_that_diverges_says_where(tmp_path):
    with pytest.raises(NonFiniteLoss, match=r"non-finite train loss at step \d+ of epoch"):
        fit_gan(tmp_path, learning_rate=1e30)


def test_a_convolutional_gan_trains(tmp_path):
    architecture = GanConv(2, (2, 4), 8, adversary=ADVERSARY)
    result = fit_gan(tmp_path, model=gan(architecture), max_epochs=1, batch_size=30)
    assert len(result.curves) == 1 and result.reason == "max_epochs"


def test_early_stopping_of_a_gan_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a GAN has no loss to stop on"):
        fit_gan(tmp_path, patience=3)


def vae_of(architecture, data: Dataset, seed: int = 0):
    classes = Classes.of(data.train.label, data.n_classes)
    return build_model(architecture, Gaussian(), None, data.shape, classes=classes, generator=stream(seed))


@pytest.mark.parametrize("architecture", [ConditionalMLP(2, (16,)), AutoencoderMLP(2, (16,))], ids=type)
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, architecture):
    data = labelled()
    trainer = TrainerConfig(max_epochs=3, batch_size=2, accelerator="cpu")

    def fit(directory, seed=0, callbacks=()):
        model = vae_of(architecture, data, seed)
        return train_vae(
            model,
            data,
            ElboLoss(10),
            trainer,
            seed=0,
            directory=directory,
            progress=False,
            callbacks=callbacks,
        )

    whole = fit(tmp_path / "whole")
    with pytest.raises(Killed):
        fit(tmp_path / "cut", callbacks=[KillIn(2)])
    resumed = fit(tmp_path / "cut", seed=5)
    assert same(whole.vae, resumed.vae) and whole.curves == resumed.curves
    assert whole.curves[-1]["validation_loss"] < whole.curves[0]["validation_loss"]


def test_a_conditional_model_learns_the_class_from_its_label(tmp_path):
    """At z = 0 the label alone decides the pattern; with the labels shuffled in training it does not."""
    data = labelled(240)
    trainer = TrainerConfig(max_epochs=25, batch_size=20, learning_rate=1e-2, accelerator="cpu")
    centres = torch.stack([data.train.floats()[data.train.label == c].mean(0) for c in (0, 1)])
    gaps = {}
    for name, label in (
        ("own", data.train.label),
        ("shuffled", data.train.label[torch.randperm(120, generator=stream(0))]),
    ):
        train = Split(data.train.x, label)
        given = Dataset("labelled", train, data.validation, data.test, n_classes=2)
        model = vae_of(ConditionalMLP(2, (16,)), given)
        train_vae(model, given, ElboLoss(10), trainer, seed=0, directory=tmp_path / name, progress=False)
        with torch.no_grad():
            images = model.decode(torch.zeros(2, 2), torch.tensor([0, 1]))
        gaps[name] = float((images - centres).square().mean())
    assert gaps["own"] < 0.01 < gaps["shuffled"]


def epoch_of(data: Dataset, part: str, **settings) -> list:
    """The batches of the first epoch."""
    module = ImageData(data, 2, 16, seed=0, **settings)
    loader = module.train_dataloader() if part == "train" else module.val_dataloader()
    return list(loader)


def test_only_conditional_models_see_labels():
    """The batches of other models are what they were: the same rows, and no label."""
    data = labelled()
    for plain, full in zip(epoch_of(data, "train"), epoch_of(data, "train", labels=True), strict=True):
        assert torch.equal(plain.x, full.x) and plain.label is None and len(full.label) == len(full.x)
    assert all(batch.label is None for batch in epoch_of(data, "validation"))
    (batch,) = epoch_of(data, "validation", labels=True)
    assert torch.equal(batch.label, data.validation.label)
    unlabelled = Dataset("plain", *(Split(part.x) for part in (data.train, data.validation, data.test)))
    with pytest.raises(ValueError, match="labels"):
        ImageData(unlabelled, 2, 16, seed=0, labels=True)
