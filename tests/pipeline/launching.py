"""Starts the console script in a process of its own, as a user does, and watches it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path


def start(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a command in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "priorgap.pipeline", *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, **(env or {})},
    )  # fmt: skip


def wait(seen: Callable[[], object], alive: Callable[[], bool], timeout: float = 900) -> bool:
    """Poll until something is seen; False when the process ended before."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if seen():
            return True
        if not alive():
            return False
        time.sleep(0.0005)
    raise AssertionError(f"nothing seen in {timeout} s")
