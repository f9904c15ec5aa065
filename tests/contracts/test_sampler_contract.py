"""One suite over every sampler, and wrong samplers that it must reject."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from priorgap.core.build import build, configuration_directory, load_option
from priorgap.core.latents import LatentDraw, Latents, Moments
from priorgap.core.random import stream
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.priors.base import Prior
from priorgap.samplers import (
    ActiveUnits,
    ExPostGaussian,
    ExPostLowRank,
    ExPostMixture,
    FitInputs,
    FittedSampler,
    FlowMatchingSampler,
    FlowSampler,
    Kde,
    LiteralLogVar,
    MuPlusLogVar,
    PerClass,
    Pooled,
    Posterior,
    PosteriorHeldout,
    PosteriorMean,
    PriorSampler,
    ReweightedPrior,
    Sampler,
    SamplerState,
    TemperedPrior,
    TwoStage,
    UnitSwap,
    Vamp,
)
from priorgap.samplers.ex_post import FittedExPost
from priorgap.samplers.posterior import FittedRows, rows_of
from priorgap.samplers.single_posterior import SinglePosterior
from priorgap.testing.sampler_contract import LAWS, example_inputs

GMM = ExPostMixture(n_components=[2, 4], n_fit=1_000, draws_per_image=2, max_iter=20, reg_covar=1e-6)
REWEIGHTED = ReweightedPrior(
    hidden=[8], n_fit=500, epochs=2, batch_size=100, learning_rate=1e-2, weight_decay=0.0, n_proposals=20
)
NSF = FlowSampler(
    kind="nsf", transforms=2, hidden=[16], bins=4, dropout=0.1, n_fit=500, draws_per_image=1, epochs=2,
    batch_size=100, learning_rate=1e-2, weight_decay=0.0,
)  # fmt: skip
MAF = replace(NSF, kind="maf", name="flow_maf")
MATCHING = FlowMatchingSampler(
    hidden=[16], frequencies=2, steps=4, n_fit=500, draws_per_image=1, epochs=2, batch_size=100, learning_rate=1e-2,
    weight_decay=0.0,
)  # fmt: skip
LOW_RANK = ExPostLowRank(ranks=[0, 1, 2], n_fit=500, draws_per_image=1)
TWO_STAGE = TwoStage(width=16, n_blocks=1, steps=20, batch_size=100, learning_rate=1e-2)
SAMPLERS: list[Sampler] = [
    PriorSampler(),
    Posterior(),
    PosteriorHeldout(),
    PosteriorMean(),
    LiteralLogVar(),
    MuPlusLogVar(),
    Pooled(),
    ExPostGaussian("diag"),
    ExPostGaussian("full"),
    GMM,
    TemperedPrior(0.8),
    PerClass(ExPostGaussian("full")),
    PerClass(GMM),
    PerClass(Posterior()),
    PerClass(PriorSampler()),
    Kde([1.0, 1.3, 2.0], n_score=300),
    Kde([1.02], n_score=2),
    Kde([1.1], n_score=2),
    Kde([1.5], n_score=2),
    PerClass(Kde([1.0, 1.5], n_score=100)),
    Vamp(20, "random"),
    Vamp(20, "kmeans"),
    Vamp(10_000, "random"),
    PerClass(Vamp(5, "random")),
    REWEIGHTED,
    PerClass(REWEIGHTED),
    SinglePosterior(),
    UnitSwap(0, "prior"),
    UnitSwap(1, "moments"),
    UnitSwap(2, "shuffle"),
    PerClass(UnitSwap(1, "shuffle")),
    NSF,
    MAF,
    PerClass(NSF),
    MATCHING,
    PerClass(MATCHING),
    TWO_STAGE,
    PerClass(TWO_STAGE),
    LOW_RANK,
    PerClass(LOW_RANK),
    ActiveUnits(GMM),
    ActiveUnits(Posterior()),
    ActiveUnits(ExPostGaussian("full"), 0.7),
    PerClass(ActiveUnits(GMM)),
]


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: s.name)
def test_every_sampler_keeps_the_contract(sampler: Sampler, law: Callable[[Sampler], None]) -> None:
    law(sampler)


def test_names_are_the_public_ones() -> None:
    assert [s.name for s in SAMPLERS[:13]] == [
        "prior",
        "posterior",
        "posterior_heldout",
        "posterior_mean",
        "literal_log_var",
        "mu_plus_log_var",
        "pooled",
        "gaussian_diag",
        "gaussian_full",
        "gmm",
        "tempered_prior",
        "per_class_gaussian_full",
        "per_class_gmm",
    ]


# Wrong samplers. Each wraps a right one, breaks one law, and keeps the others as well as it can.


@dataclass(frozen=True)
class Broken:
    """A sampler whose fitted draws go through `spoil`."""

    spoil: Callable[[LatentDraw, FitInputs, torch.Generator], LatentDraw]
    name: str = "posterior"
    role: str = "candidate"
    label_source: str = "source"

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> "FittedBroken":
        return FittedBroken(self, inputs, rows_of("posterior", inputs.train, training=True))

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedRows:
        return Posterior().restore(state)

    def expected_moments(self, inputs: FitInputs) -> Moments | None:
        return Posterior().expected_moments(inputs)


@dataclass(frozen=True)
class FittedBroken:
    sampler: Broken
    inputs: FitInputs
    inner: object

    def sample(self, n: int, *, generator: torch.Generator) -> LatentDraw:
        return self.sampler.spoil(self.inner.sample(n, generator=generator), self.inputs, generator)

    def state(self) -> SamplerState:
        return self.inner.state()


@dataclass(frozen=True)
class Lying:
    """A right sampler whose fitted object says something else of itself, in its state too."""

    inner: Sampler
    changes: dict[str, object]

    @property
    def name(self) -> str:
        return self.inner.name

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> "FittedLying":
        return FittedLying(self.inner.fit(inputs, generator=generator), self.changes)

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedSampler:
        return self.inner.restore(state, prior)


@dataclass(frozen=True)
class FittedLying:
    inner: object
    changes: dict[str, object]

    @property
    def facts(self) -> SamplerFacts:
        return replace(self.inner.facts, **self.changes)

    def sample(self, n: int, *, generator: torch.Generator) -> LatentDraw:
        return self.inner.sample(n, generator=generator)

    def state(self) -> SamplerState:
        state = self.inner.state()
        return replace(state, json=state.json | {"facts": self.facts.to_json()})


@pytest.mark.parametrize(
    ("sampler", "changes"),
    [
        (Posterior(), {"reconstructs": False}),
        (Kde([1.0], n_score=2), {"reconstructs": False}),
        (Kde([1.02], n_score=2), {"reconstructs": False}),
        (Vamp(20, "random"), {"reconstructs": False}),
        (PosteriorMean(), {"reconstructs": False}),
        (SinglePosterior(), {"reconstructs": False}),
        (Kde([1.05], n_score=2), {"reconstructs": True}),
        (Kde([1.5], n_score=2), {"reconstructs": True}),
        (ExPostGaussian("full"), {"reconstructs": True}),
        (Posterior(), {"needs_training_data": False}),
        (Kde([1.5], n_score=2), {"needs_training_data": False}),
        (UnitSwap(1, "moments"), {"needs_training_data": False}),
        (TemperedPrior(0.8), {"fixed": False}),
        (ExPostGaussian("diag"), {"fixed": True}),
        (PosteriorHeldout(), {"fixed": True}),
        (Pooled(), {"cost": ""}),
    ],
    ids=lambda v: v.name if hasattr(v, "name") else "-".join(f"{k}={x}" for k, x in v.items()),
)
def test_suite_rejects_samplers_that_lie_of_themselves(sampler: Sampler, changes: dict[str, object]) -> None:
    LAWS["says_what_it_is"](sampler)
    with pytest.raises(AssertionError, match=f"^{next(iter(changes))}"):
        LAWS["says_what_it_is"](Lying(sampler, changes))


# what a small world can do without; names and kinds stay those of conf/
CHEAP = {"n_fit": 500, "epochs": 2, "steps": 20, "hidden": [8], "width": 16, "n_blocks": 1, "max_iter": 10}
CHEAP |= {"n_proposals": 20, "n_components": 3, "n_score": 50, "transforms": 1, "bins": 4}
CONF = sorted(p.stem for p in (configuration_directory() / "sampler").glob("[!_]*.yaml"))


def cheap(node: object) -> object:
    if not isinstance(node, dict):
        return node
    return {key: CHEAP[key] if key in CHEAP else cheap(value) for key, value in node.items()}


@pytest.mark.parametrize("name", CONF)
def test_every_sampler_of_conf_says_what_it_is(name: str) -> None:
    sampler = build(cheap(load_option("sampler", name)), Sampler, where=name)
    assert sampler.name == name
    LAWS["says_what_it_is"](sampler)


@pytest.mark.parametrize("bandwidths", [[1.0], [1.0, 1.5]])
def test_a_kernel_density_that_widens_nothing_reconstructs(bandwidths: list[float]) -> None:
    """Where posteriors overlap leave-one-out chooses h = 1, and the draws are those of `posterior`."""
    g = stream(8)
    latents = Latents(0.05 * torch.randn(400, 2, generator=g), torch.zeros(400, 2), torch.zeros(400).long())
    inputs = FitInputs(latents, latents)
    for sampler in (Kde(bandwidths, n_score=200), PerClass(Kde(bandwidths, n_score=200))):
        fitted = sampler.fit(inputs, generator=stream(5, "fit"))
        assert fitted.facts.reconstructs
    kde = Kde(bandwidths, n_score=200).fit(inputs, generator=stream(5, "fit"))
    posterior = Posterior().fit(inputs, generator=stream(5, "fit"))
    same = [f.sample(100, generator=stream(5)).z for f in (kde, posterior)]
    assert torch.equal(*same)


def sorted_rows(draw: LatentDraw, inputs: FitInputs, generator: torch.Generator) -> LatentDraw:
    order = draw.z[:, 0].argsort()
    return LatentDraw(draw.z[order], draw.source[order], draw.label[order])


def same_rows_twice(draw: LatentDraw, inputs: FitInputs, generator: torch.Generator) -> LatentDraw:
    index = torch.arange(len(draw)) // 2
    return LatentDraw(draw.z[index], draw.source[index], draw.label[index])


def global_noise(draw: LatentDraw, inputs: FitInputs, generator: torch.Generator) -> LatentDraw:
    return replace(
        draw, z=inputs.train.mean[draw.source] + inputs.train.std[draw.source] * torch.randn(draw.z.shape)
    )


def reseeds_numpy(draw: LatentDraw, inputs: FitInputs, generator: torch.Generator) -> LatentDraw:
    np.random.seed(0)
    return draw


def writes_into_inputs(draw: LatentDraw, inputs: FitInputs, generator: torch.Generator) -> LatentDraw:
    inputs.train.mean.add_(0.01)
    return draw


def log_var_for_s(draw: LatentDraw, inputs: FitInputs, generator: torch.Generator) -> LatentDraw:
    row = draw.source
    noise = torch.randn(draw.z.shape, generator=generator)
    return replace(draw, z=inputs.train.mean[row] + noise * inputs.train.log_var[row])


def shifted(draw: LatentDraw, inputs: FitInputs, generator: torch.Generator) -> LatentDraw:
    return replace(draw, z=draw.z + 0.1)


def always_the_same(draw: LatentDraw, inputs: FitInputs, generator: torch.Generator) -> LatentDraw:
    return rows_of("posterior", inputs.train, training=True).sample(len(draw), generator=stream(0))


def double_precision(draw: LatentDraw, inputs: FitInputs, generator: torch.Generator) -> LatentDraw:
    return replace(draw, z=draw.z.double())


def another_images_label(draw: LatentDraw, inputs: FitInputs, generator: torch.Generator) -> LatentDraw:
    return replace(draw, label=draw.label.roll(1))


@pytest.mark.parametrize(
    ("spoil", "law"),
    [
        (sorted_rows, "has_exchangeable_rows"),
        (same_rows_twice, "has_exchangeable_rows"),
        (global_noise, "leaves_global_rng_alone"),
        (global_noise, "repeats_itself"),
        (reseeds_numpy, "leaves_global_rng_alone"),
        (writes_into_inputs, "leaves_inputs_alone"),
        (log_var_for_s, "meets_moments"),
        (shifted, "meets_moments"),
        (always_the_same, "repeats_itself"),
        (double_precision, "speaks_its_types"),
        (another_images_label, "speaks_its_types"),
        (shifted, "survives_its_state"),
    ],
    ids=lambda v: v if isinstance(v, str) else v.__name__,
)
def test_suite_rejects_wrong_samplers(spoil: Callable, law: str) -> None:
    LAWS["minds_sizes"](Posterior())
    with pytest.raises(AssertionError):
        LAWS[law](Broken(spoil))


class ScikitRows:
    """What calling scikit-learn's own `sample` gives: an integer seed, rows sorted by component."""

    def __init__(self, z: torch.Tensor) -> None:
        from sklearn.mixture import GaussianMixture

        self.model = GaussianMixture(3, random_state=0).fit(z.double().numpy())

    def draw(self, n: int, *, generator: torch.Generator) -> torch.Tensor:
        return torch.from_numpy(self.model.sample(n)[0]).float()


