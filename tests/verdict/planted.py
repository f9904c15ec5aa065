"""Planted results: rows of results.csv with a known truth."""

import math

import numpy as np
import pandas as pd

ROLES = {"posterior_heldout": "control", "posterior_mean": "control", "literal_log_var": "specimen"}
TRAITS = {
    "prior": "fixed",
    "posterior": "reconstructs needs_training_data",
    "posterior_mean": "reconstructs needs_training_data",
    "literal_log_var": "needs_training_data",
    "kde": "needs_training_data",
}
CELL = "c0ffee"


def row(sampler, measure, seed, value, *, cell=CELL, space="classifier", std_error=None, **more):
    return {
        "study": "planted",
        "cell": cell,
        "model": f"{cell}-{seed}",
        "seed": seed,
        "sampler": sampler,
        "role": ROLES.get(sampler, "candidate") if sampler else "",
        "label_source": "",
        "measure": measure,
        "space": space,
        "unit": "",
        "value": value,
        "std_error": std_error,
        "n": 1000,
        "n_reference": 1000,
        "bound": "point",
        "traits": TRAITS.get(sampler, "none") if sampler else "",
        "decode": "mean",
    } | more


def rows_of(measure, means, n_seeds, *, spread=0.02, seed_effect=0.3, log=True, std_error=None, **more):
    """Rows whose log (or plain) values are mean + a seed effect that all samplers share + small noise."""
    rng = np.random.default_rng(11)
    shared = seed_effect * rng.standard_normal(n_seeds)
    rows = []
    for sampler, mean in means.items():
        noise = spread * rng.standard_normal(n_seeds)
        for seed in range(n_seeds):
            value = mean * math.exp(shared[seed] + noise[seed]) if log else mean + shared[seed] + noise[seed]
            error = None if std_error is None else std_error * (value if log else 1)
            rows.append(row(sampler, measure, seed, value, std_error=error, **more))
    return rows


def table(*parts):
    return pd.DataFrame([record for part in parts for record in part])


CLEAR = {"prior": 100.0, "gmm": 40.0, "gaussian_full": 60.0}


def copying(name, excess, share, n_seeds, *, error=0.003):
    rows = []
    for seed in range(n_seeds):
        wobble = 0.001 * (seed - (n_seeds - 1) / 2)
        rows.append(row(name, "near_copy_excess", seed, excess + wobble, space="pixels", std_error=error))
        rows.append(row(name, "train_share", seed, share + wobble, space="pixels", std_error=error))
    return rows
