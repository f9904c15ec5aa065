"""`trainer=batched`: a model's file is the same in a sweep of any size, by every launcher; nothing is silent."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest
import torch
from tiny_study import content, flip, leftovers, run_tiny

from priorgap.core import artifacts
from priorgap.data.digits import Digits
from priorgap.pipeline.config.model_config import ModelConfig
from priorgap.pipeline.sweep import batched, batched_program
from priorgap.pipeline.sweep.batching_rule import BatchingRule
from priorgap.pipeline.sweep.engines import processes
from priorgap.pipeline.sweep.engines.protocol import Lost, Unit
from priorgap.training.batched import numerics

FOUR, SIXTEEN = ("-m", "seed=0,1,2,3"), ("-m", "seed=range(0,16)")
POOL = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
# of each launcher: the package that it needs, and how it is chosen; Slurm's jobs are started without a queue
LAUNCHERS = {
    "basic": (None, ()),
    "joblib": (None, POOL),
    "ray": ("ray", ("hydra/launcher=ray", "hydra.launcher.num_cpus=1")),
    "slurm": (
        "submitit",
        ("hydra/launcher=slurm", "hydra.launcher.cluster=local", "hydra.launcher.cells_per_job=8"),
    ),
}
# odd widths: what rounds by place on some processors
ODD = ("model.hidden=[37,20]", "model.latent_dim=5")


def train(folder: Path, *extra: str) -> None:
    """Prepare and train; what was prepared before stands."""
    folder.mkdir(exist_ok=True)
    assert run_tiny(folder, command=("prepare",)) == 0
    assert run_tiny(folder, *extra, command=("train",)) == 0


def models(folder: Path) -> dict[str, tuple[str, str]]:
    """By the id of each trained model: the checksums of its weights and curves."""
    files = sorted((folder / "outputs/tiny/train").glob("*/weights.safetensors"))
    return {
        file.parent.name: (
            artifacts.file_digest(file),
            artifacts.file_digest(file.with_name("curves.csv")),
        )
        for file in files
    }


def provenance(folder: Path) -> list[dict[str, object]]:
    manifests = sorted((folder / "outputs/tiny/train").glob(f"*/{artifacts.MANIFEST}"))
    return [json.loads(file.read_text())["provenance"] for file in manifests]


def trained_by_jobs(folder: Path) -> int:
    """How many trainings the jobs' own logs tell of."""
    logs = (folder / "outputs/tiny/logs").glob("*/*/*.log")
    return sum(log.read_text().count(": trained, ") for log in logs)


def strict() -> bool:
    """Whether products of a process with the program's environment do not depend on company."""
    chosen = numerics.environment()["MKL_CBWR"]
    return torch.backends.mkl.is_available() and not chosen.startswith(("SSE", "AVX,"))


