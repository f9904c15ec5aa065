"""Draws from one image's posterior for each class, which is what some mean by "sample the posterior"."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Int
from torch import Tensor

from priorgap.core.latents import Latents, Moments
from priorgap.priors.base import Prior
from priorgap.samplers.posterior import FittedRows, restore_rows, training_posteriors
from priorgap.samplers.protocols import (
    FitInputs,
    LabelSource,
    Role,
    SamplerState,
    require_log_var,
    total_moments,
)


@dataclass(frozen=True)
class SinglePosterior:
    """z = mu_i + s_i eps for the first training image of each class only; without labels, the first image of all.

    Every draw of a class is a noisy reconstruction of the same image.
    """

    name: ClassVar[str] = "single_posterior"
    role: ClassVar[Role] = "specimen"
    label_source: ClassVar[LabelSource] = "source"
    needs: ClassVar[frozenset[str]] = frozenset({"encoder", "log_var"})

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedRows:
        """Return the table of the chosen posteriors.

        Raises:
            SamplerNotApplicable: the encoder gives no log_var.
        """
        chosen = _one_a_class(inputs.train)
        require_log_var(chosen, self.name)
        # The rows of this table are not those of the training set, so a row number is not a draw's source.
        facts = training_posteriors("one a class")
        return FittedRows(
            self.name, chosen.mean, chosen.std, chosen.label, False, facts, context=chosen.context
        )

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedRows:
        """Return the fitted sampler with this state."""
        return restore_rows(state)

    def expected_moments(self, inputs: FitInputs) -> Moments:
        """Return the moments of the mixture of the chosen posteriors with equal weights."""
        chosen = _one_a_class(inputs.train)
        return total_moments(chosen.mean, require_log_var(chosen, self.name).double().exp())


def _one_a_class(train: Latents) -> Latents:
    return train.take(_first_rows(train.label))


def _first_rows(label: Int[Tensor, "n"] | None) -> Int[Tensor, "k"]:
    if label is None:
        return torch.tensor([0])
    return torch.stack([(label == k).nonzero()[0, 0] for k in label.unique()])
