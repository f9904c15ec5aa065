"""The library's front door: compare ways of sampling a VAE that is brought as two plain callables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jaxtyping import Int
from torch import Tensor

from priorgap.brought import (
    Data,
    count_of,
    encode_split,
    is_conditional,
    law_of,
    metric_of,
    probe,
    sampler_of,
    settings,
    splits_of,
    standard_metrics,
    standard_samplers,
    traits_of,
    valid_samplers,
)
from priorgap.building import build, load_option
from priorgap.coding import Decode, Encode, decode_all
from priorgap.core.catalogue import BUILTIN
from priorgap.core.measures import Catalogue, united
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.data.splits import Split
from priorgap.feature_spaces import FeatureSpace
from priorgap.features import Classifier, FeatureMap, fit_classifier
from priorgap.latents import LatentDraw, Latents
from priorgap.measurement import Measurement
from priorgap.metrics.classifiers import fit_classifiers
from priorgap.metrics.evidence import ModelEvidence
from priorgap.metrics.floors import build_features
from priorgap.metrics.measuring import measure_one
from priorgap.metrics.protocols import Metric, wants
from priorgap.metrics.reference import Reference
from priorgap.priors.base import Prior
from priorgap.samplers.drawing import (
    class_frequencies,
    draw_latents,
    fit_inputs,
    fit_sampler,
    inputs_without_encoder,
    label_source_of,
)
from priorgap.samplers.protocols import FitInputs, FittedSampler, Sampler, SamplerNotApplicable
from priorgap.streams import stream
from priorgap.verdict import FACT_COLUMNS, RESULT_COLUMNS, StudyVerdict, decide_study

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        table: tidy results, with the columns of results.csv.
        verdict: winner, effect, interval, labels and the paragraph.
        skipped: what is absent -> why.
        catalogue: the entries of the measures: title, direction, section, ...
    """

    table: "pd.DataFrame"
    verdict: StudyVerdict
    skipped: Mapping[str, str] = field(default_factory=dict)
    catalogue: Catalogue = field(default_factory=lambda: BUILTIN, repr=False)

    def to_markdown(self) -> str:
        """Return the verdict's paragraph and a table of samplers by measures."""
        from priorgap.report import readme_table

        return f"{self.verdict.text}\n\n{readme_table(self.table, catalogue=self.catalogue)}"


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
        samplers: objects or names of conf/sampler; None is the choice of conf/config.yaml.
        metrics: objects or names of conf/metric; None is `standard`. One that brings measures of its own names them.
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
    parts = splits_of(train, test, validation, labels, seed)
    config = settings()
    batches = config["numerics"]
    chosen = [sampler_of(s) for s in (samplers if samplers is not None else standard_samplers())]
    wanted = [metric_of(m) for m in (metrics if metrics is not None else standard_metrics())]
    n_draws = count_of(n, len(parts["test"]))
    conditional = is_conditional(encode, decode, parts)
    law = law_of(encode, latent_dim, prior)
    probe(encode, decode, parts["train"], int(batches["decode_batch"]), law)
    latents: dict[str, Latents] = {}
    if encode is not None:
        say("encoding")
        latents = {k: encode_split(encode, s, int(batches["encode_batch"])) for k, s in parts.items()}
        if prior is not None and prior.dim != latents["train"].dim:
            raise ValueError(f"prior: of dimension {prior.dim}; expected that of z, {latents['train'].dim}")
    say("reference: real-data classifiers, features and floors")
    needs = frozenset[str]().union(*(wants(m) for m in wanted))
    reference = _reference(parts, features, n_draws, config["reference"], needs)

    def decoded(z: Tensor, label: Tensor | None) -> Tensor:
        return decode_all(decode, z, batch=int(batches["decode_batch"]), label=label)

    def encoded(x: Split) -> Tensor:
        assert encode is not None
        return encode_split(encode, x, int(batches["encode_batch"])).mean

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
    valid, refused = valid_samplers(
        chosen, traits_of(latents, law, conditional, parts["train"].label is not None)
    )
    fitted, skipped = fit_samplers(valid, inputs, seed=seed)
    draws = draw(fitted, n_draws, seed=seed, classes=frequencies if conditional else None)
    rows, reasons = measure(wanted, model, draws, seed=seed, progress=say)
    facts = {one.sampler.name: one.fitted.facts for one in draws}
    table = _table(rows, facts, seed)
    absent = {**refused, **skipped, **reasons}
    catalogue = united(BUILTIN.values(), *(metric.measures for metric in wanted))
    verdict = decide_study(
        table,
        measure=str(config["verdict"]["measure"]),
        space=reference.feature_map.name,
        baseline=str(config["verdict"]["baseline"]),
        level=float(config["verdict"]["level"]),
        skipped=absent,
        costs={name: fact.cost for name, fact in facts.items()},
        catalogue=catalogue,
    )
    return Comparison(table, verdict, absent, catalogue)


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


def _table(
    rows: Sequence[tuple[str, str, Measurement]], facts: Mapping[str, SamplerFacts], seed: int
) -> "pd.DataFrame":
    import pandas as pd

    head = {"study": "compare", "cell": "model", "model": "model", "seed": seed, "decode": ""}
    traits = {"": "", **{name: fact.traits for name, fact in facts.items()}}
    records = [
        {**head, "sampler": s, "role": role, "traits": traits[s], **row.to_json()} for s, role, row in rows
    ]
    return pd.DataFrame(records, columns=[*RESULT_COLUMNS, *FACT_COLUMNS])
