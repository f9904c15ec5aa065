"""Results of benchmarks as lines of JSON: what was printed, by which command, of which commit, on which processor.

A result is one run of one command. `results.jsonl` is added to and never rewritten; the newest result of each command
on each processor is on the page (page.py).
"""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent
RESULTS = BENCHMARKS / "results.jsonl"
ABSOLUTE_PATH = re.compile(r"(?<![\w.~/:])~?/(?:[\w.+@=-]+/)+[\w.+@=-]*")


class ResultError(ValueError):
    """A result, or a table of one, that cannot be read; says where and what was expected."""


@dataclass(frozen=True)
class Table:
    """A table as printed: each row has as many cells as the header."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [self.header, ("---",) * len(self.header), *self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


@dataclass(frozen=True)
class Result:
    """What one run of a benchmark printed.

    Attributes:
        name: The script's name without `.py`; a name of its own where the command is none of these scripts.
        command: The command line, with `DIR` and `PATH` in place of a machine's paths.
        commit: Full hash of the commit that was measured; where status is None, of the one that brought the figures.
        dirty: Whether the checkout differed from the commit.
        date: Day of the run (UTC), or of the commit that brought the figures.
        processor: Brand and instructions; None where they were not recorded.
        torch: Version of PyTorch; None where it was not recorded.
        python: Version of Python; None where it was not recorded.
        status: Exit status, 1 where a goal was missed; None where it was not recorded.
        tables: Tables that were printed.
        notes: The other lines.
    """

    name: str
    command: str
    commit: str | None
    dirty: bool
    date: str
    processor: str | None
    torch: str | None
    python: str | None
    status: int | None
    tables: tuple[Table, ...]
    notes: tuple[str, ...]

    def line(self) -> str:
        """Return the result as a line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)


def cells_of(line: str) -> tuple[str, ...]:
    """Return the cells of a Markdown row; `\\|` is no border."""
    inner = re.split(r"(?<!\\)\|", line.strip())
    return tuple(cell.strip() for cell in inner[1:-1])


def parse(text: str) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """Return the Markdown tables with rows of a benchmark's output, and its other lines that are not empty.

    Args:
        text: The output; a line that starts with a bar belongs to a table.

    Raises:
        ResultError: If a table lacks its rule of dashes, or has a row of another width than its header.
    """
    tables: list[Table] = []
    notes: list[str] = []
    block: list[tuple[int, str]] = []
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        if line.lstrip().startswith("|"):
            block.append((number, line))
            continue
        if block:
            tables.append(_table(block))
            block = []
        if line.strip():
            notes.append(" ".join(line.split()))
    # where a part was not asked for, its header stands alone
    return tuple(table for table in tables if table.rows), tuple(notes)


def _table(block: list[tuple[int, str]]) -> Table:
    number, first = block[0]
    for place, line in block:
        if not line.rstrip().endswith("|"):
            raise ResultError(
                f"line {place} of the output: {line!r} is a row of a table without a bar at its end"
            )
    header = cells_of(first)
    rule = cells_of(block[1][1]) if len(block) > 1 else ()
    if not rule or not all(re.fullmatch(r":?-{3,}:?", cell) for cell in rule):
        raise ResultError(
            f"line {number} of the output: {first!r} starts a table; a row of |---| must follow it"
        )
    for place, line in block[1:]:
        if len(cells_of(line)) != len(header):
            raise ResultError(
                f"line {place} of the output: {line!r} has {len(cells_of(line))} cells, its header has {len(header)}"
            )
    return Table(header, tuple(cells_of(line) for _, line in block[2:]))


def read(lines: Iterable[str], source: str = RESULTS.name) -> list[Result]:
    """Return the results of a file's lines.

    Args:
        lines: One JSON object each.
        source: What messages call the file.

    Raises:
        ResultError: If a line is not a result; names the line, the field, its value and what was expected.
    """
    return [_result(line, f"{source} line {number}") for number, line in enumerate(lines, start=1)]


def _result(line: str, where: str) -> Result:
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        raise ResultError(f"{where}: not JSON ({error})") from error
    names = {field.name for field in fields(Result)}
    if not isinstance(found, dict) or set(found) != names:
        given = sorted(set(found) ^ names) if isinstance(found, dict) else type(found).__name__
        raise ResultError(
            f"{where}: expected exactly the fields {sorted(names)}; missing or unknown: {given}"
        )

    def expect(name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ResultError(f"{where}: {name} is {found[name]!r}, expected {expected}")

    for name in ("name", "command"):
        expect(name, isinstance(found[name], str) and bool(found[name]), "text")
    commit = found["commit"]
    known = isinstance(commit, str) and re.fullmatch("[0-9a-f]{40}", commit) is not None
    expect("commit", commit is None or known, "40 hexadecimal digits or null")
    expect("dirty", isinstance(found["dirty"], bool), "true or false")
    expect("date", _is_day(found["date"]), "a day as 2026-01-31")
    for name in ("processor", "torch", "python"):
        expect(
            name, found[name] is None or (isinstance(found[name], str) and bool(found[name])), "text or null"
        )
    status = found["status"]
    expect("status", status is None or (type(status) is int and status in (0, 1)), "0, 1 or null")
    expect("notes", _are_texts(found["notes"]), "a list of texts")
    expect("tables", isinstance(found["tables"], list), "a list of tables")
    tables = tuple(_read_table(table, where) for table in found["tables"])
    return Result(**{**found, "tables": tables, "notes": tuple(found["notes"])})


def _read_table(found: object, where: str) -> Table:
    if not isinstance(found, dict) or set(found) != {"header", "rows"} or not isinstance(found["rows"], list):
        raise ResultError(f"{where}: a table is {found!r}, expected a header and rows")
    header, rows = found["header"], found["rows"]
    if not (_are_texts(header) and header and rows):
        raise ResultError(
            f"{where}: the header is {header!r} with {len(rows)} rows, expected texts and a row or more"
        )
    for row in rows:
        if not (_are_texts(row) and len(row) == len(header)):
            raise ResultError(
                f"{where}: the row {row!r} is not {len(header)} texts, as many as its header has"
            )
    return Table(tuple(header), tuple(tuple(row) for row in rows))


def _are_texts(found: object) -> bool:
    return isinstance(found, list) and all(isinstance(one, str) for one in found)


def _is_day(found: object) -> bool:
    try:
        return isinstance(found, str) and date.fromisoformat(found).isoformat() == found
    except ValueError:
        return False


def newest(results: Iterable[Result]) -> list[Result]:
    """Return the newest result of each command on each processor, by name, in the order of their first lines."""
    last: dict[tuple[str, str, str | None], Result] = {}
    for result in results:
        key = (result.name, result.command, result.processor)
        if key not in last or result.date >= last[key].date:
            last[key] = result
    return sorted(last.values(), key=lambda result: result.name)


def without_paths(text: str) -> str:
    """Return a text with `PATH` in place of each absolute path: what is recorded names no machine's folders."""
    return ABSOLUTE_PATH.sub("PATH", text)
