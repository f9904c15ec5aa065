"""The page as a browser shows it: nothing is fetched, no script fails, axe-core finds nothing, keys suffice."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import synthetic_study as synthetic
import torch

from priorgap import compare
from priorgap.report import page_of, write_page
from priorgap.report.studied import DataFacts, Studied
from priorgap.verdict import decide_study

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium here"),
]
LIGHTS, WIDTHS = ("light", "dark"), (1280, 375)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


class Opened:
    """A page in a window of its own, and what the browser had to say and to ask for."""

    def __init__(
        self, browser: Any, path: Path, width: int = 1280, light: str = "light", **more: Any
    ) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=light, offline=True, **more
        )
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.asked = [url for url in self.asked if url != path.as_uri() and not url.startswith("data:")]

    def unfold(self) -> None:
        self.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")

    def violations(self) -> list[str]:
        axe = pytest.importorskip("axe_playwright_python.sync_playwright")
        found = axe.Axe().run(self.page).response["violations"]
        return [f"{one['id']} ({one['impact']}): {one['nodes'][0]['html'][:300]}" for one in found]


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Opened]]:
    made: list[Opened] = []

    def one(*given: Any, **more: Any) -> Opened:
        made.append(Opened(browser, *given, **more))
        return made[-1]

    yield one
    for page in made:
        page.context.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of vectors, from the library's front door."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 2, generator=generator) @ torch.randn(2, 5, generator=generator)
    basis = torch.linalg.svd(x, full_matrices=False)[2][:2]
    result = compare(
        lambda x: (x @ basis.T, torch.full((len(x), 2), -4.0)), lambda z: z @ basis, x[:300], x[300:],
        samplers=["prior", "gmm"], metrics=["rate", "fid"], features="pixels",
    )  # fmt: skip
    return result.to_html(tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with all that a study of images has."""
    table = synthetic.study(alphas=(1.0, 10.0))
    previews = synthetic.previews(table)
    made = page_of(
        study="planted", table=table, verdict=decide_study(table), previews=previews,
        aggregates={model: synthetic.aggregate(decoded=True) for model in previews},
        provenance={"versions": {"torch": "9.9"}}, config_text="loss: elbo\n", skipped={"inception": "no weights"},
        known_as={"prior": "torch.randn"},
        studied=Studied("image", [DataFacts("planted", "grey images", (100, 20, 30))], ["MLP"], "2026-01-01"),
    )  # fmt: skip
    return write_page(made, tmp_path_factory.mktemp("images"))


def test_the_chart_is_drawn_and_can_be_heard(page: Path, opened: Callable[..., Opened]) -> None:
    shown = opened(page)
    shown.page.wait_for_selector("#quality-chart svg")
    assert shown.said == [] and shown.asked == []
    labels = shown.page.eval_on_selector_all(
        "#quality-chart [aria-label]", "found => found.map(one => one.ariaLabel)"
    )
    assert any("sampler: gmm" in label for label in labels) and any(
        "sampler: prior" in label for label in labels
    )
    assert any(label.startswith("FID") and "smaller is better" in label for label in labels)


def test_a_failing_script_is_noticed(page: Path, tmp_path: Path, opened: Callable[..., Opened]) -> None:
    """Negative control."""
    broken = tmp_path / "broken.html"
    broken.write_text(
        page.read_text(encoding="utf-8").replace('vegaEmbed("#quality-chart"', 'nothing("#quality-chart"')
    )
    shown = opened(broken)
    assert shown.said and not shown.page.query_selector("#quality-chart svg")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("light", LIGHTS)
@pytest.mark.parametrize("which", ["page", "images"])
def test_axe_finds_nothing(
    which: str, light: str, width: int, request: pytest.FixtureRequest, opened: Callable[..., Opened]
) -> None:
    shown = opened(request.getfixturevalue(which), width, light)
    shown.page.wait_for_selector("#quality-chart svg")
    shown.unfold()
    assert shown.violations() == []
    assert shown.said == [] and shown.asked == []
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width, "no scrolling sideways"


