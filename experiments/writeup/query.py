"""The language of the marks in Markdown: `ratio gmm/prior fid by loss.alpha where decode=mean`."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

# of what stands between marks, and of a number in a sentence
BLOCKS = (
    "headline", "table", "ratio", "difference", "took", "agreement", "figure", "claims", "questions", "costs",
    "reruns", "swaps", "cells",
)  # fmt: skip
NUMBERS = ("mean", "ratio", "difference", "verdict", "headline", "sure", "took")
_CLAUSES = ("by", "across", "where", "with", "of", "from")
_WITH = ("interval", "spread", "percent", "details")
# outside of brackets
_COMMA = re.compile(r",(?![^\[]*\])")
_NAME = re.compile(r"([^\[\]@]*)(?:@([\w-]+))?(?:\[([^\[\]]*)\])?")


class EvidenceError(ValueError):
    """A mark that cannot be read, or asks for what was not measured; the message is one line."""


@dataclass(frozen=True)
class Chosen:
    """A sampler, or a measure, with the rows that count.

    Attributes:
        name: of the sampler ("model": what is of no sampler) or of the measure.
        space: of a measure; None for the verdict's, or the only one.
        where: column -> value.
    """

    name: str
    space: str | None = None
    where: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Query:
    """What a mark asks for.

    Attributes:
        kind: one of BLOCKS or NUMBERS.
        pairs: of a ratio or a difference: first and second.
        names: samplers, measures or files, in the order in which they stand.
        by: factors that rows (or a range of numbers) run over.
        across: the factor whose values are columns.
        where: column -> values that count, in the order in which they are shown.
        shown: what is added to a number.
        study: whose results, where that is not the page's own.
        file: another table of the study than results.csv.
    """

    kind: str
    pairs: tuple[tuple[Chosen, Chosen], ...] = ()
    names: tuple[Chosen, ...] = ()
    by: tuple[str, ...] = ()
    across: str | None = None
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shown: frozenset[str] = frozenset()
    study: str | None = None
    file: str = "results.csv"


def parse(text: str, kinds: tuple[str, ...]) -> Query:
    """Return what a mark asks for.

    Args:
        text: what stands in the mark.
        kinds: what it may be.

    Raises:
        EvidenceError: it cannot be read.
    """
    try:
        words = [word.rstrip(",") for word in shlex.split(text)]
    except ValueError as error:
        raise EvidenceError(f"{text!r}: {error}") from error
    if not words or words[0] not in kinds:
        raise EvidenceError(f"{text!r}: expected one of {', '.join(kinds)} first")
    kind, clause = words[0], ""
    clauses: dict[str, list[str]] = {name: [] for name in ("", *_CLAUSES)}
    for word in words[1:]:
        if word in _CLAUSES:
            clause = word
        elif word and word != "and":
            # a comma between column=value pairs belongs to a list of values
            clauses[clause] += [word] if clause == "where" else _COMMA.split(word)
    one = {name: _single(text, name, clauses[name]) for name in ("across", "of", "from")}
    unknown = set(clauses["with"]) - set(_WITH)
    if unknown:
        raise EvidenceError(f"{text!r}: with {', '.join(sorted(unknown))}: expected {', '.join(_WITH)}")
    mark = {"ratio": "/", "difference": "-", "verdict": "/"}.get(kind)
    pairs = [word for word in clauses[""] if mark and mark in _outside(word)]
    if mark and not pairs:
        raise EvidenceError(f"{text!r}: expected two samplers, as in gmm{mark}prior")
    return Query(
        kind,
        pairs=tuple(_pair(text, word, str(mark)) for word in pairs),
        names=tuple(_chosen(text, word) for word in clauses[""] if word not in pairs),
        by=tuple(clauses["by"]),
        across=one["across"],
        where={key: tuple(value.split(",")) for key, value in _settings(text, clauses["where"]).items()},
        shown=frozenset(clauses["with"]),
        study=one["of"],
        file=one["from"] or "results.csv",
    )


def _single(text: str, name: str, words: list[str]) -> str | None:
    if len(words) > 1:
        raise EvidenceError(f"{text!r}: {name} {' '.join(words)}: expected one")
    return words[0] if words else None


def _outside(word: str) -> str:
    """Return a word without what stands in brackets."""
    return re.sub(r"\[[^\]]*\]", "", word)


def _pair(text: str, word: str, mark: str) -> tuple[Chosen, Chosen]:
    parts = re.findall(rf"(?:\[[^\]]*\]|[^\[\]{re.escape(mark)}])+", word)
    if len(parts) != 2:
        raise EvidenceError(f"{text!r}: {word}: expected two samplers, as in gmm{mark}prior")
    return _chosen(text, parts[0]), _chosen(text, parts[1])


def _chosen(text: str, word: str) -> Chosen:
    found = _NAME.fullmatch(word)
    if found is None or not found[1]:
        raise EvidenceError(f"{text!r}: {word}: expected NAME, NAME@SPACE or NAME[column=value]")
    return Chosen(found[1], found[2], _settings(text, (found[3] or "").split(",")))


def _settings(text: str, words: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in filter(None, words):
        key, equals, value = word.partition("=")
        if not equals or key in found:
            raise EvidenceError(f"{text!r}: {word}: expected column=value, each column once")
        found[key] = value
    return found
