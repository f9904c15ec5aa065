"""Image metrics of torchmetrics as measures, against the same classes used by hand and our own FID and KID."""

import math
import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest
import torch
from image_metrics import (
    FrechetInceptionDistance,
    InceptionScore,
    KernelInceptionDistance,
    LearnedPerceptualImagePatchSimilarity,
    MemorizationInformedFrechetInceptionDistance,
    MultiScaleStructuralSimilarityIndexMeasure,
    PeakSignalNoiseRatio,
    QualityWithNoReference,
    StructuralSimilarityIndexMeasure,
    TotalVariation,
    torchmetrics,
)
from torch import nn

from priorgap.core.build import configuration_directory, load_option
from priorgap.core.catalogue import BUILTIN
from priorgap.core.latents import LatentDraw
from priorgap.core.random import isolated, stream
from priorgap.data.splits import Split
from priorgap.features.classifier import ClassifierFeatures, fit_classifier
from priorgap.features.maps import extract
from priorgap.metrics import FID, KID, ImageMetric, Metric, NotApplicable
from priorgap.metrics.measuring import measure_one
from priorgap.metrics.torchmetrics_image import build_metric, image_metric
from priorgap.testing.metric_contract import LAWS, run
from priorgap.testing.world import decode, fresh, world

pytestmark = pytest.mark.filterwarnings("ignore:Metric `.*` will save all extracted features")
KID_OF = partial(KernelInceptionDistance, subsets=7, subset_size=60)
SMALL_SSIM = partial(StructuralSimilarityIndexMeasure, sigma=0.5)
ALL = [
    ImageMetric(FrechetInceptionDistance, "tm_fid"),
    ImageMetric(KID_OF, "tm_kid"),
    ImageMetric(MemorizationInformedFrechetInceptionDistance, "tm_mifid"),
    ImageMetric(SMALL_SSIM, "tm_ssim"),
    ImageMetric(partial(PeakSignalNoiseRatio, data_range=1.0), "tm_psnr"),
]
FILES = sorted(p.stem for p in (configuration_directory() / "metric").glob("tm_*.yaml"))


class Pixels(nn.Module):
    """Our space `pixels` as a module, as a user of torchmetrics alone would write it."""

    num_features = 64

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)


def value(metric, evidence):
    (row,) = run(metric, evidence)
    return row.value


def drawn(draw=None):
    here = world()
    return here.model.of("posterior", "candidate", here.draw() if draw is None else draw)


def by_hand(made, evidence, seed=0, real="test"):
    """The number that torchmetrics alone gives for the same images."""
    reference = evidence.model.reference
    with isolated(stream(seed, "measure")):
        made.update(getattr(reference, real).floats(), real=True)
        made.update(evidence.samples.floats(), real=False)
        found = made.compute()
    return float(found[0] if isinstance(found, tuple) else found)


@pytest.fixture(scope="module")
def scored():
    """Evidence in the space of a classifier of the real images."""
    here = world()
    train = here.reference.train
    network = fit_classifier(train.x, train.label, n_classes=2, generator=stream(5), epochs=12)
    space = ClassifierFeatures(network)
    reference = replace(
        here.reference,
        feature_map=space,
        test_features=extract(space, here.reference.test.x),
        pool_features=extract(space, train.x),
    )
    return fresh(here.model, reference=reference)


# -- numbers -----------------------------------------------------------------------------------------------------


def test_fid_equals_torchmetrics_by_hand_and_ours():
    evidence = drawn()
    found = value(ALL[0], evidence)
    assert found == pytest.approx(by_hand(FrechetInceptionDistance(feature=Pixels()), evidence), rel=1e-4)
    (own,) = run(FID(), evidence)
    assert found == pytest.approx(own.value, rel=1e-6)
    # the same images given as real and as drawn the wrong way round are still a distance; other images are not
    other = drawn(world().prior_draw())
    assert value(ALL[0], other) != pytest.approx(own.value, rel=0.1)


def test_fid_equals_ours_in_a_classifier_s_space(scored):
    evidence = scored.of("posterior", "candidate", world().draw())
    (own,) = run(FID(), evidence)
    (row,) = run(ALL[0], evidence)
    assert row.value == pytest.approx(own.value, rel=1e-5)
    assert (row.space, row.n, row.n_reference, row.std_error) == ("classifier", 250, 250, None)


