"""Importance-weighted bounds and the amortisation gap in the linear-Gaussian world, where log p(x) is exact."""

import math

import pytest
import torch
from refusals import drawn_from_its_generator, refused, seeded

from priorgap.core.random import stream
from priorgap.data.synthetic import LinearGaussian
from priorgap.estimators.gaussian import gaussian_log_prob, rate_per_unit, standard_normal_log_prob
from priorgap.estimators.likelihood import amortisation_gaps, importance_weighted_bounds
from priorgap.priors.mixture import mixture_log_prob

SIGMA = 0.6
WORLD = LinearGaussian(n_features=8, latent_dim=3)
BEST = WORLD.optimum(3, SIGMA)


def images(n=200):
    return WORLD.draw(n, generator=stream(1, "x"))


def posteriors(x, *, stretch=0.0, shift=0.0):
    """The optimal encoder's, or one whose posteriors are too wide and off by `shift` standard deviations."""
    mean = x @ BEST.encoder_weight.T + BEST.encoder_bias
    log_var = BEST.log_var.expand_as(mean)
    return mean + shift * (0.5 * log_var).exp(), log_var + stretch


def log_likelihood_of(x):
    def log_likelihood(z, image):
        residual = x[image] - z.to(x.dtype) @ BEST.decoder_weight.T - BEST.decoder_bias
        return -0.5 * (residual / SIGMA).square().sum(1) - x.shape[1] * (
            math.log(SIGMA) + 0.5 * math.log(2 * math.pi)
        )

    return log_likelihood


def exact_log_prob(x):
    cov = BEST.decoder_weight @ BEST.decoder_weight.T + SIGMA**2 * torch.eye(8, dtype=torch.float64)
    return gaussian_log_prob(x, BEST.decoder_bias, cov)


def exact_gap(stretch, shift, d=3):
    """KL between the perturbed posterior and the true one, nats."""
    return 0.5 * d * (math.exp(stretch) - 1 - stretch + shift**2)


def bounds(x, ks, *, seed=0, chunk=1000, **perturbed):
    return importance_weighted_bounds(
        *posteriors(x, **perturbed),
        n_draws=ks,
        log_likelihood=log_likelihood_of(x),
        generator=stream(seed, "iw"),
        chunk=chunk,
    )


def test_the_optimal_encoder_makes_every_bound_exact():
    x = images()
    found = bounds(x, [1, 7, 50])
    for column in found.T:
        torch.testing.assert_close(column, exact_log_prob(x), atol=1e-9, rtol=0)


def test_k_1_is_the_elbo():
    x = images(400)
    found = bounds(x, [1], stretch=0.5, shift=0.5)[:, 0]
    mean, log_var = posteriors(x, stretch=0.5, shift=0.5)
    expected_sse = (x - mean @ BEST.decoder_weight.T - BEST.decoder_bias).square().sum(1) + (
        log_var.exp() @ BEST.decoder_weight.square().sum(0)
    )
    constant = 8 * (math.log(SIGMA) + 0.5 * math.log(2 * math.pi))
    elbo = -0.5 * expected_sse / SIGMA**2 - constant - rate_per_unit(mean, log_var).sum(1)
    error = float((found - elbo).std()) / 20
    assert abs(float((found - elbo).mean())) < 3 * error
    assert float((elbo - exact_log_prob(x)).mean()) == pytest.approx(-exact_gap(0.5, 0.5), abs=1e-6)


def test_bounds_grow_with_k_and_end_at_the_exact_log_likelihood():
    x = images(100)
    found = bounds(x, [1, 10, 100, 5000], stretch=0.4, shift=0.4) - exact_log_prob(x)[:, None]
    means = found.mean(0)
    error = found.std(0) / 10
    assert (means[1:] > means[:-1]).all()
    assert (means < 3 * error).all()
    assert means[0] < -0.3
    assert abs(float(means[3])) < 3 * float(error[3]) + 1e-3


def test_the_wrong_number_of_draws_breaks_the_bound():
    """Negative control: the sum over k draws less log of another k is off by the log of their ratio."""
    x = images(100)
    truth = exact_log_prob(x)
    right = bounds(x, [100], stretch=0.4)[:, 0] - truth
    assert abs(float(right.mean())) < 3 * float(right.std()) / 10 + 0.02
    wrong = right + math.log(100) - math.log(50)
    assert float(wrong.mean()) - 3 * float(wrong.std()) / 10 > 0


