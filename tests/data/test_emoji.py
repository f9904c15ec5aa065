"""Emoji: whole emoji in one part, categories as classes, checked before they are kept; no network."""

import hashlib
import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from priorgap.data import downloads, emoji
from priorgap.data.emoji import Emoji
from priorgap.data.splits import DataUnavailable

TONES = 3


def png(level: int) -> bytes:
    picture = np.full((64, 64, 4), level, np.uint8)
    picture[:32, :, 3], picture[32:, :, 3] = 0, 255
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An npm package of 40 emoji, half of them with skin tones; returns what npm was asked for."""
    entries, files = [], {}
    for number in range(40):
        entry = {"image": f"{number:02}.png", "category": "AB"[number % 2], "has_img_google": True}
        files[entry["image"]] = png(number)
        if number % 4 == 0:
            tones = {str(t): {"image": f"{number:02}-{t}.png", "has_img_google": True} for t in range(TONES)}
            entry["skin_variations"] = tones
            files |= {tone["image"]: png(number) for tone in tones.values()}
        entries.append(entry)
    entries.append({"image": "hair.png", "category": "Component", "has_img_google": True})
    files["hair.png"] = png(200)
    catalogue = json.dumps(entries).encode()
    digest = hashlib.sha256(catalogue)
    for name in sorted(files):
        digest.update(name.encode() + files[name])
    monkeypatch.setitem(emoji.SHA256, "google", digest.hexdigest())
    calls: list[str] = []

    def archive(package, work):
        calls.append(package)
        with tarfile.open(work / "package.tgz", "w:gz") as tar:
            for name, content in {"emoji.json": catalogue, **files}.items():
                entry = tarfile.TarInfo(f"package/img/google/64/{name}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        return work / "package.tgz"

    monkeypatch.setattr(downloads, "npm_archive", archive)
    return calls


def test_an_emoji_and_its_skin_tones_are_in_one_part(tmp_path, package):
    data = Emoji().load(root=tmp_path, download=True)
    assert data.shape == (3, 64, 64) and data.n_classes == 2 and data.provenance["classes"] == ["A", "B"]
    levels = [{int(x) for x in part.x[:, 0, -1, 0]} for part in (data.train, data.validation, data.test)]
    assert levels[0] | levels[1] | levels[2] == set(range(40))
    assert not (levels[0] & levels[1] or levels[0] & levels[2] or levels[1] & levels[2])
    assert sum(map(len, (data.train, data.validation, data.test))) == 40 + 10 * TONES
    assert [len(part) for part in levels[1:]] == [4, 8]
    for part in (data.train, data.validation, data.test):
        assert torch.equal(part.x[:, 0, -1, 0].long() % 2, part.label)


def test_it_is_fetched_once_and_the_background_shows(tmp_path, package):
    white = Emoji().load(root=tmp_path, download=True)
    assert (white.train.x[:, :, 0] == 255).all()
    assert torch.equal(Emoji().load(root=tmp_path, download=False).test.x, white.test.x)
    assert package == ["emoji-datasource-google@16.0.0"]
    black = Emoji(background="black").load(root=tmp_path, download=True)
    assert (black.train.x[:, :, 0] == 0).all()
    other = Emoji(split_seed=1).load(root=tmp_path, download=False)
    assert not torch.equal(other.test.x[:8], white.test.x[:8])


def test_other_pictures_are_refused_and_nothing_is_left(tmp_path, package, monkeypatch):
    monkeypatch.setitem(emoji.SHA256, "google", "0" * 64)
    with pytest.raises(DataUnavailable, match="not the published pictures"):
        Emoji().load(root=tmp_path / "data", download=True)
    assert not (tmp_path / "data").exists()


def test_without_download_the_place_is_named(tmp_path):
    with pytest.raises(DataUnavailable, match=r"google-white\.safetensors, and data.download is false"):
        Emoji().load(root=tmp_path, download=False)
    with pytest.raises(ValueError, match=r"data\.vendor=apple: expected google or twitter"):
        Emoji(vendor="apple")
