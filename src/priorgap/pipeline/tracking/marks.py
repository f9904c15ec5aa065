"""What was written of a run before: the digest of its content, beside the study."""

from pathlib import Path

from priorgap.core import artifacts

FOLDER = "tracked"


def content_written(marker: Path) -> str | None:
    """Return the digest of what was written before; None where nothing was, or nobody knows."""
    try:
        return str(artifacts.load_json(marker)["content"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
