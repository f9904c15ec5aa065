"""Any sampler, fitted separately to each class: class-conditional generation."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.core.latents import LatentDraw, Latents, Moments
from priorgap.core.random import child
from priorgap.core.sampler_facts import SamplerFacts, united
from priorgap.densities.protocols import check_n
from priorgap.priors.base import Prior
from priorgap.samplers.needs import needs_of
from priorgap.samplers.protocols import (
    FitInputs,
    FittedSampler,
    LabelSource,
    LatentDensity,
    Role,
    Sampler,
    SamplerNotApplicable,
    SamplerState,
    check_kind,
)


@dataclass(frozen=True, eq=False)
class FittedPerClass:
    """A class c ~ label_prior, then z from the sampler that was fitted to class c.

    Attributes:
        name: the sampler's name.
        classes: the classes, [k].
        probability: the probability of each, float64 [k].
        members: the fitted sampler of each class.
        rows: the training rows of each class, which map a member's source to a training row.
    """

    name: str
    classes: Int[Tensor, "k"]
    probability: Float[Tensor, "k"]
    members: tuple[FittedSampler, ...]
    rows: tuple[Int[Tensor, "m"], ...]
    kind: ClassVar[str] = "per_class"

    @property
    def facts(self) -> SamplerFacts:
        """The members' facts: it reconstructs if the sampler of any class does."""
        found = united(member.facts for member in self.members)
        return replace(found, cost=f"For each class by itself: {found.cost[:1].lower()}{found.cost[1:]}")

    def sample(self, n: int, *, generator: torch.Generator) -> LatentDraw:
        """Draw n rows; every class's sampler gets the same noise, and a row takes the draw of its own class."""
        check_n(n)
        start = generator.get_state()
        draws = []
        for member in self.members:
            generator.set_state(start)
            draws.append(member.sample(n, generator=generator))
        # A child generator is used, because the members may have consumed different amounts of this one.
        uniform = torch.rand(n, generator=child(generator), dtype=torch.float64)
        chosen = torch.searchsorted(self.probability.cumsum(0), uniform).clamp_max(len(self.classes) - 1)
        picked = torch.arange(n)
        z = torch.stack([d.z for d in draws])[chosen, picked]
        source = None
        if all(d.source is not None for d in draws):
            sources = [
                rows[d.source] for rows, d in zip(self.rows, draws, strict=True) if d.source is not None
            ]
            source = torch.stack(sources)[chosen, picked]
        contexts = [d.context for d in draws if d.context is not None]
        context = torch.stack(contexts)[chosen, picked] if len(contexts) == len(draws) else None
        return LatentDraw(z, source, self.classes[chosen], context)

    def state(self) -> SamplerState:
        """Return the members' states under the prefixes 0/, 1/, ..."""
        tensors = {"classes": self.classes, "probability": self.probability}
        members: list[dict[str, Any]] = []
        for i, (member, rows) in enumerate(zip(self.members, self.rows, strict=True)):
            inner = member.state()
            tensors[f"{i}/rows"] = rows
            tensors |= {f"{i}/state/{key}": value for key, value in inner.tensors.items()}
            members.append({"name": inner.name, "json": inner.json})
        return SamplerState(self.name, tensors, {"kind": self.kind, "members": members})


