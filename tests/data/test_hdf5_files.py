"""HDF5 files: arrays by name, in groups too; nothing outside the file, no references."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from priorgap.data.data_file import DataFile
from priorgap.data.files import contents, hdf5

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (40, 6, 5), dtype=np.uint8)
X = RNG.normal(size=(40, 3))
Y = np.arange(40) % 4


def save(folder: Path, name: str = "a.h5", **arrays) -> Path:
    with h5py.File(folder / name, "w") as file:
        for key, array in arrays.items():
            file[key.replace("__", "/")] = array
    return folder / name


def load(file: Path, **settings):
    return DataFile(file, **settings).load(root=Path("unused"), download=False)


def rows(data) -> torch.Tensor:
    return torch.cat([data.train.x, data.validation.x, data.test.x]).flatten(1)


def refusal(file: Path, **settings) -> str:
    with pytest.raises(ValueError) as caught:
        load(file, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (BYTES, (1, 6, 5)),
        (BYTES[..., None].repeat(3, -1), (3, 6, 5)),
        ((BYTES / 255)[:, None].astype(">f4"), (1, 6, 5)),
        (BYTES.astype(">u2"), (1, 6, 5)),
    ],
)
def test_images_in_every_layout(tmp_path, array, shape):
    data = load(save(tmp_path, "a.hdf5", images=array))
    assert data.kind == "uint8_image" and data.shape == shape
    found = torch.cat([s.x[:, 0] for s in (data.train, data.validation, data.test)]).flatten(1)
    assert torch.equal(found.unique(dim=0), torch.from_numpy(BYTES).flatten(1).unique(dim=0))


def test_groups_are_parts(tmp_path):
    # as USPS has them
    arrays = {"train__data": X[:30], "train__target": Y[:30], "test__data": X[30:], "test__target": Y[30:]}
    data = load(save(tmp_path, **arrays))
    assert data.official and data.n_classes == 4
    assert torch.equal(data.test.x, torch.from_numpy(X[30:]).float())
    assert data.provenance["arrays"] == ["test/data", "test/target", "train/data", "train/target"]


def test_arrays_that_the_user_names(tmp_path):
    file = save(tmp_path, train_set_x=BYTES, train_set_y=Y, list_classes=np.array([b"u", b"v"]))
    data = load(file, x="train_set_x", target="/train_set_y")
    assert data.shape == (1, 6, 5) and data.n_classes == 4
    assert "holds list_classes (text 2), train_set_x (uint8 40 x 6 x 5), train_set_y (int64 40)" in refusal(
        file
    )
    assert "data.x=train_set: data.path=" in refusal(file, x="train_set")
    parts = save(tmp_path, x_train=X, x_test=X, kind=Y)
    assert "has parts test, train; expected data.x=NAME too" in refusal(parts, target="kind")


def test_labels_that_are_texts(tmp_path):
    names = np.array(["größe", "b"], dtype=object)[Y % 2]
    data = load(save(tmp_path, x=X, y=names))
    assert data.provenance["classes"] == ["b", "größe"]
    data = load(save(tmp_path, x=X, y=np.array([b"u", b"v"])[Y % 2]))
    assert data.provenance["classes"] == ["u", "v"]


def test_what_is_no_plain_array(tmp_path):
    file = save(tmp_path, first=X, inside=X)
    save(tmp_path, "b.h5", x=X)
    fields = np.zeros(40, dtype=[("a", "f8"), ("b", "i4")])
    with h5py.File(file, "r+") as handle:
        handle["refs"] = np.array([handle["first"].ref] * 40, dtype=h5py.ref_dtype)
        handle["fields"] = fields
        handle["none"] = h5py.Empty("f8")
        ragged = handle.create_dataset("ragged", (40,), h5py.vlen_dtype(np.float64))
        ragged[0], ragged[1] = X[0], X[1, :2]
        handle["complex"] = X + 1j
        h5py.h5d.create(handle.id, b"times", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((40,)))
        h5py.h5d.create(handle.id, b"\xff\xfe", h5py.h5t.STD_U8LE, h5py.h5s.create_simple((40,)))
        handle["linked"] = h5py.ExternalLink("b.h5", "/x")
        handle["soft"] = h5py.SoftLink("/first")
        handle.create_dataset("raw", (40, 3), "f8", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)])
        layout = h5py.VirtualLayout((40, 3), "f8")
        layout[:] = h5py.VirtualSource(tmp_path / "b.h5", "x", (40, 3))
        handle.create_virtual_dataset("virtual", layout)
    for name, message in {
        "refs": "refs is an array of references; expected numbers",
        "fields": "fields is a table of rows with fields; expected numbers: write it as .parquet or .csv",
        "none": "none is empty",
        "ragged": "ragged is of type object; expected numbers",
        "complex": "complex is of type complex128; expected numbers",
        "linked": "has no such array",
        "soft": "has no such array",
        "times": "times is of a type that is no number; expected numbers",
        "raw": "raw is kept in other files; expected an array within this one",
        "virtual": "virtual is kept in other files",
    }.items():
        assert message in refusal(file, x=name), name
    assert load(file, x="inside").shape == (3,)
    assert "holds complex (complex128 40 x 3), fields (rows of fields 40), first (float64" in refusal(file)


def test_damage_is_one_line(tmp_path):
    file = save(tmp_path, x=np.tile(X, (30, 1)), y=np.tile(Y, 30))
    content = file.read_bytes()
    file.write_bytes(b"junk" * 99)
    assert "no HDF5 file, or a damaged one" in refusal(file)
    file.write_bytes(content[: len(content) // 2])
    assert "no HDF5 file, or a damaged one" in refusal(file)


def test_what_claims_a_hundred_gigabytes_is_not_read(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (10**7, 40, 40), "f8", chunks=(10, 40, 40), compression="gzip")
    assert (tmp_path / "a.h5").stat().st_size < 100_000
    monkeypatch.setattr(contents, "memory_bytes", lambda: 64 * 2**30)
    monkeypatch.setattr(hdf5, "_array", None)
    said = refusal(tmp_path / "a.h5")
    assert (
        "x (float64 10000000 x 40 x 40): 119.2 GiB; expected what this machine's memory of 64.0 GiB holds"
        in said
    )


@pytest.mark.parametrize("name", ["a.h5", "a.mat"])
def test_the_reader_is_an_extra(tmp_path, monkeypatch, name):
    file = save(tmp_path, name, x=X)
    monkeypatch.setitem(sys.modules, "h5py", None)
    said = f"data.path={file}: h5py is not installed; expected the extra files: pip install 'priorgap[files]'"
    assert refusal(file) == said


def test_memory_is_that_of_the_machine():
    assert 2**28 < contents.memory_bytes() < 2**50
