"""What a model offers: said by the model and by the architecture that makes it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Told:
    """What the part of x that decoding is told is called.

    Attributes:
        one: of a single row: "a past".
        many: of several: "pasts".
        of: whose they are: "windows".
    """

    one: str
    many: str
    of: str


@dataclass(frozen=True)
class Traits:
    """What a model offers.

    Attributes:
        encoder: whether there is one.
        log_var: whether it gives a variance; log p(x|z) then bounds log p(x).
        prior: whether there is a distribution p(z).
        conditional: whether encoder and decoder take a label.
        told: the part of x that is given where the rest is decoded; None where all of it is decoded.
    """

    encoder: bool = True
    log_var: bool = True
    prior: bool = True
    conditional: bool = False
    told: Told | None = None
