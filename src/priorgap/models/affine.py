"""The affine layers on either side of z: whether a shift and a scale of z can be folded into them."""

from torch import nn


def not_free(layer: nn.Module) -> str | None:
    """Return why a layer is no affine map whose weights can be set at will; None where it is one.

    Weight norm and spectral norm leave a layer that is an `nn.Linear` by name and computes its weight from other
    parameters: what is written into `weight` changes its direction, or is overwritten by the next call.
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
