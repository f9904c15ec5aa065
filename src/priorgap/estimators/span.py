"""Rows in the coordinates of their common span: what is wide and short becomes small, with all distances kept."""

import torch
from jaxtyping import Float
from torch import Tensor

_EPS = torch.finfo(torch.float64).eps


def in_span(*sets: Float[Tensor, "n D"]) -> tuple[Float[Tensor, "n r"], ...]:
    """Return sets of rows in orthonormal coordinates of the plane through all of them, around their common mean.

    With X the centred rows of all sets, X X' = U diag(v) U' and coordinates U diag(v)^(1/2): r is the rank of X, and
    all distances and inner products between centred rows stay as they are. So do the Fréchet distance and its
    derivative, which then take matrices of n rows and not of D columns. Sets with at least as many rows in all as
    columns are returned as they are.

    Returns:
        The sets in float64, each with r columns (at least 1); or the sets themselves.

    Example:
        >>> rows = torch.randn(3, 1000, generator=torch.Generator().manual_seed(0))
        >>> (short,) = in_span(rows)
        >>> short.shape, torch.allclose(torch.cdist(short, short), torch.cdist(rows, rows).double(), atol=1e-3)
        (torch.Size([3, 2]), True)
    """
    n = sum(len(rows) for rows in sets)
    if n >= sets[0].shape[1]:
        return sets
    centred = torch.cat([rows.detach().cpu().double() for rows in sets])
    centred -= centred.mean(0)
    values, vectors = torch.linalg.eigh(centred @ centred.T)
    kept = values > n * _EPS * values[-1]
    # rows that are all equal have no direction, and one coordinate
    kept[-1] = True
    found = vectors[:, kept] * values[kept].clamp_min(0).sqrt()
    return tuple(found.split([len(rows) for rows in sets]))
