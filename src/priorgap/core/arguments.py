"""Checks of plain configuration values against the types that a class declares; each error is one line.

Annotations say what a key takes: `int`, `float | None`, `Literal["adam", "adamw"]`, `tuple[int, ...]`, and ranges as
`Annotated[int, AtLeast(1)]`. What only the class knows (one value against another) is left to its `__post_init__`.
"""

import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from difflib import get_close_matches
from functools import cache
from inspect import Parameter, isclass, signature
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    Protocol,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

# Larger integers cannot be sizes, counts or seeds, because torch and numpy hold these in 64 bits.
_MOST = 2**63 - 1


@runtime_checkable
class Range(Protocol):
    """A condition on a value, in addition to its type."""

    def __str__(self) -> str:
        """The condition in words, as it follows the type's name in a message."""
        ...

    def holds(self, value: Any) -> bool:
        """Return whether a value of the right type satisfies it."""
        ...


@dataclass(frozen=True)
class AtLeast:
    """Numbers from `low` on."""

    low: float

    def __str__(self) -> str:
        return f" >= {self.low:g}"

    def holds(self, value: float) -> bool:
        """Return whether the number is large enough."""
        return value >= self.low


@dataclass(frozen=True)
class Above:
    """Numbers larger than `low`."""

    low: float

    def __str__(self) -> str:
        return f" above {self.low:g}"

    def holds(self, value: float) -> bool:
        """Return whether the number is larger."""
        return value > self.low


@dataclass(frozen=True)
class Between:
    """Numbers strictly between two limits."""

    low: float
    high: float

    def __str__(self) -> str:
        return f" between {self.low:g} and {self.high:g}"

    def holds(self, value: float) -> bool:
        """Return whether the number lies inside."""
        return self.low < value < self.high


@dataclass(frozen=True)
class Matches:
    """Texts that a regular expression matches as a whole; `words` describes them in messages."""

    test: Callable[[str], bool]
    words: str

    def __str__(self) -> str:
        return f": {self.words}"

    def holds(self, value: str) -> bool:
        """Return whether the whole text matches."""
        return self.test(value)


def show(value: Any) -> str:
    """Return a value on one line, as YAML writes null, true and false, shortened where it is long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and abs(value) > 10**40:
        # Python refuses to write integers of thousands of digits.
        return f"(an integer of {int(abs(value).bit_length() * math.log10(2)) + 1} digits)"
    text = " ".join(str(value).split())
    return text if len(text) <= 100 else f"{text[:97]}..."


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Return a message that a key is unknown, with the most similar known keys, or all of them.

    Args:
        key: the full key, with dots.
        known: the valid keys at its place.
    """
    where, _, last = key.rpartition(".")
    names = [str(name) for name in known]
    near = get_close_matches(last, names, n=2)
    if near:
        meant = " or ".join(f"{where}.{name}" if where else name for name in near)
        return f"{key}: unknown key; did you mean {meant}?"
    return f"{key}: unknown key; expected one of {', '.join(names)}" if names else f"{key}: unknown key"


@cache
def parameters(cls: type) -> Mapping[str, Any]:
    """Return the names that a class's constructor takes, with their annotations; Any where there is none.

    A class that inherits `__init__(*args, **kwargs)` (torch modules do) takes no names of its own.
    """
    named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    found = {name: p for name, p in signature(cls).parameters.items() if p.kind in named}
    return {name: _annotation(cls, name, p) for name, p in found.items()}


def _annotation(cls: type, name: str, parameter: Parameter) -> Any:
    if parameter.annotation is parameter.empty:
        return Any
    # A dataclass is read by its fields, each in the module of the class that declares it: an attribute of another
    # class may have another type than the argument of the same name.
    made = cls.__init__  # type: ignore[misc]
    for holder in (cls, made) if is_dataclass(cls) else (made, cls):
        try:
            hints = get_type_hints(holder, include_extras=True)
        except (NameError, TypeError):
            # The name is imported for type checkers only.
            continue
        if name in hints:
            return hints[name]
    return Any