def test_too_narrow_a_posterior_is_worse_and_still_a_bound():
    x = images(200)
    narrow = bounds(x, [1, 100], stretch=-3.0) - exact_log_prob(x)[:, None]
    assert float(narrow[:, 0].mean()) == pytest.approx(-exact_gap(-3.0, 0), abs=0.3)
    assert -2 < float(narrow[:, 1].mean()) < 0


def test_memory_is_bounded_and_the_chunk_changes_nothing():
    x, sizes = images(5), []
    inner = log_likelihood_of(x)

    def watched(z, image):
        sizes.append(len(z))
        return inner(z, image)

    mean, log_var = posteriors(x, stretch=0.3)
    for chunk in (64, 1000):
        importance_weighted_bounds(
            mean, log_var, n_draws=[300], log_likelihood=watched, generator=stream(0), chunk=chunk
        )
        assert max(sizes) <= max(chunk, 300) and sum(sizes) == 1500
        sizes.clear()
    torch.testing.assert_close(
        bounds(x, [7, 300], chunk=64, stretch=0.3), bounds(x, [7, 300], chunk=1000, stretch=0.3)
    )


def test_small_k_uses_all_whole_groups():
    x = images(300)
    one, many = bounds(x, [1], stretch=1.0), bounds(x, [1, 40], stretch=1.0)[:, :1]
    gap = exact_log_prob(x)[:, None] - exact_gap(1.0, 0)
    assert float((many - gap).std()) < 0.3 * float((one - gap).std())


def test_the_models_prior_is_used():
    x = images(50)
    plain = bounds(x, [20])
    other = importance_weighted_bounds(
        *posteriors(x),
        n_draws=[20],
        log_likelihood=log_likelihood_of(x),
        generator=stream(0, "iw"),
        log_prior=lambda z: standard_normal_log_prob(z) - 1.0,
    )
    torch.testing.assert_close(other, plain - 1)


def gaps(x, **options):
    perturbed = {key: options.pop(key) for key in ("stretch", "shift") if key in options}
    return amortisation_gaps(
        *posteriors(x, **perturbed),
        log_likelihood=log_likelihood_of(x),
        generator=stream(0, "gap"),
        **({"n_steps": 200, "n_draws": 2, "n_final": 32} | options),
    )


def test_no_gap_for_the_optimal_encoder():
    assert float(gaps(images(100)).abs().max()) < 1e-9


@pytest.mark.parametrize(("stretch", "shift"), [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.5)])
def test_the_gap_of_a_perturbed_encoder_is_known(stretch, shift):
    found = gaps(images(200), stretch=stretch, shift=shift)
    error = float(found.std()) / math.sqrt(200)
    assert float(found.mean()) == pytest.approx(exact_gap(stretch, shift), abs=3 * error + 0.01)


def test_a_collapsed_encoder_has_the_rate_as_its_gap():
    x = images(200)
    flat = torch.zeros(200, 3, dtype=torch.float64)
    found = amortisation_gaps(
        flat, flat, log_likelihood=log_likelihood_of(x), generator=stream(0), n_steps=400, learning_rate=0.1
    )
    z = torch.zeros(1, 3, dtype=torch.float64)
    elbo = (
        log_likelihood_of(x)(z.expand(200, 3), torch.arange(200))
        - 0.5 * float(BEST.decoder_weight.square().sum()) / SIGMA**2
    )
    truth = float((exact_log_prob(x) - elbo).mean())
    assert float(found.mean()) == pytest.approx(truth, abs=3 * float(found.std()) / math.sqrt(200))


def test_too_few_steps_find_less():
    """Negative control: the search that does not converge shows a part of the gap, never more than all of it."""
    x = images(200)
    short = gaps(x, stretch=1.0, shift=1.0, n_steps=5)
    assert float(short.mean()) < 0.5 * exact_gap(1.0, 1.0)


def test_different_noise_on_the_two_sides_hides_a_small_gap():
    """Negative control: without common noise the scatter is many times the paired one."""
    x = images(200)
    paired = gaps(x, stretch=0.2, n_final=1)
    first, second = (bounds(x, [1], seed=s, stretch=0.2)[:, 0] for s in (1, 2))
    assert float((first - second).std()) > 1.3 * float(paired.std())