class FittedPerClassDensity(FittedPerClass):
    """The same, where every member has a density."""

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return log sum_c P(c) f_c(z), nats, float64."""
        terms = [
            p.log() + member.log_prob(z)
            for p, member in zip(self.probability, self.members, strict=True)
            if isinstance(member, LatentDensity)
        ]
        return torch.logsumexp(torch.stack(terms), 0)


def assemble(
    name: str,
    classes: Int[Tensor, "k"],
    probability: Float[Tensor, "k"],
    members: tuple[FittedSampler, ...],
    rows: tuple[Int[Tensor, "m"], ...],
) -> FittedPerClass:
    """Return the per-class sampler, with a density if all members have one."""
    dense = all(isinstance(member, LatentDensity) for member in members)
    return (FittedPerClassDensity if dense else FittedPerClass)(name, classes, probability, members, rows)


@dataclass(frozen=True)
class PerClass:
    """The base sampler, fitted separately to each class; draws carry the class as their label.

    Attributes:
        base: the sampler that is fitted to each class.
    """

    base: Sampler
    label_source: ClassVar[LabelSource] = "condition"

    @property
    def name(self) -> str:
        """per_class_ followed by the base's name."""
        return f"per_class_{self.base.name}"

    @property
    def role(self) -> Role:
        """The base's role."""
        return self.base.role

    @property
    def needs(self) -> frozenset[str]:
        """The base's needs, and labels."""
        return needs_of(self.base) | {"labels"}

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedPerClass:
        """Fit the base to every class that has a positive probability.

        Raises:
            SamplerNotApplicable: the data have no labels, or a class has too few training or validation images for
                the base sampler.
        """
        classes, probability = self._classes(inputs)
        members, rows = [], []
        for label in classes.tolist():
            row, part = self._part(inputs, label)
            try:
                members.append(self.base.fit(part, generator=generator))
            except ValueError as error:
                # One class that is too small for the base must not stop the other samplers.
                few = "" if isinstance(error, SamplerNotApplicable) else f" ({len(row)} training images)"
                raise SamplerNotApplicable(f"{self.name}: class {label}: {error}{few}") from error
            rows.append(row)
        return assemble(self.name, classes, probability, tuple(members), tuple(rows))

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedPerClass:
        """Return the fitted sampler with this state; the base restores the sampler of each class."""
        check_kind(state, FittedPerClass.kind)
        members = []
        for i, member in enumerate(state.json["members"]):
            prefix = f"{i}/state/"
            tensors = {k.removeprefix(prefix): v for k, v in state.tensors.items() if k.startswith(prefix)}
            members.append(self.base.restore(SamplerState(member["name"], tensors, member["json"]), prior))
        rows = tuple(state.tensors[f"{i}/rows"] for i in range(len(members)))
        classes, probability = state.tensors["classes"], state.tensors["probability"]
        return assemble(state.name, classes, probability, tuple(members), rows)

    def expected_moments(self, inputs: FitInputs) -> Moments | None:
        """Return the moments of the mixture over classes; None where the base has none."""
        classes, probability = self._classes(inputs)
        parts = [self.base.expected_moments(self._part(inputs, label)[1]) for label in classes.tolist()]
        moments = [m for m in parts if m is not None]
        if len(moments) < len(parts):
            return None
        means = torch.stack([m.mean for m in moments])
        centred = means - probability @ means
        within = torch.einsum("k,kij->ij", probability, torch.stack([m.cov for m in moments]))
        between = torch.einsum("k,ki,kj->ij", probability, centred, centred)
        return Moments(probability @ means, within + between)

    def _classes(self, inputs: FitInputs) -> tuple[Int[Tensor, "k"], Float[Tensor, "k"]]:
        """Return the classes of positive probability and their probabilities."""
        label = self._labels(inputs.train)
        if inputs.label_prior is None:
            classes, count = label.unique(return_counts=True)
            probability = count.double()
        else:
            classes = inputs.label_prior.nonzero(as_tuple=True)[0]
            probability = inputs.label_prior[classes].double()
            if not bool((inputs.label_prior >= 0).all()) or len(classes) == 0:
                raise ValueError("label_prior: expected probabilities, at least one of them above 0")
        return classes, probability / probability.sum()

    def _part(self, inputs: FitInputs, label: int) -> tuple[Int[Tensor, "m"], FitInputs]:
        """Return the training rows of a class, and the inputs restricted to it."""
        row = (self._labels(inputs.train) == label).nonzero(as_tuple=True)[0]
        if len(row) < 2:
            raise SamplerNotApplicable(
                f"{self.name}: class {label} has {len(row)} training images, expected at least 2"
            )
        validation = inputs.validation
        if validation.label is not None:
            validation = validation.take((validation.label == label).nonzero(as_tuple=True)[0])
        else:
            validation = validation.take(torch.arange(0))
        return row, FitInputs(inputs.train.take(row), validation, inputs.prior)

    def _labels(self, latents: Latents) -> Int[Tensor, "n"]:
        if latents.label is None:
            raise SamplerNotApplicable(f"{self.name}: the data have no labels")
        return latents.label
