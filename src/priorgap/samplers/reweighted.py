"""Draws of the prior, resampled by an estimated density ratio q(z)/p(z)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from priorgap.core.arguments import Above, AtLeast
from priorgap.core.fit_network import fit_network
from priorgap.core.latents import LatentDraw
from priorgap.core.random import isolated
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.densities.networks import standardise
from priorgap.densities.protocols import check_n
from priorgap.estimators.overlap import effective_share
from priorgap.priors.base import Prior
from priorgap.samplers.ex_post import FITTED, draw_rows
from priorgap.samplers.prior import FittedPrior, PriorSampler
from priorgap.samplers.protocols import (
    FitInputs,
    LabelSource,
    Role,
    SamplerNotApplicable,
    SamplerState,
    check_kind,
)

MIN_EFFECTIVE_SHARE = 0.01
# The number of proposals in memory at a time. It is fixed, because the order of the draws depends on it.
_PROPOSALS = 1 << 18


class RatioNetwork(nn.Module):
    """log q(z)/p(z), up to a constant: an MLP on (z, z²) in units of q's standard deviation.

    Without hidden layers it is logistic regression, and exact between two Gaussians with diagonal covariances.
    """

    def __init__(self, dim: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise([2 * dim, *hidden, 1]):
            layers += [nn.Linear(n_in, n_out), nn.SiLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return the logit that a row was drawn from q."""
        white = (z - self.centre) / self.scale
        found: Tensor = self.layers(torch.cat([white, white.square()], 1))[:, 0]
        return found


def ratio_loss(network: nn.Module, z: Float[Tensor, "n d"], of_q: Float[Tensor, "n"]) -> Tensor:
    """Return the cross-entropy of telling draws of q from draws of p; its optimum is log q/p at equal numbers."""
    return nn.functional.binary_cross_entropy_with_logits(network(z), of_q)


