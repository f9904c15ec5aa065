"""Training: exact resume, early stopping, refusals, silence."""

import copy
import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from killing import Killed, KillIn

from priorgap.core.random import stream
from priorgap.data.splits import Dataset, Split
from priorgap.models.likelihoods import Bernoulli, Gaussian
from priorgap.models.losses import ElboLoss
from priorgap.models.networks import MLP
from priorgap.models.vae import VAE, build_vae
from priorgap.training.config import NonFiniteLoss
from priorgap.training.fit import CHECKPOINT, TrainerConfig, train_vae


def tiny_dataset(n: int = 100, seed: int = 0) -> Dataset:
    """Images of one pattern at random brightness, with noise."""
    brightness = torch.rand(n, 1, 1, 1, generator=stream(seed, "brightness"))
    pattern = torch.rand(1, 1, 8, 8, generator=stream(seed, "pattern"))
    noise = torch.rand(n, 1, 8, 8, generator=stream(seed, "noise"))
    x = (200 * brightness * pattern + 55 * noise).to(torch.uint8)
    split = Split(x)
    parts = [split.take(slice(*edges)) for edges in ((0, n // 2), (n // 2, 3 * n // 4), (3 * n // 4, n))]
    return Dataset("tiny", *parts)


def tiny_vae(latent_dim: int = 2, seed: int = 0) -> VAE:
    return build_vae(MLP(latent_dim, (16,)), Gaussian(), None, (1, 8, 8), generator=stream(seed, "init"))


def fit(directory: Path, *, vae: VAE | None = None, data: Dataset | None = None, seed: int = 0, **changes):
    settings = {"max_epochs": 4, "batch_size": 16, "accelerator": "cpu", **changes}
    extra = {k: settings.pop(k) for k in ("on_epoch", "on_resume", "callbacks", "progress") if k in settings}
    return train_vae(
        vae or tiny_vae(),
        data or tiny_dataset(),
        ElboLoss(alpha=10),
        TrainerConfig(**settings),
        seed=seed,
        directory=directory,
        **{"progress": False, **extra},
    )


def same_weights(a: VAE, b: VAE) -> bool:
    other = b.state_dict()
    return all(torch.equal(v, other[k]) for k, v in a.state_dict().items())


@pytest.mark.parametrize("patience", [None, 50])
@pytest.mark.parametrize("dead_in", [1, 2, 3])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, dead_in, patience):
    # it dies after the first of 50 steps
    settings = {"patience": patience, "batch_size": 1}
    whole = fit(tmp_path / "whole", **settings)
    with pytest.raises(Killed):
        fit(tmp_path / "cut", callbacks=[KillIn(dead_in)], **settings)
    torch.manual_seed(99)
    seen = []
    resumed = fit(
        tmp_path / "cut", vae=tiny_vae(seed=7), on_epoch=lambda r: seen.append(r["epoch"]), **settings
    )
    assert seen == list(range(dead_in, 4))
    assert same_weights(whole.vae, resumed.vae)
    assert whole.curves == resumed.curves
    assert [r["epoch"] for r in resumed.curves] == [0, 1, 2, 3]


def test_who_looks_on_is_told_of_every_epoch_once(tmp_path):
    class StopError(Exception):
        pass

    before, told, resumed = [], [], []

    def stop(record):
        before.append(record)
        if record["epoch"] == 2:
            raise StopError

    with pytest.raises(StopError):
        fit(tmp_path, on_epoch=stop, on_resume=resumed.append)
    assert not resumed
    # the epoch in which it died was not kept: it is run, and told, again, with the same numbers
    curves = fit(tmp_path, on_epoch=told.append, on_resume=resumed.append).curves
    assert resumed == [before[:2]] and resumed[0] + told == curves and told[0] == before[2]
    fit(tmp_path, on_epoch=lambda record: pytest.fail("nothing was trained"), on_resume=resumed.append)
    assert resumed[1] == curves


def test_resume_needs_the_optimizers_state(tmp_path):
    """Negative control: the equality above would notice a resume that restores the weights alone."""
    whole = fit(tmp_path / "whole")
    with pytest.raises(Killed):
        fit(tmp_path / "cut", callbacks=[KillIn(2)])
    path = tmp_path / "cut" / CHECKPOINT
    checkpoint = torch.load(path, weights_only=True)
    for entry in checkpoint["optimizer_states"][0]["state"].values():
        entry["exp_avg"].zero_()
    torch.save(checkpoint, path)
    assert not same_weights(whole.vae, fit(tmp_path / "cut").vae)


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = fit(tmp_path)
    seen = []
    again = fit(tmp_path, vae=tiny_vae(seed=3), on_epoch=seen.append)
    assert seen == []
    assert same_weights(first.vae, again.vae) and first.curves == again.curves


def test_a_rerun_gives_the_same_bits_and_another_seed_does_not(tmp_path):
    torch.manual_seed(5)
    a = fit(tmp_path / "a")
    torch.manual_seed(6)
    assert same_weights(a.vae, fit(tmp_path / "b").vae)
    assert not same_weights(a.vae, fit(tmp_path / "c", seed=1).vae)


@pytest.mark.parametrize("batch_size", [1, 16])
def test_training_equals_a_bare_loop(tmp_path, batch_size):
    """The same steps written out: what Lightning runs is the objective and nothing else."""
    data, vae = tiny_dataset(), tiny_vae()
    result = fit(tmp_path, vae=copy.deepcopy(vae), data=data, batch_size=batch_size)
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3, fused=True)
    for epoch in range(4):
        noise = stream(0, "noise", epoch)
        for rows in torch.randperm(len(data.train), generator=stream(0, "order", epoch)).split(batch_size):
            terms = vae.terms(data.train.batch(rows), torch.randn(len(rows), 2, generator=noise))
            loss = (10 * terms.reconstruction + terms.rate.sum(1)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for a, b in zip(vae.parameters(), result.vae.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_the_curves_are_means_over_rows(tmp_path):
    data, vae = tiny_dataset(), tiny_vae()
    result = fit(tmp_path, vae=vae, data=data, max_epochs=1)
    noise = torch.randn(len(data.validation), 2, generator=stream(0, "validation noise"))
    with torch.no_grad():
        terms = vae.terms(data.validation.floats(), noise)
    record = result.curves[0]
    kl, reconstruction = float(terms.rate.sum(1).mean()), float(terms.reconstruction.mean())
    assert record["validation_kl"] == pytest.approx(kl, rel=1e-5)
    assert record["validation_reconstruction"] == pytest.approx(reconstruction, rel=1e-5)
    assert record["validation_loss"] == pytest.approx(10 * reconstruction + kl, rel=1e-5)
    assert set(record) == {"epoch"} | {
        f"{p}_{t}" for p in ("train", "validation") for t in ("loss", "reconstruction", "kl")
    }


def test_training_lowers_the_loss(tmp_path):
    curves = fit(tmp_path, max_epochs=15, learning_rate=1e-2).curves
    assert curves[-1]["train_loss"] < 0.9 * curves[0]["train_loss"]


def test_early_stopping_keeps_the_best_weights(tmp_path):
    settings = {"max_epochs": 400, "learning_rate": 5e-2, "patience": 3}
    result = fit(tmp_path / "long", **settings)
    losses = [r["validation_loss"] for r in result.curves]
    assert result.reason == "early_stopping" and result.stopped_epoch < 400
    assert result.best_epoch == min(range(len(losses)), key=losses.__getitem__)
    assert result.stopped_epoch == result.best_epoch + 3 + 1
    best = fit(tmp_path / "short", **{**settings, "max_epochs": result.best_epoch + 1, "patience": None})
    assert same_weights(result.vae, best.vae)
    assert best.reason == "max_epochs"
    again = fit(tmp_path / "long", vae=tiny_vae(seed=8), **settings)
    assert same_weights(result.vae, again.vae) and again.reason == "early_stopping"


def test_a_non_finite_loss_stops_with_its_step(tmp_path):
    vae = tiny_vae()
    with torch.no_grad():
        vae.encoder[-1].bias[2:] = 1e4
    with pytest.raises(NonFiniteLoss, match="step 0 of epoch 0") as caught:
        fit(tmp_path, vae=vae)
    assert "\n" not in str(caught.value)
    # not the data, which are images, and no learning rate: nothing had been learnt
    assert "no weight had moved yet" in str(caught.value) and "the scale of x is as expected" in str(
        caught.value
    )
    assert caught.value.untrained

    class Poison(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.current_epoch == 2:
                with torch.no_grad():
                    next(pl_module.vae.decoder.parameters()).fill_(float("nan"))

    with pytest.raises(NonFiniteLoss, match=r"train loss at step 0 of epoch 2 \(.*= nan, nan, [\d.]+\)"):
        fit(tmp_path / "later", callbacks=[Poison()])


@pytest.mark.parametrize("scale", [1e25, -1e25, 150.0, 50.0])
def test_a_non_finite_loss_names_the_scale_of_x(tmp_path, scale):
    """Raw counts and unscaled columns: the message says what was given, what is expected, and what to do."""
    x = scale * (0.5 + 0.5 * torch.rand(60, 5, generator=stream(0, "counts")))
    data = Dataset("counts", *(Split(part, None, "float_vector") for part in x.split(20)))
    vae = build_vae(MLP(2, (16,)), Gaussian(), None, (5,), generator=stream(0, "init"))
    if abs(scale) < 1e20:
        with torch.no_grad():
            vae.encoder[-1].bias[2:] = 1e4
    with pytest.raises(NonFiniteLoss, match="step 0 of epoch 0") as caught:
        fit(tmp_path, vae=vae, data=data)
    said = str(caught.value)
    assert "\n" not in said and f"{float(data.train.x.min()):.4g}" in said and "expected" in said
    assert ("the scale of x is the likely cause" in said and "rescale the data" in said) == (abs(scale) > 100)
    assert "try a lower learning_rate" not in said


def test_a_later_non_finite_loss_names_the_scale_of_x_only_where_it_is_large(tmp_path):
    class Poison(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.current_epoch == 1:
                with torch.no_grad():
                    next(pl_module.vae.decoder.parameters()).fill_(float("nan"))

    for scale, words in ((1.0, "try a lower learning_rate or a gradient_clip"), (110.0, "the scale of x")):
        x = scale * torch.rand(60, 5, generator=stream(0, "counts"))
        data = Dataset("counts", *(Split(part, None, "float_vector") for part in x.split(20)))
        vae = build_vae(MLP(2, (16,)), Gaussian(), None, (5,), generator=stream(0, "init"))
        with pytest.raises(NonFiniteLoss, match="step 0 of epoch 1") as caught:
            fit(tmp_path / str(scale), vae=vae, data=data, callbacks=[Poison()])
        assert words in str(caught.value) and not caught.value.untrained


def test_gradient_clip_and_weight_decay_reach_the_optimizer(tmp_path):
    plain = fit(tmp_path / "a").vae
    assert not same_weights(plain, fit(tmp_path / "b", gradient_clip=1e-3).vae)
    assert not same_weights(plain, fit(tmp_path / "c", weight_decay=0.5).vae)
    assert not same_weights(plain, fit(tmp_path / "d", weight_decay=0.5, optimizer="adamw").vae)


def test_a_damaged_checkpoint_is_said_and_training_starts_anew(tmp_path, caplog):
    whole = fit(tmp_path / "whole")
    with pytest.raises(Killed):
        fit(tmp_path / "cut", callbacks=[KillIn(2)])
    path = tmp_path / "cut" / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-200])
    with caplog.at_level(logging.WARNING):
        resumed = fit(tmp_path / "cut")
    assert "cannot be read" in caplog.text and str(path) in caplog.text
    assert same_weights(whole.vae, resumed.vae)


def test_a_checkpoint_of_another_shape_is_refused(tmp_path):
    fit(tmp_path, max_epochs=1)
    with pytest.raises(ValueError, match=r"last.ckpt: .* has shape .* the model expects"):
        fit(tmp_path, vae=tiny_vae(latent_dim=3))


def test_the_checkpoint_loads_without_pickle_and_nothing_else_is_left(tmp_path):
    fit(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [CHECKPOINT]
    assert "state_dict" in torch.load(tmp_path / CHECKPOINT, weights_only=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_epochs": 0}, "trainer.max_epochs=0"),
        ({"batch_size": -1}, "trainer.batch_size=-1"),
        ({"patience": 0}, "trainer.patience=0"),
        ({"learning_rate": 0.0}, "trainer.learning_rate=0.0"),
        ({"learning_rate": float("nan")}, "trainer.learning_rate=nan"),
        ({"weight_decay": -1.0}, "trainer.weight_decay=-1.0"),
        ({"gradient_clip": 0.0}, "trainer.gradient_clip=0.0"),
        ({"optimizer": "sgd"}, "trainer.optimizer=sgd"),
        ({"accelerator": "tpu"}, "trainer.accelerator=tpu"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError) as caught:
        TrainerConfig(**changes)
    assert message in str(caught.value) and "expected" in str(caught.value)


def test_data_that_do_not_fit_are_refused(tmp_path):
    other = build_vae(MLP(2, (8,)), Gaussian(), None, (1, 4, 4), generator=stream(0))
    with pytest.raises(ValueError, match=r"shape \[1, 8, 8\].*\[1, 4, 4\]"):
        fit(tmp_path, vae=other)
    vectors = Dataset("v", *(Split(torch.full((8, 3), v), None, "float_vector") for v in (-1.0, 0.0, 0.0)))
    bernoulli = build_vae(MLP(2, (8,)), Bernoulli(), None, (3,), generator=stream(0))
    with pytest.raises(ValueError, match=r"leaves \[0, 1\]"):
        fit(tmp_path, vae=bernoulli, data=vectors)
    broken = Dataset(
        "v", *(Split(torch.full((8, 3), v), None, "float_vector") for v in (torch.nan, 0.0, 0.0))
    )
    gaussian = build_vae(MLP(2, (8,)), Gaussian(), None, (3,), generator=stream(0))
    with pytest.raises(ValueError, match="NaN or infinity"):
        fit(tmp_path, vae=gaussian, data=broken)
    assert not list(tmp_path.iterdir())


def test_training_is_silent_and_the_bar_is_on_standard_error(tmp_path, capfd, recwarn):
    fit(tmp_path / "quiet", max_epochs=1)
    assert capfd.readouterr() == ("", "")
    assert len(recwarn) == 0
    fit(tmp_path / "bar", max_epochs=2, progress=True)
    out, err = capfd.readouterr()
    assert out == "" and "8/8" in err and "validation=" in err


def test_global_random_state_is_untouched(tmp_path):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    fit(tmp_path, max_epochs=1)
    assert torch.equal(before, torch.get_rng_state())


def test_ctrl_c_is_a_keyboard_interrupt_and_resumable(tmp_path):
    class Interrupt(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if trainer.current_epoch == 2:
                raise KeyboardInterrupt

    import signal

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut", callbacks=[Interrupt()])
    assert signal.getsignal(signal.SIGINT) is handler
    assert same_weights(fit(tmp_path / "whole").vae, fit(tmp_path / "cut").vae)


@pytest.mark.slow
def test_kill_minus_nine_then_the_same_command(tmp_path):
    """A process that is killed in epoch 2 and started again ends like an undisturbed one."""
    script = tmp_path / "run.py"
    script.write_text(
        textwrap.dedent(
            """
            import hashlib, os, signal, sys
            from pathlib import Path
            from priorgap.core import torchvision_compat
            torchvision_compat.ensure()
            sys.path.insert(0, sys.argv[2])
            from test_fit import fit
            def die(record):
                if sys.argv[3] == "die" and record["epoch"] == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
            vae = fit(Path(sys.argv[1]), on_epoch=die).vae
            weights = b"".join(p.detach().numpy().tobytes() for p in vae.parameters())
            print(hashlib.sha256(weights).hexdigest())
            """
        )
    )

    def run(directory: str, mode: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(script), str(tmp_path / directory), str(Path(__file__).parent), mode]
        return subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )

    assert run("cut", "die").returncode == -9
    resumed, whole = run("cut", "live"), run("whole", "live")
    assert whole.returncode == 0 and len(whole.stdout.strip()) == 64
    assert resumed.stdout == whole.stdout
