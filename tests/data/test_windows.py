"""Windows of series in files: as they stand there, in parts that share no row, scaled by training rows alone."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from priorgap.data import Windows
from priorgap.data.scaling import ColumnScaling
from priorgap.data.splits import DataCorrupt, Dataset, DataUnavailable
from priorgap.data.window_split import Blocks
from priorgap.testing.data_contract import LAWS

PARTS = ("train", "validation", "test")
N = 240


def frame(*, n: int = N, entities: tuple[str, ...] = (), step: str = "h") -> pd.DataFrame:
    """One series, or one for each entity, with a drift: each value tells when it was."""
    rng = np.random.default_rng(0)
    found = []
    for number, entity in enumerate(entities or ("",)):
        time = pd.date_range("2013-01-01", periods=n, freq=step)
        rows = pd.DataFrame({"when": time, "station": entity, "row": np.arange(n) + 1000.0 * number})
        rows["temp"] = 20 + np.arange(n) / 10 + rng.normal(size=n)
        rows["wind"] = rng.gamma(2.0, size=n)
        found.append(rows)
    both = pd.concat(found, ignore_index=True)
    return both if entities else both.drop(columns="station")


def write(table: pd.DataFrame, folder: Path, name: str = "a.csv", **how: Any) -> Path:
    file = folder / name
    table.to_csv(file, index=False, **how)
    return file


def load(file: Path, **settings: Any) -> Dataset:
    asked = {"n_past": 6, "n_future": 2, "time": "when", "values": ("row", "temp", "wind"), **settings}
    return Windows(file, **asked).load(root=Path("unused"), download=False)


def restored(dataset: Dataset, part: str) -> np.ndarray:
    scaling = ColumnScaling.of(dataset)
    assert scaling is not None
    return scaling.restored(getattr(dataset, part).x.numpy())


def rows_of(dataset: Dataset, part: str) -> np.ndarray:
    """The numbers of the rows of each window, as the file's column `row` has them."""
    found = restored(dataset, part)[..., 0]
    assert np.allclose(found, np.rint(found), atol=1e-2)
    return np.rint(found).astype(int)


def refusal(file: Path, **settings: Any) -> str:
    with pytest.raises(ValueError) as caught:
        load(file, **settings)
    message = str(caught.value)
    assert "\n" not in message and message.startswith("data.")
    return message


def test_windows_are_what_stands_in_the_file(tmp_path: Path) -> None:
    table = frame()
    dataset = load(write(table.sample(frac=1, random_state=0), tmp_path))
    assert dataset.kind == "float_sequence" and dataset.shape == (8, 3) and dataset.n_classes is None
    columns = table[["row", "temp", "wind"]].to_numpy()
    for part in PARTS:
        rows = rows_of(dataset, part)
        assert (np.diff(rows, axis=1) == 1).all() and (np.diff(rows[:, 0]) == 1).all()
        assert np.allclose(restored(dataset, part), columns[rows], atol=1e-4)
    facts = dataset.provenance
    assert facts["columns"] == ["row", "temp", "wind"] and (facts["n_past"], facts["n_future"]) == (6, 2)
    # 168, 24 and 48 rows; 7 starts less than rows
    assert facts["sizes"] == [161, 17, 41] == [len(getattr(dataset, part)) for part in PARTS]
    assert facts["split"].startswith("by time") and facts["split_seed"] is None


@pytest.mark.parametrize("stride", [1, 5, 8, 9])
def test_no_row_is_in_two_parts_and_the_test_is_last(stride: int, tmp_path: Path) -> None:
    dataset = load(write(frame(), tmp_path), stride=stride)
    train, validation, test = (rows_of(dataset, part) for part in PARTS)
    assert train.max() < validation.min() and validation.max() < test.min()
    assert set(np.diff(train[:, 0])) == {stride}


def test_blocks_that_overlap_are_refused_with_the_number_of_shared_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = Blocks((range(0, 170),), (range(165, 200),), (range(200, N),), "wrongly", drawn=False)
    monkeypatch.setattr("priorgap.data.windows.by_time", lambda *_: blocks)
    said = refusal(write(frame(), tmp_path))
    assert "5 rows stand in windows of two parts (train and validation: 5); expected none" in said


