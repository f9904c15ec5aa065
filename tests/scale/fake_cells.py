"""Cells that compute nothing, for sweeps of thousands: their results are bytes and numbers made of their number.

All else is what real models have: steps with keys, artifacts and shelves, records, packs, publication.
"""

import functools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch

from priorgap.core.measurement import Measurement
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.pipeline.config.plan import Step, Subject, Version
from priorgap.pipeline.store import keys, records
from priorgap.pipeline.store.layout import Files, Store, Values

STUDY = "fakes"
SECONDS = 0.01
_CODE = Version(1)
_FACTS = SamplerFacts(reconstructs=False, needs_training_data=False, fixed=False, cost="Nothing.")
_VERDICT = {
    "measure": "fid",
    "space": "latent",
    "baseline": "prior",
    "level": 0.95,
    "smallest_ratio": 1.05,
    "health": {
        "explained": 0.05, "rate": 0.1, "unit_rate": 100.0, "rows_stop": 50, "rows_warn": 200, "decoder_stop": 40.0,
        "decoder_warn": 10.0, "decoder_share": 0.5, "decoder_near": 3.0, "decoder_near_share": 0.8, "moments": 0.05,
    },
}  # fmt: skip
DATA = Step("prepare", PurePosixPath("data/fake"), "data", "fake", (), _CODE, 0)


@dataclass(frozen=True)
class Cell:
    """A cell by its number.

    Attributes:
        number: which.
        n_bytes: about the size of its pack.
    """

    number: int
    n_bytes: int

    @property
    def id(self) -> str:
        """The id of its model."""
        return f"{self.number:08x}"

    def steps(self) -> list[Step]:
        """Return its results: a training, the draws of two samplers, a measure of each."""
        home = PurePosixPath(STUDY)
        train = Step(
            "train",
            home / "train" / self.id,
            "training",
            self.number,
            (DATA,),
            _CODE,
            self.number,
            Subject(self.id),
        )
        found = [train]
        for name in ("prior", "gaussian_full"):
            draws = Step(
                "sample", home / "sample" / self.id / name, name, name, (train,), _CODE, self.number,
                Subject(self.id, name),
            )  # fmt: skip
            fid = Step(
                "measure", home / "measure" / self.id / name / "fid", f"fid of {name}", "fid", (draws,), _CODE,
                self.number, Subject(self.id, name, "fid"),
            )  # fmt: skip
            found += [draws, fid]
        return sorted(found, key=lambda step: ("train", "sample", "measure").index(step.kind))

    def record(self) -> records.Record:
        """Return its record."""
        steps = tuple(records.RecordedStep(s.kind, s.path, **vars(s.subject)) for s in (DATA, *self.steps()))
        model = records.RecordedModel(
            self.id, "fake", False, "mean", f"seed={self.number}", self.number, steps
        )
        config = {
            "study": STUDY, "seed": self.number, "data": {"name": "fake", "source": {}}, "numerics": {},
            "n_samples": 10, "verdict": _VERDICT,
        }  # fmt: skip
        return records.Record(STUDY, self.id, f"seed={self.number}", config, (model,))


def prepare(root: Path) -> Store:
    """Make the data that all cells build on, and return the store."""
    store = Store(root)
    key = keys.key(DATA, store)
    if not store.is_complete(DATA, key):
        write = Files(lambda folder: (folder / "rows.bin").write_bytes(random.Random(0).randbytes(1_000_000)))
        store.publish(DATA, key, write, seed=0, seconds=0.0)
    return store


def compute(root: Path, cell: Cell) -> str:
    """Make a cell's results in a store; return its id.

    Args:
        root: the store.
        cell: which.
    """
    store = Store(root)
    time.sleep(SECONDS)
    numbers = random.Random(cell.number)
    for step in cell.steps():
        key = keys.key(step, store)
        if store.is_sound(step, key):
            continue
        if step.kind == "train":
            content = numbers.randbytes(cell.n_bytes - 2_000)
            result: Files | Values = Files(functools.partial(_write, content))
        elif step.kind == "sample":
            draws = {"z": torch.tensor([[random.Random(f"{step.path}").random()] * 2])}
            role = "baseline" if step.subject.sampler == "prior" else "candidate"
            result = Values({"role": role, "skipped": None, "facts": _FACTS.to_json()}, draws)
        else:
            value = random.Random(f"{step.path}").random()
            row = Measurement("fid", value, 0.1, 10, 10, "latent").to_json()
            result = Values({"rows": [row], "skipped": None, "measures": []})
        store.publish(step, key, result, seed=cell.number, seconds=SECONDS)
    return cell.id


def _write(content: bytes, folder: Path) -> None:
    (folder / "weights.bin").write_bytes(content)


def cells(n: int, n_bytes: int) -> Sequence[Cell]:
    """Return the cells of a sweep."""
    return [Cell(number, n_bytes) for number in range(n)]
