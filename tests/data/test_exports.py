"""Files of rows that come block by block: what is read back is what was written, and nothing is left of a failure."""

import json
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from priorgap.data.exports import Block, format_of, write

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (23, 3, 5, 4), dtype=np.uint8)
VECTORS = RNG.standard_normal((23, 6)).astype(np.float32)
LABELS = RNG.integers(0, 3, 23)


def blocks(x, label=None, size=10):
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        yield Block(x[rows], None if label is None else label[rows])


@pytest.mark.parametrize("x", [IMAGES, VECTORS], ids=["images", "vectors"])
@pytest.mark.parametrize("label", [None, LABELS], ids=["unlabelled", "labelled"])
def test_npz_holds_the_rows(tmp_path, x, label):
    write(tmp_path / "sub" / "x.npz", blocks(x, label), len(x), "npz")
    with np.load(tmp_path / "sub" / "x.npz", allow_pickle=False) as found:
        assert found["x"].dtype == x.dtype and np.array_equal(found["x"], x)
        assert ("y" in found) == (label is not None)
        assert label is None or np.array_equal(found["y"], label)
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["x.npz"]


def test_the_same_rows_are_the_same_bytes_whatever_the_blocks(tmp_path):
    write(tmp_path / "a.npz", blocks(IMAGES, LABELS, 10), 23, "npz")
    write(tmp_path / "b.npz", blocks(IMAGES, LABELS, 23), 23, "npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("file_format", ["npz", "csv", "parquet"])
def test_memory_does_not_grow_with_the_number_of_blocks(tmp_path, file_format):
    block = np.zeros((200, 100), dtype=np.float32)

    def peak(n_blocks):
        tracemalloc.start()
        write(tmp_path / str(n_blocks), (Block(block) for _ in range(n_blocks)), n_blocks * 200, file_format)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)  # what is imported and made once
    assert peak(40) - peak(4) < 4 * block.nbytes  # of 36 blocks more


def test_parquet_keeps_the_shape(tmp_path):
    import pyarrow.parquet as pq

    write(tmp_path / "x.parquet", blocks(IMAGES, LABELS), 23, "parquet")
    found = pq.read_table(tmp_path / "x.parquet")
    assert json.loads(found.schema.metadata[b"shape"]) == [3, 5, 4]
    assert np.array_equal(np.array(found["x"].to_pylist(), np.uint8).reshape(IMAGES.shape), IMAGES)
    assert found["y"].to_pylist() == LABELS.tolist()


@pytest.mark.parametrize("x", [IMAGES, VECTORS], ids=["images", "vectors"])
def test_csv_gives_the_same_values_back(tmp_path, x):
    write(tmp_path / "x.csv", blocks(x, LABELS), 23, "csv")
    found = pd.read_csv(tmp_path / "x.csv", float_precision="round_trip")
    assert list(found.columns) == [*(f"x{k}" for k in range(x[0].size)), "y"]
    assert np.array_equal(found.drop(columns="y").to_numpy().astype(x.dtype), x.reshape(23, -1))
    assert found["y"].tolist() == LABELS.tolist()


def test_png_has_a_folder_for_each_class(tmp_path):
    write(tmp_path / "out", blocks(IMAGES, LABELS), 23, "png")
    for row in range(23):
        file = tmp_path / "out" / str(LABELS[row]) / f"{row:02d}.png"
        assert np.array_equal(np.asarray(Image.open(file)), IMAGES[row].transpose(1, 2, 0))


def test_names_of_classes_stay_inside_the_folder(tmp_path):
    names = np.array(["../../out", "a/b", "a_b", "..", "café 1"])
    write(tmp_path / "inner" / "out", blocks(IMAGES[:5], names), 5, "png")
    assert {p.name for p in tmp_path.iterdir()} == {"inner"}
    assert {p.name for p in (tmp_path / "inner").iterdir()} == {"out"}
    found = sorted(p.parent.name for p in (tmp_path / "inner" / "out").rglob("*.png"))
    assert found == sorted(["_.._out", "a_b", "a_b-2", "_", "café 1"])


def test_grey_images_of_one_pixel_are_pictures(tmp_path):
    write(tmp_path / "out", blocks(np.full((3, 1, 1, 1), 7, np.uint8)), 3, "png")
    assert [np.asarray(Image.open(p)).tolist() for p in sorted((tmp_path / "out").iterdir())] == [[[7]]] * 3


@pytest.mark.parametrize("file_format", ["npz", "csv", "parquet", "png"])
def test_a_failure_leaves_nothing(tmp_path, file_format):
    def broken():
        yield Block(IMAGES[:10])
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        write(tmp_path / "x", broken(), 23, file_format)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_says_how_many_rows_it_has_before_they_come(tmp_path):
    write(tmp_path / "x.npz", blocks(VECTORS), 23, "npz")
    with zipfile.ZipFile(tmp_path / "x.npz") as archive, archive.open("x.npy") as file:
        assert np.lib.format.read_magic(file) == (1, 0)
        assert np.lib.format.read_array_header_1_0(file)[0] == (23, 6)


def test_the_name_says_the_format():
    named = {"x.npz": "npz", "x.PARQUET": "parquet", "x.csv": "csv", "folder": "png"}
    assert {name: format_of(Path(name)) for name in named} == named
    assert format_of(Path("x.dat"), "csv") == "csv"
    with pytest.raises(ValueError, match=r"x\.xyz: expected a name in \.npz, \.parquet, \.csv, a folder"):
        format_of(Path("x.xyz"))
    with pytest.raises(ValueError, match=r"no images; expected a name in \.npz"):
        format_of(Path("folder"), images=False)
