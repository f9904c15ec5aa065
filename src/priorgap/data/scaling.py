"""Means and standard deviations of columns, stored with the data to convert values back to the file's units."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from priorgap.data.splits import Dataset

_KEY = "scaling"


@dataclass(frozen=True)
class ColumnScaling:
    """The mean that was subtracted from each column, and the scale that it was then divided by.

    Attributes:
        names: the columns' names.
        mean: the mean of each column.
        scale: the standard deviation of each column; 1 for a constant one.
        constant: the names of columns that hold one value.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    constant: tuple[str, ...] = ()

    @classmethod
    def fit(cls, rows: np.ndarray, names: tuple[str, ...]) -> Self:
        """Return the scaling after which each column of some rows [n, f] has mean 0 and variance 1.

        NaN is a missing value; each column must have at least one value that is not missing.
        """
        if np.isnan(rows).any():
            own = [
                cls.fit(column[~np.isnan(column), None], (name,))
                for name, column in zip(names, rows.T, strict=True)
            ]
            return cls(
                names,
                tuple(one.mean[0] for one in own),
                tuple(one.scale[0] for one in own),
                tuple(name for one in own for name in one.constant),
            )
        constant = rows.min(0) == rows.max(0)
        mean = np.where(constant, rows[0], rows.mean(0))
        scale = np.where(constant, 1.0, rows.std(0))
        said = tuple(name for name, one in zip(names, constant.tolist(), strict=True) if one)
        return cls(names, tuple(mean.tolist()), tuple(scale.tolist()), said)

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Return values [..., f] on the scale that models see, float64."""
        found: np.ndarray = (np.asarray(values, np.float64) - np.array(self.mean)) / np.array(self.scale)
        return found

    def restored(self, values: np.ndarray) -> np.ndarray:
        """Return values [..., f] in the file's own units, float64."""
        found: np.ndarray = np.asarray(values, np.float64) * np.array(self.scale) + np.array(self.mean)
        return found

    def facts(self) -> dict[str, Any]:
        """Return the scaling as a data set's provenance stores it."""
        parts = {key: list(value) for key, value in vars(self).items()}
        return {_KEY: parts}

    @classmethod
    def of(cls, dataset: Dataset) -> Self | None:
        """Return a data set's scaling; None where its values were not scaled."""
        return cls.kept_in(dataset.provenance)

    @classmethod
    def kept_in(cls, provenance: Mapping[str, Any]) -> Self | None:
        """Return the scaling that a data set's provenance stores; None where there is none."""
        kept: Mapping[str, Any] | None = provenance.get(_KEY)
        if kept is None:
            return None
        names, constant = (tuple(map(str, kept[key])) for key in ("names", "constant"))
        mean, scale = (tuple(map(float, kept[key])) for key in ("mean", "scale"))
        return cls(names, mean, scale, constant)
