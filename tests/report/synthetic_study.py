"""A synthetic study, shaped like a real one: not results."""

import math

import numpy as np
import pandas as pd

from priorgap.report import AggregateFigureData
from priorgap.report.aggregate import Plane, Traversals

ROLES = {"posterior_heldout": "control", "literal_log_var": "specimen"}
FID = {
    "prior": 60.0,
    "posterior": 18.0,
    "gmm": 21.0,
    "gaussian_full": 30.0,
    "posterior_heldout": 19.0,
    "literal_log_var": 90.0,
}
TRAITS = {"prior": "fixed", "posterior": "reconstructs needs_training_data"}
TRAITS |= {"literal_log_var": "needs_training_data"}
N_UNITS = 6


def _row(cell, seed, measure, value, *, sampler="", space="latent", **more):
    return {
        "study": "planted",
        "cell": cell,
        "model": f"alpha={cell},seed={seed}-0000",
        "seed": seed,
        "sampler": sampler,
        "role": ROLES.get(sampler, "candidate") if sampler else "",
        "label_source": "",
        "measure": measure,
        "space": space,
        "unit": "",
        "value": float(value),
        "std_error": None,
        "n": 1000,
        "n_reference": 360,
        "bound": "point",
        "traits": TRAITS.get(sampler, "none") if sampler else "",
        "decode": "mean",
    } | more


def _sampler_rows(cell, seed, alpha, rng):
    rows = []
    for sampler, base in FID.items():
        worse = 1 + 0.4 * math.log10(alpha) if sampler == "prior" else 1.0
        fid = base * worse * math.exp(0.05 * rng.standard_normal())
        at = {"sampler": sampler, "alpha": alpha}
        rows.append(_row(cell, seed, "fid", fid, space="classifier", **at))
        rows.append(_row(cell, seed, "kid", fid / 1000, space="classifier", **at))
        for measure in ("precision", "recall", "density", "coverage"):
            value = 1 / (1 + fid / 60) + 0.01 * rng.standard_normal()
            rows.append(_row(cell, seed, measure, value, space="classifier", **at))
        for measure, null in (("near_copy_excess", 0.0), ("train_share", 0.5)):
            value = null + 0.004 * rng.standard_normal()
            rows.append(_row(cell, seed, measure, value, space="pixels", std_error=0.004, **at))
        at["label_source"] = "labeller"
        rows.append(_row(cell, seed, "accuracy_synthetic_to_real", 1 - fid / 300, space="data", **at))
    at = {"alpha": alpha, "space": "data", "label_source": "source", "sampler": "posterior"}
    rows.append(_row(cell, seed, "accuracy_real_to_synthetic", 0.93, **at))
    at = {"alpha": alpha, "space": "pixels"}
    rows.append(_row(cell, seed, "memorisation_auc", 0.503, std_error=0.01, **at))
    rows.append(_row(cell, seed, "source_auc", 0.997, std_error=0.001, **at))
    return rows


def _model_rows(cell, seed, alpha, rng):
    rows = []
    for unit in range(N_UNITS):
        rate = 2.0 / (1 + unit) * math.log(1 + alpha)
        at = {"unit": str(unit), "alpha": alpha, "std_error": 0.01}
        rows.append(_row(cell, seed, "rate", rate, **at))
        rows.append(_row(cell, seed, "marginal_kl", 0.02 * (unit + 1) + 0.01 * rng.random(), **at))
    values = {"rate": 9.0, "active_units_var": 6, "kl_diag": 0.02, "kl_corr": 0.1, "kl_diag_train": 0.01}
    values |= {"elbo": -100.0, "distortion": 91.0, "kl_train_mixture": 4.0}
    rows += [_row(cell, seed, name, value, alpha=alpha) for name, value in values.items()]
    for measure, low, high in (("kl", 0.4, 1.4), ("kl_point", 0.45, 1.3)):
        scale = math.log(2 + alpha)
        rows.append(_row(cell, seed, measure, low * scale, bound="lower", alpha=alpha))
        rows.append(_row(cell, seed, measure, high * scale, bound="upper", alpha=alpha))
    for measure, value in (("fid_floor", 2.1), ("fid_null_bias", 2.0), ("fid_reconstruction", 15.0)):
        rows.append(_row(cell, seed, measure, value, space="classifier", alpha=alpha))
    at = {"space": "data", "alpha": alpha, "label_source": "labeller"}
    rows.append(_row(cell, seed, "accuracy_real_to_real", 0.97, **at))
    return rows


