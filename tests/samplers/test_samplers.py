"""What is particular to each sampler; what they share is in tests/contracts."""

from dataclasses import replace

import pytest
import torch

from priorgap.core.latents import Latents
from priorgap.core.random import stream
from priorgap.priors.base import Prior
from priorgap.samplers import (
    ExPostGaussian,
    ExPostMixture,
    FitInputs,
    LatentDensity,
    LiteralLogVar,
    MuPlusLogVar,
    PerClass,
    Pooled,
    Posterior,
    PosteriorHeldout,
    PosteriorMean,
    PriorSampler,
    SamplerNotApplicable,
    SamplerState,
    TemperedPrior,
)

GMM = ExPostMixture(n_components=3, n_fit=600, draws_per_image=2, max_iter=20, reg_covar=1e-6)


def latents(n: int, seed: int, dim: int = 2) -> Latents:
    g = stream(seed, "latents")
    return Latents(
        torch.randn(n, dim, generator=g),
        torch.randn(n, dim, generator=g) - 2,
        torch.randint(0, 3, (n,), generator=g),
    )


def inputs(n: int = 300) -> FitInputs:
    return FitInputs(latents(n, 1), latents(n, 2))


def sample(sampler: object, given: FitInputs, n: int) -> object:
    return sampler.fit(given, generator=stream(0, "fit")).sample(n, generator=stream(0, "sample"))


def test_posterior_is_mean_plus_s_noise_of_its_source() -> None:
    given = inputs()
    draw = sample(Posterior(), given, 200)
    noise = torch.randn(200, 2, generator=stream(0, "sample"))
    source = given.train.take(draw.source)
    assert torch.allclose(draw.z, source.mean + source.std * noise)
    assert torch.equal(draw.label, source.label)


def test_the_literal_formula_differs_from_it_only_in_the_factor() -> None:
    given = inputs()
    right, literal = sample(Posterior(), given, 200), sample(LiteralLogVar(), given, 200)
    assert torch.equal(right.source, literal.source)
    rows = given.train.take(right.source)
    assert torch.allclose((literal.z - rows.mean) * rows.std, (right.z - rows.mean) * rows.log_var, atol=1e-5)


def test_mean_and_mu_plus_log_var_add_no_noise() -> None:
    given = inputs()
    means, plus = sample(PosteriorMean(), given, 200), sample(MuPlusLogVar(), given, 200)
    assert torch.equal(means.z, given.train.mean[means.source])
    assert torch.allclose(plus.z - means.z, given.train.log_var[plus.source], atol=1e-6)


def test_posterior_uses_every_image_equally_often() -> None:
    given = inputs(300)
    assert sample(Posterior(), given, 300).source.bincount(minlength=300).tolist() == [1] * 300
    counts = sample(Posterior(), given, 750).source.bincount(minlength=300)
    assert sorted(counts.unique().tolist()) == [2, 3]
    assert len(sample(Posterior(), given, 100).source.unique()) == 100


def test_heldout_draws_come_from_validation_and_have_no_training_source() -> None:
    given = inputs()
    far = FitInputs(given.train, replace(given.validation, mean=given.validation.mean + 100))
    draw = sample(PosteriorHeldout(), far, 300)
    assert draw.source is None
    assert float(draw.z.mean()) > 90
    assert sorted(draw.label.tolist()) == sorted(far.validation.label.tolist())


def test_heldout_without_validation_images_is_not_applicable() -> None:
    given = inputs()
    with pytest.raises(SamplerNotApplicable, match="0 validation images"):
        sample(PosteriorHeldout(), FitInputs(given.train, given.validation.take(torch.arange(0))), 5)


def test_samplers_share_their_base_noise() -> None:
    given = inputs()
    noise = sample(PriorSampler(), given, 100).z
    assert torch.allclose(sample(TemperedPrior(0.5), given, 100).z, 0.5 * noise)
    moments = ExPostGaussian("diag").expected_moments(given)
    diag = (moments.mean + noise.double() * moments.cov.diagonal().sqrt()).float()
    assert torch.allclose(sample(ExPostGaussian("diag"), given, 100).z, diag, atol=1e-6)
    assert torch.allclose(
        sample(PerClass(TemperedPrior(2.0)), given, 100).z, 2 * noise, atol=1e-6
    )  # per class too


def test_gaussian_full_has_the_variance_of_z_and_not_of_mu() -> None:
    given = inputs(2_000)
    z = given.train.draw(generator=stream(3)).double()
    law = ExPostGaussian("full").expected_moments(given)
    assert torch.allclose(law.cov, z.T.cov(), atol=0.1)
    lost = given.train.log_var.exp().double().mean(0)
    assert torch.allclose(law.cov.diagonal() - given.train.mean.double().var(0), lost, rtol=0.02)


