"""`hydra/launcher=fleet`: the same files as every other launcher, models grouped, what cannot sail left alone."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny_study import content, leftovers, run_tiny

from priorgap.data.digits import Digits
from priorgap.pipeline import fleets
from priorgap.pipeline.cells import Cell
from priorgap.pipeline.engines import processes
from priorgap.pipeline.fleet_rule import Rule
from priorgap.pipeline.store import Store

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
    assert sweep(tmp_path / "alone", "fleet.auto=false") == 0
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


def test_time_is_told_by_rows_epochs_and_weights() -> None:
    dataset = Digits().load(root=Path("none"), download=False)
    config = {
        **cell().config,
        "trainer": {"_target_": "priorgap.training.fit.TrainerConfig", "max_epochs": 12},
    }
    one = fleets._seconds(Cell(config), 9_288, dataset)
    assert 0.03 < one < 0.5
    assert fleets._seconds(Cell(config), 900_000, dataset) > 10 * one


AUTO = {"auto": True, "min_models": 4, "max_weights": 400_000, "max_seconds": 600}


@pytest.mark.parametrize(
    ("launcher", "auto", "expected"),
    [
        ("basic", True, True),
        ("joblib", True, True),
        ("basic", False, False),
        ("joblib", False, False),
        ("fleet", False, True),
        ("ray", True, False),
        ("slurm", True, False),
    ],
)
def test_which_commands_have_fleets(launcher: str, auto: bool, expected: bool) -> None:
    assert (Rule.of(launcher, {**AUTO, "auto": auto}) is not None) is expected


@pytest.mark.parametrize(
    ("models", "weights", "seconds", "words"),
    [
        (4, 400_000, 600, None),
        (3, 10, 1, "fleet.min_models=4"),
        (4, 400_001, 1, "fleet.max_weights=400000"),
        (4, 10, 601, "fleet.max_seconds=600"),
        (7, 10, 1100, "fleet.max_seconds=600"),
        (8, 10, 1100, None),
    ],
)
def test_the_rule_as_it_is_written(models: int, weights: int, seconds: float, words: str | None) -> None:
    rule = Rule.of("basic", AUTO)
    assert rule is not None
    reason = rule.refusal(models, weights, seconds)
    assert reason is None if words is None else words in str(reason)
    # whoever asks for fleets gets them
    forced = Rule.of("fleet", AUTO)
    assert forced is not None
    assert (forced.refusal(models, weights, seconds), forced.n_parts(seconds)) == (None, 1)


GRID = ("-m", "seed=0,1,2,3")


def trained(folder: Path, *extra: str, said: pytest.LogCaptureFixture) -> tuple[dict[str, str], str]:
    """Train a sweep of four; return its files' checksums and what was said."""
    folder.mkdir()
    data = [word for word in extra if word.startswith("data.")]
    assert run_tiny(folder, *data, command=("prepare",)) == 0
    said.clear()
    with said.at_level(logging.INFO, "priorgap"):
        assert run_tiny(folder, *GRID, *extra, command=("train",)) == 0
    return content(folder), said.text


def test_small_models_are_a_fleet_on_their_own_and_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen, said = trained(tmp_path / "chosen", said=caplog)
    assert "4 models in 1 fleets (4 or more alike, of up to 400000 weights; fleet.auto=false" in said
    jobs, said = trained(tmp_path / "jobs", "fleet.auto=false", said=caplog)
    assert "fleets" not in said
    assert chosen == jobs
    assert (trained_by_jobs(tmp_path / "chosen"), trained_by_jobs(tmp_path / "jobs")) == (0, 4)
    # a rerun looks, and does nothing
    caplog.clear()
    assert run_tiny(tmp_path / "jobs", *GRID, command=("train",)) == 0
    assert "fleets" not in caplog.text
    assert content(tmp_path / "jobs") == jobs


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (("fleet.max_weights=100",), "weights each, more than fleet.max_weights=100"),
        (("prior=mixture", "sampler=[prior]"), "the prior is "),
        (("data.binarize=dynamic", "likelihood=bernoulli"), "redrawn in every epoch"),
    ],
    ids=["weights", "prior", "binarize"],
)
def test_why_there_is_no_fleet_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, extra: tuple[str, ...], words: str
) -> None:
    _, said = trained(tmp_path / "f", *extra, "trainer.max_epochs=1", said=caplog)
    assert "4 models are trained one by one, by their jobs: " in said and words in said
    assert trained_by_jobs(tmp_path / "f") == 4


def test_what_another_command_trained_meanwhile_is_not_trained_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Cell] = []

    def is_done(one: Cell, _: object) -> bool:
        seen.append(one)
        return len(seen) > 4

    @contextmanager
    def locked(path: Path, locks: Path) -> Iterator[None]:
        assert len(seen) == 4 and path.name.startswith("fleet-")
        yield

    monkeypatch.setattr(fleets, "_is_done", is_done)
    monkeypatch.setattr(fleets.artifacts, "locked", locked)
    monkeypatch.setattr(fleets.artifacts, "is_complete", lambda _: True)
    cells = [Cell({**cell(seed=k).config, "study": "s"}) for k in range(4)]
    assert fleets.train(cells, Store(Path("none")), Rule(), workers=1) == 0
    assert len(seen) == 8


def test_data_that_are_not_prepared_are_missed_by_the_jobs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_tiny(tmp_path, *GRID, command=("train",)) == 1
    assert capsys.readouterr().err.count("run `priorgap prepare` first (the same") == 4


@pytest.mark.parametrize(
    "override", ["fleet.auto=maybe", "fleet.min_models=1", "fleet.max_weights=0", "fleet.max_seconds=null"]
)
def test_a_rule_that_cannot_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str
) -> None:
    assert run_tiny(tmp_path, override) == 2
    assert override.split("=")[0] in capsys.readouterr().err
