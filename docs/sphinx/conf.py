"""Sphinx's configuration of the documentation site; `docs/build_site.py` lays out the pages."""

import re

from sphinx.application import Sphinx

import priorgap

project = "priorgap"
version = release = priorgap.__version__
copyright = "the priorgap authors"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser"]

# anchors of headings, as the Markdown files link to them
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]
# an unknown word in single backticks is code, and no reference
default_role = "code"

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
# members of a class that are attributes of a dataclass stand in its docstring, under `Attributes:`
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 90

html_theme = "furo"
html_title = f"priorgap {version}"
html_show_sphinx = False
html_copy_source = False
# the library is documented without a network: no page loads a script, a font or an inventory from elsewhere
intersphinx_mapping: dict[str, object] = {}


def literal(line: str) -> str:
    """Return a line of a docstring in reStructuredText: code is literal; |, x_ and a single * are as they are."""
    pieces = re.split(r"(``.+?``|`[^`]+`|(?<![\w*])\*(?=[^\s*])[^*]*[^\s*]\*(?!\w))", line)
    for i, piece in enumerate(pieces):
        if i % 2 == 0:
            pieces[i] = re.sub(r"(\||\*|(?<=\w)_(?!\w))", r"\\\1", piece)
        elif not piece.startswith(("``", "*")):
            pieces[i] = f"`{piece}`"
    return "".join(pieces)


def as_markdown_means(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Docstrings are written as text, in which | is a bar, and `x` is code; examples stay as they are."""
    in_example = False
    for i, line in enumerate(lines):
        in_example = line.lstrip().startswith(">>>") or (in_example and bool(line.strip()))
        if not in_example:
            lines[i] = literal(line)


def setup(app: Sphinx) -> None:
    """Register the hook, before napoleon's."""
    app.connect("autodoc-process-docstring", as_markdown_means, priority=400)
