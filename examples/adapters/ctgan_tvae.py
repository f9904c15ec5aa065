"""ctgan: TVAE, in the space of its own transformer (a continuous column is a mode and a place in it).

ctgan_tvae_tables.py compares data frames instead.

TVAE discards its encoder when `fit` ends, so call `keep_encoders` before `fit`.
"""

from itertools import chain

import torch
from ctgan.synthesizers import tvae

from priorgap import Comparison, compare


def keep_encoders(kept: list) -> None:
    """Keep each encoder that TVAE makes from now on in a list."""
    build = tvae.Encoder.__init__
    tvae.Encoder.__init__ = lambda self, *sizes: (build(self, *sizes), kept.append(self))[0]


def audit(model: tvae.TVAE, encoder: torch.nn.Module, train, test, **options) -> Comparison:
    """Compare ways of sampling a fitted TVAE; `train` and `test` are data frames or arrays, as `fit` takes them."""
    spans = list(chain(*model.transformer.output_info_list))

    def decode(z):
        parts = zip(spans, model.decoder.eval()(z)[0].split([span.dim for span in spans], 1), strict=True)
        return torch.cat([p.tanh() if s.activation_fn == "tanh" else p.softmax(1) for s, p in parts], 1)

    rows = [model.transformer.transform(part).astype("float32") for part in (train, test)]
    return compare(encoder.eval(), decode, *rows, posterior=(0, 2), **options)
