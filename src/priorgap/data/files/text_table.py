"""Tables in text files as tools and people write them: .csv, .tsv, .txt."""

import csv
import re
import warnings
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from priorgap.core.arguments import show
from priorgap.data.files.columns import (
    Choice,
    check_target,
    labels_of_texts,
    matrix_of,
    not_numbers,
    select,
)
from priorgap.data.files.contents import check_size
from priorgap.data.files.text_form import Decimal, Form, form_of
from priorgap.data.own_arrays import OwnArrays
from priorgap.data.splits import DataCorrupt

if TYPE_CHECKING:
    import pandas as pd

# Texts that mean a missing value in a column of numbers.
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "-nan", "NULL", "null", "<NA>", "#N/A", "None")


def read_text(path: Path, choice: Choice, header: bool | None, decimal: Decimal | None) -> OwnArrays:
    """Return the table of a text file.

    Args:
        path: the file.
        choice: the user's choice of columns.
        header: whether the first line names the columns; None: decided by its values.
        decimal: the decimal separator; None: decided by the values.

    Raises:
        DataCorrupt: the file holds no table.
        ValueError: columns are no numbers, hold missing values, ...; one line.
    """
    place = f"data.path={path}"
    check_size(path.stat().st_size, place)
    form = form_of(path, place, header, decimal)
    selection = select(form.names, choice, place)
    texts = [] if selection.target is None else [selection.target]
    frame = frame_of(path, place, form, texts)
    columns = {i: numbers_of(frame[str(i)], form.names[i], path, place, form) for i in selection.x}
    found = matrix_of(
        columns, form.names, place, asked=choice.x is not None, line=lambda row: line_of(path, form, row)
    )
    arrays, ys = {"the table": found.array}, {}
    if selection.target is not None:
        name = form.names[selection.target]
        label = labels_of_texts(frame[str(selection.target)].fillna("").tolist())
        check_target(label, name, place, asked=choice.target is not None)
        arrays[f"column {name}"], ys = label, {"": f"column {name}"}
    left_out = f"{selection.n_left_out} other columns were left out"
    done = (*form.done, *found.done, *([left_out] if selection.n_left_out else []))
    return OwnArrays(arrays, {"": "the table"}, ys, {"columns": list(found.names)}, done, found.names)


def frame_of(path: Path, place: str, form: Form, texts: Sequence[int]) -> "pd.DataFrame":
    """Return the columns, named by their positions: numbers where all values are numbers, else texts.

    Args:
        path: the file.
        place: its name in messages.
        form: how the file must be read.
        texts: positions of columns that are always read as texts.

    Raises:
        DataCorrupt: a line has too many values, or a quoted value does not end.
    """
    import pandas as pd

    places = [str(i) for i in range(len(form.names))]
    as_texts = [str(i) for i in texts]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame: pd.DataFrame = pd.read_csv(
                path, sep=form.separator, encoding=form.encoding, decimal=form.decimal, names=places,
                header=0 if form.header else None, index_col=False,
                skiprows=form.skip, skipinitialspace=True, low_memory=False,
                keep_default_na=False, na_values={i: list(MISSING) for i in places if i not in as_texts},
                dtype=dict.fromkeys(as_texts, str),
            )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.ParserWarning, csv.Error) as error:
        found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        if found is not None:
            reason = (
                f"line {found[2]} has {found[3]} values, those before it {found[1]}; expected as many in all"
            )
        elif "EOF inside string" in str(error):
            reason = "a quote is not closed; expected pairs of them"
        else:
            reason = f"no table ({show(error)})"
        raise DataCorrupt(f"{place}: {reason}") from error
    return frame


def numbers_of(
    column: "pd.Series", name: str, path: Path, place: str, form: Form, remedy: str = ""
) -> np.ndarray:
    """Return a column of numbers; `remedy` is the advice for a column that is none ("": that of `data=file`).

    Raises:
        DataCorrupt: a line has too few values.
        ValueError: a value is no number.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype):
        return np.asarray(column.to_numpy())
    numbers = pd.to_numeric(column, errors="coerce")
    odd = numbers.isna() & column.notna()
    if not odd.any():
        return np.asarray(numbers.to_numpy(dtype=np.float64))
    where = f"in {line_of(path, form, int(odd.to_numpy().argmax()))}"
    raise not_numbers(
        name or "without a name", column[odd].tolist(), int(column.notna().sum()), where, place, remedy
    )


def mostly_numbers(column: "pd.Series") -> bool:
    """Return whether at least half of a column's values are numbers; a column with fewer holds something else."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype):
        return True
    n = int(pd.to_numeric(column, errors="coerce").notna().sum())
    return 2 * n >= int(column.notna().sum())


def whole_lines(frame: "pd.DataFrame", path: Path, form: Form) -> None:
    """Refuse a line with too few values, whose last columns would be taken for missing values.

    Raises:
        DataCorrupt: one line.
    """
    missing = frame.iloc[:, -1].isna().to_numpy()
    if missing.any():
        line_of(path, form, int(missing.argmax()))


def line_of(path: Path, form: Form, row: int) -> str:
    """Return where a row is in the file, in words for messages.

    Raises:
        DataCorrupt: the line has too few values, so that some only seem to be missing.
    """
    with path.open(encoding=form.encoding, newline="") as file:
        found = next(islice(form.rows(file), row + int(form.header), None), None)
    if found is None:
        return f"row {row}"
    line, values = found
    if len(values) < len(form.names):
        raise DataCorrupt(
            f"data.path={path}: line {line} has {len(values)} values; expected {len(form.names)}, as in the "
            "first line"
        )
    return f"line {line}"
