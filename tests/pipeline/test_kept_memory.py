"""Freed blocks are kept: fewer page faults, the same numbers."""

import os
import subprocess
import sys

import pytest

STEPS = """
import resource, sys
import torch
from priorgap.pipeline.memory import keep_freed_blocks
kept = keep_freed_blocks() if sys.argv[1] == "keep" else False
x = torch.ones(1 << 20)
total = torch.zeros(())
for step in range(60):
    # The first steps load the kernels and take the blocks that later ones can use again.
    if step == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    a = x + 1
    b = a * 2
    c = b - a
    total += c[0]
    del a, b, c
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, float(total))
"""


# Left alone, glibc raises its limit as blocks are freed and keeps some of them, by the chance of where they lie. A
# limit that is set does not move: every larger block is taken from the system and returned to it.
FIXED_LIMIT = {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=131072"}


def steps(how):
    done = subprocess.run(
        [sys.executable, "-c", STEPS, how],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **FIXED_LIMIT},
    )
    kept, faults, total = done.stdout.split()
    return bool(int(kept)), int(faults), float(total)


def test_blocks_of_a_step_are_not_taken_anew():
    kept, faults, total = steps("keep")
    if not kept:
        pytest.skip("the C library is not glibc")
    _, before, same = steps("leave")
    # a step's 12 MiB are 3,000 pages, or six where the system gives huge ones
    assert total == same == 120.0 and faults < before / 3
