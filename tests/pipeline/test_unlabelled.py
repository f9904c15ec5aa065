"""Data without labels, at the defaults: clusters give the feature space, and the report says so."""

import json

import numpy as np
import pytest
from tiny_study import TINY, invoke

WORDS = (
    *(word for word in TINY if not word.startswith("metric")),
    "metric=[rate,fid]",
    "tracking=off",
    "study=own",
)


@pytest.mark.parametrize("labelled", [False, True])
def test_an_archive_of_images_is_studied_as_it_is(tmp_path, monkeypatch, labelled):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    kind = np.arange(300) % 3
    images = np.clip(rng.normal(60 + 60 * kind[:, None, None], 20, (300, 8, 8)), 0, 255).astype(np.uint8)
    np.savez("mine.npz", x=images, **({"y": kind} if labelled else {}))
    assert invoke("run", "data=npz", "data.path=mine.npz", *WORDS) == 0
    report = tmp_path / "outputs/own/report"
    assert ",fid,classifier," in (report / "results.csv").read_text(encoding="utf-8")
    health = json.loads((report / "verdict.json").read_text(encoding="utf-8"))["health"]
    said = [one["sentence"] for one in health if one["name"] == "no_labels"]
    assert len(said) == (0 if labelled else 1)
    assert labelled or "clusters of the training rows" in said[0]
