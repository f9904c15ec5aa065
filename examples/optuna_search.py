"""A search by Optuna around priorgap's functions: it chooses on validation rows and is judged once on test rows.

    pip install optuna
    python examples/optuna_search.py 20 outputs/search

Each trial trains a VAE on the digits. Its score is the FID of its prior's draws against *validation* rows. The best
model is then compared on test rows. Nothing was chosen by these, so the verdict is valid as it stands. After a search
by measures on test rows the verdict would rest on rows by which the model was chosen.
"""

import sys
from pathlib import Path

import optuna
from torch import Tensor

from priorgap import Comparison, compare
from priorgap.core.findings import Finding
from priorgap.core.random import stream
from priorgap.data import Digits
from priorgap.data.splits import Dataset, Split
from priorgap.models import MLP, ElboLoss, Gaussian
from priorgap.models.vae import VAE, build_vae
from priorgap.training import TrainerConfig
from priorgap.training.fit import train_vae

_EPOCHS, _SEED = 30, 0


def train(parameters: dict[str, float], dataset: Dataset, folder: Path) -> VAE:
    """Train one model; a trial that was killed goes on from its last epoch."""
    architecture = MLP(int(parameters["latent_dim"]), (128, 64))
    vae = build_vae(architecture, Gaussian(), None, dataset.shape, generator=stream(_SEED, "weights"))
    trainer = TrainerConfig(
        max_epochs=_EPOCHS, learning_rate=parameters["learning_rate"], patience=5, accelerator="cpu"
    )
    loss = ElboLoss(alpha=parameters["alpha"])
    return train_vae(vae, dataset, loss, trainer, seed=_SEED, directory=folder, progress=False).vae


def judge(vae: VAE, train: Split, held_out: Split, **options: object) -> Comparison:
    """Compare ways of sampling a model on rows that it was not trained on."""

    def decode(z: Tensor) -> Tensor:
        return vae.likelihood.mean(vae.raw(z, None))

    return compare(vae.encoding, decode, train, held_out, features="pixels", progress=False, **options)


def fid_of_the_prior(found: Comparison) -> float:
    """Return the score of a trial: the FID of draws of its prior."""
    rows = found.table
    chosen = rows[(rows["measure"] == "fid") & (rows["sampler"] == "prior") & (rows["unit"] == "")]
    return float(chosen["value"].iloc[0])


def main(n_trials: int, folder: Path) -> Comparison:
    """Search, then compare once on test rows."""
    dataset = Digits().load(root=folder, download=False)

    def objective(trial: optuna.Trial) -> float:
        parameters = {
            "latent_dim": trial.suggest_int("latent_dim", 2, 16, log=True),
            "alpha": trial.suggest_float("alpha", 1.0, 100.0, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
        }
        vae = train(parameters, dataset, folder / f"trial_{trial.number}")
        found = judge(vae, dataset.train, dataset.validation, samplers=["prior"], metrics=["fid"])
        return fid_of_the_prior(found)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize", sampler=optuna.samplers.TPESampler(seed=_SEED))
    study.optimize(objective, n_trials=n_trials)

    best = study.best_trial
    searched = Finding(
        "note", "chosen_on_validation", float(n_trials), None,
        f"The model is the best of {n_trials} by the FID of its prior on validation observations; this verdict is "
        "reported on others.",
    )  # fmt: skip
    vae = train(best.params, dataset, folder / f"trial_{best.number}")
    return judge(
        vae, dataset.train, dataset.test, validation=dataset.validation,
        metrics=["fid"],
        known=[searched],
    )  # fmt: skip


if __name__ == "__main__":
    sys.stdout.write(f"{main(int(sys.argv[1]), Path(sys.argv[2])).verdict.text}\n")
