"""The time that measures will take is told from what they took."""

from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest

from priorgap.core import artifacts
from priorgap.pipeline.config.plan import Step, Subject, Version
from priorgap.pipeline.store import records
from priorgap.pipeline.store.layout import Store, Values
from priorgap.pipeline.sweep.estimate import expected_time

CONFIG = {
    "verdict": {"measure": "fid", "space": "pixels", "baseline": "prior", "level": 0.95},
    "numerics": {},
    "n_samples": 100,
    "seed": 0,
}


def step(study: str, name: str) -> Step:
    path = PurePosixPath(study, "measure", "model", "prior", name)
    metric, _, space = name.partition("@")
    return Step("measure", path, name, {}, (), Version(1), 0, Subject("model", "prior", metric, space))


def earlier(store: Store, study: str, data: str, metric: str, seconds: float) -> None:
    store.publish(step(study, metric), "key", Values({"rows": [], "skipped": None}), seed=0, seconds=seconds)
    config = {**CONFIG, "study": study, "data": {"name": data}}
    records.write(records.Record(study, "a", "a", config), store)


def told(store: Store, *names: str, data: str = "digits", study: str = "new") -> str:
    cell = SimpleNamespace(config={"data": {"name": data}, "n_samples": 100})
    steps = tuple(step(study, name) for name in names)
    plan = SimpleNamespace(cells=(cell,), models=(SimpleNamespace(measures=steps),))
    return expected_time(plan, store)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_the_same_data_come_first_then_any_then_none(store):
    for study, data, seconds in (("a", "digits", 10.0), ("b", "digits", 30.0), ("c", "mnist", 600.0)):
        earlier(store, study, data, "fid@classifier", seconds)
    earlier(store, "c", "mnist", "kl", 40.0)
    assert told(store, "fid@classifier") == "1 measure to take, about 20 s by earlier runs"
    assert "about 10 min" in told(store, "fid@classifier", data="mnist")
    line = told(store, "fid@classifier", "kl", "vendi@classifier")
    assert line == "3 measures to take, about 60 s by earlier runs and what 1 take that were never timed here"


def test_nothing_to_say_when_all_is_done(store, tmp_path):
    earlier(store, "a", "digits", "kl", 1.0)
    assert told(store, "kl", study="a") == ""
    assert told(Store(tmp_path / "elsewhere"), "kl") == "1 measure to take"


@pytest.mark.parametrize("seconds", ["ten", None, float("inf")])
def test_a_time_from_elsewhere_that_is_none_is_no_result(store, seconds):
    earlier(store, "a", "digits", "fid@classifier", 10.0)
    file = store.root / "a/measure/model/manifest.json"
    manifest = artifacts.load_json(file)
    manifest["entries"]["prior/fid@classifier"]["provenance"]["seconds"] = seconds
    artifacts.write_text(file, artifacts.json.dumps(manifest))
    assert told(store, "fid@classifier") == "1 measure to take"
