"""Streams are reproducible, distinct, and leave the global RNGs alone."""

import random

import numpy as np
import pytest
import torch

from priorgap.core.random import child, draw_seed, isolated, stream


def first(*names, seed=0):
    return torch.randn(4, generator=stream(seed, *names))


def test_same_names_same_numbers():
    assert torch.equal(first("a", 1), first("a", 1))


@pytest.mark.parametrize("other", [("a", 2), ("a",), ("a", "1"), ("a1",), ("b", 1), (1, "a")])
def test_other_names_other_numbers(other):
    assert not torch.equal(first("a", 1), first(*other))


def test_other_seed_other_numbers():
    assert not torch.equal(first("a", seed=0), first("a", seed=1))


def test_streams_are_uncorrelated():
    rows = torch.stack([torch.randn(20_000, generator=stream(s, "x")) for s in range(8)])
    corr = torch.corrcoef(rows) - torch.eye(8)
    # |r| of independent rows is about N(0, 1/sqrt(n)): 5 standard errors
    assert corr.abs().max() < 5 / 20_000**0.5


def test_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed=-1"):
        stream(-1)


def test_isolated_restores_all_three_global_states(generator):
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    with isolated(generator):
        inside = torch.randn(3), np.random.rand(3), random.random()
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()
    assert before[2] == random.getstate()
    assert inside[0].abs().sum() > 0


def test_isolated_restores_after_an_exception(generator):
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), isolated(generator):
        torch.randn(1)
        raise RuntimeError
    assert torch.equal(before, torch.get_rng_state())


def test_isolated_is_seeded_by_the_generator():
    def inside(seed):
        with isolated(stream(seed, "x")):
            return torch.randn(3), np.random.rand(3), random.random()

    a, b, c = inside(0), inside(0), inside(1)
    assert torch.equal(a[0], b[0]) and (a[1] == b[1]).all() and a[2] == b[2]
    assert not torch.equal(a[0], c[0]) and (a[1] != c[1]).all() and a[2] != c[2]


def test_child_advances_its_parent_and_differs_from_it(generator):
    one, two = child(generator), child(generator)
    assert not torch.equal(torch.randn(3, generator=one), torch.randn(3, generator=two))
    assert 0 <= draw_seed(generator) < 2**32
