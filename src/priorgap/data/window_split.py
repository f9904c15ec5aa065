"""Windows of time series in three parts that share no row, split by time or by series."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import torch

from priorgap.data.series import OrderedSeries
from priorgap.data.splits import random_split

# From this number of series on, each part consists of whole series.
MANY_SERIES = 20
_PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Blocks:
    """Ranges of consecutive rows of one series, for each part of the data.

    Attributes:
        train, validation, test: the blocks of each part; a window lies inside of one block.
        said: how the parts were made, in words.
        drawn: whether the parts were drawn at random.
    """

    train: tuple[range, ...]
    validation: tuple[range, ...]
    test: tuple[range, ...]
    said: str
    drawn: bool

    def parts(self) -> dict[str, tuple[range, ...]]:
        """Return the blocks by part."""
        return {part: getattr(self, part) for part in _PARTS}


def by_time(series: OrderedSeries, validation_fraction: float, test_fraction: float) -> Blocks:
    """Cut time into training, validation and test, in this order and at the same moments in all series.

    Rows without times are cut by their numbers within their series. The fractions count rows.
    """
    clock = series.clock()
    parts = _cut_in_three(series, clock, np.zeros(len(clock), np.int64), validation_fraction, test_fraction)
    train, validation, test = (tuple(parts[part]) for part in _PARTS)
    return Blocks(train, validation, test, "by time: training first, the test last", drawn=False)


def by_spells(
    series: OrderedSeries, validation_fraction: float, test_fraction: float, *, spell: float, said: str
) -> Blocks:
    """Cut time into spells of equal length, and each of these into three as `by_time` does.

    Where the seasons change the series, a single cut would train on some of them and test on others; so every part
    gets all of them.

    Args:
        series: the rows in order.
        validation_fraction: the fraction of a spell's rows.
        test_fraction: the fraction of a spell's rows.
        spell: the length of a spell, in units of `series.clock()`.
        said: its length, in words.
    """
    clock = series.clock()
    number = (clock // spell).astype(np.int64)
    parts = _cut_in_three(series, clock, number, validation_fraction, test_fraction)
    train, validation, test = (tuple(parts[part]) for part in _PARTS)
    words = f"by time: in every {said} training first, the test last"
    return Blocks(train, validation, test, words, drawn=False)


def _cut_in_three(
    series: OrderedSeries,
    clock: np.ndarray,
    spell: np.ndarray,
    validation_fraction: float,
    test_fraction: float,
) -> dict[str, list[range]]:
    """Cut each spell into three, at the same moments in all series; `spell` is each row's spell number."""
    parts: dict[str, list[range]] = {part: [] for part in _PARTS}
    for number in np.unique(spell).tolist():
        moments = np.sort(clock[spell == number])
        n = len(moments)
        cuts_at = [
            moments[min(round(share * n), n - 1)]
            for share in (1 - validation_fraction - test_fraction, 1 - test_fraction)
        ]
        for rows in series.rows:
            first, last = np.searchsorted(spell[rows.start : rows.stop], [number, number + 1]).tolist()
            within = clock[rows.start + first : rows.start + last]
            cuts = [0, *np.searchsorted(within, cuts_at, side="left").tolist(), len(within)]
            for part, (a, b) in zip(_PARTS, pairwise(cuts), strict=True):
                if a < b:
                    parts[part].append(range(rows.start + first + a, rows.start + first + b))
    return parts


def by_series(
    series: OrderedSeries, validation_fraction: float, test_fraction: float, *, generator: torch.Generator
) -> Blocks:
    """Draw at random which whole series belong to which part; the fractions count series.

    Raises:
        ValueError: there are too few series.
    """
    n = len(series.rows)
    sizes = [max(1, round(fraction * n)) for fraction in (test_fraction, validation_fraction)]
    if sum(sizes) >= n:
        raise ValueError(
            f"data.split=entity: {n} series; expected at least {sum(sizes) + 1}, or data.split=time"
        )
    test, validation, train = (
        tuple(series.rows[i] for i in index.tolist()) for index in random_split(n, sizes, generator=generator)
    )
    said = f"by series, drawn: {len(train)} for training, {len(validation)} for validation, {len(test)} for the test"
    return Blocks(train, validation, test, said, drawn=True)


def starts_in(blocks: Iterable[range], length: int, stride: int) -> np.ndarray:
    """Return the first rows of all windows of a length that lie inside of one block, in order."""
    found = [np.arange(block.start, block.stop - length + 1, stride, dtype=np.int64) for block in blocks]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def rows_in(starts: np.ndarray, length: int, n: int) -> np.ndarray:
    """Return which of n rows are in a window that begins at one of the starts: booleans [n]."""
    # With +1 at each window's first row and -1 after its last, the cumulative sum counts the windows that hold a row.
    change = np.zeros(n + 1, np.int64)
    np.add.at(change, starts, 1)
    np.add.at(change, starts + length, -1)
    found: np.ndarray = change.cumsum()[:-1] > 0
    return found


def shared_rows(starts: Mapping[str, np.ndarray], length: int) -> int:
    """Return how many rows are in windows of two or more parts of the data.

    Windows that are assigned to parts at random overlap those of other parts, so that test rows are training rows,
    too.

    Args:
        starts: the first rows of the windows of each part, as numbers of rows.
        length: the number of rows of a window.

    Example:
        >>> import numpy as np
        >>> shared_rows({"train": np.array([0, 1, 2]), "test": np.array([5])}, length=4)
        1
    """
    n = max((int(s.max()) for s in starts.values() if len(s)), default=0) + length
    counts = np.zeros(n, np.int64)
    for own in starts.values():
        counts += rows_in(own, length, n)
    return int((counts > 1).sum())


def refuse_shared_rows(starts: Mapping[str, np.ndarray], length: int, place: str) -> None:
    """Refuse a split whose parts share rows.

    Raises:
        ValueError: parts share rows; one line with the number for each pair.
    """
    n = shared_rows(starts, length)
    if n:
        pairs = {
            f"{a} and {b}": shared_rows({a: starts[a], b: starts[b]}, length)
            for a, b in combinations(starts, 2)
        }
        of = ", ".join(f"{pair}: {count}" for pair, count in pairs.items() if count)
        raise ValueError(
            f"{place}: {n} rows stand in windows of two parts ({of}); expected none: split by blocks of time or "
            f"by whole series, with {length - 1} starts left out at each cut"
        )


def longest(blocks: Sequence[range]) -> int:
    """Return the number of rows of the longest block."""
    return max(map(len, blocks), default=0)
