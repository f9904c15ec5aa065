"""What a user supplies to `compare`: data, two callables, names of samplers and metrics; checked, made one kind."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from priorgap.core.arguments import show
from priorgap.core.batched_calls import Decode, Encode, flaw, needs_label, takes_label
from priorgap.core.build import build, configuration_directory, load_option
from priorgap.core.random import stream
from priorgap.core.receivers import lacking
from priorgap.data.splits import Split, random_split
from priorgap.evaluation.model import ModelFunctions
from priorgap.evaluation.reference import ReferenceSettings
from priorgap.metrics.protocols import Metric
from priorgap.metrics.torchmetrics_image import build_metric, image_metric, is_torchmetrics
from priorgap.models.conditional import Classes
from priorgap.priors.base import Prior
from priorgap.priors.standard_normal import StandardNormal
from priorgap.samplers.protocols import Sampler

Data = Split | Tensor
# integers: a tensor, an array or a list
Labels = Tensor | np.ndarray | Sequence[int]
_PROBE = 4
# every class gets a row in tables
_MOST_CLASSES = 10_000
_MOST_DRAWS = 10**9


def settings() -> dict[str, Any]:
    """Return the values of conf/config.yaml: each stands there and nowhere else."""
    import yaml

    content: dict[str, Any] = yaml.safe_load(
        (configuration_directory() / "config.yaml").read_text(encoding="utf-8")
    )
    return content


def reference_settings(config: Mapping[str, Any]) -> ReferenceSettings:
    """Return how the real data are looked at."""
    node = config["reference"]
    return ReferenceSettings(seed=int(node["seed"]), n_repeats=int(node["n_repeats"]), **node["classifier"])


def standard_samplers() -> list[str]:
    """Return the names of the samplers that conf/config.yaml chooses."""
    chosen = next(
        entry["sampler"] for entry in settings()["defaults"] if isinstance(entry, dict) and "sampler" in entry
    )
    return [str(name) for name in chosen]


def standard_metrics() -> list[str]:
    """Return the names of the measures of `metric=standard`."""
    import yaml

    file = configuration_directory() / "metric" / "standard.yaml"
    return list(yaml.safe_load(file.read_text(encoding="utf-8"))["defaults"])


def sampler_of(given: Sampler | str) -> Sampler:
    """Return a sampler that was given as an object or by its name in conf/sampler."""
    if not isinstance(given, str):
        return given
    built: Sampler = build(load_option("sampler", given), Sampler, where=f"samplers.{given}")
    return built


def metric_of(given: Any) -> Metric:
    """Return a metric that was given as an object, by its name in conf/metric, or as a class of torchmetrics."""
    if isinstance(given, str):
        return build_metric(load_option("metric", given), given)
    if is_torchmetrics(given):
        return image_metric(given)
    found: Metric = given
    return found


def metrics_of(given: Sequence[Any], *, has_encoder: bool) -> list[Metric]:
    """Return the metrics that were asked for, and `copy_shares` with `copying`: the label *copies* needs both.

    Without an encoder `copying` has no held-out draws to compare with, and brings nothing.
    """
    found = [metric_of(one) for one in given]
    names = {metric.name for metric in found}
    if has_encoder and "copying" in names and "copy_shares" not in names:
        found.append(metric_of("copy_shares"))
    return found


def check_arguments(
    encode: object,
    decode: object,
    seed: object,
    progress: object,
    features: object,
    prior: object,
    samplers: Sequence[object] | None,
    metrics: Sequence[object] | None,
) -> None:
    """Check what can be told of an argument alone.

    Raises:
        ValueError: one line that names the argument, the value and what was expected.
    """
    for name, function in (("encode", encode), ("progress", progress)):
        if function is not None and not callable(function):
            raise ValueError(f"{name}={function!r}: expected a callable, or None")
    if not callable(decode):
        raise ValueError(f"decode={decode!r}: expected a callable z -> x")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed={seed!r}: expected an integer >= 0")
    named = callable(features) and isinstance(getattr(features, "name", None), str)
    if features is not None and not named and (not isinstance(features, str) or not features):
        raise ValueError(f"features={features!r}: expected a name, or a callable with a name (a FeatureMap)")
    if prior is not None and not isinstance(prior, Prior):
        raise ValueError(f"prior={prior!r}: expected a Prior, or None for N(0, I)")
    for name, given, kind in (("samplers", samplers, Sampler), ("metrics", metrics, Metric)):
        if given is None:
            continue
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise ValueError(f"{name}={given!r}: expected a list of names and objects")
        if not given:
            raise ValueError(f"{name}: nothing is selected")
        for one in given:
            # `metric_of` says which of torchmetrics are taken
            if kind is Metric and is_torchmetrics(one):
                continue
            if isinstance(one, type | partial):
                raise ValueError(
                    f"{name}: {one!r}: expected a name, or a {kind.__name__}; it is not made yet"
                )
            if not isinstance(one, str) and lacking(type(one), kind):
                expected = f"a name, or a {kind.__name__}"
                raise ValueError(
                    f"{name}: {one!r}: expected {expected}; it has no {lacking(type(one), kind)[0]}"
                )


def count_of(n: int | None, n_test: int) -> int:
    """Return how many draws a sampler is asked for.

    Raises:
        ValueError: n is no integer, below 2, or beyond what any memory holds.
    """
    limit = int(settings()["n_samples"])
    if n is None:
        return min(limit, n_test)
    if isinstance(n, bool) or not isinstance(n, int) or not 2 <= n <= _MOST_DRAWS:
        raise ValueError(f"n={show(n)}: expected an integer from 2 to {_MOST_DRAWS:,}")
    return n


def splits_of(
    train: Data, test: Data, validation: Data | None, labels: Sequence[Labels | None] | None, seed: int
) -> dict[str, Split]:
    """Return train, validation and test with their labels; without `validation` a seeded fifth of test is it.

    Raises:
        ValueError: data of the wrong kind or shape, or labels that do not belong to them.
    """
    expected = 2 if validation is None else 3
    if labels is not None and (not isinstance(labels, list | tuple) or len(labels) != expected):
        got = f"{len(labels)} tensors" if isinstance(labels, list | tuple) else type(labels).__name__
        raise ValueError(f"labels: got {got}, expected {expected}: one for each data argument")
    own: Sequence[Labels | None] = [None] * 3 if labels is None else [*labels, None]
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


def _split(data: Data, given: Labels | None, name: str) -> Split:
    if isinstance(data, Split):
        known = _label(data.label if given is None else given, len(data), name)
        return data if given is None else Split(data.x, known, data.kind)
    if not isinstance(data, Tensor) or data.ndim not in (2, 4):
        got = tuple(data.shape) if isinstance(data, Tensor) else type(data).__name__
        raise ValueError(f"{name}: got {got}; expected a Split, images [n, c, h, w] or vectors [n, d]")
    if len(data) == 0:
        raise ValueError(f"{name}: no rows; expected at least 1")
    wrong = flaw(data)
    if wrong is not None:
        raise ValueError(f"{name}: a tensor {wrong}; expected a dense one of finite numbers")
    known = _label(given, len(data), name)
    if data.ndim == 2:
        return Split(data.float(), known, "float_vector")
    if data.dtype == torch.uint8:
        return Split(data, known, "uint8_image")
    low, high = float(data.min()), float(data.max())
    if low < 0 or high > 1:
        raise ValueError(f"{name}: images from {low:g} to {high:g}; expected floats in [0, 1] or uint8")
    return Split((data * 255).round().to(torch.uint8), known, "uint8_image")


def _label(given: Labels | None, n: int, name: str) -> Tensor | None:
    """Return labels as integers, one a row.

    Raises:
        ValueError: they are none, or not as many as rows.
    """
    if given is None:
        return None
    expected = f"expected {n} integers from 0 to {_MOST_CLASSES - 1:,}, the number of each row's class"
    try:
        label = given if isinstance(given, Tensor) else torch.from_numpy(np.asarray(given))
    except (TypeError, ValueError) as error:
        raise ValueError(f"labels of {name}: {show(given)}; {expected}") from error
    if label.ndim != 1 or len(label) != n:
        raise ValueError(f"labels of {name}: of shape {tuple(label.shape)}; {expected}")
    wrong = flaw(label)
    if wrong is not None:
        raise ValueError(f"labels of {name}: a tensor {wrong}; {expected}")
    low, high = float(label.min()), float(label.max())
    if not torch.equal(label, label.long()) or low < 0 or high >= _MOST_CLASSES:
        raise ValueError(f"labels of {name}: {label.dtype} from {low:g} to {high:g}; {expected}")
    return label.long()


def is_conditional(encode: Encode | None, decode: Decode, parts: Mapping[str, Split]) -> bool:
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


def law_of(encode: Encode | None, latent_dim: int | None, prior: Prior | None) -> Prior | None:
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


def probe(model: ModelFunctions, train: Split) -> None:
    """Try both callables on one small batch first, so that a shape error costs nothing."""
    few = train.take(slice(0, _PROBE))
    small = replace(
        model, encode_batch=min(model.decode_batch, _PROBE), decode_batch=min(model.decode_batch, _PROBE)
    )
    if model.encode is not None:
        z = small.posteriors(few).mean
    else:
        assert model.prior is not None
        z = torch.zeros(len(few), model.prior.dim)
    x = small.decoded(z, few.label if takes_label(model.decode) else None)
    if tuple(x.shape[1:]) != train.shape:
        raise ValueError(
            f"decode: gave rows of shape {tuple(x.shape[1:])}, expected those of train, {train.shape}"
        )
    if train.kind == "uint8_image" and (float(x.min()) < -0.5 or float(x.max()) > 1.5):
        raise ValueError(
            f"decode: gave values from {float(x.min()):g} to {float(x.max()):g}, expected images in [0, 1]"
        )
