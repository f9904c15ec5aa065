"""Whether a study's README says more than its results: every number of its conclusions has a source.

Under headings that begin with Result, Verdict or "The predictions", a number outside of generated blocks must be

- a link with a definition, which the command writes; or
- a setting: it stands in config.yaml, or is the level of the intervals; or
- quoted from the prediction, in italics; or
- allowed on its line: `<!-- given: 24, 48 -->`.

That a number is printed in some block of the page is not enough: of e12's numbers with one digit changed, a quarter
met another that is printed there.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from writeup.documents import BLOCK
from writeup.published import LEVEL, Published

_CHECKED = ("result", "verdict", "the predictions")
_NUMBER = re.compile(r"(?<![\w.^])[−-]?\d+(?:,\d{3})*(?:\.\d+)?(?![\w^])")
_ITALICS = re.compile(r"(?<!\*)\*(?![\s*])[^*]+\*(?!\*)")
_GIVEN = re.compile(r"<!-- given: ([^>]*?) -->")
_NOT_PROSE = (
    r"^\[[^\[\]]+\]: .*$",  # definitions of links
    r"\[(?:[^\[\]]|\[[^\[\]]*\])*\]\[[^\[\]]+\]",  # numbers that the command writes
    r"\]\([^)]*\)",  # targets of other links
    r"`[^`]*`",
    r"<!--.*?-->",
    r"^\s*\d+\.\s",  # of a list
)
_ADVICE = r"\b(?:use|take|recommend(?:s|ed)?)\s+`?({names})`?(?!\w)"
_SENTENCES = ("do not sample", "will do")


def numbers(text: str) -> list[str]:
    """Return the numbers of a text, without thousands' commas."""
    return [found.replace(",", "").replace("−", "-") for found in _NUMBER.findall(text)]


def unproved(study: Published, text: str | None = None) -> list[str]:
    """Return a line for each number, and each advice, that nothing beside the page says.

    Args:
        study: whose page.
        text: its content; None for the file's.
    """
    text = study.readme.read_text(encoding="utf-8") if text is None else text
    settings = _settings(study)
    predicted = {
        n for title, _, line in _lines(text) if title.startswith("prediction") for n in numbers(line)
    }
    found = []
    text = BLOCK.sub(lambda made: "\n" * made[0].count("\n"), text)
    for title, place, line in _lines(_without_quotations(text, predicted)):
        if not title.startswith(_CHECKED):
            continue
        known = settings | {n for given in _GIVEN.findall(line) for n in numbers(given)}
        own = prose(line)
        found += [f"line {place}: {n} has no source" for n in numbers(own) if n not in known]
        found += [f"line {place}: {said}" for said in _advice(study, line.replace("`", ""))]
    return found


def typed(text: str) -> list[str]:
    """Return a line for each number of a page that is neither a link with a definition nor allowed on its line."""
    text = BLOCK.sub(lambda made: "\n" * made[0].count("\n"), text)
    return [
        f"line {place}: {n} has no source"
        for _, place, line in _lines(text)
        for n in numbers(prose(line))
        if n not in {one for given in _GIVEN.findall(line) for one in numbers(given)}
    ]


def _without_quotations(text: str, predicted: set[str]) -> str:
    """Return a page without the predicted numbers that italics below "The predictions" quote, over lines too."""

    def quoted(found: "re.Match[str]") -> str:
        return _NUMBER.sub(lambda n: " " if set(numbers(n[0])) <= predicted else n[0], found[0])

    sections = re.split(r"(?m)^(?=#)", text)
    return "".join(
        _ITALICS.sub(quoted, one) if one.lstrip("# ").lower().startswith("the predictions") else one
        for one in sections
    )


def prose(line: str) -> str:
    """Return a line without what is no sentence of its author."""
    for pattern in _NOT_PROSE:
        line = re.sub(pattern, " ", line)
    return line


def _lines(text: str) -> Iterator[tuple[str, int, str]]:
    """Yield section, number and content of each line."""
    title, fenced = "", False
    for place, line in enumerate(text.splitlines(), 1):
        fenced ^= line.startswith("```")
        if line.startswith("#") and not fenced:
            title = line.lstrip("# ").lower()
        elif not fenced:
            yield title, place, line


def _settings(study: Published) -> set[str]:
    file = study.folder / "config.yaml"
    config = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
    found = {f"{100 * LEVEL:g}"}
    for value in _leaves(config):
        found |= {n for part in str(value).split(",") for n in numbers(part)}
    if study.measured:
        found.add(str(study.table()["seed"].nunique()))
    return found


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one)
    else:
        yield value


def _advice(study: Published, line: str) -> Iterator[str]:
    """Yield what a line recommends and the verdict does not."""
    if study.verdict is None:
        return
    headline = str(study.verdict["headline"]).lower()
    recommended = {str(cell["recommended"]) for cell in study.verdict["cells"]}
    names = sorted(study.samplers, key=len, reverse=True)
    for found in re.finditer(_ADVICE.format(names="|".join(map(re.escape, names))), line, re.I):
        if found[1] not in recommended:
            yield f"recommends {found[1]}, the verdict does not"
    for sentence in _SENTENCES:
        if sentence in line.lower() and sentence not in headline:
            yield f"says {sentence!r}, the verdict does not"
