"""compare() and the pipeline give one number: for every kind of model, feature space and source of labels."""

import csv
from pathlib import Path

import pytest

from priorgap import compare
from priorgap.data.splits import load_dataset
from priorgap.pipeline import models

COMMON = (
    "model.latent_dim=3", "model.hidden=[16]", "trainer.max_epochs=2", "trainer.accelerator=cpu", "seed=3",
    "study=same", "tracking=off", "n_samples=90", "features=[pixels,classifier]", "verdict.space=pixels",
    "reference.classifier.epochs=1", "reference.n_repeats=3", "samplers.gmm.n_components=[1,3]",
)  # fmt: skip
# what looks at no image, at images, at features, at labels of each source
ALL = (
    "rate", "active_units", "marginal_kl", "decomposition", "fid", "kid", "prdc", "class_balance",
    "accuracy_real_to_synthetic", "accuracy_synthetic_to_real", "accuracy_real_to_real", "memorisation",
)  # fmt: skip
OF_IMAGES = ("fid", "prdc", "class_balance", "accuracy_real_to_synthetic", "accuracy_synthetic_to_real")
CASES = {
    "a VAE": ((), ("prior", "posterior", "per_class_gaussian_full", "gaussian_full"), ALL),
    "conditional": (("model=conditional_mlp",), ("prior", "per_class_gaussian_full", "posterior"), ALL),
    "a learned prior": (("prior=mixture",), ("prior", "posterior"), ("rate", "kl", *OF_IMAGES)),
    "an autoencoder": (("model=autoencoder_mlp",), ("posterior", "gaussian_full"), ("radius", *OF_IMAGES)),
    "a GAN": (("model=gan_mlp",), ("prior", "tempered_prior"), OF_IMAGES),
}


@pytest.mark.parametrize("case", CASES)
def test_equal_numbers(case, run, tmp_path, monkeypatch):
    words, samplers, metrics = CASES[case]
    chosen = (f"sampler=[{','.join(samplers)}]", f"metric=[{','.join(metrics)}]")
    # keys of samplers that are not chosen would be unknown
    common = [word for word in COMMON if not word.startswith("samplers.gmm")]
    assert run("run", *words, *common, *chosen) == 0
    with open("outputs/same/report/results.csv", newline="") as handle:
        pipeline = {key(row): row["value"] for row in csv.DictReader(handle)}
    shorter_references(monkeypatch)
    library = {}
    for space in ("pixels", "classifier"):
        library |= of_library(tmp_path, samplers, metrics, space)
    assert library.keys() == pipeline.keys()
    assert {k: (v, pipeline[k]) for k, v in library.items() if pipeline[k] != v} == {}


def of_library(folder: Path, samplers, metrics, space):
    (trained,) = (folder / "outputs/same/train").iterdir()
    (data,) = (folder / "outputs/data").iterdir()
    model, dataset = models.load(trained), load_dataset(data)
    without_encoder = {"latent_dim": 3} if model.encode is None else {}
    learned = {} if model.encode is None or model.vae.prior is None else {"prior": model.prior}
    found = compare(
        model.encode, model.decode, dataset.train, dataset.test, validation=dataset.validation,
        samplers=samplers, metrics=metrics, features=space, n=90, seed=3, **without_encoder, **learned,
    )  # fmt: skip
    return {key(row): f"{row['value']:.10g}" for row in found.table.to_dict("records")}


def shorter_references(monkeypatch):
    """Let compare() read the values that the commands above set."""
    from priorgap.comparison import user_inputs

    config = user_inputs.settings()
    config["reference"]["classifier"]["epochs"] = 1
    config["reference"]["n_repeats"] = 3
    for module in ("user_inputs", "compare"):
        monkeypatch.setattr(f"priorgap.comparison.{module}.settings", lambda: config)


def key(row):
    return tuple(str(row[c]) for c in ("sampler", "measure", "space", "unit", "bound", "label_source"))
