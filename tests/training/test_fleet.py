"""A fleet's replicas are bit for bit the models that training alone gives, whatever sails beside them."""

from pathlib import Path

import pytest
import torch
from torch import nn

from priorgap.data.splits import Dataset, Split
from priorgap.models.likelihoods import Bernoulli, Gaussian, Likelihood
from priorgap.models.losses import ElboLoss
from priorgap.models.networks import MLP, Conv
from priorgap.models.vae import VAE, build_vae
from priorgap.streams import stream
from priorgap.training import fleet as fleet_module
from priorgap.training.fit import TrainerConfig, TrainResult, train_vae
from priorgap.training.fleet import Replica, refusal, train_fleet
from priorgap.training.module import NonFiniteLoss
from priorgap.training.stacking import Stack

ALPHAS, RATES = (1.0, 30.0, 5.0, 0.3), (1e-3, 2e-3, 1e-3, 5e-4)


def images(side: int, n: int = 220) -> Dataset:
    """Random bright patterns with noise: losses fall, and the sizes leave a last short batch."""
    brightness = torch.rand(n, 1, 1, 1, generator=stream(0, "brightness", side))
    pattern = torch.rand(1, 1, side, side, generator=stream(0, "pattern", side))
    noise = torch.rand(n, 1, side, side, generator=stream(0, "noise", side))
    split = Split((200 * brightness * pattern + 55 * noise).to(torch.uint8))
    edges = ((0, n // 2), (n // 2, 3 * n // 4), (3 * n // 4, n))
    return Dataset("tiny", *(split.take(slice(*e)) for e in edges))


def replica(k: int, data: Dataset, sizes: MLP, likelihood: Likelihood | None = None) -> Replica:
    vae = build_vae(sizes, likelihood or Bernoulli(), None, data.shape, generator=stream(k, "weights"))
    return Replica(vae, ElboLoss(ALPHAS[k % 4], 1.0 + k % 2), seed=k, learning_rate=RATES[k % 4])


def config(**changes: object) -> TrainerConfig:
    return TrainerConfig(**{"max_epochs": 3, "batch_size": 16, "accelerator": "cpu", **changes})


def alone(
    k: int, data: Dataset, sizes: MLP, trainer: TrainerConfig, directory: Path, **law: Likelihood
) -> TrainResult:
    one = replica(k, data, sizes, **law)
    own = TrainerConfig(**{**vars(trainer), "learning_rate": one.learning_rate})
    return train_vae(
        one.vae, data, one.loss, own, seed=one.seed, directory=directory / str(k), progress=False
    )


def same(a: TrainResult, b: TrainResult) -> bool:
    first, second = a.vae.state_dict(), b.vae.state_dict()
    facts = [(r.curves, r.stopped_epoch, r.best_epoch, r.reason) for r in (a, b)]
    return facts[0] == facts[1] and all(torch.equal(first[name], second[name]) for name in first)


DIGITS, MNIST = MLP(5, (37, 20)), MLP(16, (512, 256))


@pytest.mark.parametrize("n_replicas", [1, 4, 16])
@pytest.mark.parametrize(("side", "sizes"), [(8, DIGITS), (28, MNIST)], ids=["digits", "mnist"])
def test_replicas_are_bitwise_the_models_trained_alone(
    side: int, sizes: MLP, n_replicas: int, tmp_path: Path
) -> None:
    data, trainer = images(side), config(max_epochs=2 if side == 28 else 3)
    found = train_fleet([replica(k, data, sizes) for k in range(n_replicas)], data, trainer)
    for k in {0, n_replicas // 2, n_replicas - 1}:
        (one,) = train_fleet([replica(k, data, sizes)], data, trainer)
        assert isinstance(one, TrainResult)
        assert isinstance(found[k], TrainResult)
        assert same(found[k], one)
        assert same(found[k], alone(k, data, sizes, trainer, tmp_path))


@pytest.mark.parametrize(
    "changes",
    [
        {"gradient_clip": 0.5},
        {"weight_decay": 0.1, "optimizer": "adamw"},
        {"patience": 1, "max_epochs": 12, "learning_rate": 1.0},
    ],
    ids=["clipping", "decay", "early stopping"],
)
def test_options_are_each_replicas_own(changes: dict[str, object], tmp_path: Path) -> None:
    data, trainer = images(8), config(**changes)
    found = train_fleet([replica(k, data, DIGITS, Gaussian()) for k in range(4)], data, trainer)
    for k, result in enumerate(found):
        assert isinstance(result, TrainResult)
        assert same(result, alone(k, data, DIGITS, trainer, tmp_path, likelihood=Gaussian()))


def test_replicas_that_stop_early_leave_the_others_as_they_are(tmp_path: Path) -> None:
    data, trainer = images(8), config(patience=1, max_epochs=25)
    replicas = [replica(k, data, DIGITS) for k in range(4)]
    # steps far too long: its validation loss soon rises
    replicas[1] = Replica(replicas[1].vae, replicas[1].loss, 1, 0.2)
    found = [r for r in train_fleet(replicas, data, trainer) if isinstance(r, TrainResult)]
    assert len(found) == 4
    assert found[1].reason == "early_stopping"
    assert found[1].stopped_epoch < found[3].stopped_epoch
    for k in (0, 2, 3):
        assert same(found[k], alone(k, data, DIGITS, trainer, tmp_path))


def test_a_loss_that_is_not_finite_ends_its_replica_alone(tmp_path: Path) -> None:
    data, trainer = images(8), config()
    replicas = [replica(k, data, DIGITS, Gaussian()) for k in range(3)]
    replicas[1] = Replica(replicas[1].vae, ElboLoss(1e30), 1, 1e30)
    found = train_fleet(replicas, data, trainer)
    assert isinstance(found[1], NonFiniteLoss)
    assert "step" in str(found[1])
    assert "epoch" in str(found[1])
    for k in (0, 2):
        assert isinstance(found[k], TrainResult)
        assert same(found[k], alone(k, data, DIGITS, trainer, tmp_path, likelihood=Gaussian()))


def test_in_float64_a_hundred_steps_agree_with_plain_modules() -> None:
    """The stack against networks that autograd runs one by one, with a plain optimiser."""
    data = images(8)
    x = data.train.floats().double()[:64]
    vaes = [replica(k, data, DIGITS).vae.double() for k in range(4)]
    stack = Stack([(v.encoder, v.decoder) for v in vaes])
    together = torch.optim.Adam([p for views in stack.views for p in views], lr=1e-2)
    apart = torch.optim.Adam([p for v in vaes for p in v.parameters()], lr=1e-2)
    for _ in range(100):
        stack.zero_grad()
        codes = stack.encode(x[None].expand(4, *x.shape))
        (stack.decode(codes[:, :, :5]) - x).square().sum().backward()
        together.step()
        apart.zero_grad()
        sum((v.decoder(v.encoder(x)[:, :5]) - x).square().sum() for v in vaes).backward()
        apart.step()
    for views, vae in zip(stack.views, vaes, strict=True):
        for mine, theirs in zip(views, vae.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-10, rtol=0)


def test_a_fleet_that_shares_its_noise_is_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data, trainer = images(8), config()
    monkeypatch.setattr(fleet_module, "stream", lambda seed, *names: stream(0, *names))
    found = train_fleet([replica(k, data, DIGITS) for k in range(2)], data, trainer)
    assert isinstance(found[1], TrainResult)
    assert not same(found[1], alone(1, data, DIGITS, trainer, tmp_path))


def test_what_cannot_be_stacked_is_refused_with_the_reason() -> None:
    data = images(8)
    conv = build_vae(Conv(4, (8,), 16), Bernoulli(), None, data.shape, generator=stream(0))
    assert "Conv2d" in (refusal(conv, data) or "")
    assert refusal(replica(0, data, DIGITS).vae, data) is None
    assert "no plain VAE" in (refusal(nn.Linear(1, 1), data) or "")
    with pytest.raises(ValueError, match="Conv2d"):
        train_fleet([Replica(conv, ElboLoss(), 0, 1e-3)], data, config())
    with pytest.raises(ValueError, match="at least one"):
        train_fleet([], data, config())
    with pytest.raises(ValueError, match="one architecture"):
        train_fleet([replica(0, data, DIGITS), replica(1, data, MLP(5, (30, 20)))], data, config())


def test_a_stack_gives_back_what_it_was_given() -> None:
    data = images(8)
    vaes = [replica(k, data, DIGITS).vae for k in range(3)]
    stack = Stack([(v.encoder, v.decoder) for v in vaes]).take([2, 0])
    target: VAE = replica(9, data, DIGITS).vae
    stack.store(0, target)
    for name, weight in vaes[2].state_dict().items():
        assert torch.equal(target.state_dict()[name], weight)
