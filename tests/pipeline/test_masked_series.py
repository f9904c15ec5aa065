"""Series with gaps end to end: from a file with gaps to a generated one, and every measure on the way."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_study import TINY, invoke

FEW = tuple(
    o for o in TINY if not o.startswith(("sampler=", "metric", "reference", "calib", "data", "model"))
)
WINDOWS = ("data=windows", "data.path=x.csv", "data.missing=mask", "data.n_past=4", "data.n_future=2")
MASKED = ("likelihood=gaussian_with_gaps", "decode=draw")
MODEL = ("model=mlp", "model.hidden=[32]", "model.latent_dim=4", "trainer.max_epochs=20")
MEASURES = (
    "rate", "elbo", "reconstruction", "step_marginals", "autocorrelation", "cross_correlation", "spectrum",
    "series_floors", "detection", "copy_shares", "copying",
)  # fmt: skip
ORDER = (
    "run", *FEW, *WINDOWS, *MODEL, *MASKED, "sampler=[prior,gaussian_full]", "features=[pixels]",
    "verdict.space=pixels", "verdict.measure=step_marginal_distance", "reference.n_repeats=3", "tracking=off",
    "study=own",
)  # fmt: skip
SHARE = 0.3


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def table(*, n: int = 1200, until: int | None = None) -> pd.DataFrame:
    """Two columns, of which the first has gaps at random, up to a row."""
    rng = np.random.default_rng(0)
    values = np.convolve(rng.normal(size=n + 4), np.ones(5) / 5, "valid")
    rows = pd.DataFrame({"load (kW)": 500 + 100 * values, "wind": rng.normal(size=n)})
    gone = rng.random(n) < SHARE
    gone[n if until is None else until :] = False
    rows.loc[gone, "load (kW)"] = np.nan
    return rows


def generate(out: str, **more: str) -> None:
    words = [f"{key}={value}" for key, value in more.items()]
    assert invoke("generate", "study=own", "sampler=prior", "n=400", f"out={out}", *words) == 0


@pytest.mark.e2e
def test_from_a_file_with_gaps_to_a_file_with_gaps(here):
    rows = table()
    rows.to_csv("x.csv", index=False)
    assert invoke(*ORDER, f"metric=[{','.join(MEASURES)}]", "calibrate=both") == 0
    results = pd.read_csv("outputs/own/report/results.csv", keep_default_na=False)
    measured = set(results.measure)
    assert {
        "step_marginal_distance", "autocorrelation_distance", "cross_correlation_distance", "spectrum_distance",
        "step_marginal_floor", "detection_auc", "identical_share", "near_copy_excess", "explained_share", "elbo",
    } <= measured  # fmt: skip
    units = set(results[results.measure == "step_marginal_distance"].unit.astype(str))
    assert units == {"", "0", "1", "2"}
    page = Path("outputs/own/report/report.html").read_text()
    assert "Lines break where values are missing" in page
    # in the file's units and columns, without indicators
    generate("o.csv")
    made = pd.read_csv("o.csv")
    assert list(made.columns) == [f"x{i}" for i in range(12)]
    load, wind = made.iloc[:, 0::2].to_numpy(), made.iloc[:, 1::2].to_numpy()
    assert not np.isnan(wind).any() and abs(np.isnan(load).mean() - SHARE) < 0.06
    assert abs(np.nanmean(load) - 500) < 25 and abs(np.nanstd(load) / rows["load (kW)"].std() - 1) < 0.25
    generate("o.npz")
    with np.load("o.npz") as arrays:
        x = np.array(arrays["x"])
    assert x.shape == (400, 6, 2) and x.dtype == np.float32
    np.testing.assert_allclose(x.reshape(400, -1), made.to_numpy(), rtol=1e-5)
    generate("o.parquet")
    flat = np.stack(pd.read_parquet("o.parquet")["x"].to_numpy())
    np.testing.assert_array_equal(flat, x.reshape(400, -1))
    card = Path("o.npz.card.md").read_text()
    assert "columns:\n- load (kW)\n- wind\n" in card and "gaps:\n- load (kW)\n" in card
    assert (
        "Values of load (kW) may be missing: empty in .csv, NaN elsewhere." in card and "vanish" not in card
    )
    # decoding means has no gaps where they are rarer than values
    generate("mean.npz", decode="mean")
    with np.load("mean.npz") as arrays:
        assert np.isnan(arrays["x"]).mean() < 0.05
    assert "Gaps rarer than values vanish" in Path("mean.npz.card.md").read_text()


def test_a_column_whose_gaps_the_test_does_not_have_is_measured(here):
    table(until=900).to_csv("x.csv", index=False)
    assert invoke(*ORDER, "metric=[step_marginals,autocorrelation,detection,series_floors,mdd]") == 0
    results = pd.read_csv("outputs/own/report/results.csv", keep_default_na=False)
    units = results[results.measure == "step_marginal_distance"].unit.astype(str)
    assert set(units) == {"", "0", "1"}
    assert {"step_marginal_floor", "detection_auc", "autocorrelation_distance"} <= set(results.measure)


@pytest.mark.e2e
def test_a_study_of_means_alone_is_told_that_gaps_vanish(here, caplog):
    table().to_csv("x.csv", index=False)
    words = [word for word in ORDER if not word.startswith(("decode", "study"))]
    for study, rules, warned in (("alone", "mean", True), ("both", "[mean,draw]", False)):
        assert invoke(*words, f"decode={rules}", f"study={study}", "metric=[step_marginals]") == 0
        assert ("decode=mean: a value is missing where that is the likelier" in caplog.text) == warned
        caplog.clear()
    # the measure finds the lack: the mean's is the greater distance
    results = pd.read_csv("outputs/both/report/results.csv", keep_default_na=False)
    found = results[
        (results.measure == "step_marginal_distance") & (results.sampler == "prior") & (results.unit == "2")
    ]
    by_rule = dict(zip(found.decode, found.value.astype(float), strict=True))
    assert by_rule["mean"] > 2 * by_rule["draw"]


def test_forecasts_of_windows_with_gaps(here):
    table().to_csv("x.csv", index=False)
    told = tuple(word for word in ORDER if not word.startswith("model"))
    assert invoke(*told, "model=forecast_mlp", "model.hidden=[32]", "metric=[rate,step_marginals]") == 0
    generate("o.npz")
    with np.load("o.npz") as arrays:
        x = np.array(arrays["x"])
    # pasts are those of test windows, with their gaps; futures have drawn ones
    assert np.isnan(x[:, :4, 0]).any() and abs(np.isnan(x[:, 4:, 0]).mean() - SHARE) < 0.1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("likelihood=gaussian",), "likelihood=gaussian: the windows have missing-indicators (data.missing=mask); "
         "expected likelihood=gaussian_with_gaps"),
        (("likelihood=student_t",), "expected likelihood=gaussian_with_gaps"),
        (("data.missing=drop",), "likelihood=gaussian_with_gaps: the data have no missing-indicators; expected "
         "data=windows with data.missing=mask"),
        (("data.missing=error",), "expected none, or data.missing=interpolate, drop or mask"),
        (("likelihood.min_sigma=0",), "likelihood.min_sigma=0"),
        (("model=gan_mlp", "sampler=prior"), "those of likelihood=gaussian_with_gaps have no gradient"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(here, capsys, words, message):
    table().to_csv("x.csv", index=False)
    keys = {word.split("=")[0] for word in words}
    kept = [
        word for word in ORDER
        if word.split("=")[0] not in keys and not ("model" in keys and word.startswith("model."))
    ]  # fmt: skip
    assert invoke(*kept, *words, "metric=[fid]") != 0
    said = capsys.readouterr().err
    line = next(line for line in said.splitlines() if message in line)
    assert line.startswith("priorgap: ") and not Path("outputs/own/train").exists()
