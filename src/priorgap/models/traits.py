"""What a model offers, declared by the model and by the architecture that builds it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Told:
    """The words for the part of x that decoding is given.

    Attributes:
        one: for a single row: "a past".
        many: for several rows: "pasts".
        of: what they are parts of: "windows".
    """

    one: str
    many: str
    of: str


@dataclass(frozen=True)
class Traits:
    """What a model offers.

    Attributes:
        encoder: whether there is an encoder.
        log_var: whether the encoder gives a variance; log p(x|z) then bounds log p(x).
        prior: whether there is a distribution p(z).
        conditional: whether encoder and decoder take a label.
        told: the part of x that is given where the rest is decoded; None where all of it is decoded.
    """

    encoder: bool = True
    log_var: bool = True
    prior: bool = True
    conditional: bool = False
    told: Told | None = None
