"""Pictures of report pages for the documentation: docs/figures/page-<name>.png, each with a palette and below 200 kB.

python docs/screenshots.py digits=outputs/default/report/report.html weather=outputs/e12_series/report/report.html
    python docs/screenshots.py mnist-latent=outputs/mnist/report/report.html#latent
"""

import argparse
import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1000, 1900
N_COLOURS, MOST_BYTES = 96, 200_000
PLACE = Path(__file__).parent / "figures"


def shown(pages: dict[str, Path], light: str) -> dict[str, bytes]:
    """Return the upper part of each page as PNG."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("no Chromium here; expected chromium or google-chrome in PATH")
    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name, path in pages.items():
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=light)
            file, _, section = str(path).partition("#")
            page.goto(Path(file).resolve().as_uri() + (f"#{section}" if section else ""))
            page.wait_for_function(
                "[...document.images].every(one => one.complete || one.loading === 'lazy')"
            )
            found[name] = page.screenshot()
        browser.close()
    return found


def small(png: bytes) -> bytes:
    """Return a PNG with a palette; of its height as much as stays below the limit."""
    image = Image.open(io.BytesIO(png)).convert("RGB").quantize(N_COLOURS, dither=Image.Dither.NONE)
    while True:
        buffer = io.BytesIO()
        image.save(buffer, format="png", optimize=True)
        if len(buffer.getvalue()) < MOST_BYTES:
            return buffer.getvalue()
        image = image.crop((0, 0, image.width, image.height * 9 // 10))


def main() -> None:
    """Write the pictures that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pages", nargs="+", metavar="NAME=PAGE")
    parser.add_argument("--dark", action="store_true", help="as a dark screen shows them")
    given = parser.parse_args()
    pages = {name: Path(path) for name, _, path in (one.partition("=") for one in given.pages)}
    for name, png in shown(pages, "dark" if given.dark else "light").items():
        file = PLACE / f"page-{name}.png"
        file.write_bytes(small(png))
        sys.stdout.write(f"{file}: {file.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