def test_kid_equals_torchmetrics_by_hand_with_the_same_subsets():
    evidence = drawn()
    found = value(ALL[1], evidence)
    assert found == pytest.approx(by_hand(KID_OF(feature=Pixels()), evidence), rel=1e-3)
    # another seed takes other subsets
    assert run(ALL[1], evidence, seed=1)[0].value != found


def test_kid_over_the_whole_set_is_ours():
    evidence = drawn()
    whole = ImageMetric(partial(KernelInceptionDistance, subsets=1, subset_size=250), "tm_kid")
    own = next(row for row in run(KID(), evidence) if row.bound == "point")
    assert value(whole, evidence) == pytest.approx(own.value, rel=1e-6)


def test_mifid_is_against_training_images_and_sees_copies():
    """The world's pool are its 400 training images, in random order."""
    made = MemorizationInformedFrechetInceptionDistance
    mifid, evidence = ALL[2], drawn()
    (row,) = run(mifid, evidence)
    assert row.n_reference == 400 == len(evidence.model.reference.pool_features)
    assert row.value == pytest.approx(by_hand(made(feature=Pixels()), evidence, real="train"), rel=1e-3)
    assert row.value != pytest.approx(by_hand(made(feature=Pixels()), evidence), rel=1e-2)

    # beside the FID to the same images it is larger where draws are copies of them, not where they are of others
    def penalty(evidence):
        fid = FrechetInceptionDistance(feature=Pixels())
        return value(mifid, evidence) / by_hand(fid, evidence, real="train")

    def copies(part):
        images = getattr(world().reference, part).floats()
        model = fresh(world().model, decode=lambda z, label: images[: len(z)])
        return model.of("prior", "candidate", world().prior_draw(250))

    assert penalty(copies("train")) > 1.5 * penalty(evidence)
    assert penalty(copies("validation")) < 1.2 * penalty(evidence)


def test_inception_score_is_of_the_classifier_s_logits(scored):
    metric = ImageMetric(partial(InceptionScore, splits=3), "tm_inception_score")
    evidence = scored.of("posterior", "candidate", world().draw())
    logits = scored.reference.feature_map.classifier.logits
    made = InceptionScore(feature=_Module(logits), splits=3)
    with isolated(stream(0, "measure")), torch.no_grad():
        made.update(evidence.samples.floats())
        by_torchmetrics = float(made.compute()[0])
    (row,) = run(metric, evidence)
    assert row.value == pytest.approx(by_torchmetrics, rel=1e-5)
    assert (row.space, row.n_reference) == ("classifier", None)
    # of two classes that the draws have alike it is nearly 2, of one class alone 1
    assert 1.5 < row.value <= 2
    z, label = world().draw().z, world().draw().label
    one = scored.of("one", "candidate", LatentDraw(z[label == 0]))
    assert value(metric, one) == pytest.approx(1, abs=0.05)


