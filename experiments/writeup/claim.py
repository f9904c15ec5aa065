"""What a study is about, and what became of it: claim.yaml."""

from dataclasses import dataclass
from typing import Any

from writeup.query import EvidenceError

HELD = ("", "holds", "holds in part", "fails", "not decided")


@dataclass(frozen=True)
class Claim:
    """`claim.yaml`: what a study is about, for the tables of all studies.

    Attributes:
        number: of the claim; a letter for a yardstick.
        claim: a sentence that the study may find wrong.
        question: what it asks.
        effect: a ratio, a difference or a mean, as marks ask for it; None where one number does not say it.
        effect_of: what that is, in words.
        answer: what was found, with marks in braces; "" where the verdict says it.
        held: what became of the claim, one of `HELD`; "" where the verdict's headline is quoted for it.
    """

    number: str
    claim: str
    question: str
    effect: str | None = None
    effect_of: str = ""
    answer: str = ""
    held: str = ""

    @classmethod
    def of(cls, content: Any, name: str) -> "Claim":
        """Return a study's claim of what its file holds.

        Raises:
            EvidenceError: the file does not say it.
        """
        try:
            found = cls(**{str(key): str(value) for key, value in content.items() if value is not None})
        except (TypeError, AttributeError) as error:
            names = ", ".join(cls.__dataclass_fields__)
            raise EvidenceError(f"{name}: expected {names}: {error}") from error
        if found.held not in HELD:
            raise EvidenceError(f"{name}: held: {found.held}: expected one of {', '.join(HELD[1:])}")
        return found