def test_axe_finds_what_is_wrong(images: Path, tmp_path: Path, opened: Callable[..., Opened]) -> None:
    """Negative controls: faint text in the dark, and a picture without words."""
    text = images.read_text(encoding="utf-8")
    faint = tmp_path / "faint.html"
    faint.write_text(text.replace("--soft: #adb7c4", "--soft: #2c3138"), encoding="utf-8")
    assert any(line.startswith("color-contrast") for line in opened(faint, light="dark").violations())
    assert opened(faint, light="light").violations() == []
    silent = tmp_path / "silent.html"
    silent.write_text(text.replace('alt="', 'data-alt="'), encoding="utf-8")
    assert any(line.startswith("image-alt") for line in opened(silent).violations())


def test_words_explain_themselves_by_keyboard(images: Path, opened: Callable[..., Opened]) -> None:
    shown = opened(images).page
    word = shown.locator("a.term", has_text="aggregate posterior").first
    word.focus()
    tip = shown.locator("#tip")
    assert tip.is_visible() and "mixture of the posteriors of all images" in (tip.text_content() or "")
    assert word.get_attribute("aria-describedby") == "tip"
    shown.keyboard.press("Escape")
    assert not tip.is_visible()
    shown.keyboard.press("Enter")
    assert shown.url.endswith("#term-aggregate-posterior")
    assert shown.locator("#term-aggregate-posterior").is_visible()


def test_tables_sort_by_keyboard(images: Path, opened: Callable[..., Opened]) -> None:
    shown = opened(images).page
    table = shown.locator("#quality ~ div.scroll table, section[aria-labelledby=quality] table").first
    head = table.locator("thead th").nth(1)

    def values() -> list[float]:
        texts = table.locator("tbody tr td:nth-child(2)").all_text_contents()
        return [float(text.split(" ")[0].replace(",", "")) for text in texts if text[0].isdigit()]

    before = values()
    assert head.get_attribute("aria-sort") is None and before != sorted(before)
    head.locator("button").focus()
    shown.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending" and values() == sorted(before)
    shown.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "descending" and values() == sorted(before, reverse=True)
    assert "Fréchet distance" in (shown.locator("#tip").text_content() or ""), "a head says what it measures"


def test_what_is_absent_is_last_and_words_sort_as_words(images: Path, opened: Callable[..., Opened]) -> None:
    shown = opened(images).page
    table = shown.locator("section[aria-labelledby=copying] table").first
    label = table.locator("thead th").last

    def texts() -> list[str]:
        return [text.strip() for text in table.locator("tbody tr td:last-child").all_text_contents()]

    for first_is in ("reconstructive", "reconstructive"):  # up and down
        label.locator("button").focus()
        shown.keyboard.press("Enter")
        assert texts()[0] == first_is and set(texts()[1:]) == {"–"}
    table.locator("thead th button").first.click()
    names = table.locator("tbody tr").evaluate_all("rows => rows.map(row => row.dataset.sampler)")
    assert names == sorted(names)
    models = shown.locator("section[aria-labelledby=latent] table").first
    assert models.locator("button").count() == 0, "rows of several measures have no order"


def test_one_box_filters_all_samplers(images: Path, opened: Callable[..., Opened]) -> None:
    shown = opened(images).page
    everything = shown.locator("tr[data-sampler]:visible").count()
    shown.get_by_label("Show samplers with").fill("gau")
    left = shown.locator("tr[data-sampler]:visible")
    names = set(left.evaluate_all("rows => rows.map(row => row.dataset.sampler)"))
    assert names == {"gaussian_full"} and 0 < left.count() < everything
    assert "1 of 7 samplers" in (shown.locator(".tools output").text_content() or "")
    shown.get_by_label("Show samplers with").fill("")
    assert shown.locator("tr[data-sampler]:visible").count() == everything


