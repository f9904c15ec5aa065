"""data=table: files, schemas, labels, what is refused, and the built-in tables."""

import logging
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from priorgap.core.build import build, load_option
from priorgap.data.splits import DataCorrupt, Dataset, DataSource, DataUnavailable
from priorgap.data.table import PackagedTable, Table
from priorgap.tables.schema import read_schema
from priorgap.testing.data_contract import LAWS


def mixed(n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "id": [f"{i:05}" for i in range(n)],
            "age": rng.integers(18, 90, n),
            "town": rng.choice(["A", "B, C", "Ñ"], n),
            "income": np.round(rng.lognormal(10, 1, n), 2),
            "member": rng.choice([True, False], n),
            "since": (np.datetime64("2001-01-01") + rng.integers(0, 5000, n)).astype(str),
            "code": rng.choice(["007", "010"], n),
            "unit": "kg",
            "bought": rng.choice(["no", "yes"], n),
        }
    )
    frame.loc[rng.random(n) < 0.2, "income"] = np.nan
    frame.loc[rng.random(n) < 0.2, "town"] = None
    return frame


@pytest.fixture
def file(tmp_path) -> Path:
    mixed().to_csv(tmp_path / "x (1).csv", index=False)
    return tmp_path / "x (1).csv"


def load(path: Path, **options: object) -> Dataset:
    return Table(path, **options).load(root=Path(), download=False)  # type: ignore[arg-type]


def test_a_file_of_mixed_columns(file, caplog):
    caplog.set_level(logging.INFO)
    dataset = load(file, target="bought")
    table = dataset.modality.table
    assert table is not None and dataset.n_classes == 2
    assert {c.name: c.kind for c in table.columns} == {
        "age": "integer", "town": "categorical", "income": "continuous", "member": "boolean", "since": "datetime",
        "code": "categorical", "unit": "categorical", "bought": "categorical",
    }  # fmt: skip
    assert "column id left out: an id (200 different values in 200 rows)" in caplog.text
    assert "column unit is constant (kg)" in caplog.text
    assert dataset.provenance["sizes"] == [len(dataset.train), len(dataset.validation), len(dataset.test)]
    # all rows are there once, as they stand in the file; labels are the target's
    parts = [dataset.train, dataset.validation, dataset.test]
    found = pd.concat([table.frame(part.x) for part in parts])
    assert dataset.provenance["classes"] == ["no", "yes"]
    labels = np.concatenate([part.label.numpy() for part in parts if part.label is not None])
    assert found["bought"].tolist() == [["no", "yes"][i] for i in labels]
    keys = list(found.columns)
    want = mixed().drop(columns="id")
    want["since"] = pd.to_datetime(want["since"]).astype("datetime64[ns]")

    def rows(frame: pd.DataFrame) -> list[tuple[str, ...]]:
        return sorted(
            tuple("" if pd.isna(v) else str(v) for v in row) for row in frame.itertuples(index=False)
        )

    # 32 bits of a standardised value are not cents of all incomes
    exact = [key for key in keys if key != "income"]
    assert rows(found[exact]) == rows(want[exact])
    incomes = [np.sort(frame["income"].dropna().to_numpy()) for frame in (found, want)]
    assert np.abs(incomes[0] - incomes[1]).max() < 1e-6 * np.ptp(incomes[1])


def test_parquet_gives_the_same_rows(file, tmp_path):
    frame = mixed()
    frame["since"] = pd.to_datetime(frame["since"])
    frame.to_parquet(tmp_path / "x.parquet")
    a, b = load(file, target="bought"), load(tmp_path / "x.parquet", target="bought")
    assert a.modality.table == b.modality.table
    assert all((x == y).all() for x, y in ((a.train.x, b.train.x), (a.test.x, b.test.x)))


def test_decimal_commas_and_missing_values(tmp_path):
    rng = np.random.default_rng(0)
    lines = [
        f"{v:.3f}".replace(".", ",") + f";{'NA' if i % 5 == 0 else 'ab'[i % 2]}"
        for i, v in enumerate(rng.random(60))
    ]
    (tmp_path / "x.csv").write_text("v;k\n" + "\n".join(lines) + "\n")
    table = load(tmp_path / "x.csv").modality.table
    assert table is not None and [c.kind for c in table.columns] == ["continuous", "categorical"]
    assert table.columns[0].decimals == 3 and table.columns[1].categories == ("a", "b", None)


