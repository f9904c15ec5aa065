"""What was written of a run before: a mark beside the study, with a digest of the content and the run's id."""

from pathlib import Path
from typing import NamedTuple

from priorgap.core import artifacts


class Mark(NamedTuple):
    """What was written before.

    Attributes:
        content: its digest.
        run: the id of the run.
    """

    content: str
    run: str


def mark(folder: Path, about: str, found: Mark) -> None:
    """Remember what was written.

    Args:
        folder: of the study.
        about: the model's id, or "report".
        found: what was written.
    """
    artifacts.save_json(_file(folder, about), found._asdict())


def written_before(folder: Path, about: str) -> Mark | None:
    """Return what was written before; None where nothing was, or nobody knows; arguments as of `mark`."""
    try:
        content = artifacts.load_json(_file(folder, about))
        return Mark(str(content["content"]), str(content["run"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _file(folder: Path, about: str) -> Path:
    return folder / "tracked" / f"{about}.json"
