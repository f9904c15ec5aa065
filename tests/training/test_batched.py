"""A member's bits do not depend on its company; it is the model that Lightning trains, within rounding error."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from joblib.externals.loky import ProcessPoolExecutor
from torch import nn

from pretended_device import pretended
from priorgap.core.random import stream
from priorgap.data.binarize import GreySplit
from priorgap.data.splits import Dataset, Split
from priorgap.models.families import ConditionalMLP, GanMLP
from priorgap.models.learned_scale import LearnedGaussian
from priorgap.models.likelihoods import Bernoulli, Gaussian, Likelihood
from priorgap.models.losses import ElboLoss
from priorgap.models.networks import MLP, Conv, Linear
from priorgap.models.series import GRU, TCN
from priorgap.models.vae import VAE, build_vae
from priorgap.priors.mixture import Mixture
from priorgap.priors.standard_normal import StandardNormal
from priorgap.training import BatchedTrainerConfig, TrainerConfig, TrainResult
from priorgap.training.batched import Member, Outcome, numerics, refusal, train_batched
from priorgap.training.batched import program as program_module
from priorgap.training.batched.adam import Adam
from priorgap.training.batched.scope import refusal_of_data, refusal_of_parts
from priorgap.training.batched.stacking import Stack
from priorgap.training.config import NonFiniteLoss
from priorgap.training.fit import train_vae

ALPHAS, RATES = (1.0, 30.0, 5.0, 0.3), (1e-3, 2e-3, 1e-3, 5e-4)
ODD, EVEN, MNIST = MLP(5, (37, 20)), MLP(4, (32, 16)), MLP(16, (512, 256))
# of two trainings that differ in rounding alone: the distance of their weights over the way that training took
TOLERANCE = 1e-3


class Child:
    """A process whose environment the program asks for; products there do not depend on company."""

    def __init__(self, executor: ProcessPoolExecutor) -> None:
        self._executor = executor
        self.strict = executor.submit(numerics.in_force).result().strict

    def __call__(self, *arguments: object) -> list[Outcome]:
        outcomes: list[Outcome] = self._executor.submit(train_batched, *arguments).result()
        return outcomes


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    variables = {**numerics.environment(), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    executor = ProcessPoolExecutor(max_workers=1, env=variables)
    yield Child(executor)
    executor.shutdown(wait=True, kill_workers=True)


def images(side: int, n: int = 220) -> Dataset:
    """Random bright patterns with noise: losses fall, and the sizes leave a last short batch."""
    brightness = torch.rand(n, 1, 1, 1, generator=stream(0, "brightness", side))
    pattern = torch.rand(1, 1, side, side, generator=stream(0, "pattern", side))
    noise = torch.rand(n, 1, side, side, generator=stream(0, "noise", side))
    split = Split((200 * brightness * pattern + 55 * noise).to(torch.uint8))
    edges = ((0, n // 2), (n // 2, 3 * n // 4), (3 * n // 4, n))
    return Dataset("tiny", *(split.take(slice(*e)) for e in edges))


def member(k: int, data: Dataset, sizes: MLP, likelihood: Likelihood | None = None) -> Member:
    vae = build_vae(sizes, likelihood or Bernoulli(), None, data.shape, generator=stream(k, "weights"))
    return Member(vae, ElboLoss(ALPHAS[k % 4], 1.0 + k % 2), seed=k, learning_rate=RATES[k % 4])


def config(**changes: object) -> BatchedTrainerConfig:
    return BatchedTrainerConfig(**{"max_epochs": 3, "batch_size": 16, **changes})


def by_lightning(one: Member, data: Dataset, trainer: BatchedTrainerConfig, directory: Path) -> TrainResult:
    own = TrainerConfig(**{**vars(trainer), "learning_rate": one.learning_rate})
    return train_vae(
        one.vae, data, one.loss, own, seed=one.seed, directory=directory / str(one.seed), progress=False
    )


def trained(outcomes: Sequence[Outcome]) -> list[TrainResult]:
    assert all(isinstance(found, TrainResult) for found in outcomes)
    return [found for found in outcomes if isinstance(found, TrainResult)]


def facts(result: TrainResult) -> tuple[object, ...]:
    return result.curves, result.stopped_epoch, result.best_epoch, result.reason


def distance(a: TrainResult, b: TrainResult, initial: nn.Module) -> float:
    """The distance between two results' weights, over that from the initial weights to the second's."""
    vectors = [torch.cat([p.detach().flatten() for p in m.parameters()]) for m in (a.vae, b.vae, initial)]
    return float((vectors[0] - vectors[1]).norm() / (vectors[1] - vectors[2]).norm())


def check_same(a: TrainResult, b: TrainResult, initial: nn.Module, *, strict: bool) -> None:
    """The same bits; where products are not strict, the same within rounding."""
    if strict:
        first, second = a.vae.state_dict(), b.vae.state_dict()
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert facts(a) == facts(b)
    else:
        assert distance(a, b, initial) < TOLERANCE


@pytest.mark.parametrize("n_members", [4, 16])
@pytest.mark.parametrize("sizes", [ODD, EVEN], ids=["odd widths", "even widths"])
def test_a_member_has_the_same_bits_in_a_batch_of_any_size_at_every_place(
    sizes: MLP, n_members: int, child: Child
) -> None:
    data, trainer = images(8), config()
    places = list(range(n_members))
    together = trained(child([member(k, data, sizes) for k in places], data, trainer))
    backwards = trained(child([member(k, data, sizes) for k in reversed(places)], data, trainer))
    for k in places:
        (one,) = trained(child([member(k, data, sizes)], data, trainer))
        initial = member(k, data, sizes).vae
        check_same(together[k], one, initial, strict=child.strict)
        check_same(backwards[-1 - k], one, initial, strict=child.strict)


def test_so_have_the_default_networks_on_images_of_28_x_28(child: Child) -> None:
    data, trainer = images(28), config(max_epochs=2)
    together = trained(child([member(k, data, MNIST) for k in range(4)], data, trainer))
    for k in (0, 3):
        (one,) = trained(child([member(k, data, MNIST)], data, trainer))
        check_same(together[k], one, member(k, data, MNIST).vae, strict=child.strict)


@pytest.mark.parametrize(
    "changes",
    [
        {"gradient_clip": 0.5},
        {"weight_decay": 0.1, "optimizer": "adamw"},
        {"patience": 1, "max_epochs": 12},
    ],
    ids=["clipping", "decay", "early stopping"],
)
def test_options_are_each_members_own(changes: dict[str, object], child: Child, tmp_path: Path) -> None:
    data, trainer = images(8), config(**changes)
    found = trained(child([member(k, data, ODD, Gaussian()) for k in range(4)], data, trainer))
    for k, result in enumerate(found):
        (one,) = trained(child([member(k, data, ODD, Gaussian())], data, trainer))
        initial = member(k, data, ODD, Gaussian()).vae
        check_same(result, one, initial, strict=child.strict)
        lightning = by_lightning(member(k, data, ODD, Gaussian()), data, trainer, tmp_path)
        assert distance(result, lightning, initial) < TOLERANCE


def test_members_that_stop_early_leave_the_others_as_they_are(child: Child) -> None:
    data, trainer = images(8), config(patience=1, max_epochs=25)
    members = [member(k, data, ODD) for k in range(4)]
    # steps far too long: its validation loss soon rises
    members[1] = Member(members[1].vae, members[1].loss, 1, 0.2)
    found = trained(child(members, data, trainer))
    assert found[1].reason == "early_stopping"
    assert found[1].stopped_epoch < found[3].stopped_epoch
    for k in (0, 2, 3):
        (one,) = trained(child([member(k, data, ODD)], data, trainer))
        check_same(found[k], one, member(k, data, ODD).vae, strict=child.strict)


def test_who_looks_on_is_told_each_members_epochs_and_changes_nothing() -> None:
    data = images(8)
    settings = config(max_epochs=5, patience=1)
    told: dict[int, list[object]] = {}

    def look(number: int, record: dict[str, float]) -> None:
        told.setdefault(number, []).append(dict(record))
        record.clear()

    looked_at = trained(train_batched([member(k, data, ODD) for k in range(3)], data, settings, look))
    alone = trained(train_batched([member(k, data, ODD) for k in range(3)], data, settings))
    for k, (result, other) in enumerate(zip(looked_at, alone, strict=True)):
        assert told[k] == result.curves == other.curves
        assert facts(result) == facts(other)


def test_a_loss_that_is_not_finite_ends_its_member_alone(child: Child) -> None:
    data, trainer = images(8), config()
    members = [member(k, data, ODD, Gaussian()) for k in range(3)]
    members[1] = Member(members[1].vae, ElboLoss(1e30), 1, 1e30)
    found = child(members, data, trainer)
    assert isinstance(found[1], NonFiniteLoss)
    assert "step" in str(found[1])
    assert "epoch" in str(found[1])
    assert "learning_rate" in str(found[1])
    for k in (0, 2):
        (result,) = trained([found[k]])
        (one,) = trained(child([member(k, data, ODD, Gaussian())], data, trainer))
        check_same(result, one, member(k, data, ODD, Gaussian()).vae, strict=child.strict)


def test_a_member_is_the_model_that_lightning_trains_within_rounding(child: Child, tmp_path: Path) -> None:
    data, trainer = images(8), config()
    for k, result in enumerate(trained(child([member(k, data, ODD) for k in range(4)], data, trainer))):
        lightning = by_lightning(member(k, data, ODD), data, trainer, tmp_path)
        assert distance(result, lightning, member(k, data, ODD).vae) < TOLERANCE
        for mine, theirs in zip(result.curves, lightning.curves, strict=True):
            assert mine == pytest.approx(theirs, rel=1e-4)


def test_a_batch_whose_members_share_their_noise_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data, trainer = images(8), config()
    monkeypatch.setattr(program_module, "stream", lambda seed, *names: stream(0, *names))
    found = trained(train_batched([member(k, data, ODD) for k in range(2)], data, trainer))
    monkeypatch.undo()
    lightning = by_lightning(member(1, data, ODD), data, trainer, tmp_path)
    assert distance(found[1], lightning, member(1, data, ODD).vae) > 10 * TOLERANCE


def test_in_float64_a_hundred_steps_agree_with_plain_modules() -> None:
    """The stack against networks that autograd runs one by one, with a plain optimiser."""
    data = images(8)
    x = data.train.floats().double()[:64]
    vaes = [member(k, data, ODD).vae.double() for k in range(4)]
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


@pytest.mark.parametrize(("decoupled", "cls"), [(False, torch.optim.Adam), (True, torch.optim.AdamW)])
def test_steps_are_those_of_torchs_optimisers(decoupled: bool, cls: type[torch.optim.Adam]) -> None:
    """Three members, two learning rates, one leaves on the way: the same kernel on tensors of the same shapes."""
    rates = [1e-2, 1e-3, 1e-2]
    mine, theirs = (
        [[nn.Parameter(torch.randn(7, 5, generator=stream(k))) for _ in range(2)] for k in range(3)]
        for _ in range(2)
    )
    for p in (p for own in mine for p in own):
        p.grad = torch.zeros_like(p)
    adam = Adam(mine, rates, weight_decay=0.1, decoupled=decoupled)
    plain = [cls(own, lr=rate, weight_decay=0.1, fused=True) for own, rate in zip(theirs, rates, strict=True)]
    running = [0, 1, 2]
    for step in range(6):
        if step == 3:
            running = [0, 2]
            adam.take(running, [mine[k] for k in running])
        for k in running:
            for a, b in zip(mine[k], theirs[k], strict=True):
                b.grad = torch.randn(7, 5, generator=stream(k, step))
                assert a.grad is not None
                a.grad.copy_(b.grad)
            plain[k].step()
        adam.step()
    assert all(torch.equal(a, b) for k in range(3) for a, b in zip(mine[k], theirs[k], strict=True))


def test_what_the_program_cannot_train_is_refused_with_the_reason() -> None:
    data = images(8)
    conv = build_vae(Conv(4, (8,), 16), Bernoulli(), None, data.shape, generator=stream(0))
    assert "Conv2d" in (refusal(conv) or "")
    assert refusal(member(0, data, ODD).vae) is None
    assert "no plain VAE" in (refusal(nn.Linear(1, 1)) or "")
    learned = build_vae(ODD, LearnedGaussian(0.5, False), None, data.shape, generator=stream(0))
    assert "parameters of its own" in (refusal(learned) or "")
    grey = Dataset("grey", GreySplit(data.train.x, grey=data.train.x), data.validation, data.test)
    assert "redrawn in every epoch" in (refusal_of_data(grey) or "")
    with pytest.raises(ValueError, match=r"trainer=batched: .*Conv2d.*; expected trainer=default"):
        train_batched([Member(conv, ElboLoss(), 0, 1e-3)], data, config())
    with pytest.raises(ValueError, match="at least one"):
        train_batched([], data, config())
    with pytest.raises(ValueError, match="one architecture"):
        train_batched([member(0, data, ODD), member(1, data, MLP(5, (30, 20)))], data, config())


def test_a_configuration_is_judged_without_data_and_without_random_numbers() -> None:
    normal = StandardNormal(16)
    before = torch.get_rng_state()
    assert refusal_of_parts(MNIST, Bernoulli(), normal) is None
    assert refusal_of_parts(Linear(3), Gaussian(), None) is None
    assert "Conv2d" in str(refusal_of_parts(Conv(), Bernoulli(), normal))
    assert "a layer is Conv1d" in str(refusal_of_parts(TCN(), Gaussian(), normal))
    assert "a layer is GRU" in str(refusal_of_parts(GRU(), Gaussian(), normal))
    assert "ConditionalMLP" in str(refusal_of_parts(ConditionalMLP(), Bernoulli(), normal))
    assert "GanMLP" in str(refusal_of_parts(GanMLP(adversary=None), Bernoulli(), normal))  # type: ignore[arg-type]
    assert "prior=Mixture" in str(refusal_of_parts(MNIST, Bernoulli(), Mixture(3, 4, "diag")))
    assert "parameters of its own" in str(refusal_of_parts(MNIST, LearnedGaussian(0.5, False), normal))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"precision": "bf16"},
            "trainer.precision=bf16: trainer=batched trains in float32; expected 32-true",
        ),
        ({"optimizer": "sgd"}, "trainer.optimizer=sgd: expected adam or adamw"),
        ({"max_epochs": 0}, "trainer.max_epochs=0: expected an integer"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        config(**changes)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, "AUTO,STRICT"),
        ({"MKL_CBWR": " "}, "AUTO,STRICT"),
        ({"MKL_CBWR": "COMPATIBLE"}, "COMPATIBLE"),
        ({"MKL_CBWR": "AVX2"}, "AVX2,STRICT"),
        ({"MKL_CBWR": "auto"}, "AUTO,STRICT"),
        ({"MKL_CBWR": "AVX512,STRICT"}, "AVX512,STRICT"),
        ({"MKL_CBWR": "SSE2"}, "SSE2"),
    ],
)
def test_the_users_choice_of_products_stands_and_is_made_strict(own: dict[str, str], expected: str) -> None:
    assert numerics.environment(own) == {"MKL_CBWR": expected}


def test_the_program_knows_what_its_products_are_worth(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    # strict wherever there is MKL, unless the user chose a path of it that cannot be
    chosen = numerics.environment()["MKL_CBWR"]
    assert child.strict is (torch.backends.mkl.is_available() and not chosen.startswith(("SSE", "AVX,")))
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    assert numerics.in_force() == numerics.Numerics("without MKL", strict=False)
    monkeypatch.undo()
    # where torch's library does not answer, the environment does
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(numerics, "_state_of_mkl", lambda: None)
    for value, strict in (("AUTO,STRICT", True), ("COMPATIBLE", True), ("AVX2", False), ("", False)):
        monkeypatch.setenv("MKL_CBWR", value)
        assert numerics.in_force().strict is strict


def test_a_stack_gives_back_what_it_was_given() -> None:
    data = images(8)
    vaes = [member(k, data, ODD).vae for k in range(3)]
    stack = Stack([(v.encoder, v.decoder) for v in vaes]).take([2, 0])
    target: VAE = member(9, data, ODD).vae
    stack.store(0, target)
    for name, weight in vaes[2].state_dict().items():
        assert torch.equal(target.state_dict()[name], weight)


@pytest.mark.parametrize(
    "changes",
    [{}, {"gradient_clip": 0.5, "optimizer": "adamw", "weight_decay": 0.1}, {"patience": 1, "max_epochs": 4}],
    ids=["adam", "clipped adamw", "early stopping"],
)
def test_on_another_device_members_have_the_numbers_of_the_cpu(changes: dict[str, object]) -> None:
    data = images(6)

    def members() -> list[Member]:
        return [member(k, data, EVEN) for k in range(3)]

    expected = trained(train_batched(members(), data, config(**changes)))
    with pretended() as device:
        found = trained(train_batched(members(), data, config(**changes), device=device))
    for there, here in zip(found, expected, strict=True):
        assert facts(there) == facts(here)
        assert all(torch.equal(v, there.vae.state_dict()[k]) for k, v in here.vae.state_dict().items())
        assert all(p.device.type == "cpu" for p in there.vae.parameters())


def test_a_loss_that_is_not_finite_is_told_with_its_step_though_read_later() -> None:
    data = images(6)
    members = [member(k, data, EVEN) for k in range(2)]
    with torch.no_grad():
        members[1].vae.decoder[-2].bias.fill_(float("nan"))
    good, bad = train_batched(members, data, config())
    assert isinstance(good, TrainResult)
    assert isinstance(bad, NonFiniteLoss)
    assert "step 0 of epoch 0" in str(bad)
