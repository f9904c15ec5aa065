"""The form of a table in a text file, told by its first lines: encoding, separator, decimals and column names."""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from priorgap.core.arguments import show
from priorgap.data.splits import DataCorrupt

Decimal = Literal["point", "comma"]

# The number of lines from which a file's form is told.
_SAMPLE = 200
_BLOCK = 2**20
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_NUMBER = re.compile(
    r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*|\s*[+-]?(nan|inf|infinity)\s*", re.IGNORECASE
)
_COMMA_NUMBER = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*")
_THOUSANDS = re.compile(r"\s*[+-]?[1-9]\d{0,2}(,\d{3})+\s*")
_SEPARATORS = "\t;|,"
_SPACES = r"\s+"


@dataclass(frozen=True)
class Form:
    """How a text file must be read.

    Attributes:
        encoding: the encoding of its bytes.
        separator: the separator of values; a regular expression for spaces.
        decimal: "." or ",".
        skip: the number of lines before the table.
        header: whether the first line of the table names the columns.
        names: the columns' names; "" is a column without a name.
        done: what is unusual, in words.
    """

    encoding: str
    separator: str
    decimal: str
    skip: int
    header: bool
    names: tuple[str, ...]
    done: tuple[str, ...]

    def rows(self, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        """Yield the values of each line of the table that is not blank, with the line's number in the file."""
        reader = reader_of(islice(lines, self.skip, None), self.separator)
        for row in reader:
            if len(row) > 1 or any(map(str.strip, row)):
                yield self.skip + reader.line_num, row


def reader_of(lines: Iterable[str], separator: str) -> Any:
    """Return a reader that splits lines into values."""
    if separator == _SPACES:
        plain = (line.replace("\t", " ").strip() for line in lines)
        return csv.reader(plain, delimiter=" ", skipinitialspace=True)
    return csv.reader(lines, delimiter=separator, skipinitialspace=True)


def form_of(path: Path, place: str, header: bool | None, decimal: Decimal | None) -> Form:
    """Find out how a file must be read from its first lines.

    Raises:
        DataCorrupt: it is no text, or its lines have different numbers of values; one line.
    """
    encoding = _encoding(path, place)
    with path.open(encoding=encoding, newline="") as file:
        lines = list(islice(file, _SAMPLE))
    if not any(line.strip() for line in lines):
        raise DataCorrupt(f"{place}: holds blank lines; expected rows")
    done = ["not UTF-8: read as Windows-1252"] if encoding == "cp1252" else []
    skip, comment, separator = _before(lines)
    try:
        separator = separator or _separator(lines[skip:], tabs=path.suffix.lower() == ".tsv")
        numbered = list(Form(encoding, separator, ".", skip, False, (), ()).rows(lines))
        above: list[str] = next(reader_of([comment], separator), [])
    except csv.Error as error:
        raise DataCorrupt(f"{place}: no table ({show(error)})") from error
    if len(lines) == _SAMPLE and len(numbered) > 1:
        # The sample may end in the middle of a quoted value.
        numbered.pop()
    rows = _even(numbered, place)
    comma = decimal == "comma" or (decimal is None and _decimal_commas(rows, separator, place))
    if comma:
        done.append("decimal commas")
        rows = [[with_points(value) for value in row] for row in rows]
    named = _is_header(rows) if header is None else header
    # np.savetxt writes the columns' names into a comment line above the table.
    noted = not named and len(above) == len(rows[0])
    if skip and not noted:
        done.append(f"{'a line' if skip == 1 else f'{skip} lines'} before the table left out")
    if noted:
        done.append("a line of comment has the columns' names")
    elif not named:
        done.append(f"no header line: columns are called 0 to {len(rows[0]) - 1}")
    elif header is None and any(_NUMBER.fullmatch(value) for value in rows[0]):
        done.append("numbers in the first line are the columns' names")
    names = [value.strip() for value in (above if noted else rows[0])]
    names = names if named or noted else [str(i) for i in range(len(names))]
    if named and len(rows) == 1:
        raise DataCorrupt(f"{place}: a line of names and no rows; expected at least 1 row")
    return Form(encoding, separator, "," if comma else ".", skip, named, tuple(names), tuple(done))


def _before(lines: Sequence[str]) -> tuple[int, str, str]:
    """Return how many lines precede a table, the last of them without its comment mark, and a separator they name."""
    mark = re.fullmatch(r"sep=(.)\s*", lines[0])
    if mark is not None:
        return 1, "", mark[1]
    table = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), 0)
    if not table or not any(line.strip() for line in lines[:table]):
        return 0, "", ""
    last = lines[table - 1]
    if _width(last) == _width(lines[table]) and not last.startswith("# "):
        # The line is the header, and its first column's name begins with #.
        return table - 1, "", ""
    return table, last.lstrip("# "), ""


