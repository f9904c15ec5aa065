"""What estimators accept: each refusal is one line that names the argument, what it is and what was expected."""

import math

import pytest
import torch
from refusals import refused

from priorgap.estimators.checks import check_matrix, check_posteriors, check_vector


def test_matrices_at_the_border_pass():
    check_matrix("x", torch.zeros(1, 1))
    check_matrix("x", torch.zeros(3, 2), min_rows=3, n_columns=2)


def test_matrices_of_another_shape():
    refused(lambda: check_matrix("x", torch.zeros(3)), "x has shape (3,): expected [n, D] with D >= 1")
    refused(lambda: check_matrix("x", torch.zeros(2, 0)), "x has shape (2, 0): expected [n, D] with D >= 1")
    refused(lambda: check_matrix("x", torch.zeros(0, 2)), "x has 0 rows: expected at least 1")
    refused(lambda: check_matrix("x", torch.zeros(3, 2), min_rows=4), "x has 3 rows: expected at least 4")
    refused(lambda: check_matrix("x", torch.zeros(3, 2), n_columns=1), "x has 2 columns: expected 1")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_rows_that_are_not_finite_are_counted(bad):
    x = torch.zeros(4, 3)
    x[1, 2] = x[1, 0] = x[3, 0] = bad
    refused(lambda: check_matrix("x", x), "x has 2 rows that are not finite: expected finite numbers")
    one = torch.zeros(4, 3)
    one[2] = bad
    refused(lambda: check_matrix("x", one), "x has 1 rows that are not finite: expected finite numbers")


def test_a_float32_sum_that_overflows_is_no_reason():
    """Finite rows whose sum is too large for float32, or even for float64, are finite rows."""
    check_matrix("x", torch.full((4, 2), 3e38))
    check_matrix("x", torch.full((4, 2), 1e308, dtype=torch.float64))


def test_posteriors():
    check_posteriors(torch.zeros(2, 3), None)
    check_posteriors(torch.zeros(2, 3), torch.zeros(2, 3), min_rows=2)
    check_posteriors(torch.zeros(1, 1), torch.zeros(1, 1))
    refused(
        lambda: check_posteriors(torch.zeros(2, 3), torch.zeros(3, 2)),
        "log_var has shape (3, 2): expected that of mean, (2, 3)",
    )
    refused(
        lambda: check_posteriors(torch.zeros(2, 3), None, min_rows=3), "mean has 2 rows: expected at least 3"
    )
    refused(lambda: check_posteriors(torch.zeros(0, 3), None), "mean has 0 rows: expected at least 1")
    for name, pair in (
        ("mean", (torch.full((1, 1), math.nan), torch.zeros(1, 1))),
        ("log_var", (torch.zeros(1, 1), torch.full((1, 1), math.nan))),
    ):
        line = f"{name} has 1 rows that are not finite: expected finite numbers"
        refused(lambda p=pair: check_posteriors(*p), line)


def test_vectors():
    check_vector("x", torch.zeros(1))
    check_vector("x", torch.zeros(3), min_length=3)
    refused(lambda: check_vector("x", torch.zeros(3, 1)), "x has shape (3, 1): expected a vector")
    refused(lambda: check_vector("x", torch.zeros(0)), "x has 0 values: expected at least 1")
    refused(lambda: check_vector("x", torch.zeros(3), min_length=4), "x has 3 values: expected at least 4")
    for bad in (math.nan, math.inf):
        line = "x has values that are not finite: expected finite numbers"
        refused(lambda b=bad: check_vector("x", torch.tensor([0.0, b])), line)