@dataclass(frozen=True)
class ScikitMixture:
    name: str = "gmm"
    role: str = "candidate"

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedExPost:
        return FittedExPost("gmm", ScikitRows(inputs.train.draw(generator=generator)))

    def expected_moments(self, inputs: FitInputs) -> None:
        return None


@pytest.mark.parametrize("law", ["repeats_itself", "has_exchangeable_rows"])
def test_suite_rejects_scikit_learns_own_draws(law: str) -> None:
    with pytest.raises(AssertionError):
        LAWS[law](ScikitMixture())


@dataclass(frozen=True)
class NoSizes(Broken):
    """Returns an empty draw for n = 0."""

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> "EmptyDraws":
        return EmptyDraws(self, inputs, rows_of("posterior", inputs.train, training=True))


class EmptyDraws(FittedBroken):
    def sample(self, n: int, *, generator: torch.Generator) -> LatentDraw:
        return LatentDraw(torch.zeros(0, 3)) if n < 1 else self.inner.sample(n, generator=generator)


def test_suite_rejects_an_empty_draw() -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        LAWS["minds_sizes"](NoSizes(shifted))


def test_inputs_are_checked() -> None:
    good = example_inputs()
    with pytest.raises(ValueError, match="validation has 2 units"):
        FitInputs(good.train, replace(good.validation, mean=good.validation.mean[:, :2], log_var=None))
