"""The bracket on worlds whose KL(q || p) is known."""

import math

import pytest
import torch
from refusals import drawn_from_its_generator, refused, seeded

from priorgap.estimators.bracket import (
    Bracket,
    heavy_tails,
    kl_lower_bound,
    kl_upper_bound,
    largest_share,
    rows_per_parameter,
    train_mixture_kl,
    upper_floor,
)
from priorgap.estimators.gaussian import gaussian_log_prob, rate_per_unit, standard_normal_log_prob
from priorgap.estimators.mixture import mixture_log_prob
from priorgap.estimators.uncertainty import Estimate

# posteriors of one s: q is the law of the means widened by s
S = 0.3


def posteriors(means, s=S):
    return means, torch.full_like(means, 2 * math.log(s))


def draws(mean, log_var, k, generator):
    noise = torch.randn(len(mean), k, mean.shape[1], generator=generator)
    return mean[:, None] + (0.5 * log_var).exp()[:, None] * noise


def two_mode_means(n, generator):
    """Means at +-sqrt(1 - S^2) of unit 0, Gaussian in unit 1: q has moments 0 and I, and negentropy."""
    sign = torch.where(torch.rand(n, generator=generator) < 0.5, 1.0, -1.0)
    other = torch.randn(n, generator=generator)
    return math.sqrt(1 - S * S) * torch.stack([sign, other], 1)


def two_mode_log_prob(z):
    a = math.sqrt(1 - S * S)
    modes = torch.stack([-0.5 * ((z[:, 0] - m) / S).square() - math.log(2 * S) for m in (a, -a)])
    return modes.double().logsumexp(0) - 0.5 * z[:, 1].double().square() - math.log(2 * math.pi)


def two_mode_truth(generator):
    mean, log_var = posteriors(two_mode_means(400_000, generator))
    z = draws(mean, log_var, 1, generator)[:, 0]
    return float((two_mode_log_prob(z) - standard_normal_log_prob(z)).mean())


def test_bracket_holds_the_truth(generator):
    truth = two_mode_truth(generator)
    assert 0.5 < truth < 0.7
    mean, log_var = posteriors(two_mode_means(4000, generator))
    z = draws(mean, log_var, 2, generator)
    flat = z.reshape(-1, 2)
    log_f, log_p = two_mode_log_prob(flat).view(-1, 2), standard_normal_log_prob(flat).view(-1, 2)
    bracket = Bracket(kl_lower_bound(log_f, log_p), kl_upper_bound(mean, log_var, generator=generator))
    low, high = bracket.limits()
    assert low <= truth <= high and high - low < 0.1 and bracket.resolved(0.1)


def test_same_law_gives_a_bracket_around_zero(generator):
    means = math.sqrt(1 - S * S) * torch.randn(4000, 2, generator=generator)
    mean, log_var = posteriors(means)
    z = draws(mean, log_var, 1, generator)[:, 0]
    lower = kl_lower_bound(
        gaussian_log_prob(z, torch.zeros(2), torch.eye(2) * 1.01), standard_normal_log_prob(z)
    )
    low, high = Bracket(lower, kl_upper_bound(mean, log_var, generator=generator)).limits()
    assert low <= 0 <= high < 0.08


def test_lower_bound_of_a_wrong_density_is_lower(generator):
    mean, log_var = posteriors(two_mode_means(4000, generator))
    z = draws(mean, log_var, 1, generator)[:, 0]
    log_p = standard_normal_log_prob(z)
    exact = kl_lower_bound(two_mode_log_prob(z), log_p)
    poor = kl_lower_bound(gaussian_log_prob(z, torch.zeros(2), torch.eye(2)), log_p)
    assert poor.value == pytest.approx(0, abs=1e-9) and exact.value > 0.5


