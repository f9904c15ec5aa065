"""examples/notebooks: committed without outputs; each runs from top to bottom, and shows what its cells end with."""

import ast
import json
from pathlib import Path
from typing import Any

import matplotlib
import pytest

matplotlib.use("Agg")

FILES = sorted((Path(__file__).parents[2] / "examples" / "notebooks").glob("*.ipynb"))
IDS = [file.stem for file in FILES]


def code_of(file: Path) -> list[str]:
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run(file: Path) -> dict[str, Any]:
    """Run the code cells in order in one namespace, and show the last expression of each as a notebook does."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, code in enumerate(code_of(file), 1):
        place = f"{file.name}, code cell {number}"
        tree = ast.parse(code, place)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, place, "exec"), names)
        if isinstance(last, ast.Expr):
            shown = eval(compile(ast.Expression(last.value), place, "eval"), names)
            html = getattr(shown, "_repr_html_", None)
            assert (repr(shown) if html is None else html()) is not None
    return names


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_a_notebook_has_no_outputs(file):
    content = json.loads(file.read_text(encoding="utf-8"))
    assert content["nbformat"] == 4
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


@pytest.mark.e2e
@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_a_notebook_runs_from_top_to_bottom(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run(file)
    assert len(names["synthetic"].x) == 1000
    assert "<html" in Path("page.html").read_text(encoding="utf-8")


def test_a_cell_that_fails_fails(tmp_path):
    cell = {"cell_type": "code", "source": ["x = 1\n", "x / 0"]}
    file = tmp_path / "a.ipynb"
    file.write_text(json.dumps({"cells": [{"cell_type": "code", "source": ["y = 2"]}, cell]}))
    with pytest.raises(ZeroDivisionError) as caught:
        run(file)
    assert "a.ipynb, code cell 2" in str(caught.traceback[-1].path)
