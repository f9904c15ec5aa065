"""A Gaussian combined with a mixture in the few directions in which the points are least normal.

A mixture of full Gaussians has d (d + 3) / 2 parameters for each component, and k-means, which starts it, uses
distances in all units. Where two of many units hold a curve or a ring and the rest are normal, both fail: the start
does not find the curve, and the parameters are spent on units that need none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.latents import check_full
from priorgap.densities.gaussian import gaussian_log_prob
from priorgap.densities.mixture import FittedMixture, GaussianMixture
from priorgap.densities.protocols import check_points, stable_cholesky

# Steps of the search for a direction, which starts from every unit; it converges cubically or not at all.
_STEPS = 10
# How often the directions are rotated to suit the mixture, and the mixture is then fitted again.
_TURNS = 2


@dataclass(frozen=True, eq=False)
class FittedSubspaceMixture:
    """N(z; mean, C) g(P u) / N(P u; 0, I) with u = A^-1 (z - mean), C = A A', P of orthonormal rows, g a mixture.

    P u is N(0, I) and independent of the rest of u under the Gaussian, so that the whole integrates to 1.
    """

    mean: Float[Tensor, "d"]
    factor: Float[Tensor, "d d"]
    directions: Float[Tensor, "r d"]
    mixture: FittedMixture

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return the log-density, nats, float64."""
        exact = z.double()
        seen = _white(exact, self.mean, self.factor) @ self.directions.T
        zero, eye = torch.zeros(seen.shape[1], dtype=seen.dtype), torch.eye(seen.shape[1], dtype=seen.dtype)
        whole = gaussian_log_prob(exact, self.mean, self.factor)
        return whole + self.mixture.log_prob(seen) - gaussian_log_prob(seen, zero, eye)


@dataclass(frozen=True)
class SubspaceMixture:
    """A full Gaussian whose least normal directions have a mixture of their own.

    Attributes:
        n_directions: candidates for the number of directions; the validation log-likelihood chooses.
        mixture: hyperparameters of the mixture in these directions.
    """

    n_directions: Sequence[int]
    mixture: GaussianMixture

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_directions", tuple(self.n_directions))
        if not self.n_directions or min(self.n_directions) < 1:
            raise ValueError(f"n_directions={self.n_directions}: expected integers of at least 1")

    def fit(
        self, z_train: Float[Tensor, "n d"], z_validation: Float[Tensor, "m d"], *, generator: torch.Generator
    ) -> FittedSubspaceMixture:
        """Fit to `z_train`; numbers of directions above the number of units are reduced to it.

        Raises:
            ValueError: fewer than two points, or too few for the mixture; too many dimensions.
        """
        check_points(z_train, "z_train")
        check_full(z_train.shape[1])
        rows = torch.randperm(len(z_train), generator=generator)[: self.mixture.n_fit]
        z = z_train[rows].double()
        mean = z.mean(0)
        factor = stable_cholesky((z - mean).T @ (z - mean) / len(z))
        white, told = _white(z, mean, factor), _white(z_validation.double(), mean, factor)
        sizes = sorted({min(r, z.shape[1]) for r in self.n_directions})
        found = unusual_directions(white, sizes[-1])
        fitted = []
        for r in sizes:
            along = found[:r]
            for turn in range(_TURNS + 1):
                mixture = self.mixture.fit(white @ along.T, told @ along.T, generator=generator)
                if turn < _TURNS:
                    along = _turned(white, along, mixture)
            fitted.append(FittedSubspaceMixture(mean, factor, along, mixture))
        if len(fitted) == 1:
            return fitted[0]
        return max(fitted, key=lambda f: float(f.log_prob(z_validation).mean()))


