"""One measured number with its uncertainty, size, space and direction."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Bound = Literal["point", "lower", "upper"]
# The unit of a share or an area whose value under the null hypothesis is not known to be 1/2.
NULL_UNKNOWN = "null unknown"
# The `space` of measures that are computed on the data themselves, without a feature space.
OF_DATA = "data"


@dataclass(frozen=True)
class Measurement:
    """One value of a measure; the fields are those columns of results.csv that a measure itself determines.

    Attributes:
        measure: the public name, as in results.csv ("fid", "marginal_kl", ...).
        value: the number; never NaN (a measure that cannot be computed is absent, with a reason).
        std_error: its standard error, None where no valid one is known.
        n: the number of samples (or images) behind it.
        n_reference: the size of the set it was compared with, None where there is none.
        space: "latent", "data" or the feature space's name.
        unit: the latent unit or the class it belongs to, "" for the whole.
        bound: whether value is a point estimate or a lower or upper limit.
        label_source: for accuracies, where the labels of synthetic samples came from.
    """

    measure: str
    value: float
    std_error: float | None = None
    n: int | None = None
    n_reference: int | None = None
    space: str = "latent"
    unit: str = ""
    bound: Bound = "point"
    label_source: str = ""

    def __post_init__(self) -> None:
        if self.value != self.value:
            raise ValueError(f"{self.measure}: the value is NaN; leave the measurement out, with a reason")

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Measurement":
        """Rebuild a measurement from `to_json`'s result."""
        return cls(**{f.name: record[f.name] for f in fields(cls)})
