"""The library's front door: a user's VAE as two callables; the pipeline's numbers; errors that say what is wrong."""

import pytest
import torch

from priorgap import compare
from priorgap.comparison.result import Comparison
from priorgap.comparison.supplied_data import supplied
from priorgap.core.random import stream
from priorgap.data.digits import Digits
from priorgap.data.splits import Split
from priorgap.samplers.ex_post import ExPostGaussian
from priorgap.verdict import FACT_COLUMNS, RESULT_COLUMNS

N_UNITS = 3
METRICS = ("rate", "marginal_kl", "decomposition", "fid", "kid", "copying")


class Linear:
    """A VAE that was never trained: principal components of the digits, with a posterior of its own."""

    def __init__(self, x: torch.Tensor) -> None:
        flat = x.flatten(1)
        self.mean = flat.mean(0)
        _, s, v = torch.linalg.svd(flat - self.mean, full_matrices=False)
        self.basis, self.scale = v[:N_UNITS], s[:N_UNITS] / len(x) ** 0.5

    def encode(self, x):
        mean = ((x.flatten(1) - self.mean) @ self.basis.T) / self.scale
        return mean, torch.full_like(mean, -3.0)

    def decode(self, z):
        return ((z * self.scale) @ self.basis + self.mean).clamp(0, 1).view(-1, 1, 8, 8)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return Digits(validation_fraction=0.2, test_fraction=0.2, split_seed=0).load(
        root=tmp_path_factory.mktemp("data"), download=False
    )


@pytest.fixture(scope="module")
def model(digits):
    return Linear(digits.train.floats())


@pytest.fixture(scope="module")
def result(digits, model) -> Comparison:
    return compare(
        model.encode, model.decode, digits.train, digits.test, validation=digits.validation,
        samplers=["prior", "posterior", "posterior_heldout", "gaussian_full"], metrics=METRICS,
        features="pixels", n=120,
    )  # fmt: skip


def test_table_and_verdict(result):
    assert list(result.table.columns) == [*RESULT_COLUMNS, *FACT_COLUMNS]
    assert set(result.table["sampler"]) == {"", "prior", "posterior", "posterior_heldout", "gaussian_full"}
    assert {"rate", "marginal_kl", "kl_diag", "fid", "kid", "near_copy_excess"} <= set(
        result.table["measure"]
    )
    assert "this trained model only" in result.verdict.text
    assert "| `gaussian_full` (recommended) |" in result.to_markdown()
    assert result.verdict.recommended == "gaussian_full" and result.health == ()
    assert not result.table["value"].isna().any()


def test_same_seed_same_bits_and_order_does_not_matter(result, digits, model):
    again = compare(
        model.encode, model.decode, digits.train, digits.test, validation=digits.validation,
        samplers=["gaussian_full", "posterior_heldout", "prior"], metrics=tuple(reversed(METRICS)),
        features="pixels", n=120,
    )  # fmt: skip
    keys = ["sampler", "measure", "space", "unit", "bound"]
    a, b = (r.table.set_index(keys)["value"] for r in (result, again))
    assert (a.loc[b.index] == b).all()


def test_sets_a_fifth_of_test_aside_and_says_that_the_null_is_unknown(digits, model):
    found = compare(
        model.encode, model.decode, digits.train, digits.test, samplers=["posterior"],
        metrics=["memorisation"], features="pixels", n=60,
    )  # fmt: skip
    rows = found.table[found.table["measure"] == "memorisation_auc"]
    # the value and its two limits
    assert set(rows["unit"]) == {"null unknown"} and sorted(rows["bound"]) == ["lower", "point", "upper"]


def test_data_without_labels_lose_the_class_measures_with_that_reason(digits, model):
    bare = [Split(s.x) for s in (digits.train, digits.test)]
    found = compare(
        model.encode, model.decode, *bare, samplers=["prior", "per_class_gaussian_full"],
        metrics=["fid", "accuracy_synthetic_to_real"], n=60,
    )  # fmt: skip
    # clusters of the training rows stand for classes in the feature space, and in nothing else
    assert set(found.table["space"]) == {"classifier"}
    (note,) = [one for one in found.health if one.name == "no_labels"]
    assert note.severity == "note" and "32 clusters of the training rows" in note.sentence
    assert "no labels" in found.skipped["accuracy_synthetic_to_real of prior"]
    assert "no labels" in found.skipped["per_class_gaussian_full"]
    (missing,) = [one for one in found.health if one.name == "sampler_does_not_apply"]
    assert missing.sentence == "per_class_gaussian_full has no draws: the data have no labels."


