"""Forecasts learned from windows: least squares, closed forms of an autoregression, errors, refusals."""

import numpy as np
import pytest
import torch

from priorgap.core.random import stream
from priorgap.estimators.forecast_skill import (
    best_penalty,
    forecast_errors,
    persistence_errors,
    skill_between,
)

A = 0.5


def autoregression(n: int, name: object, n_steps: int = 6, a: float = A, n_channels: int = 1):
    """Stationary windows of x_t = a x_{t-1} + e of variance 1; a random walk for a = 1."""
    e = torch.randn(n, n_steps, n_channels, generator=stream(0, "forecast", name), dtype=torch.float64)
    x, scale = [e[:, 0]], (1 - a * a) ** 0.5 if a < 1 else 1.0
    for t in range(1, n_steps):
        x.append(a * x[-1] + scale * e[:, t])
    return torch.stack(x, 1)


def test_it_is_least_squares_where_rows_abound():
    x, test = autoregression(4000, "x", n_channels=2), autoregression(300, "test", n_channels=2)
    past, later = (part.flatten(1).numpy() for part in (x[:, :4], x[:, 4:]))
    own = np.column_stack([np.ones(len(past)), past])
    held = np.column_stack([np.ones(300), test[:, :4].flatten(1).numpy()])
    plain = held @ np.linalg.lstsq(own, later, rcond=None)[0]
    expected = ((plain - test[:, 4:].flatten(1).numpy()) ** 2).mean(1)
    assert np.allclose(
        forecast_errors(x, test, n_past=4, penalty=1.0).numpy(), expected, rtol=0.05, atol=5e-3
    )


def test_the_penalty_is_none_for_much_data_and_large_for_little_or_for_noise():
    assert best_penalty(autoregression(4000, "x"), n_past=3) <= 10
    noise = torch.randn(12, 30, 2, generator=stream(6), dtype=torch.float64).cumsum(1)
    assert best_penalty(noise, n_past=15) >= 100
    # of windows without noise it is the least: why what is compared has one penalty
    smooth = torch.sin(torch.arange(8.0) + 6 * torch.rand(200, 1, generator=stream(7)))[:, :, None]
    assert best_penalty(smooth, n_past=4) <= 0.1


def test_errors_are_those_of_the_law():
    x, test = autoregression(20_000, "x"), autoregression(20_000, "test")
    # one and two steps ahead: 1 - a^2 and 1 - a^4; of persistence 2 (1 - a) and 2 (1 - a^2)
    assert float(forecast_errors(x, test, n_past=4, penalty=1.0).mean()) == pytest.approx(
        1 - (A**2 + A**4) / 2, rel=0.03
    )
    assert float(persistence_errors(test, n_past=4).mean()) == pytest.approx(2 - A - A**2, rel=0.03)


def test_the_place_between_is_zero_at_persistence_and_one_at_the_best():
    x, test = autoregression(2000, "x"), autoregression(2000, "test")
    best, none = forecast_errors(x, test, n_past=3, penalty=1.0), persistence_errors(test, n_past=3)
    group = torch.arange(2000)
    for error, place in ((best, 1.0), (none, 0.0), ((best + none) / 2, 0.5)):
        found = skill_between(error, best, none, group)
        assert found.value == pytest.approx(place, abs=1e-9)
        # all three errors are of the same windows: what is a fixed share of the way has no error
        assert found.std_error == pytest.approx(0.0, abs=1e-9)
    assert skill_between(best, best, none, None).std_error is None
    # windows that stand still teach persistence; white noise of the same variance teaches the mean, which is not all
    still = forecast_errors(torch.ones(50, 6, 1), test, n_past=3, penalty=1.0)
    assert skill_between(still, best, none, group).value == pytest.approx(0.0, abs=1e-9)
    noise = torch.randn(2000, 6, 1, generator=stream(4))
    assert (
        0.3
        < skill_between(forecast_errors(noise, test, n_past=3, penalty=1.0), best, none, group).value
        < 0.97
    )
    # worse than nothing
    assert (
        skill_between(
            forecast_errors(autoregression(2000, "far") + 9, test, n_past=3, penalty=1.0), best, none, group
        ).value
        < 0
    )


def test_the_error_is_the_spread_over_test_sets():
    x, made = autoregression(1000, "x"), autoregression(1000, "made", a=0.1)
    places, said = [], []
    for k in range(150):
        test = autoregression(300, k)
        errors = [forecast_errors(own, test, n_past=3, penalty=1.0) for own in (made, x)]
        found = skill_between(*errors, persistence_errors(test, n_past=3), torch.arange(300))
        places.append(found.value)
        said.append(found.std_error or 0.0)
    assert float(np.mean(said)) == pytest.approx(float(np.std(places)), rel=0.2)
    # windows in pairs that are equal: taken for independent ones, the error would be too small
    test = autoregression(150, "twice").repeat_interleave(2, 0)
    errors = [
        *(forecast_errors(own, test, n_past=3, penalty=1.0) for own in (made, x)),
        persistence_errors(test, n_past=3),
    ]
    wrong, right = (skill_between(*errors, g).std_error for g in (torch.arange(300), torch.arange(300) // 2))
    assert right / wrong == pytest.approx(2**0.5, rel=0.05)


def test_what_nothing_can_foretell_is_not_measurable():
    x, test = (autoregression(400, name, a=1.0) for name in ("x", "test"))
    best, none = forecast_errors(x, test, n_past=3, penalty=1.0), persistence_errors(test, n_past=3)
    with pytest.raises(
        ValueError, match=r"^not measurable: errors of .* expected a gain that is shown$"
    ) as caught:
        skill_between(best, best, none, torch.arange(400))
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"^not measurable"):
        skill_between(none, none, none, None)


@pytest.mark.parametrize(
    ("x", "n_past", "line"),
    [
        (torch.zeros(5, 6, 1), 0, "^n_past=0: expected 1 to 5, of windows of 6 steps$"),
        (torch.zeros(5, 6, 1), 6, "^n_past=6: expected 1 to 5"),
        (torch.zeros(5, 5, 1), 2, r"^windows of shape \(5, 5, 1\) and \(400, 6, 1\)"),
        (torch.zeros(1, 6, 1), 2, "expected two or more"),
        (torch.full((5, 6, 1), torch.nan), 2, "^x has values that are not finite"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(x, n_past, line):
    with pytest.raises(ValueError, match=line):
        forecast_errors(x, autoregression(400, "test"), n_past=n_past, penalty=1.0)
