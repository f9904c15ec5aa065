"""Keeps memory that every step frees and requests again in the process."""

import ctypes
import sys

# Parameters of mallopt(3), from <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# Blocks that a step of training or a kernel needs are smaller than this; larger ones are still returned to the system
# at once.
KEPT_BLOCK = 32 * 2**20
# loky takes a process that grew by 300 MiB since its first job for a leak and ends it, so less than that is kept.
KEPT_FREE = 128 * 2**20


def keep_freed_blocks() -> bool:
    """Let the C library keep freed blocks of up to 32 MiB, at most 128 MiB in all; return whether it does.

    PyTorch allocates each result of each step. glibc returns such blocks to the system and gets them again, and the
    system clears each page, which takes a noticeable time in the training of small networks. No result changes.
    Without glibc nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # mallopt returns 1 on success; the second parameter is set only if the first one was.
    return bool(mallopt(_M_MMAP_THRESHOLD, KEPT_BLOCK) and mallopt(_M_TRIM_THRESHOLD, KEPT_FREE))
