"""The parts of sweep.py that run whole commands, each in a process of its own: (c) batched training, (d) a study."""

import argparse
import ctypes
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Protocol

import numpy as np
import prdc
import torch
from torch import Tensor, nn

from priorgap.core import artifacts, torchvision_compat
from priorgap.features.classifier import Classifier, restore_classifier
from priorgap.pipeline.store.layout import Store
from priorgap.pipeline.store.records import records_of

torchvision_compat.ensure()

from torchmetrics.image.fid import FrechetInceptionDistance  # noqa: E402
from torchmetrics.image.kid import KernelInceptionDistance  # noqa: E402

_SET_CHILD_SUBREAPER = 36
GOAL_MODELS = 64
STUDY = "whole"
STAGES = {
    "prepare": "the data, read and kept",
    "reference": "reference of the data",
    "train": "training",
    "encode": "encoding",
    "sample": "fitting samplers and drawing",
}


class Peer(Protocol):
    """pythae, in another process."""

    def ask(self, **order: object) -> dict[str, float]:
        """Give an order, get CPU seconds."""
        ...


def judged(ratios: Sequence[tuple[str, float, float | None]]) -> list[bool]:
    """Print (what, ratio, goal or None) as a table; return whether each goal is reached."""
    print("\n| ratio | found | goal | |\n|---|---|---|---|")
    for what, ratio, goal in ratios:
        word = "" if goal is None else "PASS" if ratio >= goal else "FAIL"
        print(f"| {what} | {ratio:.2f} | {'' if goal is None else f'{goal:g}'} | {word} |")
    print(flush=True)
    return [ratio >= goal for _, ratio, goal in ratios if goal is not None]


def command(folder: Path, *arguments: str) -> float:
    """Run priorgap in a folder; return CPU seconds, those of all its descendants included."""
    # workers whose parent did not wait for them become ours, so that their time is counted
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    order = [sys.executable, "-m", "priorgap.pipeline", *arguments]
    done = subprocess.run(order, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr[-2000:]}")
    for _ in range(20):
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            break
        time.sleep(0.1)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def batched(folder: Path, given: argparse.Namespace) -> list[bool]:
    """(c): print CPU seconds of a sweep trained in three ways; return whether the goals are reached."""
    model = (
        "data=digits", "likelihood=bernoulli", f"model.hidden={given.batched_hidden}", "model.latent_dim=8",
        f"trainer.max_epochs={given.batched_epochs}", "trainer.accelerator=cpu", "tracking=off",
    )  # fmt: skip
    n = given.batched_models
    seeds = f"seed=range(0,{n})"
    command(folder, "prepare", *model)
    together = command(folder, "train", "-m", seeds, *model, "trainer=batched", "study=batched")
    jobs = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "study=pool")
    pool = command(folder, "train", "-m", seeds, *model, *jobs)
    some = min(given.commands, n)
    alone = sum(command(folder, "train", f"seed={k}", *model, "study=alone") for k in range(some))
    separate = alone / some * n
    print(
        f"(c) {n} models on digits, 64-{given.batched_hidden}-8, {given.batched_epochs} epochs, CPU-s: "
        f"batched {together:.1f}, pool of two processes {pool:.1f}, separate commands {separate:.1f} "
        f"(extrapolated: {some} timed)"
    )
    # start-up is shared by all models of a batch: the goals are those of 64
    pool_goal, separate_goal = (2.5, 15.0) if n >= GOAL_MODELS else (None, None)
    return judged(
        [
            ("pool over batched", pool / together, pool_goal),
            ("separate commands over batched", separate / together, separate_goal),
        ]
    )


