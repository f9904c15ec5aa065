"""What stands between `<!-- generated: ... -->` and `<!-- end -->`, as Markdown."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from posixpath import relpath
from typing import Any

import pandas as pd

from priorgap.core.measures import Scale
from priorgap.report.tables import ABSENT, ROLE_ORDER, over_seeds
from priorgap.verdict import readings as rd
from priorgap.verdict.headline import join, number
from writeup.numbers import combinations, effect, signed, took
from writeup.published import Published
from writeup.query import Chosen, EvidenceError, Query
from writeup.swaps import swaps

_ARROW = {"lower": " ↓", "higher": " ↑"}
_NOT_MEASURED = "Not measured yet."


def block(query: Query, study: Published, page: Path) -> str:
    """Return a block of one study.

    Args:
        query: what the mark asks for.
        study: whose.
        page: where it stands, for links.

    Raises:
        EvidenceError: it asks for what was not measured.
    """
    if query.kind == "figure":
        return _figure(query, study, page)
    if not study.measured:
        return _NOT_MEASURED
    made: Mapping[str, Callable[[Query, Published], str]] = {
        "headline": _headline,
        "table": _table,
        "ratio": _contrasts,
        "difference": _contrasts,
        "took": _took,
        "agreement": _agreement,
        "swaps": _swaps,
    }
    return made[query.kind](query, study)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], n_left: int = 1) -> str:
    """Return a Markdown table; the first columns stand on the left."""
    lines = [header, ["---" if i < n_left else "---:" for i in range(len(header))], *rows]
    return "\n".join("| " + " | ".join(entry.replace("|", "¦") for entry in line) + " |" for line in lines)


def _headline(query: Query, study: Published) -> str:
    verdict = study.verdict
    if verdict is None:
        return _NOT_MEASURED
    lines = [f"> **Do this:** {verdict['headline']}"]
    lines += [f"> **How sure:** {verdict['sure']}"] if verdict["sure"] else []
    text = "\n>\n".join(lines)
    if "details" in query.shown:
        cells = verdict["cells"]
        said = cells[0]["details"]["sentences"] if len(cells) == 1 else verdict["lines"][1:]
        folded = "\n".join(f"- {line}" for line in said)
        text += f"\n\n<details><summary>Details</summary>\n\n{folded}\n\n</details>"
    return text


def _table(query: Query, study: Published) -> str:
    if not query.names:
        raise EvidenceError("table: expected a measure")
    parts = {measure: study.rows(measure, query.where, query.file) for measure in query.names}
    columns: list[tuple[Chosen, str | None]] = [
        (measure, value)
        for measure in query.names
        for value in (_values(query, study, parts[measure], query.across) if query.across else [None])
    ]
    places = _combinations(query, study, parts)
    rows = []
    for place in places:
        entries = [_entry(study, parts[measure], place, query.across, value) for measure, value in columns]
        if any(entry != ABSENT for entry in entries):
            rows.append([*place.values(), *entries])
    if not rows:
        raise EvidenceError(f"{study.id}: {', '.join(query.by)}: nothing in this table")
    heads = [
        _head(study, measure, value, len(query.names) > 1 or query.across is None)
        for measure, value in columns
    ]
    return markdown([*query.by, *heads], rows, len(query.by)) + "\n\n" + _note(query, study, parts)


def _combinations(
    query: Query, study: Published, parts: Mapping[Chosen, pd.DataFrame]
) -> list[dict[str, str]]:
    found: list[dict[str, str]] = [{}]
    together = pd.concat(parts.values())
    for factor in query.by:
        values = _values(query, study, together, factor)
        found = [{**place, factor: value} for place in found for value in values]
    return found


def _values(query: Query, study: Published, rows: pd.DataFrame, factor: str) -> list[str]:
    """Return a factor's values as they are asked for, else as they come; samplers by role."""
    there = study.values_of(rows, factor)
    if factor in query.where:
        return [value for value in query.where[factor] if value in there or value == "model"]
    if factor == "sampler":
        role = dict(zip(rows["sampler"], rd.text_column(rows, "role"), strict=True))
        return sorted(there, key=lambda name: ROLE_ORDER.get(role[name], len(ROLE_ORDER)))
    return there


def _entry(
    study: Published, rows: pd.DataFrame, place: Mapping[str, str], across: str | None, value: str | None
) -> str:
    chosen = {**place, **({across: value} if across else {})}
    for factor, wanted in chosen.items():
        rows = rows[rd.text_column(rows, factor) == ("" if wanted == "model" else wanted)]
    for _, same in rows.groupby([rd.text_column(rows, "bound"), rows["seed"]]):
        if len(same) > 1:
            differ = [c for c in ("sampler", *same.columns) if c not in chosen and same[c].nunique() > 1]
            names = ", ".join(
                dict.fromkeys(c for c in differ if c not in ("value", "std_error", "cell", "model"))
            )
            raise EvidenceError(f"{study.id}: {', '.join(place)}: several values a seed; choose by {names}")
    return signed(over_seeds(rows))


