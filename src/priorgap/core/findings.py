"""Findings: facts that are wrong with a model or its data, each with its severity, its value and its limit."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

Severity = Literal["stop", "warn", "note"]


@dataclass(frozen=True)
class Finding:
    """One fact about a model or its data that a reader must know before any ranking.

    Attributes:
        severity: "stop" where samplers cannot be judged before the fault is corrected.
        name: a short name, the same in all studies: "encode_not_repeatable".
        value: the measured value; None where the finding is no number.
        limit: the limit that the value should not pass.
        sentence: what it means and, for a stop, what to do first; one or two sentences.
        follows: the name of the finding that explains this one; "" for one that stands by itself.
    """

    severity: Severity
    name: str
    value: float | None
    limit: float | None
    sentence: str
    follows: str = ""

    def __post_init__(self) -> None:
        if self.severity not in get_args(Severity):
            expected = ", ".join(get_args(Severity))
            raise ValueError(f"severity={self.severity!r}: expected one of {expected}")
        if not self.name.isidentifier():
            raise ValueError(f"name={self.name!r}: expected letters, digits and _")
        if not self.sentence.strip().endswith("."):
            raise ValueError(f"sentence={self.sentence!r}: expected a sentence that ends with a full stop")
        if self.value is not None and math.isnan(self.value):
            raise ValueError(f"finding {self.name}: value is no number; expected one, or None")

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON types; a number that is not finite becomes text."""
        return {**vars(self), "value": _plain(self.value), "limit": _plain(self.limit)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`'s result.

        Raises:
            KeyError, ValueError: a field is missing or has a wrong value.
        """
        value, limit = (None if record[key] is None else float(record[key]) for key in ("value", "limit"))
        return cls(
            record["severity"],
            str(record["name"]),
            value,
            limit,
            str(record["sentence"]),
            str(record["follows"]),
        )


def stop_sentence(findings: Iterable[Finding]) -> str:
    """Return the sentence of the first finding that forbids a recommendation; "" where none does."""
    return next((one.sentence for one in findings if one.severity == "stop"), "")


def _plain(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)
