"""The library's front door: compare ways of sampling a VAE that is brought as two plain callables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int
from torch import Tensor

from priorgap.building import build, configuration_directory, load_option
from priorgap.coding import Decode, Encode, decode_all, encode_all, needs_label, takes_label
from priorgap.data.splits import Split, random_split
from priorgap.feature_spaces import FeatureSpace
from priorgap.features import Classifier, FeatureMap, fit_classifier
from priorgap.latents import LatentDraw, Latents
from priorgap.measurement import Measurement
from priorgap.metrics.classifiers import fit_classifiers
from priorgap.metrics.evidence import ModelEvidence
from priorgap.metrics.floors import build_features
from priorgap.metrics.measuring import measure_one
from priorgap.metrics.protocols import Metric
from priorgap.metrics.reference import Reference
from priorgap.models.conditional import Classes
from priorgap.priors.base import Prior
from priorgap.priors.standard_normal import StandardNormal
from priorgap.samplers.drawing import (
    class_frequencies,
    draw_latents,
    fit_inputs,
    fit_sampler,
    inputs_without_encoder,
    label_source_of,
)
from priorgap.samplers.protocols import FitInputs, FittedSampler, Sampler, SamplerNotApplicable
from priorgap.samplers.validity import ModelTraits, invalid
from priorgap.streams import stream
from priorgap.verdict import RESULT_COLUMNS, StudyVerdict, decide_study

if TYPE_CHECKING:
    import pandas as pd

Data = Split | Tensor
_SAMPLERS = ("prior", "posterior", "posterior_heldout", "posterior_mean", "gaussian_full", "gmm")
_PROBE = 4


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        table: tidy results, with the columns of results.csv.
        verdict: winner, effect, interval, labels and the paragraph.
        skipped: what is absent -> why.
    """

    table: "pd.DataFrame"
    verdict: StudyVerdict
    skipped: Mapping[str, str] = field(default_factory=dict)

    def to_markdown(self) -> str:
        """Return the verdict's paragraph and a table of samplers by measures."""
        from priorgap.report import readme_table

        return f"{self.verdict.text}\n\n{readme_table(self.table)}"


@dataclass(frozen=True, eq=False)
class Draws:
    """What one sampler gave: its fitted law, its draws of z, where their labels came from."""

    sampler: Sampler
    fitted: FittedSampler
    draw: LatentDraw
    label_source: str


