"""The evidence of a model, and the picture of its aggregate posterior."""

from collections.abc import Mapping

import torch
from torch import Tensor

from priorgap.core.latents import Latents
from priorgap.core.random import stream
from priorgap.estimators.marginal import marginal_divergences, on_grid
from priorgap.evaluation.model import ModelFunctions
from priorgap.evaluation.plane import decoded_plane, own_draws, plane_density
from priorgap.metrics.evidence import ModelEvidence
from priorgap.metrics.reference import Reference
from priorgap.modalities import Modality

N_SCATTER = 2000
# Replaces the log-variance of a deterministic encoder, so that its marginals are sums of narrow peaks.
_NARROW = -20.0


def model_evidence(
    model: ModelFunctions,
    latents: Mapping[str, Latents],
    *,
    seed: int,
    reference: Reference | None = None,
    heldout_exchangeable: bool | None = True,
) -> ModelEvidence:
    """Return the evidence for metrics; its expensive parts are computed when they are first requested.

    Args:
        model: the model.
        latents: posteriors by part of the data; {} without an encoder.
        seed: the seed of draws that the evidence makes itself.
        reference: the real data in one feature space.
        heldout_exchangeable: whether validation rows are a random part of the pool from which training rows came;
            None: not known.
    """
    return ModelEvidence(
        train=latents.get("train"),
        validation=latents.get("validation"),
        test=latents.get("test"),
        prior=model.prior,
        decode=model.decoded,
        expected=model.expectation,
        reference=reference,
        seed=seed,
        heldout_exchangeable=heldout_exchangeable,
        has_prior=model.has_prior,
        encode=None if model.encode is None else model.posterior_means,
    )


def latent_space(
    test: Latents, functions: ModelFunctions, modality: Modality, *, seed: int
) -> dict[str, Tensor]:
    """Return the tensors for pictures of a latent space: `marginals`, the plane of two units, and decoded images.

    Args:
        test: posteriors of test rows.
        functions: the model, decoding by the mean of p(x|z).
        modality: the modality of observations.
        seed: the seed of the draws.
    """
    found = marginals(test, seed=seed)
    ranked = found["divergence"].argsort(descending=True, stable=True).tolist()
    if len(ranked) < 2:
        return found
    units = (ranked[0], ranked[1])
    prior = own_draws(functions.prior, stream(seed, "prior of the plane"))
    decoded = decoded_plane(test, functions, modality, units, prior) if modality.pictures else {}
    return {**found, **plane_density(test.mean, _log_var(test), units, prior), **decoded}


def _log_var(test: Latents) -> Tensor:
    return torch.full_like(test.mean, _NARROW) if test.log_var is None else test.log_var


def marginals(test: Latents, *, seed: int) -> dict[str, Tensor]:
    """Return the marginals of q(z) on a grid, their KL per unit, a few draws of z and their classes."""
    found = marginal_divergences(test.mean, _log_var(test))
    # The units' grids may differ, but a picture has one axis: the grid of the unit with the finest steps.
    grid = found.grid[int(found.step.argmin())]
    rows = torch.randperm(len(test), generator=stream(seed, "scatter"))[:N_SCATTER]
    chosen = test.take(rows)
    tensors = {
        "grid": grid,
        "marginals": on_grid(found, grid),
        "divergence": found.kl,
        "z": chosen.draw(generator=stream(seed, "scatter", "z")),
    }
    return tensors if chosen.label is None else {**tensors, "label": chosen.label}
