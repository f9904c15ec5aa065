"""Feature spaces and classifiers: accuracy, determinism, independence of the batch, one-line refusals."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from priorgap.core import torchvision_compat
from priorgap.core.random import stream
from priorgap.data.digits import Digits
from priorgap.features.classifier import (
    ClassifierFeatures,
    ClassifierSpec,
    Recipe,
    build_classifier,
    fit_classifier,
    restore_classifier,
)
from priorgap.features.inception import InceptionFeatures
from priorgap.features.maps import PixelFeatures, extract
from priorgap.modalities.images import quantise


@pytest.fixture(scope="module")
def digits():
    return Digits().load(root=Path("unused"), download=False)


@pytest.fixture(scope="module")
def classifier(digits):
    return fit_classifier(digits.train.x, digits.train.label, n_classes=10, generator=stream(0))


def accuracy(classifier, split) -> float:
    return float((classifier.predict(split.x) == split.label).float().mean())


def test_the_digits_classifier_is_good(classifier, digits):
    assert accuracy(classifier, digits.test) >= 0.96


def test_on_shuffled_labels_it_learns_nothing(digits):
    """Negative control: the accuracy above is not an artefact of the measure."""
    order = torch.randperm(len(digits.train), generator=stream(1))
    blind = fit_classifier(
        digits.train.x, digits.train.label[order], n_classes=10, generator=stream(0), epochs=3
    )
    assert accuracy(blind, digits.test) < 0.3


def test_floats_and_bytes_give_the_same_classifier(digits):
    some = digits.train.take(slice(0, 100))
    a, b, c = (
        fit_classifier(x, some.label, n_classes=10, generator=stream(seed), epochs=1)
        for x, seed in ((some.x, 0), (some.floats(), 0), (some.x, 1))
    )
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not all(torch.equal(p, q) for p, q in zip(a.parameters(), c.parameters(), strict=True))


def test_a_classifier_comes_back_from_tensors_and_json(classifier, digits):
    again = restore_classifier(classifier.facts(), dict(classifier.state_dict()))
    x = digits.test.floats()
    with torch.no_grad():
        assert torch.equal(again.logits(x), classifier.logits(x))
        assert torch.equal(classifier.head(classifier.features(x)), classifier.logits(x))
    with pytest.raises(ValueError, match=r"classifier: head.bias has shape"):
        restore_classifier({**classifier.facts(), "n_classes": 9}, dict(classifier.state_dict()))


def test_no_feature_is_constant(classifier, digits):
    features = extract(ClassifierFeatures(classifier), digits.test.x)
    assert features.shape == (len(digits.test), 64)
    assert float(features.std(0).min()) > 0


@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 9, 13), (3, 64, 64), (5,), (6, 3)]
)
def test_every_shape_builds(shape, generator):
    spec = ClassifierSpec(shape, 4, width=4, n_features=7)
    x = torch.rand(3, *shape, generator=generator)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    built = build_classifier(spec, generator=stream(0))
    assert torch.equal(before, torch.get_rng_state())
    assert built.logits(x).shape == (3, 4) and built.features(x).shape == (3, 7)
    assert built.facts() == {"shape": list(shape), "n_classes": 4, "width": 4, "n_features": 7}


def test_vectors_can_be_classified(generator):
    x = torch.randn(600, 5, generator=generator)
    label = (x[:, 0] + x[:, 1] > 0).long()
    fitted = fit_classifier(x[:400], label[:400], n_classes=2, generator=stream(0), epochs=20)
    assert float((fitted.predict(x[400:]) == label[400:]).float().mean()) > 0.9


def test_sequences_are_classified_as_vectors_are(generator):
    x = torch.randn(600, 5, generator=generator)
    label = (x[:, 0] + x[:, 1] > 0).long()
    as_vectors, as_sequences = (
        fit_classifier(rows[:400], label[:400], n_classes=2, generator=stream(0), epochs=2).predict(
            rows[400:]
        )
        for rows in (x, x[..., None])
    )
    assert torch.equal(as_vectors, as_sequences)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClassifierSpec((1, 8, 8), 1), "n_classes=1"),
        (lambda: ClassifierSpec((1, 7, 8), 3), "sides of at least 8"),
        (lambda: ClassifierSpec((1, 1, 8, 8), 3), "shape="),
        (lambda: ClassifierSpec((), 3), "shape="),
        (
            lambda: fit_classifier(torch.zeros(2, 5), torch.tensor([0, 3]), n_classes=3, generator=stream(0)),
            "labels from 0 to 3: expected 0 to 2",
        ),
    ],
)
def test_bad_classifiers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_epochs_fall_with_the_number_of_rows():
    sizes = (100, 10_000, 55_000, 10**6)
    assert [Recipe().epochs(n) for n in sizes] == [40, 8, 4, 4]
    assert [Recipe(passes=3).epochs(n) for n in sizes] == [15, 3, 2, 2]
    assert [Recipe(passes=0.5).epochs(n) for n in sizes] == [2, 1, 1, 1]
    recipe = Recipe(3, 64, 5e-3)
    assert recipe.for_rows(5000) == recipe
    assert recipe.for_rows(4999) == Recipe(8, 32, 2e-3)


def test_extract_keeps_rows_and_their_values(generator):
    x = torch.rand(23, 1, 4, 4, generator=generator)
    assert torch.equal(extract(PixelFeatures(), x, batch=10), x.flatten(1))
    images = quantise(x)
    assert torch.equal(extract(PixelFeatures(), images, batch=7), images.flatten(1) / 255)
    with pytest.raises(ValueError, match="no rows"):
        extract(PixelFeatures(), x[:0])


def test_extract_calls_the_map_with_one_fixed_size(generator):
    sizes = []

    def spy(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return x.flatten(1)

    x = torch.rand(23, 2, generator=generator)
    for n in (1, 10, 23):
        assert torch.equal(extract(spy, x[:n], batch=10), x[:n])
    assert set(sizes) == {10}


def test_features_do_not_depend_on_the_number_of_rows(classifier, digits):
    whole = extract(ClassifierFeatures(classifier), digits.test.x, batch=64)
    part = extract(ClassifierFeatures(classifier), digits.test.x[:70], batch=64)
    assert torch.equal(whole[:70], part)


def test_quantise_rounds_and_clips():
    x = torch.tensor([-0.2, 0.0, 0.4 / 255, 0.6 / 255, 0.5, 1.0, 1.01])
    assert quantise(x).tolist() == [0, 0, 0, 1, 128, 255, 255]
    # the negative control: a cast without the clip wraps 1.01 to a dark pixel
    assert (torch.tensor([1.01]) * 255).to(torch.uint8) != 255


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory):
    """A file with random weights of the Inception network's shapes."""
    torchvision_compat.ensure()
    from torch_fidelity import feature_extractor_inceptionv3 as peer

    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(peer.FeatureExtractorInceptionV3, "load_state_dict", lambda *a, **k: None)
    monkeypatch.setattr(peer, "load_state_dict_from_url", lambda *a, **k: {})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = peer.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    monkeypatch.undo()
    torch.save(network.state_dict(), path)
    return path