@pytest.mark.parametrize(
    ("side", "n", "space"), [(4, 200, "pixels"), (8, 30, "pixels"), (8, 60, "classifier")]
)
def test_pixels_are_the_space_only_where_no_network_can_be_trained(side, n, space):
    x = torch.rand(n + 60, 1, side, side, generator=torch.Generator().manual_seed(0))
    found = compare(
        lambda x: (x.flatten(1)[:, :2], torch.full((len(x), 2), -3.0)),
        lambda z: (z.mean(1)[:, None, None, None] + torch.zeros(1, side, side)).clamp(0, 1),
        x[:n], x[n:], samplers=["prior", "gaussian_diag"], metrics=["fid"],
    )  # fmt: skip
    assert set(found.table["space"]) <= {space} and (len(found.table) or found.health[0].severity == "stop")


def test_float_images_and_label_tensors_are_taken(digits, model):
    found = compare(
        model.encode, model.decode, digits.train.floats(), digits.test.floats(),
        labels=(digits.train.label, digits.test.label), samplers=[ExPostGaussian("full"), "prior"],
        metrics=["fid", "accuracy_real_to_synthetic"], features="pixels", n=60,
    )  # fmt: skip
    assert set(found.table["sampler"]) == {"gaussian_full", "prior"}


def test_labels_are_taken_as_arrays_and_lists(digits):
    data, labels = (digits.train.floats(), digits.test.floats()), (digits.train.label, digits.test.label)
    found = [
        supplied({"train": data[0], "test": data[1]}, given, seed=0).parts
        for given in (
            labels,
            [x.numpy() for x in labels],
            [x.tolist() for x in labels],
            [x.float() for x in labels],
        )
    ]
    for parts in found:
        assert all(torch.equal(parts[name].label, found[0][name].label) for name in parts)
        assert parts["train"].label.dtype == torch.int64


def test_a_deterministic_encoder_is_taken(digits, model):
    found = compare(
        lambda x: (model.encode(x)[0], None), model.decode, digits.train, digits.test,
        samplers=["prior", "posterior_mean", "gaussian_full", "literal_log_var"], metrics=["rate", "fid"],
        features="pixels", n=60,
    )  # fmt: skip
    assert "no log_var" in found.skipped["rate"] and "no log_var" in found.skipped["literal_log_var"]


def test_the_users_model_is_left_alone(digits):
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2 * N_UNITS), torch.nn.Dropout(0.5))
    net.train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    decoder = torch.nn.Sequential(
        torch.nn.Linear(N_UNITS, 64), torch.nn.Sigmoid(), torch.nn.Unflatten(1, (1, 8, 8))
    )
    compare(
        lambda x: net(x).chunk(2, 1), decoder, digits.train, digits.test, samplers=["prior"], metrics=["fid"],
        features="pixels", n=60,
    )  # fmt: skip
    assert net.training and all(torch.equal(before[k], v) for k, v in net.state_dict().items())


