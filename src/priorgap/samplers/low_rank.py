"""A Gaussian of the aggregate posterior with a few directions of its correlation, for z of any dimension."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from priorgap.densities.low_rank import FittedLowRank, directions, low_rank
from priorgap.priors.base import Prior
from priorgap.samplers.ex_post import FittedExPost, aggregate_diagonal, check_draws, draws_to_fit
from priorgap.samplers.protocols import FitInputs, LabelSource, Role, SamplerState


@dataclass(frozen=True)
class ExPostLowRank:
    """N(m, S (F F' + diag noise) S): aggregate means and variances in closed form, r directions of the correlation.

    `gaussian_diag` is the case r = 0, and large r approach `gaussian_full`; values in between are what rows and
    memory allow where z has thousands of dimensions.

    Attributes:
        ranks: candidates for r; chosen by the log-likelihood of validation draws.
        n_fit: the largest number of draws from which directions are found; at most a quarter as many choose r.
        draws_per_image: the largest number of draws from one posterior.
    """

    ranks: Sequence[int]
    n_fit: int
    draws_per_image: int
    name: ClassVar[str] = "gaussian_low_rank"
    role: ClassVar[Role] = "candidate"
    label_source: ClassVar[LabelSource] = ""

    def __post_init__(self) -> None:
        # YAML gives lists in any order, but a field of a frozen dataclass must be hashable.
        object.__setattr__(self, "ranks", tuple(sorted(set(self.ranks))))
        whole = all(isinstance(r, int) and not isinstance(r, bool) and r >= 0 for r in self.ranks)
        if not self.ranks or not whole:
            raise ValueError(f"ranks={list(self.ranks)}: expected integers of at least 0")
        check_draws(self.n_fit, self.draws_per_image)

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedExPost:
        """Return the Gaussian of the rank with the highest log-density of validation draws.

        Raises:
            ValueError: there are no validation posteriors by which to choose.
        """
        diagonal = aggregate_diagonal(inputs.train)
        mean, scale = diagonal.mean, diagonal.variance.sqrt()
        z, z_validation = draws_to_fit(inputs, self.n_fit, self.draws_per_image, generator=generator)
        # With as many directions as units no unit would keep noise of its own; with as many as points the fit would
        # interpolate.
        most = min(len(mean) - 1, len(z) // 2)
        ranks = sorted({min(r, most) for r in self.ranks})
        values, along = directions(z, mean, scale, max(1, ranks[-1]), generator=generator)
        candidates = [low_rank(mean, scale, values[:r], along[:, :r]) for r in ranks]
        if len(candidates) == 1:
            return FittedExPost(self.name, candidates[0])
        if not len(z_validation):
            raise ValueError("no validation posteriors; expected some to choose the rank by, or one rank")

        def score(density: FittedLowRank) -> float:
            return float(density.log_prob(z_validation).mean())

        return FittedExPost(self.name, max(candidates, key=score))

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedExPost:
        """Return the fitted sampler with this state."""
        return FittedExPost.from_state(state)

    def expected_moments(self, inputs: FitInputs) -> None:
        """Return None: the rank is chosen by draws."""
        return None
