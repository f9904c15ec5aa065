"""What is wrong with a model or its data, as values: how bad, what was found, and what it should be."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

Severity = Literal["stop", "warn", "note"]


@dataclass(frozen=True)
class Finding:
    """One fact about a model or its data that a reader must know before any ranking.

    Attributes:
        severity: "stop" where nothing honest can be said of samplers before it is mended.
        name: a short name, the same wherever it is found: "encode_not_repeatable".
        value: what was measured; None where the finding is no number.
        limit: what it should not pass.
        sentence: what was found and what to do, in one or two sentences.
    """

    severity: Severity
    name: str
    value: float | None
    limit: float | None
    sentence: str

    def __post_init__(self) -> None:
        if self.severity not in get_args(Severity):
            expected = ", ".join(get_args(Severity))
            raise ValueError(f"severity={self.severity!r}: expected one of {expected}")
        if not self.name.isidentifier() or not self.sentence.strip():
            raise ValueError(
                f"finding {self.name!r}: expected a name of letters, digits and _, and a sentence"
            )
        if self.value is not None and math.isnan(self.value):
            raise ValueError(f"finding {self.name}: value is no number; expected one, or None")
