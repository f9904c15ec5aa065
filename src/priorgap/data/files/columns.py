"""Columns of a table: which hold observations, which holds the label, and whether all of them are numbers."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from priorgap.core.arguments import show
from priorgap.data.own_arrays import role_of

# The prefix of the name that pandas gives to an index when it writes it as a column.
INDEX = "__index_level_"
# With fewer rows than this, consecutive integers are no sign of a row number. Messages list at most this many names.
_FEW = 3
# Integers below this limit are exact as 64-bit floats.
_MOST = 2**53


@dataclass(frozen=True)
class Choice:
    """The user's choice of columns, or of arrays.

    Attributes:
        x: the observations' names; None: all but the label and the dropped ones.
        target: the label's name; None: the column with a label's usual name (y, label, target).
        drop: the names to leave out.
    """

    x: tuple[str, ...] | None = None
    target: str | None = None
    drop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Selection:
    """The positions of the chosen columns in a table.

    Attributes:
        x: positions of the observations' columns, in their order.
        target: position of the label's column; None without one.
        n_left_out: the number of other columns, without those that the user dropped by name.
    """

    x: tuple[int, ...]
    target: int | None
    n_left_out: int


def select(names: Sequence[str], choice: Choice, place: str) -> Selection:
    """Return the positions of the chosen columns.

    Raises:
        ValueError: a name occurs twice, or no column has it; one line.
    """
    check_names(names, {"x": choice.x or (), "drop": choice.drop, "target": _one(choice.target)}, place)
    labels = [i for i, name in enumerate(names) if name and role_of(name) == ("y", "")]
    given = {*(choice.x or ()), *choice.drop}
    labels = [i for i in labels if names[i] not in given]
    if choice.target is not None:
        target: int | None = names.index(choice.target)
    elif len(labels) > 1:
        several = " and ".join(names[i] for i in labels)
        raise ValueError(f"{place}: holds {several}; expected data.target= to say which is the label")
    else:
        target = labels[0] if labels else None
    left = [i for i, name in enumerate(names) if i != target and (not name or name not in choice.drop)]
    if choice.x is None:
        x, n_left_out = left, 0
    else:
        x = [names.index(name) for name in choice.x]
        n_left_out = len(set(left) - set(x))
    if not x:
        raise ValueError(f"{place}: no column is left beside the label; expected columns of numbers")
    return Selection(tuple(x), target, n_left_out)


def check_names(names: Sequence[str], asked: Mapping[str, Sequence[str]], place: str) -> None:
    """Check that column names are unique, and that all columns that were asked for exist.

    Args:
        names: the columns' names; "" is a column without a name.
        asked: the names that were asked for, by configuration key.
        place: the file.

    Raises:
        ValueError: one line.
    """
    twice = [name for name, n in Counter(names).items() if n > 1 and name]
    if twice:
        raise ValueError(
            f"{place}: several columns are called {show(', '.join(twice))}; expected one of each name"
        )
    for key, wanted in asked.items():
        for name in wanted:
            if name not in names:
                raise ValueError(f"data.{key}={show(name)}: {place} has no such {nearest(name, names)}")


def _one(name: str | None) -> tuple[str, ...]:
    return () if name is None else (name,)


def nearest(name: str, names: Sequence[str], what: str = "column") -> str:
    """Return a message that a name was not found, with the most similar names, or all of them."""
    near = get_close_matches(name, [one for one in names if one], n=2)
    if near:
        return f"{what}; did you mean {' or '.join(near)}?"
    return f"{what}; expected one of {show(', '.join(one for one in names if one))}"


def typed(key: str, names: Sequence[str]) -> str:
    """Return a configuration override that sets a key to a list of names, quoted for a shell."""
    plain = all(name.replace("_", "a").replace("-", "a").isalnum() and name.isascii() for name in names)
    inner = ",".join(names if plain else ['"' + name.replace('"', '\\"') + '"' for name in names])
    return f"{key}=[{inner}]" if plain else f"'{key}=[{inner}]'"


def not_numbers(
    name: str, values: Sequence[object], total: int, where: str, place: str, remedy: str = ""
) -> ValueError:
    """Return the error for a column that should hold numbers and does not.

    Args:
        name: the column's.
        values: the values that are no numbers.
        total: the number of all values.
        where: where the first of these values is.
        place: the file.
        remedy: what to do; "" for the advice that fits `data=file`.
    """
    first = show(values[0])
    as_label = "" if remedy else f"data.target={quoted(name)} takes it as the label, "
    remedy = remedy or f"{typed('data.drop', [name])} leaves it out, or put numbers for its values"
    if len(values) < total:
        return ValueError(
            f"{place}: column {name} holds {first} {where}, in all {len(values)} of {total} values that are no "
            f"numbers{_likely(first)}; expected numbers: {remedy}"
        )
    shown = show(", ".join(list(dict.fromkeys(map(str, values)))[:3]))
    return ValueError(
        f"{place}: column {name} holds no numbers ({shown}){_likely(first)}; expected numbers: {as_label}{remedy}"
    )


def quoted(name: str) -> str:
    """Return a name quoted for a shell."""
    return name if name.isidentifier() else f"'{name}'"


def _likely(text: str) -> str:
    """Return what a text that should be a number most likely is."""
    digits = text.strip().lstrip("+-")
    if digits.replace(",", "").replace(".", "").replace(" ", "").replace("'", "").isdigit():
        if digits.count(",") == 1 and len(digits.partition(",")[2]) != 3 and "." not in digits:
            return " (a decimal comma? data.decimal=comma)"
        return " (a separator of thousands? write 1234.5)"
    if digits.strip("%€$£ ").replace(".", "").replace(",", "").isdigit():
        return " (a unit? write the number alone)"
    if digits.lower() in ("?", "-", "--", ".", "*", "missing", "unknown", "", "#n/a", "none"):
        return " (a missing value?)"
    return ""


@dataclass(frozen=True, eq=False)
class Matrix:
    """The observations of a table.

    Attributes:
        array: [n, d].
        names: the names of its columns.
        done: what was left out and what a user should know, in words.
    """

    array: np.ndarray
    names: tuple[str, ...]
    done: tuple[str, ...]


def matrix_of(
    columns: Mapping[int, np.ndarray],
    names: Sequence[str],
    place: str,
    *,
    asked: bool,
    line: Callable[[int], str],
) -> Matrix:
    """Return columns of numbers as one array.

    Args:
        columns: by position in the table; NaN is a missing value.
        names: the names of all columns of the table; "" is a column without a name.
        place: the file.
        asked: whether the user named these columns; then even a row number is accepted.
        line: returns where a row is in the file, in words.

    Raises:
        ValueError: missing values, or a column that is a row number; one line.
    """
    done, kept = [], dict(columns)
    for i, column in columns.items():
        unnamed = not names[i] or names[i].startswith(INDEX)
        if unnamed and len(column) and column.dtype.kind == "f" and np.isnan(column).all():
            kept.pop(i)
            done.append("an empty column without a name was left out")
        elif not asked and numbers_the_rows(column):
            if not unnamed:
                raise ValueError(
                    f"{place}: column {names[i]} numbers the rows ({_shown(column)}, ...); expected what belongs to "
                    f"an observation: {typed('data.drop', [names[i]])} leaves it out"
                )
            kept.pop(i)
            done.append("a column without a name that numbers the rows was left out")
    if not kept:
        raise ValueError(f"{place}: no column is left; expected columns of numbers")
    called = {i: names[i] or f"{i + 1} (it has no name)" for i in kept}
    _check_values(kept, called, place, line)
    constant = [called[i] for i, column in kept.items() if len(column) and (column == column[0]).all()]
    if constant:
        done.append(f"{len(constant)} constant columns ({show(', '.join(constant))})")
    return Matrix(np.column_stack(list(kept.values())), tuple(called.values()), tuple(done))


def _shown(column: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in column[:3])


def numbers_the_rows(column: np.ndarray) -> bool:
    """Whether a column's values are consecutive integers, as many as there are rows, in any order."""
    if len(column) < _FEW or column.dtype.kind not in "fiu":
        return False
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        return False
    low, high = column.min(), column.max()
    if float(high) - float(low) != len(column) - 1:
        return False
    return bool((np.sort(column) == low + np.arange(len(column))).all())