def test_inputs_are_left_alone():
    x = images(20)
    mean, log_var = posteriors(x, stretch=0.5)
    before = mean.clone(), log_var.clone()
    amortisation_gaps(
        mean, log_var, log_likelihood=log_likelihood_of(x), generator=stream(0), n_steps=3, n_final=1
    )
    assert torch.equal(mean, before[0]) and torch.equal(log_var, before[1]) and not mean.requires_grad


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"n_steps": 0}, "n_steps=0"),
        ({"n_final": 0}, "n_final=0"),
        ({"learning_rate": 0.0}, "learning_rate=0.0"),
    ],
)
def test_bad_gap_options(options, expected):
    with pytest.raises(ValueError, match=expected):
        gaps(images(3), **options)


def test_bad_numbers_of_draws():
    for ks in ([], [0, 5]):
        with pytest.raises(ValueError, match="n_draws="):
            bounds(images(3), ks)


def test_bounds_step_by_step():
    """Draws image by image; a smaller k averages the bounds of its whole groups."""
    x = images(4)
    mean, log_var = posteriors(x, stretch=0.5, shift=0.3)
    same, decode = seeded(), log_likelihood_of(x)
    expected = []
    for i in range(4):
        noise = torch.randn(7, 3, generator=same, dtype=torch.float64)
        z = mean[i] + (0.5 * log_var[i]).exp() * noise
        log_q = torch.distributions.Normal(mean[i], (0.5 * log_var[i]).exp()).log_prob(z).sum(1)
        log_w = decode(z, torch.full((7,), i)) + standard_normal_log_prob(z) - log_q
        groups = {k: log_w[: 7 // k * k].view(-1, k) for k in (1, 2, 7)}
        expected.append([float((g.logsumexp(1) - math.log(k)).mean()) for k, g in groups.items()])
    for chunk in (1, 3, 7, 14, 1000):
        found = importance_weighted_bounds(
            mean, log_var, n_draws=[1, 2, 7], log_likelihood=decode, generator=seeded(), chunk=chunk
        )
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=1e-10)
    drawn_from_its_generator(
        lambda g: importance_weighted_bounds(
            mean, log_var, n_draws=[2], log_likelihood=decode, generator=g
        ).tolist()
    )


def adam_by_hand(mean, log_var, decode, prior, generator, *, n_steps, n_draws, rate):
    """Adam's update rule written out, on shifts in standard deviations and on log-variances."""
    scale, state = (0.5 * log_var).exp(), torch.zeros(2, *mean.shape, dtype=mean.dtype)
    first, second = torch.zeros_like(state), torch.zeros_like(state)
    for step in range(n_steps):
        noise = torch.randn((n_draws, *mean.shape), generator=generator, dtype=mean.dtype)
        point = state.clone().requires_grad_()
        m, v = mean + scale * point[0], log_var + point[1]
        total = 0.0
        for e in noise:
            z = m + (0.5 * v).exp() * e
            log_q = -0.5 * ((z - m.detach()).square() / v.detach().exp() + v.detach()).sum(1)
            total = total + (decode(z, torch.arange(len(mean))) + prior(z) - log_q).sum()
        (slope,) = torch.autograd.grad(-total / n_draws, point)
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope.square()
        now = rate * 0.5 * (1 + math.cos(math.pi * step / n_steps))
        unbiased = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
        state = state - now * unbiased[0] / (unbiased[1].sqrt() + 0.1)
    return mean + scale * state[0], log_var + state[1]


def test_the_gap_step_by_step():
    x = images(5)
    before = posteriors(x, stretch=0.8, shift=0.4)
    decode = log_likelihood_of(x)

    def prior(z):
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)

    options = {"n_steps": 6, "n_draws": 3, "learning_rate": 0.05}
    same = seeded()
    after = adam_by_hand(*before, decode, prior, same, n_steps=6, n_draws=3, rate=0.05)
    gain = torch.zeros(5, dtype=torch.float64)
    for _ in range(4):
        noise = torch.randn(5, 3, generator=same, dtype=torch.float64)
        for (m, v), sign in ((after, 1), (before, -1)):
            z = m + (0.5 * v).exp() * noise
            log_q = torch.distributions.Normal(m, (0.5 * v).exp()).log_prob(z).sum(1)
            gain += sign * (decode(z, torch.arange(5)) + prior(z) - log_q) / 4
    found = amortisation_gaps(*before, log_likelihood=decode, generator=seeded(), n_final=4, **options)
    torch.testing.assert_close(found, gain, rtol=1e-9, atol=1e-10)
    drawn_from_its_generator(
        lambda g: amortisation_gaps(
            *before, log_likelihood=decode, generator=g, n_steps=1, n_draws=1, n_final=1
        ).tolist()
    )
    other = amortisation_gaps(
        *before,
        log_likelihood=decode,
        generator=seeded(),
        n_final=4,
        log_prior=lambda z: prior(z - 1),
        **options,
    )
    assert float((other - found).abs().min()) > 1e-3


