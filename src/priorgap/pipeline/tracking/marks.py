"""Marks of what was written to a run before: beside the study, with a digest of the content and the run's id."""

from pathlib import Path
from typing import NamedTuple

from priorgap.core import artifacts


class Mark(NamedTuple):
    """The mark of a run that was written before.

    Attributes:
        content: the digest of its content.
        run: the id of the run.
    """

    content: str
    run: str


def mark(folder: Path, about: str, found: Mark) -> None:
    """Write a mark.

    Args:
        folder: the study's folder.
        about: the model's id, or "report".
        found: the mark.
    """
    artifacts.save_json(_file(folder, about), found._asdict())


def written_before(folder: Path, about: str) -> Mark | None:
    """Return the mark of what was written before; None where there is none; arguments as in `mark`."""
    try:
        content = artifacts.load_json(_file(folder, about))
        return Mark(str(content["content"]), str(content["run"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _file(folder: Path, about: str) -> Path:
    return folder / "tracked" / f"{about}.json"
