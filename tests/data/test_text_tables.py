"""Tables in text files: the values that stand there, or one line that says what to do."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from priorgap.data.data_file import DataFile
from priorgap.data.files import contents
from priorgap.testing.data_contract import LAWS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).round(6)
Y = np.arange(40) % 4


def write(folder: Path, text: str | bytes, name: str = "a.csv") -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def lines(x=X, header="a,b,c", separator=",", decimal=".", extra=None) -> str:
    rows = [separator.join(f"{value:.6f}".replace(".", decimal) for value in row) for row in x]
    rows = rows if extra is None else [f"{row}{separator}{one}" for row, one in zip(rows, extra, strict=True)]
    return "\n".join([header, *rows] if header else rows) + "\n"


def read(file: Path, **settings):
    return DataFile(file, **settings).read()


def table(file: Path, **settings) -> np.ndarray:
    own = read(file, **settings)
    return own.arrays[own.x[""]]


def refusal(file: Path, **settings) -> str:
    with pytest.raises(ValueError) as caught:
        DataFile(file, **settings).load(root=Path("unused"), download=False)
    message = str(caught.value)
    assert "\n" not in message and ("data.path=" in message or message.split("=")[0] in NAMED)
    return message


# what is wrong with a name says the name alone
NAMED = ("data.x", "data.target", "data.drop")

FORMS = {
    "commas": (lines(), "a.csv"),
    "semicolons": (lines(header="a;b;c", separator=";"), "a.csv"),
    "decimal commas": (lines(header="a;b;c", separator=";", decimal=","), "a.csv"),
    "decimal commas without names": (lines(header="", separator=";", decimal=","), "a.csv"),
    "tabs": (lines(header="a\tb\tc", separator="\t"), "a.tsv"),
    "tabs in a csv": (lines(header="a\tb\tc", separator="\t"), "a.csv"),
    "tabs and decimal commas": (lines(header="a\tb\tc", separator="\t", decimal=","), "a.tsv"),
    "commas in a tsv": (lines(), "a.tsv"),
    "bars": (lines(header="a|b|c", separator="|"), "a.txt"),
    "spaces": (lines(header="a b c", separator="  "), "a.txt"),
    "spaces after commas": (lines(header="a, b, c", separator=", "), "a.csv"),
    "no names": (lines(header=""), "a.csv"),
    "mark of UTF-8": ("﻿" + lines(), "a.csv"),
    "UTF-16, as a spreadsheet writes it": (lines(header="a\tb\tc", separator="\t").encode("utf-16"), "a.txt"),
    "lines of Windows": (lines().replace("\n", "\r\n"), "a.csv"),
    "blank lines": ("\n" + lines().replace("\n", "\n\n"), "a.csv"),
    "quotes": (lines(header='"a","b, or not","c"'), "a.csv"),
    "a capital ending": (lines(), "A.CSV"),
    "pixels as names": (lines(header="0,1,2"), "a.csv"),
    "wavelengths as names": (lines(header="400.5,402.5,404.5"), "a.csv"),
}


@pytest.mark.parametrize(("text", "name"), FORMS.values(), ids=FORMS)
def test_the_values_that_stand_there(tmp_path, text, name):
    np.testing.assert_allclose(table(write(tmp_path, text, name)), X, rtol=0, atol=1e-9)


def test_what_is_unusual_is_said(tmp_path):
    def said(text, **settings):
        return " / ".join(read(write(tmp_path, text), **settings).done)

    assert said(lines()) == ""
    assert said(lines(header="")) == "no header line: columns are called 0 to 2"
    assert "decimal commas" in said(lines(header="a;b;c", separator=";", decimal=","))
    assert "names" in said(lines(header="0,1,2"))
    assert said(lines(np.hstack([X[:, :2], np.ones((40, 1))]))) == "1 constant columns (c)"
    latin = lines(header="a,b,größe").encode("latin-1")
    assert (
        said(latin) == "not UTF-8: read as Windows-1252"
        and read(write(tmp_path, latin)).columns[2] == "größe"
    )


def test_lines_before_the_table(tmp_path):
    own = read(write(tmp_path, lines(header="# a b c", separator=" "), "a.txt"))
    assert own.columns == ("a", "b", "c") and own.done == ("a line of comment has the columns' names",)
    own = read(write(tmp_path, "# made by hand\n# in May\n" + lines()))
    assert own.columns == ("a", "b", "c") and own.done == ("2 lines before the table left out",)
    own = read(write(tmp_path, "sep=;\n" + lines(header="a;b;c", separator=";")))
    assert own.columns == ("a", "b", "c") and own.arrays["the table"].shape == (40, 3)
    assert read(write(tmp_path, lines(header="#,b,c"))).columns == ("#", "b", "c")
    text = "# made by hand\n" + lines(header="a,b,c,d", extra=["7"] * 39 + ["u"])
    assert "column d holds u in line 42" in refusal(write(tmp_path, text))


def test_a_header_is_what_the_user_says(tmp_path):
    counting = write(tmp_path, "1,2,3\n" * 20)
    assert table(counting).shape == (19, 3) and table(counting, header=False).shape == (20, 3)
    assert table(write(tmp_path, lines(header="")), header=True).shape == (39, 3)
    decimals = write(tmp_path, "a;b\n" + "1,234;5,678\n" * 20)
    assert "may have a decimal comma or a separator of thousands" in refusal(decimals)
    assert table(decimals, decimal="comma")[0].tolist() == [1.234, 5.678]


def test_columns_by_name(tmp_path):
    names = np.array(["rouge", "vert", "blau", "NA"])[Y]
    file = write(tmp_path, lines(header="a,b,c,the kind", extra=names))
    data = DataFile(file, target="the kind").load(root=Path("unused"), download=False)
    assert data.provenance["classes"] == ["NA", "blau", "rouge", "vert"] and data.n_classes == 4
    assert data.kind == "float_vector" and data.provenance["columns"] == ["a", "b", "c"]
    rows = {tuple(x.tolist()): names[i] for i, x in enumerate(torch.tensor(X, dtype=torch.float32))}
    classes = data.provenance["classes"]
    for x, label in zip(data.test.x, data.test.label, strict=True):
        assert rows[tuple(x.tolist())] == classes[label]
    np.testing.assert_allclose(table(file, drop="the kind", x=("c", "a")), X[:, [2, 0]])
    own = read(file, target="the kind", x="b")
    assert own.done == ("2 other columns were left out",) and own.columns == ("b",)
    assert table(file, drop=("the kind", "a")).shape == (40, 2)


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ([str(y) for y in Y * 5], ["0", "5", "10", "15"]),
        ([f"{y}.0" for y in Y], ["0", "1", "2", "3"]),
        ([f"00{y}" for y in Y], ["000", "001", "002", "003"]),
        ([str(y > 1) for y in Y], ["False", "True"]),
        ([["a", "1"][y % 2] for y in Y], ["1", "a"]),
    ],
)
def test_labels_keep_their_names(tmp_path, written, names):
    file = write(tmp_path, lines(header="a,b,c,label", extra=written))
    data = DataFile(file).load(root=Path("unused"), download=False)
    assert data.provenance["classes"] == names and data.shape == (3,)


def test_the_same_rows_are_split_alike_whatever_file_they_come_in(tmp_path):
    from priorgap.data.npz_file import NpzFile

    np.savez(tmp_path / "a.npz", x=X, y=Y)
    write(tmp_path, lines(header="a,b,c,y", extra=Y))
    sources = (NpzFile(tmp_path / "a.npz"), DataFile(tmp_path / "a.npz"), DataFile(tmp_path / "a.csv"))
    first, *others = (source.load(root=Path("unused"), download=False) for source in sources)
    for other in others:
        for part in ("train", "validation", "test"):
            torch.testing.assert_close(getattr(first, part).x, getattr(other, part).x)
            assert torch.equal(getattr(first, part).label, getattr(other, part).label)


def test_an_index_that_pandas_wrote_is_no_value(tmp_path):
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    frame.to_csv(tmp_path / "a.csv")
    own = read(tmp_path / "a.csv")
    assert own.columns == ("a", "b", "c") and "numbers the rows was left out" in own.done[0]
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "a.csv", index_label="id")
    said = refusal(tmp_path / "a.csv")
    assert "column id numbers the rows (" in said and "data.drop=[id] leaves it out" in said
    assert table(tmp_path / "a.csv", drop="id").shape == (40, 3)
    # whoever names a column wants it
    assert table(tmp_path / "a.csv", x=("id", "a"))[:, 0].max() == 39
    text = lines(header="a,b,c,").replace("\n", ",\n")
    text = text.replace("a,b,c,,", "a,b,c,")
    assert read(write(tmp_path, text)).columns == ("a", "b", "c")


BAD = {
    "texts": (
        lines(header="a,b,c,kind", extra=["x y", "z"] * 20),
        "column kind holds no numbers (x y, z); expected numbers: data.target=kind takes it as the label, data.drop=",
    ),
    "a name with spaces": (lines(header="a,b,c,my kind", extra=["u"] * 40), """'data.drop=["my kind"]' leaves it"""),
    "dates": (lines(header="a,b,c,day", extra=["2024-05-01"] * 40), "column day holds no numbers (2024-05-01)"),
    "thousands": (
        lines(header="a,b,c,income", extra=["7"] * 39 + ['"1,234"']),
        "column income holds 1,234 in line 41, in all 1 of 40 values that are no numbers (a separator of thousands?",
    ),
    "a decimal comma": (lines(header="a,b,c,d", extra=['"1,5"'] * 39 + ["2"]), "(a decimal comma? data.decimal=c"),
    "a percentage": (lines(header="a,b,c,d", extra=["7"] * 39 + ["12 %"]), "12 % in line 41"),
    "a mark of what is missing": (lines(header="a,b,c,d", extra=["?"] + ["7"] * 39), "? in line 2, in all 1 of 40"),
    "missing values": (
        lines(header="a,b,c,d", extra=["", "NA", *"7" * 38]),
        "missing or infinite values in 2 of 40 rows, first in line 2, of columns d (2); expected numbers: fill or",
    ),
    "infinity": (lines(header="a,b,c,d", extra=["inf", *"7" * 39]), "missing or infinite values in 1 of 40 rows"),
    "a missing label": (lines(header="a,b,c,y", extra=["", *"7" * 39]), "1 of 40 rows have no label"),
    "a label of fractions": (
        lines(header="a,b,c,y", extra=[f"{v}.5" for v in range(40)]),
        "column y is called as labels are and holds 0.5; expected classes: data.drop=[y] leaves it out",
    ),
    "two labels": (lines(header="a,label,y"), "holds label and y; expected data.target="),
    "a name twice": (lines(header="a,b,a"), "several columns are called a; expected one of each name"),
    "a longer line": (lines() + "1,2,3,4\n", "line 42 has 4 values, line 1 has 3; expected as many in all"),
    "a longer line far down": (
        lines(np.tile(X, (10, 1))) + "1,2,3,4\n",
        "line 402 has 4 values, those before it 3; expected as many in all",
    ),
    "a shorter line": (lines() + "1,2\n", "line 42 has 2 values, line 1 has 3"),
    "a shorter line far down": (lines(np.tile(X, (10, 1))) + "1,2\n", "line 402 has 2 values; expected 3, as in the"),
    "names of rows, as R writes them": (
        "a b\n" + "".join(f'"{i}" {i}.5 {i}\n' for i in range(1, 30)),
        "line 2 has 3 values, line 1 has 2; expected as many in all (a separator at the ends of lines? or names of",
    ),
    "points between thousands": (lines(header="a;b;c;d", separator=";", extra=["1.234,5"] * 40), "thousands?"),
    "amounts": (lines(header="a,b,c,d", extra=["$5.00"] * 40), "holds no numbers ($5.00) (a unit? write the number"),
    "JSON": ('{"a": [1, 2]}', "JSON, not a table"),
    "an open quote": (lines() + '"1,2,3\n' + lines(np.tile(X, (10, 1)), header=""), "quote"),
    "names alone": ("a,b,c\n", "a line of names and no rows"),
    "nothing": ("", "an empty file"),
    "blank lines": ("\n \n\n", "holds blank lines"),
    "only labels": ("y\n" + "1\n2\n" * 20, "no column is left beside the label"),
    "an Excel workbook": (b"PK\x03\x04" + bytes(99), "an Excel workbook or another zip archive: save the sheet as"),
    "an old Excel workbook": (b"\xd0\xcf\x11\xe0" + bytes(99), "an Excel workbook: save the sheet as .csv"),
    "a Git LFS pointer": (
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "a Git LFS pointer, not the data: fetch them by `git lfs pull`",
    ),
    "a web page": ("<!DOCTYPE html>\n<html></html>", "a web page, not the data"),
    "an archive": (b"\x1f\x8b\x08" + bytes(99), "compressed by gzip: unpack it first"),
    "a Parquet file": (b"PAR1" + bytes(99), "a Parquet file: name it .parquet"),
    "bytes": (b"a,b\n1,\x002\n", "holds zero bytes"),
    "no encoding": (b"a,b\n1,\x81\n", "neither UTF-8 nor Windows-1252"),
    "large numbers": (lines(header="a,b,c,d", extra=["1e300"] * 39 + ["2"]), "expected numbers of 32 bits"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_what_is_refused_in_one_line(tmp_path, text, message):
    assert message in refusal(write(tmp_path, text))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "aa"}, "data.target=aa: data.path="),
        ({"drop": "z"}, "has no such column; expected one of a, b, c"),
        ({"x": ("a", "label")}, "has no such column"),
        ({"target": "Kind"}, "expected one of"),
        ({"x": ("a",), "drop": ("a",)}, "data.x=a: stands in data.drop too; expected one of the two"),
        ({"x": "a", "target": "a"}, "data.target=a: stands in data.x too"),
        ({"target": "a", "drop": ("b", "a")}, "data.target=a: stands in data.drop too"),
        ({"x": ()}, "data.x=[]: expected at least one name"),
    ],
)
def test_names_that_there_are_not(tmp_path, settings, message):
    assert message in refusal(write(tmp_path, lines()), **settings)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_it_keeps_the_contract_of_sources(tmp_path, law):
    law(DataFile(write(tmp_path, lines(header="a,b,c,y", extra=Y)), x=("a", "b")), tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.xlsx", "an Excel workbook: save the sheet as .csv; expected a file in .csv, .tsv"),
        ("a.pkl", "a pickle, which runs code when it is read"),
        ("folder", "no ending (a folder of images is data=image_folder)"),
        ("a.odd", "expected a file in .csv, .tsv, .txt, .parquet"),
    ],
)
def test_an_ending_is_judged_without_the_file(name, message):
    with pytest.raises(ValueError) as caught:
        DataFile(Path(name))
    assert message in str(caught.value)


def test_what_is_no_file(tmp_path):
    (tmp_path / "a.csv").mkdir()
    assert "a folder; expected a file" in refusal(tmp_path / "a.csv")
    assert refusal(tmp_path / "b.csv") == f"data.path={tmp_path / 'b.csv'}: no such file"
    with pytest.raises(ValueError, match=r"data.header: a key of tables"):
        DataFile(Path("a.mat"), header=True)
    with pytest.raises(ValueError, match=r"data.x: names in a file .npz are x and y"):
        DataFile(Path("a.npz"), x="z")


def test_a_file_larger_than_memory_is_not_read(tmp_path, monkeypatch):
    file = write(tmp_path, lines())
    monkeypatch.setattr(contents, "memory_bytes", lambda: 100)
    assert "expected what this machine's memory of 0.0 GiB holds" in refusal(file)
