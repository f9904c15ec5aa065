"""Lightning as its users know it: what they look for is there, and what would break exact resume is refused."""

import csv
from functools import partial
from pathlib import Path

import pytest
import torch
from killing import Killed, KillIn
from pytorch_lightning import callbacks as lightning_callbacks
from pytorch_lightning.loggers import CSVLogger
from torch.optim import LBFGS, SGD
from torch.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau

from priorgap.core.random import stream
from priorgap.data.digits import Digits
from priorgap.models.controls import Adversary
from priorgap.models.families import GanMLP, build_model
from priorgap.models.likelihoods import Bernoulli
from priorgap.models.losses import ElboLoss
from priorgap.models.networks import MLP
from priorgap.models.vae import build_vae
from priorgap.training import BatchedTrainerConfig, TrainerConfig
from priorgap.training.config import check_for_gan
from priorgap.training.datamodule import ImageData
from priorgap.training.fit import CHECKPOINT, train_vae
from priorgap.training.gan import train_gan
from priorgap.training.lightning import LightningEnvironment, pl
from priorgap.training.options import check_callbacks

SWA = partial(lightning_callbacks.StochasticWeightAveraging, 1e-2, swa_epoch_start=2)
EMA = partial(lightning_callbacks.EMAWeightAveraging, decay=0.9)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return Digits().load(root=tmp_path_factory.mktemp("none"), download=False)


def fit(place: Path, data, *, epochs: int = 4, callbacks=(), loggers=(), **trainer):
    vae = build_vae(MLP(3, (32,)), Bernoulli(), None, data.shape, generator=stream(0, "weights"))
    config = TrainerConfig(max_epochs=epochs, batch_size=128, accelerator="cpu", **trainer)
    return train_vae(
        vae,
        data,
        ElboLoss(),
        config,
        seed=0,
        directory=place,
        progress=False,
        callbacks=callbacks,
        loggers=loggers,
    )


def same(a, b) -> bool:
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


class _Look(pl.Callback):
    """Keeps what a user's callback sees."""

    def __init__(self) -> None:
        self.metrics: list[dict[str, float]] = []

    def on_train_start(self, trainer, pl_module):
        self.automatic = pl_module.automatic_optimization
        self.data = trainer.datamodule
        self.checkpoint = trainer.checkpoint_callback
        self.environment = (
            trainer.strategy.cluster_environment
            if hasattr(trainer.strategy, "cluster_environment")
            else trainer._accelerator_connector.cluster_environment
        )

    def on_train_epoch_end(self, trainer, pl_module):
        self.metrics.append({k: float(v) for k, v in trainer.callback_metrics.items()})


def test_what_a_user_of_lightning_looks_for_is_there(tmp_path, digits):
    look = _Look()
    result = fit(tmp_path, digits, callbacks=[look], epochs=2)
    assert look.automatic and isinstance(look.data, ImageData)
    assert isinstance(look.checkpoint, lightning_callbacks.ModelCheckpoint)
    assert look.checkpoint.best_model_path == str(tmp_path / CHECKPOINT)
    assert len(look.metrics) == 2
    for seen, record in zip(look.metrics, result.curves, strict=True):
        # validation is logged before a user's callback sees the epoch's end
        assert seen["validation_loss"] == pytest.approx(record["validation_loss"])


def test_a_job_of_a_cluster_is_not_requeued_by_lightning(tmp_path, digits, monkeypatch):
    for key, value in {
        "SLURM_NTASKS": "1",
        "SLURM_JOB_ID": "1",
        "SLURM_JOB_NAME": "batch",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": "0",
        "SLURM_NTASKS_PER_NODE": "1",
    }.items():
        monkeypatch.setenv(key, value)
    look = _Look()
    fit(tmp_path, digits, callbacks=[look], epochs=1)
    assert isinstance(look.environment, LightningEnvironment)


@pytest.mark.parametrize(
    "changes",
    [
        {"scheduler": partial(ExponentialLR, gamma=0.5)},
        {"scheduler": partial(ReduceLROnPlateau, patience=0, factor=0.1, threshold=10.0)},
        {"optimizer": partial(SGD, momentum=0.9), "learning_rate": 1e-4},
        {"optimizer": partial(torch.optim.RMSprop)},
    ],
    ids=["schedule", "plateau", "momentum", "rmsprop"],
)
def test_optimisers_and_schedules_resume_to_the_same_bits(tmp_path, digits, changes):
    whole = fit(tmp_path / "whole", digits, **changes)
    plain = fit(tmp_path / "plain", digits)
    for epoch in (1, 3):
        place = tmp_path / f"dead in {epoch}"
        with pytest.raises(Killed):
            fit(place, digits, callbacks=[KillIn(epoch)], **changes)
        assert same(whole.vae, fit(place, digits, **changes).vae)
    assert not same(whole.vae, plain.vae)


