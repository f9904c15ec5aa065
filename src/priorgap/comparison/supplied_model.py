"""A user's encode and decode in the form that all steps call: stored observations, and flat latents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from priorgap.comparison.layout import Layout
from priorgap.comparison.model_outputs import Entry, in_floats, observation_of, posterior_of
from priorgap.comparison.probes import modules_of
from priorgap.core.arguments import show
from priorgap.core.batched_calls import Decode, Encode
from priorgap.core.contexts import Values, each
from priorgap.data.splits import as_float

Function = Callable[..., Any]


@dataclass(frozen=True)
class Placement:
    """Where a function computes, and in which type; None means that its arguments are not moved or converted.

    Attributes:
        device: the device of its parameters, or the given one.
        dtype: the type of its parameters.
    """

    device: torch.device | None = None
    dtype: torch.dtype | None = None

    def put(self, x: Tensor) -> Tensor:
        """Return a tensor of floats on this device, in this type."""
        return x.to(device=self.device, dtype=self.dtype)


def placement_of(function: Function, name: str, device: str | torch.device | None) -> Placement:
    """Return where a function computes, judged by the parameters of the modules that it uses.

    Raises:
        ValueError: its modules are on several devices, and the user named none.
    """
    parameters = [p for module in modules_of(function) for p in module.parameters() if p.is_floating_point()]
    devices = {p.device for p in parameters}
    types = {p.dtype for p in parameters}
    if device is None and len(devices) > 1:
        found = ", ".join(sorted(str(one) for one in devices))
        raise ValueError(
            f"{name}: uses modules on several devices ({found}); expected device= to say where x goes"
        )
    where = torch.device(device) if device is not None else next(iter(devices), None)
    return Placement(where, types.pop() if len(types) == 1 else None)


def check_device(given: object) -> str | torch.device | None:
    """Return the device that the user gave.

    Raises:
        ValueError: there is no such device.
    """
    if given is None or isinstance(given, torch.device):
        return given
    try:
        torch.empty(0, device=given)  # type: ignore[call-overload]
    except (RuntimeError, TypeError, AssertionError, ValueError) as error:
        raise ValueError(
            f"device={show(given)}: expected a device that PyTorch has here, as 'cpu'"
        ) from error
    return str(given)


@dataclass(eq=False)
class LatentShape:
    """The shape of one z in the user's model, known after the first call of encode; () before."""

    value: tuple[int, ...] = ()

    def flat(self, values: Tensor) -> Tensor:
        """Return values [b, ...] as [b, d]."""
        return values if values.ndim == 2 else values.flatten(1)

    def own(self, z: Tensor) -> Tensor:
        """Return z [b, d] in the shape that the user's model takes."""
        return z if len(self.value) < 2 else z.reshape(len(z), *self.value)


@dataclass(frozen=True, eq=False)
class Conventions:
    """How a user's model is called.

    Attributes:
        layout: the layout of observations.
        shape: the shape of one stored observation.
        codes: the label of each class in the user's form; None: its number.
        posterior: which outputs of encode are mean and log_var; None: decided by their form.
        latent: the shape of z.
    """

    layout: Layout
    shape: tuple[int, ...]
    codes: Tensor | list[str] | None
    posterior: Entry | Sequence[Entry] | None
    latent: LatentShape

    def label(self, label: Tensor, where: Placement) -> Tensor | list[str]:
        """Return labels in the user's form."""
        if self.codes is None:
            return label if where.device is None else label.to(where.device)
        if isinstance(self.codes, list):
            return [self.codes[number] for number in label.tolist()]
        return self.codes[label.cpu()].to(where.device or label.device)

    def given(self, label: Tensor | None, context: Values | None, where: Placement) -> dict[str, object]:
        """Return the arguments that a function gets by name."""
        found: dict[str, object] = {} if label is None else {"label": self.label(label, where)}
        if context is not None:
            found["context"] = each(
                context, lambda one: where.put(one) if one.is_floating_point() else one.to(where.device)
            )
        return found


def encoder(function: Function, conventions: Conventions, where: Placement) -> Encode:
    """Return encode as stored x [b, ...] -> (mean [b, d], log_var [b, d] or None), floats of at least 32 bits."""
    latent = conventions.latent

    @wraps(function)
    def encode(
        x: Tensor, label: Tensor | None = None, context: Values | None = None
    ) -> tuple[Tensor, Tensor | None]:
        own = where.put(conventions.layout.to_model(x))
        found = function(own, **conventions.given(label, context, where))
        mean, log_var = posterior_of(found, conventions.posterior)
        if mean.ndim < 2 or len(mean) != len(x):
            raise ValueError(f"encode: gave a mean of shape {tuple(mean.shape)}, expected [{len(x)}, d]")
        if log_var is not None and log_var.shape != mean.shape:
            raise ValueError(
                f"encode: gave a log_var of shape {tuple(log_var.shape)} that does not match its mean's shape "
                f"{tuple(mean.shape)}"
            )
        mean, log_var = in_floats(mean), None if log_var is None else in_floats(log_var)
        shape = tuple(mean.shape[1:])
        if latent.value not in ((), shape):
            raise ValueError(f"encode: gave z of shape {shape} after {latent.value}; expected one shape")
        latent.value = shape
        return latent.flat(mean), None if log_var is None else latent.flat(log_var)

    return encode


def decoder(function: Function, conventions: Conventions, where: Placement) -> Decode:
    """Return decode as a function from z [b, d] to observations in stored form, as floats."""

    @wraps(function)
    def decode(z: Tensor, label: Tensor | None = None, context: Values | None = None) -> Tensor:
        own = where.put(conventions.latent.own(z))
        return as_stored(function(own, **conventions.given(label, context, where)), len(z), conventions)

    return decode


def as_stored(given: object, n: int, conventions: Conventions, name: str = "decode") -> Tensor:
    """Return the output of a function of z as n observations in stored form, as floats.

    Raises:
        ValueError: the output holds no observations; one line that begins with the function's name.
    """
    layout, shape = conventions.layout, conventions.layout.shape(conventions.shape)
    x = _shaped(observation_of(given, n, shape, name), shape)
    if layout.images and x.dtype == torch.uint8:
        x, values = as_float(x), Layout(layout.axes, (0.0, 1.0))
    else:
        values = layout
    x = in_floats(x)
    # A wrong shape is left to the caller, which reports it.
    return values.from_model(x) if tuple(x.shape[1:]) == shape else x


def _shaped(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return observations in their shape, if they came flattened or without a channel axis of length one."""
    if x.layout != torch.strided or x.ndim < 1 or tuple(x.shape[1:]) == shape:
        return x
    size = 1
    for side in shape:
        size *= side
    flat = x.ndim == 2 and x.shape[1] == size
    squeezed = [side for side in x.shape[1:] if side != 1] == [side for side in shape if side != 1]
    return x.reshape(len(x), *shape) if flat or squeezed else x
