"""Results of benchmarks: tables are read strictly, a run leaves one line, the page is made of the lines."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from priorgap.core.processor import processor

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
# one of the scripts has the name of an outside package (coverage): the folder stays on the path for this import alone
sys.path.insert(0, str(BENCHMARKS))
try:
    import page
    import record
    import results
finally:
    sys.path.remove(str(BENCHMARKS))

TABLE = "| task | ours | peer |\n|---|---:|---|\n| KL | 0.33 | 53.85 |\n| a \\| b | 1 | |\n"
LINE = {
    "name": "marginal", "command": "python benchmarks/marginal.py", "commit": "a" * 40, "dirty": False,
    "date": "2026-01-31", "processor": "Some CPU", "torch": "2.13.0", "python": "3.11.2", "status": 0,
    "tables": [{"header": ["task", "ratio"], "rows": [["KL", "160"]]}], "notes": ["PASS"],
}  # fmt: skip


def test_tables_and_other_lines_are_told_apart() -> None:
    tables, notes = results.parse(f"n = 5\n\n{TABLE}\nPASS:   all\n{TABLE}")
    assert tables[0].header == ("task", "ours", "peer") and len(tables) == 2
    assert tables[0].rows == (("KL", "0.33", "53.85"), ("a \\| b", "1", ""))
    assert notes == ("n = 5", "PASS: all")
    assert results.parse(tables[0].markdown())[0] == tables[:1]
    assert results.parse("") == ((), ())
    # a header alone is no table
    assert results.parse(f"| a | b |\n|---|---|\n\n{TABLE}")[0] == tables[:1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("| a | b |\n| 1 | 2 |\n", "must follow it"),
        ("| a | b |\n", "must follow it"),
        ("| a | b |\n|---|---|\n| 1 |\n", "has 1 cells, its header has 2"),
        ("| a | b |\n|---|\n| 1 | 2 |\n", "has 1 cells, its header has 2"),
        ("said\n| a | b |\n|---|---|\n| 1 | 2\n", "line 4 .* without a bar at its end"),
    ],
)
def test_a_table_that_cannot_be_read_is_an_error(text: str, message: str) -> None:
    with pytest.raises(results.ResultError, match=message):
        results.parse(text)


def test_a_line_is_read_as_it_was_written() -> None:
    (one,) = results.read([json.dumps(LINE)])
    assert json.loads(one.line()) == LINE
    assert results.read([one.line()]) == [one]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("commit", "abc", "commit is 'abc', expected 40 hexadecimal digits or null"),
        ("commit", 5, "commit is 5"),
        ("date", "31.1.2026", "date is '31.1.2026', expected a day"),
        ("dirty", 0, "dirty is 0, expected true or false"),
        ("processor", "", "processor is ''"),
        ("status", True, "status is True, expected 0, 1 or null"),
        ("status", 2, "status is 2"),
        ("name", None, "name is None, expected text"),
        ("notes", "PASS", "notes is 'PASS', expected a list of texts"),
        ("tables", [{"header": ["a"], "rows": [["1", "2"]]}], "is not 1 texts"),
        ("tables", [{"header": ["a"], "rows": []}], "expected texts and a row or more"),
        ("tables", [{"header": ["a"]}], "expected a header and rows"),
        ("tables", [{"header": ["a"], "rows": [[1]]}], "is not 1 texts"),
        ("host", "name", "missing or unknown: \\['host'\\]"),
    ],
)
def test_a_line_with_a_wrong_field_is_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(results.ResultError, match=f"line 2: .*{message}"):
        results.read([json.dumps(LINE), json.dumps({**LINE, field: value})])


@pytest.mark.parametrize("field", sorted(LINE))
def test_a_line_without_a_field_is_refused(field: str) -> None:
    with pytest.raises(results.ResultError, match=f"line 1: .*missing or unknown: \\['{field}'\\]"):
        results.read([json.dumps({k: v for k, v in LINE.items() if k != field})])


def test_a_line_that_is_no_json_is_refused() -> None:
    with pytest.raises(results.ResultError, match="line 1: not JSON"):
        results.read(["{"])


def test_the_newest_run_of_each_command_and_processor_counts() -> None:
    (one,) = results.read([json.dumps(LINE)])
    later, same_day = replace(one, date="2026-02-01"), replace(one, status=1)
    other, small = replace(one, processor="Other CPU"), replace(one, command=f"{one.command} --n 100")
    assert results.newest([later, one]) == [later]
    assert results.newest([one, same_day]) == [same_day]
    assert set(results.newest([one, other, small, later])) == {other, small, later}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--model /home/me/out/e02 --n 5", "--model PATH --n 5"),
        ("--peer=/opt/env/bin/python", "--peer=PATH"),
        ("read ~/data/mnist", "read PATH"),
        ("'/a b/c/d'", "'/a b/c/d'"),
        ("110 GFLOP/s, 5 ms/image/step", "110 GFLOP/s, 5 ms/image/step"),
        (
            "--before ../before; p / q / r; https://host/a/b",
            "--before ../before; p / q / r; https://host/a/b",
        ),
    ],
)
def test_paths_of_a_machine_are_not_recorded(text: str, expected: str) -> None:
    assert results.without_paths(text) == expected


def script(folder: Path, body: str) -> Path:
    path = folder / "sample.py"
    path.write_text(
        f'"""A sample.\n\n    PRIORGAP_DATA=DIR python benchmarks/sample.py\n"""\nimport sys\n{body}\n'
    )
    return path


def test_a_run_leaves_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PRIORGAP_DATA", "/home/me/data")
    path = script(tmp_path, f"print({TABLE!r}, sys.argv[1:])\nsys.exit(1)")
    file = tmp_path / "results.jsonl"
    file.write_text(json.dumps(LINE) + "\n")
    found = record.record(path, ["--out", f"{tmp_path}/x.csv"], file)
    assert results.read(file.read_text().splitlines())[1:] == [found] and found.status == 1
    assert found.command == "OMP_NUM_THREADS=1 PRIORGAP_DATA=DIR python benchmarks/sample.py --out PATH"
    assert found.tables == results.parse(TABLE)[0] and found.notes == ("['--out', 'PATH']",)
    assert str(tmp_path) not in file.read_text() and found.processor == processor()
    # not in a checkout
    assert found.commit is None and not found.dirty
    assert "| KL | 0.33 | 53.85 |" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (f"print({TABLE!r})\n1 / 0", "sample.py failed with exit status 1"),
        (f"print({TABLE!r})\nsys.exit(3)", "sample.py failed with exit status 3"),
        ("print('| a | b |')", "must follow it"),
        ("", "printed no table"),
        ("print('PASS')", "printed no table"),
        ("print('| a |\\n|---|')", "printed no table"),
    ],
)
def test_a_run_that_says_nothing_leaves_no_line(tmp_path: Path, body: str, message: str) -> None:
    file = tmp_path / "results.jsonl"
    with pytest.raises(results.ResultError, match=message):
        record.record(script(tmp_path, body), [], file)
    assert not file.exists()


def test_a_checkout_is_marked_where_it_differs(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        one = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(one, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()

    (tmp_path / "benchmarks").mkdir()
    git("init", "-q")
    (tmp_path / "benchmarks" / "one.py").write_text("1\n")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    commit = git("rev-parse", "HEAD")
    (tmp_path / "benchmarks" / "results.jsonl").write_text("{}\n")
    assert record.checkout(tmp_path / "benchmarks") == (commit, False)
    (tmp_path / "benchmarks" / "one.py").write_text("2\n")
    assert record.checkout(tmp_path / "benchmarks") == (commit, True)


@pytest.mark.parametrize("words", [["nothing.py"], ["../hatch_build.py"], ["results.jsonl"]])
def test_what_is_no_benchmark_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert record.main(words) == 2
    assert "is no benchmark; expected a script of benchmarks/" in capsys.readouterr().err


def test_each_line_of_the_file_is_a_result_of_a_script() -> None:
    found = page.results_of()
    assert len({one.name for one in found}) > 15
    for one in found:
        known = (BENCHMARKS / f"{one.name}.py").is_file() and f"benchmarks/{one.name}.py" in one.command
        assert known or one.command.startswith("priorgap "), one.command
        assert one.tables and one.line() == results.without_paths(one.line())


def test_the_page_is_that_of_the_file() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.page(page.results_of()) == text, "run: python benchmarks/page.py --write"
    # a long table is there in full
    assert text.count("| rings |") >= 25


@pytest.mark.parametrize(
    "change",
    [
        lambda one: replace(one, tables=(replace(one.tables[0], rows=one.tables[0].rows[1:]),)),
        lambda one: replace(one, commit="b" * 40),
        lambda one: replace(one, notes=(*one.notes, "more")),
        lambda one: replace(one, processor="Other CPU"),
    ],
)
def test_the_page_changes_with_a_line(change: Callable[[results.Result], results.Result]) -> None:
    found = page.results_of()
    changed = change(found[1])
    assert changed != found[1]
    assert page.page([found[0], changed, *found[2:]]) != page.page(found)


def test_the_page_says_where_figures_are_from() -> None:
    (one,) = results.read([json.dumps({**LINE, "dirty": True, "status": 1})])
    text = page.page([one])
    assert (
        "commit aaaaaaaaa and changes that are not in it; 2026-01-31; processor Some CPU; PyTorch 2.13.0"
        in text
    )
    assert "a goal missed" in text and "Per-unit marginal KL" in text and "| KL | 160 |" in text
    unknown = page.page(
        [replace(one, commit=None, dirty=False, processor=None, torch=None, python=None, status=None)]
    )
    assert "brought by commit aaaaaaaaa; 2026" in page.page([replace(one, dirty=False, status=None)])
    assert "commit not recorded; 2026-01-31; processor not recorded." in unknown