def required(cls: type) -> frozenset[str]:
    """Return the names of the arguments that have no default."""
    return frozenset(
        name
        for name, p in signature(cls).parameters.items()
        if p.default is p.empty and name in parameters(cls)
    )


def check(cls: type, values: Mapping[str, Any], where: str) -> None:
    """Check the keys of a node, and each value against what the class declares for it.

    Args:
        cls: the class that the values are for.
        values: plain data, and objects that were built already.
        where: the node's key; "" at the top.

    Raises:
        ValueError: one line that names the key, the value and what was expected.
    """
    known = parameters(cls)
    prefix = f"{where}." if where else ""
    for key in values:
        if key not in known:
            raise ValueError(unknown_key(f"{prefix}{key}", known))
    for key in sorted(required(cls) - set(values), key=list(known).index):
        raise ValueError(f"{prefix}{key}: missing; {where or cls.__name__} needs it")
    for key, value in values.items():
        fit(value, known[key], f"{prefix}{key}")


def fit(value: Any, annotation: Any, key: str) -> None:
    """Check one value against an annotation; annotations that are no plain types are not checked.

    Raises:
        ValueError: one line that names the key, the value and what was expected.
    """
    if not _fits(value, annotation):
        raise ValueError(f"{key}={show(value)}: expected {describe(annotation)}")


def _fits(value: Any, annotation: Any) -> bool:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _fits(value, arguments[0]) and all(
            r.holds(value) for r in _ranges(annotation) if value is not None
        )
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is Literal:
        # True == 1 and 1.0 == 1, so the types must be equal, too.
        return any(type(value) is type(one) and value == one for one in arguments)
    if origin is tuple or (isclass(origin) and issubclass(origin, Sequence)):
        return _is_list(value) and _all_fit(value, origin, arguments)
    if isclass(origin) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(_fits(v, arguments[1]) for v in value.values())
    return _is_plain(value, annotation)


def _ranges(annotation: Any) -> list[Range]:
    """Return the ranges in a type's annotation, beside which receivers (`receivers.py`) may stand."""
    return [mark for mark in get_args(annotation)[1:] if isinstance(mark, Range)]


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _all_fit(values: Sequence[Any], origin: Any, arguments: Sequence[Any]) -> bool:
    if origin is tuple and arguments[-1] is not Ellipsis:
        return len(values) == len(arguments) and all(map(_fits, values, arguments))
    return all(_fits(value, arguments[0]) for value in values)


def _is_plain(value: Any, annotation: Any) -> bool:
    if annotation is Any or annotation is object:
        return True
    if annotation is None or annotation is type(None):
        return value is None
    if annotation is bool:
        return isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MOST
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)
    if annotation is str:
        return isinstance(value, str)
    if annotation is Path:
        return isinstance(value, str | Path) and str(value) != ""
    if annotation in (list, tuple, dict):
        return isinstance(value, annotation)
    # Objects are checked by the receiver; here plain data are refused where an object is expected.
    plain = value is None or isinstance(value, bool | int | float | str | list | tuple | dict)
    return not ((isclass(annotation) or get_origin(annotation) is Callable) and plain)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


_WORDS = {
    type(None): "null",
    None: "null",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
    Path: "a path",
}


def describe(annotation: Any) -> str:
    """Return in words what an annotation takes."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return f"{describe(arguments[0])}{''.join(str(r) for r in _ranges(annotation))}"
    if origin in (Union, types.UnionType):
        return _or([describe(one) for one in arguments])
    if origin is Literal:
        return _or([show(one) for one in arguments])
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"a list of {len(arguments)}: {', '.join(describe(one) for one in arguments)}"
    if origin is tuple or (isclass(origin) and issubclass(origin, Sequence)):
        return f"a list, each {describe(arguments[0])}"
    if isclass(origin) and issubclass(origin, Mapping):
        return "keys with values"
    if origin is Callable or (isclass(annotation) and annotation not in _WORDS):
        return "a node with _target_"
    return _WORDS.get(annotation, "another value")


def _or(words: Sequence[str]) -> str:
    unique = list(dict.fromkeys(words))
    return unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} or {unique[-1]}"