def test_a_schema_file_decides(file, tmp_path):
    schema = tmp_path / "schema.json"
    schema.write_text(
        '{"columns": {"age": "continuous", "town": "id", "bought": {"kind": "ordinal", "categories": ["yes", "no"]}}}'
    )
    dataset = load(file, target="bought", schema=schema)
    table = dataset.modality.table
    assert table is not None and "town" not in table.names
    assert table.columns[0].kind == "continuous" and table.columns[-1].categories == ("yes", "no")
    assert dataset.provenance["classes"] == ["yes", "no"] and "schema_sha256" in dataset.provenance
    assert Table(file, schema=schema).files == (file, schema)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("columns: {agee: integer}", "column agee: there is none .* expected id, age"),
        ("columns: {age: number}", "column age: kind=number; expected one of continuous"),
        ("columns: {town: integer}", "column town holds .* in row .*; expected a number"),
        ("columns: {income: integer}", "column income holds .* expected an integer"),
        ("columns: {town: boolean}", "column town holds .* expected True or False"),
        ("columns: {town: datetime}", "column town holds .* expected a date"),
        ("columns: {town: {kind: ordinal}}", "kind=ordinal; expected its categories"),
        (
            "columns: {town: {kind: ordinal, categories: [A]}}",
            "column town holds .* expected a category of its schema",
        ),
        ("columns: {age: {kind: integer, categories: [1]}}", "categories of kind=integer"),
        ("columns: {town: {kind: ordinal, categories: [A, A]}}", "stands twice"),
        ("columns: {town: {kind: ordinal, categories: [1.5]}}", "expected a list of texts or integers"),
        ("columns: {town: {sort: ordinal}}", "expected kind"),
        ("rows: 3", "expected one key, columns"),
        ("{", "no YAML or JSON"),
    ],
)
def test_schemas_that_cannot_be(file, tmp_path, text, message):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        load(file, schema=tmp_path / "s.yaml")
    assert "\n" not in str(caught.value)


def test_what_is_refused(file, tmp_path):
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: load(file, target="bougt"), "data.target=bougt: .* did you mean bought"),
        (lambda: load(file, drop=("nope",)), "data.drop=nope"),
        (lambda: load(file, target="town"), "data.target=town: .* rows of .* have no value"),
        (lambda: load(file, target="id"), "data.target=id: an id"),
        (lambda: Table(file, target="age", drop=("age",)), "data.target=age: stands in data.drop too"),
        (lambda: Table(tmp_path / "x.npz"), r"expected .csv, .tsv, .txt or .parquet"),
        (lambda: Table(tmp_path / "x.parquet", header=True), "data.header: a key of text files"),
        (lambda: Table(file, test_fraction=0.0), "test_fraction"),
        (lambda: load(file, schema=tmp_path / "no.yaml"), "no such file"),
        (lambda: load(tmp_path / "no.csv"), "no such file"),
    ]
    for work, message in cases:
        with pytest.raises(ValueError, match=message) as caught:
            work()
        assert "\n" not in str(caught.value)


def test_a_number_as_target_gives_no_labels(file):
    dataset = load(file, target="age")
    assert dataset.n_classes is None and dataset.train.label is None
    assert dataset.modality.table is not None and dataset.modality.table.target == "age"


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_sources_keep_the_contract(law, file, tmp_path):
    law(Table(file, target="bought"), tmp_path)


@pytest.mark.parametrize("name", ["wage", "default_credit", "randhie", "breast_cancer"])
def test_built_in_tables(name):
    source = build(load_option("data", name)["source"], DataSource, where="data.source")
    if isinstance(source, PackagedTable):
        try:
            distribution(source.package)
        except PackageNotFoundError:
            with pytest.raises(DataUnavailable, match=f"pip install --no-deps {source.package}"):
                source.load(root=Path(), download=False)
            return
    dataset = source.load(root=Path(), download=False)
    n, columns, classes = {
        "wage": (3000, 9, None), "default_credit": (10_000, 4, 2), "randhie": (20_190, 10, None),
        "breast_cancer": (569, 31, 2),
    }[name]  # fmt: skip
    assert sum(dataset.provenance["sizes"]) == n and len(dataset.provenance["columns"]) == columns
    assert dataset.n_classes == classes and dataset.name == name


def test_another_file_of_the_package_is_refused(monkeypatch, file):
    source = PackagedTable("wage", "ISLP", "ISLP/data/Wage.csv", "0" * 64)
    monkeypatch.setattr(PackagedTable, "_path", lambda self: file)
    with pytest.raises(DataCorrupt, match="another version of ISLP; data=table data"):
        source.load(root=Path(), download=False)
    with pytest.raises(ValueError, match="expected ISLP or statsmodels"):
        PackagedTable("x", "os", "a.csv", "0")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected a place in the package"):
        PackagedTable("x", "ISLP", "../a.csv", "0")


def test_a_schema_written_is_read(file, tmp_path):
    from priorgap.tables.columns import guessed

    columns, _ = Table(file).columns()
    schema = guessed(columns, "file")
    (tmp_path / "s.yaml").write_text(schema.text(), encoding="utf-8")
    again = read_schema(tmp_path / "s.yaml")
    assert [(c.name, c.kind) for c in again.columns] == [(c.name, c.kind) for c in schema.columns]
    assert load(file, schema=tmp_path / "s.yaml").modality.table == load(file).modality.table
