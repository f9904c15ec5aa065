"""The arguments that a user passes to `compare`, checked and converted: data, callables, samplers and metrics."""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from priorgap.comparison.decode_rules import DRAW, MEAN, DecodeRule, Drawing
from priorgap.comparison.model_outputs import Entry, check_posterior
from priorgap.comparison.probes import buffers_of, guarded
from priorgap.comparison.real_data import space_of
from priorgap.comparison.supplied_data import Supplied
from priorgap.comparison.supplied_model import (
    Conventions,
    LatentShape,
    check_device,
    decoder,
    encoder,
    placement_of,
)
from priorgap.core.arguments import show
from priorgap.core.batched_calls import Decode, Encode, needs_label, takes_label
from priorgap.core.build import build, configuration_directory, load_option, option_names
from priorgap.core.devices import CPU
from priorgap.core.receivers import lacking
from priorgap.data.splits import Split
from priorgap.evaluation.reference import ReferenceSettings
from priorgap.metrics.protocols import Metric
from priorgap.metrics.torchmetrics_image import build_metric, image_metric, is_torchmetrics
from priorgap.priors.base import Prior
from priorgap.priors.standard_normal import StandardNormal
from priorgap.samplers.protocols import Sampler

if TYPE_CHECKING:
    import pandas as pd

Found = TypeVar("Found")

# Anything with rows: a split, an array, a tensor, a list, a data set of x or (x, label), batches; frames are
# iterables, too.
Data = Split | Tensor | np.ndarray | Dataset[Any] | Iterable[Any]
# One label for each row: integers from any number on, names, booleans, or one-hot rows.
Labels = Tensor | np.ndarray | Sequence[Any]
# One context for each row, or several by name.
Context = Tensor | np.ndarray | Iterable[Any]
_MOST_DRAWS = 10**9


def settings() -> dict[str, Any]:
    """Return the values of conf/config.yaml, which are defined only there."""
    import yaml

    content: dict[str, Any] = yaml.safe_load(
        (configuration_directory() / "config.yaml").read_text(encoding="utf-8")
    )
    return content


def reference_settings(config: Mapping[str, Any]) -> ReferenceSettings:
    """Return the settings for computations on real data: classifiers, features, floors."""
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
    return option_names("metric", "standard")


def sampler_of(given: Sampler | str) -> Sampler:
    """Return a sampler, given as an object or by its name in conf/sampler."""
    if not isinstance(given, str):
        return given
    built: Sampler = build(load_option("sampler", given), Sampler, where=f"samplers.{given}")
    return built


def metric_of(given: Any) -> Metric:
    """Return a metric, given as an object, by its name in conf/metric, or as a class of torchmetrics."""
    if isinstance(given, str):
        return build_metric(load_option("metric", given), given)
    if is_torchmetrics(given):
        return image_metric(given)
    found: Metric = given
    return found


def named_metrics(given: Sequence[Any]) -> list[Metric]:
    """Return the requested metrics; the name of a list (`standard`, `tables`) means all metrics in it."""
    wanted = [
        name for one in given for name in (option_names("metric", one) if isinstance(one, str) else [one])
    ]
    # A list may hold a metric that is also named separately.
    return [
        metric_of(one) for i, one in enumerate(wanted) if not isinstance(one, str) or one not in wanted[:i]
    ]


def metrics_of(given: Sequence[Any], *, has_encoder: bool) -> list[Metric]:
    """Return the requested metrics, and `copy_shares` with `copying`, because the label *copies* needs both.

    Without an encoder `copying` has no held-out draws to compare with, and nothing is added.
    """
    found = named_metrics(given)
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
    """Check what can be checked for each argument alone.

    Raises:
        ValueError: one line that names the argument, the value and what was expected.
    """
    if encode is not None and not callable(encode):
        raise ValueError(f"encode={encode!r}: expected a callable, or None")
    if progress is not None and not callable(progress) and not isinstance(progress, bool):
        raise ValueError(f"progress={progress!r}: expected a callable, true or false, or None")
    if not callable(decode):
        raise ValueError(f"decode={decode!r}: expected a callable z -> x")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed={seed!r}: expected an integer >= 0")
    named = callable(features) and isinstance(getattr(features, "name", None), str)
    if features is not None and not named and (not isinstance(features, str) or not features):
        raise ValueError(f"features={features!r}: expected a name, or a callable with a name (a FeatureMap)")
    if isinstance(features, str):
        load_option("features", features)
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
            # `metric_of` decides which classes of torchmetrics are accepted.
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
    """Return the number of draws from each sampler.

    Raises:
        ValueError: n is not an integer, below 2, or too large for any memory.
    """
    limit = int(settings()["n_samples"])
    if n is None:
        return min(limit, n_test)
    if isinstance(n, bool) or not isinstance(n, int) or not 2 <= n <= _MOST_DRAWS:
        raise ValueError(f"n={show(n)}: expected an integer from 2 to {_MOST_DRAWS:,}")
    return n


