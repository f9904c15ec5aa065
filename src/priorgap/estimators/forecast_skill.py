"""What windows teach a forecaster: errors of a linear forecast, and where they lie between two others."""

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
    """Return the penalty of `forecast_errors` that foretells windows of x best, each left out in turn.

    Raises:
        ValueError: as there.

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
    """Return the squared errors of test windows' later steps, foretold from the first ones as x teaches.

    Ridge regression of the changes since step n_past on the first n_past steps of all channels: with a large penalty
    the forecast is the last step known and the mean change.

    Args:
        x: windows to learn from, in units in which channels compare.
        test: windows to foretell.
        n_past: steps that are known.
        penalty: of squared coefficients. Of what is compared it should be one: windows without noise ask for nearly
            none by themselves, and noise in test windows then counts without limit.

    Returns:
        The mean square over the steps after n_past and all channels, of each test window.

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
    """Return the squared errors of the last known step as the forecast of all later ones, as `forecast_errors` does.

    Raises:
        ValueError: as there.

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

    The standard error is that of the linearised ratio over groups of test windows, all three errors of a window
    together; what was learned is held fixed.

    Args:
        error, best, worst: of each test window.
        group: which windows share steps; None: no standard error.

    Raises:
        ValueError: `best` is not shown to be below `worst`: the place between them means nothing.

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
    """Return the steps that are known, and the changes of later ones since the last of them; a row a window."""
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
