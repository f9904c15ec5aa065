"""data.missing=mask: gaps stay gaps, as 0 and an indicator; what cannot be learned from training is refused."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from test_windows import PARTS, frame, load, refusal, with_gaps, write

from priorgap.data import Windows
from priorgap.data.scaling import ColumnScaling
from priorgap.data.splits import Dataset, Split, load_dataset, save_dataset
from priorgap.modalities import GapLayout, modality_of
from priorgap.testing.data_contract import LAWS

# of each part: 168, 24 and 48 rows
GAPS = (3, 4, 50, 100, 170, 171, 200)


def in_units(dataset: Dataset, part: str) -> np.ndarray:
    gaps, scaling = dataset.modality.gaps, ColumnScaling.of(dataset)
    assert gaps is not None and scaling is not None
    return scaling.restored(gaps.observed(getattr(dataset, part).x.numpy()))


def test_windows_are_what_stands_in_the_file_with_its_gaps(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = with_gaps(*GAPS)
    with caplog.at_level(logging.INFO):
        dataset = load(write(table, tmp_path), missing="mask")
    assert dataset.shape == (8, 4) and dataset.modality.gaps == GapLayout(3, (1,))
    columns = table[["row", "temp", "wind"]].to_numpy()
    for part in PARTS:
        found, x = in_units(dataset, part), getattr(dataset, part).x
        rows = np.rint(found[..., 0]).astype(int)
        np.testing.assert_allclose(found, columns[rows], atol=1e-4)
        # 0 where missing and nowhere else than there; no row of another part
        missing = np.isin(rows, GAPS)
        assert (
            (x[..., 3].numpy() == missing).all() and (x[..., 1].numpy()[missing] == 0).all() and missing.any()
        )
    # no window is left out
    assert dataset.provenance["sizes"] == [161, 17, 41]
    assert dataset.provenance["missing"] == {
        "share": pytest.approx(7 / 720), "handled": "mask", "windows_left_out": 0, "indicators": ["temp"],
    }  # fmt: skip
    assert "0.97% of the values are missing: mask; missing-indicators: temp" in caplog.text


def test_columns_are_scaled_by_training_values_that_are_there(tmp_path: Path) -> None:
    table = with_gaps(*GAPS)
    scaling = ColumnScaling.of(load(write(table, tmp_path), missing="mask"))
    assert scaling is not None
    there = table["temp"][:168].dropna()
    assert scaling.mean[1] == pytest.approx(there.mean()) and scaling.scale[1] == pytest.approx(
        there.std(ddof=0)
    )
    # the control: gaps filled with 0 are another column
    assert scaling.mean[1] != pytest.approx(table["temp"][:168].fillna(0).mean(), rel=0.01)
    whole = ColumnScaling.of(load(write(frame(), tmp_path, "b.csv")))
    assert whole is not None and scaling.scale[2] == pytest.approx(whole.scale[2], rel=1e-12)


def test_a_window_may_miss_all_of_a_column_and_data_all_gaps(tmp_path: Path) -> None:
    dataset = load(write(with_gaps(*range(20, 60)), tmp_path), missing="mask")
    assert bool((dataset.train.x[..., 3].sum(1) == 8).any())
    none = load(write(frame(), tmp_path, "b.csv"), missing="mask")
    assert none.modality.gaps == GapLayout(3, ()) and none.shape == (8, 3)
    assert (none.train.x == load(write(frame(), tmp_path, "b.csv")).train.x).all()


def test_gaps_that_training_does_not_show_are_refused_in_one_line(tmp_path: Path) -> None:
    said = refusal(write(with_gaps(200), tmp_path), missing="mask")
    assert "data.missing=mask: column temp has missing values in test windows, first in line 202" in said
    assert "none in training windows" in said and "data.missing=interpolate or drop" in said
    said = refusal(write(with_gaps(*range(168)), tmp_path), missing="mask")
    assert "column temp has no value in training windows" in said
    # rows in no window do not count: windows of 8 rows every 10
    assert load(write(with_gaps(9, 200), tmp_path), missing="mask", stride=10).shape == (8, 3)


def test_they_are_stored_and_read_back(tmp_path: Path) -> None:
    dataset = load(write(with_gaps(*GAPS), tmp_path), missing="mask")
    save_dataset(dataset, tmp_path)
    again = load_dataset(tmp_path)
    assert again.modality == dataset.modality and again.train.take(slice(3)).gaps == GapLayout(3, (1,))
    assert (
        again.train.modality.described(again.shape)
        == "sequences of 8 steps of 3 values and 1 missing-indicator"
    )


def test_layouts() -> None:
    layout = GapLayout(3, (0, 2))
    values = np.array([[np.nan, 1.0, np.nan], [2.0, 3.0, 4.0]])
    x = layout.encoded(values)
    assert x.tolist() == [[0, 1, 0, 1, 1], [2, 3, 4, 0, 0]]
    np.testing.assert_array_equal(layout.observed(x), values)
    assert layout.names(("a", "b", "c")) == ("a", "b", "c", "a missing", "c missing")
    assert layout.uncertain == (0, 2, 3, 4) and GapLayout.of_json(layout.json()) == layout
    with pytest.raises(ValueError, match="without an indicator"):
        GapLayout(3, (0,)).encoded(values)
    for about in ((2, 0), (0, 0), (3,), (-1,)):
        with pytest.raises(ValueError, match="expected some of the channels 0 to 2"):
            GapLayout(3, about)
    with pytest.raises(ValueError, match="expected no layout of missing values"):
        modality_of("float_vector", gaps=layout)
    assert Split(torch.zeros(2, 4, 5), None, "float_sequence", gaps=layout).modality.gaps == layout
    with pytest.raises(ValueError, match="expected 5 channels"):
        Split(torch.zeros(2, 4, 4), None, "float_sequence", gaps=layout)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_they_keep_the_contract(law: Callable[..., None], tmp_path: Path) -> None:
    file = write(with_gaps(*range(0, 240, 7)), tmp_path)
    law(Windows(file, 4, 1, time="when", values=("temp", "wind"), missing="mask"), tmp_path)
