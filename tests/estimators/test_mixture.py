"""The mixture's log-density against a float64 loop, and its memory."""

import math

import pytest
import torch
from refusals import refused

from priorgap.estimators import mixture
from priorgap.estimators.mixture import mixture_log_prob


def loop_log_prob(z, mean, log_var, exclude=None):
    """Component by component, in float64."""
    z, mean, log_var = z.double(), mean.double(), log_var.double()
    terms = torch.stack(
        [
            -0.5 * (((z - m).square() * (-v).exp()) + v + math.log(2 * math.pi)).sum(1)
            for m, v in zip(mean, log_var, strict=True)
        ],
        dim=1,
    )
    if exclude is not None:
        terms[torch.arange(len(z)), exclude] = -math.inf
    return terms.logsumexp(1) - math.log(len(mean) - (exclude is not None))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [1, 7])
def test_equals_a_loop(d, dtype, generator):
    mean = torch.randn(300, d, generator=generator, dtype=dtype) + 3
    log_var = torch.randn(300, d, generator=generator, dtype=dtype) - 2
    z = torch.randn(130, d, generator=generator, dtype=dtype) + 3
    tolerance = 1e-10 if dtype == torch.float64 else 2e-4
    result = mixture_log_prob(z, mean, log_var, chunk=50)
    torch.testing.assert_close(result, loop_log_prob(z, mean, log_var), atol=tolerance, rtol=1e-6)
    assert result.dtype == torch.float64


def test_tiles_do_not_change_the_result(generator, monkeypatch):
    mean, log_var = torch.randn(500, 3, generator=generator), torch.randn(500, 3, generator=generator) - 1
    z, own = torch.randn(60, 3, generator=generator), torch.randint(500, (60,), generator=generator)
    whole, whole_out = mixture_log_prob(z, mean, log_var), mixture_log_prob(z, mean, log_var, exclude=own)
    monkeypatch.setattr(mixture, "_TILE", 64)
    torch.testing.assert_close(mixture_log_prob(z, mean, log_var, chunk=7), whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        mixture_log_prob(z, mean, log_var, exclude=own, chunk=7), whole_out, atol=1e-5, rtol=0
    )


def test_leaving_one_out_equals_a_loop(generator):
    mean, log_var = torch.randn(40, 2, generator=generator), torch.randn(40, 2, generator=generator) - 3
    own = torch.arange(40)
    result = mixture_log_prob(mean, mean, log_var, exclude=own)
    torch.testing.assert_close(result, loop_log_prob(mean, mean, log_var, own), atol=1e-4, rtol=1e-5)
    # negative control: dividing by n instead of n - 1
    assert (result - math.log(39 / 40) - loop_log_prob(mean, mean, log_var, own)).abs().min() > 0.01


def test_small_s_is_computed_in_float64(generator, monkeypatch):
    mean = 3 * torch.randn(200, 4, generator=generator)
    log_var = torch.full((200, 4), 2 * math.log(1e-3))
    z = mean + 1e-3 * torch.randn(200, 4, generator=generator)
    exact = loop_log_prob(z, mean, log_var)
    torch.testing.assert_close(mixture_log_prob(z, mean, log_var), exact, atol=1e-6, rtol=1e-6)
    # negative control: float32 products at this s are off by nats
    monkeypatch.setattr(mixture, "_working_dtype", lambda *_: torch.float32)
    assert (mixture_log_prob(z, mean, log_var) - exact).abs().max() > 0.5


def test_a_far_mean_costs_no_digits(generator):
    mean = torch.randn(100, 3, generator=generator, dtype=torch.float64)
    log_var = torch.zeros(100, 3, dtype=torch.float64)
    here = mixture_log_prob(mean, mean, log_var)
    for away in (1e5, torch.tensor([1e5, -3e5, 0.0]).double()):
        there = mixture_log_prob(mean + away, mean + away, log_var)
        torch.testing.assert_close(there, here, atol=1e-8, rtol=0)


