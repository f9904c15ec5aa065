"""What makes a member's bits independent of its company: MKL's strict conditional numerical reproducibility.

By default MKL may round a matrix of a batched product differently at another place of the batch, or in a batch of
another size (on AMD processors it does, for odd widths and short batches). With `MKL_CBWR=AUTO,STRICT` it may not, at
no measurable cost. MKL reads the variable at its first product, so a process that has multiplied before cannot be
switched: the program runs in a process whose environment has it (`environment`).
"""

import ctypes
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

VARIABLE = "MKL_CBWR"
_DEFAULT = "AUTO,STRICT"
# code paths of MKL that have a strict mode; COMPATIBLE is strict by itself, older paths are not
_HAS_STRICT = ("AUTO", "AVX2", "AVX512", "AVX512_MIC", "AVX512_E1", "AVX512_MIC_E1")
# mkl_cbwr_get(MKL_CBWR_ALL): MKL's public constants
_ALL, _STRICT, _COMPATIBLE = -1, 0x10000, 3


@dataclass(frozen=True)
class Numerics:
    """What products are computed by in a process.

    Attributes:
        products: the library and its setting, in words for provenance.
        strict: whether a member has the same bits in a batch of any size and at any place; else within rounding.
    """

    products: str
    strict: bool


def environment(own: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what the environment of a process that trains must say, given that of this one.

    A choice of the user's stands; a code path that has a strict mode is made strict.
    """
    chosen = (os.environ if own is None else own).get(VARIABLE, "").strip().upper()
    if not chosen:
        return {VARIABLE: _DEFAULT}
    return {VARIABLE: f"{chosen},STRICT" if chosen in _HAS_STRICT else chosen}


def in_force() -> Numerics:
    """Return what this process computes products by."""
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
    """Return what MKL itself says; None where torch's library does not export the question."""
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        found = ctypes.CDLL(str(library)).mkl_serv_cbwr_get(_ALL)
    except (OSError, AttributeError):
        return None
    return int(found)
