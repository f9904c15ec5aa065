"""Which of a file's named arrays are observations and which are labels, decided before any array is read."""

from collections.abc import Sequence
from dataclasses import dataclass

from priorgap.core.arguments import show
from priorgap.data.files.columns import Choice, nearest
from priorgap.data.files.contents import check_size
from priorgap.data.own_arrays import are_parts, by_role

# Kinds of variables that hold text, and so cannot be observations.
_TEXTS = ("text", "char")


@dataclass(frozen=True)
class Variable:
    """A file's description of one of its variables.

    Attributes:
        name: the name in the file, with slashes for groups.
        kind: its type as the file calls it.
        shape: the array's shape.
        n_bytes: the bytes that it takes in memory.
        fault: why it is no plain array, with the remedy; "" for a plain one.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    n_bytes: int
    fault: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}{' ' if self.shape else ''}{' x '.join(map(str, self.shape))})"


def roles_of(
    variables: Sequence[Variable], choice: Choice, place: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the names of the arrays of observations and of labels, by part of the data; "" stands for all rows.

    These are the arrays that the user names, else those with known names, else the only array.

    Raises:
        ValueError: no array fits, or several do, or the one that does is no plain array or too large for memory; one
            line.
    """
    if choice.x is not None and len(choice.x) != 1:
        raise ValueError(f"data.x={show(list(choice.x))}: expected the name of one array of {place}")
    known = {one.name: one for one in variables}
    plain = [one.name for one in variables if not one.fault]
    xs, ys = by_role((name for name in plain if name != choice.target), place)
    if choice.x is not None:
        xs = {"": _known("x", choice.x[0], known, place)}
    elif not xs:
        taken = {choice.target, *ys.values()}
        others = [name for name in plain if name not in taken and known[name].kind not in _TEXTS]
        xs = {"": others[0]} if len(others) == 1 else {}
    if choice.target is not None:
        ys = {"": _known("target", choice.target, known, place)}
    if not are_parts(xs):
        holds = show(", ".join(map(str, variables))) if variables else "nothing"
        faults = [f"{one.name} is {one.fault}" for one in variables if one.fault]
        raise ValueError(
            f"{place}: holds {holds}; expected x, or x_train and x_test (and y, or y_train, y_test), or data.x=NAME "
            f"data.target=NAME to say which are rows and labels{f'; {faults[0]}' if faults and not plain else ''}"
        )
    if choice.target is not None and "" not in xs:
        raise ValueError(
            f"data.target={choice.target}: {place} has parts {', '.join(xs)}; expected data.x=NAME too, the rows "
            "that these are the labels of"
        )
    ys = {part: name for part, name in ys.items() if part in xs and name != xs[part]}
    for name in (*xs.values(), *ys.values()):
        one = known[name]
        if one.fault:
            raise ValueError(f"{place}: {name} is {one.fault}")
        check_size(one.n_bytes, f"{place}: {one}")
    return xs, ys


def _known(key: str, name: str, variables: "dict[str, Variable]", place: str) -> str:
    found = name.strip("/")
    if found not in variables:
        raise ValueError(
            f"data.{key}={show(name)}: {place} has no such {nearest(name, list(variables), 'array')}"
        )
    return found
