"""Mutation testing of the estimators and the verdict: which changes of their code do their tests not notice?

    OMP_NUM_THREADS=1 python benchmarks/mutation.py --mutmut DIR/bin/mutmut --out DIR [--sample N] [module ...]

mutmut 3 with its default operators, in an environment of its own that sees the project's packages (it is none of
the project's dependencies). The mutants of `estimators/<module>.py` are tried on `tests/estimators/test_<module>.py`
alone, those of `verdict/<module>.py` on `tests/verdict` without the generated page, slow tests left out: a change
that only other tests notice counts as a survivor. Mutants that change text literals alone are no mutants of the
count. With `--sample` at most N mutants of a module are tried, drawn with a seed of the module's name. A module is
done in a copy of the committed tree, its result kept in `--out` as JSON and found again unless `--again`. Prints a
table and every survivor's diff; exits 1 if more than 5 % of all mutants survive. mutmut changes functions, not
module constants. A test that runs out of time, twice, the second time with two minutes, has noticed the change.
"""

import argparse
import ast
import difflib
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("estimators", "verdict")
# beside a module's package, what its tests read
TESTS = {"estimators": "tests/estimators/test_{module}.py", "verdict": "tests/verdict"}
# compares texts, and makes a page of all of them
LEFT_OUT = "tests/verdict/test_sentences_page.py"
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
only_mutate = ["src/priorgap/{package}/{module}.py"]
also_copy = ["conf"]
pytest_add_cli_args_test_selection = ["{tests}"]
pytest_add_cli_args = ["-p", "no:cacheprovider", "-n", "0", "--ignore={left_out}"]
use_git_change_detection = false
timeout_multiplier = 3.0
timeout_constant = 2.0
"""


def modules() -> list[str]:
    """Return the modules as package/module, the shortest of a package first."""
    found = []
    for package in PACKAGES:
        files = [path for path in (ROOT / "src/priorgap" / package).glob("*.py") if path.stem != "__init__"]
        found += [f"{package}/{path.stem}" for path in sorted(files, key=lambda path: len(path.read_text()))]
    return found


def kept_as(module: str) -> str:
    """Return the name under which a module's result is kept."""
    return module.replace("/", ".")


def checkout(to: Path, package: str, module: str) -> None:
    """Copy the committed tree, and tell mutmut about one module."""
    archive = to / "tree.tar"
    names = ["src", "conf", "pyproject.toml", "README.md", "tests/conftest.py", f"tests/{package}"]
    subprocess.run(["git", "archive", "-o", str(archive), "HEAD", *names], cwd=ROOT, check=True)
    with tarfile.open(archive) as tar:
        tar.extractall(to, filter="data")
    tests = TESTS[package].format(module=module)
    with (to / "pyproject.toml").open("a") as settings:
        settings.write(SETTINGS.format(package=package, module=module, tests=tests, left_out=LEFT_OUT))


