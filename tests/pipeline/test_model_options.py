"""Learned priors, likelihoods, loss options, binarisation, drawn x: end to end, in the pipeline and compare()."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_study import invoke, measurements, model, stamps, tensors
from tiny_study import models as recorded

from priorgap import compare
from priorgap.core.random import stream
from priorgap.data.splits import load_dataset
from priorgap.pipeline import models
from priorgap.pipeline.store.curves import read_curves

SETTINGS = (
    "model.latent_dim=2", "model.hidden=[16]", "trainer.max_epochs=3", "trainer.accelerator=cpu", "features=[pixels]",
    "verdict.space=pixels", "tracking=off", "n_samples=90", "reference.classifier.epochs=1", "reference.n_repeats=3",
    "sampler=[prior,posterior]",
)  # fmt: skip
PRIORS = ("mixture", "vamp", "flow")
LEARNED = (
    *SETTINGS, f"prior={','.join(PRIORS)}", "metric=[rate,active_units,marginal_kl,decomposition,kl,elbo,fid]",
    "metrics.kl.n_components=[1,3]", "metrics.kl.n_fit=1000", "study=learned", "seed=2",
)  # fmt: skip


def rows(study: str) -> list[dict[str, str]]:
    with open(f"outputs/{study}/report/results.csv", newline="") as handle:
        return list(csv.DictReader(handle))


def id_of(name: str) -> str:
    """The id of the one model of the study of priors whose label says `name`."""
    return model(Path(), seed=2, label=name, study="learned").id


def weights_of(name: str) -> Path:
    """The folder of its weights."""
    return Path("outputs/learned/train") / id_of(name)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A finished study of the three learned priors, and the folder it is in."""
    folder = tmp_path_factory.mktemp("learned")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert invoke("run", "-m", *LEARNED) == 0
        yield folder


def of_prior(name: str) -> list[dict[str, str]]:
    return [r for r in rows("learned") if r["model"] == id_of(name)]


@pytest.mark.parametrize("name", PRIORS)
def test_learned_prior_is_sampled_measured_and_generated_from(learned, tmp_path, name):
    trained = models.load(weights_of(name))
    draw = tensors(Path(), id_of(name), "prior", "learned")["z"]
    # the draws are the model's own prior's, and no other's
    with torch.no_grad():
        cross_entropy = -trained.prior.log_prob(draw.double())
        fresh = -trained.prior.log_prob(trained.prior.sample(20_000, generator=stream(9)).double())
    gap = float(cross_entropy.mean() - fresh.mean())
    assert abs(gap) < 4.5 * float(fresh.std()) / len(draw) ** 0.5
    found = {(r["measure"], r["unit"], r["bound"]): r for r in rows("learned") if not r["sampler"]}
    assert ("rate", "", "point") in found and ("rate", "0", "point") not in found
    assert float(found["rate", "", "point"]["std_error"]) > 0
    assert ("active_units_var", "", "point") in found
    assert ("active_units_rate", "", "point") not in found
    assert ("elbo", "", "point") in found
    low, high = (float(found["kl", "", b]["value"]) for b in ("lower", "upper"))
    assert low < high
    for absent in ("marginal_kl", "decomposition"):
        content = measurements(Path(), id_of(name), "_model", absent, "learned")
        assert content["rows"] == [] and content["skipped"] == "defined for the standard-normal prior only"
    curves = read_curves(weights_of(name))
    assert all(c["validation_kl_std_error"] > 0 and c["train_kl_std_error"] > 0 for c in curves)
    for how in ("mean", "draw"):
        words = (
            f"model_id={id_of(name)}",
            "sampler=prior",
            "n=30",
            f"out={tmp_path / how}.npz",
            f"decode={how}",
        )
        assert invoke("generate", "study=learned", *words) == 0
    mean, drawn = (np.load(tmp_path / f"{how}.npz")["x"] for how in ("mean", "draw"))
    assert mean.shape == drawn.shape == (30, 1, 8, 8) and (mean != drawn).mean() > 0.5