def test_a_sampler_is_chosen_to_stand_beside_real_images(images: Path, opened: Callable[..., Opened]) -> None:
    shown = opened(images).page
    tiles = shown.locator("figure[data-sampler]:visible")
    assert tiles.count() == len(synthetic.FID)
    choice = shown.get_by_label("Beside real images")
    choice.focus()
    shown.keyboard.press("ArrowDown")
    chosen = choice.input_value()
    assert chosen and tiles.evaluate_all("all => all.map(one => one.dataset.sampler)") == [chosen]


def test_without_scripts_everything_is_there(images: Path, opened: Callable[..., Opened]) -> None:
    shown = opened(images, java_script_enabled=False).page
    assert not shown.locator(".tools").is_visible()
    assert shown.locator("tr[data-sampler]:visible").count() > 20
    assert shown.locator("figure[data-sampler]:visible").count() == len(synthetic.FID)
    head = shown.locator("section[aria-labelledby=quality] thead th a.term").first
    assert head.get_attribute("href") == "#term-sampler" and shown.locator("#term-sampler").is_visible()


def test_the_plane_is_decoded_by_pointer_and_by_keyboard(images: Path, opened: Callable[..., Opened]) -> None:
    shown = opened(images).page
    plane = shown.locator(".plane").first
    decoded = plane.locator(".decoded")

    def pixels() -> list[int]:
        """Where the picture's white dot is, in sixteenths of its width and height."""
        return decoded.evaluate(
            """async (box) => {
              const image = box.querySelector("img"), view = document.createElement("canvas");
              await image.decode();
              view.width = view.height = 16;
              const draw = view.getContext("2d"), at = (name) => Math.round(-parseFloat(image.style[name]) / 100);
              draw.drawImage(image, 16 * at("left"), 16 * at("top"), 16, 16, 0, 0, 16, 16);
              const found = [...draw.getImageData(0, 0, 16, 16).data].findIndex((v, i) => i % 4 === 0 && v > 128) / 4;
              return [found % 16, Math.floor(found / 16)];
            }"""
        )

    def place(across: float, up: float) -> list[int]:
        return [round((value + 3.5) / 7 * 15) for value in (across, -up)]

    assert decoded.get_attribute("aria-label") == "Decoded: unit 5 at 0.0, unit 4 at 0.0"
    assert pixels() == place(0, 0)
    plane.get_by_role("slider", name="unit 5").focus()
    shown.keyboard.press("End")
    assert plane.get_by_role("slider", name="unit 5").get_attribute(
        "aria-valuetext"
    ) == "3.5" and pixels() == place(3.5, 0)
    plane.get_by_role("slider", name="unit 4").focus()
    shown.keyboard.press("Home")
    assert decoded.get_attribute("aria-label") == "Decoded: unit 5 at 3.5, unit 4 at -3.5"
    assert pixels() == place(3.5, -3.5)
    for field in (plane.locator(".field").nth(0), plane.locator(".field").nth(1)):
        field.scroll_into_view_if_needed()
        box = field.bounding_box()
        assert box
        shown.mouse.move(box["x"] + 0.02 * box["width"], box["y"] + 0.02 * box["height"])
        assert pixels() == place(-3.5, 3.5), "left and up"
        shown.mouse.move(box["x"] + 0.98 * box["width"], box["y"] + 0.5 * box["height"])
        assert pixels() == place(3.5, 0)


def test_a_unit_opens_by_keyboard(images: Path, opened: Callable[..., Opened]) -> None:
    shown = opened(images).page
    unit = shown.locator("details.unit").first
    assert not unit.locator("svg").is_visible()
    unit.locator("summary").focus()
    shown.keyboard.press("Enter")
    assert unit.locator("svg").is_visible() and unit.locator("img.sprite").is_visible()
    assert "unit 0" in (unit.locator("summary").text_content() or ""), (
        "the unit with the largest rate is the first"
    )
