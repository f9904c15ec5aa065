"""A user's own folder or file: what is read, how it is split, what is refused and how."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from priorgap.data.npz_file import NpzFile
from priorgap.data.own import ImageFolder
from priorgap.data.splits import DataCorrupt, DataUnavailable


def write_image(
    path: Path, size: tuple[int, int] = (8, 8), value: int | None = None, mode: str = "L"
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = value if mode == "L" else (value or 0, 20, 30)
    Image.new(mode, size, colour or 0).save(path)


@pytest.fixture
def folder(tmp_path):
    for c, name in enumerate(["cat", "dog"]):
        for i in range(10):
            write_image(tmp_path / "pets" / name / f"{i}.png", value=100 * c + i)
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "pets" / ".hidden").mkdir()
    return tmp_path / "pets"


def load(source):
    data = source.load(root=Path("unused"), download=False)
    return data, [len(data.train), len(data.validation), len(data.test)]


def test_class_folders_become_labels(folder):
    data, sizes = load(ImageFolder(folder))
    assert sizes == [14, 2, 4] and data.n_classes == 2 and not data.official
    assert data.shape == (1, 8, 8) and data.provenance["classes"] == ["cat", "dog"]
    for split in (data.train, data.validation, data.test):
        assert torch.equal(split.x[:, 0, 0, 0] >= 100, split.label == 1)
        assert split.label.bincount().tolist() == [len(split) // 2] * 2
    again, _ = load(ImageFolder(folder))
    assert torch.equal(again.train.x, data.train.x)
    other, _ = load(ImageFolder(folder, split_seed=1))
    assert not torch.equal(other.train.x, data.train.x)


def test_a_flat_folder_has_no_labels(tmp_path):
    for i in range(20):
        write_image(tmp_path / f"{i}.png", value=i)
    data, sizes = load(ImageFolder(tmp_path, channels="rgb"))
    assert data.train.label is None and data.n_classes is None and sizes == [14, 2, 4]
    assert data.shape == (3, 8, 8)
    values = torch.cat([s.x[:, 0, 0, 0] for s in (data.train, data.validation, data.test)])
    assert values.sort().values.tolist() == list(range(20))


def test_colour_planes_are_first(tmp_path):
    for i in range(20):
        write_image(tmp_path / f"{i}.png", size=(6, 4), value=10, mode="RGB")
    data, _ = load(ImageFolder(tmp_path, channels="rgb"))
    assert data.shape == (3, 4, 6)
    assert data.train.x[0, :, 0, 0].tolist() == [10, 20, 30]


def test_one_odd_size_is_named_with_the_remedy(folder):
    write_image(folder / "dog" / "odd.png", size=(9, 7))
    with pytest.raises(ValueError) as caught:
        load(ImageFolder(folder))
    message = str(caught.value)
    assert "odd.png" in message and "7 x 9" in message and "8 x 8" in message
    assert "data.resize=crop or pad" in message and "\n" not in message
    with pytest.raises(ValueError, match=r"odd.png: 7 x 9 .* data.image_size=8: set data.resize"):
        load(ImageFolder(folder, image_size=8))
    for resize in ("crop", "pad"):
        data, _ = load(ImageFolder(folder, image_size=8, resize=resize))
        assert data.shape == (1, 8, 8)


def test_crop_cuts_and_pad_keeps_everything(tmp_path):
    wide = np.zeros((8, 16), np.uint8)
    wide[:, :4], wide[:, 12:] = 200, 200
    wide[:, 4:12] = 100
    for i in range(10):
        Image.fromarray(wide).save(tmp_path / f"{i}.png") if i else write_image(tmp_path / "0.png", value=1)
    cropped, _ = load(ImageFolder(tmp_path, image_size=8, resize="crop"))
    padded, _ = load(ImageFolder(tmp_path, image_size=8, resize="pad"))
    pick = lambda d: next(x for s in (d.train, d.test) for x in s.x if int(x.max()) > 50)  # noqa: E731
    assert pick(cropped)[0].unique().tolist() == [100]
    image = pick(padded)[0]
    assert image[0].max() == 0 and image[-1].max() == 0
    assert image[4, 0] > 150 and 80 < image[4, 4] < 120


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resize": "stretch"}, "data.resize=stretch"),
        ({"resize": "crop"}, "data.image_size must be given"),
        ({"channels": "cmyk"}, "data.channels=cmyk"),
        ({"image_size": 0}, "data.image_size=0"),
    ],
)
def test_bad_folder_settings_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        ImageFolder(tmp_path, **changes)


def test_bad_folders_are_refused(folder, tmp_path):
    with pytest.raises(DataUnavailable, match="no such folder"):
        load(ImageFolder(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataUnavailable, match="no images"):
        load(ImageFolder(tmp_path / "empty"))
    write_image(folder / "loose.png")
    with pytest.raises(ValueError, match="not both"):
        load(ImageFolder(folder))
    (folder / "loose.png").unlink()
    (folder / "cat" / "broken.png").write_bytes(b"\x89PNG and then nothing")
    with pytest.raises(DataCorrupt, match=r"broken.png: no readable image"):
        load(ImageFolder(folder))
    (folder / "cat" / "broken.png").unlink()
    write_image(folder / "bird" / "1.png")
    with pytest.raises(ValueError, match="class bird has 1 rows"):
        load(ImageFolder(folder))


def save(path: Path, **arrays: np.ndarray) -> NpzFile:
    np.savez(path, **arrays)
    return NpzFile(path)


RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (40, 6, 5), dtype=np.uint8)


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (BYTES, (1, 6, 5)),
        (BYTES / 255.0, (1, 6, 5)),
        (BYTES[..., None].repeat(3, -1), (3, 6, 5)),
        (BYTES[:, None].repeat(3, 1), (3, 6, 5)),
        ((BYTES / 255)[:, None].astype(np.float32), (1, 6, 5)),
    ],
)
def test_npz_images_in_every_layout(tmp_path, array, shape):
    data, sizes = load(save(tmp_path / "a.npz", x=array))
    assert data.kind == "uint8_image" and data.shape == shape and sizes == [28, 4, 8]
    rows = torch.cat([s.x[:, 0] for s in (data.train, data.validation, data.test)]).flatten(1)
    expected = torch.from_numpy(BYTES).flatten(1)
    assert torch.equal(rows.unique(dim=0), expected.unique(dim=0))


def test_npz_vectors_and_labels(tmp_path):
    x, y = RNG.normal(size=(40, 3)), np.arange(40) % 4
    x[:, 0] = y
    data, _ = load(save(tmp_path / "a.npz", x=x, y=y))
    assert data.kind == "float_vector" and data.n_classes == 4
    assert torch.equal(data.test.x[:, 0].long(), data.test.label)
    assert data.test.label.bincount().tolist() == [2] * 4


def test_npz_with_its_own_split(tmp_path):
    x = RNG.normal(size=(40, 3)).astype(np.float32)
    data, sizes = load(save(tmp_path / "a.npz", x_train=x[:30], x_test=x[30:]))
    assert sizes == [27, 3, 10] and data.official
    assert torch.equal(data.test.x, torch.from_numpy(x[30:]))
    data, sizes = load(save(tmp_path / "b.npz", x_train=x[:20], x_validation=x[20:30], x_test=x[30:]))
    assert sizes == [20, 10, 10] and torch.equal(data.validation.x, torch.from_numpy(x[20:30]))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"z": BYTES}, "expected x, or x_train and x_test"),
        ({"x_test": BYTES}, "expected x, or x_train and x_test"),
        ({"x": BYTES, "data": BYTES}, "holds x and data; expected one of the two"),
        ({"x": BYTES.astype(np.int64) - 9}, "expected integers of 0..255"),
        ({"x": np.full((9, 4, 4), "a")}, "expected numbers: uint8 or float images"),
        ({"x": BYTES * 2.0}, "expected float images in [0, 1]"),
        ({"x": BYTES / 255 * 16}, "divide by the largest value"),
        ({"x": np.where(BYTES > 250, np.nan, BYTES / 255)}, "rows; expected numbers: fill or leave out"),
        ({"x": np.full((9, 3), np.nan)}, "NaN or infinity"),
        ({"x": BYTES[:0]}, "at least 1 row"),
        ({"x": np.zeros((9, 7, 7, 2), np.uint8)}, "1 or 3 channels"),
        ({"x": np.zeros(9)}, "vectors [n, d]"),
        ({"x": BYTES, "y": np.arange(39)}, "expected 40 labels"),
        ({"x": BYTES, "y": np.linspace(0, 1, 40)}, "expected 40 integers"),
        ({"x": BYTES, "y": np.where(np.arange(40) < 7, -1, 1)}, "7 of 40 rows have no label"),
        ({"x": BYTES, "y": np.repeat(["a", ""], 20)}, "20 of 40 rows have no label"),
        ({"x": BYTES, "y": np.where(np.arange(40) < 7, np.nan, 1)}, "7 of 40 rows have no label"),
        ({"x_train": BYTES, "x_test": BYTES[:, :3]}, "x_test has rows of shape (1, 3, 5) (uint8_image)"),
    ],
)
def test_bad_npz_contents_are_refused_in_one_line(tmp_path, arrays, message):
    with pytest.raises(ValueError) as caught:
        load(save(tmp_path / "a.npz", **arrays))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_npz_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataUnavailable, match="no such file"):
        load(NpzFile(tmp_path / "a.npz"))
    (tmp_path / "b.npz").write_bytes(b"junk")
    with pytest.raises(DataCorrupt, match="plain arrays"):
        load(NpzFile(tmp_path / "b.npz"))
    objects = np.empty(1, dtype=object)
    objects[0] = print
    np.savez(tmp_path / "c.npz", x=objects)
    with pytest.raises(DataCorrupt, match="plain arrays"):
        load(NpzFile(tmp_path / "c.npz"))
