"""One suite over every prior of conf/prior, and wrong priors that it must reject."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from priorgap.core.build import build, configuration_directory, load_option
from priorgap.priors.base import PriorSpec
from priorgap.priors.flow import FlowPrior
from priorgap.priors.mixture import Mixture, MixturePrior
from priorgap.priors.standard_normal import StandardNormal
from priorgap.priors.vamp import Vamp, VampPrior
from priorgap.testing.prior_contract import LAWS, Make

FILES = sorted(p.stem for p in (configuration_directory() / "prior").glob("*.yaml"))
# small sizes, and what the files do not show
CHANGES: dict[str, list[dict[str, Any]]] = {
    "mixture": [{"n_components": 3}, {"n_components": 3, "covariance": "full"}],
    "vamp": [{"n_pseudo_inputs": 4}],
    "vamp_hardtanh": [{"n_pseudo_inputs": 4}],
    "flow": [{"n_transforms": 2, "hidden": [8]}, {"n_transforms": 2, "hidden": [8], "kind": "maf"}],
}
CASES = [(name, change) for name in FILES for change in CHANGES.get(name, [{}])]


def maker(name: str, change: dict[str, Any]) -> Make:
    def make(dim: int) -> PriorSpec:
        return build({**load_option("prior", name), **change, "dim": dim}, PriorSpec, where="prior")

    return make


@pytest.mark.parametrize("law", LAWS, ids=str)
@pytest.mark.parametrize(("name", "change"), CASES, ids=lambda v: str(v) if isinstance(v, str) else "")
def test_prior_keeps_the_contract(name, change, law):
    make = maker(name, change)
    if law == "minds_sizes_and_types":

        def checked(dim):  # build() puts the key in front
            try:
                return make(dim)
            except ValueError as error:
                raise ValueError(str(error).removeprefix("prior.")) from error

        LAWS[law](checked)
    else:
        LAWS[law](make)


class _FirstOnly(VampPrior):
    """Draws from the first pseudo-inputs alone, as a known library does."""

    def sample(self, n, *, generator):
        mean, log_var = (t[:2].detach() for t in self.components())
        noise = torch.randn(n, self.dim, generator=generator)
        return mean[torch.arange(n) % 2] + (0.5 * log_var).exp()[torch.arange(n) % 2] * noise


class _FirstScored(VampPrior):
    """Scores by the first pseudo-inputs alone."""

    def components(self):
        mean, log_var = super().components()
        return mean[:2], log_var[:2]


class _Unweighted(MixturePrior):
    """Leaves out the weights' normaliser."""

    def log_prob(self, z):
        return super().log_prob(z) + self.logits.logsumexp(0)


class _Registered(VampPrior):
    """Takes the encoder into its own state."""

    def __init__(self, dim, n, encoder, shape):
        super().__init__(dim, n, encoder, shape)
        self.own = encoder


class _GlobalNoise(StandardNormal):
    def sample(self, n, *, generator):
        return torch.randn(n, self.dim)


class _NoDeterminant(FlowPrior):
    def log_prob(self, z):
        noise = self.transform()(z.float())
        return (-0.5 * noise.square().sum(1) - 0.5 * self.dim * 1.8378771).to(z.dtype)


@dataclass(frozen=True)
class _Spec:
    dim: int
    cls: type

    def build(self, encoder: nn.Module, shape: tuple[int, ...]) -> Any:
        if issubclass(self.cls, VampPrior):
            return self.cls(self.dim, 4, encoder, shape)
        if issubclass(self.cls, FlowPrior):
            from priorgap.priors.flow import Flow

            return self.cls(self.dim, Flow(self.dim, "nsf", 2, (8,)).build(encoder, shape).transform)
        return self.cls(self.dim, 3, full=False) if issubclass(self.cls, MixturePrior) else self.cls(self.dim)


@pytest.mark.parametrize(
    ("cls", "law"),
    [
        (_FirstOnly, "sample_matches_log_prob"),
        (_FirstScored, "depends_on_every_parameter"),
        (_Unweighted, "integrates_to_one"),
        (_Registered, "survives_its_state"),
        (_GlobalNoise, "repeats_itself"),
        (_NoDeterminant, "integrates_to_one"),
    ],
)
def test_wrong_priors_are_rejected(cls, law):
    with pytest.raises(AssertionError):
        LAWS[law](lambda dim: _Spec(dim, cls))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mixture(2, 0, "diag"), "n_components=0: expected an integer of at least 1"),
        (lambda: Mixture(2, 3, "tied"), "covariance=tied: expected diag or full"),
        (lambda: Vamp(2, True), "n_pseudo_inputs=True: expected"),
        (lambda: maker("flow", {"kind": "glow"})(2), "prior.kind=glow: expected nsf or maf"),
        (lambda: maker("flow", {"n_transforms": 0})(2), "prior.n_transforms=0: expected"),
        (lambda: maker("flow", {"hidden": []})(2), "expected a list of positive integers"),
        (lambda: maker("flow", {"hidden": [0]})(2), "hidden=0: expected"),
    ],
)
def test_bad_sizes_are_refused(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert message in str(caught.value)
