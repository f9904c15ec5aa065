"""The optional parts of an installation: what each consists of, and what to install where it is missing."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec

# what `pip install 'priorgap[NAME]'` adds, by the packages that are imported
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
    """Return whether a package can be imported; it is not imported."""
    if package in sys.modules:
        return sys.modules[package] is not None
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def require(what: str, extra: str, packages: Sequence[str], otherwise: str = "") -> None:
    """Refuse what needs an extra that is not installed.

    Args:
        what: the command or the setting that needs it.
        extra: its name in pyproject.toml.
        packages: what it installs.
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
