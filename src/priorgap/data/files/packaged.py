"""Data files of installed packages: located without importing the package, verified by checksum."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from priorgap.core.artifacts import file_digest
from priorgap.data.splits import DataCorrupt, DataUnavailable


def packaged_file(package: str, name: str, sha256: str, *, data: str, install: str) -> Path:
    """Return the path of a file in an installed package; none of the package's code runs.

    Args:
        package: the distribution.
        name: the file's name in the package's list of files.
        sha256: the file's checksum.
        data: the option of `data=` that reads it.
        install: the command that installs the package.

    Raises:
        DataUnavailable: the package is not installed, or lacks the file; the line says how to install it.
        DataCorrupt: the file's checksum differs.
    """
    try:
        found = distribution(package)
    except PackageNotFoundError as error:
        raise DataUnavailable(f"data={data}: package {package} is not installed; {install}") from error
    place = next((Path(str(f.locate())) for f in found.files or () if f.as_posix() == name), None)
    if place is None or not place.is_file():
        raise DataUnavailable(
            f"data={data}: package {package} {found.version} holds no file {name}; {install}"
        )
    if file_digest(place) != sha256:
        raise DataCorrupt(
            f"data={data}: {place} is not the file that is expected (package {package} {found.version}); {install}"
        )
    return place
