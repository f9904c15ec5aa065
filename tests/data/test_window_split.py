"""No row stands in windows of two parts: the count of shared rows, and the blocks that leave none."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from priorgap.core.random import stream
from priorgap.data.series import OrderedSeries
from priorgap.data.splits import random_split
from priorgap.data.window_split import (
    by_series,
    by_spells,
    by_time,
    refuse_shared_rows,
    shared_rows,
    starts_in,
)

LENGTH = 8


def series(*lengths: int, time: bool = True) -> OrderedSeries:
    """Series whose times begin one after the other, 10 steps apart."""
    ends = np.cumsum([0, *lengths]).tolist()
    rows = tuple(range(a, b) for a, b in pairwise(ends))
    times = np.concatenate([10 * i + np.arange(n) for i, n in enumerate(lengths)])
    names = tuple(f"s{i:03d}" for i in range(len(lengths)))
    return OrderedSeries(
        np.zeros((ends[-1], 1)), ("a",), times if time else None, rows, names, lambda row: f"row {row}"
    )


def by_hand(starts: dict[str, np.ndarray], length: int) -> int:
    rows = [
        {row for start in own.tolist() for row in range(start, start + length)} for own in starts.values()
    ]
    return len({row for i, own in enumerate(rows) for other in rows[:i] for row in own & other})


def drawn(n_windows: int, stride: int) -> dict[str, np.ndarray]:
    """Windows put into parts at random, as rows of a table are."""
    sizes = [n_windows // 5, n_windows // 10]
    test, validation, train = random_split(n_windows, sizes, generator=stream(0, "random split"))
    return {
        part: index.numpy() * stride
        for part, index in (("train", train), ("validation", validation), ("test", test))
    }


def test_shared_rows_are_those_counted_by_hand() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        starts = {part: generator.integers(0, 60, generator.integers(0, 6)) for part in "abc"}
        length = int(generator.integers(1, 9))
        assert shared_rows(starts, length) == by_hand(starts, length)
    assert shared_rows({}, 3) == 0 and shared_rows({"a": np.array([1, 1, 2])}, 3) == 0


def test_a_random_split_of_overlapping_windows_is_refused_with_the_number_of_shared_rows() -> None:
    starts = drawn(200, 1)
    n = by_hand(starts, LENGTH)
    # nearly all of 207: what is tested on was trained on
    assert n > 180
    with pytest.raises(ValueError, match=f"x: {n} rows stand in windows of two parts \\(train and") as caught:
        refuse_shared_rows(starts, LENGTH, "x")
    assert "\n" not in str(caught.value) and "7 starts left out" in str(caught.value)


def test_a_random_split_of_windows_that_do_not_overlap_is_not() -> None:
    refuse_shared_rows(drawn(200, LENGTH), LENGTH, "x")
    with pytest.raises(ValueError, match="rows stand in windows of two parts"):
        refuse_shared_rows(drawn(200, LENGTH - 1), LENGTH, "x")


def test_blocks_without_a_gap_share_rows_and_are_refused() -> None:
    starts = {"train": np.arange(0, 70), "test": np.arange(70, 93)}
    with pytest.raises(ValueError, match=f"x: {LENGTH - 1} rows stand"):
        refuse_shared_rows(starts, LENGTH, "x")
    starts["train"] = starts["train"][: -(LENGTH - 1)]
    refuse_shared_rows(starts, LENGTH, "x")


@pytest.mark.parametrize("stride", [1, 3, LENGTH, 11])
@pytest.mark.parametrize("lengths", [(100,), (100, 60, 90), (3, 200)], ids=str)
@pytest.mark.parametrize("time", [True, False])
def test_blocks_of_time(stride: int, lengths: tuple[int, ...], time: bool) -> None:
    own = series(*lengths, time=time)
    parts = by_time(own, 0.1, 0.2).parts()
    rows = [row for blocks in parts.values() for block in blocks for row in block]
    assert sorted(rows) == list(range(sum(lengths)))
    clock = own.clock()
    last = -np.inf
    for blocks in parts.values():
        times = np.concatenate([clock[block.start : block.stop] for block in blocks])
        # the cut is at one moment in all series
        assert times.min() > last
        last = times.max()
    assert 0.6 < sum(map(len, parts["train"])) / len(rows) < 0.8
    starts = {part: starts_in(blocks, LENGTH, stride) for part, blocks in parts.items()}
    assert shared_rows(starts, LENGTH) == by_hand(starts, LENGTH) == 0
    for part, blocks in parts.items():
        for start in starts[part].tolist():
            assert any(start in block and start + LENGTH - 1 in block for block in blocks)
    if stride == 1:
        # T - 1 starts less than rows in each block that has any
        expected = sum(max(0, len(block) - LENGTH + 1) for blocks in parts.values() for block in blocks)
        assert sum(map(len, starts.values())) == expected


def test_whole_series_belong_to_one_part() -> None:
    own = series(*range(5, 35))
    blocks = by_series(own, 0.1, 0.2, generator=stream(3, "split"))
    assert [len(part) for part in blocks.parts().values()] == [21, 3, 6] and blocks.drawn
    assert sorted(
        (block for part in blocks.parts().values() for block in part), key=lambda b: b.start
    ) == list(own.rows)
    again, other = (by_series(own, 0.1, 0.2, generator=stream(seed, "split")) for seed in (3, 4))
    assert again.parts() == blocks.parts() and other.parts() != blocks.parts()


def test_too_few_series() -> None:
    with pytest.raises(ValueError, match=r"data.split=entity: 2 series; expected at least 3"):
        by_series(series(50, 50), 0.1, 0.2, generator=torch.Generator())


def test_every_spell_is_cut_in_three_at_the_same_moments_of_all_series() -> None:
    own = series(300, 260, 290)
    blocks = by_spells(own, 0.15, 0.25, spell=100, said="100 steps")
    clock, parts = own.clock(), blocks.parts()
    assert sorted(r for one in parts.values() for b in one for r in b) == list(range(850))
    for spell in range(3):
        last = 100 * spell - 1
        for part in parts.values():
            times = [
                t
                for b in part
                for t in clock[b.start : b.stop].tolist()
                if 100 * spell <= t < 100 * spell + 100
            ]
            assert times and min(times) > last
            last = max(times)
    starts = {part: starts_in(one, LENGTH, 1) for part, one in parts.items()}
    assert by_hand(starts, LENGTH) == 0
    # one cut of the whole time has the first spell in training alone
    whole = by_time(own, 0.15, 0.25).parts()
    assert all(clock[b.start] >= 100 for part in ("validation", "test") for b in whole[part])


def test_one_spell_is_the_cut_of_the_whole_time() -> None:
    own = series(100, 60, 90)
    one = by_spells(own, 0.1, 0.2, spell=1e9, said="all time")
    assert one.parts() == by_time(own, 0.1, 0.2).parts()
