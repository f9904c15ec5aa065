"""Parquet files: columns of numbers, lists as arrays, what `priorgap generate` wrote; one line for the rest."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from priorgap.data.data_file import DataFile
from priorgap.data.exports import Block, write
from priorgap.data.files import contents

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
FRAME = pd.DataFrame(X, columns=["a", "b", "c"])


def save(folder: Path, columns) -> Path:
    table = pa.Table.from_pandas(columns) if isinstance(columns, pd.DataFrame) else pa.table(columns)
    pq.write_table(table, folder / "a.parquet")
    return folder / "a.parquet"


def load(file: Path, **settings):
    return DataFile(file, **settings).load(root=Path("unused"), download=False)


def rows(data) -> torch.Tensor:
    return torch.cat([data.train.x, data.validation.x, data.test.x])


def refusal(file: Path, **settings) -> str:
    with pytest.raises(ValueError) as caught:
        load(file, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_columns_of_every_type_of_number(tmp_path):
    n = np.arange(40)
    file = save(
        tmp_path,
        {
            "double": X[:, 0], "half": (n / 64).astype(np.float16), "byte": pa.array(n % 5, pa.uint8()),
            "flag": n % 2 == 0, "money": pa.array([f"{k % 7}.25" for k in n]).cast(pa.decimal128(9, 2)),
            "whole": pa.array([int(k) % 3 for k in n], pa.int64()),
            "kind": pa.array([["u", "v"][k % 2] for k in n]).dictionary_encode(),
        },
    )  # fmt: skip
    data = load(file, target="kind")
    assert data.shape == (6,) and data.provenance["classes"] == ["u", "v"]
    expected = np.stack([X[:, 0], n / 64, n % 5, n % 2 == 0, n % 7 + 0.25, n % 3], 1).mean(0)
    np.testing.assert_allclose(rows(data).mean(0), expected, rtol=1e-5)
    assert data.provenance["columns"] == ["double", "half", "byte", "flag", "money", "whole"]
    assert load(file, x=("byte", "double")).shape == (2,)


def test_pandas_index_is_no_value(tmp_path):
    shuffled = FRAME.sample(frac=1, random_state=0)
    data = load(save(tmp_path, shuffled))
    assert data.shape == (3,) and "numbers the rows was left out" in data.provenance["reading"][0]
    np.testing.assert_allclose(rows(data).mean(0), X.mean(0), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 4, 5), (7,)])
def test_what_generate_wrote_is_read_back(tmp_path, shape):
    x = RNG.integers(0, 256, (40, *shape), dtype=np.uint8)
    x = x if len(shape) == 3 else x.astype(np.float32)
    y = np.array(["cat", "dog"])[np.arange(40) % 2]
    write(tmp_path / "s.parquet", iter([Block(x[:30], y[:30]), Block(x[30:], y[30:])]), 40, "parquet")
    data = load(tmp_path / "s.parquet")
    assert data.shape == shape and data.provenance["classes"] == ["cat", "dog"]
    found = rows(data).flatten(1).unique(dim=0)
    assert torch.equal(found, torch.from_numpy(x).flatten(1).unique(dim=0))


def test_lists_of_one_length_are_vectors(tmp_path):
    file = save(tmp_path, {"embedding": list(X), "label": np.arange(40) % 4})
    data = load(file)
    assert data.shape == (3,) and data.n_classes == 4
    np.testing.assert_allclose(rows(data).mean(0), X.mean(0), atol=1e-6)


BAD = {
    "texts": ({"a": X[:, 0], "s": ["u", "v"] * 20}, "column s holds no numbers (u, v); expected numbers: data.t"),
    "times": ({"a": X[:, 0], "t": pd.date_range("2024", periods=40)}, "column t holds no numbers (2024-01-01"),
    "structs": ({"image": [{"bytes": b"x"}] * 40}, "column image holds no numbers"),
    "missing values": (
        {"a": X[:, 0], "b": [None, 1, *range(38)]},
        "missing or infinite values in 1 of 40 rows, first in row 0, of columns b (1)",
    ),
    "missing truth": ({"a": [None, *[True, False] * 19, True]}, "of columns a (1)"),
    "a column of nothing": ({"a": X[:, 0], "b": pa.nulls(40)}, "in 40 of 40 rows"),
    "numbers of rows": ({"a": X[:, 0], "id": RNG.permutation(40)}, "column id numbers the rows ("),
    "lists of several lengths": ({"x": [[1.0], [1.0, 2.0]] * 20}, "lists of 1, 2 values"),
    "missing in lists": ({"x": [[1.0, None]] * 40}, "or missing ones"),
    "lists of texts": ({"x": [["u"]] * 40}, "holds lists of string; expected lists of numbers"),
    "lists of lists": ({"x": [[[1.0]]] * 40}, "expected lists of numbers"),
    "lists beside numbers": ({"x": list(X), "a": X[:, 0]}, "of which some hold lists; expected one column of lists"),
    "labels of lists": ({"a": X[:, 0], "y": list(X)}, "column y is of type list<"),
    "labels of fractions": ({"a": X[:, 0], "y": X[:, 1]}, "column y is called as labels are"),
    "missing labels": ({"a": X[:, 0], "y": [None, *range(39)]}, "1 of 40 rows have no label"),
    "no rows": ({"a": np.zeros(0)}, "expected at least 1 row"),
}  # fmt: skip


@pytest.mark.parametrize(("columns", "message"), BAD.values(), ids=BAD)
def test_what_is_refused_in_one_line(tmp_path, columns, message):
    assert message in refusal(save(tmp_path, columns))


def test_a_name_twice(tmp_path):
    table = pa.table([pa.array(X[:, 0]), pa.array(X[:, 1])], names=["a", "a"])
    pq.write_table(table, tmp_path / "a.parquet")
    assert "several columns are called a" in refusal(tmp_path / "a.parquet")


def test_damage_is_one_line(tmp_path):
    file = save(tmp_path, FRAME)
    content = file.read_bytes()
    for damaged in (content[:200], b"PAR1" + bytes(99), content[:20] + bytes(200) + content[220:]):
        file.write_bytes(damaged)
        assert "Parquet file" in refusal(file)
    file.write_bytes(b"a,b\n1,2\n")
    assert "no Parquet file, or a damaged one" in refusal(file)


def test_what_claims_more_than_memory_holds_is_not_read(tmp_path, monkeypatch):
    # a constant takes no room in the file
    file = save(tmp_path, {"a": np.zeros(2_000_000), "b": np.zeros(2_000_000)})
    assert file.stat().st_size < 100_000
    monkeypatch.setattr(contents, "memory_bytes", lambda: 20_000_000)
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    assert "expected what this machine's memory" in refusal(file)


def test_the_reader_is_an_extra(tmp_path, monkeypatch):
    file = save(tmp_path, FRAME)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    said = (
        f"data.path={file}: pyarrow is not installed; expected the extra files: pip install 'priorgap[files]'"
    )
    assert refusal(file) == said
