"""The optional parts of an installation: their packages, and what to install if one is missing."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec

# The packages, by import name, that `pip install 'priorgap[NAME]'` adds.
PIPELINE: Sequence[str] = (
    "hydra",
    "omegaconf",
    "pytorch_lightning",
    "torchvision",
    "grimp",
    "joblib",
    "pyarrow",
    "tqdm",
)
TRACKING: Sequence[str] = ("wandb",)


def is_installed(package: str) -> bool:
    """Return whether a package can be imported, without importing it."""
    if package in sys.modules:
        return sys.modules[package] is not None
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def require(what: str, extra: str, packages: Sequence[str], otherwise: str = "") -> None:
    """Refuse a command or setting whose extra is not installed.

    Args:
        what: the command or the setting that needs it.
        extra: the extra's name in pyproject.toml.
        packages: the packages that it installs.
        otherwise: what can be done without it.

    Raises:
        ValueError: one line that says what to install.
    """
    missing = [package for package in packages if not is_installed(package)]
    if missing:
        names = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed"
        rest = f", or {otherwise}" if otherwise else ""
        raise ValueError(
            f"{what}: {names}; expected the extra {extra}: pip install 'priorgap[{extra}]'{rest}"
        )
