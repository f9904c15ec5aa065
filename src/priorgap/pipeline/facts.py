"""Checks that need the data, made before anything is stored: models, feature spaces, labels."""

import logging
from collections.abc import Sequence

from priorgap.data.splits import Dataset
from priorgap.models.calibrate import calibration_refusal
from priorgap.models.families import Model
from priorgap.pipeline import models
from priorgap.pipeline.config import parts
from priorgap.pipeline.config.model_config import ModelConfig
from priorgap.pipeline.config.plan import PlannedModel
from priorgap.pipeline.desk import Desk
from priorgap.pipeline.sweep.batched_program import check_model

log = logging.getLogger(__name__)

# Samplers, and distances between sets, compute variances, which need this many rows.
_FEWEST = 2


def check(planned: Sequence[PlannedModel], desk: Desk) -> None:
    """Check that the data suit each model and feature space; nothing is trained or written.

    Raises:
        ValueError: the data do not suit one of them; one line for the first.
    """
    _warn_of_gaps(planned, desk)
    for model in {model.train.path: model for model in planned}.values():
        dataset, cell = desk.dataset(model), model.cell
        _check_rows(cell, dataset)
        network = models.build(
            cell.config, dataset.shape, dataset.modality, models.classes_of(cell.config, dataset)
        )
        calibrated = any(m.calibrated for m in planned if m.train is model.train)
        _check_objective(cell, network, calibrated=calibrated)
        check_model(cell.config, network, dataset)
    spaces = {
        (model.data.path, steps[-1].path): (model, space)
        for model in planned
        for space, steps in model.references.items()
        if space and not desk.store.is_complete(steps[-1])
    }
    for model, space in spaces.values():
        _check_space(model.cell, space, desk.dataset(model))


def _check_rows(cell: ModelConfig, dataset: Dataset) -> None:
    sizes = [len(part) for part in (dataset.train, dataset.validation, dataset.test)]
    if min(sizes) < _FEWEST:
        said = ", ".join(
            f"{n} {part}" for n, part in zip(sizes, ("training", "validation", "test"), strict=True)
        )
        place = cell.config["data"].get("path", cell.config["data"]["name"])
        raise ValueError(f"data: {place}: {said} rows; expected at least {_FEWEST} of each")


def _warn_of_gaps(planned: Sequence[PlannedModel], desk: Desk) -> None:
    """Warn once if a study measures only means, which hide gaps in its data."""
    if any("draw" in model.cell.decode_rules for model in planned):
        return
    for model in planned:
        gaps = desk.dataset(model).modality.gaps
        if gaps is not None and gaps.about:
            log.warning(
                "decode=mean: a value is missing where that is the likelier, so that gaps rarer than values vanish; "
                "decode=draw draws them"
            )
            return


def _check_objective(cell: ModelConfig, network: Model, *, calibrated: bool) -> None:
    loss = parts.loss(cell.config)
    network.check_objective(loss)
    for rule in cell.decode_rules:
        network.check_decode(rule)
    refusal = calibration_refusal(network, loss) if calibrated else None
    if refusal is not None:
        raise ValueError(f"calibrate={cell.config['calibrate']}: {refusal}; expected false")


def _check_space(cell: ModelConfig, name: str, dataset: Dataset) -> None:
    parts.feature_space(cell.config, name).check(dataset.train)
    usual = dataset.modality.feature_space
    chosen = any(override.lstrip("+~").startswith("features=") for override in cell.overrides)
    # conf/data names the space where the kind of data is fixed; a file's kind is known only now.
    if not chosen and usual not in cell.config["feature_spaces"]:
        log.info(
            "data=%s: %s; features=[%s] compares them in the space that is usual for these",
            dataset.name, dataset.modality.described(dataset.shape), usual,
        )  # fmt: skip
