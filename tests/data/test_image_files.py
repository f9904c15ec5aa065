"""Pictures of every mode: the right values, or one line; what was done is counted."""

import logging

import numpy as np
import pytest
from PIL import Image
from PIL.Image import Transpose

from priorgap.data.image_files import ImageReader, pixels_of
from priorgap.data.own import ImageFolder
from priorgap.data.splits import DataCorrupt

RNG = np.random.default_rng(0)
# grey levels 0, 17, ..., 255: exact in every depth
LEVELS = RNG.integers(0, 16, (6, 5)).astype(np.uint8) * 17
COLOUR = RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)


def read(path, image: Image.Image, *, channels="auto", background="white", **saving):
    image.save(path, **saving)
    reader = ImageReader(channels, background)
    return pixels_of(reader.read(path)), dict(reader.done)


@pytest.mark.parametrize(
    ("suffix", "image", "words"),
    [
        ("png", Image.fromarray(LEVELS), ""),
        ("png", Image.fromarray(LEVELS.astype(np.uint16) * 257), "16-bit"),
        ("tif", Image.fromarray(LEVELS.astype(np.uint16) * 257), "16-bit"),
        ("tif", Image.fromarray(LEVELS.astype(np.int32) * 257), "16-bit"),
        ("tif", Image.fromarray((LEVELS / 255).astype(np.float32)), "floats in"),
        ("png", Image.fromarray(np.stack([LEVELS] * 3, -1)), ""),
        ("bmp", Image.fromarray(LEVELS), ""),
        ("png", Image.fromarray(LEVELS).convert("LA"), ""),
        ("png", Image.fromarray(LEVELS).convert("RGBA"), ""),
        ("png", Image.fromarray(LEVELS).convert("P"), ""),
    ],
    ids=[
        "8 bit",
        "16-bit png",
        "16-bit tiff",
        "32-bit tiff",
        "float",
        "grey as colour",
        "bmp",
        "LA",
        "RGBA",
        "P",
    ],
)
def test_grey_pictures_keep_their_values(tmp_path, suffix, image, words):
    pixels, done = read(tmp_path / f"a.{suffix}", image)
    assert pixels.shape == (1, 6, 5) and np.array_equal(pixels[0], LEVELS)
    assert (words == "" and done == {}) or any(words in what for what in done)


def test_black_and_white_is_0_and_255(tmp_path):
    pixels, _ = read(tmp_path / "a.png", Image.fromarray(LEVELS > 100))
    assert np.array_equal(pixels[0], np.where(LEVELS > 100, 255, 0))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colour_stays_colour_unless_grey_is_asked_for(tmp_path, mode):
    image = Image.fromarray(COLOUR).convert(mode)
    pixels, _ = read(tmp_path / "a.png", image)
    assert np.array_equal(pixels, COLOUR.transpose(2, 0, 1))
    grey, done = read(tmp_path / "b.png", image, channels="grey")
    assert np.array_equal(grey[0], np.array(Image.fromarray(COLOUR).convert("L")))
    assert any("turned grey" in what for what in done)
    three, _ = read(tmp_path / "c.png", Image.fromarray(LEVELS), channels="rgb")
    assert three.shape == (3, 6, 5) and (three == LEVELS).all()


@pytest.mark.parametrize(("background", "level"), [("white", 255), ("black", 0)])
def test_what_is_transparent_shows_the_background(tmp_path, background, level):
    alpha = np.where(LEVELS > 100, 255, 0).astype(np.uint8)
    image = Image.fromarray(np.dstack([LEVELS, LEVELS, LEVELS, alpha]))
    pixels, done = read(tmp_path / "a.png", image, background=background)
    assert np.array_equal(pixels[0], np.where(alpha > 0, LEVELS, level))
    assert any(background in what for what in done)


def test_half_transparent_is_mixed(tmp_path):
    image = Image.fromarray(
        np.dstack([np.full((4, 4), 100, np.uint8)] * 3 + [np.full((4, 4), 128, np.uint8)])
    )
    pixels, _ = read(tmp_path / "a.png", image, background="black")
    assert abs(int(pixels[0, 0, 0]) - 50) <= 1


def test_a_palette_with_a_transparent_entry(tmp_path):
    image = Image.fromarray((LEVELS // 17).astype(np.uint8), "P")
    image.putpalette([17 * (k // 3) for k in range(48)])
    pixels, _ = read(tmp_path / "a.png", image, background="white", transparency=0)
    assert np.array_equal(pixels[0], np.where(LEVELS == 0, 255, LEVELS))


# how an upright picture is stored where a viewer undoes it by the orientation
STORED = {
    2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM, 5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_270,
}  # fmt: skip


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_upright(tmp_path, orientation):
    upright = np.kron(LEVELS, np.ones((8, 8), np.uint8))
    stored = Image.fromarray(upright)
    if orientation in STORED:
        stored = stored.transpose(STORED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels, done = read(tmp_path / "a.jpg", stored, exif=exif, quality=95)
    assert pixels.shape == (1, 48, 40) and np.abs(pixels[0].astype(int) - upright).mean() < 4
    assert bool(done) == (orientation > 1)


def test_cmyk_is_the_colour_that_it_prints(tmp_path):
    flat = np.zeros((16, 16, 3), np.uint8) + np.array([200, 60, 20], np.uint8)
    pixels, done = read(tmp_path / "a.jpg", Image.fromarray(flat).convert("CMYK"), quality=98)
    assert np.abs(pixels.mean((1, 2)) - [200, 60, 20]).max() < 6
    assert any("CMYK" in what for what in done)


def test_of_several_frames_the_first_is_taken_and_said(tmp_path):
    frames = [Image.fromarray(LEVELS), Image.fromarray(255 - LEVELS)]
    pixels, done = read(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert np.array_equal(pixels[0], LEVELS) and "several frames: the first is taken" in done


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((4, 4), 300.0, np.float32), "expected floats in"),
        (np.full((4, 4), np.nan, np.float32), "NaN"),
        (np.full((4, 4), 1 << 20, np.int32), "no known range"),
    ],
)
def test_values_of_no_known_range_are_one_line(tmp_path, values, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path / "a.tif", Image.fromarray(values))
    assert "a.tif" in str(caught.value) and "\n" not in str(caught.value)


def test_a_truncated_file_is_named(tmp_path):
    whole = tmp_path / "a.jpg"
    Image.fromarray(np.kron(LEVELS, np.ones((16, 16), np.uint8))).save(whole)
    whole.write_bytes(whole.read_bytes()[:300])
    with pytest.raises(DataCorrupt, match=r"a\.jpg: no readable image"):
        ImageReader().read(whole)


def test_a_folder_is_in_colour_where_one_picture_is(tmp_path, caplog):
    for i in range(12):
        Image.fromarray(COLOUR if i == 7 else LEVELS).save(tmp_path / f"{i:02}.png")
    with caplog.at_level(logging.INFO, "priorgap"):
        data = ImageFolder(tmp_path).load(root=tmp_path, download=False)
    assert data.shape == (3, 6, 5)
    (line,) = [record.getMessage() for record in caplog.records]
    assert "12 colour images of 6 x 5" in line and "no classes" in line
    grey = ImageFolder(tmp_path, channels="grey").load(root=tmp_path, download=False)
    assert grey.shape == (1, 6, 5) and grey.provenance["reading"] == {
        "colour: turned grey (data.channels=rgb keeps it)": 1
    }
