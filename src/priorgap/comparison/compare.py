"""The library's front door: compare ways of sampling a VAE that the user supplies as two plain callables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from priorgap.comparison.drawn import Drawn
from priorgap.comparison.model_outputs import Entry
from priorgap.comparison.probes import probe_model
from priorgap.comparison.progress import progress_of
from priorgap.comparison.result import Comparison
from priorgap.comparison.supplied_data import check_range, supplied
from priorgap.comparison.user_inputs import (
    Data,
    Labels,
    check_arguments,
    count_of,
    functions_of,
    is_conditional,
    law_of,
    metric_of,
    named_classes,
    probe,
    reference_settings,
    sampler_of,
    settings,
    standard_metrics,
    standard_samplers,
)
from priorgap.core.batched_calls import Decode, Encode
from priorgap.core.build import build, load_option
from priorgap.core.catalogue import BUILTIN
from priorgap.core.findings import Finding
from priorgap.core.latents import Latents
from priorgap.core.measurement import Measurement
from priorgap.core.measures import united
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.core.verdict_rules import VerdictRules
from priorgap.data.splits import Split
from priorgap.evaluation.measure import model_evidence
from priorgap.evaluation.model import ModelFunctions
from priorgap.evaluation.reference import (
    ReferenceSettings,
    feature_classifier,
    no_labels,
    real_classifiers,
    real_features,
)
from priorgap.evaluation.sample import Draws, fit_and_draw, sampling_inputs, sampling_traits
from priorgap.features.clusters import n_clusters_of
from priorgap.features.maps import Classifier, FeatureMap, fits
from priorgap.features.spaces import FeatureSpace
from priorgap.metrics.evidence import ModelEvidence
from priorgap.metrics.measuring import measure_one
from priorgap.metrics.protocols import Metric, wants
from priorgap.metrics.reference import Reference
from priorgap.priors.base import Prior
from priorgap.samplers.applicability import ModelTraits
from priorgap.samplers.drawing import class_frequencies
from priorgap.samplers.protocols import FitInputs, Sampler, SamplerNotApplicable
from priorgap.verdict import FACT_COLUMNS, RESULT_COLUMNS, decide_study, is_stop
from priorgap.verdict.health import COMPUTED

if TYPE_CHECKING:
    import pandas as pd


# people call it where gradients are off; classifiers and densities are fitted here
@torch.inference_mode(mode=False)
@torch.enable_grad()
def compare(
    encode: Encode | None,
    decode: Decode,
    train: Data,
    test: Data,
    *,
    validation: Data | None = None,
    labels: Sequence[Labels | None] | None = None,
    range: tuple[float, float] | None = None,
    posterior: Entry | tuple[Entry, Entry] | None = None,
    device: "str | torch.device | None" = None,
    samplers: Sequence[Sampler | str] | None = None,
    metrics: Sequence[Metric | str | Callable[..., Any]] | None = None,
    n: int | None = None,
    seed: int = 0,
    features: FeatureMap | str | None = None,
    prior: Prior | None = None,
    latent_dim: int | Sequence[int] | None = None,
    progress: Callable[[str], object] | bool | None = None,
    known: Sequence[Finding] = (),
) -> Comparison:
    """Compare ways of sampling a trained VAE: which distribution of z gives the best data, and at what cost.

    Args:
        encode: x [b, ...] -> (mean [b, d], log_var [b, d] or None); gets `label=` too if it accepts it. None for
            a model without an encoder (a GAN): what needs posteriors is skipped with that reason.
        decode: z [b, d] -> x [b, ...], images in [0, 1]; gets `label=` too if it accepts it: the model is then
            conditional, and draws that have no label of their own get one by the training frequencies.
        train: what the VAE was trained on: a Split, uint8 images, float images in [0, 1], or vectors.
        test: held-out data of the same kind; nothing is fitted or selected on it.
        validation: held-out data for selection; None sets a seeded fifth of `test` aside, never a part of `train`.
        labels: labels of train and test (and of validation, when given), for plain tensors: integers from 0, each a
            tensor, an array or a list.
        samplers: objects or names of conf/sampler; None is the choice of conf/config.yaml.
        metrics: objects or names of conf/metric; None is `standard`. One that brings measures of its own names them.
            Classes of torchmetrics.image, or `functools.partial` of them, are metrics too: made when they measure.
        n: draws per sampler; None is one for each test row, at most 10,000.
        seed: of everything random; the same seed gives the same numbers.
        features: a feature map, "classifier" or "pixels"; None is a classifier of the classes, or of clusters of the
            training rows where there are no labels (`health` says so), and pixels where neither can be had.
        prior: the model's prior, on the CPU, where that is a learned one; None is N(0, I), and for an encoder
            without log_var none at all: it is taken to be a plain autoencoder's.
        latent_dim: dimension of z, where `encode` and `prior` are None.
        progress: called with a line before each step that takes time; True prints these lines, False does not;
            None prints them on a terminal and in a notebook.
        known: what is known of the model or the data beforehand, for `health` and the verdict.

    Returns:
        The table, the verdict ("for this trained model only"), what was skipped, with reasons, and the fitted
        samplers: `Comparison.generate` draws from them, `Comparison.to_html` writes the report. A look at a few rows
        comes first: where it finds functions that are wired wrongly, or data that cannot be used (`health`, severity
        "stop"), the verdict says what to mend, and nothing is measured. A bad model is measured.

    Raises:
        ValueError: one line that names the argument, the value and what was expected; for a callable, what it
            gave and what was expected.
    """
    check_arguments(encode, decode, seed, progress, features, prior, samplers, metrics)
    say = progress_of(progress)
    data = supplied(
        {"train": train, "test": test, "validation": validation}, labels, seed=seed, span=check_range(range)
    )
    parts = data.parts
    config = settings()
    batches = config["numerics"]
    chosen = [sampler_of(s) for s in (samplers if samplers is not None else standard_samplers())]
    wanted = [metric_of(m) for m in (metrics if metrics is not None else standard_metrics())]
    n_draws = count_of(n, len(parts["test"]))
    conditional = is_conditional(encode, decode, parts, data.names)
    law = law_of(encode, latent_dim, prior)
    frequencies = class_frequencies(parts["train"].label)
    functions = functions_of(encode, decode, data, latent_dim=latent_dim, posterior=posterior, device=device)
    model = ModelFunctions(
        *functions, law, True, frequencies if conditional else None,
        int(batches["encode_batch"]), int(batches["decode_batch"]),
    )  # fmt: skip
    probe(model, parts["train"], data.layout)
    findings = [
        *probe_model(model, parts, standard_normal=prior is None, in_model=data.layout.in_model),
        *data.findings,
        *known,
    ]
    rules = VerdictRules.of(config["verdict"])
    if is_stop([finding for finding in findings if finding.name not in COMPUTED]):
        return _stopped(findings, rules)
    latents: dict[str, Latents] = {}
    if encode is not None:
        say("encoding")
        latents = {part: model.posteriors(split) for part, split in parts.items()}
        if prior is not None and prior.dim != latents["train"].dim:
            raise ValueError(f"prior: of dimension {prior.dim}; expected that of z, {latents['train'].dim}")
        if prior is None and latents["train"].log_var is None:
            model = replace(model, has_prior=False)  # a plain autoencoder
    say("reference: real-data classifiers, features and floors")
    needs = frozenset[str]().union(*(wants(m) for m in wanted))
    features = features or _default_space(parts)
    reference = _reference(parts, features, n_draws, reference_settings(config), needs)
    if features == "classifier" and _n_classes(parts) is None:
        findings = [*findings, no_labels(n_clusters_of(len(parts["train"])))]
    evidence = model_evidence(
        model, latents, seed=seed, reference=reference, heldout_exchangeable=validation is not None
    )
    say("fitting the samplers")
    inputs = sampling_inputs(model, latents, frequencies)
    traits = sampling_traits(model, latents, labels=parts["train"].label is not None)
    draws, skipped = _draws(chosen, inputs, traits, model, n_draws, seed)
    rows, reasons = measure(wanted, evidence, draws, seed=seed, progress=say)
    facts = {one.sampler.name: one.fitted.facts for one in draws}
    table = named_classes(_table(rows, facts, seed), data.names)
    absent = {**skipped, **reasons}
    catalogue = united(BUILTIN.values(), *(metric.measures for metric in wanted))
    verdict = decide_study(
        table,
        measure=rules.measure,
        space=reference.feature_map.name,
        baseline=rules.baseline,
        level=rules.level,
        smallest_ratio=rules.smallest_ratio,
        limits=rules.health,
        findings=findings,
        skipped=absent,
        costs={name: fact.cost for name, fact in facts.items()},
        catalogue=catalogue,
    )
    drawn = Drawn(model, evidence, {one.sampler.name: one for one in draws}, seed)
    return Comparison(table, verdict, absent, catalogue, drawn)


def _stopped(findings: Sequence[Finding], rules: VerdictRules) -> Comparison:
    """Return what is said of a model that nothing honest can be measured of."""
    table = _table([], {}, 0)
    verdict = decide_study(table, measure=rules.measure, findings=findings, limits=rules.health)
    return Comparison(table, verdict, {"all measures": "the model or the data must be mended first"})


def _draws(
    samplers: Sequence[Sampler],
    inputs: FitInputs,
    traits: ModelTraits,
    model: ModelFunctions,
    n: int,
    seed: int,
) -> tuple[list[Draws], dict[str, str]]:
    """Return the draws of each sampler that applies, and of the others name -> reason."""
    draws, skipped = [], {}
    for sampler in samplers:
        try:
            draws.append(fit_and_draw(sampler, inputs, traits, model, n, seed=seed))
        except SamplerNotApplicable as reason:
            skipped[sampler.name] = str(reason)
    return draws, skipped


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
    features: FeatureMap | str,
    n: int,
    settings: ReferenceSettings,
    needs: frozenset[str],
) -> Reference:
    """Compute what the metrics need of the real data: classifiers cost most and are left out where none asks."""
    train, test = parts["train"], parts["test"]
    n_classes = _n_classes(parts)
    classifier: Classifier | None = None
    if features == "classifier":
        classifier = feature_classifier(train, n_classes, settings)
    feature_map = _feature_map(features, classifier)
    reference = real_features(train, parts["validation"], test, n_classes, feature_map, n, settings)
    if n_classes is None or "classifiers" not in needs:
        return reference
    return replace(reference, classifiers=real_classifiers(train, test, n_classes, n, settings))


def _n_classes(parts: Mapping[str, Split]) -> int | None:
    """Return the number of classes; None without labels, or with one class: there is nothing to tell apart."""
    train, test = parts["train"].label, parts["test"].label
    if train is None or test is None:
        return None
    found = int(max(train.max(), test.max())) + 1
    return found if found > 1 else None


def _default_space(parts: Mapping[str, Split]) -> str:
    """Return the classifier of classes or clusters; pixels where it cannot be had."""
    shape, n = parts["train"].shape, len(parts["train"])
    if not fits(shape) or (_n_classes(parts) is None and n_clusters_of(n) < 2):
        return "pixels"
    return "classifier"


def _feature_map(features: FeatureMap | str, classifier: Classifier | None) -> FeatureMap:
    if not isinstance(features, str):
        return features
    node = load_option("features", features)
    if features == "inception":
        node = {**node, "weights": None}
    space: FeatureSpace = build(node, FeatureSpace, where=f"features.{features}")
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
