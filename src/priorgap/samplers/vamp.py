"""A VampPrior built after training: an equally weighted mixture of the posteriors of K training images."""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.core.latents import LatentDraw, Latents, Moments
from priorgap.core.random import draw_seed
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.densities.protocols import check_n
from priorgap.priors.base import Prior
from priorgap.samplers.posterior import FittedMixtureOfRows, pick_rows, training_posteriors
from priorgap.samplers.protocols import (
    FitInputs,
    LabelSource,
    Role,
    SamplerState,
    check_kind,
    require_log_var,
    total_moments,
)

Choice = Literal["random", "kmeans"]
# A few iterations suffice, because the centres only have to be near different images.
_KMEANS_ITERATIONS = 30


@dataclass(frozen=True, eq=False)
class FittedVamp(FittedMixtureOfRows):
    """A mixture of K posteriors; `source` is the training row whose posterior a draw came from.

    Attributes:
        rows: the training rows of the K images, [K].
    """

    rows: Int[Tensor, "k"]
    kind: ClassVar[str] = "vamp"

    def sample(self, n: int, *, generator: torch.Generator) -> LatentDraw:
        """Draw n rows: first the noise, then the components, all equally often to within one."""
        check_n(n)
        noise = torch.randn(n, self.centre.shape[1], generator=generator)
        k = len(self.rows)
        part = pick_rows(n, k, generator=generator)
        if n > k:
            # With few components, neighbours within one permutation always differ, which correlates them; so
            # the order is shuffled.
            part = part[torch.randperm(n, generator=generator)]
        assert self.spread is not None
        z = self.centre[part].float() + self.spread[part].float() * noise
        return LatentDraw(z, self.rows[part], None if self.label is None else self.label[part])

    def state(self) -> SamplerState:
        """Return the K posteriors and their training rows."""
        table = super().state()
        return SamplerState(table.name, {**table.tensors, "rows": self.rows}, table.json)

    @classmethod
    def from_state(cls, state: SamplerState) -> Self:
        """Rebuild from `state`'s result."""
        check_kind(state, cls.kind)
        tensors = state.tensors
        facts = SamplerFacts.from_json(state.json["facts"])
        return cls(
            state.name,
            tensors["centre"],
            tensors["spread"],
            tensors.get("label"),
            True,
            facts,
            tensors["rows"],
        )


@dataclass(frozen=True)
class Vamp:
    """(1/K) sum_k N(mu_k, diag s_k²) over K training images: a VampPrior whose pseudo-inputs are data points.

    Attributes:
        n_components: K; all images where there are fewer.
        choice: "random", or "kmeans": the image nearest to each of K centres of mu, by Lloyd's algorithm.
    """

    n_components: int
    choice: Choice
    name: str = "vamp"
    role: ClassVar[Role] = "candidate"
    label_source: ClassVar[LabelSource] = "source"
    needs: ClassVar[frozenset[str]] = frozenset({"encoder", "log_var"})

    def __post_init__(self) -> None:
        if self.n_components < 1:
            raise ValueError(f"n_components={self.n_components}: expected an integer of at least 1")
        if self.choice not in get_args(Choice):
            raise ValueError(f"choice={self.choice!r}: expected random or kmeans")

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedVamp:
        """Choose the K images.

        Raises:
            SamplerNotApplicable: the encoder gives no log_var, so that the components would be points.
        """
        require_log_var(inputs.train, self.name)
        rows = self._rows(inputs.train, generator)
        kept = inputs.train.take(rows)
        facts = training_posteriors(f"{len(rows):,} of them")
        return FittedVamp(self.name, kept.mean, kept.std, kept.label, True, facts, rows)

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedVamp:
        """Return the fitted sampler with this state."""
        return FittedVamp.from_state(state)

    def expected_moments(self, inputs: FitInputs) -> Moments | None:
        """Return the aggregate moments where all images are components; the choice is random otherwise."""
        log_var = require_log_var(inputs.train, self.name)
        if self.n_components < len(inputs.train):
            return None
        return total_moments(inputs.train.mean, log_var.double().exp())

    def _rows(self, train: Latents, generator: torch.Generator) -> Int[Tensor, "k"]:
        if self.n_components >= len(train):
            return torch.arange(len(train))
        if self.choice == "random":
            return torch.randperm(len(train), generator=generator)[: self.n_components]
        return medoids(train.mean, self.n_components, generator=generator)


def medoids(z: Float[Tensor, "n d"], k: int, *, generator: torch.Generator) -> Int[Tensor, "k"]:
    """Return the rows nearest to the k centres of Lloyd's algorithm; fewer where two centres share a row."""
    from sklearn.cluster import KMeans

    points = z.double().numpy()
    kmeans = KMeans(k, n_init=1, max_iter=_KMEANS_ITERATIONS, random_state=draw_seed(generator)).fit(points)
    centres = torch.from_numpy(kmeans.cluster_centers_).double()
    nearest = torch.cat([torch.cdist(c, z.double()).argmin(1) for c in centres.split(64)])
    found: Tensor = nearest.unique()
    return found
