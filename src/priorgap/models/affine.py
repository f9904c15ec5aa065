"""The affine layers next to z: whether a shift and a scale of z can be folded into them."""

from torch import nn


def not_free(layer: nn.Module) -> str | None:
    """Return why a layer is not an affine map with free weights; None where it is one.

    With weight norm or spectral norm a layer still is an `nn.Linear`, but computes its weight from other parameters:
    a value written into `weight` changes its direction, or is overwritten by the next call.
    """
    if not isinstance(layer, nn.Linear):
        return f"is {type(layer).__name__}, no affine layer"
    own = dict(layer.named_parameters(recurse=False))
    if "weight" not in own or nn.utils.parametrize.is_parametrized(layer):
        return "computes its weight from other parameters (weight norm, spectral norm, or another parametrisation)"
    if layer._forward_pre_hooks or layer._forward_hooks:
        return "has hooks, which may change its weight, its input or its output"
    if "bias" not in own:
        return "has no bias"
    return None