@pytest.mark.slow
@pytest.mark.parametrize("widths", [(), ODD], ids=["even widths", "odd widths"])
def test_a_batched_model_has_one_checksum_in_sweeps_of_1_4_and_16(
    widths: tuple[str, ...], tmp_path: Path
) -> None:
    if not strict():
        pytest.skip("here products depend on company in the last bits, and provenance says so")
    train(tmp_path / "16", *SIXTEEN, *widths, "trainer=batched")
    train(
        tmp_path / "4", *FOUR, *widths, "trainer=batched", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"
    )
    # the first, the last and one between: each a program of its own
    for seed in (0, 2, 15):
        train(tmp_path / "1", *widths, "trainer=batched", f"seed={seed}")
    all_of_them = models(tmp_path / "16")
    assert len(all_of_them) == 16
    assert len(models(tmp_path / "4")) == 4 and models(tmp_path / "4").items() <= all_of_them.items()
    assert len(models(tmp_path / "1")) == 3 and models(tmp_path / "1").items() <= all_of_them.items()
    for folder, members in (("1", 1), ("16", 16)):
        said = {p["batched"]["members"] for p in provenance(tmp_path / folder)}  # type: ignore[index]
        assert said == {members}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_model_of_the_default_trainer_has_one_checksum_alone_and_in_sweeps(
    launcher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, words = LAUNCHERS[launcher]
    if package is not None:
        pytest.importorskip(package)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    train(tmp_path / "16", *SIXTEEN, *ODD, *words)
    train(tmp_path / "4", *FOUR, *ODD, *words)
    for seed in (0, 2, 15):
        train(tmp_path / "1", *ODD, f"seed={seed}")
    all_of_them = models(tmp_path / "16")
    assert len(all_of_them) == 16 and trained_by_jobs(tmp_path / "16") == 16
    assert len(models(tmp_path / "4")) == 4 and models(tmp_path / "4").items() <= all_of_them.items()
    assert len(models(tmp_path / "1")) == 3 and models(tmp_path / "1").items() <= all_of_them.items()


def test_a_sweep_of_batched_models_is_one_program(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "priorgap"):
        train(tmp_path, "-m", "seed=0,1", "loss.alpha=5,20", *ODD, "trainer=batched")
    assert "trainer=batched: 4 models in 1 programs" in caplog.text
    assert (len(models(tmp_path)), trained_by_jobs(tmp_path), leftovers(tmp_path)) == (4, 0, [])
    # each job has its log, as with every launcher
    assert len(list((tmp_path / "outputs/tiny/logs").glob("*/[0-9]*"))) == 4
    for found in provenance(tmp_path):
        facts = found["batched"]
        assert isinstance(facts, dict) and facts["members"] == 4
        said = "the same bits in any batch" if strict() else "in another batch within rounding"
        assert facts["bits"] == said
        assert ("MKL_CBWR=" in facts["products"]) == torch.backends.mkl.is_available()
    # more seeds later: what is there is left alone
    before = content(tmp_path)
    train(tmp_path, *FOUR, "loss.alpha=5,20", *ODD, "trainer=batched")
    assert [p["batched"]["members"] for p in provenance(tmp_path)] == [4] * 8  # type: ignore[index]
    assert before.items() <= content(tmp_path).items()


def test_the_trainer_is_part_of_the_id_and_the_default_one_keeps_its_own() -> None:
    from priorgap.pipeline.config.session import Request, Session

    def composed(*words: str) -> ModelConfig:
        with Session(Request(words)) as session:
            ((config, names),) = session.cells()
        return ModelConfig(config, names)

    default, chosen = composed(), composed("trainer=batched")
    assert default.train_id != chosen.train_id
    # as frozen: an id that changes trains every stored model anew
    assert default.train_id == "7cecef4b"
    assert composed("batching.max_seconds=5").train_id == default.train_id
    assert composed("trainer=batched", "batching.max_seconds=5").train_id == chosen.train_id


@pytest.mark.slow
def test_a_model_that_fails_in_its_batch_fails_and_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep_of = (
        "-m",
        "trainer.learning_rate=1e-3,2e-3,1e30",
        "sampler=[prior,posterior]",
        "metric=[rate,fid,copying]",
    )
    assert run_tiny(tmp_path, *sweep_of, "likelihood=gaussian", "trainer=batched") == 1
    assert "NonFiniteLoss" in capsys.readouterr().err
    assert len(models(tmp_path)) == 2


def cell(**changes: object) -> ModelConfig:
    config = {
        "data": {"name": "digits", "source": {}},
        "model": {"_target_": "priorgap.models.MLP", "latent_dim": 3, "hidden": [16]},
        "likelihood": {"_target_": "priorgap.models.Bernoulli"},
        "prior": {"_target_": "priorgap.priors.StandardNormal", "dim": 3},
        "loss": {"alpha": 1.0, "beta": 1.0, "reduction": "sum"},
        "trainer": {
            "_target_": "priorgap.training.BatchedTrainerConfig",
            "learning_rate": 1e-3,
            "max_epochs": 2,
        },
        "numerics": {},
        "seed": 0,
    }
    for path, value in changes.items():
        part, _, key = path.partition("__")
        config[part] = {**config[part], key: value} if key else value
    return ModelConfig(config)


def planned(**changes: object) -> SimpleNamespace:
    """What batched training reads of a planned model."""
    return SimpleNamespace(cell=cell(**changes))


def test_groups_hold_what_differs_only_in_what_may_differ() -> None:
    same = [
        planned(),
        planned(seed=1),
        planned(loss__alpha=5.0),
        planned(loss__beta=2.0),
        planned(trainer__learning_rate=0.1),
    ]
    others = [planned(model__latent_dim=4), planned(trainer__max_epochs=3), planned(loss__reduction="mean")]
    found = batched.groups([*same, *others, planned()])
    assert [len(group) for group in found] == [5, 1, 1, 1]


def test_time_is_told_by_rows_epochs_and_weights() -> None:
    dataset = Digits().load(root=Path("none"), download=False)
    small = planned(trainer__max_epochs=12, model__hidden=[64])
    large = planned(trainer__max_epochs=12, model__hidden=[1024, 512])
    one = batched._seconds([small], dataset)
    assert 0.03 < one < 0.5
    assert batched._seconds([small] * 3, dataset) == pytest.approx(3 * one)
    assert batched._seconds([large], dataset) > 10 * one


RULE = BatchingRule(max_seconds=600, advise=True, min_models=4, max_weights=400_000)


@pytest.mark.parametrize(
    ("models", "seconds", "processes", "programs"),
    [
        (16, 1, 8, 1),  # a process costs more than it saves
        (16, 100, 2, 2),
        (16, 100, 8, 5),
        (16, 601, 1, 2),  # a program that is killed starts anew
        (3, 5000, 1, 3),
    ],
)
def test_over_how_many_programs_models_share_out(
    models: int, seconds: float, processes: int, programs: int
) -> None:
    assert RULE.n_programs(models, seconds, processes) == programs


@pytest.mark.parametrize(
    ("models", "weights", "said"), [(4, 400_000, True), (3, 10, False), (4, 400_001, False)]
)
def test_which_sweeps_are_told(models: int, weights: int, said: bool) -> None:
    assert RULE.is_worth_saying(models, weights) is said
    assert not BatchingRule(600, False, 4, 400_000).is_worth_saying(models, weights)


def test_a_sweep_of_small_models_is_told_once_and_trained_by_lightning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path, *FOUR)
    said = [line for line in capsys.readouterr().err.splitlines() if "trainer=batched" in line]
    assert len(said) == 1
    assert said[0].startswith("priorgap: 4 small models are trained one by one, about ")
    assert trained_by_jobs(tmp_path) == 4
    assert not any("batched" in found for found in provenance(tmp_path))
    train(tmp_path, *FOUR)  # nothing is left to be trained, or to be said
    assert "trainer=batched" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "extra",
    [
        ("batching.advise=false",),
        ("batching.max_weights=100",),
        ("batching.min_models=5",),
        ("prior=mixture", "sampler=[prior]"),
        ("trainer.precision=bf16",),
    ],
    ids=["advise", "weights", "models", "prior", "bf16"],
)
def test_where_batching_saves_nothing_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: tuple[str, ...]
) -> None:
    train(tmp_path, *FOUR, *extra, "trainer.max_epochs=1")
    assert "trainer=batched" not in capsys.readouterr().err
    assert trained_by_jobs(tmp_path) == 4


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (("model=conv", "model.hidden=16"), "a layer is Conv2d"),
        (("data=sines", "model=tcn", "model.hidden=16"), "a layer is Conv1d"),
        (("data=sines", "model=gru", "model.hidden=16"), "a layer is GRU"),
        (("model=conditional_mlp",), "ConditionalMLP is no plain VAE"),
        (("model=autoencoder_mlp",), "AutoencoderMLP is no plain VAE"),
        (("model=gan_mlp",), "GanMLP is no plain VAE"),
        (("prior=mixture",), "prior=Mixture: expected the standard normal"),
        (("likelihood=learned_gaussian",), "learned_gaussian has parameters of its own"),
        (("data.binarize=dynamic", "likelihood=bernoulli"), "data.binarize=dynamic redraws"),
        (("trainer.precision=bf16",), "trainer.precision=bf16: trainer=batched trains in float32"),
        (("trainer.optimizer=sgd",), "trainer.optimizer=sgd: expected adam or adamw"),
    ],
)
def test_what_the_program_cannot_train_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: tuple[str, ...], words: str
) -> None:
    assert run_tiny(tmp_path, "trainer=batched", *extra) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    "override", ["fleet.auto=false", "+fleet.auto=true", "fleet.max_weights=0", "hydra/launcher=fleet"]
)
def test_the_old_words_say_what_they_are_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str
) -> None:
    assert run_tiny(tmp_path, "-m", "seed=0,1", override) == 2
    assert capsys.readouterr().err == f"priorgap: {override}: now: trainer=batched (docs/sweeps.md)\n"


