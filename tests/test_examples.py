"""Examples in docstrings run and print what they say; each public estimator has one."""

import doctest
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


@pytest.mark.parametrize("name", modules())
def test_examples_print_what_they_say(name):
    failed, said = failures(import_module(name))
    assert not failed, said
