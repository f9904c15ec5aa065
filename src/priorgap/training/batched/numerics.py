"""MKL's strict conditional numerical reproducibility, which makes a member's bits independent of the other members.

By default MKL may round a matrix of a batched product differently at another place in the batch, or in a batch of
another size (on AMD processors it does, for odd widths and short batches). `MKL_CBWR=AUTO,STRICT` forbids this at no
measurable cost. MKL reads the variable at its first product, so it cannot be set in a process that has already
multiplied: the program runs in a process that starts with it (`environment`).
"""

import ctypes
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

VARIABLE = "MKL_CBWR"
_DEFAULT = "AUTO,STRICT"
# Code paths of MKL that have a strict mode. COMPATIBLE is always strict, and older paths never are.
_HAS_STRICT = ("AUTO", "AVX2", "AVX512", "AVX512_MIC", "AVX512_E1", "AVX512_MIC_E1")
# Public constants of MKL, for mkl_cbwr_get(MKL_CBWR_ALL).
_ALL, _STRICT, _COMPATIBLE = -1, 0x10000, 3


@dataclass(frozen=True)
class Numerics:
    """The library and setting by which a process computes matrix products.

    Attributes:
        products: the library and its setting, in words for provenance.
        strict: whether a member has the same bits in a batch of any size and at any place; else within rounding.
    """

    products: str
    strict: bool


def environment(own: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a process that trains, given that of this process.

    The user's choice is kept; a code path that has a strict mode is made strict.
    """
    chosen = (os.environ if own is None else own).get(VARIABLE, "").strip().upper()
    if not chosen:
        return {VARIABLE: _DEFAULT}
    return {VARIABLE: f"{chosen},STRICT" if chosen in _HAS_STRICT else chosen}


def in_force(device: str = "cpu") -> Numerics:
    """Return how this process computes products on a device."""
    if device != "cpu":
        return Numerics(f"CUDA, {torch.cuda.get_device_name()}", strict=False)
    if not torch.backends.mkl.is_available():
        return Numerics("without MKL", strict=False)
    setting = os.environ.get(VARIABLE, "").strip().upper()
    state = _state_of_mkl()
    if state is None:
        strict = setting == "COMPATIBLE" or setting.endswith(",STRICT")
    else:
        strict = bool(state & _STRICT) or state == _COMPATIBLE
    return Numerics(f"MKL, {VARIABLE}={setting or 'unset'}", strict)


def _state_of_mkl() -> int | None:
    """Return the state that MKL reports; None where torch's library does not export the function."""
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        found = ctypes.CDLL(str(library)).mkl_serv_cbwr_get(_ALL)
    except (OSError, AttributeError):
        return None
    return int(found)
