"""What a forecaster learns from windows: errors of a linear forecast, placed between those of two others."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.estimators.areas import grouped_error
from priorgap.estimators.checks import NotFinite
from priorgap.estimators.uncertainty import Estimate

_PENALTIES = np.logspace(-2, 4, 7)
_LEVEL = 0.95


def best_penalty(x: Float[Tensor, "n T f"], *, n_past: int) -> float:
    """Return the penalty with which `forecast_errors` forecasts windows of x best, each window left out in turn.

    Raises:
        ValueError: as for `forecast_errors`.

    Example:
        >>> x = torch.arange(30.0).reshape(10, 3, 1)
        >>> best_penalty(x, n_past=2) <= 1.0  # straight lines want little of it
        True
    """
    from sklearn.linear_model import RidgeCV
    from threadpoolctl import threadpool_limits

    _check(x, x, n_past)
    with threadpool_limits(1):
        return float(RidgeCV(alphas=_PENALTIES).fit(*_parts(x, n_past)).alpha_)


def forecast_errors(
    x: Float[Tensor, "n T f"], test: Float[Tensor, "m T f"], *, n_past: int, penalty: float
) -> Float[Tensor, "m"]:
    """Return the squared errors of a forecast of the test windows' later steps that was learned from x.

    Ridge regression of the changes since step n_past on the first n_past steps of all channels: with a large penalty
    the forecast is the last known step plus the mean change.

    Args:
        x: windows to learn from, in units that make channels comparable.
        test: windows to forecast.
        n_past: the number of known steps.
        penalty: the weight of squared coefficients. Use the same one for all sets that are compared: the best penalty
            for windows without noise is nearly 0, and noise in test windows would then be amplified without limit.

    Returns:
        For each test window the mean square over all channels and the steps after n_past.

    Raises:
        ValueError: windows of other shapes, no step on a side of n_past, fewer than two windows to learn from, or
            values that are not finite.

    Example:
        >>> x = torch.arange(30.0).reshape(10, 3, 1)
        >>> forecast_errors(x, x, n_past=2, penalty=1e-6).max().item() < 0.01  # straight lines
        True
    """
    from sklearn.linear_model import Ridge
    from threadpoolctl import threadpool_limits

    _check(x, test, n_past)
    past, change = _parts(x, n_past)
    held, truth = _parts(test, n_past)
    with threadpool_limits(1):
        model = Ridge(penalty).fit(past, change)
        found = torch.from_numpy(np.asarray(model.predict(held)))
    return (found.view(len(test), -1) - torch.from_numpy(truth)).square().mean(1)


def persistence_errors(test: Float[Tensor, "m T f"], *, n_past: int) -> Float[Tensor, "m"]:
    """Return squared errors as `forecast_errors` does, with the last known step as the forecast of all later ones.

    Raises:
        ValueError: as for `forecast_errors`.

    Example:
        >>> windows = torch.tensor([[1.0, 2.0, 4.0], [1.0, 1.0, 1.0]])[:, :, None]
        >>> persistence_errors(windows, n_past=2).tolist()
        [4.0, 0.0]
    """
    _check(test, test, n_past)
    return torch.from_numpy(_parts(test, n_past)[1]).square().mean(1)


def skill_between(
    error: Float[Tensor, "m"],
    best: Float[Tensor, "m"],
    worst: Float[Tensor, "m"],
    group: Int[Tensor, "m"] | None,
) -> Estimate:
    """Place a mean error between two others of the same windows: 0 at `worst`, 1 at `best`.

        s = (mean of worst - mean of error) / (mean of worst - mean of best)

    The standard error is that of the linearised ratio over groups of test windows, taking the three errors of a
    window together; the trained forecasters are held fixed.

    Args:
        error, best, worst: the errors of each test window.
        group: which windows share steps; None: no standard error.

    Raises:
        ValueError: `best` is not shown to be below `worst`, so that a position between them has no meaning.

    **Source**: skill scores: Murphy (1988), "Skill scores based on the mean square error".

    Example:
        >>> error, best, worst = torch.full((3, 9), 2.0) * torch.tensor([[1.0], [0.5], [1.5]])
        >>> round(skill_between(error, best, worst, None).value, 6)
        0.5
    """
    gain = worst - best
    way = Estimate(float(gain.mean()), None if group is None else grouped_error([(gain, group)]))
    interval = way.interval(_LEVEL)
    if not (way.value if interval is None else interval[0]) > 0:
        raise ValueError(
            f"not measurable: errors of {float(best.mean()):.3g} after training on real windows, and of "
            f"{float(worst.mean()):.3g} without any (the last step known): expected a gain that is shown"
        )
    value = float((worst - error).mean()) / way.value
    if group is None:
        return Estimate(value)
    return Estimate(value, grouped_error([((worst - error - value * gain) / way.value, group)]))


def _parts(x: Tensor, n_past: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the known steps, and the later steps' changes since the last known one; a row for each window."""
    x = x.double()
    change = x[:, n_past:] - x[:, n_past - 1 : n_past]
    return x[:, :n_past].flatten(1).numpy(), change.flatten(1).numpy()


def _check(x: Tensor, test: Tensor, n_past: int) -> None:
    if x.ndim != 3 or x.shape[1:] != test.shape[1:] or len(x) < 2:
        raise ValueError(
            f"windows of shape {tuple(x.shape)} and {tuple(test.shape)}: expected two or more, of one shape"
        )
    if not 1 <= n_past < x.shape[1]:
        raise ValueError(f"n_past={n_past}: expected 1 to {x.shape[1] - 1}, of windows of {x.shape[1]} steps")
    if not bool(torch.isfinite(x).all()):
        raise NotFinite("x has values that are not finite: expected finite numbers")
