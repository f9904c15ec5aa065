"""The time that measures will take is told from what they took."""

from pathlib import Path

from priorgap import artifacts
from priorgap.pipeline import costs
from priorgap.pipeline.costs import expected_time
from priorgap.pipeline.store import sealed


class Place:
    def __init__(self, root: Path) -> None:
        self.root = root


class OneCell:
    def __init__(self, data: str) -> None:
        self.config = {"data": {"name": data}, "n_samples": 100}
        self.variants = ("only",)


def earlier(root: Path, study: str, data: str, metric: str, seconds: float) -> None:
    path = root / study / "measure" / "model" / "prior" / metric
    path.parent.mkdir(parents=True, exist_ok=True)
    provenance = {"seconds": seconds}
    with artifacts.publish(path, "key", provenance=provenance) as directory:
        artifacts.save_json(directory / "measurements.json", {})
    (root / study / "cells").mkdir(exist_ok=True)
    record = {"config": {"data": {"name": data}, "n_samples": 100}}
    artifacts.save_json(root / study / "cells" / "a.json", sealed(record))


def told(root: Path, monkeypatch, *names: str, data: str = "digits") -> str:
    paths = [root / "new" / name for name in names]
    monkeypatch.setattr(costs.measure, "folders", lambda cell, variant, store: iter(paths))
    return expected_time([OneCell(data)], Place(root))


def test_the_same_data_come_first_then_any_then_none(tmp_path, monkeypatch):
    for study, data, seconds in (("a", "digits", 10.0), ("b", "digits", 30.0), ("c", "mnist", 600.0)):
        earlier(tmp_path, study, data, "fid@classifier", seconds)
    earlier(tmp_path, "c", "mnist", "kl", 40.0)
    assert told(tmp_path, monkeypatch, "fid@classifier") == "1 measures to take, about 20 s by earlier runs"
    assert "about 10 min" in told(tmp_path, monkeypatch, "fid@classifier", data="mnist")
    line = told(tmp_path, monkeypatch, "fid@classifier", "kl", "vendi@classifier")
    assert line == "3 measures to take, about 60 s by earlier runs; never timed here: vendi"


def test_nothing_to_say_when_all_is_done(tmp_path, monkeypatch):
    earlier(tmp_path, "a", "digits", "kl", 1.0)
    done = tmp_path / "a" / "measure" / "model" / "prior" / "kl"
    monkeypatch.setattr(costs.measure, "folders", lambda cell, variant, store: iter([done]))
    assert expected_time([OneCell("digits")], Place(tmp_path)) == ""
    assert "never timed here: kl" in told(tmp_path / "elsewhere", monkeypatch, "kl")