def test_a_program_whose_process_dies_is_said_and_leaves_its_models_to_their_jobs(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, seen = batched_program.run, []

    def dying(shares: list[list[ModelConfig]], *rest: object) -> Iterator[tuple[list[ModelConfig], object]]:
        seen.append(sum(map(len, shares)))
        if len(seen) == 1:
            yield from ((cells, Lost("its worker process was killed")) for cells in shares)
        else:
            yield from run(shares, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(batched_program, "run", dying)
    with caplog.at_level(logging.INFO, "priorgap"):
        train(tmp_path, "-m", "seed=0,1", "trainer=batched")
    assert "2 models: its worker process was killed; each is tried again by its own job" in caplog.text
    assert seen == [2, 1, 1]
    assert len(models(tmp_path)) == 2
    # a damaged one is made again, alone
    monkeypatch.undo()
    before = models(tmp_path)
    file = next((tmp_path / "outputs/tiny/train").glob("*/weights.safetensors"))
    flip(file, 200)
    assert models(tmp_path) != before
    capfd.readouterr()
    train(tmp_path, "-m", "seed=0,1", "trainer=batched")
    assert "damaged, will be made again" in capfd.readouterr().err
    if strict():
        assert models(tmp_path) == before


def test_a_launcher_starts_no_worker_where_nothing_is_left_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from priorgap.pipeline.sweep import launcher

    def refuse(*_: object) -> None:
        raise AssertionError("a job was given to an engine")

    monkeypatch.setattr(launcher, "sweep", refuse)
    train(tmp_path, *FOUR, "trainer=batched", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert len(models(tmp_path)) == 4
    assert trained_by_jobs(tmp_path) == 0


def test_what_another_command_trained_meanwhile_is_not_trained_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def is_done(one: object, _: object) -> bool:
        seen.append(one)
        return len(seen) > 4

    @contextmanager
    def locked(path: PurePosixPath) -> Iterator[None]:
        assert len(seen) == 4 and path.name.startswith("batch-")
        yield

    monkeypatch.setattr(batched, "_is_done", is_done)
    models = [
        SimpleNamespace(cell=ModelConfig({**cell(seed=k).config, "study": "s"}), data=None) for k in range(4)
    ]
    desk = SimpleNamespace(store=SimpleNamespace(is_complete=lambda _: True, locked=locked))
    assert batched.train(SimpleNamespace(models=models), desk, RULE, processes=1) == 0  # type: ignore[arg-type]
    assert len(seen) == 8


def test_data_that_are_not_prepared_are_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_tiny(tmp_path, *FOUR, "trainer=batched", command=("train",)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "run `priorgap prepare` first" in line


@pytest.mark.parametrize(
    "override",
    ["batching.advise=maybe", "batching.min_models=1", "batching.max_weights=0", "batching.max_seconds=null"],
)
def test_a_rule_that_cannot_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str
) -> None:
    assert run_tiny(tmp_path, override) == 2
    assert override.split("=")[0] in capsys.readouterr().err


def test_processes_get_the_environment_that_is_asked_for() -> None:
    engine = processes.Processes(1, 1, {"PRIORGAP_TEST": "yes"})
    found = []
    try:
        for name in ("PRIORGAP_TEST", "OMP_NUM_THREADS"):
            engine.start(Unit((), partial(os.getenv, name)))
            found += [answer for _, answer in engine.wait(60)]
    finally:
        engine.close(kill=True)
    assert found == ["yes", "1"]
