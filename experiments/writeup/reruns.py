"""A study's seeds run again: which rows are equal, how far the others moved, and what that does to its verdict."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from priorgap.verdict import StudyVerdict
from priorgap.verdict import readings as rd
from priorgap.verdict.headline import interval_text
from priorgap.verdict.headline import number as three_digits
from writeup.blocks import markdown
from writeup.published import Published, read_json
from writeup.query import EvidenceError

FILE = "rerun.json"
# what a rerun may change; ids hold versions, and every other column says which row it is
_CONTENT = ("value", "std_error", "n", "n_reference")
_IDS = ("cell", "model", "study", "traits")
Decide = Callable[[pd.DataFrame], StudyVerdict]


def compared(study: Published, again: Path, decide: Decide) -> dict[str, Any]:
    """Compare the rows of a rerun with those of the same seeds that were published.

    Args:
        study: what was published.
        again: the folder of the rerun's report.
        decide: gives the verdict of a table, by the study's own rules.

    Returns:
        An entry of rerun.json: `seeds`; `rows`, and how many are `equal` as text; `moved`, measure -> the largest
        change relative to the value and in published standard errors; `cells`, the recommendation and every effect
        against the baseline, as published and with the rerun's rows in place of those published, and of these seeds
        alone; commit, processor and kernels of the rerun.

    Raises:
        EvidenceError: the two do not have the same rows, or the study has no verdict.
    """
    if study.verdict is None:
        raise EvidenceError(f"{study.id}: no verdict.json to compare a rerun with")
    old, new = (_text(folder / "results.csv") for folder in (study.folder, again))
    seeds = sorted(set(new["seed"]), key=int)
    places = _places(old, new, study.id)
    content = [name for name in _CONTENT if name in old.columns and name in new.columns]
    before, after = old.loc[places.index, content], new.loc[places, content].set_axis(places.index)
    changed = (before != after).any(axis=1)
    published = pd.read_csv(study.folder / "results.csv", low_memory=False)
    put = published.copy()
    rerun = pd.read_csv(again / "results.csv", low_memory=False)
    put.loc[places.index, content] = rerun.loc[places, content].to_numpy()
    alone = put["seed"].astype(str).isin(seeds)
    made = (Published(again).provenance or {}).get("models", {})
    return {
        "seeds": [int(seed) for seed in seeds],
        "rows": len(places),
        "equal": int((~changed).sum()),
        "moved": _moved(published.loc[places.index][changed], put.loc[places.index][changed]),
        "cells": _cells(study.verdict, decide(put), decide(published[alone]), decide(put[alone])),
        **{key: str(made.get(key) or "") for key in ("commit", "processor", "kernels")},
    }


def _text(file: Path) -> pd.DataFrame:
    if not file.is_file():
        raise EvidenceError(f"{file.parent}: no {file.name}; expected the folder of a report")
    return pd.read_csv(file, dtype=str, keep_default_na=False)


def _places(old: pd.DataFrame, new: pd.DataFrame, name: str) -> "pd.Series[int]":
    """Return where each published row of the rerun's seeds stands in the rerun's table."""
    names = [c for c in old.columns if c in new.columns and c not in (*_CONTENT, *_IDS)]
    keys, again = (table[names].agg("\t".join, axis=1) for table in (old[old["seed"].isin(new["seed"])], new))
    for these in (keys, again):
        if these.duplicated().any():
            twice = these[these.duplicated()].iloc[0].replace("\t", " ")
            raise EvidenceError(f"{name}: two rows are both {twice}")
    apart = sorted(set(keys) ^ set(again))
    if apart:
        one = apart[0].replace("\t", " ")
        which = "published" if apart[0] in set(keys) else "rerun"
        raise EvidenceError(f"{name}: {len(apart)} rows without a twin; only {which}: {one}")
    found = pd.Series(again.index, index=again.to_numpy())
    return pd.Series(found[keys.to_numpy()].to_numpy(), index=keys.index)


def _moved(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Return each measure's largest changes: relative to the published value, and in its standard errors."""
    change = (after["value"] - before["value"]).abs()
    relative = change / before["value"].abs().where(before["value"] != 0)
    in_errors = change / before["std_error"].where(before["std_error"] > 0)
    return {
        str(measure): {"relative": _largest(relative[at]), "std_errors": _largest(in_errors[at])}
        for measure, at in before.groupby("measure").groups.items()
    }


