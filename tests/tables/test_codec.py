"""Rows to vectors and back: exact for what can be counted, to a part of the range for what is measured."""

import json

import numpy as np
import pandas as pd
import pytest

from priorgap.tables.codec import encode, fit, unseen
from priorgap.tables.columns import RawColumn, TypedColumn, guessed, typed
from priorgap.tables.layout import TableLayout
from priorgap.tables.schema import ColumnSchema, Schema


def objects(values) -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    found[:] = list(values)
    return found


def drawn(seed: int, n: int = 120) -> list[RawColumn]:
    """Columns of every kind, of sizes and shares of missing values that the seed decides."""
    rng = np.random.default_rng(seed)

    def holes(values: np.ndarray) -> np.ndarray:
        values = objects(values.tolist() if values.dtype.kind != "M" else list(values))
        if rng.random() < 0.5:
            values[rng.random(n) < 0.3] = None
        return values

    size, shift = 10.0 ** rng.integers(-8, 9), 10.0 ** rng.integers(-3, 6) * rng.normal()
    return [
        RawColumn("x", holes(size * (rng.standard_t(2, n) + shift)).astype(np.float64)),
        RawColumn("price", holes(np.round(rng.lognormal(2, 1, n), 2)).astype(np.float64)),
        # fewer different ones than rows: else they would be an id
        RawColumn("n", holes(rng.choice(rng.integers(-(2**21), 2**21, 60), n)).astype(np.float64)),
        RawColumn("town", holes(rng.choice(["A", "B", "Ñandú", "007", " "], n))),
        RawColumn("level", holes(rng.choice(["low", "high"], n))),
        RawColumn("yes", holes(rng.choice([True, False], n))),
        RawColumn(
            "day", holes(np.datetime_as_string(np.datetime64("1950-01-01") + rng.integers(0, 40_000, n)))
        ),
        RawColumn(
            "moment",
            (np.datetime64("2020-01-01T00:00:00") + rng.integers(0, 10**8, n)).astype("datetime64[ns]"),
        ),
    ]


def typed_all(columns: list[RawColumn]) -> list[TypedColumn]:
    schema = guessed(columns, "file")
    return [typed(raw, one, "file") for raw, one in zip(columns, schema.columns, strict=True)]


@pytest.mark.parametrize("seed", range(25))
def test_round_trip(seed):
    raw = drawn(seed)
    columns = typed_all(raw)
    kinds = [column.schema.kind for column in columns]
    assert kinds == ["continuous"] * 2 + ["integer"] + ["categorical"] * 2 + ["boolean"] + ["datetime"] * 2
    every = np.arange(120)
    codec = fit(columns, every, None, "file")
    assert (
        codec.said == () and TableLayout.of_json(json.loads(json.dumps(codec.layout.json()))) == codec.layout
    )
    x = encode(codec, columns)
    assert x.dtype == np.float32 and x.shape == (120, codec.layout.width)
    frame = codec.layout.frame(x)
    assert list(frame.columns) == [column.name for column in raw]
    for given in raw:
        found, missing = frame[given.name], given.missing
        assert (found.isna().to_numpy() == missing).all(), given.name
        want, got = given.values[~missing], found[~missing]
        if given.name == "x":
            error = np.abs(got.to_numpy() - want).max() / np.ptp(want)
            assert error < 1e-6
        elif given.name in ("price", "n"):
            assert (got.to_numpy() == want.astype(np.float64)).all()
        elif given.name == "moment":
            error = np.abs(got.to_numpy() - want) / np.ptp(want)
            assert error.max() < 1e-6
        elif given.name == "day":
            assert (got.to_numpy() == want.astype("datetime64[ns]")).all()
        else:
            assert got.tolist() == want.tolist() and all(type(v) is type(want[0]) for v in got)
    # numbers are standardised, categories one-hot
    for column in codec.layout.coded:
        block = x[:, column.places]
        if column.numeric:
            known = ~np.isnan(columns[codec.layout.names.index(column.name)].values)
            assert abs(block[known].mean()) < 1e-3 and abs(block[known].std() - 1) < 1e-3
            assert (block[~known] == 0).all()
        else:
            assert set(np.unique(block)) <= {0, 1} and (block.sum(1) == 1).all()


def test_negative_control_a_lossy_way_back_is_told():
    """What the round trip asks for is more than 16 bits of a value keep."""
    columns = typed_all(drawn(0))
    codec = fit(columns, np.arange(120), None, "file")
    x = encode(codec, columns).astype(np.float16).astype(np.float32)
    frame = codec.layout.frame(x)
    assert (frame["n"].to_numpy() != columns[2].values)[~columns[2].missing].any()


def test_it_is_fitted_on_training_rows_alone():
    town = objects(["A", "B"] * 10 + ["C", None] * 5)
    x = np.r_[np.arange(20) * 1.5, np.full(9, 1e6), np.nan]
    columns = typed_all([RawColumn("town", town), RawColumn("x", x)])
    train, rest = np.arange(20), np.arange(20, 30)
    codec = fit(columns, train, None, "file")
    one, number = codec.layout.columns
    assert one.categories == ("A", "B") and number.mean == x[:20].mean() and number.scale == x[:20].std()
    assert unseen(codec, columns, train, "train") == []
    town_said, x_said = unseen(codec, columns, rest, "test")
    assert town_said == (
        "column town: 10 test rows have a category that training rows have not (C, missing): a block of zeros"
    )
    assert x_said == "column x: missing in 1 test rows and in no training row: the mean stands for it"
    coded = encode(codec, columns)
    assert (coded[20:, one.places] == 0).all()
    assert codec.layout.frame(coded)["town"].tolist()[20:] == [None] * 10


