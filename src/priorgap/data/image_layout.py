"""Finds the images in a folder, the part of the data that each belongs to, and its class."""

from dataclasses import dataclass
from pathlib import Path

from priorgap.data.splits import DataUnavailable

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
# Folders that archive programs add and that hold no images of the data.
_LEFT_BEHIND = {"__MACOSX"}
_PARTS = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """The images of a folder.

    Attributes:
        files: the images by part of the data; under "" where the folder is not divided.
        classes: the names of the class folders, sorted; empty for a flat folder.
        root: where the images were found: the folder, or the only folder in it.
    """

    files: dict[str, list[Path]]
    classes: list[str]
    root: Path

    def label(self, file: Path) -> int:
        """Return the class of a file."""
        return self.classes.index(file.parent.name)


def layout_of(folder: Path) -> Layout:
    """Find the images of a folder: flat or in class folders, undivided or in folders train, val(idation) and test.

    Raises:
        DataUnavailable: there is no such folder, or no image in it.
        ValueError: images lie beside class folders, or a part is missing; one line.
    """
    if folder.is_file():
        raise DataUnavailable(f"data.path={folder}: a file; expected the folder of images that it lies in")
    if not folder.is_dir():
        raise DataUnavailable(f"data.path={folder}: no such folder")
    root = _inner(folder)
    parts = {p.name: _PARTS[p.name.lower()] for p in _folders(root) if p.name.lower() in _PARTS}
    if len(set(parts.values())) < 2 or len(parts) < len(_folders(root)):
        files, classes = _images(root)
        return Layout({"": files}, classes, root)
    if _own_images(root):
        raise ValueError(f"data.path={root}: images beside {', '.join(sorted(parts))}; expected none there")
    if len(set(parts.values())) < len(parts):
        raise ValueError(f"data.path={root}: {', '.join(sorted(parts))}: expected one folder of each part")
    if "train" not in parts.values():
        raise ValueError(f"data.path={root}: {', '.join(sorted(parts))}: expected a folder train/ too")
    found = {part: _images(root / name) for name, part in parts.items()}
    flat = [part for part, (_, classes) in found.items() if not classes]
    if flat and len(flat) < len(found):
        raise ValueError(
            f"data.path={root}: {flat[0]} has no class folders, another part has; expected all or none"
        )
    classes = sorted({name for _, names in found.values() for name in names})
    return Layout({part: files for part, (files, _) in found.items()}, classes, root)


def _inner(folder: Path) -> Path:
    """Descend while a folder holds only one folder, which holds folders: archives often wrap their content so."""
    inside = _folders(folder)
    while len(inside) == 1 and not _own_images(folder) and _folders(inside[0]):
        folder = inside[0]
        inside = _folders(folder)
    return folder


def _folders(folder: Path) -> list[Path]:
    entries = sorted(folder.iterdir())
    return [p for p in entries if p.is_dir() and not p.name.startswith(".") and p.name not in _LEFT_BEHIND]


def _own_images(folder: Path) -> list[Path]:
    entries = sorted(folder.iterdir())
    return [p for p in entries if p.is_file() and not p.name.startswith(".") and p.suffix.lower() in SUFFIXES]


def _images(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the images in a fixed order, and the classes' names (empty for a flat folder)."""
    flat = _own_images(folder)
    nested = [file for inside in _folders(folder) for file in _own_images(inside)]
    if flat and nested:
        raise ValueError(f"data.path={folder}: expected images, or class folders of images, not both")
    if not flat and not nested:
        raise DataUnavailable(f"data.path={folder}: no images ({', '.join(sorted(SUFFIXES))})")
    return (flat, []) if flat else (nested, sorted({file.parent.name for file in nested}))
