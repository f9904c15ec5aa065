"""Forecasts end to end: draws go on from the past that they were given, from training to generated files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_study import TINY, invoke

from priorgap.data.splits import load_dataset
from priorgap.pipeline.reading import load_draws
from priorgap.pipeline.store import records
from priorgap.pipeline.store.layout import Store

FEW = tuple(o for o in TINY if not o.startswith(("sampler=", "metric", "reference", "calib")))
ORDER = (
    "run", "data=sines", "data.source.n_train=1500", "data.source.n_validation=60", "data.source.n_test=80", *FEW,
    "model=forecast_mlp", "model.n_past=16", "model.hidden=[64]", "likelihood=gaussian_by_channel",
    "trainer.max_epochs=40", "trainer.batch_size=64", "sampler=[prior,posterior,gaussian_full]",
    "metric=[rate,reconstruction,elbo,iw_bound,autocorrelation]", "metrics.iw_bound.n_images=20",
    "metrics.iw_bound.n_draws=[1,8]", "calibrate=both", "reference.n_repeats=3", "features=[pixels]",
    "verdict.space=pixels", "tracking=off", "study=own",
)  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def phase_error(x: np.ndarray, pasts: np.ndarray) -> float:
    """The median error of the futures of x as those of the sines that the pasts are of, in cycles' radians."""
    t = 2 * np.pi * np.arange(24) / 24 * 2

    def phase(steps: np.ndarray, of: slice) -> np.ndarray:
        basis = np.stack([np.sin(t[of]), np.cos(t[of])], axis=1)
        sine, cosine = np.linalg.lstsq(basis, steps[:, of, 0].T, rcond=None)[0]
        return np.arctan2(cosine, sine)

    turn = phase(x, slice(16, 24)) - phase(pasts, slice(0, 16))
    return float(np.median(np.abs((turn + np.pi) % (2 * np.pi) - np.pi)))


def test_draws_go_on_from_their_past(here) -> None:
    assert invoke(*ORDER) == 0
    results = pd.read_csv(here / "outputs/own/report/results.csv", keep_default_na=False)
    assert {"iw_bound", "elbo", "rate"} <= set(results.measure)
    page = (here / "outputs/own/report/report.html").read_text()
    assert (
        "<b>prior</b> is mode 3 of generate_new_data" in page
        and "what mode 1 of generate_new_data means" in page
    )
    # a draw from a window's posterior is the same before and after calibration, up to rounding
    found = results[(results.measure == "autocorrelation_distance") & (results.sampler == "posterior")]
    whole = found[found.unit == ""].value.astype(float)
    assert len(whole) == 2 and whole.iloc[0] == pytest.approx(whole.iloc[1], rel=1e-3)
    name = next((here / "outputs/own/train").iterdir()).name.rsplit("-", 1)[-1]
    assert invoke("generate", "study=own", f"model_id={name}", "sampler=prior", "n=60", "out=v.npz") == 0
    with np.load("v.npz") as arrays:
        x = np.array(arrays["x"])
    (folder,) = {file.parent for file in (here / "outputs/data").glob("sines-*/dataset.json")}
    test = load_dataset(folder).test.x
    # each past is that of a test window, as it is
    distance = (torch.from_numpy(x)[:, None, :16] - test[None, :, :16]).abs().amax((2, 3))
    assert float(distance.amin(1).max()) == 0 and len(set(distance.argmin(1).tolist())) > 30
    assert phase_error(x, x) < 0.4
    # negative control: another window's past
    assert phase_error(x, np.roll(x, 1, axis=0)) > 0.8
    assert "pasts of random test windows" in (here / "v.npz.card.md").read_text()


def test_the_samplers_draws_keep_their_contexts(here) -> None:
    few = [w for w in ORDER if not w.startswith(("trainer.max", "metric", "calib"))]
    assert invoke(*few, "trainer.max_epochs=1", "metric=[rate,fid]") == 0
    store = Store(here / "outputs")
    (record,) = records.records_of(store, "own")
    (model,) = record.models
    posterior, prior = (load_draws(store, model.samples[name]) for name in ("posterior", "prior"))
    # rows of 1500 + 60 + 80: a training row's own, and those of the test
    assert posterior.source is not None and posterior.context is not None and prior.context is not None
    assert torch.equal(posterior.context, posterior.source)
    assert prior.source is None and int(prior.context.min()) >= 1560 and int(prior.context.max()) < 1640


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("data=digits", "model=forecast_tcn"), "model.n_past=null: expected an integer >= 1"),
        (
            ("data=sines", "model=forecast_gru", "model.n_past=24"),
            "model.n_past=24: the data's series have 24",
        ),
        (
            ("data=sines", "model=forecast_mlp", "model.n_past=3", "trainer=batched"),
            "expected trainer=default",
        ),
        (("data=digits", "likelihood=student_t"), "expected likelihood=learned_gaussian"),
        (
            ("data=sines", "likelihood=student_t", "likelihood.nu=2"),
            "likelihood.nu=2: expected a number above 2",
        ),
    ],
    ids=["no past", "no future", "batched", "images", "nu"],
)
def test_what_does_not_fit_is_one_line(here, capsys, words, said) -> None:
    few = tuple(w for w in FEW if not w.startswith(("model=", "model.", "data=", "likelihood")))
    assert invoke("run", *few, *words) != 0
    assert any(said in line for line in capsys.readouterr().err.splitlines())
