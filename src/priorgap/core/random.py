"""Random streams: a generator for each use, derived from (seed, names); isolation for code that uses global RNGs."""

import hashlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_SEED_BITS = 63
# The global random state belongs to the whole process, so that only one thread may use it at a time.
_GLOBAL_STATE = threading.RLock()


def stream(seed: int, *names: str | int) -> torch.Generator:
    """Return the CPU generator that belongs to (seed, names).

    The names are hashed, so that streams of different uses are independent, and a new use changes no other stream.

    Args:
        seed: the run's seed, 0 or more.
        names: what the stream is for, from coarse to fine.

    Raises:
        ValueError: the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"seed={seed}: expected an integer >= 0")
    text = "\x1f".join([str(seed), *(f"{type(n).__name__}:{n}" for n in names)])
    digest = hashlib.sha256(text.encode()).digest()
    generator = torch.Generator(device="cpu")
    generator.manual_seed(int.from_bytes(digest[:8], "big") >> (64 - _SEED_BITS))
    return generator


def draw_seed(generator: torch.Generator) -> int:
    """Draw a 32-bit seed from a generator, for code that takes only an integer."""
    return int(torch.randint(0, 2**32 - 1, (1,), generator=generator).item())


def child(generator: torch.Generator) -> torch.Generator:
    """Draw a new, independent generator from a generator."""
    fresh = torch.Generator(device="cpu")
    fresh.manual_seed(draw_seed(generator))
    return fresh


@contextmanager
def alone() -> Iterator[None]:
    """Make other threads wait at `isolated` and `alone`, for code that may read global random state."""
    with _GLOBAL_STATE:
        yield


@contextmanager
def isolated(generator: torch.Generator) -> Iterator[None]:
    """Seed the global RNGs of torch, numpy and random from `generator`, and restore all three on exit.

    Use it for code that can only draw from a global RNG (nn initialisers, flow libraries, scikit-learn without a
    seed). Other threads wait.
    """
    seed = draw_seed(generator)
    with alone(), torch.random.fork_rng(devices=[]):
        python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