def _width(line: str) -> int:
    return max(line.count(separator) for separator in _SEPARATORS)


def _encoding(path: Path, place: str) -> str:
    """Return a file's encoding: by its byte order mark, as UTF-8, else as Western European Windows (CP1252)."""
    with path.open("rb") as file:
        begin = file.read(_BLOCK)
        for mark, name in _MARKS:
            if begin.startswith(mark):
                return name
        if b"\0" in begin:
            raise DataCorrupt(f"{place}: holds zero bytes; expected a table as text in UTF-8")
        for name in ("utf-8", "cp1252"):
            decoder = codecs.getincrementaldecoder(name)()
            file.seek(0)
            try:
                while block := file.read(_BLOCK):
                    decoder.decode(block)
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                continue
            return name
    raise DataCorrupt(f"{place}: neither UTF-8 nor Windows-1252; expected a table as text in UTF-8")


def _separator(lines: Sequence[str], *, tabs: bool) -> str:
    """Return the separator: the first with the same number of values in all lines, else the one with the most."""
    if tabs and any("\t" in line for line in lines):
        return "\t"
    widths: dict[str, int] = {}
    for separator in _SEPARATORS:
        counts = Counter(len(row) for row in csv.reader(lines, delimiter=separator) if row)
        widths[separator] = counts.most_common(1)[0][0]
        if len(counts) == 1 and widths[separator] > 1:
            return separator
    # The header may have fewer names than there are columns, which is reported later; so it is left out here.
    split = [row for row in reader_of(lines, _SPACES) if row][len(lines) > 2 :]
    even = len({len(row) for row in split}) == 1 and len(split[-1]) > 1
    if even and all(_NUMBER.fullmatch(value) for value in split[-1]):
        return _SPACES
    return max(reversed(_SEPARATORS), key=lambda separator: widths[separator])


def _even(rows: Sequence[tuple[int, list[str]]], place: str) -> list[list[str]]:
    """Return the rows without their line numbers, all of one length.

    Raises:
        DataCorrupt: a row has another number of values than the first.
    """
    first, names = rows[0]
    for line, row in rows:
        if len(row) != len(names):
            rest = {len(other) for _, other in rows[1:]}
            why = (
                "a separator at the ends of lines? or names of rows without a name: in R, row.names = FALSE"
                if rest == {len(names) + 1}
                else "values that hold the separator stand in quotes"
            )
            raise DataCorrupt(
                f"{place}: line {line} has {len(row)} values, line {first} has {len(names)}; expected as many in all "
                f"({why})"
            )
    return [row for _, row in rows]


def _decimal_commas(rows: Sequence[list[str]], separator: str, place: str) -> bool:
    """Return whether numbers are written with decimal commas.

    Raises:
        ValueError: the commas may mark decimals or thousands.
    """
    if separator == ",":
        return False
    values = [value for row in rows for value in row if "," in value]
    numbers = [value for value in values if _COMMA_NUMBER.fullmatch(value)]
    if not numbers:
        return False
    if all(_THOUSANDS.fullmatch(value) for value in numbers):
        raise ValueError(
            f"{place}: {show(numbers[0].strip())} may have a decimal comma or a separator of thousands; expected "
            "data.decimal=comma to say that it is the first, or numbers without separators"
        )
    return True


def with_points(value: str) -> str:
    """Return a number with a decimal comma as one with a point; other texts are unchanged."""
    return value.replace(",", ".") if _COMMA_NUMBER.fullmatch(value) else value


def _is_header(rows: Sequence[list[str]]) -> bool:
    """Return whether the first line names the columns: texts, or numbers in steps of equal size (pixels, years)."""
    first = rows[0]
    numbers = [float(value) for value in first if _NUMBER.fullmatch(value)]
    if not numbers:
        return True
    texts = {i: value for i, value in enumerate(first) if value.strip() and not _NUMBER.fullmatch(value)}
    if any(row[i] == value for row in rows[1:] for i, value in texts.items()):
        # The same text occurs below in this column, so it is a value such as a class, and no name.
        return False
    if len(numbers) == 1:
        return len(first) > 1 and numbers[0].is_integer()
    steps = np.diff(numbers)
    even = bool(steps[0] > 0 and np.allclose(steps, steps[0]))
    return even and (len(numbers) > 2 or steps[0] == 1)
