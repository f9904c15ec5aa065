"""The tables of all studies, as Markdown: claims, questions, costs, cells by what is advised."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from posixpath import relpath
from typing import Any

from priorgap.report.tables import ABSENT
from priorgap.verdict.headline import number
from writeup.blocks import markdown
from writeup.numbers import NOT_YET, cpu_seconds
from writeup.numbers import number as in_words
from writeup.published import Published
from writeup.query import NUMBERS, EvidenceError, parse

_NO_VERDICT = "no verdict"
_TALLIED = {
    "replace": "the prior is shown to be worse than a sampler that may be used",
    "open": "another sampler has the better mean, and the difference is not shown",
    "keep": "nothing that may be used is shown to be better than the prior",
    _NO_VERDICT: "no verdict: train the model first, or nothing that may be used was measured beside the prior",
}


def claims(found: Sequence[Published], page: Path) -> str:
    """Return the table of all studies: claim, verdict, effect with interval, link."""
    rows = []
    for study in found:
        verdict = _state(study)
        if study.final:
            verdict = study.claim.held or _headline_of(study)
        rows.append([study.claim.number, study.claim.claim, verdict, _effect(study), _link(study, page)])
    return markdown(["", "claim", "verdict", "effect", "study"], rows, 5)


def questions(found: Sequence[Published], page: Path, filled: Callable[[str, Published], str]) -> str:
    """Return the table of what each study asks, what it found, and the command."""
    rows = []
    for study in found:
        claim = study.claim
        said = _state(study)
        if study.final:
            said = filled(claim.answer, study) if claim.answer else _headline_of(study)
        rows.append([_link(study, page), claim.question, said, _command(study)])
    return markdown(["study", "question", "answer so far", "command"], rows, 4)


def _headline_of(study: Published) -> str:
    if study.verdict is None:
        raise EvidenceError(f"{study.id}: a script's results have no headline; claim.yaml needs an answer")
    return str(study.verdict["headline"])


def _command(study: Published) -> str:
    """Return the command that makes the study; of a script's, the one that made what is published."""
    if study.by_script:
        return f"`{study.provenance['command']}`" if study.provenance else ABSENT
    return f"`priorgap run experiment={study.id}`"


def costs(found: Sequence[Published]) -> str:
    """Return what each study took, and all of them together."""
    rows, total = [], 0.0
    for study in found:
        seconds, provenance = cpu_seconds(study), study.provenance
        total += seconds or 0.0
        if not study.measured:
            rows.append([study.id, "not run yet", "", "", ""])
        elif provenance is None:
            rows.append([study.id, "not recorded", "", "", ""])
        else:
            hours = "not recorded" if seconds is None else number(seconds / 3600)
            spent = number(provenance["took"]["busy_seconds"] / 3600)
            seeds = str(len(provenance["seeds"]))
            rows.append([study.id, hours, spent, seeds, str(provenance["models"]["processor"])])
    rows.append(["**all that is recorded**", f"**{number(total / 3600)}**", "", "", ""])
    return markdown(["study", "CPU-hours", "hours of work", "seeds", "processor"], rows)


def cells(found: Sequence[Published]) -> str:
    """Return how often the prior is shown to be worse, over the cells of all studies."""
    said: Counter[str] = Counter()
    judged = [study for study in found if study.verdict is not None]
    for study in judged:
        for cell in (study.verdict or {})["cells"]:
            details = cell["details"]
            said[_advice(details) if _has_rival(details) else _NO_VERDICT] += 1
    unknown = set(said) - set(_TALLIED)
    if unknown:
        raise EvidenceError(f"cells: {sorted(unknown)[0]}: an advice without a line in the table")
    n = sum(said.values())
    rows = [[words, str(said[name])] for name, words in _TALLIED.items()]
    return markdown([f"of {n} cells in {len(judged)} studies", "cells"], rows)


def _advice(details: Mapping[str, Any]) -> str:
    """Return what a verdict advises in a cell, in one word."""
    advice = details["advice"]
    return _NO_VERDICT if advice is None else str(advice["kind"]).replace("keep_for_now", "keep")


def _has_rival(details: Mapping[str, Any]) -> bool:
    """Whether a sampler beside the prior was compared that neither reconstructs nor needs training data."""
    return any(
        name != details["against"] and not facts["reconstructs"] and not facts["needs_training_data"]
        for name, facts in details["facts"].items()
    )


def _state(study: Published) -> str:
    return "measured, no verdict published" if study.measured else "not run yet"


def _effect(study: Published) -> str:
    if study.claim.effect is None:
        return ABSENT
    shown = in_words(parse(study.claim.effect, NUMBERS), study)
    return ABSENT if shown == NOT_YET else f"{study.claim.effect_of}: {shown}"


def _link(study: Published, page: Path) -> str:
    if not study.readme.is_file():
        return study.id
    return f"[{study.id}]({relpath(study.readme.as_posix(), page.parent.as_posix())})"
