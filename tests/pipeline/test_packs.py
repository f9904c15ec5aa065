"""Packs are data: whole or refused, and nothing in one leads out of the folder that it is unpacked into."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from priorgap.core import artifacts
from priorgap.core.shelves import Shelf
from priorgap.pipeline.store import packs


@pytest.fixture
def store(tmp_path) -> Path:
    """A store with an artifact and a shelf, and files that are not published."""
    root = tmp_path / "store"
    with artifacts.publish(root / "s/train/a", "key") as folder:
        (folder / "deep").mkdir()
        (folder / "deep/weights.bin").write_bytes(b"weights")
        (folder / "curves.csv").write_text("loss\n1\n")
    (root / "s/train/a/notes.txt").write_text("not in the manifest")
    shelf = Shelf(root / "s/sample/a", root / ".locks")
    shelf.put("prior", "key", {"role": "baseline"}, {"z": torch.ones(2)}, {})
    (root / "s/sample/a/tensors-00000000.pack").write_bytes(b"of a killed writer")
    return root


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_what_is_published_arrives_as_it_was_and_nothing_else(store, tmp_path):
    folders = [store / "s/train/a", store / "s/sample/a"]
    log = tmp_path / "log"
    log.write_text("a line")
    content = packs.pack(folders, store, {".plain/log": log})
    assert content == packs.pack(folders, store, {".plain/log": log})
    names = packs.unpack(content, tmp_path / "there", sync=False)
    found = files(tmp_path / "there")
    assert found.pop(".plain/log") == b"a line"
    left = {"s/train/a/notes.txt", "s/sample/a/tensors-00000000.pack"}
    expected = {name: b for name, b in files(store).items() if name.startswith("s/") and name not in left}
    assert found == expected
    # a manifest comes after what it lists
    own = [name for name in names if name.startswith("s/train/a/")]
    assert own[-1] == "s/train/a/manifest.json"
    assert artifacts.damage(tmp_path / "there/s/train/a") == []
    assert Shelf(tmp_path / "there/s/sample/a", tmp_path).tensors("prior")["z"].tolist() == [1, 1]


def made(
    *members: tuple[tarfile.TarInfo, bytes], files: dict[str, bytes], schema: int = packs.SCHEMA
) -> bytes:
    """A pack as somebody else may write it."""
    listed = {n: {"sha256": hashlib.sha256(b).hexdigest(), "bytes": len(b)} for n, b in files.items()}
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        text = json.dumps({"schema": schema, "files": listed}).encode()
        for member, content in ((tarfile.TarInfo(packs.LIST), text), *members):
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    return found


GOOD = (member("a/x"), b"content")
BAD: dict[str, Callable[[], bytes]] = {
    "no tar": lambda: b"no tar at all" * 100,
    "nothing": lambda: b"",
    "cut off": lambda: made(GOOD, files={"a/x": b"content"})[:1100],
    "no list": lambda: made(GOOD, files={"a/x": b"content"})[1024:],
    "another schema": lambda: made(GOOD, files={"a/x": b"content"}, schema=2),
    "a file too few": lambda: made(GOOD, files={"a/x": b"content", "a/y": b""}),
    "a file too many": lambda: made(GOOD, (member("a/y"), b""), files={"a/x": b"content"}),
    "a file twice": lambda: made(GOOD, GOOD, files={"a/x": b"content"}),
    "another content": lambda: made((member("a/x"), b"CONTENT"), files={"a/x": b"content"}),
    "another length": lambda: made((member("a/x"), b"content and more"), files={"a/x": b"content"}),
    "above": lambda: made((member("../x"), b""), files={"../x": b""}),
    "above, within": lambda: made((member("a/../../x"), b""), files={"a/../../x": b""}),
    "a root": lambda: made((member("/tmp/x"), b""), files={"/tmp/x": b""}),
    "a link": lambda: made((member("a/x", tarfile.SYMTYPE, "/etc/passwd"), b""), files={"a/x": b""}),
    "a hard link": lambda: made((member("a/x", tarfile.LNKTYPE, "pack.json"), b""), files={"a/x": b""}),
    "a device": lambda: made((member("a/x", tarfile.CHRTYPE), b""), files={"a/x": b""}),
    "a pipe": lambda: made((member("a/x", tarfile.FIFOTYPE), b""), files={"a/x": b""}),
    "a folder": lambda: made((member("a", tarfile.DIRTYPE), b""), files={"a": b""}),
    "a file as a folder": lambda: made(GOOD, (member("a/x/y"), b""), files={"a/x": b"content", "a/x/y": b""}),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_whole_pack_is_refused(what, tmp_path):
    place = tmp_path / "deep/there"
    with pytest.raises((ValueError, OSError)):
        packs.unpack(BAD[what](), place, sync=False)
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and not p.is_relative_to(place)]
    assert outside == []
    assert not any(p.is_symlink() for p in tmp_path.rglob("*"))


def test_a_good_pack_made_by_hand_is_read(tmp_path):
    assert packs.unpack(made(GOOD, files={"a/x": b"content"}), tmp_path, sync=True) == ["a/x"]


def test_what_is_there_is_not_written_over(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x").symlink_to(tmp_path / "outside")
    with pytest.raises(FileExistsError):
        packs.unpack(made(GOOD, files={"a/x": b"content"}), tmp_path, sync=False)
    assert not (tmp_path / "outside").exists()


def test_a_result_with_a_link_is_not_packed(store, tmp_path):
    file = store / "s/train/a/curves.csv"
    (tmp_path / "elsewhere").write_bytes(file.read_bytes())
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="a link"):
        packs.pack([store / "s/train/a"], store)
