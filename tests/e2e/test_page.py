"""The page as a browser shows it: charts are drawn, nothing is fetched, no script fails."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from priorgap import compare

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium here"),
]


def shown(page: Path, profile: Path) -> tuple[str, str]:
    """Return the page's elements once its scripts have run, and what the browser had to say."""
    words = (
        "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
        "--enable-logging=stderr", "--v=0",
        "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=5000", "--dump-dom",
    )  # fmt: skip
    done = subprocess.run(
        [CHROMIUM, *words, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout, done.stderr


def console(said: str) -> list[str]:
    return re.findall(r".*CONSOLE.*", said)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 2, generator=generator) @ torch.randn(2, 5, generator=generator)
    basis = torch.linalg.svd(x, full_matrices=False)[2][:2]
    result = compare(
        lambda x: (x @ basis.T, torch.full((len(x), 2), -4.0)), lambda z: z @ basis, x[:300], x[300:],
        samplers=["prior", "gmm"], metrics=["rate", "fid"], features="pixels",
    )  # fmt: skip
    return result.to_html(tmp_path_factory.mktemp("page") / "page.html")


def test_the_chart_is_drawn_and_can_be_heard(page, tmp_path):
    elements, said = shown(page, tmp_path)
    assert console(said) == []
    (chart,) = re.findall(r'<div id="quality-chart".*?</svg>', elements, re.DOTALL)
    labels = re.findall(r'aria-label="([^"]*)"', chart)
    assert any("sampler: gmm" in label for label in labels) and any(
        "sampler: prior" in label for label in labels
    )
    assert any(label.startswith("FID") and "smaller is better" in label for label in labels)


def test_a_failing_script_is_noticed(page, tmp_path):
    """Negative control."""
    broken = tmp_path / "broken.html"
    broken.write_text(
        page.read_text(encoding="utf-8").replace('vegaEmbed("#quality-chart"', 'nothing("#quality-chart"')
    )
    elements, said = shown(broken, tmp_path / "profile")
    assert console(said) and "sampler: gmm" not in re.sub(
        r"<script>.*?</script>", "", elements, flags=re.DOTALL
    )
