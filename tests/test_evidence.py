"""Pages that report studies: their numbers are those of results, verdict and provenance beside them."""

import json
import math
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy

ROOT = Path(__file__).parents[1]
EXPERIMENTS = ROOT / "experiments"
sys.path.insert(0, str(EXPERIMENTS))
try:
    import evidence
    from writeup import blocks, check, documents, numbers, overview, published
    from writeup.published import Published
    from writeup.query import BLOCKS, NUMBERS, EvidenceError, parse
finally:
    sys.path.remove(str(EXPERIMENTS))

STUDIES = sorted(file.parent.name for file in EXPERIMENTS.glob("*/README.md"))
FINAL = [name for name in STUDIES if Published(EXPERIMENTS / name).final]
# a script's results have none
JUDGED = [name for name in FINAL if Published(EXPERIMENTS / name).verdict]
# one sampler alone is compared with nothing, so that the verdict has no intervals to speak of
COMPARED = [name for name in JUDGED if (Published(EXPERIMENTS / name).verdict or {})["sure"]]


@pytest.mark.parametrize("page", documents.pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_as_the_command_writes_it(page: Path) -> None:
    assert documents.written(page) == page.read_text(encoding="utf-8"), (
        "run: python experiments/evidence.py --write"
    )


@pytest.mark.parametrize("name", STUDIES)
def test_a_readme_says_no_more_than_its_results(name: str) -> None:
    assert check.unproved(Published(EXPERIMENTS / name)) == []


def test_the_answer_has_no_number_that_is_typed() -> None:
    text = (ROOT / "ANSWER.md").read_text(encoding="utf-8")
    assert check.typed(text) == []
    (found,) = check.typed(text.replace("## How sure\n", "## How sure\nIn 73 % of cases.\n"))
    assert found.endswith("73 has no source")


@pytest.mark.parametrize("name", JUDGED)
def test_the_verdict_is_quoted(name: str) -> None:
    study = Published(EXPERIMENTS / name)
    text = study.readme.read_text(encoding="utf-8")
    assert study.verdict is not None
    assert f"> **Do this:** {study.verdict['headline']}\n" in text
    if name in COMPARED:
        assert f"> **How sure:** {study.verdict['sure']}\n" in text
    else:
        assert "**How sure:**" not in text


def test_two_studies_are_held_to_their_results() -> None:
    assert {"e12_series", "e13_tables"} <= set(FINAL)


@pytest.mark.parametrize("name", FINAL)
def test_a_changed_digit_is_seen(name: str) -> None:
    """Every number of a page's conclusions with its last digit changed: it has no source, or is written anew."""
    study = Published(EXPERIMENTS / name)
    text = study.readme.read_text(encoding="utf-8")
    places = _conclusions(text)
    changed = text
    for found in places:
        changed = _with(changed, found.end() - 1, str((int(text[found.end() - 1]) + 5) % 10))
    said = check.unproved(study, changed)
    written = documents.written(study.readme, changed)
    same = len(written) == len(changed) and written.count("\n") == changed.count("\n")
    assert same
    missed = []
    for found in places:
        token = check.numbers(changed[found.start() - 1 : found.end()])[-1]
        line = f"line {changed.count(chr(10), 0, found.start()) + 1}: "
        flagged = any(one.startswith(line) and one.endswith(f"{token} has no source") for one in said)
        if not flagged and written[found.end() - 1] == changed[found.end() - 1]:
            missed.append(changed[found.start() - 30 : found.end()])
    # the pages with the most numbers keep the check from looking at nothing
    assert len(places) > 15 or name not in ("e12_series", "e13_tables")
    assert missed == []


def _conclusions(text: str) -> list["re.Match[str]"]:
    """Return the numbers of two digits or more below Result, Verdict and The predictions, blocks left out."""
    plain = documents.BLOCK.sub(lambda made: re.sub(r"\d", " ", made[0]), text)
    plain = re.sub(
        r"(?m)^\[.*\]: .*$|\][\[(][^\])]*[\])]|`[^`]*`", lambda made: re.sub(r"\d", " ", made[0]), plain
    )
    # quotations of the prediction
    plain = check._ITALICS.sub(lambda made: re.sub(r"\d", " ", made[0]), plain)
    found, checked = [], False
    for line in re.finditer(r"(?m)^.*$", plain):
        if line[0].startswith("#"):
            checked = re.match(r"#+ (Result|Verdict|The predictions)", line[0]) is not None
        elif checked and "<!--" not in line[0]:
            each = re.compile(r"(?<![\w.,])\d+(?:,\d{3})*(?:\.\d+)?(?!\w)").finditer(
                plain, line.start(), line.end()
            )
            found += [one for one in each if sum(mark.isdigit() for mark in one[0]) > 1]
    return found


def _with(text: str, place: int, mark: str) -> str:
    return text[:place] + mark + text[place + 1 :]


@pytest.mark.parametrize("name", JUDGED)
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("> **Do this:** ", "> **Do this:** Not so: ", 1),
        lambda text: re.sub(r"(?m)^(\| .*?\| )(\d)", r"\g<1>9\2", text, count=1),
        # the last row of the first table that is followed by a note on what ± is
        lambda text: re.sub(r"(?m)^\|.*\n(?=\n(Mean|One model;) ±)", "", text, count=1),
    ],
)
def test_a_changed_block_is_stale(name: str, change: Callable[[str], str]) -> None:
    page = EXPERIMENTS / name / "README.md"
    text = page.read_text(encoding="utf-8")
    # what stands above the results is the author's
    before, heading, after = text.partition("## Result")
    changed = before + heading + change(after)
    assert changed != text and documents.written(page, changed) == text


