"""A sweep of 20 jobs that is killed 50 times, runs out of disk and loses a byte ends as if nothing had happened."""

import random
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from crashes import STAGES
from tiny_study import TINY, content, flip, leftovers, run_tiny

KILLS, SEED = 50, 20261122
LIGHT = ("sampler=[prior,posterior,gaussian_full]", "metric=[rate,elbo,fid,copying]", "trainer.max_epochs=20")
# each job trains its own model: what is killed here are jobs
GRID = ("loss.beta=1,2", "seed=range(0,10)", *LIGHT, "tracking=off", "batching.advise=false")
SWEEP = ("run", "-m", *TINY, "study=tiny", *GRID, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


class Chaos:
    """Starts the command again and again, and kills what it started."""

    def __init__(self, folder: Path, slowness: float) -> None:
        self.folder, self.slowness = folder, slowness
        self.random, self.did = random.Random(SEED), Counter[str]()

    def start(self, trouble: Callable[[], None] | None = None) -> subprocess.Popen[bytes]:
        self.did["starts"] += 1
        with (self.folder / f"said-{self.did['starts']}.txt").open("wb") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "priorgap.pipeline", *SWEEP],
                cwd=self.folder, stdout=said, stderr=subprocess.STDOUT, preexec_fn=trouble,
            )  # fmt: skip

    def said(self) -> str:
        return (self.folder / f"said-{self.did['starts']}.txt").read_text()

    def kill_while(self, process: subprocess.Popen[bytes]) -> None:
        """Kill workers at random moments, and at last their parent, until there is nobody left."""
        parent = psutil.Process(process.pid)
        while process.poll() is None and self.kills < KILLS:
            time.sleep(self.random.uniform(0.2, 3.0) * self.slowness)
            victims = workers(parent)
            if not victims:
                continue
            if self.random.random() < 0.15:
                process.kill()
                self.did["parents killed"] += 1
            else:
                self.random.choice(victims).kill()
                self.did["workers killed"] += 1
        process.wait()
        self.did[f"exit status {process.returncode}"] += 1

    @property
    def kills(self) -> int:
        return self.did["workers killed"] + self.did["parents killed"]

    def flip_a_byte(self) -> None:
        study = self.folder / "outputs/tiny"
        files = sorted(
            file
            for stage in STAGES[2:]
            for place in (study / stage).glob("[!.]*")
            for file in (*place.glob("*.safetensors"), *place.glob("*.pack"))
            if file.stat().st_size
        )
        if files:
            file = self.random.choice(files)
            flip(file, self.random.randrange(file.stat().st_size))
            self.did["bytes flipped"] += 1


def workers(parent: psutil.Process) -> list[psutil.Process]:
    try:
        children = parent.children()
        return [p for p in children if any("popen_loky" in word for word in p.cmdline())]
    except psutil.Error:
        return []


def full_disk() -> None:
    """Let no file grow beyond what posteriors of digits need."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (25_000, 25_000))


@pytest.mark.slow
def test_chaos(tiny, tmp_path):
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    for folder in (calm, wild):
        for name in ("data", "reference"):
            # no metric of LIGHT asks for the classifiers
            unused = shutil.ignore_patterns("classifiers-*")
            shutil.copytree(tiny / "outputs" / name, folder / "outputs" / name, ignore=unused)
    start = time.monotonic()
    assert run_tiny(calm, *GRID, command=("run", "-m")) == 0
    calm_seconds = time.monotonic() - start
    print(f"undisturbed, one after the other: {calm_seconds:.0f} s")

    # on a busy machine moments are longer, or no worker would ever live to its first epoch
    chaos = Chaos(wild, slowness=min(2.0, max(1.0, calm_seconds / 40)))
    # the disk is full first: what fits is kept, each job says why it failed, no worker dies of it
    assert chaos.start(full_disk).wait() == 1
    assert chaos.said().count("File too large") >= 20 and "Traceback" not in chaos.said()
    assert "0 of 20 models done, 0 running, 0 waiting, 20 failed" in chaos.said()
    while chaos.kills < KILLS:
        chaos.kill_while(chaos.start())
        chaos.flip_a_byte()
    process = chaos.start()
    assert process.wait() == 0, chaos.said()
    print(f"seed {SEED}: {dict(chaos.did)} in {time.monotonic() - start:.0f} s")

    assert content(wild) == content(calm)
    assert len(list((wild / "outputs/tiny/train").glob("[!.]*"))) == 20
    results = "outputs/tiny/report/results.csv"
    assert (wild / results).read_bytes() == (calm / results).read_bytes()
    assert leftovers(wild) == []
    assert not list((wild / "outputs/tiny/failed").glob("*.json"))
    for command, line in (("verify", "wrong"), ("gc", "would be removed")):
        order = [sys.executable, "-m", "priorgap.pipeline", command]
        found = subprocess.run(order, cwd=wild, capture_output=True, text=True, check=False)
        assert found.returncode == 0 and line not in found.stdout, found.stdout
    time.sleep(1.5)
    assert [p for p in psutil.process_iter() if of(p, wild)] == []


def of(process: psutil.Process, folder: Path) -> bool:
    """Whether a process works in a folder: a worker that outlived its sweep would."""
    try:
        return process.cwd() == str(folder)
    except psutil.Error:
        return False
