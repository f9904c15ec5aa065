"""The card of a synthetic data set: its origin, what was measured, and whether it may be used."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml

from priorgap import __version__
from priorgap.core.artifacts import write_text
from priorgap.core.findings import Finding, stop_sentence
from priorgap.core.measures import Catalogue, Measure
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.verdict import readings as rd
from priorgap.verdict.headline import measure_name, number


@dataclass(frozen=True)
class Measured:
    """One measured number about the model's draws.

    Attributes:
        title: the measure's title.
        sentence: the measure's explanation.
        value: the number.
        std_error: its standard error; None where there is none.
    """

    title: str
    sentence: str
    value: float
    std_error: float | None


@dataclass(frozen=True)
class DataCard:
    """The description of a synthetic data set, for those who receive it.

    Attributes:
        study: the study, or what was compared.
        model: the model's id in the results.
        sampler: the distribution of z.
        role: candidate, control or specimen.
        traits: the sampler's traits in one text, "none" where it has none; "" where they are not known.
        decode: how z became x: "mean" or "draw".
        seed: the seed of the draws.
        n: the number of rows.
        label: the class of all rows; "" for all classes.
        headline: the verdict's headline; "" where there is none.
        findings: the findings of health on the model, the gravest first.
        measured: the ranking measure and the numbers on copying.
        context: the origin of the model's contexts; "" where it takes none.
        columns: the names of the last axis's values, which are in the units of the data's file; () without names.
        gaps: the names of those columns that may be missing.
    """

    study: str
    model: str
    sampler: str
    role: str
    traits: str
    decode: str
    seed: int
    n: int
    label: str = ""
    headline: str = ""
    findings: tuple[Finding, ...] = ()
    measured: tuple[Measured, ...] = ()
    context: str = ""
    columns: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()

    @property
    def stop(self) -> str:
        """The sentence that forbids the use of these data; "" without one."""
        return stop_sentence(self.findings)

    def to_markdown(self) -> str:
        """Return the card: facts as YAML for programs, then the same as text for people."""
        facts = {
            "generator": "priorgap",
            "study": self.study,
            "model": self.model,
            "sampler": self.sampler,
            "role": self.role,
            "traits": self.traits,
            "decode": self.decode,
            "seed": self.seed,
            "n": self.n,
            **({"class": self.label} if self.label else {}),
            **({"context": self.context} if self.context else {}),
            **({"columns": list(self.columns), "units": "those of the data's file"} if self.columns else {}),
            **({"gaps": list(self.gaps)} if self.gaps else {}),
            "usable": not self.stop,
            "versions": {
                "priorgap": __version__,
                "torch": str(torch.__version__),
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }
        parts = ["---\n" + yaml.safe_dump(facts, sort_keys=False, allow_unicode=True) + "---"]
        parts.append(f"# {self.n:,} synthetic rows, sampler {self.sampler}")
        if self.stop:
            parts.append(f"> **Do not use these data.** {self.stop}")
        parts.append(self._origin())
        if self.headline:
            parts.append(f"**The verdict:** {self.headline}")
        if self.findings:
            lines = [f"- {one.severity}: {one.sentence}" for one in self.findings]
            parts.append("\n".join(["**Health of the model:**", "", *lines]))
        if self.measured:
            lines = ["| measure | value | standard error | what it says |", "|---|---|---|---|"]
            lines += [_line(one) for one in self.measured]
            parts.append("\n".join(["**Measured of this sampler's draws:**", "", *lines]))
        return "\n\n".join(parts) + "\n"

    def _origin(self) -> str:
        how = {"mean": "the mean of p(x|z)", "draw": "a draw of p(x|z)"}.get(self.decode, self.decode)
        of_class = f", all of class {self.label}" if self.label else ""
        return (
            f"No row is an observation: each is {how} for a z drawn by the sampler {self.sampler} ({self.role}), "
            f"from {self.model} of {self.study}{of_class}; seed {self.seed}.{_trait_words(self.traits)}"
            f"{f' The contexts that the model was told are {self.context}.' if self.context else ''}"
            f"{_gap_words(self.gaps, self.decode)}"
        )


def _gap_words(gaps: tuple[str, ...], decode: str) -> str:
    """Return how missing values are represented, and how the decode rule treats gaps; "" without gaps."""
    if not gaps:
        return ""
    rare = " Gaps rarer than values vanish under this decode rule." if decode == "mean" else ""
    return f" Values of {', '.join(gaps)} may be missing: empty in .csv, NaN elsewhere.{rare}"


def _trait_words(traits: str) -> str:
    """Return a sentence on the sampler's traits that a receiver must know; "" where there are none."""
    facts = SamplerFacts.from_traits(traits) if traits else None
    if facts is None or not (facts.reconstructs or facts.needs_training_data):
        return ""
    if not facts.reconstructs:
        return " The sampler holds parts of single training rows."
    return (
        f" The sampler reconstructs training rows{', and holds parts of them' * facts.needs_training_data}."
    )


def _line(one: Measured) -> str:
    error = "" if one.std_error is None else number(one.std_error)
    return f"| {one.title} | {number(one.value)} | {error} | {one.sentence} |"


def measured_of(
    table: pd.DataFrame,
    *,
    model: str,
    sampler: str,
    measure: Measure | None,
    space: str,
    catalogue: Catalogue,
) -> tuple[Measured, ...]:
    """Return the ranking measure and all numbers on copying of one model's sampler.

    Args:
        table: the results.
        model: the model's id.
        sampler: the sampler's name.
        measure: the measure that ranks; None where nothing is ranked.
        space: the ranking's feature space.
        catalogue: the entries of the measures.
    """
    if table.empty:
        return ()
    rows = table[
        (rd.text_column(table, "sampler") == sampler)
        & (rd.text_column(table, "model") == model)
        & (rd.text_column(table, "unit") == "")
        & table["value"].notna()
    ]
    found: list[Measured] = []
    for name, own in rows.groupby("measure", sort=False):
        entry = catalogue.get(str(name))
        ranks = measure is not None and name == measure.name
        if entry is None or not (ranks or entry.section == "copying"):
            continue
        if ranks and space:
            own = own[rd.text_column(own, "space") == space]
        found += _of_rows(entry, own)
    return tuple(found)


def _of_rows(entry: Measure, rows: pd.DataFrame) -> Sequence[Measured]:
    columns = (rd.text_column(rows, "space"), rd.text_column(rows, "bound"), rows["value"], rows["std_error"])
    found = []
    for space, bound, value, error in zip(*columns, strict=True):
        title = measure_name(entry, space) + (f", {bound} limit" if bound in ("lower", "upper") else "")
        known = None if pd.isna(error) else float(error)
        found.append(Measured(title, entry.sentence, float(value), known))
    return found


def write_card(card: DataCard, out: Path) -> Path:
    """Write a card beside a data set: out.npz -> out.npz.card.md; return its path."""
    place = out.with_name(f"{out.name}.card.md")
    write_text(place, card.to_markdown())
    return place
