"""Build the documentation site: lay out its pages from the repository's files, and let Sphinx make HTML of them.

The pages keep their places in the repository, so that links between Markdown files hold in both. The README's
sections become pages of their own; glossary and API reference are made of the code.
"""

import argparse
import os
import re
import shutil
import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from site_links import linked_files, moved, readme_links, sections, without_folders

from priorgap.core.catalogue import BUILTIN
from priorgap.report.glossary import TERMS, Glossary, Words

ROOT = Path(__file__).parents[1]
SITE = ROOT / "docs" / "site"

# sections of the README -> the page that they stand on, in the site's order; the rest is the start page
SECTIONS = {
    "Command line": "command_line",
    "Reading the report": "reading_a_report",
    "Library: bring your own model": "library",
    "Your own data": "your_own_data",
}
LEFT_OUT = ("Glossary",)  # the site has the whole of it, with the measures

GUIDE = (
    "first_run", *SECTIONS.values(), "generate_new_data", "adapters", "configuration", "sweeps", "verdicts",
    "methods", "extending", "architecture",
)  # fmt: skip

# pages of the API reference: title, what it says, modules with names (all public ones where none are given)
REFERENCE: dict[str, tuple[str, str, dict[str, tuple[str, ...]]]] = {
    "compare": (
        "Comparing samplers",
        "The library's front door: a trained model in, a table and a verdict out.",
        {
            "priorgap": ("compare", "Comparison", "Frames", "onnx_model", "Latents", "Measurement"),
            "priorgap.comparison.onnx_model": ("OnnxEncoder", "OnnxDecoder"),
            "priorgap.comparison.synthetic": ("Synthetic",),
            "priorgap.core.findings": ("Finding",),
            "priorgap.core.torchvision_compat": ("ensure",),
        },
    ),
    "audit": (
        "Auditing from the shell",
        "`priorgap audit model=my_vae:load data=mine.npz` calls `compare()` with what the function `load` of "
        "`my_vae.py` returns: `(encode, decode)`, an object with these methods, or a dictionary of its arguments.",
        {
            "priorgap.pipeline.commands.audit": ("Order", "main"),
            "priorgap.pipeline.commands.audit_model": ("AuditModel", "of_factory", "of_onnx"),
        },
    ),
    "samplers": ("Samplers", "Where z comes from. `conf/sampler` has their settings.", {"priorgap.samplers": ()}),
    "densities": ("Densities of z", "What samplers fit, and the bracket scores.", {"priorgap.densities": ()}),
    "estimators": (
        "Estimators",
        "Pure functions of tensors, with their errors. [The measures](../methods.md) has formulas and sources.",
        {},
    ),
    "metrics": ("Metrics", "Estimators with a name, a space and a sample size.", {"priorgap.metrics": ()}),
    "features": (
        "Feature spaces",
        "Spaces in which samples are compared.",
        {"priorgap.features": (), "priorgap.features.onnx": ("OnnxFeatures",)},
    ),
    "models": ("Models", "Architectures, likelihoods and the loss.", {"priorgap.models": ()}),
    "priors": ("Priors", "p(z) that a model is trained with.", {"priorgap.priors": ()}),
    "data": ("Data sets", "Sources of observations.", {"priorgap.data": ()}),
    "protocols": (
        "Protocols for plugins",
        "What an object of your own package must have; [Extending priorgap](../extending.md) says where it goes.",
        {
            "priorgap.samplers.protocols": ("check_kind", "require_log_var", "standard_moments", "total_moments"),
            "priorgap.metrics.protocols": ("wants", "require", "require_few_dimensions", "measured"),
            "priorgap.core.measures": ("Measure",),
            "priorgap.features.spaces": ("FeatureSpace", "SpaceInputs", "MadeByFiles"),
            "priorgap.features.maps": (),
            "priorgap.data.splits": ("DataSource", "Dataset", "Split", "DataUnavailable", "DataCorrupt"),
            "priorgap.models.networks": ("Architecture",),
            "priorgap.models.likelihoods": ("Likelihood",),
            "priorgap.priors.base": ("PriorSpec", "Prior"),
            "priorgap.core.random": (),
        },
    ),
    "testing": (
        "Contract suites",
        "Laws that every sampler, metric, prior and data source satisfies, for the tests of your own.",
        {f"priorgap.testing.{kind}_contract": () for kind in ("sampler", "metric", "prior", "data")},
    ),
}  # fmt: skip


