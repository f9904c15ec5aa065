"""docs/verdicts.md is what the code says; every kind of advice and of finding stands there."""

import importlib.util
from pathlib import Path
from typing import get_args

from priorgap.verdict import advice, health

DOCS = Path(__file__).parents[2] / "docs"


def generator():
    spec = importlib.util.spec_from_file_location(
        "verdict_sentences", Path(__file__).with_name("verdict_sentences.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_code_says():
    assert (DOCS / "verdicts.md").read_text(encoding="utf-8") == generator().page(), (
        "python tests/verdict/verdict_sentences.py --write"
    )


def test_every_kind_has_an_example():
    module = generator()
    examples = [
        v for make in (module.headlines, module.faults, module.others, module.studies) for _, v in make()
    ]
    cells = [cell for verdict in examples for cell in verdict.cells]
    assert {cell.advice.kind for cell in cells if cell.advice} == set(get_args(advice.Kind))
    found = {finding.name for cell in cells for finding in cell.health}
    assert set(health.COMPUTED) <= found
    assert {f.severity for cell in cells for f in cell.health} == set(get_args(health.Severity))
