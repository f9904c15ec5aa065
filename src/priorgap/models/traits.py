"""What a model offers: said by the model and by the architecture that makes it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Traits:
    """What a model offers.

    Attributes:
        encoder: whether there is one.
        log_var: whether it gives a variance; log p(x|z) then bounds log p(x).
        prior: whether there is a distribution p(z).
        conditional: whether encoder and decoder take a label.
        past: whether a window's past is given and its future decoded.
    """

    encoder: bool = True
    log_var: bool = True
    prior: bool = True
    conditional: bool = False
    past: bool = False
