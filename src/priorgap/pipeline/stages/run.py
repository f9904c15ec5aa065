"""All stages of a cell in order, numerics set once a process, and the list of what a finished study holds."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from priorgap import artifacts
from priorgap.data.splits import Dataset
from priorgap.models.calibrate import calibration_refusal
from priorgap.models.conditional import ConditionalVAE
from priorgap.models.controls import GAN
from priorgap.models.families import Model
from priorgap.pipeline import batched_program, components, measuring, precision
from priorgap.pipeline.cells import Cell
from priorgap.pipeline.stages import calibrate, encode, measure, reference, sample, train
from priorgap.pipeline.store import Store
from priorgap.priors.vamp import VampPrior

log = logging.getLogger(__name__)


def set_numerics(config: Mapping[str, Any]) -> None:
    """Set threads and GEMM precision for this process: they are part of every result's identity.

    Raises:
        ValueError: a precision that is not float32's on this machine.
    """
    from threadpoolctl import threadpool_limits

    threads = int(config["numerics"]["threads"])
    torch.set_num_threads(threads)
    threadpool_limits(limits=threads)
    precision.check(config)
    torch.set_float32_matmul_precision(str(config["numerics"]["matmul_precision"]))


def run_stages(cell: Cell, store: Store, stages: Sequence[str], *, workers: int = 1) -> None:
    """Run the given stages of one cell, in order; what is done is skipped.

    Up to `workers` processes share out the measures of large samplers.
    """
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
            measuring.measure(cell, variant, store, workers=workers)


def check_against_data(cells: Sequence[Cell], datasets: Mapping[str, Dataset], store: Store) -> None:
    """Check that each cell's model and feature spaces fit its data: nothing is trained, nothing written.

    Raises:
        ValueError: one line, for the first cell that does not fit.
    """
    from priorgap.pipeline import models

    opened: set[tuple[str, str]] = set()
    for cell in cells:
        dataset = datasets[cell.data_id]
        model = models.build(cell.config, dataset.shape, models.classes_of(cell.config, dataset))
        _check_objective(cell, model)
        batched_program.check_model(cell.config, model, dataset)
        for name in cell.config["feature_spaces"]:
            if (cell.data_id, name) not in opened:
                opened.add((cell.data_id, name))
                _check_space(cell, name, dataset, store)


def _check_objective(cell: Cell, vae: Model) -> None:
    loss = components.loss(cell.config)
    if loss.free_bits is not None and (vae.prior is None or isinstance(vae, GAN)):
        raise ValueError(f"loss.free_bits={loss.free_bits}: the model is trained without a KL; expected null")
    if vae.prior is not None:
        loss.check_prior(vae.prior)
    refusal = calibration_refusal(vae, loss) if any(v.calibrated for v in cell.variants) else None
    if refusal is not None:
        raise ValueError(f"calibrate={cell.config['calibrate']}: {refusal}; expected false")
    if isinstance(vae, GAN) and cell.decode != "mean":
        raise ValueError(f"decode={cell.decode}: a GAN has no p(x|z) to draw from; expected mean")
    if isinstance(vae, ConditionalVAE) and isinstance(vae.prior, VampPrior):
        raise ValueError(
            "prior=vamp: its pseudo-inputs have no label, which a conditional encoder takes; expected another prior"
        )


def _check_space(cell: Cell, name: str, dataset: Dataset, store: Store) -> None:
    if not artifacts.is_complete(reference.space_folder(cell, store, name)):
        labelled = dataset.train.label is not None and dataset.test.label is not None
        components.feature_space(cell.config, name).check(labelled=labelled)


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