BAD = {
    "encode gives one tensor": (
        {"encode": lambda x: x.flatten(1)},
        r"encode: gave one tensor of 64 values.*chunk\(2, 1\)",
    ),
    "decode of another shape": (
        {"decode": lambda z: torch.zeros(len(z), 1, 4, 4)},
        "decode: gave rows of shape",
    ),
    "decode out of range": ({"decode": lambda z: 300 * torch.ones(len(z), 1, 8, 8)}, "expected images in"),
    "unknown sampler": ({"samplers": ["nope"]}, "sampler=nope"),
    "unknown metric": ({"metrics": ["nope"]}, "metric=nope"),
    "no draws": ({"n": 0}, "n=0"),
    "more draws than memory": ({"n": 10**30}, "n=.*: expected an integer from 2 to"),
    "encode without values": (
        {"encode": lambda x: (torch.zeros(len(x), 2, device="meta"), None)},
        "meta device",
    ),
    "encode sparse": ({"encode": lambda x: (torch.zeros(len(x), 2).to_sparse(), None)}, "encode: .*sparse"),
    "encode complex": ({"encode": lambda x: (torch.ones(len(x), 2) * 1j, None)}, "encode: .*complex"),
    "no units": ({"encode": lambda x: (torch.ones(len(x), 0), None)}, r"encode: .*\(\d+, 0\)"),
    "a log_var of infinity": (
        {"encode": lambda x: (torch.ones(len(x), 2), torch.full((len(x), 2), torch.inf))},
        "encode: gave a log_var with",
    ),
    "decode complex": ({"decode": lambda z: torch.ones(len(z), 1, 8, 8) * 1j}, "decode: .*complex"),
    "decode without values": (
        {"decode": lambda z: torch.ones(len(z), 1, 8, 8, device="meta")},
        "decode: .*meta",
    ),
    "images with NaN": (
        {"train": torch.full((30, 1, 8, 8), torch.nan)},
        "train is .*NaN or infinity in 30 of 30 rows",
    ),
    "vectors with infinity": (
        {"test": torch.full((30, 4), torch.inf)},
        "test is .*NaN or infinity in 30 of 30 rows",
    ),
    "images without pixels": ({"train": torch.rand(30, 1, 8, 0)}, "train: .*without values"),
    "complex images": ({"train": torch.rand(30, 1, 8, 8) * 1j}, "train: .*complex"),
    "a prior by name": ({"prior": "normal"}, "prior='normal': expected a Prior"),
    "no name of features": ({"features": ""}, "features=''"),
    "features without a name": ({"features": lambda x: x}, "features=<function .*a FeatureMap"),
    "labels for one set only": ({"labels": [torch.zeros(3)]}, "labels: got 1"),
    "labels that are no list": ({"labels": 5}, "labels: got int"),
    "labels as text of another length": (
        {"labels": (["a"] * 1079, ["b"] * 35)},
        "labels of test is .*expected 359 labels",
    ),
    "labels with None": (
        {"labels": ([None] * 1079, [None] * 359)},
        "labels of train is .*1079 of 1079 rows have no label",
    ),
    "labels between classes": (
        {"labels": [torch.full((k,), 0.5) for k in (1079, 359)]},
        "labels of train is float32 .*expected 1079 integers or names; got 0.5",
    ),
    "negative labels": (
        {"labels": [torch.full((k,), -1) for k in (1079, 359)]},
        "labels of train is int64 .*1079 of 1079 rows have no label",
    ),
    "endless classes": (
        {"labels": [torch.full((k,), 1e30) for k in (1079, 359)]},
        r"labels of train is float32 .*integers or names; got 1.*e\+",
    ),
    "too few labels": (
        {"labels": [torch.zeros(3), torch.zeros(3)]},
        r"labels of train is float32 \(3,\): expected 1079 labels",
    ),
    "labels without values": (
        {"labels": [torch.zeros(k, dtype=torch.int64, device="meta") for k in (1079, 359)]},
        "labels of train: .*meta",
    ),
    "floats out of range": (
        {"train": torch.rand(30, 1, 8, 8) * 255},
        "decode: gave values from 0.* to 1 where images go from 0 to 255",
    ),
    "no data": ({"test": [1, 2, 3]}, r"test is int64 \(3,\): expected images"),
    "tests of another shape": (
        {"test": torch.rand(30, 1, 9, 9)},
        "test: rows of shape|validation: rows of shape",
    ),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_arguments_are_named_in_one_line(digits, model, case):
    changes, words = BAD[case]
    arguments = {
        "encode": model.encode, "decode": model.decode, "train": digits.train, "test": digits.test,
        "samplers": ["prior"], "metrics": ["fid"], "features": "pixels", "n": 60,
    }  # fmt: skip
    with pytest.raises(ValueError, match=words) as caught:
        compare(**{**arguments, **changes})
    assert "\n" not in str(caught.value)


def test_a_model_without_an_encoder_is_measured_on_its_samples_alone(digits, model):
    found = compare(
        None, model.decode, digits.train, digits.test, validation=digits.validation, latent_dim=N_UNITS,
        samplers=["prior", "posterior", "gaussian_full"], metrics=["rate", "kl", "decomposition", "fid", "copying"],
        features="pixels", n=60,
    )  # fmt: skip
    assert set(found.table["sampler"]) == {"prior"} and set(found.table["measure"]) == {"fid"}
    for name in ("rate", "kl", "decomposition", "copying of prior"):
        assert found.skipped[name] == "the model has no encoder"
    for name in ("posterior", "gaussian_full"):
        assert found.skipped[name] == f"{name}: the model has no encoder"


class _Conditional:
    """Decodes the mean image of the label, moved a little by z."""

    def __init__(self, split: Split) -> None:
        x = split.floats()
        self.means = torch.stack([x[split.label == c].mean(0) for c in range(10)])

    def encode(self, x, label):
        z = (x - self.means[label]).flatten(1)[:, 20 : 20 + N_UNITS]
        return z, torch.full_like(z, -1.0)

    def decode(self, z, label):
        return (self.means[label] + 0.01 * z.mean(1)[:, None, None, None]).clamp(0, 1)


@pytest.mark.slow
def test_a_conditional_model_is_given_a_label_with_every_draw(digits):
    model = _Conditional(digits.train)
    metrics = ["fid", "accuracy_real_to_synthetic"]
    found = compare(
        model.encode, model.decode, digits.train, digits.test, validation=digits.validation,
        samplers=["prior", "posterior", "per_class_gaussian_full"], metrics=metrics, n=200,
    )  # fmt: skip
    whole = found.table[(found.table["measure"] == metrics[1]) & (found.table["unit"] == "")]
    assert dict(zip(whole["sampler"], whole["label_source"], strict=True)) == {
        "prior": "condition", "posterior": "source", "per_class_gaussian_full": "condition"
    }  # fmt: skip
    # the mean image of a class is what the judge takes for it
    assert whole["value"].min() > 0.8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encode": None}, "latent_dim: missing"),
        ({"latent_dim": 3}, "latent_dim=3: expected only with encode=None"),
        ({"train": "unlabelled"}, "encode: takes a label, and the data have none"),
        ({"train": "without 3"}, "label=3: a class that was never seen in training"),
    ],
)
def test_what_a_conditional_model_cannot_do_is_said_in_one_line(digits, change, words):
    model = _Conditional(digits.train)
    arguments = {"encode": model.encode, "decode": model.decode, "train": digits.train, "test": digits.test}
    arguments |= change
    train = {"unlabelled": Split(digits.train.x), "without 3": digits.train.take(digits.train.label != 3)}
    if isinstance(arguments["train"], str):
        arguments["train"] = train[arguments["train"]]
    with pytest.raises(ValueError, match=words) as caught:
        compare(**arguments, samplers=["prior"], metrics=["fid"], features="pixels", n=60)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("noise", [0.0, 1 / 255])
