"""Real models on nodes that share no disk with the command: complete, and bit for bit those of one process."""

import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import clusters
import numpy as np
import pytest
from launching import start, wait
from tiny_study import content, leftovers

SMALL = (
    "data=digits",
    "model.latent_dim=2",
    "model.hidden=[4]",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "sampler=[prior,gaussian_full]",
    "metric=[rate,fid]",
    "n_samples=80",
    "reference.n_repeats=3",
    "tracking=off",
    "verdict.health.rate=0.0",
)
SWEEP = ("run", "-m", *SMALL, "study=tiny")


@pytest.mark.e2e
def test_own_data_a_failure_and_runs_of_wandb_on_a_cluster_started_here(tmp_path):
    """What travels beside results: a file by its relative path, a log, why a model failed."""
    alone, apart = tmp_path / "alone", tmp_path / "apart"
    rows = np.random.default_rng(0).random((300, 1, 8, 8)).astype("float32")
    grid = ("trainer.learning_rate=0.001,1e30", "tracking=offline", "data=npz", "data.path=mine/rows.npz")
    words = (
        *(word for word in SWEEP if not word.startswith(("data=", "tracking="))),
        *grid,
        "features=[pixels]",
    )
    ray = ("hydra/launcher=ray", "hydra.launcher.address=local", "hydra.launcher.shared_disk=false")
    ray += (f"hydra.launcher.node_folder={tmp_path}",)
    for place, more in ((alone, ()), (apart, (*ray, "output_root=outputs"))):
        (place / "mine").mkdir(parents=True)
        np.savez(place / "mine/rows.npz", x=rows)
        process = start(place, *words, *more, env={"RAY_ADDRESS": "", "RAY_USAGE_STATS_ENABLED": "0"})
        said, _ = process.communicate()
        assert process.returncode == 1, said
        assert said.count("priorgap: failed: ") == 1, said
    assert content(apart) == content(alone)
    (there,), (here,) = (list((place / "outputs/tiny/failed").glob("*.json")) for place in (alone, apart))
    assert here.name == there.name
    assert "NonFiniteLoss" in here.read_text()
    logs = sorted((apart / "outputs/tiny/logs").glob("*/*/priorgap.log"))
    assert len(logs) == 2 and "NonFiniteLoss" in "".join(log.read_text() for log in logs)
    assert len(list((apart / "outputs/tiny/wandb").glob("offline-run-*"))) >= 1
    assert [p for p in tmp_path.glob("priorgap-*/*") if p.is_dir()] == []


@pytest.mark.slow
def test_twenty_four_models_and_a_node_lost(tmp_path):
    check(tmp_path, 24)


@pytest.mark.slow
def test_three_hundred_models_a_worker_killed_and_a_node_lost(tmp_path):
    check(tmp_path, 300)


@pytest.mark.slow
def test_nodes_cannot_see_the_folder_that_they_do_not_share(tmp_path):
    """The control of the others: the same nodes, told that they share the disk, fail."""
    place, scratch = tmp_path / "apart", tmp_path / "scratch"
    place.mkdir()
    with clusters.nodes(1, place / "outputs", scratch) as nodes:
        ray = ("hydra/launcher=ray", f"hydra.launcher.address={nodes.address}", "hydra.launcher.retries=0")
        process = start(place, *SWEEP, "seed=0,1", *ray, env=clusters.environment(scratch))
        said, _ = process.communicate()
    assert process.returncode == 1, said
    assert "is on no disk of this node" in said


def check(folder: Path, n: int) -> None:
    """Run a sweep on two nodes, kill a worker after a quarter, lose a node half-way, and compare with one process."""
    alone, apart, scratch = folder / "alone", folder / "apart", folder / "scratch"
    for place in (alone, apart):
        place.mkdir()
    grid, took = f"seed=range(0,{n})", [time.monotonic()]
    process = start(alone, *SWEEP, grid)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    took.append(time.monotonic())
    trained = apart / "outputs/tiny/train"
    with clusters.nodes(2, apart / "outputs", scratch) as nodes:
        ray = (
            "hydra/launcher=ray",
            f"hydra.launcher.address={nodes.address}",
            "hydra.launcher.shared_disk=false",
        )
        base = f"hydra.launcher.node_folder={folder / 'nodes'}"
        process = start(apart, *SWEEP, grid, *ray, base, env=clusters.environment(scratch))
        reads = ThreadPoolExecutor(1).submit(process.communicate)
        for share in (0.25, 0.5):
            reached = partial(_reached, trained, share * n)
            assert wait(reached, lambda: process.poll() is None), reads.result()[0]
            if share < 0.5:
                killed = next(_at_work(folder / "nodes"))
                os.kill(killed, signal.SIGKILL)
            else:
                nodes.lose()
        peak = of_sweep = 0
        while not reads.done():
            peak = max(peak, _peak_kb(process.pid))
            if not _reached(trained, n):
                of_sweep = peak
        said, _ = reads.result()
    took.append(time.monotonic())
    print(
        f"{n} models: {took[1] - took[0]:.0f} s in one process, {took[2] - took[1]:.0f} s on two nodes with the "
    )
    print(
        f"start of the cluster, one lost half-way; peak of the command in the sweep {of_sweep / 1024:.0f} MB, "
    )
    print(f"with the report {peak / 1024:.0f} MB")
    assert process.returncode == 0, said
    assert f"{n} of {n} models done, 0 running, 0 waiting, 0 failed" in said
    assert content(apart) == content(alone)
    assert leftovers(apart) == []
    # each job's log came back
    assert len(list((apart / "outputs/tiny/logs").glob("*/*/priorgap.log"))) == n


def _reached(trained: Path, n: float) -> bool:
    time.sleep(0.05)
    return trained.is_dir() and len(os.listdir(trained)) >= n


def _at_work(nodes: Path) -> Iterator[int]:
    """Yield the processes that work in a job's folder, once there is one."""
    while True:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if nodes in (process / "cwd").resolve().parents and "jobs" in os.readlink(process / "cwd"):
                    yield int(process.name)
            except OSError:
                continue


def _peak_kb(pid: int) -> int:
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return 0 if found is None else int(found[1])
