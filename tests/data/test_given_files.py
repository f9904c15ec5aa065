"""Files of rows of some columns, as a model is told them when it generates."""

import numpy as np
import pandas as pd
import pytest
import torch

from priorgap.data.given_columns import read_given_columns
from priorgap.data.splits import DataUnavailable
from priorgap.tables.layout import Column, TableLayout

DAY = 86_400.0
LAYOUT = TableLayout(
    (
        Column("city", "categorical", 0, 3, categories=("u", "007", None)),
        Column("age", "integer", 3, 4, mean=40.0, scale=10.0, decimals=0),
        Column("left out", "continuous", 4, 5),
        Column("pay", "continuous", 5, 6, missing=6, mean=1.0, scale=2.0),
        Column("rooms", "categorical", 7, 9, categories=(2, 3)),
        Column("member", "boolean", 9, 11, categories=(False, True)),
        Column("day", "datetime", 11, 12, mean=10 * DAY, scale=DAY, resolution="D"),
    )
)
NAMES = ("pay", "city", "age", "rooms", "member", "day")
TEXT = "day,pay,city,age,rooms,member\n1970-01-12,3,007,50,3,True\n1970-01-11,,,40,2,False\n"
# in the order of x, without the column that is left out
EXPECTED = torch.tensor(
    [[0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1], [0, 0, 1, 0, 0, 1, 1, 0, 1, 0, 0]], dtype=torch.float32
)


def test_values_stand_as_in_x(tmp_path) -> None:
    file = tmp_path / "g.csv"
    file.write_text(TEXT)
    found = read_given_columns(file, LAYOUT, NAMES)
    assert torch.equal(found, EXPECTED)
    # and back, beside other columns
    x = np.zeros((2, LAYOUT.width), np.float32)
    x[:, LAYOUT.places(NAMES)] = found
    frame = LAYOUT.frame(x)
    assert frame["city"].tolist() == ["007", None] and frame["age"].tolist() == [50, 40]
    assert frame["pay"].tolist()[0] == 3 and np.isnan(frame["pay"][1])
    typed = frame[list(NAMES)].astype({"rooms": "int64", "member": bool})
    typed.to_parquet(tmp_path / "g.parquet", index=False)
    assert torch.equal(read_given_columns(tmp_path / "g.parquet", LAYOUT, NAMES), EXPECTED)


@pytest.mark.parametrize(
    ("text", "names", "said"),
    [
        ("town\nu\n", ("city",), "has the columns town; expected those that the model is told, each once: city"),
        ("city,age\nu,3\n", ("city",), "has the columns city, age; expected"),
        ("city\nu\nX\n", ("city",), "column city holds X in row 2; expected one of u, 007, nothing"),
        ("rooms\n4\n", ("rooms",), "column rooms holds 4 in row 1; expected one of 2, 3"),
        ("age,pay\n3,\n,2\n", ("age", "pay"), "column age holds nothing in row 2; expected a number in each row"),
        ("age\nold\n", ("age",), "column age holds old in row 1; expected a number"),
        ("age\n2.5\n", ("age",), "column age holds 2.5 in row 1; expected an integer"),
        ("member\nmaybe\n", ("member",), "column member holds maybe in row 1; expected True or False"),
        ("age\n", ("age",), "a line of names and no rows"),
        ("age\n1e60\n", ("age",), "column age: a value lies too far from those of training rows"),
    ],
)  # fmt: skip
def test_what_the_model_cannot_be_told_is_one_line(tmp_path, text, names, said) -> None:
    file = tmp_path / "g.csv"
    file.write_text(text)
    with pytest.raises(ValueError) as caught:
        read_given_columns(file, LAYOUT, names)
    message = str(caught.value)
    assert message.startswith(f"given={file}: ") and said in message and "\n" not in message


def test_files_that_are_none_are_named_by_their_key(tmp_path) -> None:
    with pytest.raises(DataUnavailable, match=r"^given=.*no such file"):
        read_given_columns(tmp_path / "none.csv", LAYOUT, ("city",))
    for name in ("g.npz", "g", "g.xlsx"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(ValueError, match=r"^given=.*expected"):
            read_given_columns(tmp_path / name, LAYOUT, ("city",))
    pd.DataFrame({"city": ["u"], "": ["u"]}).to_csv(tmp_path / "two.csv", index=False)
    with pytest.raises(ValueError, match=r"expected those that the model is told"):
        read_given_columns(tmp_path / "two.csv", LAYOUT, ("city",))
