"""Artifacts are whole or absent, and damage is seen."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from priorgap.core import artifacts


def make(path: Path, key: str = "k", value: float = 1.0) -> None:
    with artifacts.publish(path, key, provenance={"seed": 0}) as directory:
        artifacts.save_json(directory / "a.json", {"v": value})
        (directory / "sub").mkdir()
        artifacts.save_tensors(directory / "sub" / "t.safetensors", {"t": torch.arange(4.0)})


def test_published_is_complete_and_sound(tmp_path):
    make(tmp_path / "x")
    assert artifacts.is_complete(tmp_path / "x", "k")
    assert not artifacts.is_complete(tmp_path / "x", "another key")
    assert artifacts.damage(tmp_path / "x") == []
    assert torch.equal(artifacts.load_tensors(tmp_path / "x/sub/t.safetensors")["t"], torch.arange(4.0))
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_exception_leaves_what_was_there(tmp_path):
    make(tmp_path / "x", value=1.0)
    with pytest.raises(RuntimeError), artifacts.publish(tmp_path / "x", "new") as directory:
        artifacts.save_json(directory / "a.json", {"v": 2.0})
        raise RuntimeError
    assert artifacts.is_complete(tmp_path / "x", "k")
    assert artifacts.load_json(tmp_path / "x/a.json") == {"v": 1.0}
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("harm", ["flip", "truncate", "remove", "manifest"])
def test_damage_is_seen(tmp_path, harm):
    make(tmp_path / "x")
    file = tmp_path / "x/a.json"
    if harm == "flip":
        content = bytearray(file.read_bytes())
        content[5] ^= 1
        file.write_bytes(bytes(content))
    elif harm == "truncate":
        file.write_bytes(file.read_bytes()[:-1])
    elif harm == "remove":
        file.unlink()
    else:
        (tmp_path / "x" / artifacts.MANIFEST).write_text("{")
    assert artifacts.damage(tmp_path / "x")
    # sizes alone do not see a flipped bit: that is what the checksums are for
    assert artifacts.is_complete(tmp_path / "x", "k") == (harm == "flip")


def test_content_digest_ignores_provenance_and_key(tmp_path):
    make(tmp_path / "x", key="1")
    make(tmp_path / "y", key="2")
    make(tmp_path / "z", key="1", value=2.0)
    digests = [artifacts.content_digest(tmp_path / n) for n in "xyz"]
    assert digests[0] == digests[1] != digests[2]
    with pytest.raises(FileNotFoundError, match="no complete artifact"):
        artifacts.content_digest(tmp_path / "nothing")


def test_nan_is_refused(tmp_path):
    with pytest.raises(ValueError):
        artifacts.save_json(tmp_path / "a.json", {"v": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_killed_writer_leaves_nothing_that_counts(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from priorgap.core import artifacts\n"
        f"with artifacts.publish(Path({str(tmp_path / 'x')!r}), 'k') as d:\n"
        "    artifacts.save_json(d / 'a.json', 1); print('ready', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    process.kill()
    process.wait()
    assert not artifacts.is_complete(tmp_path / "x")
    assert len(list(tmp_path.glob(".partial-*"))) == 1
    make(tmp_path / "other-x")
    assert len(artifacts.sweep_partial(tmp_path / "x")) == 1
    assert artifacts.sweep_partial(tmp_path / "other-x") == []
    assert artifacts.is_complete(tmp_path / "other-x")


def test_sweep_spares_a_neighbour_whose_name_ends_alike(tmp_path):
    with artifacts.publish(tmp_path / "b-x", "k") as directory:
        artifacts.save_json(directory / "a.json", 1)
        assert artifacts.sweep_partial(tmp_path / "x") == []
    assert artifacts.is_complete(tmp_path / "b-x", "k")


def test_lock_excludes_another_process(tmp_path):
    code = (
        "import time; from pathlib import Path; from priorgap.core import artifacts\n"
        f"with artifacts.locked(Path({str(tmp_path / 'x')!r}), Path({str(tmp_path / 'locks')!r})):\n"
        "    print('held', flush=True); time.sleep(0.6); print('done', flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "held"
    started = time.perf_counter()
    with artifacts.locked(tmp_path / "x", tmp_path / "locks"):
        waited = time.perf_counter() - started
    process.wait()
    assert waited > 0.3


def test_write_bytes_leaves_no_partial_when_it_fails(tmp_path):
    os.mkdir(tmp_path / "f")
    with pytest.raises(OSError):
        artifacts.write_bytes(tmp_path / "f", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
