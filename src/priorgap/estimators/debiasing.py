"""The Fréchet distance at infinitely many samples, extrapolated from halves."""

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.estimators.checks import check_matrix
from priorgap.estimators.discrepancy import frechet_distance, frechet_from_features
from priorgap.estimators.gaussian import sample_moments
from priorgap.estimators.span import in_span
from priorgap.estimators.uncertainty import Estimate


def frechet_infinity(
    a: Float[Tensor, "n D"], b: Float[Tensor, "m D"], *, generator: torch.Generator, n_splits: int = 4
) -> Estimate:
    """Return the Fréchet distance extrapolated to infinite n and m, to first order.

    The bias of FID is c_a / n + c_b / m plus higher orders; disjoint halves of both sets have twice the first
    order, so 2 FID - mean FID of halves is free of it. The halves are random, `n_splits` times. To first order
    the mean over two halves has the fluctuation of the whole, so the standard error is that of FID (None near
    the floor, where no first order is left). The remaining bias is of order 1/n^2, and large when n is below a few D.
    The value may be negative where the distributions are equal; units of features squared; lower is better.

    **Source**: the extrapolation in 1/n is Chong & Forsyth (2020), "Effectively unbiased FID"; they fit a line
    over subsets of the samples alone, which leaves the bias due to the reference set.

    Raises:
        ValueError: fewer than 4 rows in a set, or n_splits < 1.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> a, b = torch.randn(1000, 4, generator=g), torch.randn(1000, 4, generator=g)
        >>> abs(frechet_infinity(a, b, generator=g).value) < 0.02
        True
    """
    check_matrix("a", a, min_rows=4)
    check_matrix("b", b, min_rows=4, n_columns=a.shape[1])
    if n_splits < 1:
        raise ValueError(f"n_splits={n_splits}: expected an integer >= 1")
    a, b = in_span(a, b)
    whole = frechet_from_features(a, b)
    halves = []
    for _ in range(n_splits):
        parts = [torch.randperm(len(x), generator=generator).tensor_split(2) for x in (a, b)]
        for i, j in zip(*parts, strict=True):
            halves.append(frechet_distance(*sample_moments(a[i]), *sample_moments(b[j])))
    return Estimate(2 * whole.value - sum(halves) / len(halves), whole.std_error)