@pytest.mark.parametrize("name", ["vamp"])
def test_learned_prior_in_compare_gives_the_pipelines_numbers(learned, name):
    from priorgap.metrics.bracket import KLBracket

    trained, dataset = models.load(weights_of(name)), load_dataset(only_data())
    bracket = KLBracket((1, 3), n_fit=1000, **bracket_settings())
    found = compare(
        trained.encode, trained.decode, dataset.train, dataset.test, validation=dataset.validation,
        prior=trained.prior, samplers=["prior", "posterior"], metrics=["rate", "fid", bracket], features="pixels",
        n=90, seed=2,
    )  # fmt: skip
    pipeline = {key(r): float(r["value"]) for r in of_prior(name)}
    library = {key(r): float(f"{r['value']:.10g}") for r in found.table.to_dict("records")}
    assert library.items() <= pipeline.items()
    said_of_the_bracket = {"kl_largest_share", "kl_upper_floor", "kl_rows_per_parameter"}
    assert {k[1] for k in library} == {"rate", "fid", "kl", "kl_point"} | said_of_the_bracket
    # negative control: with N(0, I) in its place the rate and the bracket are others
    other = compare(
        trained.encode, trained.decode, dataset.train, dataset.test, validation=dataset.validation,
        samplers=["prior"], metrics=["rate", "fid"], features="pixels", n=90, seed=2,
    )  # fmt: skip
    wrong = {key(r): float(r["value"]) for r in other.table.to_dict("records")}
    assert wrong["", "rate", "latent", "", "point"] != pipeline["", "rate", "latent", "", "point"]
    with pytest.raises(ValueError, match="prior: of dimension 3; expected that of z, 2"):
        from priorgap.priors.standard_normal import StandardNormal

        compare(trained.encode, trained.decode, dataset.train, dataset.test, prior=StandardNormal(3))


def only_data() -> Path:
    (folder,) = Path("outputs/data").iterdir()
    return folder


def bracket_settings() -> dict[str, float]:
    from priorgap.core.build import load_option

    node = load_option("metric", "kl")
    return {k: node[k] for k in ("max_iter", "reg_covar", "n_draws")}


def key(row) -> tuple[str, ...]:
    return tuple(str(row[c]) for c in ("sampler", "measure", "space", "unit", "bound"))


@pytest.mark.slow
def test_every_likelihood_with_drawn_x(run, tmp_path):
    names = "continuous_bernoulli,learned_gaussian,discretized_logistic"
    arguments = (*SETTINGS, f"likelihood={names}", "decode=draw", "metric=[elbo,fid]", "study=many")
    assert run("run", "-m", *arguments) == 0
    assert len(list((tmp_path / "outputs/many/train").iterdir())) == 3
    found = [r for r in rows("many") if r["measure"] == "elbo"]
    assert len(found) == 3 and all(np.isfinite(float(r["value"])) for r in found)
    # what previews show is what measures see: the same draw of x for the same z
    for one in recorded(tmp_path, "many"):
        trained = models.load(tmp_path / "outputs/many/train" / one.train_id)
        drawn = tensors(tmp_path, one.id, "posterior", "many")
        z = drawn["z"]
        x = trained.decoder("draw", 0)(z)
        assert torch.equal(drawn["preview"], (x[:64] * 255).round().to(torch.uint8))
        assert not torch.equal(x, trained.decode(z))


@pytest.mark.slow
def test_drawn_and_mean_x_share_training_and_latents_and_keep_the_old_keys(run, tmp_path):
    arguments = (*SETTINGS, "metric=[rate,fid]", "study=how")
    assert run("run", *arguments) == 0
    before = stamps(tmp_path)
    mean = fids("how", "mean")
    assert run("run", *arguments, "decode=draw") == 0
    after = stamps(tmp_path)
    changed = {place for place, stamp in before.items() if after[place] != stamp}
    # samples by the other rule are another model's results; nothing is trained, encoded or lost for them
    assert {place.split("/")[1] for place in changed} == {"report"}
    new = after.keys() - before.keys()
    assert {place.split("/")[1] for place in new} == {"sample", "measure"}
    assert not [place for place in new if place.endswith(("/rate", "_marginals"))]
    drawn = fids("how", "draw")
    assert drawn.keys() == mean.keys() and drawn != mean
    assert run("run", *arguments) == 0
    assert fids("how", "mean") == mean
    assert run("run", "-m", *arguments, "decode=mean,draw") == 0
    assert fids("how", "mean") == mean and fids("how", "draw") == drawn


def fids(study: str, decode: str) -> dict[str, float]:
    return {
        r["sampler"]: float(r["value"])
        for r in rows(study)
        if r["measure"] == "fid" and r["sampler"] and r["decode"] == decode
    }


