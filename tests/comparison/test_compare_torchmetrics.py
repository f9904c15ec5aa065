"""Classes of torchmetrics as metrics of `compare`, in its feature space and among its results."""

from functools import partial

import pytest
import torch
from image_metrics import (
    FrechetInceptionDistance,
    KernelInceptionDistance,
    StructuralSimilarityIndexMeasure,
)

from priorgap import compare
from priorgap.metrics import FID

N = 120


def images(seed: int) -> torch.Tensor:
    z = torch.randn(N, 2, generator=torch.Generator().manual_seed(seed))
    return decode(z)


def decode(z: torch.Tensor) -> torch.Tensor:
    waves = torch.linspace(0, 3, 64).view(1, 64)
    return torch.sigmoid(z[:, :1] * waves.cos() + z[:, 1:] * waves.sin()).view(-1, 1, 8, 8)


def encode(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    waves = torch.linspace(0, 3, 64)
    basis = torch.stack([waves.cos(), waves.sin()])
    mean = torch.logit(x.flatten(1).clamp(0.01, 0.99)) @ torch.linalg.pinv(basis)
    return mean, torch.full_like(mean, -6.0)


def compared(metrics, **more):
    return compare(
        encode, decode, images(0), images(1), validation=images(2), samplers=["prior", "posterior"],
        metrics=metrics, features="pixels", **more,
    )  # fmt: skip


def test_classes_partials_and_names_are_metrics():
    found = compared(
        [
            "fid",
            FrechetInceptionDistance,
            partial(KernelInceptionDistance, subsets=1, subset_size=N),
            partial(StructuralSimilarityIndexMeasure, sigma=0.5),
            "tm_psnr",
            "tm_kid",
        ]
    )
    values = found.table.set_index(["measure", "sampler"])["value"]
    for sampler in ("prior", "posterior"):
        ours, theirs = values["fid", sampler], values["tm_frechet_inception_distance", sampler]
        assert theirs == pytest.approx(ours, rel=1e-5)
    assert 0.9 < values["tm_structural_similarity_index_measure", ""] <= 1
    assert values["tm_psnr", ""] > 20
    assert set(found.table.query("measure == 'tm_kernel_inception_distance'")["space"]) == {"pixels"}
    # conf's subsets of 1,000 are more than there are draws: absent, with the reason
    assert "subset_size" in found.skipped["tm_kid of prior"]


def test_it_repeats_itself_whatever_else_is_measured():
    kid = partial(KernelInceptionDistance, subsets=5, subset_size=50)
    alone = compared([kid]).table
    torch.manual_seed(11)
    among = compared([FrechetInceptionDistance, kid, "fid"]).table
    chosen = among[among["measure"] == "tm_kernel_inception_distance"]
    assert chosen["value"].tolist() == alone["value"].tolist()


def test_an_object_that_was_made_before_is_refused():
    with pytest.raises(ValueError, match=r"made already; expected the class, or functools.partial"):
        compared([StructuralSimilarityIndexMeasure(data_range=1.0)])


def test_other_classes_are_no_metrics():
    for given in (FID, partial(FID), partial(print)):
        with pytest.raises(ValueError, match=r"^metrics: .*expected a name, or a Metric; it is not made yet"):
            compared([given])
