"""compare() and the pipeline give the same numbers for the same model, data and settings."""

import csv

import pytest

from priorgap import compare
from priorgap.data.splits import Split, load_dataset
from priorgap.metrics.copying import Copying
from priorgap.pipeline import models


def test_equal_numbers(run, tmp_path):
    settings = (
        "model.latent_dim=3", "model.hidden=[16]", "trainer.max_epochs=2", "trainer.accelerator=cpu", "seed=3",
        "features=[pixels]", "verdict.space=pixels", "study=same", "tracking=off", "n_samples=90",
        "sampler=[prior,posterior,gaussian_full,gmm]", "samplers.gmm.n_components=[1,3]",
        "metric=[rate,marginal_kl,decomposition,kl,fid,kid,prdc,copying,copy_shares]",
        "metrics.copying.n_queries=60", "metrics.copying.quantile=0.05",
        "reference.classifier.epochs=1", "reference.n_repeats=3",
    )  # fmt: skip
    assert run("run", *settings) == 0
    with open("outputs/same/report/results.csv", newline="") as handle:
        pipeline = {key(row): row["value"] for row in csv.DictReader(handle)}
    (folder,) = (tmp_path / "outputs/same/train").iterdir()
    (data,) = (tmp_path / "outputs/data").iterdir()
    model, dataset = models.load(folder), load_dataset(data)
    from priorgap.samplers.ex_post import ExPostMixture

    gmm = ExPostMixture((1, 3), n_fit=20000, draws_per_image=4, max_iter=60, reg_covar=1e-6)
    metrics = ["rate", "marginal_kl", "decomposition", "kl", "fid", "kid", "prdc", Copying(60, 0.05)]
    found = compare(
        model.encode, model.decode, dataset.train, dataset.test, validation=dataset.validation,
        samplers=["prior", "posterior", "gaussian_full", gmm], metrics=metrics, features="pixels", n=90, seed=3,
    )  # fmt: skip
    library = {key(row): f"{row['value']:.10g}" for row in found.table.to_dict("records")}
    assert library.keys() == pipeline.keys()
    assert {k: v for k, v in library.items() if float(pipeline[k]) != float(v)} == {}


def key(row):
    return tuple(str(row[c]) for c in ("sampler", "measure", "space", "unit", "bound", "label_source"))


@pytest.mark.parametrize(
    ("words", "likelihood"),
    [(("model=conditional_mlp", "likelihood=bernoulli"), "bernoulli"), (("likelihood=gaussian",), "sigma")],
    ids=["conditional, bernoulli", "gaussian"],
)
def test_equal_numbers_by_both_decode_rules(run, tmp_path, words, likelihood):
    settings = (
        *words, "decode=[mean,draw]", "model.latent_dim=3", "model.hidden=[16]", "loss.alpha=20",
        "trainer.max_epochs=2", "trainer.accelerator=cpu", "seed=3", "features=[pixels]", "verdict.space=pixels",
        "study=same", "tracking=off", "n_samples=90", "sampler=[prior,posterior,posterior_heldout,gaussian_full]",
        "metric=[rate,fid,copying,copy_shares]", "metrics.copying.n_queries=60", "metrics.copying.quantile=0.05",
        "reference.classifier.epochs=1", "reference.n_repeats=3",
    )  # fmt: skip
    assert run("run", *settings) == 0
    with open("outputs/same/report/results.csv", newline="") as handle:
        pipeline = {(row["decode"], *key(row)): row["value"] for row in csv.DictReader(handle)}
    (folder,) = (tmp_path / "outputs/same/train").iterdir()
    (data,) = (tmp_path / "outputs/data").iterdir()
    model, dataset = models.load(folder), load_dataset(data)
    given = {
        "samplers": ["prior", "posterior", "posterior_heldout", "gaussian_full"], "features": "pixels", "n": 90,
        "metrics": ["rate", "fid", Copying(60, 0.05), "copy_shares"], "seed": 3, "validation": dataset.validation,
        "likelihood": ("gaussian", model.sigma_x()) if likelihood == "sigma" else likelihood,
    }  # fmt: skip
    found = compare(model.encode, model.decode, dataset.train, dataset.test, **given)
    assert found.drawn is not None, found.verdict.headline
    library = {(row["decode"], *key(row)): f"{row['value']:.10g}" for row in found.table.to_dict("records")}
    assert library.keys() == pipeline.keys() and {rule for rule, *_ in library} == {"mean", "draw"}
    assert {k: v for k, v in library.items() if float(pipeline[k]) != float(v)} == {}
    if likelihood == "sigma":
        return
    # the label given as a context: what keeps its row's own context has the same numbers
    bare = [Split(split.x) for split in (dataset.train, dataset.test, dataset.validation)]
    told = compare(
        lambda x, context: model.encode(x, label=context), lambda z, context: model.decode(z, label=context),
        bare[0], bare[1], context=(dataset.train.label, dataset.test.label, dataset.validation.label),
        **{**given, "validation": bare[2]},
    )  # fmt: skip
    own = [
        {(row["decode"], *key(row)[:-1]): row["value"] for row in one.table.to_dict("records")}
        for one in (found, told)
    ]
    rows = [k for k in own[0] if k[1] in ("", "posterior", "posterior_heldout")]
    assert len(rows) > 20 and {k for k in rows if own[0][k] != own[1][k]} == set()
    assert any(own[0][k] != own[1][k] for k in own[0] if k[1] == "prior")
