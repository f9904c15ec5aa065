"""Starts the console script in a process of its own, as a user does, and watches it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path


def start(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a command in a process group of its own, which heeds Ctrl-C whatever the tests were started by."""

    def heed() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    return subprocess.Popen(
        [sys.executable, "-m", "priorgap.pipeline", *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        # a shell's background processes ignore it, and so would what they start
        preexec_fn=heed, env={**os.environ, **(env or {})},
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