def study(data: Path, folder: Path, peer: Peer | None, given: argparse.Namespace) -> list[bool]:
    """(d): print CPU seconds of a study, and of the same assembled from peers; return whether the goal is reached."""
    settings = (
        "data=npz", f"data.path={data}", "likelihood=bernoulli", f"trainer.max_epochs={given.epochs}",
        "trainer.accelerator=cpu", "tracking=off", f"seed=range(0,{given.models})", f"study={STUDY}",
    )  # fmt: skip
    like = command(folder, "run", "-m", *settings, "metric=[fid,kid,prdc]")
    parts = where(folder, like)
    rest = None if given.without_rest else command(folder, "run", "-m", *settings, "metric=standard")
    with np.load(data) as arrays:
        sizes = {part: len(arrays[f"x_{part}"]) for part in ("train", "test")}
        test = torch.from_numpy(arrays["x_test"])
    n = sizes["test"]
    print(
        f"(d) {given.models} models x 8 samplers, {sizes['train']} training and {n} test images, "
        f"{given.epochs} epochs, CPU-s: ours, fid, kid, prdc alone {like:.1f} "
        "(references of the data and report included)"
        + ("" if rest is None else f"; the rest of metric=standard {rest:.1f} more")
    )
    print("\n| ours, the measures that both have | CPU s | share |\n|---|---|---|")
    for what, seconds in parts:
        print(f"| {what} | {seconds:.1f} | {100 * seconds / like:.0f} % |")
    print()
    if peer is None:
        return []
    phases = {"train": 0.0, "sample": 0.0, "measure": 0.0}
    for seed in range(given.models):
        found = peer.ask(task="study", seed=seed, epochs=given.epochs, n=n)
        phases = {k: v + found.get(k, 0.0) for k, v in phases.items()}
    phases["measure"] = measured(folder, test)
    theirs = sum(phases.values())
    said = ", ".join(f"{k} {v:.1f}" for k, v in phases.items())
    print(f"    peers (fid, kid, prdc alone; features by our classifier, given): {theirs:.1f} ({said})")
    ratios: list[tuple[str, float, float]] = [
        ("peers over ours, the measures that both have", theirs / like, 4)
    ]
    if rest is not None:
        ratios.append(("peers' three measures over our metric=standard", theirs / (like + rest), 5))
    return judged(ratios)


def where(folder: Path, total: float) -> list[tuple[str, float]]:
    """Return what the results in a folder's store took, and what is left of a command's CPU seconds."""
    store, seconds = Store(folder / "outputs"), dict[str, float]()
    steps = {step.path: step for record in records_of(store, STUDY) for step in record.steps}
    for step in steps.values():
        known = store.known(step)
        taken = None if known is None else known.provenance["cpu_seconds"]
        what = STAGES[step.kind] if step.kind != "measure" else f"measures: {step.metric.removeprefix('_')}"
        if step.kind == "reference":
            what = f"{what}, {step.space or 'all'}"
        seconds[what] = seconds.get(what, 0.0) + (taken or 0.0)
    rest = "start-up of processes, configuration, report, what no result is charged with"
    return [*seconds.items(), (rest, total - sum(seconds.values()))]


class _Features(nn.Module):
    """Our classifier's penultimate layer, as torchmetrics wants it."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier.eval()
        self.num_features = classifier.spec.n_features

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Return features of uint8 images."""
        return self.classifier.features(x.float() / 255)


def measured(folder: Path, test: Tensor) -> float:
    """Return the CPU seconds of FID and KID by torchmetrics, and prdc, of all images that the peer left.

    Generous to them: what is known of the real images is computed once, and prdc gets features that are there.
    """
    (place,) = (folder / "outputs/reference").rglob("feature_classifier.safetensors")
    facts = artifacts.load_json(place.parent / "facts.json")["feature_classifier"]
    features = _Features(restore_classifier(facts, artifacts.load_tensors(place)))
    test = test.view(len(test), *features.classifier.spec.shape)
    start = time.process_time()
    fid = FrechetInceptionDistance(
        feature=features, reset_real_features=False, input_img_size=tuple(test.shape[1:])
    ).set_dtype(torch.float64)
    features.float()  # set_dtype converts the network too
    kid = KernelInceptionDistance(
        feature=features, reset_real_features=False, subset_size=min(1000, len(test))
    )
    for batch in test.split(500):
        fid.update(batch, real=True)
        kid.update(batch, real=True)
    real = torch.cat([features(batch) for batch in test.split(500)]).numpy()
    for file in sorted(folder.glob("*.npy")):
        fake = torch.from_numpy(np.load(file))
        for batch in fake.split(500):
            fid.update(batch, real=False)
            kid.update(batch, real=False)
        _ = fid.compute(), kid.compute()
        fid.reset()
        kid.reset()
        drawn = torch.cat([features(batch) for batch in fake.split(500)]).numpy()
        with redirect_stdout(None):
            prdc.compute_prdc(real, drawn, nearest_k=5)
    return time.process_time() - start
