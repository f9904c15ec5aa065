"""Pages with marks: blocks between `<!-- generated: ... -->` and `<!-- end -->`, numbers as links with a definition.

A number in a sentence is a reference link, `[0.242][gmm]`, whose definition at the page's end says what it is:

    [gmm]: results.csv "= ratio gmm/prior fid where loss.alpha=10"

The command writes what stands in the first brackets.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from writeup import blocks, overview, reruns
from writeup.numbers import number
from writeup.published import EXPERIMENTS, Published, studies
from writeup.query import BLOCKS, NUMBERS, EvidenceError, parse

ROOT = EXPERIMENTS.parent
BLOCK = re.compile(r"^<!-- generated: (?P<asked>.+?) -->\n(?P<made>.*?)^<!-- end -->$", re.M | re.S)
_START = re.compile(r"^<!-- generated: ", re.M)
_DEFINITION = re.compile(r"^\[(?P<label>[^\[\]]+)\]: (?P<target>\S+) \"= (?P<asked>[^\"]+)\"$", re.M)
_USE = re.compile(r"\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\[(?P<label>[^\[\]]+)\]")
_FILLED = re.compile(r"\{([^{}]+)\}")


def pages(root: Path = ROOT) -> list[Path]:
    """Return the pages that may have marks."""
    own = sorted((root / "experiments").glob("*/README.md"))
    others = ("experiments/README.md", "docs/studies.md", "README.md", "ANSWER.md")
    return [*own, *(root / name for name in others if (root / name).is_file())]


def written(page: Path, text: str | None = None) -> str:
    """Return a page with all its marks filled.

    Args:
        page: where it stands.
        text: its content; None for what is in the file.

    Raises:
        EvidenceError: a mark cannot be filled; the message names page and mark.
    """
    text = page.read_text(encoding="utf-8") if text is None else text
    try:
        if len(_START.findall(text)) != len(BLOCK.findall(text)):
            raise EvidenceError("a `<!-- generated: -->` without its `<!-- end -->`")
        text = BLOCK.sub(lambda found: _block(found, page), text)
        return _numbers(text, page)
    except EvidenceError as error:
        raise EvidenceError(f"{page.relative_to(_root(page))}: {error}") from error


def _root(page: Path) -> Path:
    for folder in page.parents:
        if (folder / "experiments").is_dir():
            return folder
    raise EvidenceError(f"{page}: not beside a folder experiments")


def _block(found: "re.Match[str]", page: Path) -> str:
    asked = found["asked"]
    query = parse(asked, BLOCKS)
    everything = studies(_root(page) / "experiments")
    if query.kind == "claims":
        made = overview.claims(everything, page)
    elif query.kind == "questions":
        made = overview.questions(everything, page, filled)
    elif query.kind == "costs":
        made = overview.costs(everything)
    elif query.kind == "cells":
        made = overview.cells(everything)
    elif query.kind == "reruns":
        made = reruns.table(everything)
    else:
        made = blocks.block(query, _study(query.study, page), page)
    return f"<!-- generated: {asked} -->\n{made}\n<!-- end -->"


def _study(name: str | None, page: Path) -> Published:
    folder = _root(page) / "experiments"
    if name is None and page.parent.parent != folder:
        raise EvidenceError("which study? expected `of ID` in a mark outside of a study's own page")
    study = Published(page.parent if name is None else folder / name)
    if not study.folder.is_dir():
        raise EvidenceError(f"of {name}: no such folder of experiments")
    return study


def definitions(text: str) -> dict[str, tuple[str, str]]:
    """Return what the numbers of a page are: label -> (target of the link, what is asked)."""
    return {found["label"]: (found["target"], found["asked"]) for found in _DEFINITION.finditer(text)}


def _numbers(text: str, page: Path) -> str:
    known = definitions(text)
    unused = set(known) - {found["label"] for found in _USE.finditer(text)}
    if unused:
        raise EvidenceError(f"[{sorted(unused)[0]}]: defined and not used")
    shown = {label: _shown(*one, page=page) for label, one in known.items()}

    def put(found: "re.Match[str]") -> str:
        label = found["label"]
        return f"[{shown[label]}][{label}]" if label in shown else found[0]

    return _USE.sub(put, text)


def _shown(target: str, asked: str, page: Path) -> str:
    folder = (page.parent / target.partition("#")[0]).resolve().parent
    if folder.parent != (_root(page) / "experiments").resolve():
        raise EvidenceError(f"{target}: expected a file of a study's folder")
    return number(parse(asked, NUMBERS), Published(folder))


def filled(text: str, study: Published) -> str:
    """Return a sentence of claim.yaml with what its braces ask for."""
    return _FILLED.sub(lambda found: number(parse(found[1], NUMBERS), study), text)


def stale(found: Sequence[Path] | None = None) -> list[Path]:
    """Return the pages that are not as the command writes them."""
    return [
        page for page in (pages() if found is None else found) if written(page) != page.read_text("utf-8")
    ]