def compare(
    encode: Encode | None,
    decode: Decode,
    train: Data,
    test: Data,
    *,
    validation: Data | None = None,
    labels: Sequence[Int[Tensor, "n"]] | None = None,
    samplers: Sequence[Sampler | str] | None = None,
    metrics: Sequence[Metric | str] | None = None,
    n: int | None = None,
    seed: int = 0,
    features: FeatureMap | str | None = None,
    prior: Prior | None = None,
    latent_dim: int | None = None,
    progress: Callable[[str], object] | None = None,
) -> Comparison:
    """Compare ways of sampling a trained VAE: which law of z gives the best synthetic data, and at what cost.

    Args:
        encode: x [b, ...] -> (mean [b, d], log_var [b, d] or None); gets `label=` too if it accepts it. None for
            a model without an encoder (a GAN): what needs posteriors is skipped with that reason.
        decode: z [b, d] -> x [b, ...], images in [0, 1]; gets `label=` too if it accepts it: the model is then
            conditional, and draws that have no label of their own get one by the training frequencies.
        train: what the VAE was trained on: a Split, uint8 images, float images in [0, 1], or vectors.
        test: held-out data of the same kind; nothing is fitted or selected on it.
        validation: held-out data for selection; None sets a seeded fifth of `test` aside, never a part of `train`.
        labels: labels of train and test (and of validation, when given), for plain tensors.
        samplers: objects or names of conf/sampler; None is a standard choice.
        metrics: objects or names of conf/metric; None is `standard`.
        n: draws per sampler; None is one for each test row, at most 10,000.
        seed: of everything random; the same seed gives the same numbers.
        features: a feature map, "classifier" or "pixels"; None is the classifier where there are labels.
        prior: the model's prior, on the CPU, where that is a learned one; None is N(0, I).
        latent_dim: dimension of z, where `encode` and `prior` are None.
        progress: called with a line before each step that takes time.

    Returns:
        The table, the verdict ("for this trained model only") and what was skipped, with reasons.

    Raises:
        ValueError: one line that names the argument, the value and what was expected; for a callable, what it
            gave and what was expected.
    """
    say = progress or (lambda line: None)
    parts = _splits(train, test, validation, labels, seed)
    settings = _settings()
    batches = settings["numerics"]
    chosen = [_sampler(s) for s in (samplers if samplers is not None else _SAMPLERS)]
    wanted = [_metric(m) for m in (metrics if metrics is not None else _standard())]
    n_draws = _count(n, len(parts["test"]))
    conditional = _conditional(encode, decode, parts)
    law = _law(encode, latent_dim, prior)
    _probe(encode, decode, parts["train"], int(batches["decode_batch"]), law)
    latents: dict[str, Latents] = {}
    if encode is not None:
        say("encoding")
        latents = {k: _encode(encode, s, int(batches["encode_batch"])) for k, s in parts.items()}
        if prior is not None and prior.dim != latents["train"].dim:
            raise ValueError(f"prior: of dimension {prior.dim}; expected that of z, {latents['train'].dim}")
    say("reference: real-data classifiers, features and floors")
    needs = frozenset[str]().union(*(m.needs for m in wanted))
    reference = _reference(parts, features, n_draws, settings["reference"], needs)

    def decoded(z: Tensor, label: Tensor | None) -> Tensor:
        return decode_all(decode, z, batch=int(batches["decode_batch"]), label=label)

    def encoded(x: Split) -> Tensor:
        assert encode is not None
        return _encode(encode, x, int(batches["encode_batch"])).mean

    model = ModelEvidence(
        latents.get("train"), latents.get("validation"), latents.get("test"), prior, decoded, reference,
        seed=seed, heldout_exchangeable=validation is not None, encode=None if encode is None else encoded,
    )  # fmt: skip
    say("fitting the samplers")
    frequencies = class_frequencies(parts["train"].label)
    if latents:
        inputs = fit_inputs(latents["train"], latents["validation"], prior)
    else:
        assert law is not None
        inputs = inputs_without_encoder(law, frequencies)
    valid, refused = _valid(chosen, _traits(latents, law, conditional, parts["train"].label is not None))
    fitted, skipped = fit_samplers(valid, inputs, seed=seed)
    draws = draw(fitted, n_draws, seed=seed, classes=frequencies if conditional else None)
    rows, reasons = measure(wanted, model, draws, seed=seed, progress=say)
    table = _table(rows, seed)
    space = reference.feature_map.name
    level = float(settings["verdict"]["level"])
    absent = {**refused, **skipped, **reasons}
    verdict = decide_study(table, measure="fid", space=space, level=level, skipped=absent)
    return Comparison(table, verdict, absent)


# -- the three inner steps; the pipeline's stages take the same ones apart -------------------------------------


def fit_samplers(
    samplers: Sequence[Sampler], inputs: FitInputs, *, seed: int
) -> tuple[list[tuple[Sampler, FittedSampler]], dict[str, str]]:
    """Fit each sampler with its own stream; those that do not apply come back as name -> reason."""
    fitted, skipped = [], {}
    for sampler in samplers:
        try:
            fitted.append((sampler, fit_sampler(sampler, inputs, seed=seed)))
        except SamplerNotApplicable as reason:
            skipped[sampler.name] = str(reason)
    return fitted, skipped


def draw(
    fitted: Sequence[tuple[Sampler, FittedSampler]], n: int, *, seed: int, classes: Tensor | None = None
) -> list[Draws]:
    """Draw n latents of each fitted sampler, with common random numbers.

    Args:
        fitted: samplers with their laws.
        n: draws of each.
        seed: of the common stream.
        classes: for a conditional model, the probability of each class: every draw gets a label.
    """
    return [
        Draws(
            sampler, law, draw_latents(law, n, seed=seed, classes=classes),
            label_source_of(sampler, conditional=classes is not None),
        )
        for sampler, law in fitted
    ]  # fmt: skip


def measure(
    metrics: Sequence[Metric],
    model: ModelEvidence,
    draws: Sequence[Draws],
    *,
    seed: int,
    progress: Callable[[str], object] = lambda line: None,
) -> tuple[list[tuple[str, str, Measurement]], dict[str, str]]:
    """Measure a model and its samplers.

    Returns:
        (sampler, role, measurement) rows, and what is absent -> why.
    """
    rows: list[tuple[str, str, Measurement]] = []
    skipped: dict[str, str] = {}
    progress("measuring the model")
    alone = model.alone()
    for metric in (m for m in metrics if m.scope == "model"):
        found, reason = measure_one(metric, alone, seed=seed)
        rows += [("", "", row) for row in found]
        if reason is not None:
            skipped[metric.name] = reason
    for one in draws:
        progress(f"measuring {one.sampler.name}")
        evidence = model.of(one.sampler.name, one.sampler.role, one.draw, label_source=one.label_source)
        for metric in (m for m in metrics if m.scope == "sampler"):
            found, reason = measure_one(metric, evidence, seed=seed)
            rows += [(one.sampler.name, one.sampler.role, row) for row in found]
            if reason is not None:
                skipped[f"{metric.name} of {one.sampler.name}"] = reason
    return rows, skipped


