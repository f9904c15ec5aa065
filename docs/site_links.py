"""Links of the documentation site: the repository's, as they hold where the site has its pages."""

import os
import re
from collections.abc import Mapping
from pathlib import Path


def sections(readme: str) -> dict[str, str]:
    """Return the README's second-level sections by their heading; the text before the first one is that of ""."""
    pieces = re.split(r"^## (.+)\n", readme, flags=re.M)
    return {"": pieces[0], **dict(zip(pieces[1::2], pieces[2::2], strict=True))}


def moved(text: str, to: Path) -> str:
    """Return the README's text with its relative links as a page in the folder `to` of the repository has them."""

    def link(found: re.Match[str]) -> str:
        target = found[1]
        plain = target.startswith(("http:", "https:", "#", "mailto:"))
        return found[0] if plain else f"]({os.path.relpath(target, to)})"

    return re.sub(r"\]\(([^)\s]+)\)", link, text)


def readme_links(page: str, text: str, pages: Mapping[str, str]) -> str:
    """Return a page's text with links to the README's sections as links to the pages that these became.

    Args:
        page: the page's path.
        text: its text.
        pages: the README's sections that have pages of their own, and the pages' names.
    """
    of_slug = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-"): f"docs/{name}.md"
        for title, name in pages.items()
    }
    readme = os.path.relpath("README.md", Path(page).parent)

    def link(found: re.Match[str]) -> str:
        own = of_slug.get(found[1] or "")
        anchor = f"#{found[1]}" if found[1] and own is None else ""
        return f"]({os.path.relpath(own or 'start.md', Path(page).parent)}{anchor})"

    return re.sub(rf"\]\({re.escape(readme)}(?:#([^)\s]+))?\)", link, text)


def linked_files(root: Path, found: dict[str, str]) -> set[Path]:
    """Return the files of the repository, no pages themselves, that pages link to or show."""
    files = set()
    for page, text in found.items():
        # beside links, definitions of reference links: the numbers of studies' pages have theirs
        for target in re.findall(r"(?:\]\(|^\[[^\]]+\]: )([^)\s#]+)", text, flags=re.M):
            path = Path(os.path.normpath(Path(page).parent / target))
            if ":" not in target and str(path) not in found and (root / path).is_file():
                files.add(path)
    return files


def without_folders(root: Path, page: str, text: str) -> str:
    """Return a page's text with links to folders of the repository as their names alone."""

    def name(found: re.Match[str]) -> str:
        path = root / Path(page).parent / found[2]
        return f"`{os.path.relpath(path, root)}`" if ":" not in found[2] and path.is_dir() else found[0]

    return re.sub(r"\[([^\]]*)\]\(([^)\s#]+)\)", name, text)
