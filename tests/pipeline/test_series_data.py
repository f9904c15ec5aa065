"""Time series end to end: drawn sines, and windows of a table as a shell hands it over."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_study import TINY, invoke

from priorgap.core import artifacts

FEW = tuple(o for o in TINY if not o.startswith(("sampler=", "metric", "reference", "calib")))
SMALL = (
    "model=mlp", "likelihood=gaussian", "sampler=[prior,posterior,gaussian_full]", "metric=[rate,fid]",
    "reference.n_repeats=3", "features=[pixels]", "verdict.space=pixels", "tracking=off", "study=own",
)  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def facts(folder: Path, name: str) -> dict:
    (found,) = [
        artifacts.load_json(file) for file in (folder / "outputs/data").glob(f"{name}-*/dataset.json")
    ]
    return found


def drawn(folder: Path) -> np.ndarray:
    """What the model generates."""
    chosen = f"model_id={next((folder / 'outputs/own/train').iterdir()).name.rsplit('-', 1)[-1]}"
    assert invoke("generate", "study=own", chosen, "sampler=gaussian_full", "n=20", "out=v.npz") == 0
    with np.load("v.npz") as arrays:
        return np.array(arrays["x"])


def test_sines(here):
    sizes = ("data.source.n_train=300", "data.source.n_validation=80", "data.source.n_test=100")
    spaces = ("features=[pixels,classifier]", "reference.classifier.epochs=1")
    assert invoke("run", "data=sines", *FEW, *SMALL, *sizes, *spaces) == 0
    assert facts(here, "sines")["kind"] == "float_sequence"
    results = (here / "outputs/own/report/results.csv").read_text()
    assert ",fid,pixels," in results and ",fid,classifier," in results
    assert drawn(here).shape == (20, 24, 3)


@pytest.mark.parametrize("name", ["tcn", "gru"])
def test_models_of_series(here, name):
    sizes = ("data.source.n_train=200", "data.source.n_validation=60", "data.source.n_test=80")
    order = ("run", "data=sines", *FEW, *SMALL, *sizes, f"model={name}", "model.hidden=8", "calibrate=both")
    assert invoke(*order) == 0
    report = here / "outputs/own/report"
    results = pd.read_csv(report / "results.csv", keep_default_na=False)
    rates = results[(results.measure == "rate") & (results.unit == "")]
    assert list(rates.calibrate) == [False, True] and bool((rates.value.astype(float) > 0).all())
    # a draw from an observation's posterior is the same series before and after calibration, up to rounding
    fids = results[(results.measure == "fid") & (results.sampler == "posterior")].value.astype(float)
    assert len(fids) == 2 and fids.iloc[0] == pytest.approx(fids.iloc[1], rel=1e-5)
    assert drawn(here).shape == (20, 24, 3)
    # the same command finds all of it done
    before = (report / "results.csv").read_text()
    assert invoke(*order) == 0
    assert (report / "results.csv").read_text() == before


def test_windows(here):
    rng = np.random.default_rng(0)
    time = pd.date_range("2020-01-01", periods=400, freq="D")
    rows = [
        pd.DataFrame(
            {
                "the day": time,
                "town": town,
                "temp (C)": 80 + 20 * rng.normal(size=400),
                "wind": rng.normal(size=400),
            }
        )
        for town in ("A", "B")
    ]
    table = pd.concat(rows)
    table.to_csv("x (1).csv", index=False)
    order = (
        "run", "data=windows", "data.path=~/x (1).csv", "data.time=the day", "data.entity=town", *FEW, *SMALL,
        "data.n_past=4", "data.n_future=2",
    )  # fmt: skip
    assert invoke(*order) == 0
    found = facts(here, "windows")
    assert found["kind"] == "float_sequence" and found["provenance"]["columns"] == ["temp (C)", "wind"]
    # 280, 40 and 80 rows of each town; 5 starts less
    assert found["provenance"]["sizes"] == [550, 70, 150]
    # written in the file's units, by the names of its columns
    made = drawn(here)
    assert made.shape == (20, 6, 2) and made.dtype == np.float32
    assert 60 < made[..., 0].mean() < 100 and made[..., 0].std() > 5 and abs(made[..., 1].mean()) < 1
    card = (here / "v.npz.card.md").read_text()
    assert "- temp (C)" in card and "units: those of the data's file" in card
    # another content of the file is another data set
    table.to_csv("x (1).csv", index=False, float_format="%.3f")
    assert invoke("prepare", *order[1:], "data.values=temp (C)") == 0
    kept = [artifacts.load_json(file) for file in (here / "outputs/data").glob("windows-*/dataset.json")]
    digest = artifacts.file_digest(here / "x (1).csv")
    assert [one["provenance"]["columns"] for one in kept if one["provenance"]["sha256"] == digest] == [
        ["temp (C)"]
    ]


def test_a_drift_is_not_taken_for_copying(here):
    """Validation and test rows are later ones: honest draws are nearer to training rows than those are."""
    rng = np.random.default_rng(0)
    t = np.arange(900)
    table = pd.DataFrame(
        {"a": t / 200 + rng.normal(size=900), "b": np.sin(t / 9) + 0.3 * rng.normal(size=900)}
    )
    table.to_csv("drift.csv", index=False)
    order = (
        "run", "data=windows", "data.path=drift.csv", "data.n_past=6", "data.n_future=2", *FEW, *SMALL,
        "metric=[rate,fid,copying,copy_shares,series]", "metrics.copying.n_queries=60",
        "metrics.copying.quantile=0.1", "trainer.max_epochs=3",
    )  # fmt: skip
    assert invoke(*order) == 0
    report = here / "outputs/own/report"
    results = pd.read_csv(report / "results.csv", keep_default_na=False)
    shares = results[(results.measure == "train_share") & (results.sampler == "gaussian_full")]
    assert set(shares.unit) == {"null unknown"} and float(shares.value.iloc[0]) > 0.6
    labels = {
        label for cell in artifacts.load_json(report / "verdict.json")["cells"] for label in cell["labels"]
    }
    assert "gaussian_full" not in labels and "prior" not in labels
    page = (report / "report.html").read_text()
    assert "Held-out rows lie elsewhere than training rows" in page and "autocorrelation distance" in page
    # two columns, three samplers, the whole beside each
    distances = results[results.measure == "autocorrelation_distance"]
    assert sorted(set(distances.unit)) == ["", "0", "1"] and len(distances) == 9


def test_what_cannot_be_cut_is_one_line(here, capsys):
    pd.DataFrame({"t": [1, 2, 2], "a": [1.0, 2.0, 4.0]}).to_csv("a.csv", index=False)
    assert invoke("run", "data=windows", "data.path=a.csv", "data.time=t", *FEW, *SMALL) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "data.time=t: 1 row repeats the time of another" in said and "Traceback" not in said
