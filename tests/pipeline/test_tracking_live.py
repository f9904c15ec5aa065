"""W&B while a model trains: curves arrive, breaks are told from ends, reruns go on, folders are synced as one run."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import wandb_stand_in
from launching import start, wait
from tiny_study import TINY, content, model
from wandb_runs import OfflineRun, read_run, read_runs
from wandb_stand_in import Received, stand_in

# W&B sends what is logged every 15 s: trainings last longer, for each epoch waits before its checkpoint
EPOCHS, WAIT = 120, 0.3
SLOWED = """
import sys, time
from priorgap.pipeline import cli
from priorgap.training.callbacks import EpochCheckpoint

save = EpochCheckpoint._save
def later(*args):
    time.sleep(WAIT)
    save(*args)
EpochCheckpoint._save = later
cli.main()
"""
LONG = (
    "run", *(word for word in TINY if "copying" not in word), "study=tiny", "seed=0",
    f"trainer.max_epochs={EPOCHS}", "sampler=[prior,posterior]", "metric=[rate,marginal_kl,fid]",
)  # fmt: skip


def slowed(folder: Path, *arguments: str, wait: float, env: dict[str, str]) -> "subprocess.Popen[str]":
    """Start a command whose epochs last a little longer, in a process group of its own."""

    def heed() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    return subprocess.Popen(
        [sys.executable, "-c", SLOWED.replace("WAIT", str(wait)), *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        preexec_fn=heed, env={**os.environ, **env},
    )  # fmt: skip


@pytest.fixture
def prepared(tiny: Path, tmp_path: Path) -> Path:
    """A folder with the data and the reference alone."""
    for name in ("data", "reference"):
        shutil.copytree(tiny / "outputs" / name, tmp_path / "outputs" / name)
    return tmp_path


def online(folder: Path, url: str) -> dict[str, str]:
    """An environment that sends to the stand-in, and waits no longer than a test may."""
    return {**wandb_stand_in.online(folder, url), "WANDB_FINISH_TIMEOUT": "10"}


def run_id(folder: Path) -> str:
    from priorgap.core import artifacts

    return artifacts.digest(["tiny", model(folder).id])[:16]


def curves(received: Received) -> list[dict[str, object]]:
    """The epochs that arrived, of whatever run."""
    return [row for rows in received.history.values() for row in rows if "train/loss" in row]


def offline_runs(folder: Path) -> list[OfflineRun]:
    """The runs of models, without waiting for an end that may not come."""
    places = sorted((folder / "outputs/tiny/wandb").glob("offline-run-*"))
    found = [read_run(place / f"run-{place.name[-16:]}.wandb", patience=0) for place in places]
    return [run for run in found if run.job_type == "model"]


def killed_in_training(folder: Path, number: int, seen, env: dict[str, str] | None, *extra: str) -> int:
    """Start the study, send it a signal once something is seen, and return its exit status."""
    process = slowed(folder, *LONG, *extra, wait=WAIT, env=env or {})
    assert wait(seen, lambda: process.poll() is None), process.communicate()
    process.send_signal(number)
    said, _ = process.communicate(timeout=120)
    assert not list((folder / "outputs/tiny/train").glob("[!.]*/weights.safetensors")), said
    return process.returncode


@pytest.mark.slow
def test_curves_arrive_while_it_trains_and_one_run_has_it_all(prepared):
    with stand_in() as received:
        process = slowed(prepared, *LONG, "tracking=online", wait=WAIT, env=online(prepared, received.url))
        trained = prepared / "outputs/tiny/train"
        assert wait(lambda: len(curves(received)) >= 3, lambda: process.poll() is None), process.communicate()
        # before the end: the training itself is not complete
        assert not list(trained.glob("[!.]*/weights.safetensors")) and not received.exit_codes
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    one = run_id(prepared)
    rows = received.history[one]
    assert [row["epoch"] for row in rows if "train/loss" in row] == list(range(EPOCHS))
    assert [row["_step"] for row in rows] == list(range(len(rows)))
    assert {"units", "samplers"} <= {key for row in rows[EPOCHS:] for key in row}
    assert {"rate", "fid/prior", "fid/posterior"} <= received.summary[one].keys()
    assert received.exit_codes == dict.fromkeys(received.runs, 0) and len(received.runs) == 2
    # home and working directory are this folder
    assert received.bodies and not [body[:200] for body in received.bodies if str(prepared) in body]
    made = {(one["artifactTypeName"], one["artifactCollectionName"]) for one in received.artifacts}
    weights = f"weights-{model(prepared).id}"
    assert {("model", weights), ("results", "results-tiny"), ("page", "page-tiny")} <= made


@pytest.mark.slow
def test_killed_and_terminated_online_goes_on_with_the_same_run(prepared):
    with stand_in() as received:
        env = online(prepared, received.url)
        status = killed_in_training(
            prepared, signal.SIGKILL, lambda: len(curves(received)) >= 3, env, "tracking=online"
        )
        # nothing says that it has ended
        assert status == -signal.SIGKILL and not received.exit_codes
        (one,) = received.runs
        n_first = len(curves(received))
        status = killed_in_training(
            prepared, signal.SIGTERM, lambda: len(curves(received)) >= n_first + 3, env, "tracking=online"
        )
        assert status == 128 + signal.SIGTERM and received.exit_codes == {one: 1}
        process = start(prepared, *LONG, "tracking=online", env=env)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    assert run_id(prepared) == one and received.exit_codes[one] == 0 and len(received.runs) == 2
    rows = received.history[one]
    assert [row["_step"] for row in rows] == list(range(len(rows)))
    assert [row["epoch"] for row in rows if "train/loss" in row] == list(range(EPOCHS))


@pytest.mark.slow
def test_offline_killed_leaves_no_end_and_sync_gives_one_run(prepared):
    folder = prepared / "outputs/tiny/wandb"

    def new_epoch(known: set[Path]) -> bool:
        """Whether a run that was not known has an epoch behind it."""
        fresh = set(folder.glob("offline-run-*")) - known
        began = min((place.stat().st_mtime for place in fresh), default=float("inf"))
        return any(file.stat().st_mtime > began for file in (prepared / "outputs").rglob("last.ckpt"))

    status = killed_in_training(prepared, signal.SIGKILL, lambda: new_epoch(set()), None, "tracking=offline")
    assert status == -signal.SIGKILL
    # W&B writes its file now and then: what is there of the run says nothing of an end
    assert all(run.exit_code is None for run in offline_runs(prepared))
    known = set(folder.glob("offline-run-*"))
    assert len(known) == 1
    status = killed_in_training(prepared, signal.SIGTERM, lambda: new_epoch(known), None, "tracking=offline")
    assert status == 128 + signal.SIGTERM
    assert [run.exit_code for run in offline_runs(prepared)] == [1]
    process = start(prepared, *LONG, "tracking=offline")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    # the last process has written all of it, and nothing is left of the others
    (run,) = [one for one in read_runs(prepared / "outputs/tiny/wandb") if one.job_type == "model"]
    assert run.id == run_id(prepared) and run.exit_code == 0
    assert [row["epoch"] for row in run.history if "train/loss" in row] == list(range(EPOCHS))
    with stand_in() as received:
        folders = sorted(map(str, (prepared / "outputs/tiny/wandb").glob("offline-run-*")))
        done = subprocess.run(
            [sys.executable, "-m", "wandb", "sync", *folders],
            cwd=prepared, env={**os.environ, **online(prepared, received.url)}, capture_output=True, text=True,
            timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(received.runs) == 2 and received.exit_codes == dict.fromkeys(received.runs, 0)
    epochs = [row["epoch"] for row in received.history[run.id] if "train/loss" in row]
    assert epochs == list(range(EPOCHS))
    assert {"rate", "fid/prior"} <= received.summary[run.id].keys()


@pytest.mark.slow
def test_a_server_that_goes_away_costs_a_line_and_no_bit(prepared, tmp_path_factory):
    env = {"WANDB_INIT_TIMEOUT": "5"}
    with stand_in() as received:
        env |= online(prepared, received.url)
        process = slowed(prepared, *LONG, "tracking=online", wait=WAIT, env=env)
        assert wait(lambda: curves(received), lambda: process.poll() is None), process.communicate()
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 1 and "Traceback" not in said, said
    assert said.count("the work goes on") + said.count("the report tries it again") == 1, said
    assert said.count("results are complete; the same command tries it again") == 1, said
    alone = tmp_path_factory.mktemp("alone")
    shutil.copytree(prepared / "outputs/data", alone / "outputs/data")
    shutil.copytree(prepared / "outputs/reference", alone / "outputs/reference")
    process = start(alone, *LONG, "tracking=off")
    other, _ = process.communicate(timeout=300)
    assert process.returncode == 0, other
    assert content(prepared) == content(alone)
    assert not (alone / "outputs/tiny/wandb").exists()


@pytest.mark.slow
@pytest.mark.parametrize("how", [("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"), ("trainer=batched",)])
def test_processes_and_batches_write_one_run_a_model(prepared, how):
    few = [word for word in LONG if not word.startswith(("seed=", "trainer.max_epochs="))]
    order = ("run", "-m", *few[1:], "seed=0,1", "trainer.max_epochs=3", *how)
    with stand_in() as received:
        process = start(prepared, *order, "tracking=online", env=online(prepared, received.url))
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    assert len(received.runs) == 3 and received.exit_codes == dict.fromkeys(received.runs, 0)
    trained = [rows for rows in received.history.values() if any("train/loss" in row for row in rows)]
    assert len(trained) == 2
    for rows in trained:
        assert [row["epoch"] for row in rows if "train/loss" in row] == [0, 1, 2]
        assert [row["_step"] for row in rows] == list(range(len(rows)))


def killed_in_a_sweep(
    folder: Path, number: int, how: tuple[str, ...], received: Received, *, group: bool, live: int = 2
) -> int:
    """Start a sweep of two models, send it a signal once so many show curves; return its exit status."""
    few = [word for word in LONG if not word.startswith(("seed=", "trainer.max_epochs="))]
    order = ("run", "-m", *few[1:], "seed=0,1", "trainer.max_epochs=100000", "tracking=online", *how)
    process = start(folder, *order, env=online(folder, received.url))

    def trained() -> int:
        return sum(any("train/loss" in row for row in rows) for rows in list(received.history.values()))

    assert wait(lambda: trained() >= live, lambda: process.poll() is None), process.communicate()
    if group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    said, _ = process.communicate(timeout=120)
    assert "Traceback" not in said, said
    return process.returncode


LAUNCHERS = {
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "ray": ("hydra/launcher=ray", "hydra.launcher.num_cpus=1"),
    "batched": ("trainer=batched",),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "number", "group"),
    [
        ("joblib", signal.SIGTERM, False),
        # as a terminal sends Ctrl-C and its end, and a batch system its SIGTERM: to all
        ("joblib", signal.SIGTERM, True),
        ("joblib", signal.SIGINT, True),
        ("joblib", signal.SIGHUP, True),
        ("ray", signal.SIGTERM, False),
        ("batched", signal.SIGTERM, False),
    ],
)
def test_runs_of_a_sweep_that_is_told_to_end_are_failed(prepared, launcher, number, group):
    if launcher == "ray":
        pytest.importorskip("ray")
    with stand_in() as received:
        # programs of a batch are trained one after the other here
        live = 1 if launcher == "batched" else 2
        status = killed_in_a_sweep(prepared, number, LAUNCHERS[launcher], received, group=group, live=live)
        assert status == 128 + number
        assert len(received.runs) == live and received.exit_codes == dict.fromkeys(received.runs, 1)


@pytest.mark.slow
def test_runs_of_a_sweep_that_is_killed_have_no_end(prepared):
    with stand_in() as received:
        status = killed_in_a_sweep(prepared, signal.SIGKILL, LAUNCHERS["joblib"], received, group=False)
        # workers end with their parent within a second; one that said so would have by then
        time.sleep(4)
        assert status == -signal.SIGKILL and len(received.runs) == 2 and not received.exit_codes


@pytest.mark.slow
def test_a_loss_that_is_not_finite_is_a_failed_run(prepared):
    process = start(prepared, *LONG, "trainer.learning_rate=1e30", "tracking=offline")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 1 and "non-finite" in said, said
    (run,) = read_runs(prepared / "outputs/tiny/wandb")
    assert run.job_type == "model" and run.exit_code == 1
