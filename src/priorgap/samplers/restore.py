"""Fitted samplers from their states: tensors and JSON, never pickles."""

from priorgap.priors.base import Prior
from priorgap.samplers.ex_post import FittedExPost
from priorgap.samplers.flow import FittedFlowSampler
from priorgap.samplers.kde import FittedKde
from priorgap.samplers.per_class import FittedPerClass
from priorgap.samplers.posterior import FittedMixtureOfRows, FittedRows
from priorgap.samplers.prior import FittedPrior
from priorgap.samplers.protocols import FittedSampler, SamplerState
from priorgap.samplers.reweighted import FittedReweighted
from priorgap.samplers.two_stage import FittedTwoStage
from priorgap.samplers.unit_swap import FittedUnitSwap
from priorgap.samplers.vamp import FittedVamp

_OWN = (
    FittedExPost,
    FittedRows,
    FittedMixtureOfRows,
    FittedKde,
    FittedVamp,
    FittedUnitSwap,
    FittedFlowSampler,
    FittedTwoStage,
)


def restore(state: SamplerState, prior: Prior | None = None) -> FittedSampler:
    """Return the fitted sampler that a state describes; it draws the same.

    Args:
        state: what `FittedSampler.state` returned.
        prior: the model's prior; needed by `prior` (and classes of it) where that is a learned one.

    Raises:
        ValueError: an unknown kind, or a learned prior that is missing.
    """
    kind = state.json.get("kind")
    for own in _OWN:
        if kind == own.kind:
            return own.from_state(state)
    for of_model in (FittedPrior, FittedReweighted, FittedPerClass):
        if kind == of_model.kind:
            return of_model.from_state(state, prior)
    raise ValueError(f"sampler state {state.name!r} has kind {kind!r}: not one that this version knows")
