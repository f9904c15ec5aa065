"""What many tests of estimators ask: whole error messages, and draws from the given generator alone."""

import re

import pytest
import torch


def refused(call, line):
    """The call raises, and the message is this line from its first letter to its last."""
    with pytest.raises(ValueError, match=rf"^{re.escape(line)}$"):
        call()


def seeded(seed=3):
    """A generator of one state."""
    return torch.Generator().manual_seed(seed)


def drawn_from_its_generator(call):
    """Equal generators give equal results, others others; torch's global stream is neither read nor moved."""
    results = []
    for outside in (1, 2):
        torch.manual_seed(outside)
        before = torch.get_rng_state()
        results.append(call(seeded()))
        assert torch.equal(before, torch.get_rng_state())
    assert results[0] == results[1]
    assert call(seeded(4)) != results[0]
    return results[0]
