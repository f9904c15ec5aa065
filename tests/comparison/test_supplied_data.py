"""Data as users have them: every container, scale and layout is the same rows, or is refused in one line."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import sparse
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from priorgap.comparison import row_store
from priorgap.comparison.supplied_data import check_range, supplied

RNG = np.random.default_rng(0)
BYTES = torch.from_numpy(RNG.integers(0, 256, (60, 1, 6, 5), dtype=np.uint8))
BYTES[0, 0, 0, :2] = torch.tensor([0, 255])
BYTES[50, 0, 0, :2] = torch.tensor([0, 255])
Y = torch.arange(60) % 3
UNIT = BYTES.float() / 255
VECTORS = torch.from_numpy(RNG.normal(size=(60, 4))).float()


class Items(Dataset):
    """Rows one by one, made by a function."""

    def __init__(self, make, rows):
        self.make, self.rows = make, rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.make(int(self.rows[i]))


class Endless(IterableDataset):
    """Rows one by one, without a length."""

    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)


def parts(make, labels=None, **more):
    """Return what `supplied` makes of the first 50 and the last 10 rows."""
    rows = {"train": torch.arange(50), "test": torch.arange(50, 60)}
    return supplied({name: make(index) for name, index in rows.items()}, labels, seed=0, **more)


EXPECTED = parts(lambda i: BYTES[i])


class Table:
    """Rows with names by their numbers, as Hugging Face's data sets give them; no Dataset of PyTorch."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, k):
        if k >= len(self.rows):
            raise IndexError(k)
        return {"image": Image.fromarray(BYTES[self.rows[k], 0].numpy()), "label": int(Y[self.rows[k]])}

    def __iter__(self):
        return (self[k] for k in range(len(self)))


IMAGES = {
    "tensor of floats": lambda i: UNIT[i],
    "doubles": lambda i: UNIT[i].double(),
    "array": lambda i: UNIT[i].numpy(),
    "read-only array": lambda i: np.frombuffer(BYTES[i].numpy().tobytes(), np.uint8).reshape(-1, 1, 6, 5),
    "with gradient": lambda i: UNIT[i].requires_grad_(),
    "no channel": lambda i: UNIT[i, 0],
    "channels last": lambda i: UNIT[i].permute(0, 2, 3, 1),
    "minus one to one": lambda i: UNIT[i] * 2 - 1,
    "floats of 0..255": lambda i: BYTES[i].float(),
    "16 bits": lambda i: BYTES[i].numpy().astype(np.uint16) * 257,
    "integers": lambda i: BYTES[i].long(),
    "list of rows": lambda i: list(UNIT[i]),
    "lists of numbers": lambda i: BYTES[i, 0].tolist(),
    "tensor data set": lambda i: TensorDataset(UNIT[i]),
    "items": lambda i: Items(lambda k: UNIT[k], i),
    "pictures": lambda i: Items(lambda k: Image.fromarray(BYTES[k, 0].numpy()), i),
    "items with names": lambda i: Items(lambda k: {"image": UNIT[k], "label": int(Y[k])}, i),
    "rows of a table": Table,
    "items without a length": lambda i: Endless([UNIT[k] for k in i]),
    "loader": lambda i: DataLoader(TensorDataset(UNIT[i]), batch_size=7),
    "loader of minus one to one": lambda i: DataLoader(TensorDataset(UNIT[i] * 2 - 1), batch_size=7),
    "batches": lambda i: (UNIT[k] for k in i.split(8)),
    "batches with targets": lambda i: ((UNIT[k], UNIT[k]) for k in i.split(8)),
    "pairs": lambda i: [(UNIT[k], int(Y[k])) for k in i],
    "(x, y)": lambda i: (UNIT[i].numpy(), Y[i].numpy()),
}


@pytest.mark.parametrize("form", IMAGES, ids=str)
def test_images_in_every_form_are_the_same(form):
    found = parts(IMAGES[form])
    for name, split in EXPECTED.parts.items():
        assert torch.equal(found.parts[name].x, split.x) and found.parts[name].kind == "uint8_image", name