def toctree(title: str, entries: list[str], depth: int = 1) -> str:
    """Return a table of contents that the sidebar shows too."""
    return "\n".join(["```{toctree}", f":caption: {title}", f":maxdepth: {depth}", "", *entries, "```", ""])


def readme_pages() -> dict[str, str]:
    """Return the start page and the pages of the README's sections.

    Raises:
        KeyError: the README has no longer a section that a page is made of.
    """
    parts = sections((ROOT / "README.md").read_text())
    start = parts.pop("")
    pages = {
        f"docs/{page}.md": f"# {title}\n{moved(parts.pop(title), Path('docs'))}"
        for title, page in SECTIONS.items()
    }
    for title in LEFT_OUT:
        del parts[title]
    start += "".join(f"## {title}\n{text}" for title, text in parts.items())
    return {"start.md": start, **pages}


def glossary() -> str:
    """Return the glossary: the words of report/glossary.py, and every measure."""
    words = Words.of("image")
    said = Glossary(words)
    lines = [
        "# Glossary", "", "The words of reports and of this documentation. What is said of images holds",
        "for windows of series and rows of tables too.", "", "## Words", "",
    ]  # fmt: skip
    for term in sorted(TERMS, key=lambda term: term.name.lower()):
        lines += [f"**{term.name}**", f": {term.meaning.format(one=words.one, many=words.many)}", ""]
    lines += ["## Measures", "", "Formulas, sources and biases: [The measures](docs/methods.md).", ""]
    for one in sorted(BUILTIN.values(), key=lambda one: one.name):
        text = f"*{one.title}.* {said.explained(one)}".replace("|", "\\|")
        lines += [f"`{one.name}`", f": {text}", ""]
    return "\n".join(lines)


def reference() -> dict[str, str]:
    """Return the pages of the API reference."""
    pages = {}
    for page, (title, says, modules) in REFERENCE.items():
        lines = [f"# {title}", "", says, ""]
        for module, names in (modules or estimators()).items():
            lines += _documented(module, names)
        pages[f"docs/api/{page}.md"] = "\n".join(lines)
    index = ["# API reference", "", "Public names by what they are for. Each module's source says more.", "",
             toctree("API reference", list(pages), 1).replace("docs/api/", "")]  # fmt: skip
    return {**pages, "docs/api/index.md": "\n".join(index)}


def estimators() -> dict[str, tuple[str, ...]]:
    """Return all modules of estimators."""
    found = sorted((ROOT / "src/priorgap/estimators").glob("[a-z]*.py"))
    return {f"priorgap.estimators.{path.stem}": () for path in found}


def _documented(module: str, names: tuple[str, ...]) -> list[str]:
    """Return the directives of a module's public names; those of a package in its `__all__`."""
    loaded = import_module(module)
    if not names and not hasattr(loaded, "__all__"):
        title = module.rpartition(".")[2].replace("_", " ")
        return [f"## {title}", "", "```{eval-rst}", f".. automodule:: {module}", "```", ""]
    lines = ["```{eval-rst}"]
    for name in names or loaded.__all__:
        what = getattr(loaded, name)
        kind = "exception" if isinstance(what, type) and issubclass(what, BaseException) else None
        kind = kind or ("class" if isinstance(what, type) else "function")
        lines += [f".. auto{kind}:: {module}.{name}", ""]
    return [*lines, "```", ""]


def with_contents(page: str, title: str, children: list[str]) -> str:
    """Return a page's text with a table of contents below it; `children` are paths without ending."""
    folder = Path(page).parent
    entries = [os.path.relpath(child, folder) for child in sorted(children)]
    return f"{(ROOT / page).read_text()}\n{toctree(title, entries)}"


def studies() -> dict[str, str]:
    """Return the page of the studies, below which each study stands."""
    page = "experiments/README.md" if (ROOT / "experiments/README.md").exists() else "docs/studies.md"
    found = (ROOT / "experiments").glob("*/README.md")
    return {page: with_contents(page, "Studies", [_page(path) for path in found])}