def _white(z: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
    found: Tensor = torch.linalg.solve_triangular(factor, (z - mean).T, upper=False).T
    return found


def _turned(
    u: Float[Tensor, "n d"], along: Float[Tensor, "r d"], mixture: FittedMixture
) -> Float[Tensor, "r d"]:
    """Return directions with a higher mixture likelihood, as a refinement of those found by cumulants.

    A Newton step of E[log g(P u) + |P u|^2 / 2] over orthonormal P, with E[u u' H(P u)] taken as E[H(P u)], as in
    independent component analysis; the old directions are returned where the step does not help.

    **Source**: Hyvärinen (1999), "Fast and robust fixed-point algorithms for independent component analysis".
    """
    with torch.enable_grad():
        y = (u @ along.T).requires_grad_()
        gain = _gain(mixture, y)
        (slope,) = torch.autograd.grad(gain.sum(), y, create_graph=True)
        rows = [torch.autograd.grad(slope[:, i].sum(), y, retain_graph=True)[0] for i in range(y.shape[1])]
    curvature = torch.stack(rows, 1).mean(0)
    step = slope.detach().T @ u / len(u) - curvature @ along
    left, _, right = torch.linalg.svd(step, full_matrices=False)
    moved = left @ right
    # A step's sign is arbitrary; it is chosen to agree with the old directions, in whose coordinates the mixture is.
    moved = torch.where(((moved * along).sum(1) < 0)[:, None], -moved, moved)
    better = _gain(mixture, u @ moved.T)
    return moved if float(better.mean()) > float(gain.detach().mean()) else along


def _gain(mixture: FittedMixture, y: Float[Tensor, "n r"]) -> Float[Tensor, "n"]:
    """Return log g(y) - log N(y; 0, I), up to a constant."""
    return mixture.log_prob(y) + 0.5 * y.square().sum(1)


def unusual_directions(u: Float[Tensor, "n d"], n: int) -> Float[Tensor, "n d"]:
    """Return n orthonormal directions in which standardised, uncorrelated points are least normal, greedily.

    Each direction adds the most to the negentropy as approximated by third and fourth cumulants (Gram-Charlier):
    1/12 sum k_abc^2 + 1/48 sum k_abcd^2 over all index tuples with at most two different directions. Candidates: the
    fixed points of E u (w'u)^2 and E u (w'u)^3 - 3 w from each unit, and for each direction b
    found before those that depend on it: E u ((b'u)^2 - 1) and the outermost eigenvectors of E u u' ((b'u)^2 - 1).

    **Source**: Jones & Sibson (1987), "What is projection pursuit?", for the cumulants as an index.
    """
    d = u.shape[1]
    found: list[Tensor] = []
    while len(found) < min(n, d):
        rest = _complement(found, d, u.dtype)
        v = u @ rest.T
        candidates = torch.cat([_fixed_points(v, rest.T), *(_partners(v, u @ b) for b in found)])
        along = v @ candidates.T
        gain = along.pow(3).mean(0).square() / 12 + (along.pow(4).mean(0) - 3).square() / 48
        for b in found:
            gain = gain + _pair_gain(u @ b, along)
        found.append(candidates[int(gain.argmax())] @ rest)
    return torch.stack(found)


def _complement(found: list[Tensor], d: int, dtype: torch.dtype) -> Float[Tensor, "e d"]:
    """Return an orthonormal basis of the complement of the directions found."""
    if not found:
        return torch.eye(d, dtype=dtype)
    q, _ = torch.linalg.qr(torch.stack(found).T, mode="complete")
    rest: Tensor = q[:, len(found) :].T
    return rest


def _unit(w: Tensor) -> Tensor:
    norm = w.norm(dim=1, keepdim=True)
    found: Tensor = (w / norm)[(norm[:, 0] > 1e-12) & norm[:, 0].isfinite()]
    return found


def _fixed_points(v: Float[Tensor, "n e"], start: Float[Tensor, "d e"]) -> Float[Tensor, "k e"]:
    """Return unit directions of extreme skewness and of extreme kurtosis, from each start."""
    units = skewed = tailed = _unit(start)
    for _ in range(_STEPS):
        skewed = _unit((v @ skewed.T).square().T @ v / len(v))
        tailed = _unit((v @ tailed.T).pow(3).T @ v / len(v) - 3 * tailed)
    # The units themselves are added, so that there is a candidate even if every start vanished.
    return torch.cat([units, skewed, tailed])


def _partners(v: Float[Tensor, "n e"], along: Float[Tensor, "n"]) -> Float[Tensor, "k e"]:
    """Return unit directions in which the mean, and the variance, depend most on a coordinate's square."""
    weight = along.square() - 1
    mean = _unit((weight @ v / len(v))[None])
    vectors = torch.linalg.eigh((v * weight[:, None]).T @ v / len(v)).eigenvectors
    return torch.cat([mean, vectors[:, [0, -1]].T])


def _pair_gain(b: Float[Tensor, "n"], w: Float[Tensor, "n k"]) -> Float[Tensor, "k"]:
    """Return the contributions to the negentropy of the joint cumulants of one direction with each of the others."""
    n, b2 = len(b), b.square()
    bbw, bww = b2 @ w / n, b @ w.square() / n
    bbbw, bwww, bbww = (b2 * b) @ w / n, b @ w.pow(3) / n, b2 @ w.square() / n - 1
    return (bbw.square() + bww.square()) / 4 + bbww.square() / 8 + (bbbw.square() + bwww.square()) / 12
