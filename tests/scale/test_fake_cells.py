"""Thousands of cells on nodes that share no disk, nodes lost and the command killed: every id once, bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import clusters
import fake_cells
import pandas as pd
import pytest
from launching import wait
from tiny_study import content, leftovers

from priorgap.pipeline.commands import ls
from priorgap.pipeline.gathering import gather
from priorgap.pipeline.store import keys, records
from priorgap.pipeline.store.layout import Store

HERE = Path(__file__).parent


@pytest.mark.e2e
def test_sixty_cells_and_a_node_lost(tmp_path):
    check(tmp_path, 60, 50_000, [(0.3, "node")])
    assert len(_collected(Store(tmp_path / "apart/outputs"))) == 120


@pytest.mark.e2e
def test_a_worker_that_is_killed_each_time_costs_its_cell_alone(tmp_path):
    outputs, scratch = tmp_path / "apart/outputs", tmp_path / "scratch"
    outputs.mkdir(parents=True)
    with clusters.nodes(2, outputs, scratch, tests=HERE) as nodes:
        words = (outputs, nodes.address, 20, 5_000, tmp_path / "nodes", 7)
        said = _said(_command(scratch, *words))
    assert said["failed"] == ["its node or worker was lost (WorkerCrashedError)"]
    found = sorted(p.name for p in (outputs / fake_cells.STUDY / "train").iterdir())
    assert found == [cell.id for cell in fake_cells.cells(20, 5_000) if cell.number != 7]


@pytest.mark.slow
def test_ten_thousand_cells(tmp_path, capsys):
    with capsys.disabled():
        said = check(
            tmp_path, 10_000, 50_000, [(0.2, "node"), (0.4, "command"), (0.6, "node"), (0.8, "command")]
        )
    outputs = tmp_path / "apart/outputs"
    assert said["peak_mb"] < 1000
    assert said["listing_s"] + said["records_s"] < 10
    store, took = Store(outputs), {}
    for name in ("ls, as the sweep left the index", "ls, again"):
        began = time.monotonic()
        assert ls.main([f"study={fake_cells.STUDY}", f"output_root={outputs}"]) == 0
        took[name] = time.monotonic() - began
    lines = capsys.readouterr().out.splitlines()
    assert sum(" complete " in line for line in lines) == 20_000
    began = time.monotonic()
    table = _collected(store)
    took["the report's collecting step"] = time.monotonic() - began
    with capsys.disabled():
        print({name: round(seconds, 1) for name, seconds in took.items()}, f"{len(table)} rows")
    assert len(table) == 20_000
    assert took["ls, again"] < 10
    assert took["the report's collecting step"] < 60


@pytest.mark.slow
def test_a_hundred_cells_as_large_as_models(tmp_path):
    check(tmp_path, 100, 14_000_000, [(0.3, "node"), (0.6, "command")])


@pytest.mark.slow
def test_a_look_up_takes_the_same_time_among_a_hundred_and_ten_thousand(tmp_path):
    store = fake_cells.prepare(tmp_path)
    took = {}
    for n in (100, 10_000):
        for cell in fake_cells.cells(n, 2_100):
            place = tmp_path / fake_cells.STUDY / "train" / cell.id
            if not place.is_dir():
                (train, *_) = cell.steps()
                if cell.number >= 50:
                    place.mkdir(parents=True)  # a name in the folder is all that the others are
                else:
                    write = fake_cells.Files(lambda folder: (folder / "weights.bin").write_bytes(b"0"))
                    store.publish(train, keys.key(train, store), write, seed=0, seconds=0.0)
        rounds = []
        for _ in range(5):
            began = time.perf_counter()
            for cell in fake_cells.cells(50, 2_100):
                (train, *_) = cell.steps()
                fresh = Store(tmp_path)
                assert fresh.is_sound(train, keys.key(train, fresh))
                fresh.sweep(train)
            rounds.append((time.perf_counter() - began) / 50)
        took[n] = sorted(rounds)[2]
    print(f"a look-up among 100: {took[100] * 1e3:.2f} ms, among 10,000: {took[10_000] * 1e3:.2f} ms")
    assert took[10_000] < 2 * took[100]


def check(folder: Path, n: int, n_bytes: int, losses: list[tuple[float, str]]) -> dict[str, Any]:
    """Run a sweep, lose a node or kill the command at these shares of it, and compare with a serial run."""
    alone, apart, scratch = folder / "alone", folder / "apart", folder / "scratch"
    (apart / "outputs").mkdir(parents=True)
    began = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        # what it writes is compared, and need not outlive a loss of power
        patch.setattr(os, "fsync", lambda handle: None)
        fake_cells.prepare(alone / "outputs")
        for cell in fake_cells.cells(n, n_bytes):
            fake_cells.compute(alone / "outputs", cell)
    print(f"serial: {time.monotonic() - began:.0f} s for {n} cells")
    trained = apart / "outputs" / fake_cells.STUDY / "train"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
    with clusters.nodes(3, apart / "outputs", scratch) as nodes:

        def command() -> subprocess.Popen[str]:
            return _command(scratch, apart / "outputs", nodes.address, n, n_bytes, folder / "nodes")

        process = command()
        for share, what in losses:
            reached = partial(_reached, trained, share * n)
            assert wait(reached, partial(_runs, process)), process.communicate()
            if what == "node":
                nodes.lose()
                nodes.add()
            else:
                os.kill(process.pid, signal.SIGKILL)
                process.communicate()
                process = command()
        said = _said(process)
        again = _said(command())
        on_disk = sorted((folder / "nodes").glob("*/*/"))
    print(json.dumps({"sweep": said, "again": again}))
    assert said["failed"] == again["failed"] == []
    assert again["there"] == n
    assert sorted(p.name for p in trained.iterdir()) == [cell.id for cell in fake_cells.cells(n, n_bytes)]
    assert content(apart, fake_cells.STUDY) == content(alone, fake_cells.STUDY)
    assert leftovers(apart) == []
    assert list((apart / "outputs/.incoming").iterdir()) == []
    assert len(on_disk) <= sum(what == "node" for _, what in losses), on_disk
    return {**again, "peak_mb": max(said["peak_mb"], again["peak_mb"])}


def _collected(store: Store) -> pd.DataFrame:
    """Return what a report reads of each model; pictures and the verdict of fake numbers would say nothing."""
    return gather(list(records.records_of(store, fake_cells.STUDY)), store).table


def _command(scratch: Path, root: Path, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fake_sweep", *map(str, (root, *words))], cwd=root.parent, stdout=subprocess.PIPE,
        text=True, env={**os.environ, **clusters.environment(scratch, tests=HERE)},
    )  # fmt: skip


def _reached(trained: Path, n: float) -> bool:
    time.sleep(0.05)
    return trained.is_dir() and len(os.listdir(trained)) >= n


def _runs(process: subprocess.Popen[str]) -> bool:
    return process.poll() is None


def _said(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate()
    assert process.returncode == 0, out
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found
