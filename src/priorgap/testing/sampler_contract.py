"""Laws that every sampler must satisfy, one function each, so that a wrong sampler can be shown to fail each."""

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from priorgap.core.latents import LatentDraw, Latents
from priorgap.core.random import stream
from priorgap.samplers import FitInputs, Sampler, SamplerNotApplicable

N_MOMENTS = 20_000
N_ROWS = 4_000


def _numpy_state() -> Any:
    state: Any = np.random.get_state()
    return state[1].copy()


def posteriors(n: int, seed: int, n_classes: int = 3) -> Latents:
    """Return posteriors with correlated units, unequal spreads, and separate classes."""
    g = stream(seed, "posteriors")
    label = torch.randint(0, n_classes, (n,), generator=g)
    mixing = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.2, 0.5]])
    mean = torch.randn(n, 3, generator=g) @ mixing.T + label[:, None] * torch.tensor([1.0, -0.5, 0.0])
    log_var = -2.0 + 0.5 * torch.randn(n, 3, generator=g)
    return Latents(mean, log_var, label)


def example_inputs(n: int = 600) -> FitInputs:
    """Return posteriors of training and of validation images."""
    return FitInputs(posteriors(n, 1), posteriors(n // 2, 2))


def draw(sampler: Sampler, inputs: FitInputs, n: int, seed: int = 5) -> LatentDraw:
    """Fit with one stream, and draw with another."""
    fitted = sampler.fit(inputs, generator=stream(seed, "fit"))
    return fitted.sample(n, generator=stream(seed, "sample"))


def parts(value: LatentDraw) -> list[Tensor]:
    """Return the tensors of a draw."""
    return [t for t in (value.z, value.source, value.label) if t is not None]


def same(a: LatentDraw, b: LatentDraw) -> bool:
    """Whether two draws are the same, bit for bit."""
    return len(parts(a)) == len(parts(b)) and all(
        torch.equal(x, y) for x, y in zip(parts(a), parts(b), strict=True)
    )


def repeats_itself(sampler: Sampler) -> None:
    """The same generator gives the same tensors; another one, or the same one used again, gives others."""
    inputs = example_inputs()
    first = draw(sampler, inputs, 200)
    assert same(first, draw(sampler, inputs, 200))
    assert not torch.equal(first.z, draw(sampler, inputs, 200, seed=6).z)
    fitted = sampler.fit(inputs, generator=stream(5, "fit"))
    generator = stream(5, "sample")
    assert not torch.equal(
        fitted.sample(200, generator=generator).z, fitted.sample(200, generator=generator).z
    )


def leaves_global_rng_alone(sampler: Sampler) -> None:
    """The sampler neither changes nor reads the global generators of torch, Python and numpy."""
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)
    before = (torch.get_rng_state(), random.getstate(), _numpy_state())
    first = draw(sampler, example_inputs(), 100)
    after = (torch.get_rng_state(), random.getstate(), _numpy_state())
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]
    assert (before[2] == after[2]).all()
    torch.manual_seed(4)
    random.seed(4)
    np.random.seed(4)
    # The draws do not depend on the global generators either.
    assert same(first, draw(sampler, example_inputs(), 100))


def leaves_inputs_alone(sampler: Sampler) -> None:
    """Fitting does not change the inputs."""
    inputs = example_inputs()
    before = copy.deepcopy(inputs)
    draw(sampler, inputs, 100)
    for a, b in ((inputs.train, before.train), (inputs.validation, before.validation)):
        assert torch.equal(a.mean, b.mean)
        assert a.log_var is not None and b.log_var is not None
        assert torch.equal(a.log_var, b.log_var)
        assert a.label is not None and b.label is not None
        assert torch.equal(a.label, b.label)


def meets_moments(sampler: Sampler) -> None:
    """Mean and covariance are within 4 standard errors of the implied ones, for each entry."""
    inputs = example_inputs()
    expected = sampler.expected_moments(inputs)
    if expected is None:
        pytest.skip(f"{sampler.name} has no closed-form moments")
    z = draw(sampler, inputs, N_MOMENTS).z.double()
    error = (z.var(0) / len(z)).sqrt()
    assert ((z.mean(0) - expected.mean).abs() <= 4 * error + 1e-6).all()
    centred = z - z.mean(0)
    products = centred[:, :, None] * centred[:, None, :]
    error = (products.var(0) / len(z)).sqrt()
    assert ((products.mean(0) - expected.cov).abs() <= 4 * error + 1e-6).all()


def has_exchangeable_rows(sampler: Sampler) -> None:
    """Both halves have the same mean, and neighbours are uncorrelated: there is no order and there are no blocks."""
    z = draw(sampler, example_inputs(), N_ROWS).z.double()
    half = len(z) // 2
    gap = (z[:half].mean(0) - z[half:].mean(0)) / (z.var(0) * 2 / half).sqrt()
    assert (gap.abs() < 4.5).all()
    white = (z - z.mean(0)) / z.std(0)
    lagged = (white[1:] * white[:-1]).mean(0) * (len(z) - 1) ** 0.5
    assert (lagged.abs() < 4.5).all()


