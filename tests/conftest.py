"""Shared settings of all tests: one thread, no network, no look at the user's W&B or data."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")

import torch

torch.set_num_threads(1)


@pytest.fixture
def generator() -> torch.Generator:
    """A generator with a fixed seed."""
    fresh = torch.Generator()
    fresh.manual_seed(20260)
    return fresh
