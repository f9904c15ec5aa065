"""Precision, recall, density and coverage by a loop over all pairs, in float64."""

import torch

NAMES = ("precision", "recall", "density", "coverage")


def by_loop(real, fake, k):
    """The four definitions over all pairs, in float64."""

    def radii(x):
        return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").sort(1).values[:, k]

    real, fake = real.double(), fake.double()
    gap = torch.cdist(fake, real, compute_mode="donot_use_mm_for_euclid_dist")
    inside, recalled = gap < radii(real)[None], gap < radii(fake)[:, None]
    return [
        float(x.double().mean())
        for x in (inside.any(1), recalled.any(0), inside.double().sum(1) / k, inside.any(0))
    ]
