"""One suite over every metric, and wrong metrics that it must reject."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import pytest
import torch
from public_measures import PUBLIC

from priorgap.core.build import build, configuration_directory, load_option, target_modules
from priorgap.core.catalogue import BUILTIN, catalogued
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Measure, united
from priorgap.densities import GaussianMixture
from priorgap.densities.flow import Flow, FlowShape
from priorgap.metrics import (
    FID,
    FLD,
    KID,
    AccuracyCurve,
    ActiveUnits,
    AmortisationGap,
    Autocorrelation,
    ClassBalance,
    ColumnShapes,
    Copying,
    CopyShares,
    CrossCorrelation,
    DataCopying,
    Decomposition,
    DependenceSplit,
    Detection,
    DetectionFloor,
    DiscriminativeScore,
    Elbo,
    Evidence,
    FIDByClass,
    FIDFloor,
    FIDInfinity,
    Holes,
    ImportanceWeightedBound,
    KLBracket,
    KLFlowBracket,
    LatentDistances,
    MarginalDistributionDifference,
    MarginalKL,
    Memorisation,
    Metric,
    PairTrends,
    PRDCMeasures,
    PredictiveScore,
    QualityByDensity,
    Radius,
    RareCategories,
    Rate,
    RealEquivalent,
    RealToReal,
    RealToSynthetic,
    Reconstruction,
    RecordDistances,
    SeriesFloors,
    Sharpness,
    Spectrum,
    StepMarginals,
    SyntheticToReal,
    TableFloors,
    TotalVariation,
    TrainMixture,
    TrainOnSynthetic,
    TrainOnSyntheticForecast,
    Vendi,
)
from priorgap.metrics.measuring import measure_one
from priorgap.metrics.unit_dependence import UnitDependence
from priorgap.testing.metric_contract import LAWS, run
from priorgap.testing.world import decode, fresh, world

MIXTURE = GaussianMixture(n_components=(2,), n_fit=500, max_iter=20, reg_covar=1e-6)
FLOW = Flow(
    FlowShape(kind="nsf", transforms=1, hidden=(8,), bins=4, dropout=0.0),
    epochs=2, batch_size=200, learning_rate=5e-3, weight_decay=0.0,
)  # fmt: skip
METRICS: list[Metric] = [
    Rate(),
    ActiveUnits(variance_threshold=0.01, rate_threshold=0.01),
    MarginalKL(part="test"),
    Decomposition(n_groups=10),
    KLBracket(n_components=[2], n_fit=500, max_iter=20, reg_covar=1e-6, n_draws=2),
    TrainMixture(n_draws=200),
    UnitDependence(n_components=[2], n_fit=500, max_iter=20, reg_covar=1e-6),
    Elbo(),
    Holes(mixture=MIXTURE, n_draws=1, n_prior=300, levels=[0.01, 0.1], n_repeats=10),
    DependenceSplit(mixture=MIXTURE, n_draws=1),
    TotalVariation(n_fit=200, n_eval=250),
    LatentDistances(n_max=100, n_projections=5, n_repeats=5),
    Radius(),
    KLFlowBracket(mixture=MIXTURE, flow=FLOW, n_draws=1),
    ImportanceWeightedBound(n_images=20, n_draws=[1, 10]),
    AmortisationGap(n_images=10, n_steps=3, n_draws=1, learning_rate=0.03, n_final=2),
    FID(),
    FIDFloor(),
    KID(),
    PRDCMeasures(k=5, n_max=200),
    RealToSynthetic(),
    SyntheticToReal(own_labels=True),
    RealToReal(),
    ClassBalance(),
    Memorisation(n_queries=150),
    Copying(n_queries=150, quantile=0.02),
    CopyShares(n_queries=150, n_searched=80),
    Vendi(n_max=200, n_blocks=5),
    Sharpness(),
    FIDByClass(least=10),
    FIDInfinity(n_splits=1),
    DataCopying(n_queries=150, n_cells=3, least_share=0.01),
    FLD(n_max=200),
    AccuracyCurve(sizes=[20, 60], n_seeds=2),
    RealEquivalent(sizes=[20, 60], n_seeds=2),
    QualityByDensity([2], 400, 20, 1e-6, n_draws=150, n_bands=3, k=3, step=0.3),
    Reconstruction(),
    Autocorrelation(n_lags=4),
    CrossCorrelation(n_lags=2),
    Spectrum(),
    StepMarginals(),
    SeriesFloors(autocorrelation_lags=4, cross_correlation_lags=2),
    ColumnShapes(),
    PairTrends(least_correlation=0.0, least_association=0.0),
    RareCategories(level=0.1),
    RecordDistances(quantile=0.05, n_queries=100),
    TableFloors(least_correlation=0.0, least_association=0.0, level=0.1),
    TrainOnSynthetic(n_kernels=1, n_most=200),
    TrainOnSyntheticForecast(n_past=None, n_most=200),
    Detection(n_folds=2, n_kernels=20, n_most=200),
    DetectionFloor(n_folds=2, n_kernels=20, n_most=200),
    DiscriminativeScore(n_hidden=4, n_steps=6, n_most=200),
    PredictiveScore(n_hidden=4, n_steps=6, n_most=200),
    MarginalDistributionDifference(n_bins=10),
]


@cache
def given(place: int) -> list[Measurement]:
    """What a metric gives; computed once for all tests that look at it."""
    return run(METRICS[place])


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_every_metric_keeps_the_contract(metric: Metric, law: Callable[[Metric], None]) -> None:
    law(metric)


def test_together_they_give_every_public_measure() -> None:
    assert {row.measure for place in range(len(METRICS)) for row in given(place)} == PUBLIC


def test_what_compares_with_real_data_says_how_many() -> None:
    of_one_image = {"distortion", "distortion_sse", "elbo", "iw_bound", "amortisation_gap"}
    for row in (row for metric in METRICS for row in run(metric)):
        assert row.space == "latent" or row.measure in of_one_image or row.n_reference, row


def test_measures_are_those_of_the_catalogue() -> None:
    for metric in METRICS:
        assert set(metric.measures) <= set(BUILTIN.values()), metric.name
        assert {row.measure for row in run(metric)} <= PUBLIC


def test_each_gives_all_that_it_names() -> None:
    for place, metric in enumerate(METRICS):
        assert {row.measure for row in given(place)} == {measure.name for measure in metric.measures}, (
            metric.name
        )


def test_the_catalogue_is_the_union_of_what_metrics_name() -> None:
    conf = configuration_directory() / "metric"
    names = [
        p.stem
        for p in sorted(conf.glob("*.yaml"))
        if p.stem not in ("standard", "full", "series", "tables", "published_series")
    ]
    nodes = {name: load_option("metric", name) for name in names}
    own = {name: node for name, node in nodes.items() if target_modules(node)}
    # of torchmetrics' each brings an entry of its own (tests/metrics/test_torchmetrics_image.py)
    assert [name for name in nodes if name not in own] == [name for name in names if name.startswith("tm_")]
    metrics = [build(node, Metric, where=name) for name, node in own.items()]
    assert united(*(m.measures for m in metrics)) == united(*(m.measures for m in METRICS)) == BUILTIN
    assert set(BUILTIN) == PUBLIC


def test_a_measure_that_no_catalogue_has_is_refused_when_it_is_given() -> None:
    with pytest.raises(
        ValueError, match=r"^metrics.wrong: gave the measure average_rate, expected one .*: rate"
    ):
        measure_one(Renamed(), world().model.alone(), seed=0)
    assert measure_one(Wrong(), world().model.alone(), seed=0)[1] is None


def test_names_are_unique() -> None:
    assert len({m.name for m in METRICS}) == len(METRICS)


def test_a_metric_of_latents_decodes_nothing() -> None:
    """Expensive evidence is computed only when asked for."""

    def forbidden(z: torch.Tensor, label: torch.Tensor | None) -> torch.Tensor:
        raise AssertionError("decoded")

    model = fresh(world().model, decode=forbidden)
    for metric in METRICS[:15]:
        assert run(metric, model.alone())
    with pytest.raises(AssertionError, match="decoded"):
        run(FID(), model.of("prior", "candidate", world().prior_draw()))


def test_draws_are_decoded_once_for_all_metrics() -> None:
    calls = []

    def counted(z: torch.Tensor, label: torch.Tensor | None) -> torch.Tensor:
        calls.append(len(z))
        return decode(z)

    model = fresh(world().model, decode=counted)
    evidence = model.of("prior", "candidate", world().prior_draw(250))
    for metric in (FID(), KID(), PRDCMeasures(k=5, n_max=200), ClassBalance()):
        run(metric, evidence)
    assert calls == [250]
    other = model.of("prior again", "candidate", world().prior_draw(250))
    for given in (evidence, other):
        run(Copying(n_queries=150, quantile=0.02), given)
    run(Memorisation(n_queries=150), model.alone())
    assert calls == [250, 150, 150, 250]  # the model's own copies once, the other sampler once


# Wrong metrics. Each breaks one law.


@dataclass(frozen=True)
class Wrong:
    name: ClassVar[str] = "wrong"
    scope: ClassVar[str] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("rate")
    needs: ClassVar[frozenset[str]] = frozenset({"test"})

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        from priorgap.metrics.protocols import require

        require(evidence, self.needs)
        return self.rows(evidence, generator)

    def rows(self, evidence: Evidence, generator: torch.Generator) -> list[Measurement]:
        return [Measurement("rate", float(evidence.model.test.mean.abs().mean()), n=1)]


class Infinite(Wrong):
    def rows(self, evidence: Evidence, generator: torch.Generator) -> list[Measurement]:
        return [Measurement("rate", float("inf"), n=1)]


class OutsideItsRange(Wrong):
    def rows(self, evidence: Evidence, generator: torch.Generator) -> list[Measurement]:
        return [Measurement("rate", 1.0, n=1), Measurement("rate", -0.1, n=1, bound="lower")]


class Sizeless(Wrong):
    def rows(self, evidence: Evidence, generator: torch.Generator) -> list[Measurement]:
        return [Measurement("rate", 1.0)]


class Renamed(Wrong):
    def rows(self, evidence: Evidence, generator: torch.Generator) -> list[Measurement]:
        return [Measurement("average_rate", 1.0, n=1)]


class Twice(Wrong):
    def rows(self, evidence: Evidence, generator: torch.Generator) -> list[Measurement]:
        return [Measurement("rate", 1.0, n=1), Measurement("rate", 2.0, n=1)]


class GlobalNoise(Wrong):
    def rows(self, evidence: Evidence, generator: torch.Generator) -> list[Measurement]:
        return [Measurement("rate", float(torch.randn(())), n=1)]


class Writes(Wrong):
    def rows(self, evidence: Evidence, generator: torch.Generator) -> list[Measurement]:
        evidence.model.test.mean.mul_(1.0001)
        return super().rows(evidence, generator)


class Swallows(Wrong):
    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        try:
            return super().measure(evidence, generator=generator)
        except ValueError:
            return []


class Crashes(Wrong):
    needs: ClassVar[frozenset[str]] = frozenset({"test"})

    def rows(self, evidence: Evidence, generator: torch.Generator) -> list[Measurement]:
        return [Measurement("rate", float(evidence.model.train.mean.mean()), n=1)]


@pytest.mark.parametrize(
    ("wrong", "law", "error"),
    [
        (Infinite(), "gives_finite_named_rows", AssertionError),
        (OutsideItsRange(), "gives_finite_named_rows", AssertionError),
        (Sizeless(), "gives_finite_named_rows", AssertionError),
        (Renamed(), "gives_finite_named_rows", AssertionError),
        (Twice(), "gives_finite_named_rows", AssertionError),
        (GlobalNoise(), "repeats_itself", AssertionError),
        (GlobalNoise(), "leaves_global_rng_alone", AssertionError),
        (Writes(), "leaves_evidence_alone", AssertionError),
        (Swallows(), "says_what_is_missing", pytest.fail.Exception),
        (Crashes(), "names_all_it_needs", AttributeError),
    ],
    ids=lambda v: v if isinstance(v, str) else type(v).__name__,
)
def test_suite_rejects_wrong_metrics(wrong: Wrong, law: str, error: type[BaseException]) -> None:
    LAWS["gives_finite_named_rows"](Wrong())
    with pytest.raises(error):
        LAWS[law](wrong)