@pytest.mark.parametrize("make", [SWA, EMA], ids=["swa", "ema"])
def test_averages_of_weights_resume_to_the_same_bits(tmp_path, digits, make):
    whole = fit(tmp_path / "whole", digits, callbacks=[make()])
    plain = fit(tmp_path / "plain", digits)
    for epoch in (1, 3):
        place = tmp_path / f"dead in {epoch}"
        with pytest.raises(Killed):
            fit(place, digits, callbacks=[make(), KillIn(epoch)])
        assert same(whole.vae, fit(place, digits, callbacks=[make()]).vae)
    assert not same(whole.vae, plain.vae)


def test_a_schedule_lowers_the_rate_once_an_epoch(tmp_path, digits):
    logger = CSVLogger(tmp_path / "log", name=None)
    monitor = lightning_callbacks.LearningRateMonitor("epoch")
    fit(
        tmp_path / "run", digits, epochs=3, scheduler=partial(ExponentialLR, gamma=0.5), loggers=[logger],
        callbacks=[monitor],
    )  # fmt: skip
    rows = rows_of(tmp_path / "log/version_0/metrics.csv")
    rates = [float(row["lr-Adam"]) for row in rows if row["lr-Adam"]]
    assert rates == pytest.approx([1e-3, 5e-4, 2.5e-4])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_logger_has_the_curves_and_a_resume_deletes_none(tmp_path, digits):
    def logger() -> CSVLogger:
        return CSVLogger(tmp_path / "log", name=None)

    with pytest.raises(Killed):
        fit(tmp_path / "run", digits, epochs=3, loggers=[logger()], callbacks=[KillIn(2)])
    result = fit(tmp_path / "run", digits, epochs=3, loggers=[logger()])
    found: dict[int, float] = {}
    for version in ("version_0", "version_1"):
        for row in rows_of(tmp_path / "log" / version / "metrics.csv"):
            if row["validation_loss"]:
                found[int(row["epoch"])] = float(row["validation_loss"])
    assert found == pytest.approx({int(r["epoch"]): r["validation_loss"] for r in result.curves})


def test_early_stopping_on_another_column_stops(tmp_path, digits):
    stop = lightning_callbacks.EarlyStopping("validation_kl", patience=1, mode="min", min_delta=1e9)
    result = fit(tmp_path, digits, epochs=8, callbacks=[stop])
    assert (result.stopped_epoch, result.reason) == (2, "early_stopping")
    assert fit(tmp_path, digits, epochs=8).stopped_epoch == 2


@pytest.mark.parametrize(
    ("callback", "changes", "message"),
    [
        (lightning_callbacks.ModelCheckpoint(), {}, "one checkpoint"),
        (lightning_callbacks.EarlyStopping("validation_loss"), {"patience": 2}, "trainer.patience=2"),
        (lightning_callbacks.EarlyStopping("accuracy"), {}, "monitor=accuracy"),
        (lightning_callbacks.LearningRateMonitor(), {}, "logger=csv"),
        (SWA(), {"patience": 2}, "one epoch's weights"),
    ],
)
def test_callbacks_that_cannot_work_are_one_line(callback, changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_callbacks([callback], TrainerConfig(**changes), has_logger=False)
    assert "\n" not in str(caught.value)


def test_a_gan_has_nothing_to_stop_on_and_two_schedules(tmp_path, digits):
    stop = lightning_callbacks.EarlyStopping("validation_loss")
    with pytest.raises(ValueError, match="no loss to stop on"):
        check_callbacks([stop], TrainerConfig(), has_logger=False, has_loss=False)
    for changes, message in (
        ({"optimizer": LBFGS}, "LBFGS"),
        ({"scheduler": partial(ReduceLROnPlateau)}, "no loss to watch"),
    ):
        with pytest.raises(ValueError, match=message):
            check_for_gan(TrainerConfig(**changes))

    def trained(place: Path, **changes):
        architecture = GanMLP(3, (16,), adversary=Adversary(r1=0.0, betas=(0.5, 0.9)))
        model = build_model(architecture, Bernoulli(), None, digits.shape, generator=stream(0, "weights"))
        config = TrainerConfig(max_epochs=2, batch_size=256, accelerator="cpu", **changes)
        return train_gan(model, digits, config, seed=0, directory=place, progress=False).vae

    halved = trained(tmp_path / "halved", scheduler=partial(ExponentialLR, gamma=0.5))
    assert not same(halved, trained(tmp_path / "plain"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "sgd"}, "trainer.optimizer=sgd"),
        ({"scheduler": "cosine"}, "trainer.scheduler=cosine"),
        ({"optimizer": partial(SGD, lr=0.1)}, "trainer.learning_rate is 0.001"),
    ],
)
def test_bad_optimisers_are_one_line(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        TrainerConfig(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes", [{"optimizer": partial(SGD)}, {"scheduler": partial(ExponentialLR, gamma=0.5)}]
)
def test_the_batched_program_has_optimisers_of_its_own(changes):
    with pytest.raises(ValueError, match="trainer=default"):
        BatchedTrainerConfig(**changes)
