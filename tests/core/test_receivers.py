"""What a configuration may name: a class of an allowed package that is what the place takes, judged before a call."""

import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from priorgap.core import plugins
from priorgap.core.build import build, configuration_directory
from priorgap.core.receivers import (
    CALLBACK,
    CLASSIFIER,
    IMAGE_METRIC,
    LOGGER,
    OPTIMIZER,
    SCHEDULER,
    Receiver,
    check_class,
    lacking,
)
from priorgap.data.splits import DataSource
from priorgap.features.spaces import FeatureSpace
from priorgap.metrics.protocols import Metric
from priorgap.metrics.torchmetrics_image import build_metric
from priorgap.models.likelihoods import Likelihood
from priorgap.models.losses import ElboLoss
from priorgap.models.networks import Architecture
from priorgap.pipeline.config.training_precision import settle
from priorgap.priors.base import PriorSpec
from priorgap.samplers.protocols import Sampler
from priorgap.training.fit import TrainerConfig

LBFGS = "torch.optim.LBFGS"
GROUPS = {
    "data": DataSource,
    "sampler": Sampler,
    "metric": Metric,
    "features": FeatureSpace,
    "model": Architecture,
    "likelihood": Likelihood,
    "prior": PriorSpec,
    "loss": ElboLoss,
    "trainer": TrainerConfig,
}
GOOD = [
    (OPTIMIZER, {"_target_": "torch.optim.AdamW", "lr": 1e-3, "betas": [0.9, 0.99]}),
    (OPTIMIZER, {"_target_": LBFGS, "_partial_": True}),
    (SCHEDULER, {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "T_max": 3}),
    (CALLBACK, {"_target_": "pytorch_lightning.callbacks.EarlyStopping", "monitor": "validation_loss"}),
    (CALLBACK, {"_target_": "pytorch_lightning.callbacks.EMAWeightAveraging", "decay": 0.9}),
    (LOGGER, {"_target_": "pytorch_lightning.loggers.CSVLogger", "name": "curves"}),
    (
        IMAGE_METRIC,
        {"_target_": "torchmetrics.image.StructuralSimilarityIndexMeasure", "data_range": 1.0},
    ),
    (CLASSIFIER, {"_target_": "sklearn.neighbors.KNeighborsClassifier", "n_neighbors": 3, "n_jobs": 1}),
    (
        CLASSIFIER,
        {
            "_target_": "sklearn.ensemble.BaggingClassifier",
            "estimator": {"_target_": "sklearn.linear_model.LogisticRegression", "C": 0.1},
        },
    ),
    (
        CLASSIFIER,
        {
            "_target_": "sklearn.ensemble.VotingClassifier",
            "estimators": [["lda", {"_target_": "sklearn.discriminant_analysis.LinearDiscriminantAnalysis"}]],
        },
    ),
]
# (what takes it, node, a word of the refusal)
BAD = [
    # functions, and names that are re-exported from elsewhere
    (CALLBACK, {"_target_": "pytorch_lightning.core.saving.pl_load", "path_or_url": "x"}, "no class"),
    (CLASSIFIER, {"_target_": "sklearn.datasets.clear_data_home"}, "expected a sklearn.base"),
    (CLASSIFIER, {"_target_": "sklearn.utils.Bunch"}, "expected a sklearn.base.ClassifierMixin"),
    (CLASSIFIER, {"_target_": "sklearn.base.ClassifierMixin"}, "expected a sklearn.base.ClassifierMixin and"),
    (OPTIMIZER, {"_target_": "torch.optim.lr_scheduler.partial"}, "another package"),
    (Sampler, {"_target_": "priorgap.core.artifacts.Path"}, "another package"),
    (Sampler, {"_target_": "priorgap.core.artifacts.shutil"}, "no class"),
    # packages that the place does not take
    (OPTIMIZER, {"_target_": "sklearn.linear_model.LogisticRegression"}, "expected a name under"),
    (Sampler, {"_target_": "torch.optim.Adam", "lr": 1}, "expected a name under priorgap."),
    (Sampler, {"_target_": "sklearn.svm.SVC"}, "expected a name under"),
    (CALLBACK, {"_target_": "torch.load"}, "expected a name under"),
    (IMAGE_METRIC, {"_target_": "torchmetrics.text.bert.BERTScore"}, "expected a name under"),
    (IMAGE_METRIC, {"_target_": "torchmetrics.multimodal.CLIPScore"}, "expected a name under"),
    # classes that are no such thing
    (CALLBACK, {"_target_": "pytorch_lightning.Trainer"}, "expected a pytorch_lightning.Callback"),
    (CALLBACK, {"_target_": "pytorch_lightning.cli.LightningCLI"}, "expected a pytorch_lightning.Callback"),
    (OPTIMIZER, {"_target_": "torch.optim.Optimizer.step"}, "cannot be imported"),
    (Sampler, {"_target_": "priorgap.models.MLP", "latent_dim": 2, "hidden": [3]}, "a Sampler"),
    (Sampler, {"_target_": "priorgap.samplers.protocols.Sampler"}, "abstract"),
    # parts of names that are no public classes
    (Sampler, {"_target_": "priorgap.pipeline.__main__.cli"}, "expected a name under"),
    (Sampler, {"_target_": "priorgap.samplers.prior._PriorSampler"}, "expected a name under"),
    (Sampler, {"_target_": "priorgap"}, "expected a name under"),
    (Sampler, {"_target_": "priorgapx.samplers.Prior"}, "expected a name under"),
    (Sampler, {"_target_": "priorgap.samplers.PriorSampler()"}, "expected a name under"),
    (Sampler, {"_target_": ["priorgap"]}, "expected a name under"),
    (Sampler, {"_target_": None}, "expected a name under"),
    # callables, places, downloads, code that unpickles
    (SCHEDULER, {"_target_": "torch.optim.lr_scheduler.LambdaLR", "lr_lambda": "x"}, "takes functions"),
    (CALLBACK, {"_target_": "pytorch_lightning.callbacks.LambdaCallback"}, "takes functions"),
    (CALLBACK, {"_target_": "pytorch_lightning.callbacks.BackboneFinetuning"}, "outside the model's id"),
    (CALLBACK, {"_target_": "pytorch_lightning.callbacks.ModelCheckpoint", "dirpath": "x"}, "one checkpoint"),
    (CALLBACK, {"_target_": "pytorch_lightning.callbacks.BasePredictionWriter"}, "where files go"),
    (CALLBACK, {"_target_": "pytorch_lightning.callbacks.Timer", "duration": "00:01"}, "machine's speed"),
    (LOGGER, {"_target_": "pytorch_lightning.loggers.CSVLogger", "name": "a/b"}, "not a path"),
    (LOGGER, {"_target_": "pytorch_lightning.loggers.MLFlowLogger"}, "expected one of CSVLogger"),
    (LOGGER, {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": "x"}, "priorgap gives it"),
    (LOGGER, {"_target_": "pytorch_lightning.loggers.CSVLogger", "prefix": "../x"}, "path outside"),
    (LOGGER, {"_target_": "pytorch_lightning.loggers.CSVLogger", "version": "../x"}, "not a path"),
    (LOGGER, {"_target_": "pytorch_lightning.loggers.WandbLogger", "log_model": "all"}, "leaves the machine"),
    (IMAGE_METRIC, {"_target_": "torchmetrics.image.FrechetInceptionDistance", "feature": 64}, "gives it"),
    (
        IMAGE_METRIC,
        {"_target_": "torchmetrics.image.LearnedPerceptualImagePatchSimilarity", "net_type": "vgg"},
        "fetch",
    ),
    (CLASSIFIER, {"_target_": "sklearn.svm.SVC", "random_state": 3}, "priorgap gives it"),
    (CLASSIFIER, {"_target_": "sklearn.neighbors.KNeighborsClassifier", "n_jobs": 64}, "expected one of"),
    (CLASSIFIER, {"_target_": "sklearn.svm.SVC", "kernel": "https://x.org/k"}, "neither an address"),
    (CLASSIFIER, {"_target_": "sklearn.svm.SVC", "class_weight": {"a": "/etc/passwd"}}, "neither an address"),
    (CLASSIFIER, {"_target_": "sklearn.svm.SVC", "kernel": {"_target_": "sklearn.svm.SVC"}}, "plain value"),
    (
        CLASSIFIER,
        {
            "_target_": "sklearn.ensemble.BaggingClassifier",
            "estimator": {"_target_": "sklearn.datasets.clear_data_home"},
        },
        "expected a sklearn.base",
    ),
    # Hydra's own keys
    (OPTIMIZER, {"_target_": "torch.optim.SGD", "_args_": [1]}, "not possible here"),
    (OPTIMIZER, {"_target_": "torch.optim.SGD", "_partial_": False}, "not possible here"),
    (Sampler, {"_target_": "priorgap.samplers.PriorSampler", "_partial_": True}, "not possible here"),
    (Sampler, {"_target_": "priorgap.samplers.PriorSampler", "_convert_": "all"}, "not possible here"),
    # nodes where no type says so
    (
        Architecture,
        {
            "_target_": "priorgap.models.MLP",
            "latent_dim": 2,
            "hidden": {"_target_": "priorgap.models.MLP", "latent_dim": 2, "hidden": [3]},
        },
        "model.hidden",
    ),
    (
        Sampler,
        {
            "_target_": "priorgap.samplers.PerClass",
            "base": {"_target_": "priorgap.models.MLP", "latent_dim": 2, "hidden": [3]},
        },
        "expected a Sampler",
    ),
]


@pytest.mark.parametrize(("receiver", "node"), GOOD, ids=[node["_target_"] for _, node in GOOD])
def test_what_a_place_takes_is_built(receiver, node):
    built = build(node, receiver, where="x", supplied={"save_dir": "somewhere"})
    name = node["_target_"].rpartition(".")[2]
    made = built.func if isinstance(built, functools.partial) else type(built)
    assert made.__name__ == name
    assert isinstance(built, functools.partial) == receiver.partial


@pytest.mark.parametrize(
    ("receiver", "node", "word"), BAD, ids=[f"{node['_target_']}-{word}" for _, node, word in BAD]
)
def test_anything_else_is_refused_in_one_line_and_not_called(receiver, node, word, monkeypatch):
    monkeypatch.setattr("sklearn.datasets.clear_data_home", lambda *_: pytest.fail("called"))
    with pytest.raises(ValueError) as caught:
        build(node, receiver, where="model")
    text = str(caught.value)
    assert word in text and text.startswith("model.") and "\n" not in text, text


def test_the_whole_vocabulary_is_built():
    folder, n = configuration_directory(), 0
    outside = {"model": {"latent_dim": 3}, "features": {"weights": None}}
    for group, expected in GROUPS.items():
        for file in sorted((folder / group).glob("[!_]*.yaml")):
            # data nodes refer to their own values, which some leave to the user
            own = (
                OmegaConf.merge(OmegaConf.load(file), {"path": "x.csv"})
                if group == "data"
                else {"n_past": 3, "target": "y"}
            )
            content = OmegaConf.create({**outside, "data": own, "node": OmegaConf.load(file)})
            node = OmegaConf.to_container(content, resolve=True)["node"]
            node = {k: v for k, v in node.get("source", node).items() if k not in ("defaults", "progress")}
            if group == "trainer":  # auto is settled before anything is built
                settle({"trainer": node})
            if "_target_" in node:  # else a list of metrics
                made = (
                    build_metric(node, file.stem) if group == "metric" else build(node, expected, where=group)
                )
                assert isinstance(made, expected)
                n += 1
    assert n > 95


def test_optimisers_are_made_later_of_the_parameters():
    import torch

    weight = torch.nn.Parameter(torch.ones(2))
    made = build({"_target_": "torch.optim.SGD", "lr": 0.5}, OPTIMIZER, where="trainer.optimizer")([weight])
    weight.sum().backward()
    made.step()
    assert weight.tolist() == [0.5, 0.5]


def test_priorgap_gives_what_a_configuration_cannot():
    forest = {"_target_": "sklearn.ensemble.RandomForestClassifier", "n_estimators": 3}
    assert build(forest, CLASSIFIER, where="c", supplied={"random_state": 5}).random_state == 5
    # a class without the argument does without
    bayes = {"_target_": "sklearn.naive_bayes.GaussianNB"}
    build(bayes, CLASSIFIER, where="c", supplied={"random_state": 5})


def test_an_image_metric_sees_the_features_that_are_given():
    import torch

    class Flat(torch.nn.Module):
        num_features = 12

        def forward(self, x):
            return x.flatten(1).float()

    node = {"_target_": "torchmetrics.image.FrechetInceptionDistance", "input_img_size": [3, 2, 2]}
    metric = build(node, IMAGE_METRIC, where="m", supplied={"feature": Flat()})
    assert isinstance(metric().inception, Flat)


def test_a_type_can_carry_a_receiver(plugin):
    node = {"_target_": f"{plugin}.Holder", "classifier": {"_target_": "sklearn.naive_bayes.GaussianNB"}}
    assert type(build(node, object, where="x").classifier).__name__ == "GaussianNB"
    with pytest.raises(ValueError, match=r"x\.classifier\._target_=torch.optim.SGD: expected a name under"):
        build({**node, "classifier": {"_target_": "torch.optim.SGD"}}, object, where="x")
    nested = build({**node, "other": node["classifier"]}, object, where="x").other
    assert type(nested).__name__ == "GaussianNB"
    with pytest.raises(ValueError, match=r"x\.plain=.*plain value"):
        build({**node, "plain": {"_target_": "sklearn.naive_bayes.GaussianNB"}}, object, where="x")


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package beside priorgap that this process was given."""
    package = tmp_path / "given_package"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from dataclasses import dataclass\n"
        "from multiprocessing import Process\n"
        "from typing import Annotated\n"
        "from priorgap.core.receivers import CLASSIFIER\n"
        "@dataclass(frozen=True)\n"
        "class Holder:\n"
        "    classifier: Annotated[object, CLASSIFIER]\n"
        "    other: Annotated[object, CLASSIFIER] | list[int] | None = None\n"
        "    plain: object = None\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(plugins, "_GIVEN", ["given_package"])
    yield "given_package"
    sys.modules.pop("given_package", None)


def test_a_plugin_s_re_exports_do_not_count(plugin):
    with pytest.raises(ValueError, match="another package"):
        build({"_target_": f"{plugin}.Process"}, object, where="x")


def test_a_package_that_was_not_given_is_not_imported(plugin, monkeypatch):
    monkeypatch.setattr(plugins, "_GIVEN", [])
    with pytest.raises(ValueError, match=r"expected a name under priorgap\."):
        build({"_target_": f"{plugin}.Holder", "classifier": None}, object, where="x")
    assert plugin not in sys.modules


@pytest.mark.parametrize("name", ["a.b", "../x", "", "1x", "_x", 3])
def test_plugins_are_names_of_packages(name):
    with pytest.raises(ValueError, match="plugins="):
        plugins.allow([name])


class _Half:
    __module__ = "priorgap.half"
    name = "half"

    def fit(self): ...


def test_members_of_a_protocol_are_asked_of_the_class():
    @dataclass
    class Whole(_Half):
        role: str
        label_source: str = ""

        def expected_moments(self): ...

        def restore(self): ...

    assert lacking(Whole, Sampler) == []
    assert lacking(_Half, Sampler) == ["expected_moments", "label_source", "restore", "role"]
    with pytest.raises(
        ValueError, match="a Sampler: it declares no expected_moments, label_source, restore, role"
    ):
        check_class(_Half, Receiver((Sampler,)), foreign=False, place="x")


def test_other_packages_are_imported_only_when_they_are_named():
    code = (
        "import sys\n"
        "import priorgap.core.receivers\n"
        "from priorgap.core.build import build\n"
        "print([m for m in ('torch', 'sklearn', 'torchmetrics', 'pytorch_lightning') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("cls", [int, dict, type(None)])
def test_a_built_in_class_lacks_what_a_protocol_has(cls):
    assert "fit" in lacking(cls, Sampler)
