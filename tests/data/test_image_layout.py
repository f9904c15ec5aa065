"""Folders as people lay them out: parts are parts, classes are classes, and what is neither is said."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from priorgap.data.image_layout import layout_of
from priorgap.data.own import ImageFolder
from priorgap.data.splits import DataUnavailable


def put(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), number % 256, np.uint8)).save(path)
    return folder


def many(folder: str, n: int) -> list[str]:
    return [f"{folder}/{i}.png" for i in range(n)]


def load(folder: Path):
    return ImageFolder(folder).load(root=folder, download=False)


def test_parts_are_splits_not_classes(tmp_path):
    data = load(put(tmp_path, *many("train", 20), *many("test", 7)))
    assert data.n_classes is None and data.official
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 7)
    assert {int(x) for x in data.test.x[:, 0, 0, 0]} == set(range(20, 27))


def test_parts_with_classes(tmp_path):
    files = [
        f
        for part, n in (("Train", 10), ("valid", 4), ("test", 5))
        for c in "ab"
        for f in many(f"{part}/{c}", n)
    ]
    data = load(put(tmp_path, *files))
    assert (len(data.train), len(data.validation), len(data.test)) == (20, 8, 10)
    assert data.n_classes == 2 and data.provenance["classes"] == ["a", "b"]
    assert data.test.label.bincount().tolist() == [5, 5]


def test_without_test_a_part_is_split_off(tmp_path):
    data = load(put(tmp_path, *many("train", 20), *many("val", 6)))
    assert (len(data.train), len(data.validation), len(data.test)) == (16, 6, 4)
    assert not data.official and data.provenance["split_off"] == ["test"]


def test_wrappings_and_what_archives_leave_are_passed_over(tmp_path):
    files = [f for c in ("cat", "dog") for f in many(f"data/data/{c}", 10)]
    put(tmp_path, *files, "__MACOSX/._1.png")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    layout = layout_of(tmp_path)
    assert layout.root == tmp_path / "data" / "data" and layout.classes == ["cat", "dog"]
    assert len(layout.files[""]) == 20


def test_a_class_called_train_is_a_class(tmp_path):
    layout = layout_of(put(tmp_path, *many("train", 3), *many("bus", 3), *many("car", 3)))
    assert layout.classes == ["bus", "car", "train"] and list(layout.files) == [""]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/1.png", "test/1.png", "loose.png"], "images beside test, train"),
        (["val/1.png", "test/1.png"], "expected a folder train/ too"),
        (["train/a/1.png", "test/1.png"], "expected all or none"),
        (["train/1.png", "training/1.png", "test/1.png"], "expected one folder of each part"),
        (["a/1.png", "loose.png"], "not both"),
    ],
)
def test_what_is_unclear_is_one_line(tmp_path, names, message):
    with pytest.raises(ValueError, match=message) as caught:
        layout_of(put(tmp_path, *names))
    assert "\n" not in str(caught.value)


def test_a_file_is_no_folder(tmp_path):
    put(tmp_path, "1.png")
    with pytest.raises(DataUnavailable, match="expected the folder"):
        layout_of(tmp_path / "1.png")


def test_a_class_of_one_picture_is_called_by_its_name(tmp_path):
    put(tmp_path, *many("cat", 20), "lone_dog/1.png")
    with pytest.raises(ValueError, match="class lone_dog has 1 row"):
        load(tmp_path)
