"""Laws that every metric must satisfy, one function each, so that a wrong metric can be shown to fail each."""

import copy
import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from priorgap.core.latents import LatentDraw, Latents
from priorgap.core.measurement import Measurement
from priorgap.core.random import stream
from priorgap.metrics import Evidence, Metric, ModelEvidence, NotApplicable
from priorgap.testing.series_world import series_world
from priorgap.testing.table_world import table_world
from priorgap.testing.world import World, fresh, world


def _numpy_state() -> Any:
    state: Any = np.random.get_state()
    return state[1].copy()


def world_of(metric: Metric) -> World:
    """Return the world that suits a metric."""
    if {"table", "values"} & metric.needs:
        return table_world()
    return series_world() if "sequences" in metric.needs else world()


def evidence_for(metric: Metric, model: ModelEvidence | None = None) -> Evidence:
    """Return evidence of the metric's scope, model or draws; of series or tables for metrics of these."""
    here = world_of(metric)
    model = here.model if model is None else model
    if metric.scope == "model":
        return model.alone()
    return model.of("posterior", "candidate", here.draw(), label_source="source")


def tensors_of(evidence: Evidence) -> dict[str, Tensor]:
    """Return every tensor that a metric could write into."""
    model, found = evidence.model, dict[str, Any]()
    for name in ("train", "validation", "test"):
        latents: Latents = getattr(model, name)
        found |= {
            f"{name}.mean": latents.mean,
            f"{name}.log_var": latents.log_var,
            f"{name}.l": latents.label,
        }
    found |= {"d": model.distortion, "sse": model.distortion_sse}
    reference = model.reference
    assert reference is not None
    for name in ("train", "validation", "test"):
        split = getattr(reference, name)
        found |= {f"x.{name}": split.x, f"label.{name}": split.label}
    found |= {"test_features": reference.test_features, "pool_features": reference.pool_features}
    networks = {} if reference.classifiers is None else vars(reference.classifiers)
    for name, network in networks.items():
        if isinstance(network, torch.nn.Module):
            found |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
    if evidence.draw is not None:
        found |= {"z": evidence.draw.z, "z.label": evidence.draw.label}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def run(metric: Metric, evidence: Evidence | None = None, seed: int = 0) -> list[Measurement]:
    """Measure with a stream of its own."""
    given = evidence_for(metric) if evidence is None else evidence
    return metric.measure(given, generator=stream(seed, "measure"))


def gives_finite_named_rows(metric: Metric) -> None:
    """At least one row; known names, finite values and errors, a size, one row per key; survives JSON.

    No value and no limit lies outside the range in its measure's entry.
    """
    rows = run(metric)
    assert rows
    named = {measure.name: measure for measure in metric.measures}
    keys = [(r.measure, r.space, r.unit, r.bound, r.label_source) for r in rows]
    assert len(set(keys)) == len(keys)
    for row in rows:
        assert row.measure in named
        assert type(row.value) is float and math.isfinite(row.value)
        low, high = named[row.measure].range
        assert (low is None or row.value >= low) and (high is None or row.value <= high), row
        assert row.std_error is None or (math.isfinite(row.std_error) and row.std_error >= 0)
        assert isinstance(row.n, int) and row.n > 0
        assert row.n_reference is None or row.n_reference > 0
        assert row.space in ("latent", "data", "aligned data", "pixels", "aligned pixels")
        assert Measurement.from_json(row.to_json()) == row


def repeats_itself(metric: Metric) -> None:
    """The same generator gives the same rows."""
    assert run(metric) == run(metric)


def leaves_global_rng_alone(metric: Metric) -> None:
    """The metric neither changes nor reads the global generators of torch, Python and numpy."""
    # The first run is separate, because a library may draw from them once while it is imported, as rich does.
    first = run(metric)
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)
    before = (torch.get_rng_state(), random.getstate(), _numpy_state())
    assert first == run(metric)
    after = (torch.get_rng_state(), random.getstate(), _numpy_state())
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]
    assert (before[2] == after[2]).all()
    torch.manual_seed(4)
    random.seed(4)
    np.random.seed(4)
    assert first == run(metric)


