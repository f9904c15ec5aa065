"""Checks of the tensors that estimators receive; each error is one line that names the argument."""

import math

import torch
from torch import Tensor


class NotFinite(ValueError):  # noqa: N818
    """Numbers are NaN or infinite where finite ones are needed: a model has diverged, or the program has a bug."""


def check_matrix(name: str, x: Tensor, *, min_rows: int = 1, n_columns: int | None = None) -> None:
    """Check that `x` is a finite [n, D] tensor.

    Raises:
        ValueError: it is not two-dimensional, too short, of the wrong width, or (NotFinite) not finite everywhere.

    Example:
        >>> check_matrix("x", torch.ones(3))
        Traceback (most recent call last):
            ...
        ValueError: x has shape (3,): expected [n, D] with D >= 1
    """
    if x.ndim != 2 or x.shape[1] < 1:
        raise ValueError(f"{name} has shape {tuple(x.shape)}: expected [n, D] with D >= 1")
    if len(x) < min_rows:
        raise ValueError(f"{name} has {len(x)} rows: expected at least {min_rows}")
    if n_columns is not None and x.shape[1] != n_columns:
        raise ValueError(f"{name} has {x.shape[1]} columns: expected {n_columns}")
    # The sum takes one pass and no mask; the rows are searched only where the sum is not finite.
    if not math.isfinite(float(x.sum(dtype=torch.float64))):
        n_bad = int((~torch.isfinite(x)).any(1).sum())
        if n_bad:
            raise NotFinite(f"{name} has {n_bad} rows that are not finite: expected finite numbers")


def check_posteriors(mean: Tensor, log_var: Tensor | None, *, min_rows: int = 1) -> None:
    """Check that `mean` and `log_var` are finite, [n, d] and of one shape.

    Raises:
        ValueError: they are not.

    Example:
        >>> check_posteriors(torch.ones(3, 2), torch.ones(3, 1))
        Traceback (most recent call last):
            ...
        ValueError: log_var has shape (3, 1): expected that of mean, (3, 2)
    """
    check_matrix("mean", mean, min_rows=min_rows)
    if log_var is not None:
        if log_var.shape != mean.shape:
            raise ValueError(
                f"log_var has shape {tuple(log_var.shape)}: expected that of mean, {tuple(mean.shape)}"
            )
        check_matrix("log_var", log_var)


def check_vector(name: str, x: Tensor, *, min_length: int = 1) -> None:
    """Check that `x` is a finite vector.

    Raises:
        ValueError: it is not one-dimensional, too short, or (NotFinite) has a value that is not finite.

    Example:
        >>> check_vector("x", torch.tensor([1.0, float("nan")]))
        Traceback (most recent call last):
            ...
        priorgap.estimators.checks.NotFinite: x has values that are not finite: expected finite numbers
    """
    if x.ndim != 1:
        raise ValueError(f"{name} has shape {tuple(x.shape)}: expected a vector")
    if len(x) < min_length:
        raise ValueError(f"{name} has {len(x)} values: expected at least {min_length}")
    if not bool(torch.isfinite(x).all()):
        raise NotFinite(f"{name} has values that are not finite: expected finite numbers")
