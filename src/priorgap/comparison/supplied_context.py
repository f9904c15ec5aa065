"""The contexts of a user's model, which it takes beside x and z, as one table with a row for each row of the data."""

from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from priorgap.comparison.supplied_rows import array_of
from priorgap.core.arguments import show
from priorgap.core.batched_calls import needs_context, parameters_of, takes_context
from priorgap.core.contexts import Contexts, Values, each, stacked

# The arguments that compare() passes to encode and decode by name, after the first argument.
_NAMES = ("label", "context")
_ROWS = "an array, a tensor, a frame, or a dictionary of them, with a row for each row of the data"


@dataclass(frozen=True, eq=False)
class Part:
    """The rows of one part of the data, to which contexts belong.

    Attributes:
        n_seen: the number of rows that were given.
        kept: the numbers of the rows that were kept; None for all.
        label: the classes of the kept rows, where they have any.
    """

    n_seen: int
    kept: np.ndarray | None
    label: Int[Tensor, "n"] | None


def contexts_of(
    given: Mapping[str, object], parts: Mapping[str, Part]
) -> tuple[Contexts, dict[str, Int[Tensor, "n"]]]:
    """Return the contexts of all data, those of train first, and each part's context numbers.

    Args:
        given: contexts by part of the data, train first.
        parts: the parts.

    Raises:
        ValueError: one line that names the part, what was given and what was expected.
    """
    found: dict[str, Values] = {}
    numbers, start = {}, 0
    for name, part in parts.items():
        values = values_of(given[name], f"context of {name}", part.n_seen)
        if part.kept is not None:
            rows = torch.from_numpy(part.kept)
            values = each(values, lambda one, rows=rows: one[rows])  # type: ignore[misc]
        if found:
            check_alike(values, found["train"], f"context of {name}", "that of train")
        found[name] = values
        n = part.n_seen if part.kept is None else len(part.kept)
        numbers[name] = torch.arange(start, start + n)
        start += n
    return Contexts(stacked(list(found.values())), numbers["train"], parts["train"].label), numbers


def values_of(given: object, name: str, n: int) -> Values:
    """Return contexts as tensors: 32-bit floats; integers and truth values are unchanged.

    Args:
        given: the user's argument.
        name: its name in messages.
        n: the expected number of rows.

    Raises:
        ValueError: the contexts are no numbers, not finite, or not n rows; one line.
    """
    if isinstance(given, Mapping):
        if not given or not all(isinstance(key, str) for key in given):
            raise ValueError(
                f"{name}: a dictionary with keys {show(', '.join(map(str, given)))}; expected names -> rows"
            )
        return {str(key): _tensor(one, f"{name}: {key}", n) for key, one in given.items()}
    return _tensor(given, name, n)


def _tensor(given: object, name: str, n: int) -> Tensor:
    if given is None or isinstance(given, str | bytes) or callable(given):
        got = "None" if given is None else show(given)
        raise ValueError(f"{name}: got {got}; expected {_ROWS}")
    array = array_of(given, name)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} is {array.dtype} {array.shape}: expected numbers; number names first")
    if array.ndim < 1 or len(array) != n:
        raise ValueError(
            f"{name} is {array.dtype} {array.shape}: expected {n} rows, one for each row of data"
        )
    if array.dtype.kind == "f":
        bad = ~np.isfinite(array).reshape(n, -1).all(1)
        if bad.any():
            raise ValueError(
                f"{name}: NaN or infinity in {int(bad.sum())} of {n} rows; expected finite numbers"
            )
        return torch.from_numpy(array.astype(np.float32))
    return torch.from_numpy(array.astype(bool if array.dtype.kind == "b" else np.int64))


def n_rows(given: object) -> int | None:
    """Return the number of rows of contexts, for several by name that of the first; None where it is not clear."""
    first = next(iter(given.values()), None) if isinstance(given, Mapping) else given
    return len(first) if isinstance(first, Sized) else None


def check_alike(values: Values, others: Values, name: str, whose: str) -> None:
    """Refuse contexts whose form differs from that of others.

    Raises:
        ValueError: names, shapes or kinds of numbers differ; one line.
    """
    a, b = (one if isinstance(one, Mapping) else {"": one} for one in (values, others))
    if a.keys() != b.keys():
        raise ValueError(f"{name}: has {_keys(a)}; expected {_keys(b)}, as {whose} has")
    for key, one in a.items():
        # A model that takes floats cannot take integers, so both sides must have one type.
        if one.shape[1:] != b[key].shape[1:] or one.is_floating_point() != b[key].is_floating_point():
            called = f"{name}: {key}" if key else name
            raise ValueError(
                f"{called} is {_kind(one)} of shape {list(one.shape[1:])} a row; expected {_kind(b[key])} of shape "
                f"{list(b[key].shape[1:])}, as {whose} is"
            )


def _keys(values: Mapping[str, Tensor]) -> str:
    return show(", ".join(values)) if list(values) != [""] else "no names"


def _kind(values: Tensor) -> str:
    return "floats" if values.is_floating_point() else "integers"


def is_given(context: object) -> bool:
    """Whether there is any context in an argument."""
    return (
        any(one is not None for one in context) if isinstance(context, list | tuple) else context is not None
    )


def check_takers(encode: Callable[..., object] | None, decode: Callable[..., object], *, given: bool) -> None:
    """Refuse contexts that no function takes, and functions that need arguments which they would not get.

    Raises:
        ValueError: one line that names the function.
    """
    functions = {name: one for name, one in (("encode", encode), ("decode", decode)) if one is not None}
    for name, function in functions.items():
        if needs_context(function) and not given:
            raise ValueError(
                f"{name}: takes a context, and none is given; expected context=(TRAIN, TEST), {_ROWS}"
            )
        others = other_arguments(function)
        if others:
            raise ValueError(
                f"{name}: takes {', '.join(others)} beside its first argument; expected the names label (of "
                "labels=) and context (of context=) for what it needs there"
            )
    if given and not any(takes_context(one) for one in functions.values()):
        raise ValueError(
            "context: neither encode nor decode takes an argument named context; expected decode(z, context), "
            "encode(x, context), or both"
        )


def other_arguments(function: Callable[..., object]) -> list[str]:
    """Return the required arguments after the first that `compare` does not pass by name."""
    own = list(parameters_of(function).values())
    return [
        one.name
        for one in own[1:]
        if one.default is one.empty
        and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        and one.name not in _NAMES
    ]