def test_a_point_far_from_every_component_is_finite():
    result = mixture_log_prob(torch.full((1, 2), 1e4), torch.zeros(5, 2), torch.zeros(5, 2))
    assert torch.isfinite(result).all() and float(result) < -1e7


def test_one_component_is_its_gaussian():
    result = mixture_log_prob(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, 2))
    assert float(result) == pytest.approx(-math.log(2 * math.pi))


@pytest.mark.parametrize(
    ("z", "mean", "exclude", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(4, 2), None, "z has 3 columns: expected 2"),
        (torch.zeros(2, 2), torch.zeros(0, 2), None, "mean has 0 rows"),
        (torch.zeros(2, 2), torch.zeros(1, 2), torch.zeros(2).long(), "n >= 2 components"),
        (torch.zeros(2, 2), torch.zeros(4, 2), torch.zeros(3).long(), "exclude has shape (3,)"),
    ],
)
def test_bad_input(z, mean, exclude, message):
    with pytest.raises(ValueError) as error:
        mixture_log_prob(z, mean, torch.zeros_like(mean), exclude=exclude)
    assert message in str(error.value)


def test_a_tile_of_nothing_but_the_left_out_component(generator, monkeypatch):
    mean, log_var = torch.randn(5, 2, generator=generator), torch.zeros(5, 2)
    own = torch.tensor([0, 4, 2])
    for tile, chunk in ((1, 2), (2, 512), (5, 512)):
        monkeypatch.setattr(mixture, "_TILE", tile)
        found = mixture_log_prob(mean[own], mean, log_var, exclude=own, chunk=chunk)
        torch.testing.assert_close(found, loop_log_prob(mean[own], mean, log_var, own), atol=1e-5, rtol=0)
    two = mixture_log_prob(mean[:1], mean[:2], log_var[:2], exclude=torch.tensor([0]))
    torch.testing.assert_close(two, loop_log_prob(mean[:1], mean[1:2], log_var[1:2]), atol=1e-5, rtol=0)


def test_near_and_far_rows_of_one_chunk(generator, monkeypatch):
    """Each row has its own largest term: a far row beside a near one does not underflow. Whole tiles, in float64."""
    mean = torch.randn(100, 2, generator=generator, dtype=torch.float64)
    log_var = torch.zeros(100, 2, dtype=torch.float64)
    z = torch.tensor([[0.0, 0.0], [300.0, -200.0], [0.5, 2e4]], dtype=torch.float64)
    for tile in (4096, 50):
        monkeypatch.setattr(mixture, "_TILE", tile)
        torch.testing.assert_close(mixture_log_prob(z, mean, log_var), loop_log_prob(z, mean, log_var))


def test_which_precision_is_worked_in():
    z, at = torch.zeros(1, 1), lambda s: torch.full((1, 1), 2 * math.log(s))
    assert mixture._working_dtype(z, z, at(0.0101)) == torch.float32
    assert mixture._working_dtype(z, z, at(0.0099)) == torch.float64
    for k in range(3):
        given = [x.double() if i == k else x for i, x in enumerate((z, z, at(1.0)))]
        assert mixture._working_dtype(*given) == torch.float64


def test_whole_messages():
    z, mean = torch.zeros(2, 2), torch.zeros(4, 2)
    line = "exclude has shape ({},): expected [2] and n >= 2 components"
    for n, k in ((1, 2), (4, 3)):
        own = torch.zeros(k).long()
        refused(lambda n=n, e=own: mixture_log_prob(z, mean[:n], mean[:n], exclude=e), line.format(k))
    refused(lambda: mixture_log_prob(z[:, :1], mean, mean), "z has 1 columns: expected 2")
    refused(
        lambda: mixture_log_prob(z, mean, mean[:, :1]),
        "log_var has shape (4, 1): expected that of mean, (4, 2)",
    )
    refused(lambda: mixture_log_prob(z[0], mean, mean), "z has shape (2,): expected [n, D] with D >= 1")
