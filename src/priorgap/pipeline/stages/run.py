"""All stages of a cell in order, numerics set once a process, and the list of what a finished study holds."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from priorgap.data.splits import Dataset
from priorgap.pipeline.cells import Cell
from priorgap.pipeline.stages import calibrate, encode, measure, reference, sample, train
from priorgap.pipeline.store import Store

log = logging.getLogger(__name__)


def set_numerics(config: Mapping[str, Any]) -> None:
    """Set threads and GEMM precision for this process: they are part of every result's identity."""
    from threadpoolctl import threadpool_limits

    threads = int(config["numerics"]["threads"])
    torch.set_num_threads(threads)
    threadpool_limits(limits=threads)
    torch.set_float32_matmul_precision(str(config["numerics"]["matmul_precision"]))


def run_stages(cell: Cell, store: Store, stages: Sequence[str]) -> None:
    """Run the given stages of one cell, in order; what is done is skipped."""
    set_numerics(cell.config)
    if "train" in stages:
        train.train(cell, store)
    for variant in cell.variants:
        if "calibrate" in stages and variant.calibrated:
            calibrate.calibrate(cell, variant, store)
        if "encode" in stages:
            encode.encode(cell, variant, store)
        if "sample" in stages:
            for name in variant.samplers:
                sample.sample(cell, variant, store, name)
        if "measure" in stages:
            measure.measure(cell, variant, store)


def check_against_data(cells: Sequence[Cell], datasets: Mapping[str, Dataset]) -> None:
    """Check that each cell's model fits its data: networks are built, nothing is trained.

    Raises:
        ValueError: one line, for the first cell that does not fit.
    """
    from priorgap.pipeline import models

    for cell in cells:
        models.build(cell.config, datasets[cell.data_id].shape)


def check_feature_spaces(cell: Cell, dataset: Dataset) -> None:
    """Check that each selected feature space can be had for this data.

    Raises:
        ValueError: one line, for the first that cannot.
    """
    from priorgap.pipeline import components

    for name in cell.config["feature_spaces"]:
        components.feature_space(cell.config, name).check(labelled=dataset.train.label is not None)


def artifacts_of(cells: Sequence[Cell], store: Store) -> Iterator[Path]:
    """Yield every artifact that the cells' complete results stand on."""
    for cell in cells:
        yield store.data(cell)
        yield from reference.folders(cell, store)
        yield store.model(cell.study, "train", cell.train_id, cell.label)
        for variant in cell.variants:
            if variant.calibrated:
                yield store.model(cell.study, "calibrate", variant.model_id, cell.label)
            yield encode.folder(cell, variant, store)
            for name in variant.samplers:
                yield sample.folder(cell, variant, store, name)
            yield from measure.folders(cell, variant, store)
