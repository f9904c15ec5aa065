"""Ray and Slurm: jobs that share nothing but the store; a lost node costs what ran on it."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from launching import start, wait
from tiny_study import TINY, content, leftovers, run_tiny

pytestmark = pytest.mark.slow
GRID = ("seed=range(0,8)", "trainer.max_epochs=100", "tracking=off")
SWEEP = ("run", "-m", *TINY, "study=tiny", *GRID)


@pytest.fixture(scope="module")
def calm(tiny, tmp_path_factory) -> Path:
    """The same sweep, job after job in one process."""
    folder = tmp_path_factory.mktemp("calm")
    with_reference(tiny, folder)
    assert run_tiny(folder, *GRID, command=("run", "-m")) == 0
    return folder


def with_reference(tiny: Path, folder: Path) -> None:
    for name in ("data", "reference"):
        shutil.copytree(tiny / "outputs" / name, folder / "outputs" / name)


def test_a_node_lost_in_the_middle_costs_what_ran_on_it(tiny, calm, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    with_reference(tiny, tmp_path)
    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    process = None
    cluster = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
    try:
        node = cluster.add_node(**small)
        cluster.wait_for_nodes()
        address = f"hydra.launcher.address={cluster.address}"
        process = start(tmp_path, *SWEEP, "hydra/launcher=ray", address)
        trained = tmp_path / "outputs/tiny/train"
        # in the middle: some models are done, and both nodes are at work on the next
        assert wait(
            lambda: len(list(trained.glob("[!.]*/manifest.json"))) >= 3, lambda: process.poll() is None
        )
        cluster.remove_node(node, allow_graceful=False)
        said, _ = process.communicate()
    finally:
        if process is not None:
            process.kill()
        cluster.shutdown()
    assert process.returncode == 0, said
    assert "on a Ray cluster of 2 nodes, 2 at a time" in said
    assert 1 <= said.count("its node or worker was lost") <= 2, said
    assert "8 of 8 models done, 0 running, 0 waiting, 0 failed" in said
    assert content(tmp_path) == content(calm)
    assert leftovers(tmp_path) == []


def test_slurm_jobs_end_as_jobs_of_one_process(tiny, calm, tmp_path):
    """By submitit's local executor: the same scripts and files, without a queue."""
    pytest.importorskip("submitit")
    with_reference(tiny, tmp_path)
    local = ("hydra/launcher=slurm", "hydra.launcher.cluster=local", "hydra.launcher.cells_per_job=4")
    process = start(tmp_path, *SWEEP, *local)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    assert "8 jobs by submitit on local, 4 a Slurm job" in said
    assert content(tmp_path) == content(calm)
    assert leftovers(tmp_path) == []


def test_no_cluster_and_no_slurm_are_said_in_one_line(tiny, tmp_path):
    with_reference(tiny, tmp_path)
    # a PATH without srun, wherever this runs
    here = {"PATH": str(Path(sys.executable).parent), "RAY_ADDRESS": ""}
    process = start(tmp_path, *SWEEP, "hydra/launcher=slurm", env={**os.environ, **here})
    said, _ = process.communicate()
    assert process.returncode == 2 and "Traceback" not in said, said
    assert said.splitlines()[-1].startswith("priorgap: hydra.launcher.cluster=slurm: ")