def test_pooled_lacks_the_variance_between_images() -> None:
    given = inputs()
    gap = ExPostGaussian("diag").expected_moments(given).cov - Pooled().expected_moments(given).cov
    between = given.train.mean.double().var(0, unbiased=False)
    assert torch.allclose(gap.diagonal(), between)


def test_gmm_is_fitted_to_z_and_not_to_mu() -> None:
    wide = Latents(torch.zeros(500, 2), torch.zeros(500, 2))  # all variance is in the posteriors
    fitted = replace(GMM, n_components=1).fit(FitInputs(wide, wide), generator=stream(0))
    assert torch.allclose(fitted.density.cov[0], torch.eye(2, dtype=torch.float64), atol=0.2)


def test_gmm_does_not_see_more_draws_than_it_may() -> None:
    seen = []

    class Spy:
        candidates = (1,)

        def fit(
            self, z_train: torch.Tensor, z_validation: torch.Tensor, *, generator: torch.Generator
        ) -> None:
            seen.append(len(z_train))

    for n, n_fit, each in ((300, 1_000, 2), (300, 500, 2), (300, 1_000, 1)):
        sampler = replace(GMM, n_fit=n_fit, draws_per_image=each)
        object.__setattr__(sampler, "_density", Spy)
        sampler.fit(inputs(n), generator=stream(0))
    assert seen == [600, 500, 300]


@pytest.mark.parametrize("sampler", [LiteralLogVar(), MuPlusLogVar(), Pooled()], ids=lambda s: s.name)
def test_specimens_need_log_var(sampler: object) -> None:
    plain = Latents(torch.randn(50, 2, generator=stream(0)))
    with pytest.raises(SamplerNotApplicable, match=f"{sampler.name}: the encoder gives no log_var"):
        sampler.fit(FitInputs(plain, plain), generator=stream(0))


@pytest.mark.parametrize(
    "sampler",
    [PriorSampler(), Posterior(), PosteriorMean(), ExPostGaussian("full"), GMM],
    ids=lambda s: s.name,
)
def test_a_plain_autoencoder_can_be_sampled(sampler: object) -> None:
    plain = Latents(torch.randn(50, 2, generator=stream(0)))
    assert torch.isfinite(sample(sampler, FitInputs(plain, plain), 20).z).all()


def test_posterior_mean_and_deterministic_posterior_are_one_thing() -> None:
    plain = Latents(torch.randn(50, 2, generator=stream(0)))
    given = FitInputs(plain, plain)
    assert torch.equal(sample(Posterior(), given, 40).z, sample(PosteriorMean(), given, 40).z)
    assert not isinstance(Posterior().fit(given, generator=stream(0)), LatentDensity)


