"""docs/methods.md cannot drift: every measure has an entry with its fields, every option a line."""

import importlib.util
import re
from pathlib import Path

from public_measures import PUBLIC

from priorgap.core.catalogue import BUILTIN

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "methods.md").read_text()


def generator():
    spec = importlib.util.spec_from_file_location("measures_table", DOCS / "measures_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def documented(name):
    """By its name; a p-value or a point beside its limits is of the entry of what it belongs to."""
    base = re.sub(r"_(p|point)$", "", name)
    return any(f"`{n}`" in TEXT or f"{n}:" in TEXT for n in (name, base))


def test_every_measure_is_documented():
    assert not sorted(name for name in PUBLIC if not documented(name))
    assert not documented("never_measured_p")


def named_in_headings():
    """Names in backticks in the headings of the sections on measures, with their suffixes `_p` and `_point`."""
    sections = TEXT.split("\n## 10 ")[0] + TEXT.split("\n## 15 ")[1].split("\n## 16 ")[0]
    heads = [line for line in sections.splitlines() if line.startswith("#")]
    return {name for head in heads for name in re.findall(r"`(\w+)`", head)} - {"_p", "_point"}


def test_headings_name_measures_of_the_catalogue_or_options():
    options = set(generator().options())
    wrong = named_in_headings() - set(BUILTIN) - options - {"planning", "full", "efficientnet", "unit"}
    assert not wrong
    assert len(named_in_headings() & set(BUILTIN)) > 40


def test_the_table_of_options_is_the_codes():
    module = generator()
    assert module.written(TEXT) == TEXT, "run: python docs/measures_table.py --write"
    # those of torchmetrics are chosen by name
    for name in (name for name in module.options() if not name.startswith("tm_")):
        lists = [
            one
            for which in ("full", "series", "tables", "published_series")
            for one in module.load_lists(which)
        ]
        assert name in lists, f"no list in conf/metric has {name}"
    assert set(module.load_lists("standard")) <= set(module.load_lists("full"))


def test_every_entry_beyond_standard_says_what_an_expert_asks():
    section = TEXT.split("\n## 15 ")[1].split("\n## 16 ")[0]
    entries = [
        e
        for e in re.split(r"\n### ", section)[1:]
        if "planning" not in e[:12] and "feature space" not in e[:40]
    ]
    assert len(entries) >= 8
    for entry in entries:
        head = entry.splitlines()[0]
        for field in ("**Tests**", "**Cost**"):
            assert field in entry, (head, field)
        assert re.search(r"\*\*(Bias|Misleads|Standard error)\*\*|Unbiased", entry), head


def test_tests_that_entries_name_exist():
    tests = {p.name for p in Path(__file__).parent.rglob("test_*.py")}
    named = set(re.findall(r"`(?:tests/)?(?:\w+/)*(test_\w+\.py)`", TEXT))
    assert named - tests == set()
