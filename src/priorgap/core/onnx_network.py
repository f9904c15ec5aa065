"""A network from an ONNX file, run by ONNX Runtime; whatever is wrong with a file is reported in one line.

ONNX Runtime (from 1.32 on) reads weights that lie in files beside the network only from the network's own folder: a
path that leads out of it, by `..`, by a link or because it is absolute, is refused. Operators of other libraries are
not loaded.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from priorgap.core.arguments import show

INSTALL = "pip install 'priorgap[onnx]'"
# The prefix of the runtime's messages, which is cut off, and the number of characters of a message that are shown.
_CODES = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_LONGEST = 240
_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


class OnnxNetwork:
    """A network with one floating-point input [b, ...].

    Attributes:
        place: its name in messages: the argument and the file.
        shape: the shape of one input row; None for a side that the file leaves open.
        batch: the number of rows that one call takes; None: any number.
        outputs: the names of the outputs, in order.

    Args:
        path: the file.
        argument: the name of the argument that the file was given as, for messages.

    Raises:
        ValueError: ONNX Runtime is not installed, or the file holds no such network; one line.
    """

    def __init__(self, path: str | Path, argument: str) -> None:
        file = Path(path).expanduser()
        self.place = f"{argument}={show(str(path))}"
        if not file.is_file():
            raise ValueError(
                f"{self.place}: {'a folder' if file.is_dir() else 'no such file'}; expected an .onnx file"
            )
        self._session = self._opened(file)
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(one.name for one in inputs)
            raise ValueError(
                f"{self.place}: has {len(inputs)} inputs ({show(names)}); expected one, a batch of rows"
            )
        (only,) = inputs
        if only.type not in _FLOATS or not isinstance(only.shape, list) or len(only.shape) < 2:
            raise ValueError(
                f"{self.place}: its input {show(only.name)} is {only.type} {only.shape}; expected floats [b, ...]"
            )
        self._input, self._dtype = only.name, _FLOATS[only.type]
        self.batch: int | None = only.shape[0] if isinstance(only.shape[0], int) else None
        self.shape = tuple(side if isinstance(side, int) else None for side in only.shape[1:])
        self.outputs = tuple(one.name for one in self._session.get_outputs())

    def _opened(self, file: Path) -> Any:
        try:
            import onnxruntime
        except ImportError as error:
            raise ValueError(
                f"{self.place}: onnxruntime is not installed; expected the extra onnx: {INSTALL}"
            ) from error
        options = onnxruntime.SessionOptions()
        # Use as many threads as torch does, and let only errors reach standard error.
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4
        try:
            return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # The runtime's own exception classes have no base but Exception.
            raise ValueError(f"{self.place}: cannot be read as an ONNX network: {_said(error)}") from error

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs for rows x [n, ...], as 32-bit floats (64-bit ones stay) on the CPU.

        Raises:
            ValueError: the rows do not fit, or an output has another number of rows; one line.
        """
        given = tuple(x.shape[1:])
        fits = len(given) == len(self.shape) and all(
            own in (None, side) for own, side in zip(self.shape, given, strict=True)
        )
        if not fits:
            sides = ", ".join("?" if side is None else str(side) for side in self.shape)
            raise ValueError(
                f"{self.place}: its input {show(self._input)} is [b, {sides}]; got rows of shape {given}"
            )
        rows = x.detach().cpu().numpy().astype(self._dtype, copy=False)
        size = self.batch or max(1, len(rows))
        parts = [self._run(rows[start : start + size], size) for start in range(0, max(1, len(rows)), size)]
        joined = (np.concatenate(found) for found in zip(*parts, strict=True))
        return tuple(torch.from_numpy(_in_floats(one)) for one in joined)

    def _run(self, rows: np.ndarray, size: int) -> list[np.ndarray]:
        """Run one batch; where the file fixes its size, rows are repeated to fill it."""
        n = len(rows)
        if self.batch is not None and n < size:
            rows = rows[np.minimum(np.arange(size), n - 1)]
        try:
            found = self._session.run(None, {self._input: np.ascontiguousarray(rows)})
        except Exception as error:
            raise ValueError(
                f"{self.place}: fails on rows of shape {rows.shape[1:]}: {_said(error)}"
            ) from error
        for name, one in zip(self.outputs, found, strict=True):
            if (
                not isinstance(one, np.ndarray)
                or one.dtype.kind != "f"
                or one.ndim < 1
                or len(one) != len(rows)
            ):
                what = f"{one.dtype} {list(one.shape)}" if isinstance(one, np.ndarray) else type(one).__name__
                raise ValueError(
                    f"{self.place}: its output {show(name)} is {what} for {len(rows)} rows; expected floats "
                    f"[{len(rows)}, ...]"
                )
        return [one[:n] for one in found]


def _in_floats(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _said(error: Exception) -> str:
    """Return the runtime's message on one line, without its codes."""
    text = _CODES.sub("", " ".join(str(error).split()))
    return f"{text[:_LONGEST]}..." if len(text) > _LONGEST else text or type(error).__name__
