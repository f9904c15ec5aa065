"""Labels of candidates beside their rank: reconstructive, copies, the decoder memorises."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from priorgap.core.measurement import NULL_UNKNOWN
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.verdict.copying_label import copying_label
from priorgap.verdict.mean_shares import BoundedReading, mean_share
from priorgap.verdict.readings import CALIBRATED, readings_of, select, text_column

RECONSTRUCTIVE = "reconstructive"
COPIES = "copies"
DECODER_MEMORISES = "the decoder memorises"
NOT_CLEAN = frozenset({RECONSTRUCTIVE, COPIES})


def plain_name(sampler: str) -> str:
    """Return the sampler's own name, without the mark of a calibrated model."""
    return sampler.removesuffix(CALIBRATED)


def candidate_labels(
    table: pd.DataFrame, candidates: Mapping[str, SamplerFacts], level: float
) -> dict[str, list[str]]:
    """Return the labels of each candidate that has any.

    `reconstructive`: the sampler states that its draws are noisy reconstructions of training images. The null value
    of their `train_share` is not ½ (its distribution depends on the split), so that no other label is tested.

    `copies`, `the decoder memorises`: by `copying_label`.
    """
    labels: dict[str, list[str]] = {}
    for name, facts in candidates.items():
        if facts.reconstructs:
            labels[name] = [RECONSTRUCTIVE]
            continue
        found = copying_label(table, name, level)
        if found is not None:
            labels[name] = [found]
    return labels


@dataclass(frozen=True)
class MemorisationAuc:
    """The posterior's memorisation_auc over models.

    Attributes:
        value: the mean.
        interval: its interval inside [0, 1] (`mean_share`), None where no error is known.
        null_known: whether the value without memorisation is 0.5; if not, the held-out images were not drawn at
            random from the training pool, and only comparisons of models are meaningful.
    """

    value: float
    interval: tuple[float, float] | None
    null_known: bool

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return {
            "value": self.value,
            "interval": None if self.interval is None else list(self.interval),
            "null_known": self.null_known,
        }


def memorisation(table: pd.DataFrame, level: float) -> MemorisationAuc | None:
    """Return the memorisation_auc of the model's posterior; None where it was not measured."""
    rows = table[(table["measure"] == "memorisation_auc") & (text_column(table, "sampler") == "")]
    unit, space = text_column(rows, "unit"), text_column(rows, "space")
    points = text_column(rows, "bound").isin({"", "point"})
    for mark in ("", NULL_UNKNOWN):
        for where in sorted(set(space[points & (unit == mark)])):
            own = rows[(unit == mark) & (space == where)]
            readings = readings_of(own[points[own.index]])[""]
            low, high = (_limits(own, bound) for bound in ("lower", "upper"))
            bounded = [
                BoundedReading(
                    reading.value,
                    (low[seed], high[seed]) if seed in low and seed in high else None,
                    reading.std_error,
                )
                for seed, reading in readings.items()
            ]
            return MemorisationAuc(*mean_share(bounded, level), null_known=not mark)
    return None


def _limits(rows: pd.DataFrame, bound: str) -> dict[int, float]:
    """Return each model's limit."""
    own = rows[text_column(rows, "bound") == bound]
    return {int(seed): float(value) for seed, value in zip(own["seed"], own["value"], strict=True)}


def train_shares(table: pd.DataFrame, labels: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return the largest mean train share, over spaces, of each candidate labelled `the decoder memorises`."""
    found: dict[str, float] = {}
    for name in (name for name, own in labels.items() if DECODER_MEMORISES in own):
        for space in sorted(set(text_column(table[table["measure"] == "train_share"], "space"))):
            by_seed = readings_of(select(table, "train_share", space), [name]).get(name)
            if by_seed:
                mean = math.fsum(reading.value for reading in by_seed.values()) / len(by_seed)
                found[name] = max(found.get(name, 0.0), mean)
    return found
