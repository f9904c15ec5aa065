"""Mutation testing of the estimators: which changes of their code do their tests not notice?

    OMP_NUM_THREADS=1 python benchmarks/mutation.py --mutmut DIR/bin/mutmut --out DIR [module ...]

mutmut 3 with its default operators, in an environment of its own that sees the project's packages (it is none of
the project's dependencies). The mutants of `estimators/<module>.py` are tried on `tests/estimators/test_<module>.py`
alone, slow tests left out: a change that only another module's tests notice counts as a survivor. A module is done
in a copy of the committed tree, its result kept in `--out` as JSON and found again unless `--again`. Prints a table
and every survivor's diff; exits 1 if more than 5 % of all mutants survive. mutmut changes functions, not module
constants. A test that runs out of time, twice, the second time with two minutes, has noticed the change.
"""

import argparse
import ast
import difflib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "src/priorgap/estimators"
GOAL = 0.05
KILLED = {
    1: "killed",
    3: "killed",
    36: "timeout",
    -24: "timeout",
    24: "timeout",
    152: "timeout",
    255: "timeout",
}
SETTINGS = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["{package}/{module}.py"]
also_copy = ["conf"]
pytest_add_cli_args_test_selection = ["tests/estimators/test_{module}.py"]
pytest_add_cli_args = ["-p", "no:cacheprovider"]
use_git_change_detection = false
timeout_multiplier = 3.0
timeout_constant = 2.0
"""


def modules() -> list[str]:
    """Return the modules, the shortest first."""
    files = [path for path in (ROOT / PACKAGE).glob("*.py") if path.stem != "__init__"]
    return [path.stem for path in sorted(files, key=lambda path: len(path.read_text()))]


def checkout(to: Path, module: str) -> None:
    """Copy the committed tree, and tell mutmut about one module."""
    archive = to / "tree.tar"
    names = ["src", "conf", "pyproject.toml", "README.md", "tests/conftest.py", "tests/estimators"]
    subprocess.run(["git", "archive", "-o", str(archive), "HEAD", *names], cwd=ROOT, check=True)
    with tarfile.open(archive) as tar:
        tar.extractall(to, filter="data")
    with (to / "pyproject.toml").open("a") as settings:
        settings.write(SETTINGS.format(package=PACKAGE, module=module))


def run(module: str, mutmut: Path, log: Path) -> dict[str, object]:
    """Return the counts of a module's mutants by what became of them, and the survivors' diffs."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with tempfile.TemporaryDirectory(prefix=f"mutants-{module}-") as folder:
        to, started = Path(folder), time.monotonic()
        checkout(to, module)

        def attempt(*names: str) -> dict[str, int | None]:
            with log.open("a") as said:
                command = [str(mutmut), "run", "--max-children", "1", *names]
                subprocess.run(command, cwd=to, env=environment, stdout=said, stderr=said, check=False)
            kept = json.loads((to / "mutants" / PACKAGE / f"{module}.py.meta").read_text())
            codes: dict[str, int | None] = kept["exit_code_by_key"]
            return codes

        log.unlink(missing_ok=True)
        codes = attempt()
        late = [name for name, code in codes.items() if KILLED.get(code) == "timeout"]
        if late:  # mutmut's limits are of wall time: on a busy machine they catch tests that only waited
            settings = to / "pyproject.toml"
            settings.write_text(
                settings.read_text().replace("timeout_constant = 2.0", "timeout_constant = 40.0")
            )
            codes = attempt(*late)
        if not codes or None in codes.values():
            raise RuntimeError(f"{module}: mutmut did not come to its end, see {log}")
        survived = [name.rsplit(".", 1)[1] for name, code in codes.items() if code not in KILLED]
        survivors = differences((to / "mutants" / PACKAGE / f"{module}.py").read_text(), survived)
    counts = Counter(KILLED.get(code, "survived") for code in codes.values())
    late = [name.rsplit(".", 1)[1] for name, code in codes.items() if KILLED.get(code) == "timeout"]
    found = {"module": module, "counts": counts, "seconds": time.monotonic() - started}
    return {**found, "survivors": survivors, "timeouts": late}


def differences(source: str, mutants: list[str]) -> dict[str, list[str]]:
    """Return the lines that each of these mutants takes out of its function and puts into it."""
    lines = source.splitlines()
    functions = {
        node.name: lines[node.lineno - 1 : node.end_lineno]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
    }
    found = {}
    for name in mutants:
        original = functions[name.rsplit("__mutmut_", 1)[0] + "__mutmut_orig"]
        changed = list(difflib.unified_diff(original, functions[name], n=0, lineterm=""))[2:]
        # the first pair is the function's name
        found[name] = [line for line in changed if line[:1] in "+-" and "__mutmut_" not in line]
    return found


def main() -> int:
    """Run the modules asked for, print what is known of all of them, and return the exit status."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--mutmut", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    mutmut = options.mutmut.absolute()
    for module in options.modules or modules():
        kept = options.out / f"{module}.json"
        if options.again or not kept.exists():
            found = run(module, mutmut, options.out / f"{module}.log")
            kept.write_text(json.dumps(found, indent=1))
            print(module, found["counts"], f"{found['seconds']:.0f} s", file=sys.stderr, flush=True)
    return report([options.out / f"{module}.json" for module in modules()])


def report(files: list[Path]) -> int:
    """Print the table of the modules that were run and their survivors."""
    results = [json.loads(file.read_text()) for file in files if file.exists()]
    print(
        "| module | mutants | killed | of these by time | survived | share | s |\n|---|---|---|---|---|---|---|"
    )
    all_of_them, survived = 0, 0
    for result in results:
        counts = Counter(result["counts"])
        n, left, late = sum(counts.values()), counts["survived"], counts["timeout"]
        all_of_them, survived = all_of_them + n, survived + left
        print(
            f"| {result['module']} | {n} | {n - left} | {late} | {left} | {left / n:.1%} | {result['seconds']:.0f} |"
        )
    missing = [file.stem for file in files if not file.exists()]
    share = survived / max(all_of_them, 1)
    print(f"| all | {all_of_them} | {all_of_them - survived} | | {survived} | {share:.1%} | |")
    print(f"not run: {', '.join(missing) or 'none'}\n")
    for result in results:
        for name, diff in result["survivors"].items():
            print("\n".join([f"{result['module']} {name}", *diff, ""]))
    passed = not missing and share <= GOAL
    print(f"at most {GOAL:.0%} survive: {'PASS' if passed else 'FAIL'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
