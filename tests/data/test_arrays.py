"""Arrays as people save them: what is unambiguous is taken, under the names that are in use."""

import numpy as np
import pytest
import torch

from priorgap.data.arrays import labels, observations
from priorgap.data.npz_file import NpzFile

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (40, 6, 5), dtype=np.uint8)
BYTES[0, 0, :2] = 0, 255
Y = np.arange(40) % 4


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (BYTES, ""),
        (BYTES.astype(np.int64), "integers of 0..255"),
        (BYTES.astype(np.uint16) * 257, "65,535"),
        (BYTES / 255, ""),
        ((BYTES / 255).astype(np.float32), ""),
        (BYTES / 127.5 - 1, "[-1, 1]"),
        (BYTES.astype(np.float32), "0..255"),
    ],
    ids=["bytes", "int64", "uint16", "float64", "float32", "minus one to one", "floats to 255"],
)
def test_values_of_images(array, words):
    found = observations(array, "x")
    assert torch.equal(found.x, torch.from_numpy(BYTES)[:, None]) and found.kind == "uint8_image"
    assert words in found.done and bool(words) == bool(found.done)


def test_booleans_are_black_and_white():
    found = observations(BYTES > 100, "x")
    assert found.x.unique().tolist() == [0, 255] and "booleans" in found.done


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint16])
def test_zeros_and_ones_are_black_and_white(dtype):
    """Binarized images are often saved so; on the scale of bytes they would be black."""
    found = observations((BYTES > 100).astype(dtype), "x")
    assert found.x.unique().tolist() == [0, 255] and "0 and 1" in found.done
    # negative control: one brighter pixel in any part, and they are levels
    assert observations((BYTES > 100).astype(dtype), "x", (0, 2)).x.unique().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (Y, ["0", "1", "2", "3"]),
        (Y[:, None], ["0", "1", "2", "3"]),
        (Y + 1, ["1", "2", "3", "4"]),
        (Y * 10, ["0", "10", "20", "30"]),
        (Y.astype(float), ["0", "1", "2", "3"]),
        (np.eye(4)[Y], ["0", "1", "2", "3"]),
        (np.array(["d", "a", "c", "b"])[Y], ["a", "b", "c", "d"]),
        (Y > 1, ["0", "1"]),
    ],
    ids=["integers", "column", "from one", "gaps", "floats", "one-hot", "names", "booleans"],
)
def test_labels_of_any_kind(given, names):
    (found,) = labels({"": given}, {"": 40}, {"": "y"}).values()
    assert found.names == names and found.label.unique().tolist() == list(range(len(names)))
    same = found.label[:, None] == found.label[None]
    flat = given.argmax(1) if given.shape == (40, 4) else given.reshape(40)
    assert np.array_equal(same.numpy(), flat[:, None] == flat[None])


def test_a_class_has_one_number_in_all_parts():
    found = labels(
        {"train": Y[:20], "test": Y[20:] + 2}, {"train": 20, "test": 20}, {"train": "a", "test": "b"}
    )
    assert found["test"].names == ["0", "1", "2", "3", "4", "5"]
    assert torch.equal(found["test"].label, torch.from_numpy(Y[20:] + 2))


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("data_train", "labels_train", "data_test", "labels_test"),
    ],
)
def test_names_that_are_in_use(tmp_path, names):
    values = (BYTES[:30], Y[:30, None], BYTES[30:], Y[30:, None])
    np.savez(tmp_path / "a.npz", **dict(zip(names, values, strict=True)))
    data = NpzFile(tmp_path / "a.npz").load(root=tmp_path, download=False)
    assert data.official and data.n_classes == 4 and len(data.test) == 10
    assert torch.equal(data.test.x[:, 0], torch.from_numpy(BYTES[30:]))


@pytest.mark.parametrize("name", ["x", "data", "images", "arr_0", "x_train", "train_data"])
def test_one_array_is_split(tmp_path, name):
    np.savez(tmp_path / "a.npz", **{name: BYTES})
    data = NpzFile(tmp_path / "a.npz").load(root=tmp_path, download=False)
    assert (len(data.train), len(data.validation), len(data.test)) == (28, 4, 8) and not data.official


def test_a_plain_array(tmp_path):
    np.save(tmp_path / "a.npy", BYTES)
    assert NpzFile(tmp_path / "a.npy").load(root=tmp_path, download=False).shape == (1, 6, 5)


def test_a_sparse_matrix_is_said(tmp_path):
    from scipy import sparse

    sparse.save_npz(tmp_path / "a.npz", sparse.csr_matrix(BYTES.reshape(40, -1)))
    with pytest.raises(ValueError, match="sparse matrix; expected a dense array"):
        NpzFile(tmp_path / "a.npz").load(root=tmp_path, download=False)


def test_objects_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([BYTES[0], {"a": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"no \.npz file of plain arrays"):
        NpzFile(tmp_path / "a.npz").load(root=tmp_path, download=False)


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        (BYTES[:30].astype(np.uint16) * 257, np.full((10, 6, 5), 200, np.uint16), 1),
        (BYTES[:30] / 127.5 - 1, np.full((10, 6, 5), 0.5), 191),
        (BYTES[:30].astype(np.float32), np.full((10, 6, 5), 1.0, np.float32), 1),
    ],
    ids=["16 bits", "minus one to one", "floats to 255"],
)
def test_all_parts_have_one_scale(tmp_path, train, test, expected):
    """Each test set alone would be read on another scale."""
    np.savez(tmp_path / "a.npz", x_train=train, x_test=test)
    data = NpzFile(tmp_path / "a.npz").load(root=tmp_path, download=False)
    assert data.test.x.unique().tolist() == [expected]
    assert observations(test, "x").x.unique().tolist() != [expected]


def test_parts_of_two_kinds_have_each_their_own_scale(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=BYTES[:30], x_test=BYTES[30:] / 255)
    data = NpzFile(tmp_path / "a.npz").load(root=tmp_path, download=False)
    assert torch.equal(data.test.x[:, 0], torch.from_numpy(BYTES[30:]))
