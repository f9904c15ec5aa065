"""What a sampler says that it cannot do without; `validity` compares it with what a model offers."""

from typing import Protocol, runtime_checkable

from priorgap.samplers.protocols import Sampler


@runtime_checkable
class DeclaresNeeds(Protocol):
    """The optional capability of a sampler to say what it cannot do without."""

    @property
    def needs(self) -> frozenset[str]:
        """Of encoder, log_var, labels, prior (any p(z)) and standard_prior (N(0, I))."""
        ...


# a sampler that says nothing fits something to posteriors
_DEFAULT: frozenset[str] = frozenset({"encoder"})


def needs_of(sampler: Sampler) -> frozenset[str]:
    """Return what a sampler cannot do without: an encoder where it says nothing."""
    return sampler.needs if isinstance(sampler, DeclaresNeeds) else _DEFAULT