@pytest.mark.parametrize("name", COMPARED)
def test_another_number_of_seeds_is_stale(name: str) -> None:
    page = EXPERIMENTS / name / "README.md"
    text = page.read_text(encoding="utf-8")
    changed = re.sub(r"(> \*\*How sure:\*\* (?:Over |Provisional \())\d", r"\g<1>6", text, count=1)
    assert changed != text and documents.written(page, changed) == text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("A mixture has 0.777 times the FID.", "0.777 has no source"),
        ("It is 7 % better.", "7 has no source"),
        ("It costs −0.0123 in all.", "-0.0123 has no source"),
        ("In 12,345 cases.", "12345 has no source"),
        ("For all data: use posterior.", "recommends posterior"),
        ("We recommend `prior` here.", "recommends prior"),
        ("The prior will do.", "says 'will do'"),
    ],
)
def test_what_nothing_says_is_found(line: str, said: str) -> None:
    study = Published(EXPERIMENTS / "e12_series")
    text = study.readme.read_text(encoding="utf-8")
    changed = text.replace("## Verdict\n", f"## Verdict\n{line}\n")
    (found,) = check.unproved(study, changed)
    assert said in found and re.match(r"line \d+: ", found)
    # elsewhere it is no conclusion
    assert check.unproved(study, text.replace("## Threats\n", f"## Threats\n{line}\n")) == []


def test_a_prediction_is_quoted_in_italics_alone() -> None:
    study = Published(EXPERIMENTS / "e12_series")
    text = study.readme.read_text(encoding="utf-8")
    assert text.count("*at α = 100 at most 0.3*") == 1
    for quoted in ("at most 0.3", "*at most 0.31*"):
        (found,) = check.unproved(study, text.replace("*at α = 100 at most 0.3*", quoted))
        assert "has no source" in found


