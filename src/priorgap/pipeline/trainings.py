"""The stored results of a training, however it was trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from priorgap.core import artifacts
from priorgap.data.splits import Dataset
from priorgap.pipeline import models
from priorgap.pipeline.config.plan import PlannedModel
from priorgap.pipeline.store.curves import CURVES, curves_text
from priorgap.pipeline.store.layout import Files
from priorgap.training.config import TrainResult


def kept(
    model: PlannedModel,
    result: TrainResult[Any],
    dataset: Dataset,
    provenance: Mapping[str, Any] | None = None,
) -> Files:
    """Return weights, configuration and curves as files; `provenance` says how it was trained."""

    def write(directory: Path) -> None:
        models.save(directory, result.vae, model.cell.config, dataset.train)
        artifacts.write_text(directory / CURVES, curves_text(result.curves))

    return Files(write, provenance or {})
