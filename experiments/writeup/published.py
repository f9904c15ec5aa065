"""What stands beside a study: results, verdict, provenance, claim; how rows are chosen and samplers compared."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from priorgap.core.catalogue import BUILTIN
from priorgap.core.measures import Measure, Scale
from priorgap.verdict import readings as rd
from priorgap.verdict.contrasts import Contrast, contrasts
from writeup.claim import Claim
from writeup.query import Chosen, EvidenceError

EXPERIMENTS = Path(__file__).parents[1]
LEVEL = 0.95
_MODEL = "model"
_NUMERIC = ("value", "std_error", "n", "n_reference", "seed")


@dataclass(frozen=True)
class Published:
    """A study's folder.

    Attributes:
        folder: experiments/<id>.
    """

    folder: Path

    @property
    def id(self) -> str:
        """The study's name."""
        return self.folder.name

    @cached_property
    def claim(self) -> Claim:
        """What it is about."""
        return Claim.of(
            yaml.safe_load((self.folder / "claim.yaml").read_text(encoding="utf-8")), f"{self.id}/claim.yaml"
        )

    @property
    def readme(self) -> Path:
        """Its page."""
        return self.folder / "README.md"

    @property
    def measured(self) -> bool:
        """Whether there are results."""
        return (self.folder / "results.csv").is_file()

    @property
    def by_script(self) -> bool:
        """Whether its results are a script's, not those of `priorgap run`: their verdict is the claim's `held`."""
        return not (self.folder / "config.yaml").is_file()

    @property
    def final(self) -> bool:
        """Whether there are results, and what was decided by them."""
        decided = self.verdict is not None or (self.by_script and bool(self.claim.held))
        return self.measured and decided

    @cached_property
    def verdict(self) -> Mapping[str, Any] | None:
        """verdict.json; None where there is none."""
        return read_json(self.folder / "verdict.json")

    @cached_property
    def provenance(self) -> Mapping[str, Any] | None:
        """provenance.json; None where there is none."""
        return read_json(self.folder / "provenance.json")

    def table(self, file: str = "results.csv") -> pd.DataFrame:
        """Return a table of the study: text as it stands there, numbers as numbers, one sampler for each name.

        The samplers of calibrated models are named as verdicts name them: "prior (calibrated)".

        Raises:
            EvidenceError: there is none.
        """
        path = self.folder / file
        if not path.is_file():
            raise EvidenceError(f"{self.id}: no {file}")
        return _table(path, path.stat().st_mtime_ns)

    @cached_property
    def samplers(self) -> tuple[str, ...]:
        """Names of all samplers that were measured."""
        return tuple(sorted(set(self.table()["sampler"]) - {""})) if self.measured else ()

    def measure(self, name: str) -> Measure:
        """Return a measure's entry: the verdict's own, or the library's.

        Raises:
            EvidenceError: neither has it.
        """
        known = (self.verdict or {}).get("cells", ())
        own = {one["details"]["measure"]["name"]: one["details"]["measure"] for one in known}
        if name in own:
            return Measure.from_json(own[name])
        if name not in BUILTIN:
            raise EvidenceError(f"{self.id}: {name}: no measure of the catalogue")
        return BUILTIN[name]

    def rows(
        self, measure: Chosen, where: Mapping[str, tuple[str, ...]], file: str = "results.csv"
    ) -> pd.DataFrame:
        """Return the rows of a measure (points of whole sets, unless a unit is asked for) that columns choose.

        Raises:
            EvidenceError: there are none, or a column or the space is not clear.
        """
        table = self.table(file)
        filters = {**where, **{key: (value,) for key, value in measure.where.items()}}
        missing = sorted(set(filters) - set(table.columns))
        if missing:
            raise EvidenceError(
                f"{self.id}/{file}: no column {missing[0]}; it has {', '.join(table.columns)}"
            )
        rows = table[table["measure"] == measure.name]
        for column, values in filters.items():
            texts = rd.text_column(rows, column)
            rows = rows[texts.isin(["" if v == _MODEL and column == "sampler" else v for v in values])]
        if "unit" not in filters:
            rows = rows[rd.text_column(rows, "unit") == ""]
        if rd.CALIBRATE in table.columns and rd.CALIBRATE not in filters:
            # what is of no sampler: as trained
            rows = rows[~rd.is_calibrated(rows) | (rows["sampler"] != "")]
        rows = rows[rows["value"].notna()]
        rows = rows[rd.text_column(rows, "space") == self._space(measure, rows)] if len(rows) else rows
        if rows.empty:
            said = " ".join(f"{key}={','.join(values)}" for key, values in filters.items())
            raise EvidenceError(f"{self.id}/{file}: no {measure.name} where {said or 'anything'}")
        return rows

    def _space(self, measure: Chosen, rows: pd.DataFrame) -> str:
        spaces = sorted(set(rd.text_column(rows, "space")))
        if measure.space is not None:
            return measure.space
        if len(spaces) == 1:
            return spaces[0]
        own = (self.verdict or {}).get("space")
        if own in spaces:
            return str(own)
        raise EvidenceError(
            f"{self.id}: {measure.name} was measured in {', '.join(spaces)}; name one: {measure.name}@{spaces[0]}"
        )

    def by_seed(
        self, sampler: Chosen, measure: Chosen, where: Mapping[str, tuple[str, ...]], file: str
    ) -> dict[int, rd.Reading]:
        """Return one value a seed: a point, or the limit that a filter (`bound=lower`) asks for.

        Raises:
            EvidenceError: there is none, or there are several a seed.
        """
        chosen = {
            **where,
            **{key: (value,) for key, value in sampler.where.items()},
            "sampler": (sampler.name,),
        }
        rows = self.rows(measure, chosen, file)
        seeds = set(rows["seed"])
        if "bound" not in {**where, **sampler.where, **measure.where}:
            rows = rows[rd.text_column(rows, "bound").isin({"", "point"})]
        limited = seeds - set(rows["seed"])
        if limited and not rows.empty:
            raise EvidenceError(
                f"{self.id}: {measure.name} of {sampler.name}: only a limit in {len(limited)} of {len(seeds)} seeds, "
                "which a mean of the others leaves out; a table says so"
            )
        try:
            (found,) = rd.readings_of(rows).values()
        except ValueError as error:
            differ = [c for c in factors(rows) if rows[c].nunique() > 1]
            raise EvidenceError(
                f"{self.id}: {measure.name} of {sampler.name}: several values a seed; choose by {', '.join(differ)}"
            ) from error
        return found

    def contrast(
        self,
        pair: tuple[Chosen, Chosen],
        measure: Chosen,
        where: Mapping[str, tuple[str, ...]],
        *,
        scale: Scale,
        file: str = "results.csv",
    ) -> Contrast:
        """Compare two samplers, paired over seeds: on the log scale a ratio of geometric means.

        Its interval is the t interval of this one comparison at 95 %; None with one seed.

        Raises:
            EvidenceError: a value is missing, or has no logarithm.
        """
        first, second = (self.by_seed(one, measure, where, file) for one in pair)
        if scale == "log" and any(r.value <= 0 for own in (first, second) for r in own.values()):
            raise EvidenceError(f"{self.id}: {measure.name}: a value that is not positive has no ratio")
        if not set(first) & set(second):
            raise EvidenceError(f"{self.id}: {pair[0].name} and {pair[1].name} share no seed")
        values = {"first": first, "second": second}
        (found,) = contrasts(values, [("first", "second")], scale=scale, level=LEVEL, one_model=False)
        return found

    def values_of(self, rows: pd.DataFrame, factor: str) -> list[str]:
        """Return a factor's values in some rows: numbers by size, texts as they stand in the file.

        Raises:
            EvidenceError: there is no such column.
        """
        if factor not in rows.columns:
            raise EvidenceError(f"{self.id}: no column {factor}; there are {', '.join(rows.columns)}")
        found = list(dict.fromkeys(rd.text_column(rows, factor)))
        try:
            return sorted(found, key=float)
        except ValueError:
            return found


def factors(rows: pd.DataFrame) -> list[str]:
    """Return the columns that may tell values of one seed apart."""
    apart = {
        "study",
        "cell",
        "model",
        "seed",
        "measure",
        "value",
        "std_error",
        "n",
        "n_reference",
        "traits",
        "role",
    }
    return [column for column in rows.columns if column not in apart]


@lru_cache(maxsize=32)
def _table(path: Path, _changed: int) -> pd.DataFrame:
    """Return a table as it is read once for all marks of all pages."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table = table.assign(**{c: pd.to_numeric(table[c]) for c in _NUMERIC if c in table.columns})
    calibrated = rd.is_calibrated(table) & (table["sampler"] != "")
    return table.assign(sampler=table["sampler"].where(~calibrated, table["sampler"] + rd.CALIBRATED))


def read_json(file: Path) -> Any:
    """Return the content of a file; None where there is none."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def studies(folder: Path = EXPERIMENTS) -> list[Published]:
    """Return all studies that have a claim, in the order of their numbers."""
    found = [Published(one.parent) for one in folder.glob("*/claim.yaml")]
    return sorted(found, key=lambda study: (not study.claim.number.isdigit(), study.claim.number.zfill(2)))