def survives_its_state(sampler: Sampler) -> None:
    """The restored sampler draws the same, through the file format that stages write."""
    import json

    from safetensors.torch import load, save

    fitted = sampler.fit(example_inputs(), generator=stream(5, "fit"))
    state = fitted.state()
    assert state.name == sampler.name
    tensors = load(save({k: v.contiguous() for k, v in state.tensors.items()}))
    again = sampler.restore(replace(state, tensors=tensors, json=json.loads(json.dumps(state.json))))
    assert type(again) is type(fitted)
    assert same(fitted.sample(300, generator=stream(7)), again.sample(300, generator=stream(7)))
    with pytest.raises(ValueError) as caught:
        sampler.restore(replace(state, json={**state.json, "kind": "of another kind"}))
    assert "\n" not in str(caught.value)


def minds_sizes(sampler: Sampler) -> None:
    """sample(1) works, sample(0) is refused in one line, and so is a fit on fewer than two points."""
    fitted = sampler.fit(example_inputs(), generator=stream(5, "fit"))
    one = fitted.sample(1, generator=stream(5))
    assert one.z.shape == (1, 3)
    for n in (0, -1):
        with pytest.raises(ValueError, match=rf"n={n}: expected") as caught:
            fitted.sample(n, generator=stream(5))
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="at least 2"):
        sampler.fit(FitInputs(posteriors(1, 1), posteriors(300, 2)), generator=stream(5))


def speaks_its_types(sampler: Sampler) -> None:
    """Draws are float32 [n, d], sources are int64 rows in range, labels are the data's, and the role exists."""
    inputs = example_inputs()
    known = inputs.train.label
    assert known is not None
    value = draw(sampler, inputs, 700)
    assert value.z.shape == (700, 3)
    assert value.z.dtype == torch.float32
    assert torch.isfinite(value.z).all()
    assert sampler.role in ("candidate", "control", "specimen")
    if value.source is not None:
        assert value.source.dtype == torch.int64
        assert int(value.source.min()) >= 0 and int(value.source.max()) < len(inputs.train)
        if value.label is not None:
            assert torch.equal(value.label, known[value.source])
    assert (sampler.label_source != "") == (value.label is not None)
    if value.label is not None:
        assert set(value.label.tolist()) <= set(known.tolist())


def islands(n: int = 60) -> FitInputs:
    """Return posteriors so narrow and far apart that a draw is near one only if it was made from it.

    Their means are irregular: no unit, class or pair of images lies at the average of others.
    """
    g = stream(3, "islands")
    label = torch.arange(n) % 3
    mean = 3.0 * torch.randn(n, 3, generator=g) + label[:, None] * torch.tensor([1.0, -0.5, 0.0])
    latents = Latents(mean, torch.full((n, 3), -14.0) + 0.1 * torch.randn(n, 3, generator=g), label)
    return FitInputs(latents, replace(latents, mean=mean + 0.5))


def nearest_posterior(z: Tensor, latents: Latents) -> Tensor:
    """Return the squared distance of each row to its nearest posterior, in that posterior's standard deviations."""
    gap = (z.double()[:, None] - latents.mean.double()) / latents.std.double()
    return gap.square().sum(2).min(1).values


def says_what_it_is(sampler: Sampler) -> None:
    """The declared facts hold: reconstructs, needs_training_data, fixed; the cost is one line; the state keeps them.

    Reconstructs: the squared distance of draws to their nearest training posterior has the mean of chi-squared,
    or a smaller one (for means only); a wider distribution exceeds it. Fixed: two encoders give the same draws.
    """
    inputs = islands()
    try:
        fitted = sampler.fit(inputs, generator=stream(5, "fit"))
    except SamplerNotApplicable:
        inputs = example_inputs()
        fitted = sampler.fit(inputs, generator=stream(5, "fit"))
    facts = fitted.facts
    value = fitted.sample(N_ROWS, generator=stream(5, "sample"))
    dim = inputs.train.dim
    most = dim * (1 + 5 * (2 / (dim * N_ROWS)) ** 0.5)
    near = float(nearest_posterior(value.z, inputs.train).mean()) <= most
    assert facts.reconstructs == near, "reconstructs"
    assert facts.needs_training_data or (value.source is None and not near), "needs_training_data"
    train, validation = (replace(part, mean=2 * part.mean + 1) for part in (inputs.train, inputs.validation))
    other = replace(inputs, train=train, validation=validation)
    moved = sampler.fit(other, generator=stream(5, "fit")).sample(N_ROWS, generator=stream(5, "sample"))
    assert facts.fixed == torch.equal(moved.z, value.z), "fixed"
    assert facts.cost.endswith(".") and "\n" not in facts.cost, "cost"
    assert sampler.restore(fitted.state()).facts == facts, "state"


LAWS: dict[str, Callable[[Sampler], None]] = {
    law.__name__: law
    for law in (
        repeats_itself,
        leaves_global_rng_alone,
        leaves_inputs_alone,
        meets_moments,
        has_exchangeable_rows,
        survives_its_state,
        minds_sizes,
        speaks_its_types,
        says_what_it_is,
    )
}
