"""The library's main entry point: compare ways of sampling a VAE that the user supplies as two plain callables."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from priorgap.comparison.decode_rules import MEAN, DecodeRule, Drawing
from priorgap.comparison.drawn import Drawn
from priorgap.comparison.first_calls import try_calls
from priorgap.comparison.measuring import draws_of, measure, table_of
from priorgap.comparison.model_outputs import Entry
from priorgap.comparison.probes import probe_model
from priorgap.comparison.progress import progress_of
from priorgap.comparison.real_data import default_space, n_classes_of, reference_of
from priorgap.comparison.result import Comparison
from priorgap.comparison.supplied_context import check_takers, is_given
from priorgap.comparison.supplied_data import check_range, supplied
from priorgap.comparison.user_inputs import (
    Context,
    Data,
    Labels,
    check_arguments,
    check_features,
    count_of,
    device_of,
    functions_of,
    is_conditional,
    law_of,
    metrics_of,
    named_classes,
    reference_settings,
    sampler_of,
    settings,
    standard_metrics,
    standard_samplers,
)
from priorgap.core.batched_calls import Decode, Encode
from priorgap.core.catalogue import BUILTIN
from priorgap.core.devices import computing_on
from priorgap.core.findings import Finding
from priorgap.core.latents import Latents
from priorgap.core.measures import united
from priorgap.core.verdict_rules import VerdictRules
from priorgap.evaluation.measure import model_evidence
from priorgap.evaluation.model import ModelFunctions
from priorgap.evaluation.reference import no_labels
from priorgap.evaluation.sample import sampling_inputs, sampling_traits
from priorgap.features.clusters import n_clusters_of
from priorgap.features.maps import FeatureMap
from priorgap.metrics.protocols import Metric, wants
from priorgap.models.likelihoods import Likelihood
from priorgap.priors.base import Prior
from priorgap.samplers.drawing import class_frequencies
from priorgap.samplers.protocols import Sampler
from priorgap.verdict import decide_study, is_stop
from priorgap.verdict.health import COMPUTED
from priorgap.verdict.model_findings import not_applied


# Users may call it where gradients are disabled, but classifiers and densities are fitted here.
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
    context: Sequence[Context] | None = None,
    range: tuple[float, float] | None = None,
    series: bool = False,
    posterior: Entry | tuple[Entry, Entry] | None = None,
    device: "str | torch.device | None" = None,
    samplers: Sequence[Sampler | str] | None = None,
    metrics: Sequence[Metric | str | Callable[..., Any]] | None = None,
    n: int | None = None,
    seed: int = 0,
    features: FeatureMap | str | None = None,
    prior: Prior | None = None,
    latent_dim: int | Sequence[int] | None = None,
    draw: Callable[..., Any] | None = None,
    likelihood: Likelihood | str | tuple[str, float] | None = None,
    decode_rule: DecodeRule | Sequence[DecodeRule] | None = None,
    progress: Callable[[str], object] | bool | None = None,
    known: Sequence[Finding] = (),
) -> Comparison:
    """Compare ways of sampling a trained VAE: which distribution of z gives the best data, and at what cost.

    Args:
        encode: x [b, ...] -> (mean [b, ...], log_var [b, ...] or None). A list, a Normal or Independent(Normal), an
            object or a mapping with named entries (mu, logvar; loc, scale; latent_dist, qz, ...) and a mean alone (a
            plain autoencoder) are taken too. It gets `label=` and `context=` if it accepts them. None for a model
            without an encoder (a GAN): everything that needs posteriors is then skipped, with the reason.
        decode: z, in the shape that encode gives -> x [b, ...], images in the range of train. A distribution (its
            mean counts), an output object and a tuple with one tensor of x's shape are taken too. It gets `label=` if
            it accepts it: the model is then conditional, and draws that have no label of their own get one by the
            training frequencies. It gets `context=` if it accepts it.
        train: what the VAE was trained on: a Split, an array, a tensor, a frame, a list, (x, y), a Dataset, a
            DataLoader or an iterable of batches, read once. Images are [n, c, h, w], [n, h, w, c] or [n, h, w] of
            bytes, 16-bit integers, booleans, or floats in [0, 1], [-1, 1] or 0..255; [n, d] are vectors as they are.
            encode gets what was given, integers as floats in [0, 1]. Of a Dataset, loader or iterable as many rows
            are kept as 512 MiB hold, a seeded share where there are more; `health` says so.
        test: held-out data of the same kind; nothing is fitted or selected on it.
        validation: held-out data for selection; None sets a seeded fifth of `test` aside, never a part of `train`.
        labels: labels of train and test (and of validation, when given): integers, names, booleans or one-hot rows,
            each an array, a tensor, a list or a column; a label for each row. They go to the model as they were
            written, and classes keep their names. None takes those that come with the rows, if any.
        context: what the model takes beside x and z (a library size, a past window, a caption's embedding), of
            train and test (and of validation, when given), as labels are: each an array, a tensor, a frame, or a
            dictionary of them; a row for each row of data. Draws that came from a row keep its context. Others get
            those of random training rows, of their own class where they have one, and the same for all samplers
            without classes: p(z) is taken to be one for all contexts, and a learned p(z|context) is not covered.
        range: the values of images that stand for black and white in the model, as (-1, 1); None: found in floats,
            [0, 1] otherwise. All measures see [0, 1].
        series: whether rows [n, steps, channels] are series, of any values; [n, h, w] are images where not.
        posterior: which of encode's outputs are mean and log_var where that is not clear: places (0, 1) or names
            ("mu", "logvar"); one place or name for a distribution.
        device: the device of x and z; None: that of the parameters of the modules that the two callables use. x and z
            have the parameters' type, where all have one. Classifiers and features are computed there, too.
        samplers: objects or names of conf/sampler; None is the choice of conf/config.yaml.
        metrics: objects or names of conf/metric, of its lists (`tables`) too; None is `standard`. One that brings
            measures of its own names them. Classes of torchmetrics.image, or `functools.partial` of them, are metrics
            too: made when they measure. `copying` brings `copy_shares` with it: by it alone, a decoder that returns
            only training images has no copies, for its held-out draws are as near.
        n: draws per sampler; None is one for each test row, at most 10,000.
        seed: of everything random; the same seed gives the same numbers.
        features: a feature map, "classifier", "pixels" or, for series, "rocket"; None is "rocket" for series, else
            a classifier of the classes, or of clusters of the training rows where there are no labels (`health` says
            so), and pixels where neither can be had.
        prior: the model's prior, on the CPU, where that is a learned one; None is N(0, I), and for an encoder
            without log_var none at all: it is taken to be a plain autoencoder's.
        latent_dim: dimension of z, or its shape, where `encode` and `prior` are None.
        draw: (z, generator) -> draws of x ~ p(x|z), in the forms that decode may give; a distribution is sampled
            (`draw=decode`, where decode gives one). It gets `label=`, `context=` and `generator=` if it accepts them;
            without the last, torch's own random state is set for each call, and put back.
        likelihood: p(x|z) around what decode gives, in place of draw: "bernoulli", ("gaussian", sigma) with sigma in
            the units of decode's values, or a `Likelihood` that E[x|z] decides.
        decode_rule: how x is made from z for the measures: "mean", the result of decode; "draw", a draw of p(x|z); or
            both, each with a verdict of its own, and a sentence on the effect of either choice. None: all that are
            possible, so only the mean without draw or likelihood.
        progress: called with a line before each step that takes time; True prints these lines, False does not;
            None prints them on a terminal and in a notebook.
        known: findings on the model or the data from before, for `health` and the verdict.

    Returns:
        The table, the verdict ("for this trained model only"), what was skipped, with reasons, and the fitted
        samplers: `Comparison.generate` draws from them, `Comparison.to_html` writes the report. A check on a few rows
        comes first: where it finds wrongly connected functions or unusable data (`health`, severity "stop"), the
        verdict says what to correct, and nothing is measured. A model that is merely bad is measured.

    Raises:
        ValueError: one line that names the argument, the value and what was expected; for a callable, what it
            gave and what was expected.

    Example:
        Codes whose spread is twice the prior's, and a decoder that takes a number beside z:

        >>> import torch
        >>> from priorgap import compare
        >>> generator = torch.Generator().manual_seed(0)
        >>> z, c = 2 * torch.randn(600, 2, generator=generator), torch.rand(600, 1, generator=generator)
        >>> mean = torch.cat([z, z.sum(1, keepdim=True), c], 1)
        >>> x = mean + 0.1 * torch.randn(600, 4, generator=generator)
        >>> def encode(x, context):
        ...     return x[:, :2], torch.full((len(x), 2), -4.0)
        >>> def decode(z, context):
        ...     return torch.cat([z, z.sum(1, keepdim=True), context], 1)
        >>> result = compare(
        ...     encode, decode, x[:400], x[400:], context=(c[:400], c[400:]), likelihood=("gaussian", 0.1),
        ...     samplers=["prior", "posterior", "gaussian_full"], metrics=["fid"], features="pixels",
        ...     decode_rule="draw", progress=False,
        ... )
        >>> result.verdict.recommended
        'gaussian_full'
        >>> text = result.to_markdown()  # what to do, how sure that is, the table, the details
        >>> tuple(result.generate(10, context=torch.tensor([[0.5]])).x.shape)
        (10, 4)
    """
    check_arguments(encode, decode, seed, progress, features, prior, samplers, metrics)
    check_takers(encode, decode, given=is_given(context))
    drawing = Drawing.of(decode_rule, draw, likelihood, decode, context=is_given(context), seed=seed)
    say = progress_of(progress)
    data = supplied(
        {"train": train, "test": test, "validation": validation}, labels, seed=seed, span=check_range(range),
        context=context, series=series,
    )  # fmt: skip
    parts = data.parts
    check_features(features, parts)
    config = settings()
    batches = config["numerics"]
    chosen = [sampler_of(s) for s in (samplers if samplers is not None else standard_samplers())]
    wanted = metrics_of(
        metrics if metrics is not None else standard_metrics(), has_encoder=encode is not None
    )
    n_draws = count_of(n, len(parts["test"]))
    conditional = is_conditional(encode, decode, parts, data.names)
    law = law_of(encode, latent_dim, prior)
    frequencies = class_frequencies(parts["train"].label)
    encoding, decoding = functions_of(
        encode, decode, data, latent_dim=latent_dim, posterior=posterior, device=device, drawing=drawing
    )
    model = ModelFunctions(
        encoding, decoding[MEAN], law, True, frequencies if conditional else None,
        int(batches["encode_batch"]), int(batches["decode_batch"]), contexts=data.contexts,
    )  # fmt: skip
    try_calls(
        {rule: replace(model, decode=own) for rule, own in decoding.items()}, parts["train"], data.layout
    )
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
            model = replace(model, has_prior=False)  # This is a plain autoencoder, which has no prior.
    say("reference: real-data classifiers, features and floors")
    needs = frozenset[str]().union(*(wants(m) for m in wanted))
    features = features or default_space(parts)
    with computing_on(place := device_of(decode, device)):
        reference = reference_of(parts, features, n_draws, reference_settings(config), needs)
    if features == "classifier" and n_classes_of(parts) is None:
        findings = [*findings, no_labels(n_clusters_of(len(parts["train"])))]
    models = {rule: replace(model, decode=decoding[rule], expected=decoding[MEAN]) for rule in drawing.rules}
    evidence = {
        rule: model_evidence(
            own,
            latents,
            seed=seed,
            reference=reference,
            heldout_exchangeable=None if validation is None else True,
        )
        for rule, own in models.items()
    }
    say("fitting the samplers")
    inputs = sampling_inputs(model, latents, frequencies)
    traits = sampling_traits(model, latents, labels=parts["train"].label is not None)
    draws, skipped = draws_of(chosen, inputs, traits, model, n_draws, seed)
    with computing_on(place):
        rows, reasons = measure(wanted, evidence, draws, seed=seed, progress=say)
    facts = {one.sampler.name: one.fitted.facts for one in draws}
    table = named_classes(table_of(rows, facts, seed), data.names)
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
        findings=[*findings, *not_applied(skipped)],
        skipped=absent,
        costs={name: fact.cost for name, fact in facts.items()},
        catalogue=catalogue,
    )
    drawn = Drawn(models, evidence, {one.sampler.name: one for one in draws}, seed, tuple(data.names))
    return Comparison(table, verdict, absent, catalogue, drawn)


def _stopped(findings: Sequence[Finding], rules: VerdictRules) -> Comparison:
    """Return the comparison of a model that is not measured: its findings, and a verdict without numbers."""
    table = table_of({}, {}, 0)
    verdict = decide_study(table, measure=rules.measure, findings=findings, limits=rules.health)
    return Comparison(table, verdict, {"all measures": "the model or the data must be mended first"})
