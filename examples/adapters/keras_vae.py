"""Keras, any backend: an encoder that gives z_mean and z_log_var (and z), and a decoder; images [h, w, c]."""

import keras
import torch

from priorgap import Comparison, compare


def audit(encoder: keras.Model, decoder: keras.Model, train, test, **options) -> Comparison:
    """Compare ways of sampling a Keras VAE."""

    def arrays(model, x: torch.Tensor):
        given = model.predict_on_batch(x.numpy())
        return (
            [torch.from_numpy(a) for a in given]
            if isinstance(given, list | tuple)
            else torch.from_numpy(given)
        )

    options = {"posterior": (0, 1), **options}
    return compare(lambda x: arrays(encoder, x), lambda z: arrays(decoder, z), train, test, **options)