def _largest(values: "pd.Series[float]") -> float | None:
    top = float(values.max()) if len(values) else math.nan
    return None if math.isnan(top) else float(f"{top:.3g}")


def _cells(
    published: Mapping[str, Any], put: StudyVerdict, before: StudyVerdict, after: StudyVerdict
) -> list[dict[str, Any]]:
    found = []
    for cell, now, old, new in zip(published["cells"], put.cells, before.cells, after.cells, strict=True):
        effects = {
            one["sampler"]: {
                "published": one["effect"],
                "interval": one["interval"],
                "put": _effect(now, one["sampler"]),
                "seeds": [_effect(old, one["sampler"]), _effect(new, one["sampler"])],
            }
            for one in cell["details"]["against_baseline"]
        }
        recommended = [cell["recommended"], now.recommended]
        found.append(
            {"cell": rd.describe(cell["details"]["keys"]), "recommended": recommended, "effects": effects}
        )
    return found


def _effect(cell: Any, sampler: str) -> float | None:
    return next((one.effect for one in cell.against_baseline if one.sampler == sampler), None)


def holds(entry: Mapping[str, Any]) -> bool:
    """Whether the recommendation is the same in every cell, and every effect lies in its published interval."""
    return all(
        one["recommended"][0] == one["recommended"][1] and all(map(_inside, one["effects"].values()))
        for one in entry["cells"]
    )


def _inside(effect: Mapping[str, Any]) -> bool:
    if effect["interval"] is None or effect["put"] is None:
        return bool(effect["published"] == effect["put"])
    low, high = effect["interval"]
    return bool(low <= effect["put"] <= high)


def lines(name: str, entry: Mapping[str, Any]) -> list[str]:
    """Return an entry as lines for a terminal."""
    seeds = ", ".join(map(str, entry["seeds"]))
    found = [f"{name}, seed {seeds}: {entry['equal']:,} of {entry['rows']:,} rows are equal as text"]
    for measure, by in entry["moved"].items():
        in_errors = "" if by["std_errors"] is None else f", {by['std_errors']:g} standard errors"
        found.append(f"  {measure}: moved by at most {by['relative'] or 0:.3g} of its value{in_errors}")
    for one in entry["cells"]:
        before, now = one["recommended"]
        found.append(f"  {one['cell'] or 'all models'}: recommended {now}, published {before}")
        found += [
            f"    {sampler}: {three_digits(by['published'])} {interval_text(by['interval'])} published, "
            f"{_number(by['put'])} with these rows; of these seeds {' and '.join(map(_number, by['seeds']))}"
            for sampler, by in one["effects"].items()
        ]
    return found


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def table(found: Sequence[Published]) -> str:
    """Return the table of all seeds that were run again."""
    rows = []
    for study in found:
        for entry in recorded(study):
            moves = [
                abs(by["seeds"][1] / by["seeds"][0] - 1)
                for one in entry["cells"]
                for by in one["effects"].values()
                if None not in by["seeds"] and by["seeds"][0]
            ]
            machine = ", ".join(filter(None, (entry["processor"], entry["kernels"])))
            first = _first(study)
            rows.append([
                study.id, ", ".join(map(str, entry["seeds"])), machine,
                "the same" if first == machine else first, f"{entry['rows']:,}", f"{entry['equal']:,}",
                f"{100 * max(moves, default=0):.2g} %", "the same" if holds(entry) else "**another**",
            ])  # fmt: skip
    if not rows:
        return "None yet."
    moved = "largest move of an effect"
    heads = [
        "study",
        "seed",
        "run again on",
        "published on",
        "rows",
        "equal as text",
        moved,
        "recommendation",
    ]
    return markdown(heads, rows, 4)


def _first(study: Published) -> str:
    """Return the processor that the published results were made on."""
    return "not recorded" if study.provenance is None else str(study.provenance["models"]["processor"])


def recorded(study: Published) -> list[dict[str, Any]]:
    """Return the entries of a study's rerun.json; [] where there is none."""
    found: list[dict[str, Any]] = read_json(study.folder / FILE) or []
    return found


def with_entry(known: Sequence[Mapping[str, Any]], entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the entries with a new one, in place of that of the same seeds, processor and kernels."""
    by = ("seeds", "processor", "kernels")
    kept = [one for one in known if [one[key] for key in by] != [entry[key] for key in by]]
    return [*kept, entry]
