"""A user's own data end to end: vectors, arrays without labels, a folder of images, convolutions."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_study import TINY, invoke

pytestmark = pytest.mark.slow

PIXELS = ("features=[pixels]", "verdict.space=pixels", "tracking=off", "seed=0", "study=own")
SMALL = tuple(o for o in TINY if not o.startswith(("sampler=", "metric=", "model.hidden")))
SAMPLERS = "sampler=[prior,posterior,gaussian_full,per_class_gaussian_full]"


@pytest.fixture
def images() -> np.ndarray:
    rows = np.random.default_rng(0).integers(0, 256, (300, 1, 1, 8), dtype=np.uint8)
    return np.repeat(rows, 8, axis=2)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report(folder: Path) -> str:
    return (folder / "outputs/own/report/results.csv").read_text()


def test_vectors(here, capsys):
    sizes = ("data.source.n_train=300", "data.source.n_validation=100", "data.source.n_test=100")
    assert invoke("run", "data=linear_gaussian", "model=linear", *SMALL, *PIXELS, SAMPLERS, *sizes) == 0
    assert ",fid,pixels," in report(here)
    # two epochs: no model that anything is taken from unasked
    chosen = f"model_id={next(Path('outputs/own/train').iterdir()).name.rsplit('-', 1)[-1]}"
    assert invoke("generate", "study=own", chosen, "sampler=gaussian_full", "n=20", "out=v.npz") == 0
    with np.load("v.npz") as arrays:
        assert arrays["x"].shape == (20, 16) and arrays["x"].dtype == np.float32
    assert invoke("generate", "study=own", chosen, "sampler=gaussian_full", "n=20", "out=v.parquet") == 0
    capsys.readouterr()
    for order, words in (
        (("sampler=gaussian_full", "out=folder"), "no images"),
        (("sampler=per_class_gaussian_full", "out=w.npz"), "does not apply"),
    ):
        assert invoke("generate", "study=own", chosen, "n=20", *order) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 2 and "WARNING: the verdict recommends no sampler" in err and words in err


def test_arrays_without_labels(here, images, capsys):
    np.savez("mine.npz", x=images)
    assert invoke("run", "data=npz", "data.path=mine.npz", *SMALL, *PIXELS, SAMPLERS) == 0
    said = capsys.readouterr().out
    assert said.count("per_class_gaussian_full has no draws: the data have no labels.") == 1
    assert "prior has no draws" not in said
    page = (here / "outputs/own/report/report.html").read_text()
    assert "label" in page and ",fid,pixels," in report(here)


def test_folder_of_images_with_classes(here, images):
    for i, image in enumerate(images):
        folder = Path("mine") / ("a" if i % 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(folder / f"{i}.png")
    assert invoke("run", "data=image_folder", "data.path=mine", *SMALL, *PIXELS, SAMPLERS) == 0
    assert "per_class_gaussian_full" in report(here)


def test_calibrated_convolutions_with_a_bernoulli(here):
    kind = ("model=conv", "likelihood=bernoulli", "calibrate=both")
    assert invoke("run", *kind, *SMALL, *PIXELS, SAMPLERS) == 0
    assert ",True" in report(here) and ",False" in report(here)