def test_defaults_of_the_search():
    x = images(2)
    given = (*posteriors(x, stretch=1.0),)
    decode = log_likelihood_of(x)
    plain = amortisation_gaps(*given, log_likelihood=decode, generator=seeded())
    spelled = amortisation_gaps(
        *given,
        log_likelihood=decode,
        generator=seeded(),
        n_steps=300,
        n_draws=4,
        learning_rate=0.03,
        n_final=32,
    )
    assert torch.equal(plain, spelled)


def test_whole_messages():
    x = images(3)
    given = posteriors(x)

    def search(**options):
        return amortisation_gaps(*given, log_likelihood=log_likelihood_of(x), generator=seeded(), **options)

    for name in ("n_steps", "n_draws", "n_final"):
        refused(lambda n=name: search(**{n: 0}), f"{name}=0: expected an integer >= 1")
    for rate in (0.0, -1.0, math.inf):
        refused(lambda r=rate: search(learning_rate=r), f"learning_rate={rate}: expected a positive number")
    for ks in ([], [3, 0]):
        refused(lambda k=ks: bounds(x, k), f"n_draws={ks}: expected integers >= 1")
    for call in (
        lambda m, v: importance_weighted_bounds(
            m, v, n_draws=[1], log_likelihood=log_likelihood_of(x), generator=seeded()
        ),
        lambda m, v: amortisation_gaps(m, v, log_likelihood=log_likelihood_of(x), generator=seeded()),
    ):
        line = "log_var has shape (3, 2): expected that of mean, (3, 3)"
        refused(lambda c=call: c(given[0], given[1][:, :2]), line)


def test_many_draws_reach_the_likelihood_under_a_mixture_prior():
    """p(z) of two components far from N(0, I): log p(x) is a mixture's, in closed form, for each image."""
    x = images(60)
    centre = torch.tensor([[0.8, 0.0, -0.5], [-0.6, 0.4, 0.3]], dtype=torch.float64)
    log_std = torch.tensor([[-0.3, 0.1, 0.0], [0.0, -0.5, 0.2]], dtype=torch.float64)
    log_weight = torch.tensor([0.3, 0.7], dtype=torch.float64).log()

    def component(k):
        cov = BEST.decoder_weight @ torch.diag((2 * log_std[k]).exp()) @ BEST.decoder_weight.T
        mean = BEST.decoder_bias + BEST.decoder_weight @ centre[k]
        return log_weight[k] + gaussian_log_prob(x, mean, cov + SIGMA**2 * torch.eye(8, dtype=torch.float64))

    exact = torch.logsumexp(torch.stack([component(0), component(1)]), 0)

    def found(law):
        return importance_weighted_bounds(
            *posteriors(x, stretch=0.3),
            n_draws=[1, 5000],
            log_likelihood=log_likelihood_of(x),
            generator=stream(4, "iw"),
            log_prior=law,
        )

    under = found(lambda z: mixture_log_prob(z, log_weight, centre, log_std))
    torch.testing.assert_close(under[:, 1], exact, atol=0.15, rtol=0)
    assert abs(float((under[:, 1] - exact).mean())) < 0.01
    assert float((under[:, 0] - exact).mean()) < -0.05
    # under N(0, I) in place of the mixture the same draws give another likelihood
    assert abs(float((found(standard_normal_log_prob)[:, 1] - exact).mean())) > 0.03
