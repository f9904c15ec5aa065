"""A page of 30 models with 12 samplers each stays small, and opens at once."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import synthetic_study as synthetic
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from priorgap.report import page_of, write_page
from priorgap.report.aggregate import Plane, Traversals
from priorgap.report.studied import Studied
from priorgap.verdict import decide_study

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")]
N_MODELS, N_SAMPLERS = 30, 12

Pixels = npt.NDArray[np.uint8]


def grey() -> Pixels:
    """Digits of MNIST's size; smoother than MNIST's, and so larger as PNG."""
    digits = (load_digits().images * 15.9).astype(np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(one).resize((28, 28), Image.Resampling.BICUBIC)) for one in digits]
    )[..., None]


def colour() -> Pixels:
    """Patches of photos, of CIFAR's size."""
    photos = load_sample_images().images
    return np.stack(
        [
            photo[y : y + 32, x : x + 32]
            for photo in photos
            for y in range(0, 384, 16)
            for x in range(0, 608, 16)
        ]
    )


def written(images: Pixels, place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page of 30 cells of one model each: the most pictures that 30 models can have."""
    rng = np.random.default_rng(0)
    more = {f"sampler_{number}": 25.0 + number for number in range(N_SAMPLERS - len(synthetic.FID))}
    monkeypatch.setattr(synthetic, "FID", synthetic.FID | more)
    table = synthetic.study(alphas=tuple(float(n + 1) for n in range(N_MODELS)), n_seeds=1, calibrate=False)

    def some(n: int) -> Pixels:
        return images[rng.integers(0, len(images), n)]

    names = ("real", "reconstructions", *synthetic.FID)
    previews = {model: {name: some(64) for name in names} for model in sorted(set(table["model"]))}
    side = 15 if images[0].size <= 1024 else 9
    axis = np.linspace(-3.5, 3.5, 71)
    density = np.exp(-0.5 * (axis[:, None] ** 2 + axis**2)) / (2 * np.pi)
    shape = images.shape[1:]

    def latent() -> Any:
        return replace(
            synthetic.aggregate(),
            plane=Plane((5, 4), axis, density, np.linspace(-3.5, 3.5, side), some(side**2)),
            traversals=Traversals(tuple(range(6)), np.linspace(-3, 3, 9), some(54).reshape(6, 9, *shape)),
        )

    aggregates = {model: latent() for model in previews}
    page = page_of(
        study="thirty", table=table, verdict=decide_study(table), previews=previews, aggregates=aggregates,
        studied=Studied("image"), training=lambda model: images,
    )  # fmt: skip
    return write_page(page, place)


@pytest.mark.parametrize(("images", "megabytes"), [(grey, 5), (colour, 12)])
def test_thirty_models(
    images: Any, megabytes: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(images(), tmp_path, monkeypatch)
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_size < megabytes * 1e6
    # nothing was saved by leaving out pictures: the matrix has all cells, and eight models their tiles
    assert text.count(": a few images") == N_MODELS * (N_SAMPLERS + 2)
    assert (
        text.count('alt="Samples from ') == 8 * (N_SAMPLERS + 2) and text.count('class="plane decodes"') == 8
    )
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        taken = [opened(browser, path) for _ in range(3)]
        browser.close()
    # of three, for other programs take time as well
    assert min(taken) < 2


def opened(browser: Any, path: Path) -> float:
    """Seconds until a page has loaded and its chart is drawn, all scripts included."""
    page = browser.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("#quality-chart svg")
    taken: float = page.evaluate("performance.now()") / 1000
    page.close()
    return taken
