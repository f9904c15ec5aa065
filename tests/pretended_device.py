"""A device that is none: tensors on it are computed on the CPU, and mixing them with the host's is refused.

It shows without a GPU that code moves what it must, and that its numbers are those of the CPU. PyTorch lets Python
stand in for the backend of a new device; `Pretended` sees every operation, and `_Remote` is a tensor there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode

NAME = "pretended"
_aten = torch.ops.aten
# Operations whose arguments may lie on both sides.
_CROSSING = (_aten._to_copy.default, _aten.copy_.default)


class _Remote(torch.Tensor):
    """A tensor on the device, with its values in a tensor of the CPU."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "_Remote":
        made: _Remote = torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            layout=inner.layout, device=torch.device(NAME, 0),
        )  # fmt: skip
        made.inner = inner
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __repr__(self) -> str:
        return f"{NAME}: {self.inner!r}"

    def tolist(self) -> Any:
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    remote = [t for t in tensors if isinstance(t, _Remote)]
    there = bool(remote)
    if kwargs.get("device") is not None:
        there = torch.device(kwargs["device"]).type == NAME
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if func is _aten.copy_.default:
        there = isinstance(args[0], _Remote)
    elif remote and func not in _CROSSING and any(t.dim() and not isinstance(t, _Remote) for t in tensors):
        raise RuntimeError(f"{func}: expected all tensors to be on the same device")
    inner = pytree.tree_map(lambda t: t.inner if isinstance(t, _Remote) else t, (args, kwargs))
    found = func(*inner[0], **inner[1])
    if not there:
        return found
    _seen.add(func.__name__.split(".")[0])
    # An operation in place returns its argument.
    known = {id(t.inner): t for t in remote}

    def wrapped(leaf: Any) -> Any:
        if type(leaf) is not Tensor:
            return leaf
        return known[id(leaf)] if id(leaf) in known else _Remote(leaf)

    return pytree.tree_map(wrapped, found)


# The operations that were computed there since the context was opened.
_seen: set[str] = set()


class _Backend:
    """What PyTorch asks of a device's module; the device is there only while the context is open."""

    n_devices = 0

    def is_available(self) -> bool:
        return self.n_devices > 0

    def is_initialized(self) -> bool:
        return True

    def device_count(self) -> int:
        return self.n_devices

    def current_device(self) -> int:
        return 0

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        """Nothing is drawn there."""

    def get_rng_state(self, device: object = None) -> Tensor:
        return torch.zeros(0, dtype=torch.uint8)

    def set_rng_state(self, state: Tensor, device: object = None) -> None:
        """Nothing is drawn there."""


_backend = _Backend()


@cache
def _register() -> None:
    set_up = getattr(backend_registration, "_setup_privateuseone_for_python_backend", None)
    if set_up is None:
        pytest.skip("this PyTorch lets no Python stand in for a device")

    class _Hook(torch._C._acc.PrivateUse1Hooks):
        def is_available(self) -> bool:
            return _backend.is_available()

        def has_primary_context(self, device_index: int) -> bool:
            return _backend.is_available()

        def is_built(self) -> bool:
            return True

    set_up(NAME, backend_module=_backend, hook=_Hook())


def operations() -> set[str]:
    """The names of the operations that were computed on the device since its context was opened."""
    return set(_seen)


@contextmanager
def pretended() -> Iterator[torch.device]:
    """Yield the device, which exists while the context is open."""
    _register()
    _seen.clear()
    run = torch.autograd._engine_run_backward

    def in_this_thread(*args: Any, **kwargs: Any) -> Any:
        # Autograd starts a thread for each device that it knows when it is first used, and none for a later one.
        with torch.autograd.set_multithreading_enabled(False):
            return run(*args, **kwargs)

    with (
        patch("torch.autograd._engine_run_backward", in_this_thread),
        patch.object(_Backend, "n_devices", 1),
        _Mode(),
    ):
        yield torch.device(NAME, 0)
