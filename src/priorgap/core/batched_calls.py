"""Encode and decode whole sets in padded batches of a fixed size, so that no result depends on the number of rows."""

import inspect
from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from priorgap.core.contexts import ContextRows, Values
from priorgap.core.latents import Latents
from priorgap.estimators.checks import NotFinite

Progress = Callable[[int], object]


class Encode(Protocol):
    """x [b, ...] (and its label and context, where accepted) -> (mean [b, d], log_var [b, d] or None)."""

    def __call__(self, x: Tensor, /) -> tuple[Tensor, Tensor | None]: ...  # noqa: D102


class Decode(Protocol):
    """z [b, d] (and its label and context, where accepted) -> x [b, ...]."""

    def __call__(self, z: Tensor, /) -> Tensor: ...  # noqa: D102


def takes_label(function: Callable[..., object]) -> bool:
    """Whether a callable accepts an argument named `label`."""
    return "label" in parameters_of(function)


def takes_context(function: Callable[..., object]) -> bool:
    """Whether a callable accepts an argument named `context`."""
    return "context" in parameters_of(function)


def parameters_of(function: Callable[..., object]) -> Mapping[str, inspect.Parameter]:
    """Return a callable's named arguments, of a module those of its forward; {} where they cannot be read."""
    inner = inspect.unwrap(function)
    try:
        return inspect.signature(inner.forward if isinstance(inner, nn.Module) else inner).parameters
    except (TypeError, ValueError):
        return {}


def needs_label(function: Callable[..., object]) -> bool:
    """Whether a callable has a required argument named `label`."""
    return _mandatory(function, "label")


def needs_context(function: Callable[..., object]) -> bool:
    """Whether a callable has a required argument named `context`."""
    return _mandatory(function, "context")


def _mandatory(function: Callable[..., object], name: str) -> bool:
    found = parameters_of(function).get(name)
    return found is not None and found.default is found.empty


_NOT_FINITE = "with NaN or infinity"


def unusable(x: Tensor) -> str | None:
    """Return why a tensor cannot be computed with, worded to follow "a tensor"; None where it can."""
    if x.device.type == "meta":
        return "on the meta device, without values"
    if x.layout != torch.strided:
        return "that is sparse"
    if x.is_complex():
        return "of complex numbers"
    if x.numel() == 0:
        return f"of shape {tuple(x.shape)}, without values"
    return None


def flaw(x: Tensor) -> str | None:
    """Return why a tensor is not a set of finite values, worded to follow "a tensor"; None where it is one."""
    wrong = unusable(x)
    if wrong is None and not torch.isfinite(x).all():
        return _NOT_FINITE
    return wrong


def _with_options(
    function: Callable[..., object],
) -> Callable[[Tensor, Tensor | None, Values | None], object]:
    """Return a call that passes label and context on where `function` accepts them; the signature is read once."""
    names = parameters_of(function)

    def call(x: Tensor, label: Tensor | None, context: Values | None) -> object:
        own: dict[str, object] = {"label": label} if "label" in names else {}
        if context is not None and "context" in names:
            own["context"] = context
        return function(x, **own)

    return call


def _pad(x: Tensor, batch: int) -> Tensor:
    return x if len(x) == batch else torch.cat([x, x[-1:].expand(batch - len(x), *x.shape[1:])])


@torch.no_grad()
def encode_all(
    encode: Encode,
    take: Callable[[slice], Tensor],
    n: int,
    *,
    batch: int,
    label: Int[Tensor, "n"] | None = None,
    context: ContextRows | None = None,
    progress: Progress | None = None,
) -> Latents:
    """Encode n images in batches of a fixed size (the last one padded), results on the CPU.

    Args:
        encode: the user's encoder.
        take: returns the images of a slice in the form that the encoder takes.
        n: the number of images.
        batch: the fixed batch size; the last bits of matrix products depend on it.
        label: kept in the result, and passed to encoders that accept it.
        context: its numbers are kept in the result, its values passed to encoders that accept them.
        progress: called after each step with the number of images done in it.

    Raises:
        ValueError: the encoder's result has another shape than expected; the message names both.
    """
    means, log_vars = [], []
    call = _with_options(encode)
    for start in range(0, n, batch):
        rows = slice(start, min(start + batch, n))
        x = take(rows)
        b = len(x)
        given = None if label is None else _pad(label[rows].to(x.device), batch)
        told = None if context is None else context.batch(rows, batch)
        mean, log_var = _checked_posterior(call(_pad(x, batch), given, told), batch)
        means.append(mean[:b].cpu())
        if log_var is not None:
            log_vars.append(log_var[:b].cpu())
        if progress is not None:
            progress(b)
    numbers = None if context is None else context.rows
    return Latents(torch.cat(means), torch.cat(log_vars) if log_vars else None, label, numbers)


def _checked_posterior(given: object, batch: int) -> tuple[Tensor, Tensor | None]:
    if not (isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], Tensor)):
        raise ValueError(
            f"encode: gave {type(given).__name__}, expected a pair (mean [b, d], log_var [b, d] or None)"
        )
    mean, log_var = given
    if mean.ndim != 2 or len(mean) != batch:
        raise ValueError(f"encode: gave a mean of shape {tuple(mean.shape)}, expected [{batch}, d]")
    if log_var is not None and (not isinstance(log_var, Tensor) or log_var.shape != mean.shape):
        raise ValueError(f"encode: gave a log_var that does not match its mean's shape {tuple(mean.shape)}")
    for name, values in (("mean", mean), ("log_var", log_var)):
        wrong = None if values is None else flaw(values)
        if wrong is not None:
            raise ValueError(f"encode: gave a {name} {wrong}; expected a dense tensor of finite numbers")
    return mean, log_var


@torch.no_grad()
def decode_all(
    decode: Decode,
    z: Float[Tensor, "n d"],
    *,
    batch: int,
    label: Int[Tensor, "n"] | None = None,
    context: ContextRows | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Float[Tensor, "n ..."]:
    """Decode n latents in batches of a fixed size (the last one padded), results on the CPU.

    Raises:
        ValueError: the decoder gave another number of samples than it got, or (NotFinite) values that are not finite.
    """
    parts = []
    call = _with_options(decode)
    for start in range(0, len(z), batch):
        rows = slice(start, min(start + batch, len(z)))
        part = z[rows].to(device)
        given = None if label is None else _pad(label[rows].to(device), batch)
        told = None if context is None else context.batch(rows, batch)
        x = call(_pad(part, batch), given, told)
        if not isinstance(x, Tensor) or len(x) != batch:
            shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(
                f"decode: gave {shape} for z of shape {(batch, z.shape[1])}, expected [{batch}, ...]"
            )
        wrong = flaw(x)
        if wrong is not None:
            error = NotFinite if wrong == _NOT_FINITE else ValueError
            raise error(f"decode: gave a tensor {wrong}; expected a dense one of finite numbers")
        parts.append(x[: len(part)].cpu())
        if progress is not None:
            progress(len(part))
    return torch.cat(parts)
