"""The part of x that a model is given: the past of a window, or some columns of a table's row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.arguments import show
from priorgap.models.traits import Told
from priorgap.tables.layout import TableLayout


class Part(Protocol):
    """A part of x that is given to a model."""

    @property
    def name(self) -> str:
        """The name, among the model's weights, of the network that reads the part."""
        ...

    @property
    def told(self) -> Told:
        """How the part is called in texts."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the part."""
        ...

    @property
    def rest_shape(self) -> tuple[int, ...]:
        """The shape of the rest."""
        ...

    @property
    def tells_label(self) -> bool:
        """Whether a row's label follows from the part."""
        ...

    def of(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return the part of each row."""
        ...

    def rest(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return the rest of each row."""
        ...

    def joined(self, part: Float[Tensor, "n ..."], rest: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return whole rows from parts and rests."""
        ...


@dataclass(frozen=True)
class Past:
    """The first steps of a window [T, f].

    Attributes:
        n_past: the number of steps.
        window: the shape of a window.
    """

    n_past: int
    window: tuple[int, ...]

    name = "past"
    tells_label = False
    told = Told("a past", "pasts", "windows")

    @property
    def shape(self) -> tuple[int, ...]:
        """[n_past, f]."""
        return (self.n_past, *self.window[1:])

    @property
    def rest_shape(self) -> tuple[int, ...]:
        """[T - n_past, f]."""
        return (self.window[0] - self.n_past, *self.window[1:])

    def of(self, x: Float[Tensor, "n t f"]) -> Float[Tensor, "n p f"]:
        """Return the pasts of windows."""
        return x[:, : self.n_past]

    def rest(self, x: Float[Tensor, "n t f"]) -> Float[Tensor, "n q f"]:
        """Return the futures of windows."""
        return x[:, self.n_past :]

    def joined(self, part: Float[Tensor, "n p f"], rest: Float[Tensor, "n q f"]) -> Float[Tensor, "n t f"]:
        """Return windows, the past before the future."""
        return torch.cat([part, rest], dim=1)


@dataclass(frozen=True)
class Columns:
    """Some columns of a table's rows [width].

    Attributes:
        names: the columns' names.
        places: the positions of their values in x.
        others: the positions of the other columns' values.
        tells_label: whether one of them is the labels' column.
    """

    names: tuple[str, ...]
    places: tuple[int, ...]
    others: tuple[int, ...]
    tells_label: bool

    name = "given_columns"

    @classmethod
    def of_table(cls, table: TableLayout, names: Sequence[str]) -> Self:
        """Return columns of a table by their names.

        Raises:
            ValueError: a name is unknown or of a constant column, or no other column is left; one line.
        """
        _check(table, names)
        places = table.places(names)
        others = tuple(i for i in range(table.width) if i not in set(places))
        return cls(tuple(names), places, others, table.target in names)

    @property
    def told(self) -> Told:
        """How the part is called: by the columns' names."""
        return told_columns(self.names)

    @property
    def shape(self) -> tuple[int, ...]:
        """[number of places]."""
        return (len(self.places),)

    @property
    def rest_shape(self) -> tuple[int, ...]:
        """[number of the other places]."""
        return (len(self.others),)

    def of(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n g"]:
        """Return the columns of rows."""
        return x[:, list(self.places)]

    def rest(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n r"]:
        """Return the other columns of rows."""
        return x[:, list(self.others)]

    def joined(self, part: Float[Tensor, "n g"], rest: Float[Tensor, "n r"]) -> Float[Tensor, "n d"]:
        """Return rows with all columns in their positions."""
        order = torch.tensor([*self.places, *self.others], device=part.device).argsort()
        return torch.cat([part, rest], dim=1)[:, order]


def told_columns(names: Sequence[str]) -> Told:
    """Return the words for columns of these names."""
    these = f"column{'s' if len(names) > 1 else ''} {', '.join(names)}"
    return Told(f"a row of {these}", f"values of {these}", "rows")


def listed(names: Sequence[str]) -> str:
    """Return names in the form of a configuration override, shortened where there are many."""
    return show(f"[{', '.join(names)}]")


def _check(table: TableLayout, given: Sequence[str]) -> None:
    """Check that these columns can be given.

    Raises:
        ValueError: a name is unknown or of a constant column, or no other column is left; one line.
    """
    varying = [column.name for column in table.coded]
    for name in given:
        if name not in varying:
            why = "is constant" if name in table.names else "is no column of the table (ids are left out)"
            raise ValueError(
                f"model.given={listed(given)}: {show(name)} {why}; expected some of {show(', '.join(varying))}"
            )
    if len(given) == len(varying):
        raise ValueError(
            f"model.given={listed(given)}: all columns that vary are given; expected at most {len(varying) - 1}, "
            "so that there is one to decode"
        )
