"""Print the tables of metric options and of the catalogue, or write them into methods.md (--write)."""

import re
import sys
from pathlib import Path

import yaml

from priorgap.core.build import configuration_directory, load_option
from priorgap.core.catalogue import BUILTIN
from priorgap.metrics import ImageMetric
from priorgap.metrics.protocols import wants
from priorgap.metrics.torchmetrics_image import build_metric

METHODS = Path(__file__).with_name("methods.md")
TABLES = ("measures", "catalogue")


def options() -> list[str]:
    """Return the names of all metric options that build one metric."""
    files = sorted((configuration_directory() / "metric").glob("*.yaml"))
    return [f.stem for f in files if "_target_" in yaml.safe_load(f.read_text())]


def table() -> str:
    """Return the table: option, the first list that holds it, scope, what it needs (uses), what it says of itself."""
    lines = ["| option | in | of a | needs | gives |", "|---|---|---|---|---|"]
    for name in options():
        metric = build_metric(load_option("metric", name), name)
        text = metric.measures[0].sentence if isinstance(metric, ImageMetric) else type(metric).__doc__ or ""
        said = " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")
        needs = [*sorted(metric.needs), *(f"({other})" for other in sorted(wants(metric) - metric.needs))]
        lists = [
            one
            for one in ("standard", "full", "series", "tables", "published_series")
            if name in load_lists(one)
        ]
        where = lists[0] if lists else "by hand"
        lines.append(f"| `{name}` | {where} | {metric.scope} | {', '.join(needs)} | {said} |")
    return "\n".join(lines)


def catalogue() -> str:
    """Return the table of the catalogue: measure, title, direction, unit, null, range, part of the report, words."""
    lines = [
        "| measure | title | better | unit | null | range | in the report | says |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in BUILTIN.values():
        low, high = ("" if limit is None else f"{limit:g}" for limit in one.range)
        cells = (
            f"`{one.name}`",
            one.title,
            "" if one.direction == "neither" else one.direction + (", ranks" if one.rankable else ""),
            one.unit,
            "" if one.null is None else f"{one.null:g}",
            f"{low} to {high}".strip() if low or high else "",
            one.section + (f", by {one.by}" if one.by else ""),
            one.sentence,
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def load_lists(name: str) -> list[str]:
    """Return the names that a list option (standard, full, series, tables, published_series) selects."""
    content = yaml.safe_load((configuration_directory() / "metric" / f"{name}.yaml").read_text())
    return [str(entry) for entry in content["defaults"]]


def written(text: str) -> str:
    """Return the document with each table between its marks."""
    for name, made in zip(TABLES, (table(), catalogue()), strict=True):
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        text = re.sub(
            f"{start}.*?{end}", lambda _, s=start, m=made, e=end: f"{s}\n{m}\n{e}", text, flags=re.S
        )
    return text


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        METHODS.write_text(written(METHODS.read_text()))
    else:
        sys.stdout.write(table() + "\n\n" + catalogue() + "\n")
