"""What a measure is: name, title, direction, place in the report; `core.catalogue` lists the built-in ones."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

Direction = Literal["lower", "higher", "neither"]
Scale = Literal["log", "identity"]
Section = Literal["quality", "copying", "accuracy", "latent", "bands"]

_ARROWS: Mapping[str, str] = {"lower": " ↓", "higher": " ↑", "neither": ""}


@dataclass(frozen=True)
class Measure:
    """One entry of the catalogue: all that rankings, tables, figures and trackers need to know about a measure.

    Attributes:
        name: its value in the column `measure` of results.csv.
        title: its name in tables and prose: "FID", "rate R".
        sentence: what it says, in one sentence.
        section: the part of the report that shows it.
        direction: which way is better, where one is.
        scale: "log" for a positive number whose spread over seeds grows with its size; differences are then ratios.
        unit: "nat", "count", ...; "" for a number without a unit.
        null: the value where nothing is wrong, shown beside the title; None where the direction says enough.
        range: the least and the largest value that it can have, None where there is no limit.
        rankable: whether the verdict may rank samplers by it.
        by: what the `unit` of single rows names: "latent unit", "class", ...; "" for a measure without such rows.
        needs_space: whether the number means nothing without its feature space, so that its title names it.
        second_opinion: whether the verdict says where it contradicts the ranking.
    """

    name: str
    title: str
    sentence: str
    section: Section
    direction: Direction = "neither"
    scale: Scale = "identity"
    unit: str = ""
    null: float | None = None
    range: tuple[float | None, float | None] = (None, None)
    rankable: bool = False
    by: str = ""
    needs_space: bool = False
    second_opinion: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "range", tuple(self.range))
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise ValueError(f"measure: name={self.name!r}: expected letters, digits and _")
        where = f"measure {self.name}"
        for key, known in (("direction", Direction), ("scale", Scale), ("section", Section)):
            if getattr(self, key) not in get_args(known):
                expected = ", ".join(get_args(known))
                raise ValueError(f"{where}: {key}={getattr(self, key)!r}: expected one of {expected}")
        for key in ("title", "sentence"):
            if not isinstance(getattr(self, key), str) or not getattr(self, key).strip():
                raise ValueError(f"{where}: {key}={getattr(self, key)!r}: expected text")
        for key in ("unit", "by"):
            if not isinstance(getattr(self, key), str):
                raise ValueError(f"{where}: {key}={getattr(self, key)!r}: expected text")
        for key in ("rankable", "needs_space", "second_opinion"):
            if not isinstance(getattr(self, key), bool):
                raise ValueError(f"{where}: {key}={getattr(self, key)!r}: expected true or false")
        if len(self.range) != 2 or not all(
            limit is None or isinstance(limit, int | float) for limit in (*self.range, self.null)
        ):
            raise ValueError(f"{where}: range={self.range}, null={self.null!r}: expected numbers or nothing")
        if (self.rankable or self.second_opinion) and self.direction == "neither":
            raise ValueError(f"{where}: rankable without a direction; expected direction lower or higher")

    @property
    def sign(self) -> int:
        """+1 where a larger value is better, -1 where a smaller one is, 0 where there is no better direction."""
        return {"lower": -1, "higher": 1, "neither": 0}[self.direction]

    @property
    def heading(self) -> str:
        """The title as a column heading: "FID ↓", "train share (½)", "rate R, nat"."""
        title = f"{self.title}, {self.unit}" if self.unit else self.title
        if self.null is None:
            return title + _ARROWS[self.direction]
        return f"{title} ({'½' if self.null == 0.5 else f'{self.null:g}'})"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return {**asdict(self), "range": list(self.range)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`'s result.

        Raises:
            ValueError: a field is missing, unknown or of a wrong value.
        """
        try:
            return cls(**{**record, "range": tuple(record["range"])})
        except (TypeError, KeyError) as error:
            raise ValueError(
                f"measure {record.get('name', '')}: damaged entry of a catalogue ({error})"
            ) from error


Catalogue = Mapping[str, Measure]


def united(*parts: Iterable[Measure]) -> dict[str, Measure]:
    """Return the entries of all parts by name, in their order.

    Raises:
        ValueError: two different entries have the same name.
    """
    found: dict[str, Measure] = {}
    for part in parts:
        for measure in part:
            if found.setdefault(measure.name, measure) != measure:
                raise ValueError(
                    f"measure {measure.name}: two entries that differ; expected one name, one meaning"
                )
    return found


def entry(catalogue: Catalogue, name: str) -> Measure:
    """Return a measure's entry.

    Raises:
        ValueError: no entry has this name.
    """
    if name not in catalogue:
        raise ValueError(
            f"measure {name}: in no catalogue; the metric that gives it must name it in `measures`"
        )
    return catalogue[name]