# -- arguments -------------------------------------------------------------------------------------------------


def _settings() -> dict[str, Any]:
    """Return the values of conf/config.yaml: each stands there and nowhere else."""
    import yaml

    content: dict[str, Any] = yaml.safe_load((configuration_directory() / "config.yaml").read_text())
    return content


def _standard() -> list[str]:
    import yaml

    file = configuration_directory() / "metric" / "standard.yaml"
    return list(yaml.safe_load(file.read_text())["defaults"])


def _sampler(given: Sampler | str) -> Sampler:
    if not isinstance(given, str):
        return given
    built: Sampler = build(load_option("sampler", given), Sampler, where=f"samplers.{given}")
    return built


def _metric(given: Metric | str) -> Metric:
    if not isinstance(given, str):
        return given
    built: Metric = build(load_option("metric", given), Metric, where=f"metrics.{given}")
    return built


def _count(n: int | None, n_test: int) -> int:
    limit = int(_settings()["n_samples"])
    if n is None:
        return min(limit, n_test)
    if isinstance(n, bool) or not isinstance(n, int) or n < 2:
        raise ValueError(f"n={n}: expected an integer >= 2")
    return n


def _splits(
    train: Data, test: Data, validation: Data | None, labels: Sequence[Tensor] | None, seed: int
) -> dict[str, Split]:
    expected = 2 if validation is None else 3
    if labels is not None and len(labels) != expected:
        raise ValueError(
            f"labels: got {len(labels)} tensors, expected {expected}: one for each data argument"
        )
    own: Sequence[Tensor | None] = [None] * 3 if labels is None else [*labels, None]
    parts = {"train": _split(train, own[0], "train"), "test": _split(test, own[1], "test")}
    if validation is None:
        if len(parts["test"]) < 10:
            raise ValueError(
                f"test: {len(parts['test'])} rows; expected at least 10, or validation= of its own"
            )
        fifth = len(parts["test"]) // 5
        chosen, rest = random_split(
            len(parts["test"]), [fifth], generator=stream(seed, "validation from test")
        )
        parts["validation"], parts["test"] = parts["test"].take(chosen), parts["test"].take(rest)
    else:
        parts["validation"] = _split(validation, own[2], "validation")
    for name in ("test", "validation"):
        if parts[name].shape != parts["train"].shape or parts[name].kind != parts["train"].kind:
            raise ValueError(
                f"{name}: rows of shape {parts[name].shape}; expected those of train, {parts['train'].shape}"
            )
    return parts


def _split(data: Data, label: Tensor | None, name: str) -> Split:
    if isinstance(data, Split):
        return data if label is None else Split(data.x, label.long(), data.kind)
    if not isinstance(data, Tensor) or data.ndim not in (2, 4):
        got = tuple(data.shape) if isinstance(data, Tensor) else type(data).__name__
        raise ValueError(f"{name}: got {got}; expected a Split, images [n, c, h, w] or vectors [n, d]")
    known = None if label is None else label.long()
    if data.ndim == 2:
        return Split(data.float(), known, "float_vector")
    if data.dtype == torch.uint8:
        return Split(data, known, "uint8_image")
    low, high = float(data.min()), float(data.max())
    if low < 0 or high > 1:
        raise ValueError(f"{name}: images from {low:g} to {high:g}; expected floats in [0, 1] or uint8")
    return Split((data * 255).round().to(torch.uint8), known, "uint8_image")


def _conditional(encode: Encode | None, decode: Decode, parts: Mapping[str, Split]) -> bool:
    """Return whether the model takes labels, which then must be there, test's among those of train.

    A label that may be left out (`label=None`) does not make labels mandatory.

    Raises:
        ValueError: labels are missing, or a class was never seen in training; one line.
    """
    for name, function in (("encode", encode), ("decode", decode)):
        if function is not None and needs_label(function) and any(s.label is None for s in parts.values()):
            raise ValueError(f"{name}: takes a label, and the data have none; expected labels for all data")
    label = parts["train"].label
    if label is None or not takes_label(decode):
        return False
    classes = Classes(tuple(label.bincount().tolist()))
    for name in ("validation", "test"):
        other = parts[name].label
        if other is not None:
            classes.check(other, f"{name}: label")
    return True


