"""MATLAB files: plain arrays by name, rows first or last; everything else in one line."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.io import savemat

from priorgap.data.data_file import DataFile
from priorgap.data.files import contents, matlab

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (40, 6, 5), dtype=np.uint8)
X = RNG.normal(size=(40, 3))
Y = np.arange(40) % 4


def save(folder: Path, **arrays) -> Path:
    savemat(folder / "a.mat", arrays, do_compression=True)
    return folder / "a.mat"


def save_73(folder: Path, **arrays) -> Path:
    """Write as MATLAB does with -v7.3: a header of 512 bytes, axes in the opposite order, the class of each."""
    classes = {"f8": "double", "f4": "single", "u1": "uint8", "b1": "logical"}
    with h5py.File(folder / "a.mat", "w", userblock_size=512) as file:
        for name, array in arrays.items():
            if isinstance(array, str):
                codes = np.array([[ord(c)] for c in array], dtype=np.uint16)
                file.create_dataset(name, data=codes).attrs["MATLAB_class"] = np.bytes_("char")
                continue
            kind = classes[array.dtype.str[1:]]
            stored = array.astype(np.uint8) if kind == "logical" else array
            node = file.create_dataset(name, data=stored.T, compression="gzip")
            node.attrs["MATLAB_class"] = np.bytes_(kind)
    with (folder / "a.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return folder / "a.mat"


SAVE = pytest.mark.parametrize("save", [save, save_73], ids=["v7", "v7.3"])


def load(file: Path, **settings):
    return DataFile(file, **settings).load(root=Path("unused"), download=False)


def rows(data) -> torch.Tensor:
    return torch.cat([data.train.x, data.validation.x, data.test.x]).flatten(1)


def same_rows(data, x: np.ndarray) -> bool:
    return torch.equal(rows(data).unique(dim=0), torch.from_numpy(x).flatten(1).unique(dim=0))


def refusal(file: Path, **settings) -> str:
    with pytest.raises(ValueError) as caught:
        load(file, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def outcome(file: Path) -> str:
    try:
        return str(load(file).shape)
    except ValueError as error:
        return str(error)


@SAVE
def test_arrays_of_known_names(tmp_path, save):
    data = load(save(tmp_path, X=BYTES, y=Y[:, None].astype(float), other=np.zeros((2, 2))))
    assert data.shape == (1, 6, 5) and data.n_classes == 4 and same_rows(data, BYTES)
    assert data.provenance["arrays"] == ["X", "other", "y"]
    first = {tuple(x.flatten()): y for x, y in zip(BYTES.tolist(), Y, strict=True) for x in [np.array(x)]}
    for x, label in zip(data.test.x, data.test.label, strict=True):
        assert first[tuple(x.flatten().tolist())] == label


@SAVE
def test_arrays_that_the_user_names(tmp_path, save):
    file = save(tmp_path, fea=X, gnd=(Y + 1)[None].astype(float), note=np.ones((1, 3)))
    data = load(file, x="fea", target="gnd")
    assert data.kind == "float_vector" and data.provenance["classes"] == ["1", "2", "3", "4"]
    np.testing.assert_allclose(rows(data).mean(0), X.mean(0), atol=1e-6)
    said = refusal(file)
    assert "holds fea (double 40 x 3), gnd (double 1 x 40), note (double 1 x 3); expected x" in said
    assert "data.x=NAME data.target=NAME" in said
    assert "has no such array; did you mean fea?" in refusal(file, x="feat")
    assert "expected the name of one array" in refusal(file, x=("fea", "gnd"))


@SAVE
def test_the_only_array_is_the_rows(tmp_path, save):
    np.testing.assert_allclose(rows(load(save(tmp_path, ff=X, note="hello"))).mean(0), X.mean(0), atol=1e-6)


@SAVE
def test_parts(tmp_path, save):
    y = Y[:, None].astype(float)
    data = load(save(tmp_path, train_x=X[:30], train_y=y[:30], test_x=X[30:], test_y=y[30:]))
    assert data.official and torch.equal(data.test.x, torch.from_numpy(X[30:]).float())
    assert data.test.label.tolist() == Y[30:].tolist()


@SAVE
def test_rows_that_come_last(tmp_path, save):
    # as Street View House Numbers has them
    colour = RNG.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    last = colour.transpose(1, 2, 3, 0)
    data = load(save(tmp_path, X=last, y=(Y[:, None] + 1).astype(float)))
    assert data.shape == (3, 8, 8) and same_rows(data, colour.transpose(0, 3, 1, 2))
    assert data.provenance["reading"] == ["rows came last, as the labels tell"]
    data = load(save(tmp_path, X=last))
    assert same_rows(data, colour.transpose(0, 3, 1, 2))
    assert data.provenance["reading"] == ["rows came last, as the colours tell"]
    data = load(save(tmp_path, X=X.T.copy(), y=Y[None].astype(float)))
    assert data.shape == (3,) and data.n_classes == 4
    said = refusal(save(tmp_path, X=RNG.integers(0, 256, (8, 8, 40), dtype=np.uint8)))
    assert "rows seem to come last; expected them first: X = permute(X, [3 1 2])" in said


def test_numbers_are_of_the_type_that_matlab_has_them_in(tmp_path):
    # doubles of small integers are stored as bytes: 0 to 16 are no bytes of pictures
    said = refusal(save(tmp_path, x=(BYTES % 17).astype(float)))
    assert "float64" in said and "divide by the largest value" in said
    data = load(save(tmp_path, x=BYTES / 255))
    assert same_rows(data, BYTES)
    assert load(save(tmp_path, x=BYTES > 99)).provenance["reading"] == ["booleans: taken as 0 and 255"]
    assert load(save_73(tmp_path, x=BYTES > 99)).provenance["reading"] == ["booleans: taken as 0 and 255"]


def test_labels_that_are_texts(tmp_path):
    data = load(save(tmp_path, x=X, y=np.array(["cat", "horse"])[Y % 2]))
    assert data.provenance["classes"] == ["cat", "horse"]


def objects(*values) -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


BAD = {
    "a struct": (
        {"s": {"x": X, "y": Y}},
        "holds s (struct 1 x 1); expected x, or x_train and x_test (and y, or y_train, y_test), or data.x=NAME "
        "data.target=NAME to say which are rows and labels; s is a struct; expected an array of numbers: "
        "save('FILE.mat', '-struct', 's') writes its fields as variables",
    ),
    "cells": ({"c": objects(X[0], X[1])}, "c is a cell; expected an array of numbers: c = cat(1, c{:})"),
    "a sparse matrix": (
        {"x": sparse.csc_matrix(X)},
        "x is a sparse; expected an array of numbers: x = full(x)",
    ),
    "complex numbers": ({"x": X + 1j}, "x is complex; expected real numbers: abs(x)"),
    "NaN": ({"x": np.where(X > 1, np.nan, X)}, "holds NaN or infinity"),
    "two of a kind": ({"x": X, "data": X}, "expected one of the two"),
    "nothing": ({}, "holds nothing; expected x"),
    "labels of another number": ({"x": X, "y": Y[:9]}, "expected 40 labels"),
}


@pytest.mark.parametrize(("arrays", "message"), BAD.values(), ids=BAD)
def test_what_is_refused_in_one_line(tmp_path, arrays, message):
    assert message in refusal(save(tmp_path, **arrays))


def test_what_is_not_chosen_is_not_made(tmp_path):
    file = save(tmp_path, x=X, s={"a": 1}, c=objects(X, "u"))
    assert load(file).shape == (3,)
    assert "s is a struct" in refusal(file, x="s") and "c is a cell" in refusal(file, target="c")


def test_structs_and_cells_of_version_73(tmp_path):
    file = save_73(tmp_path, note="hello")
    with h5py.File(file, "r+") as handle:
        handle["#refs#/a"] = X
        cells = handle.create_dataset("c", data=np.array([handle["#refs#/a"].ref], dtype=h5py.ref_dtype))
        cells.attrs["MATLAB_class"] = np.bytes_("cell")
        handle["s/x"] = X
        handle["s"].attrs["MATLAB_class"] = np.bytes_("struct")
        handle["f/x"] = X
        handle["f"].attrs["MATLAB_class"] = np.bytes_("function_handle")
        handle["outside"] = h5py.ExternalLink("/etc/passwd", "/x")
        handle["p/data"] = X
        handle["p"].attrs["MATLAB_sparse"] = 3
    assert "c is a cell; expected" in refusal(file, x="c")
    assert "s is a struct; expected" in refusal(file, x="s")
    assert "f is a function_handle; expected" in refusal(file, x="f")
    assert "p is a sparse; expected" in refusal(file, x="p")
    assert "has no such array" in refusal(file, x="outside")
    assert "note is" in refusal(file, x="note")


def test_damage_is_one_line(tmp_path):
    file = save(tmp_path, x=X, y=Y)
    content = file.read_bytes()
    generator = np.random.default_rng(1)
    file.write_bytes(content[:300])
    assert "MATLAB file" in refusal(file)
    file.write_bytes(b"no MATLAB at all" * 40)
    assert "no MATLAB file, or a damaged one" in refusal(file)
    for _ in range(200):
        spoilt = bytearray(content)
        for place in generator.integers(0, len(content), 3):
            spoilt[place] ^= int(generator.integers(1, 256))
        file.write_bytes(bytes(spoilt))
        said = outcome(file)
        assert "\n" not in said
    file = save_73(tmp_path, x=X)
    file.write_bytes(file.read_bytes()[:700])
    assert "no HDF5 file, or a damaged one" in refusal(file)


def test_tags_that_end_the_process_of_their_reader_do_not_reach_it(tmp_path):
    savemat(tmp_path / "a.mat", {"x": X})
    content = (tmp_path / "a.mat").read_bytes()
    # the tag of the values: doubles (9), 40 x 3 of them
    place = content.index(b"\x09\0\0\0" + (X.size * 8).to_bytes(4, "little"))
    for at, value in ((place, 200), (place, 0), (place, 3), (place + 4, 8), (place + 6, 9)):
        spoilt = bytearray(content)
        spoilt[at] = value
        (tmp_path / "a.mat").write_bytes(bytes(spoilt))
        assert "x has another number of values than its shape says" in refusal(tmp_path / "a.mat")


@SAVE
def test_what_claims_more_than_memory_holds_is_not_read(tmp_path, monkeypatch, save):
    file = save(tmp_path, x=np.zeros((3000, 1000)))
    assert file.stat().st_size < 100_000
    monkeypatch.setattr(contents, "memory_bytes", lambda: 20_000_000)
    monkeypatch.setattr(matlab, "_array", None)
    monkeypatch.setattr("scipy.io.loadmat", None)
    said = refusal(file)
    assert "x (double 3000 x 1000): 0.0 GiB; expected what this machine's memory" in said
