"""Common parts of commands on a store: their arguments, sizes and times in words, and a study's folders."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from priorgap.core import artifacts
from priorgap.pipeline.store import records
from priorgap.pipeline.store.folders import folder_of, results_under
from priorgap.pipeline.store.layout import Store

# The folders of a study that hold results.
STAGES = ("train", "calibrate", "encode", "sample", "measure")


@dataclass(frozen=True)
class Order:
    """The user's request, checked.

    Attributes:
        store: the output root.
        study: the study's name; None for all of them.
        flags: the given options.
        others: further output roots.
    """

    store: Store
    study: str | None
    flags: frozenset[str]
    others: tuple[Path, ...] = ()

    @property
    def studies(self) -> list[str]:
        """The studies that the request covers."""
        return records.studies(self.store) if self.study is None else [self.study]


def parse(
    arguments: Sequence[str], *, flags: Sequence[str] = (), needs_study: bool = False, merges: bool = False
) -> Order:
    """Read the arguments of a command on a store.

    Raises:
        ValueError: one line.
    """
    given = {"study": "", "output_root": "outputs", **({"from": ""} if merges else {})}
    chosen = set()
    for word in arguments:
        key, separator, value = word.partition("=")
        if word in flags:
            chosen.add(word)
        elif word.startswith("-"):
            raise ValueError(f"{word}: unknown option; expected {', '.join((*flags, '--help'))}")
        elif not separator or key not in given:
            raise ValueError(f"{word}: expected key=value with a key of {', '.join(given)}")
        elif not value:
            raise ValueError(f"{key}=: expected a value")
        else:
            given[key] = value
    root = Path(given["output_root"])
    if root.exists() and not root.is_dir():
        raise ValueError(f"output_root={root}: expected a folder")
    if not merges and not root.is_dir():
        raise ValueError(f"output_root={root}: no such folder")
    study = given["study"] or None
    if study is None and needs_study:
        raise ValueError("study: missing; expected study=NAME")
    store = Store(root)
    if study is not None and not merges and study not in records.studies(store):
        known = ", ".join(records.studies(store)) or "none"
        raise ValueError(f"study={study}: no such study in {root}; there are: {known}")
    others = tuple(Path(p) for p in given.get("from", "").strip("[]").split(",") if p.strip())
    return Order(store, study, frozenset(chosen), others)


def size(path: Path) -> int:
    """Return the bytes of all files under a folder."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(f"{folder}/{name}").st_size
            except FileNotFoundError:
                continue  # A sweep that is running has just renamed it.
    return total


def in_words(n_bytes: float) -> str:
    """Return a number of bytes in readable units."""
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} GB"


def folders_of_study(store: Store, study: str) -> Iterator[Path]:
    """Yield every folder of a study's results, then the folders of the real data that its models use."""
    for stage in sorted(p for p in store.study(study).glob("[!.]*") if p.is_dir() and not p.is_symlink()):
        if stage.name in (*STAGES, "report"):
            yield from results_under(stage, store)
    shared = {
        folder_of(step, store)
        for record in records.records_of(store, study)
        for step in record.steps
        if step.kind in ("prepare", "reference")
    }
    yield from (folder for folder in sorted(shared) if (folder / artifacts.MANIFEST).is_file())