def _check_values(
    columns: Mapping[int, np.ndarray], called: Mapping[int, str], place: str, line: Callable[[int], str]
) -> None:
    """Refuse missing and infinite values."""
    missing = np.zeros(len(next(iter(columns.values()))), dtype=bool)
    counts: dict[str, int] = {}
    for i, column in columns.items():
        if column.dtype.kind != "f":
            continue
        odd = ~np.isfinite(column)
        if odd.any():
            counts[called[i]] = int(odd.sum())
            missing |= odd
    if counts:
        first = line(int(missing.argmax()))
        of = show(", ".join(f"{name} ({n})" for name, n in counts.items()))
        raise ValueError(
            f"{place}: missing or infinite values in {int(missing.sum())} of {len(missing)} rows, first in {first}, "
            f"of columns {of}; expected numbers: fill or leave out those rows, or leave out the columns "
            f"by {_dropped(list(counts))}"
        )


def _dropped(names: Sequence[str]) -> str:
    return typed("data.drop", names) if len(names) <= _FEW else "data.drop=[NAME,...]"


def check_target(values: np.ndarray, name: str, place: str, *, asked: bool) -> None:
    """Refuse a column of fractions as the label where only its name suggests that it is one.

    Raises:
        ValueError: one line.
    """
    if asked or values.dtype.kind != "f":
        return
    known = values[np.isfinite(values)]
    odd = known[known != np.rint(known)]
    if len(odd):
        raise ValueError(
            f"{place}: column {name} is called as labels are and holds {odd[0]:g}; expected classes: "
            f"{typed('data.drop', [name])} leaves it out, data.x=[NAME,...] names the columns to take"
        )


def labels_of_texts(values: Sequence[str]) -> np.ndarray:
    """Return labels with the type they are written in: integers as Python writes them, floats, else texts."""
    texts = np.array([value.strip() for value in values], dtype=str)
    try:
        floats = texts.astype(np.float64)
    except ValueError:
        return texts
    known = floats[np.isfinite(floats)]
    whole = bool((known == np.rint(known)).all())
    if whole and len(known) == len(floats) and (np.abs(known) < _MOST).all():
        integers = floats.astype(np.int64)
        if (integers.astype(str) == texts).all():
            return integers
    # 007 is a name, and 7.0 is an integer that some tool wrote as a float.
    pointed = bool((np.char.find(texts[np.isfinite(floats)], ".") >= 0).all())
    return floats if pointed or not whole else texts
