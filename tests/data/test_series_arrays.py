"""Arrays of series in a file: rows [steps, channels] where that is said, images where it is not."""

from pathlib import Path

import numpy as np
import pytest

from priorgap.data import DataFile


def load(file: Path, **settings):
    return DataFile(file, **settings).load(root=Path("unused"), download=False)


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 8, 2)).astype("f4")


def test_rows_are_series_where_that_is_said(tmp_path, values):
    np.savez(tmp_path / "x.npz", x=values)
    data = load(tmp_path / "x.npz", series=True)
    assert data.kind == "float_sequence" and data.train.shape == (8, 2)
    rows = np.concatenate([part.x.numpy() for part in (data.train, data.validation, data.test)])
    assert sorted(rows[:, 0, 0].tolist()) == sorted(values[:, 0, 0].tolist())


def test_grey_levels_are_images_unless_that_is_said(tmp_path, values):
    np.save(tmp_path / "x.npy", (np.tanh(values) + 1) / 2)
    assert load(tmp_path / "x.npy").kind == "uint8_image"
    assert load(tmp_path / "x.npy", series=True).kind == "float_sequence"


def test_what_cannot_be_series_is_one_line(tmp_path, values):
    np.save(tmp_path / "flat.npy", values[:, :, 0])
    with pytest.raises(ValueError, match=r"\(60, 8\): expected series \[n, steps, channels\]$"):
        load(tmp_path / "flat.npy", series=True)
    np.save(tmp_path / "x.npy", values * 9)
    with pytest.raises(ValueError, match=r"or with series=True as series \[n, steps, channels\]$"):
        load(tmp_path / "x.npy")