def run(name: str, mutmut: Path, log: Path, sample: int | None) -> dict[str, object]:
    """Return the counts of a module's mutants by what became of them, and the survivors' diffs."""
    package, module = name.split("/")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with tempfile.TemporaryDirectory(prefix=f"mutants-{module}-") as folder:
        to, started = Path(folder), time.monotonic()
        checkout(to, package, module)
        source = to / f"mutants/src/priorgap/{package}/{module}.py"

        def attempt(*names: str) -> dict[str, int | None]:
            with log.open("a") as said:
                command = [str(mutmut), "run", "--max-children", "1", *names]
                subprocess.run(command, cwd=to, env=environment, stdout=said, stderr=said, check=False)
            kept = json.loads(source.with_name(f"{module}.py.meta").read_text())
            codes: dict[str, int | None] = kept["exit_code_by_key"]
            return codes

        log.unlink(missing_ok=True)
        # a name that no mutant has: mutmut writes the mutants, and tries none
        written = list(attempt("none"))
        texts = of_texts(source.read_text(), written)
        chosen = [one for one in written if one not in texts]
        if sample is not None and sample < len(chosen):
            chosen = random.Random(name).sample(chosen, sample)
        if not chosen:
            return {"module": name, "counts": {}, "of": 0, "seconds": 0.0, "survivors": {}, "timeouts": []}
        codes = {one: code for one, code in attempt(*chosen).items() if one in set(chosen)}
        late = [one for one, code in codes.items() if KILLED.get(code) == "timeout"]
        if late:  # mutmut's limits are of wall time: on a busy machine they catch tests that only waited
            settings = to / "pyproject.toml"
            settings.write_text(
                settings.read_text().replace("timeout_constant = 2.0", "timeout_constant = 40.0")
            )
            again = attempt(*late)
            codes.update({one: again[one] for one in late})
        if None in codes.values():
            raise RuntimeError(f"{name}: mutmut did not come to its end, see {log}")
        survived = [plain(one) for one, code in codes.items() if code not in KILLED]
        survivors = differences(source.read_text(), survived)
    counts = Counter(KILLED.get(code, "survived") for code in codes.values())
    late = [plain(one) for one, code in codes.items() if KILLED.get(code) == "timeout"]
    found = {"module": name, "counts": counts, "of": len(written) - len(texts)}
    return {**found, "seconds": time.monotonic() - started, "survivors": survivors, "timeouts": late}


def plain(mutant: str) -> str:
    """Return a mutant's name in its module."""
    return mutant.rsplit(".", 1)[1]


class _WithoutTexts(ast.NodeTransformer):
    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant("") if isinstance(node.value, str) else node


def of_texts(source: str, mutants: list[str]) -> set[str]:
    """Return the mutants that differ from their function in text literals alone."""
    functions = {node.name: node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}

    def shape(name: str) -> str:
        function = _WithoutTexts().visit(functions[name])
        return "".join(ast.dump(part) for part in (function.args, *function.body))

    shapes = {name: shape(name) for name in functions if "__mutmut_" in name}
    return {
        mutant
        for mutant in mutants
        if shapes[plain(mutant)] == shapes[plain(mutant).rsplit("__mutmut_", 1)[0] + "__mutmut_orig"]
    }


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
    parser.add_argument("--sample", type=int, help="try at most so many mutants of a module")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    mutmut = options.mutmut.absolute()
    for module in options.modules or modules():
        kept = options.out / f"{kept_as(module)}.json"
        if options.again or not kept.exists():
            found = run(module, mutmut, options.out / f"{kept_as(module)}.log", options.sample)
            kept.write_text(json.dumps(found, indent=1))
            print(module, found["counts"], f"{found['seconds']:.0f} s", file=sys.stderr, flush=True)
    return report([options.out / f"{kept_as(module)}.json" for module in modules()])


def report(files: list[Path]) -> int:
    """Print the table of the modules that were run and their survivors."""
    results = [json.loads(file.read_text()) for file in files if file.exists()]
    print(
        "| module | mutants | tried | killed | of these by time | survived | share | s |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    all_of_them, survived = 0, 0
    for result in results:
        counts = Counter(result["counts"])
        n, left, late = sum(counts.values()), counts["survived"], counts["timeout"]
        all_of_them, survived = all_of_them + n, survived + left
        print(
            f"| {result['module']} | {result['of']} | {n} | {n - left} | {late} | {left} | {left / max(n, 1):.1%} "
            f"| {result['seconds']:.0f} |"
        )
    missing = [file.stem for file in files if not file.exists()]
    share = survived / max(all_of_them, 1)
    of = sum(result["of"] for result in results)
    print(f"| all | {of} | {all_of_them} | {all_of_them - survived} | | {survived} | {share:.1%} | |")
    print(f"not run: {', '.join(missing) or 'none'}\n")
    for result in results:
        for name, diff in result["survivors"].items():
            print("\n".join([f"{result['module']} {name}", *diff, ""]))
    passed = not missing and share <= GOAL
    print(f"at most {GOAL:.0%} survive: {'PASS' if passed else 'FAIL'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
