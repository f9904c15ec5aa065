"""The kinds of a table's columns: guessed from their values, or declared in a file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from priorgap.core.arguments import show
from priorgap.tables.layout import Value

ColumnKind = Literal["continuous", "integer", "categorical", "ordinal", "boolean", "datetime", "id"]
_KEYS = ("kind", "categories")
_WITH_CATEGORIES = ("categorical", "ordinal")


@dataclass(frozen=True)
class ColumnSchema:
    """The kind of a column, with its declared categories.

    Attributes:
        name: the name in the file.
        kind: the kind of its values; an identifier is left out.
        categories: all possible categories, in order; empty: those of the training rows, sorted.
        why: why it was guessed to be an identifier; "" otherwise.
    """

    name: str
    kind: ColumnKind
    categories: tuple[Value, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Schema:
    """The kinds of a table's columns, in the file's order."""

    columns: tuple[ColumnSchema, ...]

    def __getitem__(self, name: str) -> ColumnSchema:
        return next(column for column in self.columns if column.name == name)

    def text(self) -> str:
        """Return it as YAML that `read_schema` reads."""
        columns = {}
        for column in self.columns:
            node: dict[str, Any] = {"kind": column.kind}
            if column.categories:
                node["categories"] = list(column.categories)
            columns[column.name] = node
        return yaml.safe_dump({"columns": columns}, sort_keys=False, allow_unicode=True, width=110)

    def check_names(self, names: Sequence[str], place: str) -> None:
        """Check that all columns that the schema names exist.

        Raises:
            ValueError: a column does not exist; one line.
        """
        for name in (column.name for column in self.columns):
            if name not in names:
                raise ValueError(
                    f"data.schema: column {show(name)}: there is none in {place}; expected {show(', '.join(names))}"
                )


def read_schema(path: Path) -> Schema:
    """Return the schema in a YAML or JSON file: under `columns`, for each its `kind` and optional `categories`.

    The kinds of other columns are guessed.

    Raises:
        ValueError: the file does not exist or holds no schema; one line.
    """
    place = f"data.schema={path}"
    if not path.is_file():
        raise ValueError(f"{place}: no such file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{place}: no YAML or JSON ({show(error)})") from error
    columns = content.get("columns") if isinstance(content, Mapping) else None
    if not isinstance(columns, Mapping) or set(content) != {"columns"}:
        raise ValueError(f"{place}: expected one key, columns, and below it NAME: {{kind: KIND}}")
    return Schema(tuple(_column(str(name), node, place) for name, node in columns.items()))


def _column(name: str, node: object, place: str) -> ColumnSchema:
    where = f"{place}: column {name}"
    if isinstance(node, str):
        node = {"kind": node}
    if not isinstance(node, Mapping) or "kind" not in node or not set(node) <= set(_KEYS):
        raise ValueError(f"{where}: {show(node)}; expected kind and, where wanted, categories")
    kind, categories = node["kind"], node.get("categories") or ()
    if kind not in get_args(ColumnKind):
        raise ValueError(f"{where}: kind={show(kind)}; expected one of {', '.join(get_args(ColumnKind))}")
    if not isinstance(categories, list | tuple) or not all(
        type(one) in (str, int, bool) for one in categories
    ):
        raise ValueError(f"{where}: categories={show(categories)}; expected a list of texts or integers")
    if categories and kind not in _WITH_CATEGORIES:
        raise ValueError(
            f"{where}: categories of kind={kind}; expected them of {' or '.join(_WITH_CATEGORIES)}"
        )
    if len(set(categories)) < len(categories):
        raise ValueError(f"{where}: a category stands twice; expected each once")
    if kind == "ordinal" and not categories:
        raise ValueError(f"{where}: kind=ordinal; expected its categories, in their order")
    return ColumnSchema(name, kind, tuple(categories))


def left_out(columns: Iterable[ColumnSchema]) -> list[str]:
    """Return which columns are identifiers, in words."""
    return [
        f"column {column.name} left out: an id{f' ({column.why})' if column.why else ''}"
        for column in columns
        if column.kind == "id"
    ]
