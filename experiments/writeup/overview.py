"""The tables of all studies, as Markdown: claims, questions, costs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from posixpath import relpath

from priorgap.report.tables import ABSENT
from priorgap.verdict.headline import number
from writeup.blocks import markdown
from writeup.numbers import NOT_YET, cpu_seconds
from writeup.numbers import number as in_words
from writeup.published import Published
from writeup.query import NUMBERS, EvidenceError, parse


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