@pytest.mark.parametrize(
    "make",
    [
        lambda i: VECTORS[i], lambda i: VECTORS[i].numpy(), lambda i: VECTORS[i].double(),
        lambda i: pd.DataFrame(VECTORS[i].numpy(), columns=list("abcd")), lambda i: VECTORS[i].tolist(),
        lambda i: DataLoader(TensorDataset(VECTORS[i], Y[i]), batch_size=16),
    ],
    ids=["tensor", "array", "doubles", "frame", "lists", "loader"],
)  # fmt: skip
def test_vectors_in_every_form_are_the_same(make):
    found = parts(make)
    assert torch.equal(found.parts["train"].x, VECTORS[:50])
    assert found.parts["train"].kind == "float_vector" and found.findings == ()


NAMED = {
    "array": lambda y: y.numpy(),
    "list": lambda y: y.tolist(),
    "column": lambda y: y[:, None],
    "one-hot": lambda y: torch.nn.functional.one_hot(y, 3),
    "from one": lambda y: y + 1,
    "gaps": lambda y: y * 500,
    "whole floats": lambda y: y.float(),
    "names": lambda y: [["cat", "dog", "emu"][k] for k in y],
    "series": lambda y: pd.Series(["abc"[k] for k in y], dtype="category"),
}


@pytest.mark.parametrize("form", NAMED, ids=str)
def test_labels_in_every_form_are_the_same_classes(form):
    found = parts(lambda i: UNIT[i], [NAMED[form](Y[:50]), NAMED[form](Y[50:])])
    assert torch.equal(found.parts["train"].label, Y[:50]) and len(found.names) == 3
    codes = NAMED[form](torch.arange(3))
    if isinstance(codes, torch.Tensor) and form != "whole floats":
        assert torch.equal(found.codes, codes)


def test_labels_that_come_with_the_rows_are_taken():
    for make in (IMAGES["pairs"], IMAGES["(x, y)"], IMAGES["items with names"], Table):
        assert torch.equal(parts(make).parts["train"].label, Y[:50])
    bare = parts(IMAGES["batches with targets"])
    assert bare.parts["train"].label is None and "is no class" in bare.findings[0].sentence


def test_a_given_range_is_kept_for_parts_that_do_not_fill_it():
    dark = parts(lambda i: UNIT[i] * 0.5, span=(-1, 1))
    expected = ((UNIT[:50].double() * 0.5 + 1) / 2 * 255).round().to(torch.uint8)
    assert torch.equal(dark.parts["train"].x, expected) and dark.layout.range == (-1, 1)
    # a test set that is bright alone is read on the scale of train
    found = supplied({"train": UNIT[:50] * 2 - 1, "test": torch.full((10, 1, 6, 5), 0.5)}, None, seed=0)
    assert found.parts["test"].x.unique().tolist() == [191]


def test_what_was_done_is_said():
    assert EXPECTED.findings == () and parts(IMAGES["array"]).findings == ()
    for form, words in (
        ("minus one to one", "brought to [0, 1]; encode gets, and decode gives, [b, c, h, w] in [-1, 1]"),
        ("no channel", "rows of 6 x 5 are taken as grey images"),
        ("channels last", "channels are last; encode gets, and decode gives, [b, h, w, c]"),
        ("16 bits", "16-bit integers: divided by 65,535"),
    ):
        (said,) = parts(IMAGES[form]).findings
        assert said.severity == "note" and words in said.sentence


def test_more_rows_than_fit_are_a_seeded_share_that_is_said(monkeypatch):
    monkeypatch.setattr(row_store, "MOST_BYTES", 20 * 4 * 4)
    rows = torch.arange(20_000.0)[:, None].repeat(1, 4)
    label = torch.arange(20_000) % 7

    def read(batch, seed=0):
        loader = DataLoader(TensorDataset(rows, label), batch_size=batch)
        return supplied({"train": loader, "test": VECTORS[:20]}, None, seed=seed)

    found, same, other = read(64), read(300), read(64, seed=1)
    kept = found.parts["train"].x[:, 0]
    assert torch.equal(kept, same.parts["train"].x[:, 0])
    assert not torch.equal(kept, other.parts["train"].x[:, 0])
    # each row once, with its own label, from everywhere
    assert len(kept.unique()) == 20 and torch.equal(found.parts["train"].label, kept.long() % 7)
    means = torch.stack([read(1000, seed).parts["train"].x[:, 0].mean() for seed in range(30)])
    assert abs(float(means.mean()) - 9999.5) < 4 * 20_000 / (12 * 600) ** 0.5
    (said,) = found.findings
    assert said.name == "share_of_rows_of_train" and said.value == 20 / 20_000
    assert "20 of 20,000 train rows" in said.sentence


