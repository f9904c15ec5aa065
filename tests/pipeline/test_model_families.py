"""Conditional VAE, autoencoder and GAN from the command line to the report: what is there, why the rest is not."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from tiny_study import invoke, model, run_tiny, shelf

from priorgap import compare
from priorgap.data.splits import load_dataset
from priorgap.pipeline import models

FAST = ("features=[pixels]", "verdict.space=pixels", "tracking=off", "n_samples=60")


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "outputs/tiny/report/results.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def reasons(folder: Path, place: str) -> dict[str, str]:
    entries = shelf(folder, "measure", model(folder).id).entries
    found = {
        name.rpartition("/")[2].partition("@")[0]: entry.value.get("skipped")
        for name, entry in entries.items()
        if name.startswith(f"{place}/") and entry.value is not None
    }
    return {name: reason for name, reason in found.items() if reason is not None}


@pytest.fixture(scope="module")
def conditional(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("conditional")
    chosen = "sampler=[prior,posterior,gaussian_full,per_class_gaussian_full]"
    assert run_tiny(folder, "model=conditional_mlp", "calibrate=both", chosen, *FAST) == 0
    return folder


def test_every_draw_of_a_conditional_model_has_a_label(conditional):
    found = {
        (r["sampler"], r["calibrate"]): r["label_source"]
        for r in rows(conditional)
        if r["measure"] == "accuracy_real_to_synthetic"
    }
    names = ("prior", "gaussian_full", "per_class_gaussian_full")
    expected = {(name, c): "condition" for name in names for c in ("False", "True")}
    assert found == {**expected, ("posterior", "False"): "source", ("posterior", "True"): "source"}
    assert {"rate", "elbo", "kl_diag"} <= {r["measure"] for r in rows(conditional)}


@pytest.mark.parametrize("sampler", ["prior", "posterior"])
def test_generate_writes_the_labels_that_were_decoded(conditional, monkeypatch, tmp_path, sampler):
    monkeypatch.chdir(conditional)
    order = ("study=tiny", f"sampler={sampler}", f"model_id={model(conditional).id}", "n=40")
    for name in ("a", "b"):
        assert invoke("generate", *order, f"out={tmp_path / name}.npz") == 0
    with np.load(tmp_path / "a.npz") as a, np.load(tmp_path / "b.npz") as b:
        assert a["y"].shape == (40,) and len(set(a["y"].tolist())) > 4
        assert (a["x"] == b["x"]).all() and (a["y"] == b["y"]).all()


def test_compare_gives_a_conditional_model_the_pipelines_numbers(conditional):
    folder = next(p for p in sorted((conditional / "outputs/tiny/train").iterdir()))
    trained = models.load(folder)
    dataset = load_dataset(next((conditional / "outputs/data").glob("digits-*")))
    found = compare(
        trained.encode, trained.decode, dataset.train, dataset.test, validation=dataset.validation,
        samplers=["prior", "posterior", "per_class_gaussian_full"], metrics=["rate", "fid"], features="pixels",
        n=60,
    )  # fmt: skip
    expected = {
        (r["sampler"], r["measure"], r["unit"]): r["value"]
        for r in rows(conditional)
        if r["calibrate"] == "False" and r["sampler"] != "gaussian_full" and r["measure"] in ("rate", "fid")
    }
    assert expected == {
        (r["sampler"], r["measure"], str(r["unit"])): f"{r['value']:.10g}"
        for r in found.table.to_dict("records")
    }


def test_an_autoencoder_says_what_it_has_not(tmp_path):
    chosen = "sampler=[posterior,posterior_mean,gaussian_full]"
    assert run_tiny(tmp_path, "model=autoencoder_mlp", chosen, *FAST) == 0
    found = reasons(tmp_path, "_model")
    assert found["rate"] == found["elbo"] == "the encoder gives no log_var"
    assert found["decomposition"] == "the model has no prior"
    assert {r["sampler"] for r in rows(tmp_path) if r["measure"] == "fid"} == {
        "posterior", "posterior_mean", "gaussian_full"
    }  # fmt: skip


def test_a_gan_is_sampled_from_its_prior_and_says_what_it_has_not(tmp_path, monkeypatch):
    # `hidden` is the tiny study's: the GAN keeps the same networks
    assert run_tiny(tmp_path, "model=gan_mlp", "sampler=[prior,tempered_prior]", *FAST) == 0
    assert set(reasons(tmp_path, "_model").values()) == {"the model has no encoder"}
    assert reasons(tmp_path, "prior")["copying"] == "the model has no encoder"
    measured = {(r["sampler"], r["measure"]) for r in rows(tmp_path)}
    assert {("prior", "fid"), ("tempered_prior", "fid")} <= measured
    (absent,) = (tmp_path / "outputs/tiny/encode").glob("*/absent.json")
    assert json.loads(absent.read_text())["reason"] == "the model has no encoder"
    assert not list(absent.parent.glob("*.safetensors"))
    monkeypatch.chdir(tmp_path)
    assert invoke("generate", "study=tiny", "sampler=prior", "n=10", "out=x.npz") == 0


LINEAR = ("data=linear_gaussian", "sampler=[prior]", *FAST)
REFUSED = {
    "a GAN's posterior": (("model=gan_mlp", "sampler=[prior,posterior]"), "posterior: the model has no encoder"),
    "a GAN fitted": (("model=gan_mlp", "sampler=[gmm]"), "gmm: the model has no encoder"),
    "an autoencoder's prior": (("model=autoencoder_mlp", "sampler=[prior,gmm]"), "prior: the model has no prior"),
    "an autoencoder's s": (
        ("model=autoencoder_mlp", "sampler=[gmm,literal_log_var]"), "literal_log_var: the encoder gives no log_var"
    ),
    "a GAN calibrated": (("model=gan_mlp", "sampler=[prior]", "calibrate=true"), "calibrate=True"),
    "a GAN stopped early": (("model=gan_mlp", "sampler=[prior]", "trainer.patience=2"), "trainer.patience=2"),
    "an adversary": (("model=gan_mlp", "sampler=[prior]", "model.adversary.r1=-1"), "r1=-1"),
    "no labels": (("model=conditional_mlp", *LINEAR), "no labels"),
    "a GAN's draw of x": (("model=gan_mlp", "sampler=[prior]", "decode=draw"), "decode=draw: a GAN has no p(x|z)"),
    "labels and pseudo-inputs": (
        ("model=conditional_mlp", "prior=vamp", "sampler=[prior]"), "prior=vamp: its pseudo-inputs have no label"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_invalid_pairs_are_refused_before_anything_is_done(case, run, tmp_path, capsys):
    arguments, words = REFUSED[case]
    assert run("run", *arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("priorgap: ") and err.count("\n") == 1 and words in err, err
    assert list(tmp_path.iterdir()) == []


def test_a_class_that_training_lacks_is_refused_before_training(run, tmp_path, capsys):
    x = np.random.default_rng(0).integers(0, 256, (90, 8, 8), dtype=np.uint8)
    y = np.arange(90) % 2
    y[60:] = 2
    np.savez(tmp_path / "own.npz", x_train=x[:60], y_train=y[:60], x_test=x[60:], y_test=y[60:])
    before = sorted(p.name for p in tmp_path.iterdir())
    status = run("run", "data=npz", "data.path=own.npz", "model=conditional_mlp", "sampler=[prior]", *FAST)
    err = capsys.readouterr().err
    assert status == 2 and err.count("\n") == 1 and "=2: a class that was never seen in training" in err, err
    assert sorted(p.name for p in tmp_path.iterdir()) == before
