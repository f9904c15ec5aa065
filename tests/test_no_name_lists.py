"""No list of samplers' or measures' names in the code: what one is, it says itself (facts, catalogue)."""

import ast
from pathlib import Path

import pytest

from priorgap.core.build import configuration_directory
from priorgap.core.catalogue import BUILTIN

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "priorgap"
SAMPLERS = {p.stem for p in (configuration_directory() / "sampler").glob("[!_]*.yaml")}
NAMES = SAMPLERS | set(BUILTIN)
# where measures are: the catalogue itself, and the metrics that give them
EXEMPT = ("core/catalogue.py", "metrics/")
# where a name in a collection is one too many: what decides, shows, sends and compares knows facts alone
STRICT = ("verdict/", "report/", "pipeline/tracking/", "comparison/")


def collections_of_names(source: str) -> list[tuple[int, list[str]]]:
    """(line, names) of every literal list, tuple, set, dictionary (keys, values) or split text that has any."""
    found: list[tuple[int, list[str]]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            groups: list[list[ast.expr]] = [node.elts]
        elif isinstance(node, ast.Dict):
            groups = [[key for key in node.keys if key is not None], node.values]
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "split"
        ):
            text = node.func.value
            words = (
                text.value.split() if isinstance(text, ast.Constant) and isinstance(text.value, str) else []
            )
            groups = [[ast.Constant(word) for word in words]]
        else:
            continue
        for parts in groups:
            texts = [part.value for part in parts if isinstance(part, ast.Constant)]
            names = [text for text in texts if isinstance(text, str) and text in NAMES]
            if names:
                found.append((node.lineno, names))
    return found


def most(file: str) -> int:
    """How many names a collection of a file may hold."""
    return 0 if file.startswith(STRICT) else 1


FILES = sorted(
    file
    for path in PACKAGE.rglob("*.py")
    if not (file := path.relative_to(PACKAGE).as_posix()).startswith(EXEMPT) and not file.startswith("conf/")
)


# what is not in the package: measurements of it, examples, what builds the documents
OTHERS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("benchmarks", "docs", "examples")
    for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("file", FILES)
def test_no_collection_of_names(file: str) -> None:
    found = collections_of_names((PACKAGE / file).read_text())
    assert not [(line, names) for line, names in found if len(names) > most(file)]


@pytest.mark.parametrize("file", OTHERS)
def test_no_collection_of_names_beside_the_package(file: str) -> None:
    found = collections_of_names((ROOT / file).read_text())
    assert not [(line, names) for line, names in found if len(names) > 1]


def test_there_are_names_and_files_to_look_for() -> None:
    assert {"prior", "posterior", "gmm", "kde"} <= SAMPLERS and len(BUILTIN) > 70
    assert {
        "verdict/labels.py",
        "report/tables.py",
        "pipeline/tracking/models.py",
        "comparison/compare.py",
    } <= set(FILES)
    assert most("verdict/words.py") == 0 and most("samplers/kde.py") == 1
    assert {"benchmarks/copying.py", "examples/plugin/priorgap_example/metrics.py"} <= set(OTHERS)


@pytest.mark.parametrize(
    ("source", "lists"),
    [
        ('FIXED = frozenset({"prior", "tempered_prior"})', [["prior", "tempered_prior"]]),
        ('for name in ("fid", "kid"): pass', [["fid", "kid"]]),
        ('x = ["prior"]', [["prior"]]),
        ('TITLES = {"fid": "FID", "other": 1, "kid": "KID"}', [["fid", "kid"]]),
        ('"prior gmm".split()', [["prior", "gmm"]]),
        ('def f(a=("x", ["fid", "rate"])): pass', [["fid", "rate"]]),
        ('x = "prior", 1\ny = "gmm"', [["prior"]]),
        ('select(table, "fid") or select(table, "kid")', []),
        ('{"name": "fid", "kind": "kid"}', [["fid", "kid"]]),
        ('{"name": "fid", "kind": "other"}', [["fid"]]),
    ],
)
def test_the_search_finds_planted_lists(source: str, lists: list[list[str]]) -> None:
    assert [names for _, names in collections_of_names(source)] == lists