BAD = {
    "nothing": (lambda i: None, {}, "train: got None; expected an array"),
    "a path": (lambda i: "train.npz", {}, "train: got the text train.npz: read the file first"),
    "a function": (lambda i: lambda: UNIT[i], {}, "train: got a function.*call it first"),
    "a mapping": (lambda i: {"x": UNIT[i]}, {}, "train: got dict"),
    "no batches": (lambda i: iter(()), {}, "train: no rows"),
    "single images": (lambda i: (UNIT[k] for k in i), {}, r"train: gives arrays of shape \(1, 6, 5\)"),
    "rows of two shapes": (lambda i: [UNIT[0], UNIT[0, :, :3]], {}, "train: rows of different shapes"),
    "batches of two shapes": (lambda i: iter([UNIT[i], UNIT[i][:, :, :3]]), {}, "train: rows of shape"),
    "complex": (lambda i: UNIT[i] * 1j, {}, "train: a tensor of complex numbers"),
    "text columns": (lambda i: pd.DataFrame({"a": 1.0, "town": "x"}, index=i.tolist()), {}, "columns town hold no"),
    "columns of one name": (
        lambda i: pd.DataFrame(VECTORS[i].numpy(), columns=list("aabc")), {}, "several columns a;",
    ),
    "sparse": (lambda i: sparse.csr_matrix(VECTORS[i].numpy()), {}, r"a sparse matrix.*train\.toarray\(\)"),
    "missing cells": (
        lambda i: pd.DataFrame({"a": [1.0, None] * (len(i) // 2)}),
        {},
        r"train is float64 \(50, 1\): holds NaN or infinity in 25 of 50 rows",
    ),
    "masked": (lambda i: np.ma.masked_less(UNIT[i].numpy(), 0.5), {}, "masked values"),
    "later batches on another scale": (
        lambda i: iter([UNIT[i], UNIT[i] * 2 - 1]), {}, r"images from -1 to 1, beyond the range \[0, 1\]",
    ),
    "beyond a given range": (lambda i: UNIT[i] * 3, {"span": (-1, 1)}, r"beyond the range \[-1, 1\]"),
    "no scale": (lambda i: UNIT[i] * 20, {}, "train is .*values from 0 to 20: expected float images in"),
    "a range of vectors": (lambda i: VECTORS[i], {"span": (-1, 1)}, "range=.*expected with images only"),
    "four channels": (lambda i: UNIT[i].repeat(1, 4, 1, 1), {}, "train is .*the fourth is transparency"),
    "unlabelled rows": (
        lambda i: UNIT[i], {"labels": [Y[:50] - 1, Y[50:]]}, "labels of train is .*17 of 50 rows have no label",
    ),
    "a shuffled loader and labels": (
        lambda i: DataLoader(TensorDataset(UNIT[i]), shuffle=True), {"labels": [Y[:50], Y[50:]]},
        "labels: train is a DataLoader that shuffles",
    ),
    "rows for classes": (
        lambda i: torch.zeros(20_000, 2), {"labels": [torch.arange(20_000), torch.arange(20_000)]},
        "20,000 classes; expected at most 10,000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_data_are_named_in_one_line(case):
    make, more, words = BAD[case]
    with pytest.raises(ValueError, match=words) as caught:
        parts(make, **more)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [5, (1, -1), (0, 1, 2), ("a", "b"), (0, float("inf"))], ids=str)
def test_a_range_is_two_numbers(given):
    with pytest.raises(ValueError, match="range="):
        check_range(given)
