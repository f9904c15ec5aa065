"""Plain values against declared types: what fits, what does not, and in which words it is refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from priorgap.core.arguments import Above, AtLeast, Between, check, describe, fit, show, unknown_key

GOOD: list[tuple[Any, Any]] = [
    (1, int), (0.5, float), (1, float), (True, bool), ("x", str), ("", str), ("x", Path), (None, None),
    (None, int | None), ("a", Literal["a", "b"]), (False, bool | Literal["both"]),
    ([1, 2], tuple[int, ...]), ([], tuple[int, ...]),
    ([0.5, 1], tuple[float, float]), (3, int | Sequence[int]), ([3, 4], int | Sequence[int]),
    (1, Annotated[int, AtLeast(1)]), (0.1, Annotated[float, Above(0)]), (None, Annotated[float, Above(0)] | None),
    (0.95, Annotated[float, Between(0, 1)]), ("anything", Any), ({"a": 1}, dict[str, int]),
]  # fmt: skip

BAD: list[tuple[Any, Any, str]] = [
    (True, int, "k=true: expected an integer"),
    (1.0, int, "k=1.0: expected an integer"),
    ("1", int, "k=1: expected an integer"),
    (None, int, "k=null: expected an integer"),
    (2**63, int, "k=9223372036854775808: expected an integer"),
    (10**5000, int, "k=(an integer of 5001 digits): expected an integer"),
    (float("nan"), float, "k=nan: expected a number"),
    (float("inf"), float, "k=inf: expected a number"),
    (10**400, float, "k=(an integer of 401 digits): expected a number"),
    (True, float, "k=true: expected a number"),
    ("a b\nc", float, "k=a b c: expected a number"),
    ([1], float, "k=[1]: expected a number"),
    ("maybe", bool, "k=maybe: expected true or false"),
    (1, bool, "k=1: expected true or false"),
    (5, str, "k=5: expected a text"),
    ("", Path, "k=: expected a path"),
    (["a"], Path, "k=['a']: expected a path"),
    ("c", Literal["a", "b"], "k=c: expected a or b"),
    (1, Literal[True, "both"], "k=1: expected true or both"),
    (2, bool | Literal["both"], "k=2: expected true or false or both"),
    ("abc", tuple[str, ...], "k=abc: expected a list, each a text"),
    ([1, 1.5], tuple[int, ...], "k=[1, 1.5]: expected a list, each an integer"),
    ([1], tuple[float, float], "k=[1]: expected a list of 2: a number, a number"),
    (0, Annotated[int, AtLeast(1)], "k=0: expected an integer >= 1"),
    (0, Annotated[float, Above(0)] | None, "k=0: expected a number above 0 or null"),
    (1, Annotated[float, Between(0, 1)], "k=1: expected a number between 0 and 1"),
    (5, Path | None, "k=5: expected a path or null"),
    ({"a": "x"}, dict[str, int], "k={'a': 'x'}: expected keys with values"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "annotation"), GOOD, ids=str)
def test_what_fits(value, annotation):
    fit(value, annotation, "k")


@pytest.mark.parametrize(("value", "annotation", "line"), BAD, ids=lambda x: show(x)[:40])
def test_what_does_not_fit_is_refused_in_one_line(value, annotation, line):
    with pytest.raises(ValueError) as caught:
        fit(value, annotation, "k")
    assert str(caught.value) == line


@dataclass(frozen=True)
class Node:
    alpha: Annotated[float, Above(0)]
    kind: Literal["sum", "mean"]
    inner: "Node | None" = None


def refusal(values, where="loss"):
    with pytest.raises(ValueError) as caught:
        check(Node, values, where)
    return str(caught.value)


def test_keys_of_a_class():
    check(Node, {"alpha": 1, "kind": "sum"}, "loss")
    check(Node, {"alpha": 1, "kind": "sum", "inner": Node(1, "sum")}, "loss")
    assert refusal({"alpa": 1, "kind": "sum"}) == ("loss.alpa: unknown key; did you mean loss.alpha?")
    assert refusal({"zzz": 1, "kind": "sum"}, "") == "zzz: unknown key; expected one of alpha, kind, inner"
    assert refusal({"kind": "sum"}) == "loss.alpha: missing; loss needs it"
    assert refusal({"alpha": -1, "kind": "sum"}) == "loss.alpha=-1: expected a number above 0"
    assert (
        refusal({"alpha": 1, "kind": "sum", "inner": 5})
        == "loss.inner=5: expected a node with _target_ or null"
    )


def test_names_that_exist_for_type_checkers_alone_are_not_looked_at():
    class Late:
        def __init__(self, x: "NotThere", n: int = 1) -> None:
            pass

    check(Late, {"x": 5}, "late")


def test_words():
    assert describe(int | Sequence[int]) == "an integer or a list, each an integer"
    assert unknown_key("a.b", []) == "a.b: unknown key"