def test_inception_equals_torchmetrics_with_the_same_weights(random_weights, generator):
    """torchmetrics resizes with antialiasing unless told not to; published FIDs were measured without."""
    features = InceptionFeatures(random_weights)
    x = torch.rand(2, 3, 12, 12, generator=generator)
    from torchmetrics.image.fid import NoTrainInceptionV3

    with torch.no_grad():
        ours = features(x)
        plain, smooth = (
            NoTrainInceptionV3("inception-v3-compat", ["2048"], str(random_weights), a)(quantise(x))
            for a in (False, True)
        )
    assert ours.shape == (2, 2048)
    assert torch.equal(ours, plain)
    assert not torch.allclose(ours, smooth, rtol=1e-2, atol=0)
    grey = x[:, :1]
    with torch.no_grad():
        assert torch.equal(features(grey), features(grey.expand(-1, 3, -1, -1)))
    with pytest.raises(ValueError, match="1 or 3 channels"):
        features(torch.rand(2, 2, 8, 8))


def test_inception_without_weights_is_one_line(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("<urlopen error no name>\nand more")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(ValueError) as caught:
        InceptionFeatures(cache=tmp_path)
    message = str(caught.value)
    assert "features.weights=PATH" in message and "no name" in message and "\n" not in message
    absent = tmp_path / "absent.pth"
    with pytest.raises(ValueError, match=r"features.weights=.*absent\.pth"):
        InceptionFeatures(absent)


def test_inception_fetches_once_and_checks_the_hash(tmp_path, monkeypatch, random_weights):
    calls = []

    def deliver(url, path, hash_prefix, progress):
        calls.append(hash_prefix)
        Path(path).write_bytes(random_weights.read_bytes())

    monkeypatch.setattr(torch.hub, "download_url_to_file", deliver)
    for _ in range(2):
        InceptionFeatures(cache=tmp_path / "cache")
    assert calls == ["6726825d"]


class _Evil:
    def __reduce__(self):
        return (Path.touch, (Path(_Evil.target),))


def test_weights_are_never_unpickled(tmp_path):
    _Evil.target = str(tmp_path / "ran")
    torch.save({"Conv2d_1a_3x3.conv.weight": _Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"evil\.pth"):
        InceptionFeatures(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()
