"""Means of an epoch's losses, accumulated without waiting for the device in any step."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from priorgap.training.config import NonFiniteLoss, Part


class EpochMeans:
    """Collects the terms of each batch, and returns their means over rows at the end of an epoch.

    Until then the terms stay on their device, because reading a number in every step would make a GPU wait. A value
    that is not finite is therefore reported at the end of the epoch, with the step at which it occurred.

    Args:
        terms: the terms' names, for records and messages.
    """

    def __init__(self, terms: Sequence[str]) -> None:
        self._terms = tuple(terms)
        self._batches: dict[Part, list[Tensor]] = {}
        self._n_rows: dict[Part, list[int]] = {}
        self._squares: dict[Part, list[Tensor]] = {}

    def add(self, part: Part, means: Sequence[Tensor], n_rows: int, drawn: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            part: the part of the data.
            means: the mean of each term over the batch's rows.
            n_rows: the number of rows.
            drawn: the KL of each row where it is a Monte Carlo estimate, for the standard error of its mean.
        """
        self._batches.setdefault(part, []).append(torch.stack([m.detach() for m in means]))
        self._n_rows.setdefault(part, []).append(n_rows)
        if drawn is not None:
            self._squares.setdefault(part, []).append(drawn.detach().double().square().sum())

    def take(self, part: Part, epoch: int) -> Mapping[str, float]:
        """Return the means since the last call, and reset them.

        Where the KL is drawn, its standard error over rows (of the images and of the draws) is included.

        Raises:
            NonFiniteLoss: a term became NaN or infinite.
        """
        batches, rows = self._batches.pop(part, []), self._n_rows.pop(part, [])
        squares = self._squares.pop(part, [])
        if not batches:
            return {}
        sums = [0.0] * len(self._terms)
        for step, means in enumerate(torch.stack(batches).tolist()):
            if not all(map(math.isfinite, means)):
                values = ", ".join(f"{v:g}" for v in means)
                raise NonFiniteLoss(
                    f"non-finite {part} loss at step {step} of epoch {epoch} ({', '.join(self._terms)} = {values})",
                    untrained=(part, step, epoch) == ("train", 0, 0),
                )
            sums = [s + m * rows[step] for s, m in zip(sums, means, strict=True)]
        n = sum(rows)
        record = {f"{part}_{name}": value / n for name, value in zip(self._terms, sums, strict=True)}
        if squares:
            total = sum(torch.stack(squares).tolist())
            variance = max(total / n - record[f"{part}_kl"] ** 2, 0.0)
            record[f"{part}_kl_std_error"] = math.sqrt(variance / n)
        return record
