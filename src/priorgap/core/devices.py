"""The device on which networks beside the model are trained and applied: classifiers, feature spaces, GRUs.

It is a choice of the process, as the number of threads is, and no part of a result's identity: another device gives
the same values but for rounding.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, runtime_checkable

import torch
from torch import nn

CPU = torch.device("cpu")
_chosen: ContextVar[torch.device] = ContextVar("device", default=CPU)


@runtime_checkable
class Movable(Protocol):
    """A network, or something with networks in it, that can be moved to a device."""

    def to(self, device: torch.device, /) -> object:
        """Move it in place; the result is not used."""
        ...


def compute_device() -> torch.device:
    """Return the device that `computing_on` has chosen; the CPU where it has not."""
    return _chosen.get()


@contextmanager
def computing_on(device: str | torch.device) -> Iterator[None]:
    """Choose the device while the context is open."""
    before = _chosen.set(torch.device(device))
    try:
        yield
    finally:
        _chosen.reset(before)


@contextmanager
def placed(network: object) -> Iterator[torch.device]:
    """Move a network to the chosen device while the context is open; where that is the CPU, leave it where it is.

    Yields:
        the device to which its input must go: the CPU for what cannot be moved, such as pixels or an ONNX session.
    """
    device, before = compute_device(), _place_of(network)
    if device == CPU or not isinstance(network, Movable):
        yield before
        return
    network.to(device)
    try:
        yield device
    finally:
        network.to(before)


def _place_of(network: object) -> torch.device:
    parameters = network.parameters() if isinstance(network, nn.Module) else iter(())
    return next((p.device for p in parameters), CPU)


def device_for(accelerator: str) -> str:
    """Return the device for trainer.accelerator, one of auto, cpu and cuda.

    Raises:
        ValueError: it is cuda, and there is none.
    """
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise ValueError("trainer.accelerator=cuda: no CUDA device is available; expected auto or cpu")
    return "cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu"


def make_cuda_repeatable() -> None:
    """Let CUDA compute the same numbers each time, and products of convolutions in float32 (not TF32).

    Must be called before CUDA is used for the first time in a process.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