def test_training_on_the_scored_draws_breaks_the_lower_bound(generator):
    """Negative control: a mixture centred on the very draws it scores claims more than the truth."""
    mean, log_var = posteriors(two_mode_means(500, generator))
    z = draws(mean, log_var, 1, generator)[:, 0]
    log_f = mixture_log_prob(z, z, torch.full_like(z, 2 * math.log(0.05)))
    cheat = kl_lower_bound(log_f, standard_normal_log_prob(z))
    assert cheat.value - 3 * cheat.std_error > two_mode_truth(generator)


def test_leave_one_out_breaks_the_upper_bound(generator):
    """Negative control: taking each posterior out of its own mixture gives a number below the truth."""
    d = 8
    mean, log_var = posteriors(1.2 * torch.randn(500, d, generator=generator))
    truth = d * 0.5 * (1.44 + S * S - 1 - math.log(1.44 + S * S))
    upper = kl_upper_bound(mean, log_var, generator=generator)
    assert upper.value > truth
    z = draws(mean, log_var, 1, generator)[:, 0]
    left_out = mixture_log_prob(z, mean, log_var, exclude=torch.arange(500)) - standard_normal_log_prob(z)
    assert float(left_out.mean()) < truth - 5


def test_upper_bound_is_exact_for_one_law_shared_by_all(generator):
    mean, log_var = torch.full((2000, 1), 0.7), torch.full((2000, 1), math.log(0.25))
    upper = kl_upper_bound(mean, log_var, n_draws=4, generator=generator)
    truth = 0.5 * (0.49 + 0.25 - 1 - math.log(0.25))
    assert abs(upper.value - truth) < 4 * upper.std_error


def test_upper_bound_saturates_at_rate_minus_log_n(generator):
    mean, log_var = posteriors(3 * torch.randn(100, 32, generator=generator))
    upper = kl_upper_bound(mean, log_var, generator=generator, n_draws=8)
    rate = float(rate_per_unit(mean, log_var).sum(1).mean())
    assert upper.value == pytest.approx(rate - math.log(100), abs=1)


def test_train_mixture_shows_log_n_not_the_mismatch(generator):
    """q = N(0, I), so the truth is 0; the description says rate - log n."""
    d, n = 16, 3000
    mean, log_var = posteriors(math.sqrt(1 - 0.01) * torch.randn(n, d, generator=generator), 0.1)
    described = train_mixture_kl(mean, log_var, n_draws=1000, generator=generator)
    rate = float(rate_per_unit(mean, log_var).sum(1).mean())
    assert described.value == pytest.approx(rate - math.log(n), abs=0.5) and described.value > 20


def test_learned_prior_is_used(generator):
    mean, log_var = posteriors(torch.randn(500, 2, generator=generator) + 2)
    plain = kl_upper_bound(mean, log_var, generator=generator)
    shifted = kl_upper_bound(
        mean, log_var, generator=generator, log_prior=lambda z: standard_normal_log_prob(z - 2)
    )
    assert plain.value - shifted.value > 3


def test_draws_of_an_image_are_averaged_before_the_standard_error():
    """Ten copies of each draw carry no more information than one."""
    log_f = torch.linspace(0, 1, 50)[:, None]
    once = kl_lower_bound(log_f, torch.zeros_like(log_f))
    ten = kl_lower_bound(log_f.expand(50, 10), torch.zeros(50, 10))
    assert ten.std_error == pytest.approx(once.std_error)
    wrong = float(log_f.expand(50, 10).reshape(-1).std()) / math.sqrt(500)
    assert wrong < 0.5 * once.std_error