def test_series_of_one_time_are_cut_at_one_moment(tmp_path: Path) -> None:
    dataset = load(write(frame(entities=("A", "B", "C")), tmp_path), entity="station")
    train, test = (rows_of(dataset, part) for part in ("train", "test"))
    # no window holds rows of two series
    assert all((rows // 1000 == rows[:, :1] // 1000).all() for rows in (train, test))
    assert set(train[:, 0] // 1000) == {0, 1, 2} and (train % 1000).max() < (test % 1000).min()
    assert dataset.provenance["n_series"] == 3


def test_many_series_are_split_as_wholes(tmp_path: Path) -> None:
    table = frame(n=100, entities=tuple(f"s{i}" for i in range(30)))
    file = write(table, tmp_path)
    dataset = load(file, entity="station")
    of = {part: set((rows_of(dataset, part) // 1000).flatten().tolist()) for part in PARTS}
    assert [len(of[part]) for part in PARTS] == [21, 3, 6] and len(set.union(*of.values())) == 30
    assert "21 for training" in dataset.provenance["split"] and dataset.provenance["split_seed"] == 0
    # not by where rows stand in the file
    other = load(write(table.sample(frac=1, random_state=1), tmp_path, "b.csv"), entity="station")
    assert torch.equal(other.test.x, dataset.test.x)
    again = load(file, entity="station", split_seed=1)
    assert again.provenance["split_seed"] == 1 and len(again.test) == len(dataset.test)
    assert not torch.equal(again.test.x, dataset.test.x)
    assert load(file, entity="station", split="time").provenance["split"].startswith("by time")


def test_columns_are_scaled_by_training_rows_alone(tmp_path: Path) -> None:
    table = frame()
    first = load(write(table, tmp_path))
    scaling = ColumnScaling.of(first)
    assert scaling is not None and scaling.names == ("row", "temp", "wind")
    train = table[["row", "temp", "wind"]].to_numpy()[:168]
    assert np.allclose(scaling.mean, train.mean(0)) and np.allclose(scaling.scale, train.std(0))
    later = table.copy()
    later.loc[168:, "temp"] += 100
    other = load(write(later, tmp_path, "later.csv"))
    assert ColumnScaling.of(other) == scaling and torch.equal(other.train.x, first.train.x)
    assert not torch.equal(other.test.x, first.test.x)
    # a control: training rows count
    later.loc[0, "temp"] += 100
    assert ColumnScaling.of(load(write(later, tmp_path, "b.csv"))) != scaling


def test_rows_in_no_training_window_do_not_count(tmp_path: Path) -> None:
    table = frame(n=480)
    # windows of 8 rows every 20: rows 8 to 19 are in none
    first, changed = write(table, tmp_path), table.copy()
    changed.loc[8:19, "temp"] += 100
    a, b = (load(file, stride=20) for file in (first, write(changed, tmp_path, "b.csv")))
    assert ColumnScaling.of(a) == ColumnScaling.of(b)


def test_a_constant_column_is_not_scaled_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = frame().assign(wind=3.5)
    with caplog.at_level(logging.INFO):
        dataset = load(write(table, tmp_path))
    assert bool((dataset.train.x[..., 2] == 0).all()) and "constant columns, not scaled: wind" in caplog.text
    scaling = ColumnScaling.of(dataset)
    assert scaling is not None and scaling.constant == ("wind",) and scaling.scale[2] == 1
    assert (restored(dataset, "test")[..., 2] == 3.5).all()


def with_gaps(*rows: int, column: str = "temp") -> pd.DataFrame:
    table = frame()
    table.loc[list(rows), column] = np.nan
    return table


def test_missing_values_are_refused_with_their_place(tmp_path: Path) -> None:
    said = refusal(write(with_gaps(100, 101), tmp_path))
    assert "data.missing=error: missing values in 2 of 240 rows (0.28% of the values)" in said
    assert "line 102 (2013-01-05T04:00)" in said and "temp (2)" in said and "data.missing=interpolate" in said


def test_missing_values_are_interpolated_in_time_inside_a_block(tmp_path: Path) -> None:
    # in the middle; at the end of training and the beginning of validation; at the very end
    dataset = load(write(with_gaps(50, 51, 166, 167, 168, 239), tmp_path), missing="interpolate")
    truth = frame()["temp"].to_numpy()
    found = {}
    for part in PARTS:
        for rows, values in zip(rows_of(dataset, part), restored(dataset, part)[..., 1], strict=True):
            found |= dict(zip(rows.tolist(), values.tolist(), strict=True))
    at = lambda row: pytest.approx(row, abs=1e-4)  # noqa: E731
    assert found[50] == at((2 * truth[49] + truth[52]) / 3) and found[51] == at(
        (truth[49] + 2 * truth[52]) / 3
    )
    # the nearest of its own block: a line across the cut would take validation's value into training
    assert found[166] == at(truth[165]) and found[167] == at(truth[165]) and found[168] == at(truth[169])
    assert found[239] == at(truth[238])
    across = truth[165] + (truth[169] - truth[165]) / 4
    assert found[166] != at(across)
    assert dataset.provenance["missing"] == {
        "share": pytest.approx(6 / 720), "handled": "interpolate", "windows_left_out": 0,
    }  # fmt: skip


def test_interpolation_goes_by_time_not_by_row(tmp_path: Path) -> None:
    table = with_gaps(50).drop(index=[51, 52])
    table["row"] = table["row"].where(table["row"] < 51, table["row"] - 2)
    dataset = load(write(table, tmp_path), missing="interpolate")
    truth = frame()["temp"].to_numpy()
    first = rows_of(dataset, "train")[:, 0].tolist().index(50)
    expected = truth[49] + (truth[53] - truth[49]) / 4
    assert restored(dataset, "train")[first, 0, 1] == pytest.approx(expected, abs=1e-4)


def test_windows_with_missing_values_are_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = load(write(frame(), tmp_path))
    with caplog.at_level(logging.INFO):
        dataset = load(write(with_gaps(50), tmp_path, "b.csv"), missing="drop")
    assert len(dataset.train) == len(whole.train) - 8 and len(dataset.test) == len(whole.test)
    assert 50 not in rows_of(dataset, "train") and {42, 43} < set(rows_of(dataset, "train").flatten())
    assert dataset.provenance["missing"]["windows_left_out"] == 8 and "8 windows left out" in caplog.text


def test_a_block_without_any_value_is_refused(tmp_path: Path) -> None:
    said = refusal(write(with_gaps(*range(168, 192)), tmp_path), missing="interpolate")
    assert "column temp has no value in the 24 rows from line 170" in said and "data.missing=drop" in said
    said = refusal(write(with_gaps(*range(168, 192)), tmp_path), missing="drop")
    assert "0 windows of 8 rows for validation" in said and "17 more hold missing values" in said
    assert "data.missing=interpolate" in said


def test_an_uneven_step_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load(write(frame(), tmp_path))
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        dataset = load(write(frame().drop(index=[7, 100, 101]), tmp_path, "b.csv"))
    (said,) = caplog.messages
    assert "data.time=when" in said and "0.85% of the steps" in said and "01:00:00" in said
    assert dataset.provenance["uneven_steps"] == pytest.approx(2 / 236)
    caplog.clear()
    # a shorter step than most
    when = frame()["when"] + pd.to_timedelta(np.where(np.arange(N) < 100, 0, -30), "min")
    with caplog.at_level(logging.WARNING):
        load(write(frame().assign(when=when), tmp_path, "c.csv"))
    (said,) = caplog.messages
    assert "0.42% of the steps differ from their median, 01:00:00" in said


def test_times_are_numbers_dates_or_absent(tmp_path: Path) -> None:
    table = frame()
    expected = load(write(table, tmp_path)).train.x
    forms: dict[str, Any] = {
        "numbers": np.arange(N) * 0.1,
        "integers": np.arange(N) + 2**60,
        "dates": pd.date_range("1900-01-01", periods=N).strftime("%Y-%m-%d"),
        "zones": table["when"].dt.tz_localize("UTC").dt.tz_convert("Asia/Kolkata").map(str),
        # clocks put forward and back: order is that of moments, not of what clocks show
        "two zones": [
            str(moment.tz_localize("UTC").tz_convert("Europe/Berlin" if i % 2 else "America/New_York"))
            for i, moment in enumerate(table["when"])
        ],
        "weeks": pd.date_range("2013-01-01", periods=N, freq="7D").strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    for name, when in forms.items():
        shuffled = table.assign(when=when).sample(frac=1, random_state=2)
        assert torch.equal(load(write(shuffled, tmp_path, f"{name}.csv")).train.x, expected), name
    assert torch.equal(load(write(table.drop(columns="when"), tmp_path), time=None).train.x, expected)


def test_one_table_in_many_files_is_one_data_set(tmp_path: Path) -> None:
    table = frame(entities=("A", "B"))
    table.loc[5, "wind"] = np.nan
    settings: dict[str, Any] = {"entity": "station", "missing": "interpolate"}
    expected = load(write(table, tmp_path), **settings)
    table.to_parquet(tmp_path / "a.parquet")
    table.astype({"station": "category"}).to_parquet(tmp_path / "b.parquet")
    columns = {name: table[name].to_numpy() for name in table}
    np.savez(tmp_path / "a.npz", **{**columns, "station": columns["station"].astype(str)})
    files = [
        write(table, tmp_path, "b.tsv", sep="\t"), write(table, tmp_path, "c.txt", sep=";", decimal=","),
        tmp_path / "a.parquet", tmp_path / "b.parquet", tmp_path / "a.npz",
    ]  # fmt: skip
    for file in files:
        found = load(file, **settings)
        for part in PARTS:
            assert torch.equal(getattr(found, part).x, getattr(expected, part).x), file.name
    np.save(tmp_path / "a.npy", table[["row", "temp"]].to_numpy()[:N])
    bare = load(tmp_path / "a.npy", time=None, values=None)
    assert bare.shape == (8, 2) and bare.provenance["columns"] == ["x[0]", "x[1]"]


def test_unnamed_columns_of_measurements_are_all_that_hold_numbers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = frame().drop(columns="row").assign(sky="clear", empty=np.nan)
    file = tmp_path / "a.csv"
    table.to_csv(file)
    with caplog.at_level(logging.INFO):
        dataset = load(file, values=None)
    assert dataset.provenance["columns"] == ["temp", "wind"]
    for words in (
        "column sky left out: no numbers (clear)",
        "column empty left out: empty",
        "numbers the rows was",
    ):
        assert words in caplog.text
    counted = write(frame(), tmp_path, "b.csv")
    said = refusal(counted, values=None, time=None)
    assert (
        "column row numbers the rows (0, 1, 2, ...)" in said and "data.time=row takes it as the time" in said
    )
    assert "takes it as the time" not in refusal(counted, values=None)
    assert load(counted, values=None, time="row").shape == (8, 2)
    only = load(file, values="temp")
    assert only.shape == (8, 1)


def test_short_series_are_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = frame(entities=("A", "B"))
    table = table[(table["station"] == "A") | (table["row"] < 1005)]
    with caplog.at_level(logging.INFO):
        dataset = load(write(table, tmp_path), entity="station")
    assert "1 series shorter than a window left out" in caplog.text
    assert all(rows_of(dataset, part).max() < 1000 for part in PARTS)


def test_what_a_short_block_lacks_is_not_missed(tmp_path: Path) -> None:
    """A series that ends soon after a cut has no window there, and needs no value."""
    table = frame(entities=("A", "B"))
    table = table[(table["station"] == "A") | (table["row"] < 1170)]
    first = load(write(table, tmp_path), entity="station")
    table.loc[table["row"].between(1160, 1200), "wind"] = np.nan
    found = load(write(table, tmp_path, "b.csv"), entity="station", missing="interpolate")
    assert [len(found.train), len(found.test)] == [len(first.train), len(first.test)]
    assert torch.equal(found.validation.x[..., 0], first.validation.x[..., 0])


def test_series_may_share_times(tmp_path: Path) -> None:
    table = frame(entities=("A", "B")).drop(columns="when")
    # B begins when A ends
    table["when"] = np.where(table["station"] == "A", table["row"], table["row"] - 1000 + N - 1)
    dataset = load(write(table, tmp_path), entity="station")
    assert dataset.provenance["n_series"] == 2 and dataset.provenance["uneven_steps"] == 0


def test_a_time_that_stands_twice_is_refused(tmp_path: Path) -> None:
    twice = pd.concat([frame(), frame().iloc[[7]]])
    said = refusal(write(twice, tmp_path))
    assert "1 row repeats the time of another, first line 242 (2013-01-01T07:00)" in said
    assert "that of line 9;" in said and "data.entity=NAME" in said
    two = frame(entities=("A", "B"))
    assert "240 rows repeat" in refusal(write(two, tmp_path))
    said = refusal(write(pd.concat([two, two.iloc[[250]]]), tmp_path), entity="station")
    assert "(B, 2013-01-01T10:00)" in said and "for each time of a series" in said


@pytest.mark.parametrize(
    ("change", "settings", "words"),
    [
        ({}, {"time": "wen"}, "data.time=wen: data.path="),
        ({}, {"time": "wen"}, "did you mean when?"),
        ({}, {"entity": "town"}, "data.entity=town"),
        ({}, {"values": ("temp", "rain")}, "data.values=rain"),
        ({}, {"n_past": 100}, "data.n_future=2, data.stride=1: 0 windows of 102 rows for validation"),
        ({}, {"n_past": 100}, "a smaller n_past, n_future or stride, or a larger data.source.validation_fraction"),
        ({}, {"stride": 40}, "data.stride=40: 1 windows"),
        ({"when": "3/4/2013"}, {}, "data.time=when: 3/4/2013 in line 2, in all 240 of 240 rows; expected numbers"),
        ({"when": ""}, {}, "data.time=when: no value in line 2"),
        ({"station": ""}, {"entity": "station"}, "data.entity=station: no value in line 2"),
        ({"temp": np.inf}, {}, "column temp is infinite in line 2"),
        ({"temp": "warm"}, {}, "column temp holds no numbers (warm); expected numbers: data.values=[NAME,...]"),
        ({"wind": 1e300, "temp": np.linspace(0, 1, N)}, {"split": "entity", "entity": "temp", "values": "wind"},
         "windows of 8 rows for train"),
        ({"station": ["A", "B"] * 120}, {"split": "entity", "entity": "station", "time": None},
         "data.split=entity: 2 series; expected at least 3"),
        ({}, {"split_seed": 3}, "data.source.split_seed=3: 1 series are split by time"),
        ({"temp": [0.0] * 230 + [1e300] * 10}, {"values": ("row", "temp")}, "too far from those of training"),
    ],
)  # fmt: skip
def test_what_cannot_be_cut_is_refused_in_one_line(
    change: dict[str, Any], settings: dict[str, Any], words: str, tmp_path: Path
) -> None:
    assert words in refusal(write(frame().assign(**change), tmp_path), **settings)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailable, match="no such file"):
        load(tmp_path / "nowhere.csv")
    short = write(frame(), tmp_path)
    short.write_text(short.read_text().rpartition(",")[0] + "\n")
    with pytest.raises(DataCorrupt, match="line 241 has 3 values; expected 4"):
        load(short, missing="interpolate")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataCorrupt, match="no Parquet file"):
        load(tmp_path / "a.parquet")
    np.savez(tmp_path / "a.npz", x=np.zeros((20, 3, 2)))
    assert "x is float64 (20, 3, 2); expected numbers [n, f]" in refusal(
        tmp_path / "a.npz", time=None, values=None
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"path": "a.mat"}, "data.path=a.mat: expected .csv, .tsv, .txt, .parquet, .npz or .npy; got .mat"),
        ({"n_past": 1, "n_future": 0}, "data.n_past=1, data.n_future=0: expected 0 or more each, and at least 2"),
        ({"n_past": 5, "n_future": -1}, "data.n_future=-1"),
        ({"stride": 0}, "data.stride=0: expected an integer >= 1"),
        ({"missing": "mean"}, "data.missing=mean: expected one of error, interpolate, drop"),
        ({"split": "random"}, "data.split=random: expected one of auto, time, entity"),
        ({"split": "entity"}, "data.split=entity: expected data.entity=NAME"),
        ({"split": "time", "split_seed": 1}, "data.source.split_seed=1: data.split=time draws nothing"),
        ({"values": ()}, "data.values=[]: expected at least one name"),
        ({"time": "a", "entity": "a"}, "data.time=a: stands in data.entity too"),
        ({"time": "a", "values": ("a", "b")}, "data.time=a: stands in data.values too"),
        ({"path": "a.npz", "decimal": "comma"}, "data.decimal: a key of text files; a file .npz"),
        ({"test_fraction": 1.5}, "data.source.test_fraction=1.5"),
    ],
)  # fmt: skip
def test_settings_are_refused_before_a_file_is_read(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        Windows(**{"path": "a.csv", "n_past": 4, "n_future": 4, **settings})
    assert words in str(caught.value)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("split", ["time", "entity"])
def test_windows_keep_the_contract(split: Any, law: Callable[..., None], tmp_path: Path) -> None:
    file = write(frame(n=60, entities=("A", "B", "C", "D")), tmp_path)
    law(Windows(file, 4, 1, time="when", entity="station", values=("temp", "wind"), split=split), tmp_path)
