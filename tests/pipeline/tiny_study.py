"""The tiny study of the pipeline tests, and how to run it in this process."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from priorgap import artifacts
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
)

EXTRA = ("seed=0,1", "calibrate=both", "calibrated_samplers=[prior]")

Run = Callable[..., int]


def invoke(*arguments: str) -> int:
    """Run the console script in this process and return its exit status."""
    with pytest.raises(SystemExit) as caught:
        cli.main(list(arguments))
    return int(caught.value.code or 0)


def run_tiny(folder: Path, *extra: str, study: str = "tiny", command: Sequence[str] = ("run",)) -> int:
    """Run the tiny study in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return invoke(*command, *TINY, f"study={study}", *extra)


def content(folder: Path) -> dict[str, str]:
    """Checksums of all results of a study: tensors and measurements, not logs or provenance."""
    study = folder / "outputs" / "tiny"
    return {
        str(p.relative_to(study)): artifacts.file_digest(p)
        for stage in ("train", "calibrate", "encode", "sample", "measure")
        for p in sorted((study / stage).rglob("*"))
        if p.is_file() and p.name != artifacts.MANIFEST
    }


def leftovers(folder: Path) -> list[str]:
    """What killed or broken runs left in the store of a folder."""
    outputs = folder / "outputs"
    found = [*outputs.rglob(".partial-*"), *outputs.rglob("resume"), *outputs.rglob("*.ckpt")]
    return sorted(str(p.relative_to(outputs)) for p in found)


def flip(file: Path, position: int) -> None:
    """Change one byte of a file."""
    with file.open("r+b") as handle:
        handle.seek(position)
        byte = handle.read(1)[0]
        handle.seek(position)
        handle.write(bytes([byte ^ 1]))