def leaves_evidence_alone(metric: Metric) -> None:
    """The metric does not change the evidence."""
    evidence = evidence_for(metric)
    before = copy.deepcopy(tensors_of(evidence))
    first = run(metric, evidence)
    for name, tensor in tensors_of(evidence).items():
        assert torch.equal(tensor, before[name]), name
    assert run(metric, evidence) == first  # The second run reads what the first one cached.


def without(model: ModelEvidence, name: str) -> ModelEvidence:
    """Return the evidence with one item missing."""
    reference = model.reference
    assert reference is not None
    if name in ("sequences", "table", "values"):
        # Evidence of images lacks all three.
        return fresh(world().model)
    if name == "features":  # Features belong to the reference.
        name = "reference"
    if name in ("train", "validation", "test", "decode", "encode", "reference", "log_likelihood"):
        return fresh(model, **{name: None})
    if name == "distortion":
        return fresh(model, distortion=None)
    if name == "floor":
        return fresh(model, reference=replace(reference, floor=None))
    if name == "classifiers":
        return fresh(model, reference=replace(reference, classifiers=None))
    if name == "labels":
        return fresh(model, reference=replace(reference, n_classes=None))
    if name == "log_var":
        bare = {part: replace(getattr(model, part), log_var=None) for part in ("train", "validation", "test")}
        return fresh(model, **bare)
    from priorgap.priors.base import Prior

    class Learned(Prior):
        def log_prob(self, z: Tensor) -> Tensor:
            return -z.square().sum(1)

        def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
            return torch.randn(n, self.dim, generator=generator)

    assert name == "standard_normal"
    return fresh(model, prior=Learned(3))


def says_what_is_missing(metric: Metric) -> None:
    """If something that it needs is missing, it gives a reason in one line: no NaN, no empty result, no crash."""
    assert metric.needs
    for name in sorted(metric.needs):
        evidence = evidence_for(metric)
        if name == "draw":
            evidence = evidence.model.alone()
        elif name == "label_source":
            assert evidence.draw is not None
            draw = LatentDraw(evidence.draw.z)
            evidence = evidence.model.of("prior", "candidate", draw, label_source="source")
        else:
            evidence = evidence_for(metric, without(evidence.model, name))
        with pytest.raises(NotApplicable) as caught:
            run(metric, evidence)
        assert str(caught.value) == evidence.lacks(name)
        assert "\n" not in str(caught.value)


def names_all_it_needs(metric: Metric) -> None:
    """If anything that `needs` does not name is missing, the metric still answers, or gives a reason."""
    everything = {"train", "validation", "test", "log_var", "decode", "reference", "floor", "classifiers"}
    for name in sorted((everything | {"labels", "distortion", "log_likelihood"}) - metric.needs):
        implied = {"reference": {"floor", "classifiers", "labels", "decode"}}.get(name, set())
        if implied & metric.needs:
            continue
        try:
            rows = run(metric, evidence_for(metric, without(world_of(metric).model, name)))
        except NotApplicable:
            continue
        assert rows


def is_a_value(metric: Metric) -> None:
    """The metric is frozen, hashable, equal to a copy, and has a scope that exists."""
    assert copy.deepcopy(metric) == metric
    assert hash(metric) == hash(copy.deepcopy(metric))
    assert metric.scope in ("model", "sampler")
    assert ("draw" in metric.needs) == (metric.scope == "sampler")
    with pytest.raises((AttributeError, TypeError)):
        metric.name = "other"  # type: ignore[misc]


LAWS: dict[str, Callable[[Metric], None]] = {
    law.__name__: law
    for law in (
        gives_finite_named_rows,
        repeats_itself,
        leaves_global_rng_alone,
        leaves_evidence_alone,
        says_what_is_missing,
        names_all_it_needs,
        is_a_value,
    )
}