def test_a_decoder_of_training_images_alone_is_never_recommended(digits, model, noise):
    """Its held-out draws are copies too, so that measures relative to them see nothing."""
    images = digits.train.floats()
    codes = model.encode(images)[0]

    def decode(z):
        found = images[torch.cdist(z, codes).argmin(1)]
        return (found + noise * torch.rand(found.shape, generator=stream(0, "noise"))).clamp(0, 1)

    result = compare(
        model.encode, decode, digits.train, digits.test, samplers=["prior", "gaussian_full"],
        metrics=["fid", "copying"], features="pixels", n=120,
    )  # fmt: skip
    assert result.verdict.recommended is None and "copies training images" in result.verdict.headline
    shares = result.table[(result.table["measure"] == "identical_share") & (result.table["bound"] == "point")]
    assert shares["value"].tolist() == [1.0, 1.0]


def test_a_sampler_that_two_images_cannot_be_fitted_for_is_absent_alone(digits, model):
    few = Split(digits.train.x[:2])
    found = compare(
        model.encode, model.decode, few, Split(digits.test.x), samplers=["prior", "gaussian_full", "gmm"],
        metrics=["rate", "fid", "copying"], features="pixels", n=60,
    )  # fmt: skip
    assert set(found.table["sampler"]) == {"", "prior", "gaussian_full"}
    assert "at most half of the 8 points (2 training images)" in found.skipped["gmm"]
    said = found.skipped["copying of prior"]
    assert "2 draws of validation rows; expected at least 99" in said


def test_the_classifiers_features_by_name_ask_for_classes(digits, model):
    bare = [Split(part.x) for part in (digits.train, digits.test)]
    with pytest.raises(ValueError, match="features='classifier': expected labels of several classes"):
        compare(model.encode, model.decode, *bare, features="classifier")


def test_a_decoder_that_gives_no_numbers_is_an_error_like_any_other(digits, model):
    with pytest.raises(ValueError, match="decode: gave a tensor with NaN or infinity") as caught:
        compare(model.encode, lambda z: model.decode(z) * float("nan"), digits.train, digits.test)
    assert type(caught.value) is ValueError
