"""The documentation site: what it is made of, and that it builds without a warning."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def script(name):
    # as Python does for a script: its folder comes first
    if str(DOCS) not in sys.path:
        sys.path.insert(0, str(DOCS))
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readmes_glossary_is_the_reports():
    module = script("glossary_table")
    text = (ROOT / "README.md").read_text()
    assert module.written(text) == text, "run: python docs/glossary_table.py --write"
    assert "| bracket |" in text and module.written(text.replace("| bracket |", "| brackets |")) == text


def test_the_first_run_is_that_of_the_embedded_study():
    verdict = json.loads((ROOT / "experiments/default/verdict.json").read_text())
    for path, marks in ((ROOT / "README.md", r"^> |\*\*"), (DOCS / "first_run.md", "")):
        text = " ".join(re.sub(marks, "", path.read_text(), flags=re.M).split())
        for head, said in (("Do this", verdict["headline"]), ("How sure", verdict["sure"])):
            assert f"{head}: {said}" in text, f"{path.name}: not what make run prints, {said}"


class TestPages:
    def test_every_word_and_measure_is_in_the_glossary(self):
        site = script("build_site")
        text = site.pages()["glossary.md"]
        assert all(f"**{term.name}**" in text for term in site.TERMS)
        assert all(f"`{name}`" in text for name in site.BUILTIN)

    def test_the_readme_stands_on_pages_as_a_whole(self):
        site = script("build_site")
        pages = site.readme_pages()
        headings = re.findall(r"^## (.+)", (ROOT / "README.md").read_text(), flags=re.M)
        shown = "".join(pages.values())
        assert all(f"# {heading}\n" in shown for heading in headings if heading not in site.LEFT_OUT)
        assert "](../docs/" not in shown and "](sweeps.md)" in pages["docs/command_line.md"]

    def test_every_figure_is_in_the_gallery(self):
        text = script("build_site").pages()["docs/gallery.md"]
        for figure in [*DOCS.glob("figures/*.png"), *ROOT.glob("experiments/*/figures/*.png")]:
            assert f"({os.path.relpath(figure, DOCS)})" in text, figure

    def test_captions_say_what_a_figure_shows(self):
        caption = script("build_site").caption
        assert caption("fid-by-loss.alpha") == "FID against loss.alpha, one line a sampler."
        assert "bracket" in caption("bracket") and caption("something-else") == "something-else."

    def test_every_public_name_is_in_the_reference(self):
        import priorgap

        text = "".join(script("build_site").reference().values())
        missing = [name for name in priorgap.__all__ if name != "__version__" and f".{name}" not in text]
        assert not missing

    def test_files_that_pages_link_to_come_along_and_folders_do_not(self):
        links = script("site_links")
        pages = {
            "docs/a.md": "[x](../LICENSE) [y](b.md) [z](../conf) [w](https://example.org/a)",
            "docs/b.md": '[0.2][gmm]\n\n[gmm]: ../Makefile "= took"\n[none]: no_such_file.csv "= took"\n',
        }
        assert links.linked_files(ROOT, pages) == {Path("LICENSE"), Path("Makefile")}
        assert links.without_folders(ROOT, "docs/a.md", "[the groups](../conf)") == "`conf`"

    def test_links_to_the_readme_lead_to_the_pages_that_its_sections_are(self):
        site, links = script("build_site"), script("site_links")
        text = "[a](README.md#library-bring-your-own-model) [b](README.md) [c](README.md#run-it) [d](x/README.md)"
        assert links.readme_links("ANSWER.md", text, site.SECTIONS) == (
            "[a](docs/library.md) [b](start.md) [c](start.md#run-it) [d](x/README.md)"
        )
        deep = links.readme_links(
            "docs/a.md", "[a](../README.md#your-own-data) [b](README.md)", site.SECTIONS
        )
        assert deep == "[a](your_own_data.md) [b](README.md)"

    def test_no_page_takes_the_readme_along(self):
        site, links = script("build_site"), script("site_links")
        pages = {page: links.readme_links(page, text, site.SECTIONS) for page, text in site.pages().items()}
        assert Path("README.md") not in links.linked_files(ROOT, pages)


def build(*options):
    pytest.importorskip("furo", reason="the extra docs is not installed")
    return subprocess.run([sys.executable, *map(str, options)], capture_output=True, text=True, cwd=ROOT)


@pytest.mark.e2e
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    done = build(DOCS / "build_site.py", "--out", tmp_path / "site")
    assert done.returncode == 0, done.stderr
    pages = {path: path.read_text() for path in (tmp_path / "site").rglob("*.html")}
    assert {"index.html", "start.html", "glossary.html"} <= {path.name for path in pages}
    loaded = re.compile(
        r"""(?:<(?:script|img|iframe|source)[^>]*\ssrc|<link[^>]*\shref)=["'](?:https?:)?//"""
    )
    assert not [path for path, text in pages.items() if loaded.search(text)]
    styles = [
        path
        for path in (tmp_path / "site").rglob("*.css")
        if re.search(r"url\(['\"]?(https?:)?//", path.read_text())
    ]
    assert not styles
    compared = (tmp_path / "site/docs/api/compare.html").read_text()
    assert "gaussian_full" in compared and "priorgap.compare" in compared


def test_a_link_that_leads_nowhere_stops_the_build(tmp_path):
    for name, target in (("good", "#priorgap"), ("bad", "no_such_page.md")):
        source = tmp_path / name
        source.mkdir()
        (source / "index.md").write_text(f"# priorgap\n[a link]({target})\n")
        done = build("-m", "sphinx", "-q", "-W", "-c", DOCS / "sphinx", source, tmp_path / f"{name}-site")
        assert (done.returncode == 0) == (name == "good"), done.stderr
