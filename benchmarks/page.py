"""Make docs/benchmarks.md of results.jsonl: print it, or write it (--write).

python benchmarks/page.py --write
"""

import argparse
import ast
import textwrap
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from results import BENCHMARKS, RESULTS, Result, Table, newest, read

PAGE = BENCHMARKS.parent / "docs" / "benchmarks.md"
FOLDED = 20
HEAD = """# Benchmarks

Made by `python benchmarks/page.py --write` of `benchmarks/results.jsonl`: the newest run of each command on each
processor.

Each script of `benchmarks/` compares the library with a named peer or with a known truth. Times are CPU seconds, one
thread where the command says `OMP_NUM_THREADS=1`: they are those of one machine, often a busy one. Read the ratios,
whose two sides were measured in the same run. A script ends with exit status 1 where a goal is missed. *Commit* is
the one that was measured; *brought by commit* is the one that brought figures here that no command recorded.

    make bench-quick                                      # small forms of the main ratios: 5 minutes on two cores
    python benchmarks/record.py marginal.py               # any benchmark, added to results.jsonl
    python benchmarks/page.py --write                     # this page
"""


def says(name: str) -> str:
    """Return what a script compares: the first line of its docstring and the first paragraph that is no command."""
    path = BENCHMARKS / f"{name}.py"
    if not path.is_file():
        return ""
    paragraphs = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")
    return "\n\n".join([one for one in paragraphs if not one.startswith((" ", "-"))][:2])


def provenance(result: Result) -> str:
    """Return one line: commit, date, processor, versions, exit status."""
    commit = "commit not recorded" if result.commit is None else f"commit {result.commit[:9]}"
    carried = "brought by " if result.status is None and result.commit is not None else ""
    parts = [
        carried + commit + (" and changes that are not in it" if result.dirty else ""),
        result.date,
        f"processor {result.processor or 'not recorded'}",
        f"PyTorch {result.torch}" if result.torch else "",
        f"Python {result.python}" if result.python else "",
        "a goal missed (exit status 1)" if result.status else "",
    ]
    return "; ".join(part for part in parts if part) + "."


def shown(table: Table) -> str:
    """Return a table; a long one is folded."""
    if len(table.rows) <= FOLDED:
        return table.markdown()
    return f"<details><summary>{len(table.rows)} rows</summary>\n\n{table.markdown()}\n\n</details>"


def section(name: str, results: Sequence[Result]) -> str:
    """Return a benchmark's part of the page."""
    parts = [f"## {name}", says(name)]
    for command, runs in groupby(sorted(results, key=lambda r: r.command), key=lambda r: r.command):
        parts.append(f"```sh\n{command}\n```")
        for run in runs:
            parts += [provenance(run), *(shown(table) for table in run.tables)]
            parts.append("\n".join(f"- {note}" for note in run.notes))
    return "\n\n".join(part for part in parts if part)


def page(results: Sequence[Result]) -> str:
    """Return the page of some results."""
    names = {name: list(found) for name, found in groupby(newest(results), key=lambda r: r.name)}
    contents = "Contents: " + ", ".join(f"[{name}](#{name})" for name in names) + "."
    contents = textwrap.fill(contents, 120, break_long_words=False, break_on_hyphens=False)
    return (
        "\n\n".join([HEAD.rstrip(), contents, *(section(name, found) for name, found in names.items())])
        + "\n"
    )


def results_of(path: Path = RESULTS) -> list[Result]:
    """Return the results of the file."""
    return read(path.read_text(encoding="utf-8").splitlines(), path.name)


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    text = page(results_of())
    if parser.parse_args().write:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