def _law(encode: Encode | None, latent_dim: int | None, prior: Prior | None) -> Prior | None:
    """Return p(z): the given one, or N(0, I), for which None stands where the encoder says its dimension."""
    if encode is not None:
        if latent_dim is not None:
            raise ValueError(f"latent_dim={latent_dim}: expected only with encode=None; encode says it")
        return prior
    if prior is not None:
        if latent_dim not in (None, prior.dim):
            raise ValueError(f"latent_dim={latent_dim}: expected the prior's dimension, {prior.dim}")
        return prior
    if latent_dim is None:
        raise ValueError("latent_dim: missing; expected the dimension of z where encode is None")
    return StandardNormal(latent_dim)


def _traits(
    latents: Mapping[str, Latents], law: Prior | None, conditional: bool, labels: bool
) -> ModelTraits:
    """Return what the model offers to samplers; without `prior=` it is taken to be trained with N(0, I)."""
    with_variance = bool(latents) and latents["train"].log_var is not None
    standard = law is None or isinstance(law, StandardNormal)
    return ModelTraits(
        bool(latents), with_variance, "standard_normal" if standard else "learned", conditional, labels
    )


def _valid(samplers: Sequence[Sampler], traits: ModelTraits) -> tuple[list[Sampler], dict[str, str]]:
    """Return the samplers that have a meaning for the model, and of the others name -> reason."""
    reasons = {one.name: reason for one in samplers if (reason := invalid(one, traits)) is not None}
    return [one for one in samplers if one.name not in reasons], reasons


def _probe(encode: Encode | None, decode: Decode, train: Split, batch: int, prior: Prior | None) -> None:
    """Try both callables on one small batch first, so that a shape error costs nothing."""
    few = train.take(slice(0, _PROBE))
    if encode is not None:
        z = _encode(encode, few, min(batch, _PROBE)).mean
    else:
        assert prior is not None
        z = torch.zeros(len(few), prior.dim)
    x = decode_all(decode, z, batch=min(batch, _PROBE), label=few.label if takes_label(decode) else None)
    if tuple(x.shape[1:]) != train.shape:
        raise ValueError(
            f"decode: gave rows of shape {tuple(x.shape[1:])}, expected those of train, {train.shape}"
        )
    if train.kind == "uint8_image" and (float(x.min()) < -0.5 or float(x.max()) > 1.5):
        raise ValueError(
            f"decode: gave values from {float(x.min()):g} to {float(x.max()):g}, expected images in [0, 1]"
        )


def _encode(encode: Encode, split: Split, batch: int) -> Latents:
    return encode_all(encode, split.batch, len(split), batch=batch, label=split.label)


def _reference(
    parts: Mapping[str, Split],
    features: FeatureMap | str | None,
    n: int,
    settings: Mapping[str, Any],
    needs: frozenset[str],
) -> Reference:
    """Compute what the metrics need of the real data: classifiers cost most and are left out where none asks."""
    train, test, seed = parts["train"], parts["test"], int(settings["seed"])
    labelled = train.label is not None and test.label is not None
    n_classes = None
    if train.label is not None and test.label is not None:
        n_classes = int(max(train.label.max(), test.label.max())) + 1
    sizes = settings["classifier"]
    classifier: Classifier | None = None
    if labelled and n_classes is not None and features in (None, "classifier") and train.label is not None:
        classifier = fit_classifier(
            train.x, train.label, n_classes=n_classes, generator=stream(seed, "feature_classifier"),
            epochs=sizes["epochs"], width=sizes["width"], n_features=sizes["n_features"],
        )  # fmt: skip
    reference = build_features(
        train, parts["validation"], test, n_classes=n_classes,
        feature_map=_feature_map(features, classifier), n=n, n_pool=2 * n, seed=seed,
        n_repeats=int(settings["n_repeats"]),
    )  # fmt: skip
    if n_classes is None or "classifiers" not in needs:
        return reference
    found = fit_classifiers(
        train, test, n_classes, n_train=n, epochs=sizes["epochs"], seed=seed,
        width=sizes["width"], n_features=sizes["n_features"],
    )  # fmt: skip
    return replace(reference, classifiers=found)


def _feature_map(features: FeatureMap | str | None, classifier: Classifier | None) -> FeatureMap:
    if features is not None and not isinstance(features, str):
        return features
    name = features or ("pixels" if classifier is None else "classifier")
    node = load_option("features", name)
    if name == "inception":
        node = {**node, "weights": None}
    space: FeatureSpace = build(node, FeatureSpace, where=f"features.{name}")
    return space.open(classifier)


def _table(rows: Sequence[tuple[str, str, Measurement]], seed: int) -> "pd.DataFrame":
    import pandas as pd

    head = {"study": "compare", "cell": "model", "model": "model", "seed": seed}
    records = [{**head, "sampler": s, "role": role, **row.to_json()} for s, role, row in rows]
    return pd.DataFrame(records, columns=list(RESULT_COLUMNS))
