"""The tiny study of the pipeline tests, and how to run it in this process."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from priorgap.core import artifacts
from priorgap.core.shelves import Shelf
from priorgap.pipeline import cli

TINY = (
    "model.latent_dim=3",
    "model.hidden=[16]",
    "loss.alpha=20",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
    "sampler=[prior,posterior,gaussian_full,per_class_gaussian_full]",
    "metric=[rate,marginal_kl,decomposition,elbo,fid,accuracy_real_to_synthetic,copying]",
    "metrics.copying.n_queries=40",
    "metrics.copying.quantile=0.1",
    "n_samples=80",
    "reference.classifier.epochs=1",
    "reference.n_repeats=3",
    # two epochs leave next to nothing in the latent space, which would forbid every recommendation
    "verdict.health.rate=0.0",
)

EXTRA = ("seed=0,1", "calibrate=both", "calibrated_samplers=[prior]")

Run = Callable[..., int]


def invoke(*arguments: str) -> int:
    """Run the console script in this process and return its exit status."""
    with pytest.raises(SystemExit) as caught:
        cli.main(list(arguments))
    return int(caught.value.code or 0)


def run_tiny(folder: Path, *extra: str, study: str = "tiny", command: Sequence[str] = ("run",)) -> int:
    """Run the tiny study in a folder; with runs of W&B, as much work as the rest, only where they are asked for."""
    tracking = () if any(word.startswith("tracking=") for word in extra) else ("tracking=off",)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return invoke(*command, *TINY, f"study={study}", *tracking, *extra)


@dataclass(frozen=True)
class Model:
    """A model of a study, as its record says."""

    id: str
    train_id: str
    label: str
    seed: int
    calibrated: bool


def models(folder: Path, study: str = "tiny") -> list[Model]:
    """The models of a study: by label, trained before calibrated."""
    found = []
    for file in (folder / "outputs" / study / "cells").glob("[!.]*.json"):
        record = artifacts.load_json(file)
        found += [
            Model(m["id"], record["train_id"], record["label"], m["seed"], m["calibrated"])
            for m in record["models"]
        ]
    return sorted(found, key=lambda model: (model.label, model.calibrated))


def model(
    folder: Path, seed: int = 0, *, label: str = "", calibrated: bool = False, study: str = "tiny"
) -> Model:
    """The one model of a study with this seed whose label holds this text."""
    (found,) = [
        m for m in models(folder, study) if m.seed == seed and label in m.label and m.calibrated == calibrated
    ]
    return found


def shelf(folder: Path, stage: str, model_id: str, study: str = "tiny") -> Shelf:
    """The shelf of a model's draws or measurements."""
    outputs = folder / "outputs"
    return Shelf(outputs / study / stage / model_id, outputs / ".locks")


def tensors(folder: Path, model_id: str, sampler: str, study: str = "tiny") -> dict[str, Tensor]:
    """A sampler's draws, state and preview."""
    return shelf(folder, "sample", model_id, study).tensors(sampler)


def measurements(
    folder: Path, model_id: str, sampler: str, metric: str, study: str = "tiny"
) -> dict[str, Any]:
    """Rows of a measure, or why there are none; sampler "_model" is the model itself."""
    value: dict[str, Any] = shelf(folder, "measure", model_id, study).entries[f"{sampler}/{metric}"].value
    return value


def results(place: Path) -> dict[str, dict[str, Any]]:
    """The entries of a shelf as its manifest holds them."""
    manifest: dict[str, Any] = artifacts.load_json(place / artifacts.MANIFEST)
    entries: dict[str, dict[str, Any]] = manifest["entries"]
    return entries


def content(folder: Path, study: str = "tiny") -> dict[str, str]:
    """Checksums of all results of a study, of the bytes that are there: not of logs or provenance."""
    place = folder / "outputs" / study
    found = {}
    for stage in ("train", "calibrate", "encode", "sample", "measure"):
        for file in sorted((place / stage).rglob("*")):
            if file.is_file() and file.name != artifacts.MANIFEST and file.suffix != ".pack":
                found[str(file.relative_to(place))] = artifacts.file_digest(file)
    for stage in ("sample", "measure"):
        for manifest in sorted((place / stage).glob(f"[!.]*/{artifacts.MANIFEST}")):
            for name, entry in results(manifest.parent).items():
                value = json.dumps(entry["value"], sort_keys=True)
                text = f"{value} {hashlib.sha256(_bytes(manifest.parent, entry)).hexdigest()}"
                found[f"{stage}/{manifest.parent.name}/{name}"] = hashlib.sha256(text.encode()).hexdigest()
    return found


def _bytes(place: Path, entry: dict[str, Any]) -> bytes:
    span = entry["tensors"]
    if span is None:
        return b""
    with (place / span["file"]).open("rb") as handle:
        handle.seek(span["offset"])
        return handle.read(span["n_bytes"])


def stamps(folder: Path) -> dict[str, object]:
    """What tells whether a result was made anew: of an artifact its manifest's time, of an entry all of it."""
    outputs = folder / "outputs"
    found: dict[str, object] = {}
    for manifest in outputs.rglob(artifacts.MANIFEST):
        place = manifest.parent.relative_to(outputs).as_posix()
        if "entries" in artifacts.load_json(manifest):
            found |= {f"{place}/{name}": entry for name, entry in results(manifest.parent).items()}
        else:
            found[place] = manifest.stat().st_mtime_ns
    return found


def touched(folder: Path) -> dict[str, int]:
    """When each file of results was last changed."""
    outputs = folder / "outputs"
    files = [p.parent for p in outputs.rglob(artifacts.MANIFEST)]
    return {str(p.relative_to(outputs)): p.stat().st_mtime_ns for f in files for p in f.rglob("*")}


def leftovers(folder: Path) -> list[str]:
    """What killed or broken runs left in the store of a folder."""
    outputs = folder / "outputs"
    found = [*outputs.rglob(".partial-*"), *outputs.rglob("resume"), *outputs.rglob("*.ckpt")]
    found += [file for file in outputs.rglob("*.pack") if file.stat().st_size > _known_end(file)]
    return sorted(str(p.relative_to(outputs)) for p in found)


def _known_end(file: Path) -> int:
    """Where the last tensors end that the manifest of a shelf knows in a file."""
    if not (file.parent / artifacts.MANIFEST).is_file():
        return 0
    spans = [e["tensors"] for e in results(file.parent).values() if e["tensors"] is not None]
    return max((s["offset"] + s["n_bytes"] for s in spans if s["file"] == file.name), default=0)


def flip(file: Path, position: int) -> None:
    """Change one byte of a file."""
    with file.open("r+b") as handle:
        handle.seek(position)
        byte = handle.read(1)[0]
        handle.seek(position)
        handle.write(bytes([byte ^ 1]))