class _Module(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def test_inception_score_needs_class_scores():
    with pytest.raises(NotApplicable, match="tm_is: the feature space pixels scores no classes"):
        run(ImageMetric(InceptionScore, "tm_is"), drawn())


@pytest.mark.parametrize("metric", ALL[3:], ids=lambda m: m.name)
def test_pairs_are_reconstructions_of_the_test_images(metric):
    model = world().model
    (row,) = run(metric, model.alone())
    real = model.reference.test.floats()
    own = model.decoded(model.test.mean).floats()
    cls, arguments = (
        (StructuralSimilarityIndexMeasure, {"sigma": 0.5, "data_range": 1.0})
        if metric.name == "tm_ssim"
        else (PeakSignalNoiseRatio, {"data_range": 1.0})
    )
    made = cls(**arguments)
    made.update(own, real)
    assert row.value == pytest.approx(float(made.compute()), rel=1e-5)
    assert (row.n, row.n_reference, row.space) == (250, 250, "pixels")
    # validation's reconstructions, or another order, are other pairs
    shuffled = cls(**arguments)
    shuffled.update(own.flip(0), real)
    assert row.value > float(shuffled.compute()) + 0.05


def test_the_batch_changes_nothing(monkeypatch):
    found = [value(metric, world().model.alone()) for metric in ALL[3:]]
    monkeypatch.setattr("priorgap.metrics.torchmetrics_image._BATCH", 32)
    assert [value(metric, world().model.alone()) for metric in ALL[3:]] == pytest.approx(found, rel=1e-5)


# -- good, bad, degenerate -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ALL, ids=lambda m: m.name)
def test_its_direction_is_that_of_good_and_bad(metric):
    here = world()

    def noise(z, label):
        return 0.5 * decode(z) + 0.5 * torch.rand(len(z), 1, 8, 8, generator=stream(8))

    good, bad = here.model, fresh(here.model, decode=noise)
    if metric.scope == "sampler":
        good, bad = (model.of("posterior", "candidate", here.draw()) for model in (good, bad))
    else:
        good, bad = good.alone(), bad.alone()
    (measure,) = metric.measures
    assert measure.sign * (value(metric, good) - value(metric, bad)) > 0
    # a class that says the contrary of itself would be found out here
    contrary = type("Contrary", (metric.metric.cls,), {"higher_is_better": measure.sign < 0})
    (wrong,) = ImageMetric(contrary, "wrong").measures
    assert wrong.sign * (value(metric, good) - value(metric, bad)) < 0


def test_degenerate_images_give_a_number_or_a_reason():
    here = world()
    flat = fresh(here.model, decode=lambda z, label: torch.full((len(z), 1, 8, 8), 0.5))
    assert value(ALL[0], flat.of("p", "candidate", here.draw())) > 1
    for metric in ALL:
        evidence = flat.alone() if metric.scope == "model" else flat.of("p", "candidate", here.draw())
        rows, reason = measure_one(metric, evidence, seed=0)
        assert (len(rows) == 1) == (reason is None)
        assert all(math.isfinite(row.value) for row in rows)
        assert reason is None or ("\n" not in reason and metric.name in reason)


@pytest.mark.parametrize(
    ("metric", "word"),
    [
        (ImageMetric(partial(KernelInceptionDistance, subset_size=300), "tm_kid"), "subset_size"),
        (ImageMetric(partial(KernelInceptionDistance, subsets=0), "tm_kid"), "subsets"),
        (ImageMetric(MultiScaleStructuralSimilarityIndexMeasure, "tm_ms"), "tm_ms: torchmetrics says"),
        (ImageMetric(partial(InceptionScore, splits=2), "tm_is"), "scores no classes"),
    ],
)
def test_what_torchmetrics_cannot_do_is_a_reason_in_one_line(metric, word):
    evidence = drawn() if metric.scope == "sampler" else world().model.alone()
    with pytest.raises(NotApplicable, match=word) as caught:
        run(metric, evidence)
    assert "\n" not in str(caught.value)


def test_pairs_of_vectors_are_none():
    model = world().model
    vectors = {
        part: Split(split.floats().flatten(1), split.label, "float_vector")
        for part, split in (("train", model.reference.train), ("test", model.reference.test))
    }
    reference = replace(model.reference, **vectors)
    flat = fresh(model, reference=reference, decode=lambda z, label: decode(z).flatten(1))
    with pytest.raises(NotApplicable, match="tm_psnr: defined for images only"):
        run(ALL[4], flat.alone())


# -- the contract --------------------------------------------------------------------------------------------------


LAWS_OF_ALL = [law for name, law in LAWS.items() if name != "gives_finite_named_rows"]


@pytest.mark.parametrize("law", LAWS_OF_ALL, ids=lambda law: law.__name__)
@pytest.mark.parametrize("metric", ALL, ids=lambda m: m.name)
def test_it_keeps_the_contract(metric, law):
    assert isinstance(metric, Metric)
    law(metric)


def test_entries_come_from_the_class():
    directions = {m.name: m.measures[0].direction for m in ALL}
    assert directions == {
        "tm_fid": "lower", "tm_kid": "lower", "tm_mifid": "lower", "tm_ssim": "higher", "tm_psnr": "higher",
    }  # fmt: skip
    assert [m.scope for m in ALL] == ["sampler"] * 3 + ["model"] * 2
    assert [m.measures[0].rankable for m in ALL] == [True] * 3 + [False] * 2
    assert not {m.name for metric in ALL for m in metric.measures} & set(BUILTIN)


# -- configuration -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_a_metric_of_its_name(name):
    metric = build_metric(load_option("metric", name), name)
    assert isinstance(metric, Metric) and isinstance(metric, ImageMetric)
    assert metric.name == name == metric.measures[0].name
    assert metric == build_metric(load_option("metric", name), name)


def test_there_are_files():
    assert {"tm_fid", "tm_kid", "tm_mifid", "tm_inception_score", "tm_ssim", "tm_psnr"} <= set(FILES)


PREFIX = "torchmetrics.image."


@pytest.mark.parametrize(
    ("node", "word"),
    [
        (
            {"_target_": PREFIX + "KernelInceptionDistance", "feature": 64},
            r"^metrics\.x\.feature=64: not from",
        ),
        ({"_target_": PREFIX + "FrechetInceptionDistance", "normalize": True}, "normalize=True: not from"),
        (
            {"_target_": PREFIX + "FrechetInceptionDistance", "feature_extractor_weights_path": "w"},
            "would fetch a network",
        ),
        ({"_target_": PREFIX + "PerceptualPathLength"}, "would fetch a network"),
        ({"_target_": PREFIX + "DeepImageStructureAndTextureSimilarity"}, "would fetch a network"),
        ({"_target_": PREFIX + "LearnedPerceptualImagePatchSimilarity"}, "would fetch a network"),
        ({"_target_": PREFIX + "arniqa.ARNIQA"}, "would fetch a network"),
        (
            {"_target_": PREFIX + "KernelInceptionDistance", "subsets": "many"},
            r"subsets=many: expected an integer",
        ),
        ({"_target_": PREFIX + "KernelInceptionDistance", "subset": 3}, "unknown key"),
        ({"_target_": PREFIX + "InceptionScore", "splits": "https://x.org"}, "neither an address"),
        ({"_target_": PREFIX + "StructuralSimilarityIndexMeasure", "data_range": 255}, "images are in"),
        ({"_target_": PREFIX + "StructuralSimilarityIndexMeasure", "reduction": "none"}, "expected a mean"),
        ({"_target_": PREFIX + "StructuralSimilarityIndexMeasure", "reduction": "most"}, "expected"),
        ({"_target_": PREFIX + "PeakSignalNoiseRatio"}, "data_range: missing"),
        ({"_target_": PREFIX + "QualityWithNoReference"}, "is updated by"),
        ({"_target_": PREFIX + "TotalVariation"}, "is updated by"),
        ({"_target_": "torchmetrics.text.bert.BERTScore"}, "expected a name under"),
        ({"_target_": "torchmetrics.Metric"}, "expected a name under"),
        ({"_target_": PREFIX + "fid.NoTrainInceptionV3"}, "expected a torchmetrics.Metric"),
        ({"_target_": PREFIX + "nothing.Here"}, "cannot be imported"),
    ],
)
def test_bad_nodes_are_refused_in_one_line_and_nothing_is_made(node, word, monkeypatch):
    monkeypatch.setattr(torchmetrics.Metric, "__init__", lambda *_, **__: pytest.fail("made"))
    with pytest.raises(ValueError, match=word) as caught:
        build_metric(node, "x")
    assert "\n" not in str(caught.value) and str(caught.value).startswith("metrics.x")


@pytest.mark.parametrize("name", ["fid", "kid"])
def test_a_name_of_ours_is_refused(name):
    node = {"_target_": PREFIX + "KernelInceptionDistance"}
    with pytest.raises(ValueError, match=f"metrics.{name}: priorgap has a measure of this name"):
        build_metric(node, name)


def test_arguments_that_text_refuses_need_no_torchmetrics():
    code = (
        "import sys\n"
        "from priorgap.metrics.torchmetrics_image import build_metric\n"
        "for key in ('feature', 'net_type'):\n"
        "    try:\n"
        "        build_metric({'_target_': 'torchmetrics.image.KernelInceptionDistance', key: 64}, 'x')\n"
        "    except ValueError as error:\n"
        "        print(error)\n"
        "print([m for m in ('torchmetrics', 'torchvision', 'pytorch_lightning') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.partition("=")[0] for line in lines[:2]] == ["metrics.x.feature", "metrics.x.net_type"]
    assert lines[2] == "[]"


# -- objects of a library call ---------------------------------------------------------------------------------------


def test_a_class_or_a_partial_of_it_is_a_metric():
    assert image_metric(FrechetInceptionDistance).name == "tm_frechet_inception_distance"
    assert image_metric(KID_OF) == ImageMetric(KID_OF, "tm_kernel_inception_distance")
    for cls in (QualityWithNoReference, TotalVariation):
        with pytest.raises(ValueError, match="is updated by"):
            image_metric(cls)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (
            StructuralSimilarityIndexMeasure(data_range=1.0),
            "made already; expected the class, or functools.partial",
        ),
        (partial(KernelInceptionDistance, feature=64), "feature=64: not from"),
        (partial(KernelInceptionDistance, subset=64), "subset: unknown key"),
        (partial(KernelInceptionDistance, 64), "expected named arguments alone"),
    ],
    ids=["object", "feature", "unknown", "by place"],
)
def test_other_objects_are_refused(given, word):
    with pytest.raises(ValueError, match=word) as caught:
        image_metric(given)
    assert "\n" not in str(caught.value)


