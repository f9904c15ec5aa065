"""What a sampler declares that it needs; `applicability` compares it with what a model offers."""

from typing import Protocol, runtime_checkable

from priorgap.samplers.protocols import Sampler


@runtime_checkable
class DeclaresNeeds(Protocol):
    """The optional capability of a sampler to declare its needs."""

    @property
    def needs(self) -> frozenset[str]:
        """A subset of encoder, log_var, labels, prior (any p(z)) and standard_prior (N(0, I))."""
        ...


# By default a sampler is assumed to fit something to posteriors.
_DEFAULT: frozenset[str] = frozenset({"encoder"})


def needs_of(sampler: Sampler) -> frozenset[str]:
    """Return a sampler's needs; by default an encoder."""
    return sampler.needs if isinstance(sampler, DeclaresNeeds) else _DEFAULT
