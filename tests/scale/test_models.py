"""Real models on nodes that share no disk with the command: complete, and bit for bit those of one process."""

from pathlib import Path

import clusters
import pytest
from launching import start, wait
from tiny_study import content, leftovers

pytestmark = pytest.mark.slow
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


def test_a_node_lost_half_way(tmp_path):
    check_sweep(tmp_path, 24)


def check_sweep(folder: Path, n: int) -> None:
    grid = f"seed=range(0,{n})"
    alone, apart, scratch = folder / "alone", folder / "apart", folder / "scratch"
    for place in (alone, apart):
        place.mkdir()
    process = start(alone, *SWEEP, grid)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    with clusters.nodes(2, apart / "outputs", scratch) as nodes:
        ray = (
            "hydra/launcher=ray",
            f"hydra.launcher.address={nodes.address}",
            "hydra.launcher.shared_disk=false",
        )
        base = f"hydra.launcher.node_folder={folder / 'nodes'}"
        process = start(apart, *SWEEP, grid, *ray, base, env=clusters.environment(scratch))
        trained = apart / "outputs/tiny/train"
        assert wait(
            lambda: len(list(trained.glob("[!.]*/manifest.json"))) >= n // 2, lambda: process.poll() is None
        ), process.communicate()[0]
        nodes.lose()
        said, _ = process.communicate()
    print(said)
    assert process.returncode == 0, said
    assert f"{n} of {n} models done, 0 running, 0 waiting, 0 failed" in said
    assert content(apart) == content(alone)
    assert leftovers(apart) == []