@dataclass(frozen=True, eq=False)
class FittedReweighted:
    """Draws by resampling: of n_proposals draws of the prior one is kept, with probability proportional to q/p.

    Attributes:
        name: the sampler's name.
        prior: the proposals' distribution.
        network: the network of log q/p.
        hidden: the widths of its hidden layers.
        n_proposals: proposals for each draw.
        effective_share: effective sample size of weighted prior draws, as a share of their number.
    """

    name: str
    prior: FittedPrior
    network: RatioNetwork
    hidden: tuple[int, ...]
    n_proposals: int
    effective_share: float
    kind: ClassVar[str] = "reweighted"
    facts: ClassVar[SamplerFacts] = FITTED

    def sample(self, n: int, *, generator: torch.Generator) -> LatentDraw:
        """Draw n independent rows by sampling-importance-resampling, each with its own proposals."""
        check_n(n)
        step = max(1, _PROPOSALS // self.n_proposals)
        parts = [self._some(min(step, n - start), generator) for start in range(0, n, step)]
        return LatentDraw(torch.cat(parts))

    def _some(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        z = self.prior.sample(n * self.n_proposals, generator=generator).z
        with torch.no_grad():
            log_weight = self.network(z).double().view(n, self.n_proposals)
        # The argmax of log-weights plus Gumbel noise is a draw from their softmax, without overflow.
        uniform = torch.rand(n, self.n_proposals, generator=generator, dtype=torch.float64)
        gumbel = -(-uniform.clamp_min(torch.finfo(torch.float64).tiny).log()).log()
        kept = (log_weight + gumbel).argmax(1)
        return z.view(n, self.n_proposals, -1)[torch.arange(n), kept]

    def state(self) -> SamplerState:
        """Return the network's weights and the effective sample size; a learned prior stays with the model."""
        tensors = {f"network/{key}": value for key, value in self.network.state_dict().items()}
        json = {
            "kind": self.kind,
            "proposals": self.prior.state().json,
            "hidden": list(self.hidden),
            "n_proposals": self.n_proposals,
            "effective_share": self.effective_share,
        }
        return SamplerState(self.name, tensors, json)

    @classmethod
    def from_state(cls, state: SamplerState, prior: Prior | None = None) -> Self:
        """Rebuild from `state`'s result, and from the model's prior where that is learned."""
        check_kind(state, cls.kind)
        json = state.json
        proposals = FittedPrior.from_state(SamplerState("prior", {}, json["proposals"]), prior)
        network = RatioNetwork(json["proposals"]["dim"], json["hidden"])
        network.load_state_dict({k.removeprefix("network/"): v for k, v in state.tensors.items()})
        network.eval()
        return cls(
            state.name,
            proposals,
            network,
            tuple(json["hidden"]),
            json["n_proposals"],
            json["effective_share"],
        )


@dataclass(frozen=True)
class ReweightedPrior:
    """p(z) resampled by a density ratio q(z)/p(z), which a classifier of draws of q and p estimates.

    Attributes:
        hidden: widths of the classifier's hidden layers; none makes it a logistic regression on (z, z²).
        n_fit: the number of training draws from q and from p each, and of prior draws for the effective sample size.
        epochs: passes over the training draws.
        batch_size: rows for each step.
        learning_rate: Adam's, falling to 0.
        weight_decay: decoupled.
        n_proposals: prior draws for each draw.
    """

    hidden: Sequence[int]
    n_fit: int
    epochs: int
    batch_size: int
    learning_rate: Annotated[float, Above(0)]
    weight_decay: Annotated[float, AtLeast(0)]
    n_proposals: int
    name: str = "reweighted_prior"
    role: ClassVar[Role] = "candidate"
    label_source: ClassVar[LabelSource] = ""
    needs: ClassVar[frozenset[str]] = frozenset({"encoder", "prior"})

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden={list(self.hidden)}: expected positive integers")
        for key, least in (("n_fit", 2), ("epochs", 1), ("batch_size", 1), ("n_proposals", 1)):
            if getattr(self, key) < least:
                raise ValueError(f"{key}={getattr(self, key)}: expected an integer of at least {least}")

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedReweighted:
        """Train the classifier, and measure the effective sample size of reweighted prior draws.

        Raises:
            SamplerNotApplicable: the effective sample size is below 1 % of the prior's draws.
        """
        prior = PriorSampler().fit(inputs, generator=generator)
        of_q = draw_rows(inputs.train, self.n_fit, generator=generator).float()
        of_p = prior.sample(self.n_fit, generator=generator).z
        with isolated(generator):
            network = RatioNetwork(inputs.train.dim, self.hidden)
        standardise(network, of_q)
        fit_network(
            network,
            ratio_loss,
            (torch.cat([of_q, of_p]), torch.cat([torch.ones(self.n_fit), torch.zeros(self.n_fit)])),
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            schedule="cosine",
            generator=generator,
        )
        # New draws are used, because on its training draws an overfitted ratio looks better than it is.
        with torch.no_grad():
            fresh_p = prior.sample(self.n_fit, generator=generator).z
            held_out = inputs.validation if len(inputs.validation) else inputs.train
            fresh_q = draw_rows(held_out, self.n_fit, generator=generator).float()
            share = effective_share(network(fresh_p), network(fresh_q))
        if share < MIN_EFFECTIVE_SHARE:
            raise SamplerNotApplicable(
                f"{self.name}: the effective sample size is {share:.2%} of {self.n_fit} prior draws, "
                f"expected at least {MIN_EFFECTIVE_SHARE:.0%}"
            )
        return FittedReweighted(self.name, prior, network, tuple(self.hidden), self.n_proposals, share)

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedReweighted:
        """Return the fitted sampler with this state."""
        return FittedReweighted.from_state(state, prior)

    def expected_moments(self, inputs: FitInputs) -> None:
        """Return None: the moments depend on an estimated ratio."""
        return None