def test_constant_and_empty_columns():
    constant = objects(["7"] * 30)
    columns = typed_all(
        [
            RawColumn("seven", constant),
            RawColumn("empty", objects([None] * 30)),
            RawColumn("same", objects(["a"] * 30)),
            RawColumn("x", np.linspace(0, 1, 30)),
            RawColumn("gaps", objects(["5", None] * 15)),
        ]
    )
    codec = fit(columns, np.arange(30), None, "file")
    assert codec.said == (
        "column seven is constant (7): no part of x, restored",
        "column empty left out: no training row has a value",
        "column same is constant (a): no part of x, restored",
    )
    frame = codec.layout.frame(encode(codec, columns))
    assert list(frame.columns) == ["seven", "same", "x", "gaps"]
    assert frame["seven"].tolist() == ["7"] * 30 or frame["seven"].tolist() == [7] * 30
    assert frame["same"].tolist() == ["a"] * 30 and codec.layout.width == 3
    # one value or none: the value is no constant
    assert frame["gaps"].isna().tolist() == [False, True] * 15
    changed = [
        *columns[:2],
        typed(RawColumn("same", objects(["b"] * 30)), columns[2].schema, "file"),
        *columns[3:],
    ]
    assert unseen(codec, changed, np.arange(30), "test") == [
        "column same: 30 test rows differ from the constant of training rows"
    ]
    with pytest.raises(ValueError, match="file: no column with two values or more is left"):
        fit(columns[:3], np.arange(30), None, "file")


def test_too_many_categories_are_refused_with_what_to_do():
    zips = objects([f"z{i % 5000}" for i in range(20_000)])
    columns = typed_all([RawColumn("zip", zips)])
    assert columns[0].schema.kind == "categorical"
    with pytest.raises(
        ValueError, match=r"column zip has 5000 categories .* at most 500: leave it out \(data.drop=\[zip\]"
    ):
        fit(columns, np.arange(20_000), None, "file")


def test_integers_too_wide_for_32_bits_are_said():
    values = np.arange(200) % 90 * 10**8
    codec = fit(typed_all([RawColumn("n", values)]), np.arange(200), None, "file")
    assert codec.said == ("column n: integers over a range of 8.9e+09, exact to about 8.9e+02",)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["00123", "00200", "10000"] * 20, "categorical"),
        ([f"{i:05}" for i in range(60)], "id"),
        ([f"name {i}" for i in range(60)], "id"),
        ([str(i * 7) for i in range(60)], "id"),
        (["a", "b", "c"] * 20, "categorical"),
        (["1", "2", "3"] * 20, "integer"),
        (["0", "1"] * 30, "categorical"),
        (["1", "2", "-0.5"] * 20, "continuous"),
        (["1", "2e3", "0.5"] * 20, "continuous"),
        (["True", "False"] * 30, "boolean"),
        (["true", "false"] * 30, "categorical"),
        (["2024-01-31", "2024-02-01", "2023-12-01"] * 20, "datetime"),
        (["2024-01-31 10:00", "2024-02-01T11:30:05.5"] * 30, "datetime"),
        (["1/2/2024", "3/4/2024"] * 30, "categorical"),
        ([None] * 60, "categorical"),
    ],
)
def test_guesses(values, kind):
    (found,) = guessed([RawColumn("a", objects(values))], "file").columns
    assert found.kind == kind


def test_guesses_of_typed_columns():
    n = np.arange(60)
    columns = [
        RawColumn("whole", np.where(n % 7, n % 9, np.nan)),
        RawColumn("two", (n % 2).astype(np.int64)),
        RawColumn("flag", objects([bool(i % 3) for i in range(60)])),
        RawColumn("when", np.datetime64("2024-01-01", "ns") + (n % 5).astype("timedelta64[D]")),
        RawColumn("key", n.astype(np.int64)),
        RawColumn("x", n / 7),
    ]
    assert [one.kind for one in guessed(columns, "file").columns] == [
        "integer", "categorical", "boolean", "datetime", "id", "continuous",
    ]  # fmt: skip
    # categories of integers stay integers
    two = typed(columns[1], guessed(columns, "file").columns[1], "file")
    frame = (codec := fit([two], n, None, "file")).layout.frame(encode(codec, [two]))
    assert frame["two"].tolist() == (n % 2).tolist() and isinstance(frame, pd.DataFrame)


def test_a_few_texts_among_numbers_are_no_categories():
    values = objects([f"{i / 7:.3f}" for i in range(99)] + ["?"])
    with pytest.raises(
        ValueError, match=r"file: column a holds \? in row 100, in all 1 texts among 100 values"
    ) as caught:
        guessed([RawColumn("a", values)], "file")
    assert "data.schema" in str(caught.value) and "\n" not in str(caught.value)
    # it is what the schema says
    known = Schema((ColumnSchema("a", "categorical"),))
    assert guessed([RawColumn("a", values)], "file", known) == known
    # names of few numbers and letters are categories
    chromosomes = objects([str(i % 22 + 1) for i in range(98)] + ["X", "Y"])
    assert guessed([RawColumn("a", chromosomes)], "file").columns[0].kind == "categorical"


def test_numbers_too_large_are_refused():
    columns = typed_all([RawColumn("a", np.array([1.5, 2.5, -1e300, 1e300] * 10))])
    with pytest.raises(ValueError, match=r"file: column a holds numbers up to 1e\+300"):
        fit(columns, np.arange(40), None, "file")
