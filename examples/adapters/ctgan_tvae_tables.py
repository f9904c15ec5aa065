"""ctgan: TVAE of data frames. The mean takes the most likely category and number, a draw draws both.

`TVAE.sample` takes the most likely category and draws numbers. TVAE discards its encoder when `fit` ends, so call
`keep_encoders` before `fit`. Its transformer draws the mode that codes a number; this adapter takes the likeliest.
"""

from functools import partial
from itertools import chain
from unittest.mock import patch

import torch
from ctgan.synthesizers import tvae
from torch.distributions import Gumbel

from priorgap import Comparison, Frames, compare


def keep_encoders(kept: list) -> None:
    """Keep each encoder that TVAE makes from now on in a list."""
    build = tvae.Encoder.__init__
    tvae.Encoder.__init__ = lambda self, *sizes: (build(self, *sizes), kept.append(self))[0]


def audit(model: tvae.TVAE, encoder: torch.nn.Module, train, test, *, target=None, **options) -> Comparison:
    """Compare ways of sampling a fitted TVAE; `train` and `test` are data frames."""
    rows, of, net = Frames.of(train, test, target=target), model.transformer, model.decoder.eval()
    spans = list(chain(*of.output_info_list))

    def decode(z, noise=torch.zeros_like, sigmas=None):
        parts = zip(spans, net(z)[0].split([span.dim for span in spans], 1), strict=True)
        blocks = [p.tanh() if s.activation_fn == "tanh" else p + noise(p) for s, p in parts]
        return of.inverse_transform(torch.cat(blocks, 1).numpy(), sigmas)

    def encode(frame):
        with patch("numpy.random.choice", lambda modes, p: modes[p.argmax()]):
            return encoder.eval()(torch.tensor(of.transform(frame), dtype=torch.float32))

    draw = partial(decode, noise=lambda p: Gumbel(0, 1).sample(p.shape), sigmas=net.sigma.detach().numpy())
    options = {"draw": rows.decoding(draw), "posterior": (0, 2), "known": rows.known, **options}
    return compare(rows.encoding(encode), rows.decoding(decode), rows.train, rows.test, **options)
