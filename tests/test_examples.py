"""Examples in docstrings run and print what they say; each public estimator has one."""

import doctest
import inspect
from importlib import import_module
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"


def modules():
    """Names of all modules with an example."""
    found = sorted(path for path in (SOURCE / "priorgap").rglob("*.py") if ">>> " in path.read_text())
    return [
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__") for path in found
    ]


def failures(module):
    """How many examples of a module print something else, and what they print."""
    said = []
    runner = doctest.DocTestRunner(verbose=False)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        runner.run(test, out=said.append)
    return runner.summarize(verbose=False).failed, "".join(said)


def without_example(module):
    """Names of a module's own public functions that have no example."""
    own = [
        (name, function)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    ]
    return [name for name, function in own if ">>> " not in (function.__doc__ or "")]


@pytest.mark.parametrize("name", modules())
def test_examples_print_what_they_say(name):
    failed, said = failures(import_module(name))
    assert not failed, said


def test_every_public_estimator_has_an_example():
    names = [path.stem for path in (SOURCE / "priorgap/estimators").glob("[a-z]*.py")]
    assert len(names) > 30
    missing = {name: without_example(import_module(f"priorgap.estimators.{name}")) for name in names}
    assert not {name: functions for name, functions in missing.items() if functions}


def test_an_example_that_prints_something_else_is_found(tmp_path, monkeypatch):
    text = '"""Two examples.\n\n>>> 1 + 1\n2\n>>> 1 + 1\n3\n"""\n\n\ndef bare():\n    """Has none."""\n'
    (tmp_path / "wrong_example.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    module = import_module("wrong_example")
    assert failures(module)[0] == 1 and without_example(module) == ["bare"]
