"""The log-density of a mixture of posteriors, by matrix products over tiles, in bounded memory."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.estimators.checks import check_matrix, check_posteriors
from priorgap.estimators.gaussian import LOG_2PI

# With a smaller s the products of the expanded square cancel too many float32 digits.
_MIN_FLOAT32_STD = 0.01
_TILE = 4096


def mixture_log_prob(
    z: Float[Tensor, "m d"],
    mean: Float[Tensor, "n d"],
    log_var: Float[Tensor, "n d"],
    *,
    exclude: Int[Tensor, "m"] | None = None,
    chunk: int = 512,
) -> Float[Tensor, "m"]:
    """Return log (1/n) sum_i N(z | mean_i, diag s_i^2) for each row of z.

    The exponent is [z, z^2, 1] . [mean/s^2, -1/2 s^-2, const]' (one matrix product a tile), summed by a
    running log-sum-exp. Memory is chunk x 4096 numbers, whatever n and m. Computed in float32 for float32
    input with all s >= 0.01 (absolute error about 1e-4 nat), else in float64.

    Args:
        z: the points at which the density is evaluated.
        mean: component means.
        log_var: component log-variances.
        exclude: exclude[k] = i leaves component i out for row k, and divides by n - 1.
        chunk: the number of rows of z that are processed at a time.

    Returns:
        [m], nats, float64.

    Raises:
        ValueError: shapes differ, or `exclude` is given for fewer than 2 components.

    Example:
        >>> z, mean = torch.zeros(1, 1), torch.tensor([[-1.0], [1.0]])
        >>> round(float(mixture_log_prob(z, mean, torch.zeros(2, 1))), 3)  # log N(1 | 0, 1)
        -1.419
    """
    check_posteriors(mean, log_var)
    check_matrix("z", z, n_columns=mean.shape[1])
    n = len(mean)
    if exclude is not None and (n < 2 or exclude.shape != (len(z),)):
        raise ValueError(
            f"exclude has shape {tuple(exclude.shape)}: expected [{len(z)}] and n >= 2 components"
        )
    centre = mean.double().mean(0)
    dtype = _working_dtype(z, mean, log_var)
    tiles = _component_tiles(mean.double() - centre, log_var.double(), dtype)
    out = torch.empty(len(z), dtype=torch.float64)
    buffer = torch.empty(min(chunk, len(z)), _TILE, dtype=dtype)
    for start in range(0, len(z), chunk):
        rows = (z[start : start + chunk].double() - centre).to(dtype)
        left = torch.cat([rows, rows.square(), torch.ones(len(rows), 1, dtype=dtype)], 1)
        own = None if exclude is None else exclude[start : start + chunk]
        out[start : start + chunk] = _log_sum_exp(left, tiles, own, buffer)
    return out - math.log(n if exclude is None else n - 1)


def _working_dtype(z: Tensor, mean: Tensor, log_var: Tensor) -> torch.dtype:
    wide = torch.float64 in (z.dtype, mean.dtype, log_var.dtype)
    narrow = float(log_var.min()) < 2 * math.log(_MIN_FLOAT32_STD)
    return torch.float64 if wide or narrow else torch.float32


def _component_tiles(mean: Tensor, log_var: Tensor, dtype: torch.dtype) -> list[Tensor]:
    """Return [2d + 1, tile] blocks of the components' coefficients; mean is centred."""
    precision = torch.exp(-log_var)
    const = -0.5 * ((mean.square() * precision + log_var).sum(1) + mean.shape[1] * LOG_2PI)
    weights = torch.cat([mean * precision, -0.5 * precision, const[:, None]], 1).to(dtype)
    return [block.T.contiguous() for block in weights.split(_TILE)]


def _log_sum_exp(left: Tensor, tiles: list[Tensor], own: Tensor | None, buffer: Tensor) -> Tensor:
    """Return log sum_i exp(left . tile_i) over all tiles, leaving out column own[k] for row k."""
    top = torch.full((len(left),), -math.inf, dtype=left.dtype)
    total = torch.zeros(len(left), dtype=torch.float64)
    for number, tile in enumerate(tiles):
        width = tile.shape[1]
        block = buffer[: len(left), :width]
        if block.is_contiguous():
            torch.mm(left, tile, out=block)
        else:
            block = left @ tile
        if own is not None:
            column = own - number * _TILE
            row = ((column >= 0) & (column < width)).nonzero()[:, 0]
            block[row, column[row]] = -math.inf
        higher = torch.maximum(top, block.amax(1))
        # A row that has met only -inf needs a finite shift, because -inf - -inf is NaN.
        shift = torch.where(higher.isinf(), torch.zeros_like(higher), higher)
        block.sub_(shift[:, None]).exp_()
        total = total * torch.exp((top - shift).double()) + block.sum(1).double()
        top = higher
    return torch.where(top.isinf(), torch.zeros_like(top), top).double() + total.log()