# -- LPIPS, whose backbone's weights are a file ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """Weights of the smallest backbone, drawn at random."""
    from torchvision import models

    with isolated(stream(9)):
        network = models.squeezenet1_1(weights=None)
    path = tmp_path_factory.mktemp("weights") / "backbone.pth"
    torch.save(network.state_dict(), path)
    return path


def large(model):
    """The world with images of 32x32."""

    def scaled(x):
        return nn.functional.interpolate(x, scale_factor=4)

    splits = {
        part: Split((scaled(split.floats()) * 255).round().to(torch.uint8), split.label)
        for part, split in (("train", model.reference.train), ("test", model.reference.test))
    }
    reference = replace(model.reference, **splits)
    return fresh(model, reference=reference, decode=lambda z, label: scaled(decode(z)))


LPIPS = PREFIX + "LearnedPerceptualImagePatchSimilarity"


def test_lpips_equals_torchmetrics_with_the_weights_of_the_file(backbone, monkeypatch):
    from torchmetrics.functional.image.lpips import _LPIPS

    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("fetched"))
    before = torch.hub.get_dir()
    model = large(world().model)
    metric = build_metric({"_target_": LPIPS, "net_type": "squeeze", "weights": str(backbone)}, "tm_lpips")
    (row,) = run(metric, model.alone())
    assert torch.hub.get_dir() == before
    network = _LPIPS(pretrained=True, net="squeeze", pnet_rand=True)
    tensors = torch.load(backbone, weights_only=True)
    own = network.net.state_dict()
    for name in own:
        own[name] = tensors["features." + name.split(".", 2)[2]]
    network.net.load_state_dict(own)
    a, b = model.decoded(model.test.mean).floats(), model.reference.test.floats()
    with torch.no_grad():
        found = network(a.expand(-1, 3, -1, -1), b.expand(-1, 3, -1, -1), normalize=True)
        other = network(a.flip(0).expand(-1, 3, -1, -1), b.expand(-1, 3, -1, -1), normalize=True)
    assert row.value == pytest.approx(float(found.mean()), rel=1e-4)
    assert row.value < 0.5 * float(other.mean())
    assert metric.measures[0].direction == "lower"