@pytest.mark.parametrize(
    "line",
    [
        "α = 10 and 100, 40 epochs, 5 seeds, 95 % intervals: use gmm.",
        "Windows of 24 + 48 hours. <!-- given: 24, 48 -->",
        "See `n_past=99` and [a page](../x_77.md), e12, z² and p(x|z).",
        "It has [0.242][v-10] times the FID.",
    ],
)
def test_settings_given_and_printed_numbers_have_a_source(line: str) -> None:
    study = Published(EXPERIMENTS / "e12_series")
    text = study.readme.read_text(encoding="utf-8")
    assert check.unproved(study, text.replace("## Verdict\n", f"## Verdict\n{line}\n")) == []


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder experiments with two studies: of known numbers, and not run."""
    folder = tmp_path / "experiments"
    for name in ("known", "empty"):
        (folder / name).mkdir(parents=True)
        (folder / name / "config.yaml").write_text("# @package _global_\nstudy: x\n", encoding="utf-8")
        claim = f"number: {(name == 'known' and 1) or 2}\nclaim: It is so.\nquestion: is it?\n"
        (folder / name / "claim.yaml").write_text(claim, encoding="utf-8")
        (folder / name / "README.md").write_text("# A study\n", encoding="utf-8")
    rows = [
        {"seed": seed, "sampler": sampler, "role": "candidate", "measure": "fid", "space": space, "unit": "",
         "value": value * scale * (1 + 0.1 * seed * (sampler == "gmm")), "std_error": 0.1, "n": 500, "bound": "point",
         "loss.alpha": alpha, "cell": f"c{alpha}", "model": f"m{alpha}{seed}", "label_source": ""}
        for seed in range(3)
        for sampler, value in (("prior", 8.0), ("gmm", 2.0))
        for space in ("classifier", "pixels")
        for alpha, scale in ((2, 1), (10, 3))
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "known/results.csv", index=False)
    detail = {"keys": {"loss.alpha": 2}, "agreement": {"pixels": 1.0}, "sentences": ["So it is."]}
    cell = {"recommended": "gmm", "details": {**detail, "measure": {**vars(published.BUILTIN["fid"])}}}
    verdict = {
        "headline": "Do not sample the prior: use gmm.", "sure": "Over 3 seeds.", "space": "classifier",
        "measure": "fid", "cells": [cell], "lines": ["a", "b"],
    }  # fmt: skip
    (folder / "known/verdict.json").write_text(json.dumps(verdict), encoding="utf-8")
    took = {"cpu_seconds": 7200.0, "busy_seconds": 3600.0, "results": 9, "without_cpu_seconds": 0}
    provenance = {
        "command": "priorgap run experiment=known", "seeds": [0, 1, 2], "commits": ["a" * 40], "took": took,
        "finished": "2026-01-31", "models": {"processor": "Some CPU", "packages": {"torch": "2.13.0"}},
    }  # fmt: skip
    (folder / "known/provenance.json").write_text(json.dumps(provenance), encoding="utf-8")
    return folder


def shown(folder: Path, asked: str) -> str:
    return blocks.block(parse(asked, BLOCKS), Published(folder / "known"), folder / "known/README.md")


def in_words(folder: Path, asked: str) -> str:
    return numbers.number(parse(asked, NUMBERS), Published(folder / "known"))


def test_a_ratio_is_the_geometric_mean_with_its_t_interval(place: Path) -> None:
    logs = np.log(0.25 * np.array([1.0, 1.1, 1.2]))
    half = scipy.stats.t.ppf(0.975, 2) * logs.std(ddof=1) / math.sqrt(3)
    expected = [f"{math.exp(value):.3g}" for value in (logs.mean(), logs.mean() - half, logs.mean() + half)]
    text = f"{expected[0]} [{expected[1]}, {expected[2]}]"
    assert in_words(place, "ratio gmm/prior fid where loss.alpha=2 with interval") == text
    assert f"| 10 | {text} |" in shown(place, "ratio gmm/prior fid by loss.alpha")
    other_way = in_words(place, "ratio prior/gmm fid where loss.alpha=2")
    assert other_way == f"{math.exp(-logs.mean()):.3g}"


def test_a_difference_is_the_mean_with_its_t_interval(place: Path) -> None:
    gaps = 2 * np.array([1.0, 1.1, 1.2]) - 8
    half = scipy.stats.t.ppf(0.975, 2) * gaps.std(ddof=1) / math.sqrt(3)
    low, high = gaps.mean() - half, gaps.mean() + half
    expected = f"{gaps.mean():.3g} [{low:.3g}, {high:.3g}]".replace("-", "−")
    assert in_words(place, "difference gmm-prior fid where loss.alpha=2 with interval") == expected


def test_a_number_over_a_factor_is_a_range(place: Path) -> None:
    assert in_words(place, "mean prior fid by loss.alpha") == "8 to 24"
    assert in_words(place, "mean prior fid where loss.alpha=2 with percent") == "800 %"
    assert in_words(place, "mean gmm fid where loss.alpha=2 with spread") == "2.20 ± 0.20"
    assert in_words(place, "ratio gmm/prior fid by seed where loss.alpha=2") == "0.25 to 0.3"
    across = in_words(place, "ratio gmm[loss.alpha=10]/gmm[loss.alpha=2] fid")
    assert across == "3"


def test_a_table_has_means_over_seeds(place: Path) -> None:
    table = shown(place, "table fid by sampler across loss.alpha")
    assert "| gmm | 2.20 ± 0.20 | 6.60 ± 0.60 |" in table and "| prior | 8 | 24 |" in table
    assert "Mean ± s.d. over 3 seeds; FID in the space classifier; n = 500." in table
    both = shown(place, "table fid, fid@pixels by loss.alpha where sampler=gmm")
    assert "| loss.alpha | FID ↓ | FID (pixels) ↓ |" in both


def test_a_seed_with_only_a_limit_is_not_left_out(place: Path) -> None:
    file = place / "known/results.csv"
    rows = pd.read_csv(file, keep_default_na=False)
    rows.loc[(rows["seed"] == 0) & (rows["sampler"] == "gmm") & (rows["loss.alpha"] == 2), "bound"] = "upper"
    rows.to_csv(file, index=False)
    table = shown(place, "table fid by sampler where loss.alpha=2")
    assert "| gmm | ≤ 2.2 (a limit in 1 of 3 seeds) |" in table and "| prior | 8 |" in table
    for asked in ("mean gmm fid where loss.alpha=2", "ratio gmm/prior fid where loss.alpha=2"):
        with pytest.raises(EvidenceError, match="only a limit in 1 of 3 seeds"):
            in_words(place, asked)
    # a limit that is asked for is one
    rows["bound"] = "upper"
    rows.to_csv(file, index=False)
    assert in_words(place, "mean prior fid[bound=upper] where loss.alpha=2") == "8"
    with pytest.raises(EvidenceError):
        in_words(place, "mean prior fid where loss.alpha=2")


def test_what_a_study_took_is_said(place: Path) -> None:
    assert in_words(place, "took") == "2 CPU-hours"
    text = shown(place, "took")
    assert "2 CPU-hours, 60 minutes of work;" in text and "processor Some CPU; commit aaaaaaaaa;" in text
    found = [Published(place / name) for name in ("known", "empty")]
    assert "| **all that is recorded** | **2** |" in overview.costs(found)
    file = place / "known/provenance.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["took"]["without_cpu_seconds"] = 4
    file.write_text(json.dumps(content), encoding="utf-8")
    assert in_words(place, "took") == "not recorded"
    assert "(4 of 9 results do not say their processor time)" in shown(place, "took")


def test_tables_of_all_studies(place: Path) -> None:
    claim = place / "known/claim.yaml"
    effect = "effect: ratio gmm/prior fid by loss.alpha with interval\neffect_of: FID\n"
    effect += "answer: it is {mean prior fid by loss.alpha}\n"
    claim.write_text(claim.read_text(encoding="utf-8") + effect, encoding="utf-8")
    found = published.studies(place)
    assert [study.claim.number for study in found] == ["1", "2"]
    table = overview.claims(found, place / "README.md")
    assert "use gmm. | FID: 0.274 [" in table and "[known](known/README.md) |" in table
    assert table.count("not run yet") == 1
    # what became of the claim, where the file says it; another word is refused
    before = claim.read_text(encoding="utf-8")
    claim.write_text(before + "held: fails\n", encoding="utf-8")
    assert "| It is so. | fails | FID: 0.274 [" in overview.claims(
        published.studies(place), place / "README.md"
    )
    claim.write_text(before + "held: maybe\n", encoding="utf-8")
    with pytest.raises(
        EvidenceError, match="held: maybe: expected one of holds, holds in part, fails, not decided"
    ):
        published.studies(place)
    claim.write_text(before, encoding="utf-8")
    assert "| it is 8 to 24 | `priorgap run experiment=known` |" in overview.questions(
        found, place.parent / "docs/studies.md", documents.filled
    )


def test_what_became_of_a_script_s_claim_is_said_without_a_verdict(place: Path) -> None:
    provenance = place / "known/provenance.json"
    content = json.loads(provenance.read_text(encoding="utf-8")) | {"command": "python scores.py"}
    provenance.write_text(json.dumps(content), encoding="utf-8")
    for name in ("config.yaml", "verdict.json"):
        (place / "known" / name).unlink()
    claim = place / "known/claim.yaml"
    before = claim.read_text(encoding="utf-8")
    assert not Published(place / "known").final
    claim.write_text(before + "held: holds\n", encoding="utf-8")
    found, page = published.studies(place), place / "README.md"
    assert "| It is so. | holds | – |" in overview.claims(found, page)
    assert in_words(place, "mean prior fid@pixels where loss.alpha=2") == "8"
    with pytest.raises(EvidenceError, match=r"no headline; claim\.yaml needs an answer"):
        overview.questions(found, page, documents.filled)
    claim.write_text(before + "held: holds\nanswer: it is\n", encoding="utf-8")
    asked = overview.questions(published.studies(place), page, documents.filled)
    # the command that its provenance names; a folder that was not run has its own
    assert "| it is | `python scores.py` |" in asked
    assert "| not run yet | `priorgap run experiment=empty` |" in asked
    # a study of `priorgap run` needs a verdict
    (place / "known/config.yaml").write_text("study: x\n", encoding="utf-8")
    assert not Published(place / "known").final


def cell_of(advice: str | None, **rivals: bool) -> dict[str, object]:
    """Return a cell of verdict.json, whose rivals of the prior need the training data or not."""
    names = {"prior": False, **rivals}
    facts = {name: {"reconstructs": False, "needs_training_data": needs} for name, needs in names.items()}
    return {"details": {"against": "prior", "advice": advice and {"kind": advice}, "facts": facts}}


def test_cells_of_all_studies_are_counted_by_what_is_advised(place: Path) -> None:
    file = place / "known/verdict.json"
    cells = [cell_of("replace", gmm=False), cell_of("replace", gmm=False, kde=True), cell_of("open", gmm=False),
             cell_of("keep", gmm=False), cell_of("keep_for_now", gmm=False), cell_of(None, gmm=False),
             # a prior without a rival that may be used is not kept against anything
             cell_of("keep_for_now", kde=True)]  # fmt: skip
    file.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    head, _, *rows = overview.cells(published.studies(place)).splitlines()
    assert head == "| of 7 cells in 1 studies | cells |"
    assert [row.split("|")[2].strip() for row in rows] == ["2", "1", "2", "2"]
    file.write_text(json.dumps({"cells": [cell_of("use", gmm=False)]}), encoding="utf-8")
    with pytest.raises(EvidenceError, match="use: an advice without a line"):
        overview.cells(published.studies(place))


def test_a_study_that_is_not_published_is_not_measured_yet(place: Path) -> None:
    page = place.parent / "ANSWER.md"
    text = (
        "[][a], [][b]\n\n"
        '[a]: experiments/empty/README.md "= ratio gmm/prior fid"\n'
        '[b]: experiments/known/README.md "= mean prior fid where loss.alpha=2"\n'
    )
    assert documents.written(page, text).startswith("[not measured yet][a], [8][b]\n")
    block = "<!-- generated: headline of empty -->\n<!-- end -->\n"
    assert "Not measured yet." in documents.written(page, block)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("", "expected one of headline"),
        ("tabel fid", "expected one of headline"),
        ("ratio gmm fid", "expected two samplers, as in gmm/prior"),
        ("ratio gmm/prior/kde fid", "expected two samplers"),
        ("table fid by", "several values a seed; choose by sampler, loss.alpha"),
        ("table fid by sampler", "several values a seed; choose by loss.alpha"),
        ("table fid by sampler across a b", "across a b: expected one"),
        ("table fid by colour", "no column colour"),
        ("table fid by sampler where loss.alpha", "expected column=value"),
        ("table fid by sampler where colour=red", "no column colour"),
        ("table fid by sampler where loss.alpha=7", "no fid where loss.alpha=7"),
        ("table fidd by sampler", "no fidd where"),
        ("table fid@inception by loss.alpha", "no fid where"),
        ("table [x] by sampler", "expected NAME"),
        ("ratio gmm/prior fid", "several values a seed; choose by loss.alpha"),
        ("ratio gmm/flow fid by loss.alpha", "no fid where"),
        ("ratio gmm/prior fid by loss.alpha with intervals", "with intervals: expected"),
        ("table fid from other.csv by sampler", "no other.csv"),
        ("figure nothing", "no figures/nothing.png"),
        ("table 'fid by sampler", "No closing quotation"),
    ],
)
def test_a_mark_that_cannot_be_filled_is_an_error(place: Path, asked: str, said: str) -> None:
    page = place / "known/README.md"
    with pytest.raises(EvidenceError, match=re.escape(said)) as caught:
        documents.written(page, f"<!-- generated: {asked or ' '} -->\n<!-- end -->\n")
    assert "\n" not in str(caught.value) and str(caught.value).startswith("experiments/known/README.md: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- generated: headline -->\n", "without its"),
        ('[a]: results.csv "= mean prior fid where loss.alpha=2"\n', "[a]: defined and not used"),
        (
            '[1][a]\n\n[a]: ../../x.csv "= mean prior fid where loss.alpha=2"\n',
            "expected a file of a study's folder",
        ),
        ('[1][a]\n\n[a]: results.csv "= mean prior"\n', "mean: expected a sampler"),
        ('[1][a]\n\n[a]: results.csv "= table fid"\n', "expected one of mean"),
    ],
)
def test_a_page_that_cannot_be_filled_is_an_error(place: Path, text: str, said: str) -> None:
    with pytest.raises(EvidenceError, match=re.escape(said)):
        documents.written(place / "known/README.md", text)


def test_the_command_writes_once(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = place / "known/README.md"
    page.write_text("# A\n\n<!-- generated: headline -->\n<!-- end -->\n", encoding="utf-8")
    monkeypatch.setattr(evidence, "ROOT", place.parent)
    monkeypatch.setattr(evidence, "EXPERIMENTS", place)
    monkeypatch.setattr(documents.pages, "__defaults__", (place.parent,))
    assert evidence.main([]) == 1 and "stale: experiments/known/README.md" in capsys.readouterr().out
    assert evidence.main(["--write"]) == 0 and "use gmm." in page.read_text(encoding="utf-8")
    assert evidence.main([]) == 0
    shutil.rmtree(place / "empty")
    page.write_text("<!-- generated: nothing -->\n<!-- end -->\n", encoding="utf-8")
    assert evidence.main([]) == 2 and "expected one of" in capsys.readouterr().err