def is_conditional(
    encode: Encode | None, decode: Decode, parts: Mapping[str, Split], names: Sequence[str]
) -> bool:
    """Return whether the model takes labels; these must then exist, and test's must occur in train.

    An optional argument (`label=None`) does not make labels mandatory.

    Raises:
        ValueError: labels are missing, or a class does not occur in train; one line.
    """
    for name, function in (("encode", encode), ("decode", decode)):
        if function is not None and needs_label(function) and any(s.label is None for s in parts.values()):
            raise ValueError(f"{name}: takes a label, and the data have none; expected labels for all data")
    label = parts["train"].label
    if label is None or not takes_label(decode):
        return False
    seen = {names[number] for number in label.unique().tolist()}
    for part in ("validation", "test"):
        other = parts[part].label
        for number in [] if other is None else other.unique().tolist():
            if names[number] not in seen:
                raise ValueError(
                    f"{part}: label={names[number]}: a class that was never seen in training; expected "
                    f"{', '.join(name for name in names if name in seen)}"
                )
    return True


def check_features(features: object, parts: Mapping[str, Split]) -> None:
    """Refuse a named feature space that does not suit the data, and the classifier's if there are no classes.

    Raises:
        ValueError: the data have no labels, only one class, or another kind than the space accepts.
    """
    if isinstance(features, str):
        space_of(features).check(parts["train"])
    labels = [parts[name].label for name in ("train", "test")]
    known = [label for label in labels if label is not None]
    several = len(known) == len(labels) and len(torch.cat(known).unique()) > 1
    if features == "classifier" and not several:
        raise ValueError(
            "features='classifier': expected labels of several classes for train and test; without features= a "
            "network is trained to tell clusters of the rows apart"
        )


def named_classes(table: "pd.DataFrame", names: Sequence[str]) -> "pd.DataFrame":
    """Return a table of results in which classes have the user's names."""
    rows = table["measure"] == "class_share"
    table.loc[rows, "unit"] = [names[int(unit)] for unit in table.loc[rows, "unit"]]
    return table


def functions_of(
    encode: Encode | None,
    decode: Decode,
    data: Supplied,
    *,
    latent_dim: int | Sequence[int] | None,
    posterior: Entry | Sequence[Entry] | None,
    device: str | torch.device | None,
    drawing: Drawing,
) -> tuple[Encode | None, dict[DecodeRule, Decode]]:
    """Return encode, and decode by rule, in the form that all steps call; their modules' buffers are preserved.

    Decoding by the mean is always included, because health uses it.

    Raises:
        ValueError: an argument is not usable; one line.
    """
    chosen, where = check_posterior(posterior), check_device(device)
    if encode is None and chosen is not None:
        raise ValueError(f"posterior={chosen!r}: expected only where encode is given")
    shape = tuple(latent_dim) if isinstance(latent_dim, Sequence) else ()
    conventions = Conventions(data.layout, data.parts["train"].shape, data.codes, chosen, LatentShape(shape))
    buffers = buffers_of(encode, decode, drawing.function)
    of_means = decoder(guarded(decode, buffers), conventions, placement_of(decode, "decode", where))
    decoding: dict[DecodeRule, Decode] = {MEAN: of_means}
    if DRAW in drawing.rules:
        decoding[DRAW] = drawing.decoder(of_means, conventions, buffers, where)
    if encode is None:
        return None, decoding
    return encoder(guarded(encode, buffers), conventions, placement_of(encode, "encode", where)), decoding


def device_of(decode: Decode, device: str | torch.device | None) -> torch.device:
    """Return the device of the model, where classifiers and features are computed too; the CPU if they cannot be.

    They sum losses in float64, which MPS does not have.
    """
    found = placement_of(decode, "decode", check_device(device)).device or CPU
    return CPU if found.type == "mps" else found


def law_of(
    encode: Encode | None, latent_dim: int | Sequence[int] | None, prior: Prior | None
) -> Prior | None:
    """Return the prior p(z): the given one, or N(0, I); None means N(0, I) with the dimension that encode gives."""
    if encode is not None:
        if latent_dim is not None:
            raise ValueError(f"latent_dim={latent_dim}: expected only with encode=None; encode says it")
        return prior
    if latent_dim is None and prior is None:
        raise ValueError("latent_dim: missing; expected the dimension of z where encode is None")
    sides: list[Any] = list(latent_dim) if isinstance(latent_dim, list | tuple) else [latent_dim]
    if latent_dim is not None and not all(
        isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides
    ):
        raise ValueError(
            f"latent_dim={show(latent_dim)}: expected an integer of at least 1, or the sides of z"
        )
    dim = None if latent_dim is None else math.prod(sides)
    if prior is None:
        assert dim is not None
        return StandardNormal(dim)
    if dim not in (None, prior.dim):
        raise ValueError(f"latent_dim={latent_dim}: expected the prior's dimension, {prior.dim}")
    return prior