@pytest.mark.parametrize(
    ("node", "word"),
    [
        (
            {"_target_": LPIPS, "net_type": "squeeze"},
            "net_type=squeeze: not from a configuration: it would fetch",
        ),
        ({"_target_": LPIPS}, r"it would fetch a network; expected weights=FILE"),
        ({"_target_": LPIPS, "weights": "/no/such/file"}, r"metrics\.x\.weights=/no/such/file: no such file"),
        (
            {"_target_": LPIPS, "net_type": "lenet", "weights": __file__},
            "net_type=lenet: expected vgg, alex or",
        ),
        ({"_target_": PREFIX + "KernelInceptionDistance", "weights": __file__}, "expected one of Learned"),
    ],
)
def test_lpips_without_its_file_is_refused(node, word):
    with pytest.raises(ValueError, match=word) as caught:
        build_metric(node, "x")
    assert "\n" not in str(caught.value)


def test_a_file_of_anything_else_is_a_reason_and_is_not_unpickled(tmp_path):
    class Harm:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    torch.save(Harm(), tmp_path / "weights.pth")
    node = {"_target_": LPIPS, "net_type": "squeeze", "weights": str(tmp_path / "weights.pth")}
    with pytest.raises(NotApplicable, match="no weights of squeeze"):
        run(build_metric(node, "x"), large(world().model).alone())


def test_classes_that_fetch_are_refused_as_objects_too():
    with pytest.raises(ValueError, match="it would fetch a network"):
        image_metric(LearnedPerceptualImagePatchSimilarity)