def test_same_generator_same_number(generator):
    mean, log_var = posteriors(torch.randn(50, 2, generator=generator))
    one, other = (kl_upper_bound(mean, log_var, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert one == other


def test_limits_and_resolution():
    bracket = Bracket(Estimate(1.0, 0.1), Estimate(1.2, 0.1))
    assert bracket.limits() == pytest.approx((1 - 0.196, 1.2 + 0.196), abs=1e-3)
    assert bracket.resolved(0.6) and not bracket.resolved(0.5)
    with pytest.raises(ValueError, match="no standard error"):
        Bracket(Estimate(1.0), Estimate(2.0, 0.1)).limits()


def test_bad_input(generator):
    mean, log_var = posteriors(torch.zeros(5, 2))
    with pytest.raises(ValueError, match="n_draws=0"):
        kl_upper_bound(mean, log_var, generator=generator, n_draws=0)
    with pytest.raises(ValueError, match="n_draws=6: expected an integer from 2 to 5"):
        train_mixture_kl(mean, log_var, n_draws=6, generator=generator)
    with pytest.raises(ValueError, match="log_f has shape"):
        kl_lower_bound(torch.zeros(3, 2), torch.zeros(3))
    with pytest.raises(ValueError, match="mean has 1 rows"):
        kl_upper_bound(mean[:1], log_var[:1], generator=generator)


def in_sample(mean, log_var, mixture, k, log_prior=standard_normal_log_prob):
    """Mean and standard error of log mixture - log p, the draws of an image averaged first."""
    noise = torch.randn((k, *mean.shape), generator=seeded(), dtype=mean.dtype)
    terms = []
    for own in noise:
        z = mean + (0.5 * log_var).exp() * own
        terms.append(mixture_log_prob(z, *mixture) - log_prior(z))
    value = torch.stack(terms).mean(0)
    return float(value.mean()), float(value.std()) / math.sqrt(len(mean))


def test_the_upper_end_step_by_step(generator):
    mean = torch.randn(30, 2, generator=generator, dtype=torch.float64)
    log_var = torch.randn(30, 2, generator=generator, dtype=torch.float64) - 1
    for k in (1, 3):
        found = kl_upper_bound(mean, log_var, generator=seeded(), n_draws=k)
        expected = in_sample(mean, log_var, (mean, log_var), k)
        assert (found.value, found.std_error) == pytest.approx(expected, rel=1e-12)
    once = kl_upper_bound(mean, log_var, generator=seeded(), n_draws=1)
    assert drawn_from_its_generator(lambda g: kl_upper_bound(mean, log_var, generator=g)) == once


def test_the_description_step_by_step(generator):
    mean = torch.randn(30, 2, generator=generator, dtype=torch.float64)
    log_var = torch.randn(30, 2, generator=generator, dtype=torch.float64) - 1

    def described(g, **options):
        return train_mixture_kl(mean, log_var, n_draws=8, generator=g, **options)

    def away(z):
        return standard_normal_log_prob(z - 2)

    for options in ({}, {"log_prior": away}):
        same = seeded()
        chosen = torch.randperm(30, generator=same)[:8]
        noise = torch.randn(8, 2, generator=same, dtype=torch.float64)
        z = mean[chosen] + (0.5 * log_var[chosen]).exp() * noise
        log_p = options.get("log_prior", standard_normal_log_prob)(z)
        terms = mixture_log_prob(z, mean, log_var) - log_p
        expected = (float(terms.mean()), float(terms.std()) / math.sqrt(8))
        found = described(seeded(), **options)
        assert (found.value, found.std_error) == pytest.approx(expected, rel=1e-12)
    drawn_from_its_generator(described)
    for n in (2, 30):
        assert train_mixture_kl(mean, log_var, n_draws=n, generator=generator).std_error > 0


def test_levels_and_borders():
    bracket = Bracket(Estimate(0.0, 0.25), Estimate(0.5, 0.25))
    assert bracket.limits() == bracket.limits(0.975) != bracket.limits(0.9)
    assert not bracket.resolved() and bracket.resolved(level=0.5)
    assert Bracket(Estimate(0.0, 0.0), Estimate(0.5, 0.0)).resolved()
    assert not Bracket(Estimate(0.0, 0.0), Estimate(0.501, 0.0)).resolved()
    for ends in ((Estimate(1.0), Estimate(2.0, 0.1)), (Estimate(1.0, 0.1), Estimate(2.0))):
        line = "an end of the bracket has no standard error: expected at least 2 images"
        refused(lambda e=ends: Bracket(*e).limits(), line)


def test_whole_messages(generator):
    mean, log_var = posteriors(torch.zeros(5, 2))
    kl_upper_bound(mean[:2], log_var[:2], generator=generator)
    for f, p, shape in (((3, 2), (3,), "(3, 2)"), ((3, 2, 1), (3, 2, 1), "(3, 2, 1)")):
        line = f"log_f has shape {shape}: expected [n, k], that of log_p"
        refused(lambda f=f, p=p: kl_lower_bound(torch.zeros(f), torch.zeros(p)), line)
    flat, column = torch.tensor([1.0, 3.0]), torch.tensor([[1.0], [3.0]])
    assert kl_lower_bound(flat, 0 * flat) == kl_lower_bound(column, 0 * column) == Estimate(2.0, 1.0)
    for call in (
        lambda m, v, n=1: kl_upper_bound(m, v, generator=generator, n_draws=n),
        lambda m, v, n=2: train_mixture_kl(m, v, n_draws=n, generator=generator),
    ):
        refused(lambda c=call: c(mean[:1], log_var[:1]), "mean has 1 rows: expected at least 2")
        refused(
            lambda c=call: c(mean, log_var[:, :1]), "log_var has shape (5, 1): expected that of mean, (5, 2)"
        )
    refused(
        lambda: kl_upper_bound(mean, log_var, generator=generator, n_draws=0),
        "n_draws=0: expected an integer >= 1",
    )
    for n in (1, 6):
        refused(
            lambda n=n: train_mixture_kl(mean, log_var, n_draws=n, generator=generator),
            f"n_draws={n}: expected an integer from 2 to 5",
        )


def test_limits_are_never_below_zero():
    """A KL is at least 0; a lower end was printed as -0.22."""
    low, high = Bracket(Estimate(-0.2, 0.01), Estimate(-0.1, 0.01)).limits()
    assert (low, high) == (0.0, 0.0)
    low, high = Bracket(Estimate(0.5, 0.1), Estimate(0.6, 0.1)).limits()
    assert low == pytest.approx(0.5 - 0.1 * 1.959964) and high == pytest.approx(0.6 + 0.1 * 1.959964)


@pytest.mark.parametrize("n", [200, 2000, 10_000])
def test_heavy_tails_are_flagged_and_normal_codes_are_not(n):
    """Codes of a t distribution with 3 degrees: z² has no variance, so a standard error of it means nothing."""
    flagged = {"t": 0, "normal": 0}
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        normal = torch.randn(n, generator=generator, dtype=torch.float64)
        chi = torch.randn(3, n, generator=generator, dtype=torch.float64).square().mean(0).sqrt()
        for name, z in (("t", normal / chi), ("normal", normal)):
            flagged[name] += heavy_tails(largest_share(0.5 * z.square()), n)
    assert flagged["normal"] <= 5
    assert flagged["t"] >= (30 if n == 200 else 52)


def test_largest_share_by_hand():
    assert largest_share(torch.tensor([1.0, 1.0, 1.0])) == 0
    assert largest_share(torch.tensor([0.0, 0.0, 3.0])) == pytest.approx(4 / 6)
    with pytest.raises(ValueError, match="terms"):
        largest_share(torch.tensor([1.0]))


def test_what_so_many_images_allow():
    assert upper_floor(20.0, 1000) == pytest.approx(20 - 2 * math.log(1000))
    assert upper_floor(5.0, 1000) == 0
    with pytest.raises(ValueError, match="n=0"):
        upper_floor(1.0, 0)
    # the upper end itself is never below it
    generator = torch.Generator().manual_seed(0)
    mean, log_var = 3 * torch.randn(50, 40, generator=generator), torch.full((50, 40), -6.0)
    rate = float(rate_per_unit(mean, log_var).sum(1).mean())
    assert kl_upper_bound(mean, log_var, generator=generator).value >= upper_floor(rate, 50) > 0
    assert rows_per_parameter(1800, 128) < 2 < rows_per_parameter(1200, 16)
