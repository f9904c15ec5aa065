"""The first call of each of a user's functions, on a few rows, so that a wrong shape is found at once."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from priorgap.comparison.decode_rules import DRAW, MEAN, DecodeRule
from priorgap.comparison.layout import Layout
from priorgap.core.arguments import show
from priorgap.core.batched_calls import takes_label
from priorgap.data.splits import Split
from priorgap.estimators.checks import NotFinite
from priorgap.evaluation.model import ModelFunctions

Found = TypeVar("Found")

_N_ROWS = 4


def try_calls(models: Mapping[DecodeRule, ModelFunctions], train: Split, layout: Layout) -> None:
    """Call all functions on one small batch first, so that a shape error is found before any expensive step."""
    few = train.take(slice(0, _N_ROWS))
    model = models[MEAN]
    size = min(model.decode_batch, _N_ROWS)
    small = replace(model, encode_batch=size, decode_batch=size)
    bare = False
    if model.encode is not None:
        posterior = _told("encode", model, few.shape, lambda: _finite(lambda: small.posteriors(few)))
        z, bare = posterior.mean, posterior.log_var is None
    else:
        assert model.prior is not None
        z = torch.zeros(len(few), model.prior.dim)
    label = few.label if takes_label(model.decode) else None

    def decoded(rule: DecodeRule, name: str) -> Tensor:
        own = replace(models[rule], decode_batch=size)
        return _told(name, own, (z.shape[1],), lambda: _finite(lambda: own.decoded(z, label, few.context)))

    try:
        x = decoded(MEAN, "decode")
    except RuntimeError as error:
        if not bare:
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"encode: gave one tensor of {z.shape[1]} values a row, taken for z of a plain autoencoder, and decode "
            f"fails on it ({show(reason)}); expected a pair (mean, log_var): where one tensor holds both, "
            "tensor.chunk(2, 1)"
        ) from error
    _check_shape(x, "decode", train, layout)
    _check_scale(x, layout)
    if DRAW in models:
        drawn = decoded(DRAW, "draw")
        _check_shape(drawn, "draw", train, layout)
        # Noise may leave the range, but most values should not.
        beyond = float(((drawn < -0.5) | (drawn > 1.5)).double().mean())
        if layout.images and beyond > 0.5:
            least, most = layout.in_model(float(drawn.min())), layout.in_model(float(drawn.max()))
            raise ValueError(
                f"draw: gave values from {least:g} to {most:g}, expected images in [{layout.range[0]:g}, "
                f"{layout.range[1]:g}]"
            )


def _check_shape(x: Tensor, name: str, train: Split, layout: Layout) -> None:
    if tuple(x.shape[1:]) != train.shape:
        raise ValueError(
            f"{name}: gave rows of shape {tuple(x.shape[1:])}, expected those of train, {layout.shape(train.shape)}"
        )


def _check_scale(x: Tensor, layout: Layout) -> None:
    if not layout.images:
        return
    least, most = float(x.min()), float(x.max())
    if layout.range[1] > 2 and layout.in_model(least) > -0.01 and layout.in_model(most) < 1.01:
        low, high = layout.range
        raise ValueError(
            f"decode: gave values from {layout.in_model(least):g} to {layout.in_model(most):g} where images go from "
            f"{low:g} to {high:g}; expected values on the scale of train: divide train and test by {high:g}"
        )
    if least < -0.5 or most > 1.5:
        low, high = layout.range
        raise ValueError(
            f"decode: gave values from {layout.in_model(least):g} to {layout.in_model(most):g}, expected images in "
            f"[{low:g}, {high:g}]"
        )


def _finite(call: Callable[[], Found]) -> Found:
    """Return the result of a first call; refuse numbers that are not finite, which would spoil every measure."""
    try:
        return call()
    except NotFinite as error:
        raise ValueError(str(error)) from error


def _told(name: str, model: ModelFunctions, shape: tuple[int, ...], call: Callable[[], Found]) -> Found:
    """Return the result of a call; where it fails because of a context, the error names the context."""
    try:
        return call()
    except (RuntimeError, TypeError, IndexError, KeyError, AttributeError) as error:
        if model.contexts is None:
            raise
        said = show((str(error).splitlines() or [""])[0])
        raise ValueError(
            f"context: {name} fails on rows of shape {list(shape)} with contexts {model.contexts.sentence} "
            f"({type(error).__name__}: {said}); expected contexts as the model had them in training: their shape, "
            "order and kind of numbers"
        ) from error
