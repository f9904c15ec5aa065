"""`hydra/launcher=fleet`: the same files as every other launcher, models grouped, what cannot sail left alone."""

import logging
from pathlib import Path

import pytest
from tiny_study import content, leftovers, run_tiny

from priorgap.data.digits import Digits
from priorgap.pipeline import fleets
from priorgap.pipeline.cells import Cell
from priorgap.pipeline.engines import processes

SWEEP = ("-m", "seed=0,1,2", "loss.alpha=20,5", "sampler=[prior,posterior]", "metric=[rate,fid,copying]")


def sweep(folder: Path, *extra: str) -> int:
    folder.mkdir()
    return run_tiny(folder, *SWEEP, *extra)


def trained_by_jobs(folder: Path) -> int:
    """How many trainings the jobs' own logs tell of."""
    logs = (folder / "outputs/tiny/logs").glob("*/*/*.log")
    return sum(log.read_text().count(": trained, ") for log in logs)


@pytest.mark.slow
def test_a_fleet_gives_the_files_that_jobs_alone_give(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "priorgap"):
        assert sweep(tmp_path / "fleet", "hydra/launcher=fleet") == 0
    assert "6 models in" in caplog.text
    assert sweep(tmp_path / "alone") == 0
    assert content(tmp_path / "fleet") == content(tmp_path / "alone")
    assert len(list((tmp_path / "fleet/outputs/tiny/train").iterdir())) == 6
    assert leftovers(tmp_path / "fleet") == []
    assert trained_by_jobs(tmp_path / "fleet") == 0
    assert trained_by_jobs(tmp_path / "alone") == 6


@pytest.mark.slow
def test_a_model_that_fails_in_its_fleet_fails_alone_and_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f").mkdir()
    sweep_of = (
        "-m",
        "trainer.learning_rate=1e-3,2e-3,1e30",
        "sampler=[prior,posterior]",
        "metric=[rate,fid,copying]",
    )
    assert run_tiny(tmp_path / "f", *sweep_of, "likelihood=gaussian", "hydra/launcher=fleet") == 1
    assert "NonFiniteLoss" in capsys.readouterr().err
    assert len(list((tmp_path / "f/outputs/tiny/train").glob("*/weights.safetensors"))) == 2


def cell(**changes: object) -> Cell:
    config = {
        "data": {"name": "digits", "source": {}},
        "model": {"latent_dim": 3},
        "likelihood": {},
        "prior": {},
        "loss": {"alpha": 1.0, "beta": 1.0, "reduction": "sum"},
        "trainer": {"learning_rate": 1e-3, "max_epochs": 2},
        "numerics": {},
        "seed": 0,
    }
    for path, value in changes.items():
        part, _, key = path.partition("__")
        config[part] = {**config[part], key: value} if key else value
    return Cell(config)


def test_groups_hold_what_differs_only_in_what_may_differ() -> None:
    same = [
        cell(),
        cell(seed=1),
        cell(loss__alpha=5.0),
        cell(loss__beta=2.0),
        cell(trainer__learning_rate=0.1),
    ]
    others = [cell(model__latent_dim=4), cell(trainer__max_epochs=3), cell(loss__reduction="mean")]
    found = fleets.groups([*same, *others, cell()])
    assert [len(group) for group in found] == [5, 1, 1, 1]


def test_a_fleet_that_leaves_nothing_to_do_starts_no_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a worker was started")

    monkeypatch.setattr(processes, "Processes", refuse)
    assert run_tiny(tmp_path, command=("prepare",)) == 0
    with caplog.at_level(logging.INFO, "priorgap"):
        words = ("-m", "seed=0,1,2", "hydra/launcher=fleet", "hydra.launcher.n_jobs=2")
        assert run_tiny(tmp_path, *words, command=("train",)) == 0
    assert "3 models in 1 fleets" in caplog.text
    assert len(list((tmp_path / "outputs/tiny/train").glob("*/weights.safetensors"))) == 3
    # each job has its log, as with every launcher
    assert len(list((tmp_path / "outputs/tiny/logs").glob("*/[0-9]*"))) == 3
    assert trained_by_jobs(tmp_path) == 0


def test_processes_are_for_work_that_is_worth_their_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Digits().load(root=Path("none"), download=False)
    monkeypatch.setattr(fleets.prepare, "load", lambda *_: dataset)
    config = {
        **cell().config,
        "model": {"_target_": "priorgap.models.networks.MLP", "latent_dim": 8, "hidden": [64]},
        "likelihood": {"_target_": "priorgap.models.likelihoods.Bernoulli"},
        "prior": {"_target_": "priorgap.priors.standard_normal.StandardNormal", "dim": 8},
        "trainer": {"_target_": "priorgap.training.fit.TrainerConfig", "max_epochs": 12},
    }
    one = fleets._seconds([Cell(config)], None)
    assert 0.03 < one < 0.5
    assert fleets._seconds([Cell(config)] * 3, None) == pytest.approx(3 * one)
    assert fleets._seconds([], None) == 0
