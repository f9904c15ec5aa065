"""The environment in which a result was made: versions, machine, commit."""

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from priorgap.core.processor import processor

_PACKAGES = ("priorgap", "torch", "numpy", "scikit-learn", "scipy", "pytorch-lightning", "torchvision")
# Settings that make another processor of this one: which instructions PyTorch's and MKL's kernels may use.
_KERNELS = ("ATEN_CPU_CAPABILITY", "MKL_CBWR")


@cache
def environment() -> dict[str, Any]:
    """Return versions of packages and Python, machine, processor, settings of its kernels, and the commit if any."""
    return {
        "packages": {name: _installed(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "hardware": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "kernels": " ".join(f"{name}={os.environ[name]}" for name in _KERNELS if os.environ.get(name)),
        "commit": _commit(),
    }


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    here = Path(__file__).parent
    try:
        run = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=here,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip() or None