def decisions() -> dict[str, str]:
    """Return the page of the decisions, below which each one stands."""
    page = "docs/decisions/README.md"
    found = (ROOT / "docs/decisions").glob("[a-z]*.md")
    return {page: with_contents(page, "Decisions", [_page(path) for path in found])}


def _page(path: Path) -> str:
    return str(path.relative_to(ROOT).with_suffix(""))


def gallery() -> str:
    """Return the gallery: pictures of reports, then the figures that studies have published."""
    lines = [(ROOT / "docs" / "gallery.md").read_text()]
    for study in sorted((ROOT / "experiments").iterdir()):
        figures = sorted(study.glob("figures/*.png"))
        if figures:
            title = re.search(r"^# (.+)", (study / "README.md").read_text(), flags=re.M)
            heading = title[1] if title else study.name
            lines += [f"## {heading}", f"[The study](../experiments/{study.name}/README.md)", ""]
        for figure in figures:
            said = caption(figure.stem)
            lines += [f"![{said}](../{figure.relative_to(ROOT)})", "", said, ""]
    return "\n".join(lines)


def caption(stem: str) -> str:
    """Return what a published figure shows, by the name that the report gives it."""
    if stem == "bracket":
        return "The bracket of the mismatch KL(q(z)‖p(z)), one line a model."
    if stem == "unit-costs":
        return (
            "What sampling one latent unit wrongly costs, against its rate, its mismatch and its dependence."
        )
    measure, by, setting = stem.partition("-by-")
    measure = measure.split("-")[0]
    if not by or measure not in BUILTIN:
        return f"{stem}."
    title = BUILTIN[measure].title
    return f"{title[:1].upper()}{title[1:]} against {setting}, one line a sampler."


def index(pages: set[str]) -> str:
    """Return the root page, which the start page is part of."""
    answer = ["ANSWER"] if "ANSWER.md" in pages else []
    overview = ["experiments/README"] if "experiments/README.md" in pages else []
    return "\n".join([
        toctree("Start", ["start", *answer, "docs/gallery", "glossary"]),
        toctree("Guide", [f"docs/{name}" for name in GUIDE]),
        toctree("Reference", ["docs/api/index"]),
        toctree("Evidence", ["docs/studies", *overview, "docs/benchmarks", "docs/mutation"]),
        toctree("Project", ["docs/decisions/README", "CONTRIBUTING", "CHANGELOG"]),
    ])  # fmt: skip


def pages() -> dict[str, str]:
    """Return all pages by their path: texts of the repository, and those that are made here."""
    kept = [
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("docs/decisions/*.md"),
        *ROOT.glob("experiments/**/README.md"),
    ]
    kept += [
        path for name in ("ANSWER", "CONTRIBUTING", "CHANGELOG") if (path := ROOT / f"{name}.md").exists()
    ]
    found = {str(path.relative_to(ROOT)): path.read_text() for path in kept}
    found |= readme_pages() | reference() | studies() | decisions()
    found |= {"glossary.md": glossary(), "docs/gallery.md": gallery()}
    start = found.pop("start.md")
    found["start.md"] = re.sub(r"^# priorgap", "# Start", start)
    found["index.md"] = f"# priorgap\n\n{_first_words(start)}\n\n{index(set(found))}"
    return found


def _first_words(start: str) -> str:
    """Return the README's first paragraph."""
    return start.split("\n\n")[1]


def lay_out(source: Path) -> None:
    """Write all pages and what they show into an empty folder."""
    found = {
        page: without_folders(ROOT, page, readme_links(page, text, SECTIONS))
        for page, text in pages().items()
    }
    for page, text in found.items():
        (source / page).parent.mkdir(parents=True, exist_ok=True)
        (source / page).write_text(text)
    for file in linked_files(ROOT, found):
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, source / file)


def main() -> int:
    """Build; the exit status is Sphinx's, 1 where it warns."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=SITE)
    out = str(parser.parse_args().out)
    from sphinx.cmd.build import build_main

    # in folders of its own each time: pages that Sphinx has read before would not warn again
    with TemporaryDirectory() as folder:
        source, read = Path(folder) / "pages", Path(folder) / "read"
        lay_out(source)
        return build_main(
            ["-q", "-W", "--keep-going", "-c", str(ROOT / "docs/sphinx"), "-d", str(read), str(source), out]
        )


if __name__ == "__main__":
    sys.exit(main())
