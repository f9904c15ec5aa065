"""Print the table of words that the README's glossary has, or write it into README.md (--write)."""

import re
import sys
from pathlib import Path

from priorgap.report.glossary import TERMS, Words

README = Path(__file__).parents[1] / "README.md"
START, END = "<!-- glossary -->", "<!-- /glossary -->"


def table() -> str:
    """Return the table of the words of report/glossary.py, in alphabetical order, as pages of images have them."""
    words = Words.of("image")
    lines = ["| term | meaning |", "| --- | --- |"]
    for term in sorted(TERMS, key=lambda term: term.name.lower()):
        meaning = term.meaning.format(one=words.one, many=words.many)
        lines.append(f"| {term.name} | {meaning} |".replace("q(z|x)", "q(z\\|x)"))
    return "\n".join(lines)


def written(text: str) -> str:
    """Return the README with the table between its marks."""
    return re.sub(f"{START}.*?{END}", lambda _: f"{START}\n{table()}\n{END}", text, flags=re.S)


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        README.write_text(written(README.read_text()))
    else:
        sys.stdout.write(table() + "\n")
