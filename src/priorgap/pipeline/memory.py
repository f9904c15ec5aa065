"""Memory that is freed and asked for again in every step stays with the process."""

import ctypes
import sys

# of mallopt(3), in <malloc.h>
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# what a step of training or of a kernel's blocks needs lies below; larger ones still go back to the system at once
KEPT_BLOCK = 32 * 2**20
# loky takes a process that grew by 300 MiB since its first job for a leak, and ends it
KEPT_FREE = 128 * 2**20


def keep_freed_blocks() -> bool:
    """Let the C library keep freed blocks of up to 32 MiB, 128 MiB of them at most, and return whether it does.

    PyTorch asks for each result of each step anew. glibc gives such blocks back to the system and takes them again,
    each page cleared by the system, which shows in the training of small networks. No number changes. Without glibc
    nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # 1 is success; the second is set where the first could be
    return bool(mallopt(_M_MMAP_THRESHOLD, KEPT_BLOCK) and mallopt(_M_TRIM_THRESHOLD, KEPT_FREE))