def study(alphas=(1.0, 10.0, 100.0), n_seeds=3, *, calibrate=True):
    """Return the tidy table of a study over alpha; the calibrated twins have the prior alone."""
    rng = np.random.default_rng(0)
    rows = []
    for alpha in alphas:
        for seed in range(n_seeds):
            cell = f"{alpha:g}"
            of_model = _sampler_rows(cell, seed, alpha, rng) + _model_rows(cell, seed, alpha, rng)
            rows += [r | {"calibrate": False} for r in of_model] if calibrate else of_model
            if calibrate:
                at = {"sampler": "prior", "space": "classifier", "alpha": alpha, "calibrate": True}
                rows.append(_row(f"{cell}-calibrated", seed, "fid", 45.0 + rng.random(), **at))
    return pd.DataFrame(rows).rename(columns={"alpha": "loss.alpha"})


def previews(table, *, size=16, channels=1):
    """Return uint8 images for the first seed's model of each cell: blobs whose blur grows with the FID."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:size, :size]
    found = {}
    for model in sorted(set(table[table["seed"] == 0]["model"])):
        found[model] = {}
        for sampler, fid in FID.items():
            centre = size / 2 + size / 6 * rng.standard_normal((64, 2, 1, 1))
            square = (y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2
            image = 255 * np.exp(-square / (2 * (1 + fid / 20) ** 2))
            found[model][sampler] = np.repeat(image[..., None].astype(np.uint8), channels, axis=-1)
    return found


def aggregate(n_classes=10, *, decoded=False):
    """Return the data of an aggregate posterior of `n_classes` clusters; decoded: with a plane and traversals."""
    rng = np.random.default_rng(2)
    grid = np.linspace(-6, 6, 301)
    shift = np.linspace(0, 1.5, N_UNITS)[:, None]
    density = sum(np.exp(-0.5 * ((grid - s * shift) / 0.7) ** 2) for s in (-1, 1))
    density /= density.sum(1, keepdims=True) * (grid[1] - grid[0])
    label = rng.integers(0, n_classes, 1500)
    angle = 2 * np.pi * label / n_classes
    z = 1.4 * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.35 * rng.standard_normal((1500, 2))
    known = {"grid": grid, "density": density, "z": z, "units": (5, 4), "label": label}
    return AggregateFigureData(**known, **(_decoded() if decoded else {}))


def _decoded():
    """A plane whose density is a ring, empty in the middle; the decoder shows a dot where z is."""
    axis, at, steps = np.linspace(-3.5, 3.5, 71), np.linspace(-3.5, 3.5, 9), np.linspace(-3, 3, 5)
    radius = np.sqrt(axis[:, None] ** 2 + axis**2)
    density = np.exp(-0.5 * ((radius - 1.5) / 0.3) ** 2)
    density /= density.sum() * (axis[1] - axis[0]) ** 2
    points = [(across, up) for up in at[::-1] for across in at]
    return {
        "plane": Plane((5, 4), axis, density, at, np.stack([_dot(*point) for point in points])),
        "traversals": Traversals(
            (0, 2), steps, np.stack([[_dot(step, 0) for step in steps], [_dot(0, step) for step in steps]])
        ),
    }


def _dot(across, up, size=16):
    image = np.zeros((size, size, 1), np.uint8)
    place = [round((value + 3.5) / 7 * (size - 1)) for value in (-up, across)]
    image[place[0], place[1]] = 255
    return image