@pytest.mark.slow
def test_binarised_data_are_a_data_set_of_their_own(run, tmp_path):
    loss = ("loss.beta_warmup_epochs=2", "loss.free_bits=0.05", "likelihood=bernoulli")
    arguments = (*SETTINGS, *loss, "metric=[rate,elbo,fid]", "study=black")
    assert run("run", "-m", *arguments, "data.binarize=null,static,dynamic") == 0
    folders = sorted((tmp_path / "outputs/data").iterdir())
    assert len(folders) == 3 and len(list((tmp_path / "outputs/reference").iterdir())) == 3
    parts = [load_dataset(f) for f in folders]
    black = [d for d in parts if d.provenance.get("binarize")]
    assert len(black) == 2 and all(set(d.test.x.unique().tolist()) == {0, 255} for d in black)
    assert torch.equal(black[0].test.x, black[1].test.x)
    assert torch.equal(black[0].train.x, black[1].train.x)
    assert [(f / "grey.safetensors").is_file() for f in folders].count(True) == 1
    elbo = {r["data.binarize"]: float(r["value"]) for r in rows("black") if r["measure"] == "elbo"}
    assert len(set(elbo.values())) == 3
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "outputs").rglob("manifest.json")}
    assert run("run", "-m", *arguments, "data.binarize=null,static,dynamic") == 0
    assert stamps == {p: p.stat().st_mtime_ns for p in (tmp_path / "outputs").rglob("manifest.json")}


def test_keys_that_are_null_leave_the_ids_alone():
    """The ids of models that were trained before these keys existed."""
    from priorgap.pipeline.config.model_config import ModelConfig
    from priorgap.pipeline.config.session import Request, Session

    with Session(Request((), False, None)) as session:
        ((config, names),) = list(session.cells())

    def ids(**changes: dict[str, object] | str) -> tuple[str, str]:
        nodes = {k: {**config[k], **v} if isinstance(v, dict) else v for k, v in changes.items()}
        cell = ModelConfig({**config, **nodes}, names)
        return cell.train_id, cell.data_id

    assert ids() == ("7cecef4b", "digits-3f2e4498")
    unknown = {k: v for k, v in config["trainer"].items() if k != "precision"}
    assert ModelConfig({**config, "trainer": unknown}, names).train_id == "7cecef4b"
    assert ids(trainer={"precision": "bf16"})[0] != "7cecef4b"
    older = {k: v for k, v in config["loss"].items() if k not in ("free_bits", "beta_warmup_epochs")}
    assert ModelConfig({**config, "loss": older}, names).train_id == "7cecef4b"
    assert ids(decode="draw") == ids()
    with Session(Request(("prior=vamp",), False, None)) as session:
        ((vamp, _),) = list(session.cells())
    for node in (vamp["prior"], {k: v for k, v in vamp["prior"].items() if v is not None}):
        assert ModelConfig({**config, "prior": node}, names).train_id == "ec2c5906"
    other = {**vamp["prior"], "squash": "hardtanh"}
    assert ModelConfig({**config, "prior": other}, names).train_id != "ec2c5906"
    for key, value in (("free_bits", 0.1), ("beta_warmup_epochs", 2)):
        assert ids(loss={key: value})[0] != ids()[0] and ids(loss={key: value})[1] == ids()[1]
    found = {ids(data={"binarize": how}) for how in (None, "static", "dynamic")}
    assert len({train for train, _ in found}) == len({data for _, data in found}) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("prior=mixture", "calibrate=true"), "calibrate=True: the prior is MixturePrior"),
        (("loss.free_bits=0.1", "calibrate=both"), "calibrate=both: loss.free_bits=0.1"),
        (("prior=vamp", "loss.free_bits=0.1"), "loss.free_bits=0.1: VampPrior has no KL per unit"),
        (
            ("model=autoencoder_mlp", "sampler=[posterior_mean]", "loss.free_bits=0.1"),
            "loss.free_bits=0.1: the model is trained without",
        ),
        (
            ("model=gan_mlp", "sampler=[prior]", "loss.free_bits=0.1"),
            "loss.free_bits=0.1: the model is trained without",
        ),
        (("data.binarize=often",), "data.binarize=often: expected static or dynamic or null"),
        (("decode=both",), "decode=both: expected mean or draw"),
        (("prior=mixture", "prior.n_components=0"), "prior.n_components=0: expected"),
        (("prior=flow", "prior.kind=glow"), "prior.kind=glow: expected nsf or maf"),
        (("loss.beta_warmup_epochs=0",), "loss.beta_warmup_epochs=0: expected"),
        (("data=linear_gaussian", "data.binarize=static"), "data.binarize=static: data=linear_gaussian"),
        (("data=linear_gaussian", "likelihood=discretized_logistic"), "likelihood=discretized_logistic"),
    ],
)
def test_bad_choices_are_refused_in_one_line_before_any_work(run, tmp_path, capsys, arguments, words):
    assert run("run", "features=[pixels]", "verdict.space=pixels", *arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("priorgap: ") and err.count("\n") == 1 and words in err, err
    assert list(tmp_path.iterdir()) == []