def _head(study: Published, measure: Chosen, value: str | None, named: bool) -> str:
    if not named:
        return str(value)
    one = study.measure(measure.name)
    title = f"{one.title}{f' ({measure.space})' if measure.space else ''}{_ARROW.get(one.direction, '')}"
    return title if value is None else f"{title}: {value}"


def _note(query: Query, study: Published, parts: Mapping[Chosen, pd.DataFrame]) -> str:
    rows = pd.concat(parts.values())
    n_seeds = rows["seed"].nunique()
    said = ["One model; ± is a standard error" if n_seeds == 1 else f"Mean ± s.d. over {n_seeds} seeds"]
    by_space: dict[str, list[str]] = {}
    for measure, own in parts.items():
        # measures of the data or of codes have no feature space
        space = ({*rd.text_column(own, "space")} - {"", "data", "latent"} or {""}).pop()
        by_space.setdefault(space, []).append(study.measure(measure.name).title)
    said += [f"{join(titles)} in the space {space}" for space, titles in by_space.items() if space]
    said += [join(by_space[""])] if query.across and len(parts) == 1 and "" in by_space else []
    sizes = sorted({int(n) for n in rows["n"].dropna()})
    said += [f"n = {sizes[0]:,}"] if len(sizes) == 1 else []
    return "; ".join(said) + "."


def _contrasts(query: Query, study: Published) -> str:
    """Return a table: a row for each combination of `by`, a column for each pair and measure."""
    scale: Scale = "log" if query.kind == "ratio" else "identity"
    mark = " / " if query.kind == "ratio" else " − "
    header, rows, seeds = list(query.by), [], set()
    for measure in query.names:
        for pair in query.pairs:
            title = mark.join(_side(one) for one in pair)
            named = f"{study.measure(measure.name).title}{f' ({measure.space})' if measure.space else ''}: "
            header.append((named if len(query.names) > 1 else "") + title)
    for where in combinations(query, study, query.names[0]):
        entries = []
        for measure in query.names:
            for pair in query.pairs:
                found = study.contrast(pair, measure, where, scale=scale, file=query.file)
                seeds.add(found.n_pairs)
                entries.append(effect(found, interval=True))
        rows.append([*(where[factor][0] for factor in query.by), *entries])
    what = "Ratios (geometric means)" if query.kind == "ratio" else "Differences (means)"
    one = f" of {study.measure(query.names[0].name).title}" if len(query.names) == 1 else ""
    n = " to ".join(str(n) for n in sorted({min(seeds), max(seeds)}))
    note = f"{what}{one}, paired over {n} seeds, with 95 % t intervals of single comparisons."
    return markdown(header, rows, len(query.by)) + "\n\n" + note


def _side(one: Chosen) -> str:
    where = ", ".join(f"{value}" for value in one.where.values())
    return f"{one.name} ({where})" if where else one.name


def _took(query: Query, study: Published) -> str:
    found: Mapping[str, Any] | None = study.provenance
    if found is None:
        return "What it took, and the processor, were not recorded."
    models, spent = found["models"], found["took"]
    seeds = ", ".join(str(seed) for seed in found["seeds"])
    commits = join([one[:9] for one in found["commits"]])
    unknown = spent["without_cpu_seconds"]
    lines = [
        f"`{found['command']}`, seeds {seeds}:",
        f"{took(study)}, {number(spent['busy_seconds'] / 60)} minutes of work"
        + (f" ({unknown} of {spent['results']} results do not say their processor time)" if unknown else "")
        + ";",
        f"processor {models['processor']}; commit {commits}; "
        f"PyTorch {models['packages']['torch']}; {found['finished']}.",
    ]
    return "\n".join(lines)


def _agreement(query: Query, study: Published) -> str:
    """Return Kendall's tau of the ranking with that in every other space, by cell, as the verdict has it."""
    if study.verdict is None:
        return _NOT_MEASURED
    cells = [one["details"] for one in study.verdict["cells"]]
    spaces = sorted({space for one in cells for space in one["agreement"]})
    if not spaces:
        raise EvidenceError(f"{study.id}: its verdict knows one feature space")
    rows = [
        [
            rd.describe(one["keys"]) or "all models",
            *(
                signed(number(one["agreement"][space])) if space in one["agreement"] else ABSENT
                for space in spaces
            ),
        ]
        for one in cells
    ]
    own = study.measure(str(study.verdict["measure"])).title
    space = study.verdict["space"]
    note = f"Kendall's tau of the candidates' order by {own} in the space {space} with that in another."
    return markdown(["cell", *spaces], rows) + "\n\n" + note


def _swaps(query: Query, study: Published) -> str:
    header, rows, note = swaps(query, study)
    return markdown(header, rows) + "\n\n" + note


def _figure(query: Query, study: Published, page: Path) -> str:
    (name,) = [one.name for one in query.names] or [""]
    file = study.folder / "figures" / f"{name}.png"
    if not file.is_file():
        if not study.measured:
            return _NOT_MEASURED
        raise EvidenceError(f"{study.id}: no figures/{name}.png")
    said = f"{name} of {study.id}"
    return f"![{said}]({relpath(file.as_posix(), page.parent.as_posix())})"
