"""Facts that a fitted sampler states about itself; they travel with its draws, so that no code lists names."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

# Written for a sampler without any trait, because an empty entry means that its traits are not known.
NO_TRAITS = "none"
_TRAITS = ("reconstructs", "needs_training_data", "fixed")


@dataclass(frozen=True)
class SamplerFacts:
    """What is true of a fitted sampler; these facts do not follow from its name.

    Attributes:
        reconstructs: its draws are those of training posteriors (or their means), so that decoding them gives
            reconstructions of training images. Such a sampler is never called clean, and never chosen by default.
        needs_training_data: it uses data of single training images when it draws.
        fixed: its distribution of z does not depend on the encoder, so that calibrating the model changes the images
            that it gives.
        cost: what it costs to draw from it, in one sentence.
        known_as: its usual name in published code (docs/generate_new_data.md); "" where it has none.
    """

    reconstructs: bool
    needs_training_data: bool
    fixed: bool
    cost: str
    known_as: str = ""

    def __post_init__(self) -> None:
        for name in _TRAITS:
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)!r}: expected true or false")
        for name in ("cost", "known_as"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name}={getattr(self, name)!r}: expected a sentence")

    @property
    def traits(self) -> str:
        """The true traits, separated by blanks, as results.csv holds them; "none" where there is none."""
        return " ".join(name for name in _TRAITS if getattr(self, name)) or NO_TRAITS

    @classmethod
    def from_traits(cls, text: str, cost: str = "") -> Self:
        """Return the facts that `traits` wrote as this text.

        Raises:
            ValueError: the text holds a word that is no trait.
        """
        words = set(text.split()) - {NO_TRAITS}
        if not text.strip() or words - set(_TRAITS):
            raise ValueError(f"traits={text!r}: expected {NO_TRAITS}, or words of {', '.join(_TRAITS)}")
        return cls(**{name: name in words for name in _TRAITS}, cost=cost, known_as="")

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON types; the name in published code only where there is one."""
        found = asdict(self)
        return found if self.known_as else {key: value for key, value in found.items() if key != "known_as"}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`'s result.

        Raises:
            ValueError: a field is missing or of the wrong type.
        """
        missing = [name for name in (*_TRAITS, "cost") if name not in record]
        if missing:
            raise ValueError(f"facts of a sampler: {', '.join(missing)} missing")
        traits = {name: record[name] for name in _TRAITS}
        return cls(**traits, cost=record["cost"], known_as=record.get("known_as", ""))


def united(facts: Iterable[SamplerFacts]) -> SamplerFacts:
    """Return the facts of one sampler over several models: it reconstructs if it does so for any of them.

    The cost is that of the first model for which it reconstructs; where there is none, that of the first model.
    """
    found = list(facts)
    told = next((f for f in found if f.reconstructs), found[0])
    return SamplerFacts(
        reconstructs=told.reconstructs,
        needs_training_data=any(f.needs_training_data for f in found),
        fixed=all(f.fixed for f in found),
        cost=told.cost,
        known_as=told.known_as,
    )
