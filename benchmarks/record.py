"""Run a benchmark, show its output, and append what it printed to results.jsonl with commit and processor.

    OMP_NUM_THREADS=1 python benchmarks/record.py startup.py --rounds 1

A benchmark that misses a goal (exit status 1) is recorded as well. One that fails, or prints a table that cannot be
read, is not: the last line says why, and the exit status is 1. `python benchmarks/page.py --write` renews the page.
"""

import ast
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import IO

from priorgap.core.processor import processor
from results import BENCHMARKS, RESULTS, Result, ResultError, parse, without_paths

# what a run changes itself says nothing of what was measured
OWN = (":(top,exclude)benchmarks/results.jsonl", ":(top,exclude)docs/benchmarks.md")


def checkout(folder: Path) -> tuple[str | None, bool]:
    """Return the commit of a checkout and whether its files differ from it; (None, False) outside git."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    return commit, commit is not None and bool(git("status", "--porcelain", "--", ":/", *OWN))


def command_of(script: Path, words: Sequence[str]) -> str:
    """Return the command line as a reader would type it, without paths of this machine."""
    said = ast.get_docstring(ast.parse(script.read_text())) or ""
    threads = os.environ.get("OMP_NUM_THREADS")
    settings = [f"OMP_NUM_THREADS={threads}"] if threads else []
    settings += ["PRIORGAP_DATA=DIR"] if "PRIORGAP_DATA" in said and "PRIORGAP_DATA" in os.environ else []
    return without_paths(shlex.join([*settings, "python", f"benchmarks/{script.name}", *words]))


def shown(script: Path, words: Sequence[str]) -> tuple[int, str, bool]:
    """Run a script and pass on what it prints; return exit status, output, and whether an exception ended it."""
    process = subprocess.Popen(
        [sys.executable, "-u", str(script), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    errors: list[str] = []

    def copy(source: IO[str]) -> None:
        for line in source:
            errors.append(line)
            sys.stderr.write(line)

    assert process.stdout is not None
    assert process.stderr is not None
    copier = Thread(target=copy, args=(process.stderr,))
    copier.start()
    output = []
    for line in process.stdout:
        output.append(line)
        print(line, end="", flush=True)
    copier.join()
    # a missed goal and an exception have the same exit status
    failed = any(line.startswith("Traceback (most recent call last)") for line in errors)
    return process.wait(), "".join(output), failed


def record(script: Path, words: Sequence[str], results: Path) -> Result:
    """Run a benchmark and append its result to a file.

    Args:
        script: The benchmark.
        words: Its arguments.
        results: The file of JSON lines.

    Raises:
        ResultError: If the script failed, printed no table, or printed one that cannot be read.
    """
    commit, dirty = checkout(script.parent)
    status, output, failed = shown(script, words)
    if status not in (0, 1) or (status and failed):
        raise ResultError(f"{script.name} failed with exit status {status}")
    tables, notes = parse(without_paths(output))
    machine = processor()
    notes = tuple(note for note in notes if note != machine)
    if not tables:
        raise ResultError(f"{script.name} printed no table with rows, expected Markdown")
    result = Result(
        name=script.stem, command=command_of(script, words), commit=commit, dirty=dirty,
        date=datetime.now(UTC).date().isoformat(), processor=machine,
        torch=importlib.metadata.version("torch"), python=platform.python_version(), status=status,
        tables=tables, notes=notes,
    )  # fmt: skip
    with results.open("a", encoding="utf-8") as file:
        file.write(result.line() + "\n")
    return result


def main(words: Sequence[str]) -> int:
    """Record the benchmark that the words name; return the exit status."""
    # an option must reach the benchmark untouched: this command has none of its own
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if words else 2
    script = BENCHMARKS / words[0]
    if script.parent != BENCHMARKS or script.suffix != ".py" or not script.is_file():
        print(
            f"record.py: {words[0]!r} is no benchmark; expected a script of benchmarks/, as startup.py",
            file=sys.stderr,
        )
        return 2
    try:
        result = record(script, words[1:], RESULTS)
    except ResultError as error:
        print(f"record.py: not recorded: {error}", file=sys.stderr)
        return 1
    print(f"recorded (tables: {len(result.tables)}, other lines: {len(result.notes)})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
