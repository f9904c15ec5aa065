"""Freed blocks are kept: fewer page faults, the same numbers."""

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
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    a = x + 1
    b = a * 2
    c = b - a
    total += c[0]
    del a, b, c
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, float(total))
"""


def steps(how):
    done = subprocess.run([sys.executable, "-c", STEPS, how], capture_output=True, text=True, check=True)
    kept, faults, total = done.stdout.split()
    return bool(int(kept)), int(faults), float(total)


def test_blocks_of_a_step_are_not_taken_anew():
    kept, faults, total = steps("keep")
    if not kept:
        pytest.skip("the C library is not glibc")
    _, before, same = steps("leave")
    # 12 MiB a step are 3,000 pages
    assert total == same == 100.0 and faults < before / 3
