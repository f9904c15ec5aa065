"""Contexts: what a model is given beside x and z, a row for each observation, stored once, passed by row number."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

Values = Tensor | Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Contexts:
    """All contexts of the data: a label, a library size, a past window, or several of these by name.

    Attributes:
        values: [n, ...], or a mapping of such; all have n rows.
        pool: the numbers of the training rows' contexts, in their order; draws without a context get one of them.
        label: the classes of the training rows, where they have any.
        fresh: the numbers of other contexts, of which draws without a context get one instead; None: the pool's.
        fresh_label: the classes of the fresh contexts, where contexts determine them; None: a draw of any class may
            get any of them.
    """

    values: Values
    pool: Int[Tensor, "n_train"]
    label: Int[Tensor, "n_train"] | None = None
    fresh: Int[Tensor, "m"] | None = None
    fresh_label: Int[Tensor, "m"] | None = None

    def __len__(self) -> int:
        first = self.values if isinstance(self.values, Tensor) else next(iter(self.values.values()))
        return len(first)

    def take(self, rows: Int[Tensor, "m"]) -> Values:
        """Return the contexts with these numbers."""
        return each(self.values, lambda one: one[rows])

    @property
    def sentence(self) -> str:
        """Types and shapes of the contexts in words, as part of a message."""
        if isinstance(self.values, Tensor):
            return _spoken(self.values)
        return ", ".join(f"{name}: {_spoken(one)}" for name, one in self.values.items())


@dataclass(frozen=True, eq=False)
class ContextRows:
    """The contexts of some observations or draws, in the order of these.

    Attributes:
        table: all contexts.
        rows: for each observation or draw the number of its context.
    """

    table: Contexts
    rows: Int[Tensor, "n"]

    def batch(self, rows: slice, size: int) -> Values:
        """Return the contexts of a slice; the last one is repeated to fill a batch."""
        own = self.rows[rows]
        return self.table.take(torch.cat([own, own[-1:].expand(size - len(own))]))


def each(values: Values, change: Callable[[Tensor], Tensor]) -> Values:
    """Return contexts with a function applied to every tensor."""
    return (
        change(values) if isinstance(values, Tensor) else {name: change(one) for name, one in values.items()}
    )


def stacked(parts: Sequence[Values]) -> Values:
    """Return the rows of several contexts of the same structure, one after the other."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat([part for part in parts if isinstance(part, Tensor)])
    return {name: torch.cat([part[name] for part in parts if not isinstance(part, Tensor)]) for name in first}


def _spoken(values: Tensor) -> str:
    return (
        f"{str(values.dtype).removeprefix('torch.')} [n{''.join(f', {side}' for side in values.shape[1:])}]"
    )
