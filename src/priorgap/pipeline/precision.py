"""The precision and speed of this machine's matrix products, measured at the start."""

import logging
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch

from priorgap.core.devices import make_cuda_repeatable
from priorgap.core.random import stream
from priorgap.pipeline import models
from priorgap.pipeline.memory import keep_freed_blocks

log = logging.getLogger(__name__)
# The relative error of float32 products of these sizes is 2e-7 to 4e-7, with TF32 3e-4, in bfloat16 2e-3.
FP32_ERROR = 2e-6
_ROWS, _IN, _OUT = 128, 784, 512


def set_numerics(config: Mapping[str, Any]) -> None:
    """Set threads and GEMM precision of this process, which are part of every result's identity.

    It also keeps freed memory, which changes no result, and lets CUDA compute the same numbers each time.

    Raises:
        ValueError: the precision is not that of float32 on this machine.
    """
    from threadpoolctl import threadpool_limits

    if models.device_of(config) == "cuda":
        make_cuda_repeatable()
    keep_freed_blocks()
    threads = int(config["numerics"]["threads"])
    torch.set_num_threads(threads)
    threadpool_limits(limits=threads)
    check(config)
    torch.set_float32_matmul_precision(str(config["numerics"]["matmul_precision"]))


def check(config: Mapping[str, Any]) -> None:
    """Refuse a GEMM precision that is not that of float32 here, on the device of the model.

    Raises:
        ValueError: one line.
    """
    setting = str(config["numerics"]["matmul_precision"])
    if setting == "highest":
        return
    error = gemm_error(setting, models.device_of(config))
    if error > FP32_ERROR:
        raise ValueError(
            f"numerics.matmul_precision={setting}: here its products are off by {error:.0e}, float32's by less "
            f"than {FP32_ERROR:.0e}; expected highest"
        )


def advise(config: Mapping[str, Any]) -> None:
    """Warn where bfloat16 products are slower than float32 ones, as on processors that must emulate them."""
    if config["trainer"].get("precision") != "bf16":
        return
    ratio = bf16_seconds_ratio(models.device_of(config))
    if ratio > 1:
        log.warning("trainer.precision=bf16: products take %.1f times as long as in float32 here", ratio)


@cache
def gemm_error(setting: str, device: str) -> float:
    """Return the relative error (Frobenius norms) of a float32 product under a setting, against float64."""
    a, b = _factors(device)
    exact = a.double() @ b.double().T
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(setting)
    try:
        found = a @ b.T
    finally:
        torch.set_float32_matmul_precision(before)
    return float((found.double() - exact).norm() / exact.norm())


@cache
def bf16_seconds_ratio(device: str) -> float:
    """Return the time of a product in bfloat16 over that in float32."""
    a, b = _factors(device)
    return _seconds(a.bfloat16(), b.bfloat16()) / _seconds(a, b)


def _factors(device: str) -> tuple[torch.Tensor, torch.Tensor]:
    g = stream(0, "precision")
    return tuple(torch.randn(n, _IN, generator=g).to(device) for n in (_ROWS, _OUT))  # type: ignore[return-value]


def _seconds(a: torch.Tensor, b: torch.Tensor, rounds: int = 20) -> float:
    """Return the shortest time of a product."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        _ = float((a @ b.T)[0, 0])  # Reading the value waits for a GPU.
        times.append(time.perf_counter() - start)
    return min(times)
