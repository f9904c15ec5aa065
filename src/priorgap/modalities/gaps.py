"""Windows of time series with missing values: channels of values, and channels of missing-indicators."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

# A missing-indicator of at least this value means missing, as in tables.
MISSING_FROM = 0.5


@dataclass(frozen=True)
class GapLayout:
    """Which channels of a window [T, width] are values, and which are missing-indicators.

    The values come first, 0 (the mean) where missing; then the indicators, 1 where missing, else 0.

    Attributes:
        n_values: the number of value channels.
        about: the value channels that have an indicator, in the indicators' order.

    Example:
        >>> layout = GapLayout(2, (1,))
        >>> layout.encoded(np.array([[1.0, np.nan]])).tolist()
        [[1.0, 0.0, 1.0]]
    """

    n_values: int
    about: tuple[int, ...]

    def __post_init__(self) -> None:
        if sorted(set(self.about)) != list(self.about) or not set(self.about) <= set(range(self.n_values)):
            raise ValueError(
                f"about={self.about}: expected some of the channels 0 to {self.n_values - 1}, in order"
            )

    @property
    def width(self) -> int:
        """The number of channels."""
        return self.n_values + len(self.about)

    @property
    def uncertain(self) -> tuple[int, ...]:
        """The channels that may be constant in a part of the data: indicators, and the values that have one."""
        return (*self.about, *range(self.n_values, self.width))

    def encoded(self, values: np.ndarray) -> np.ndarray:
        """Return scaled values [..., n_values], NaN where missing, as channels [..., width].

        Raises:
            ValueError: a value of a channel without an indicator is missing.
        """
        missing = np.isnan(values)
        without = sorted(set(range(self.n_values)) - set(self.about))
        if missing[..., without].any():
            raise ValueError(
                f"values are missing in channels without an indicator: expected gaps in {self.about}"
            )
        indicators = missing[..., list(self.about)].astype(values.dtype)
        found: np.ndarray = np.concatenate([np.where(missing, 0, values), indicators], -1)
        return found

    def observed(self, x: np.ndarray) -> np.ndarray:
        """Return the values [..., n_values] of windows [..., width], float64, NaN where missing."""
        values = np.array(x[..., : self.n_values], np.float64)
        missing = np.zeros(values.shape, bool)
        missing[..., list(self.about)] = x[..., self.n_values :] >= MISSING_FROM
        values[missing] = np.nan
        return values

    def names(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Return the channels' names, given those of the values."""
        return (*columns, *(f"{columns[i]} missing" for i in self.about))

    def json(self) -> dict[str, Any]:
        """Return the layout as plain data."""
        return {"n_values": self.n_values, "about": list(self.about)}

    @classmethod
    def of_json(cls, kept: Mapping[str, Any]) -> Self:
        """Return the layout that `json` wrote."""
        return cls(int(kept["n_values"]), tuple(map(int, kept["about"])))