def integral(fitted: LatentDensity) -> float:
    axis = torch.linspace(-14, 14, 500, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    return float(fitted.log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** 2)


@pytest.mark.parametrize(
    "sampler",
    [
        PriorSampler(),
        TemperedPrior(1.5),
        Posterior(),
        PosteriorHeldout(),
        Pooled(),
        ExPostGaussian("full"),
        GMM,
        PerClass(ExPostGaussian("full")),
        PerClass(Posterior()),
    ],
    ids=lambda s: s.name,
)
def test_densities_integrate_to_one(sampler: object) -> None:
    fitted = sampler.fit(inputs(60), generator=stream(0))
    assert isinstance(fitted, LatentDensity)
    assert integral(fitted) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("sampler", [PosteriorMean(), PerClass(PosteriorMean())], ids=lambda s: s.name)
def test_what_has_no_density_offers_none(sampler: object) -> None:
    assert not isinstance(sampler.fit(inputs(), generator=stream(0)), LatentDensity)


def test_equivariant_under_calibration() -> None:
    """Ex-post samplers follow a shift and scale of each unit, so calibration cannot change their images."""
    given = inputs()
    shift, scale = torch.tensor([0.7, -3.0]), torch.tensor([4.0, 0.05])

    def moved(x: Latents) -> Latents:
        return Latents((x.mean - shift) / scale, x.log_var - 2 * scale.log(), x.label)

    after = FitInputs(moved(given.train), moved(given.validation))
    for sampler in (
        Posterior(),
        PosteriorMean(),
        ExPostGaussian("diag"),
        ExPostGaussian("full"),
        GMM,
        PerClass(GMM),
    ):
        z = sample(sampler, given, 300).z
        assert torch.allclose(sample(sampler, after, 300).z * scale + shift, z, atol=2e-3), sampler.name
    assert not torch.allclose(
        sample(PriorSampler(), after, 300).z * scale + shift, sample(PriorSampler(), given, 300).z, atol=0.1
    )


class Shifted(Prior):
    """A prior that is not the standard normal."""

    def log_prob(self, z: torch.Tensor) -> torch.Tensor:
        return -0.5 * (z - 5).square().sum(1)

    def sample(self, n: int, *, generator: torch.Generator) -> torch.Tensor:
        return 5 + torch.randn(n, self.dim, generator=generator)


def test_the_models_own_prior_is_used() -> None:
    given = replace(inputs(), prior=Shifted(2))
    fitted = PriorSampler().fit(given, generator=stream(0))
    draw = fitted.sample(400, generator=stream(1))
    assert abs(float(draw.z.mean()) - 5) < 0.2
    assert PriorSampler().expected_moments(given) is None
    with pytest.raises(ValueError, match="learned prior; expected it"):
        PriorSampler().restore(fitted.state())
    again = PriorSampler().restore(fitted.state(), Shifted(2))
    assert torch.equal(again.sample(400, generator=stream(1)).z, draw.z)
    with pytest.raises(SamplerNotApplicable, match="standard-normal"):
        TemperedPrior(0.8).fit(given, generator=stream(0))


def test_per_class_draws_come_from_their_class() -> None:
    label = torch.arange(400) % 2
    mean = torch.randn(400, 2, generator=stream(0)) * 0.1 + 50.0 * label[:, None]
    train = Latents(mean, torch.full((400, 2), -4.0), label)
    draw = sample(PerClass(ExPostGaussian("full")), FitInputs(train, train), 500)
    assert torch.equal((draw.z[:, 0] > 25).long(), draw.label)
    by_posterior = sample(PerClass(Posterior()), FitInputs(train, train), 500)
    assert torch.equal(train.label[by_posterior.source], by_posterior.label)


def test_per_class_frequencies_are_the_data_s_or_the_given_ones() -> None:
    label = (torch.arange(1_000) % 10 == 0).long()
    given = FitInputs(replace(latents(1_000, 1), label=label), replace(latents(1_000, 2), label=label))
    assert float(sample(PerClass(Pooled()), given, 5_000).label.double().mean()) == pytest.approx(
        0.1, abs=0.02
    )
    given = replace(given, label_prior=torch.tensor([0.3, 0.7]))
    assert float(sample(PerClass(Pooled()), given, 5_000).label.double().mean()) == pytest.approx(
        0.7, abs=0.03
    )
    given = replace(given, label_prior=torch.tensor([0.0, 1.0]))
    assert sample(PerClass(Pooled()), given, 50).label.unique().tolist() == [1]


def test_per_class_says_what_is_missing() -> None:
    given = inputs()
    with pytest.raises(SamplerNotApplicable, match="per_class_gmm: the data have no labels"):
        PerClass(GMM).fit(replace(given, train=given.train.without_labels()), generator=stream(0))
    label = torch.zeros(300, dtype=torch.int64)
    label[7] = 1
    lonely = replace(given, train=replace(given.train, label=label))
    with pytest.raises(ValueError, match="class 1 has 1 training images, expected at least 2"):
        PerClass(Pooled()).fit(lonely, generator=stream(0))
    with pytest.raises(ValueError, match="class 2 has 0 training images"):
        PerClass(Pooled()).fit(
            replace(lonely, label_prior=torch.tensor([0.5, 0.0, 0.5])), generator=stream(0)
        )
    with pytest.raises(ValueError, match="label_prior"):
        PerClass(Pooled()).fit(replace(given, label_prior=torch.zeros(3)), generator=stream(0))
    unlabelled = replace(given, validation=given.validation.without_labels())
    with pytest.raises(
        SamplerNotApplicable, match=r"per_class_gmm: class 0: .*validation.*99 training images"
    ):
        PerClass(replace(GMM, n_components=(2, 3))).fit(unlabelled, generator=stream(0))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: TemperedPrior(0.0), "temperature=0.0"),
        (lambda: TemperedPrior(float("inf")), "temperature=inf"),
        (lambda: ExPostGaussian("round"), "covariance='round'"),
        (lambda: replace(GMM, n_components=0), "n_components=0"),
        (lambda: replace(GMM, draws_per_image=0), "draws_per_image=0"),
        (lambda: Posterior().restore(SamplerState("x", {}, {"kind": "pickle"})), "kind 'pickle'"),
        (lambda: PerClass(GMM).restore(SamplerState("x", {}, {"kind": "rows"})), "kind 'rows'"),
    ],
)
def test_bad_values(make: object, expected: str) -> None:
    with pytest.raises(ValueError, match=expected) as caught:
        make()
    assert "\n" not in str(caught.value)
