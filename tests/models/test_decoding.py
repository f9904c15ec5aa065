"""Drawn x: the likelihood's law, and the same for a z in whatever batch or order."""

import math

import pytest
import torch

from priorgap.core.batched_calls import decode_all
from priorgap.core.random import stream
from priorgap.models.decoding import DrawnDecoder
from priorgap.models.likelihoods import Bernoulli, Gaussian
from priorgap.models.networks import MLP
from priorgap.models.vae import build_vae


@pytest.fixture
def decoder() -> DrawnDecoder:
    vae = build_vae(MLP(2, (8,)), Bernoulli(), None, (1, 4, 4), generator=stream(0))
    return DrawnDecoder(lambda z, label: vae.decode_raw(z), vae.likelihood, None, seed=1)


def test_a_z_gives_the_same_x_whatever_batch_and_order(decoder):
    z = torch.randn(50, 2, generator=stream(1))
    x = decode_all(decoder, z, batch=50)
    assert torch.equal(x, decode_all(decoder, z, batch=7))
    order = torch.randperm(50, generator=stream(2))
    assert torch.equal(x[order], decode_all(decoder, z[order], batch=50))
    other = DrawnDecoder(decoder.raw, decoder.likelihood, None, seed=2)
    assert not torch.equal(x, other(z))
    # negative control: with one stream for a batch, order matters
    with torch.no_grad():
        raw = decoder.raw(z, None)
    whole, shuffled = (decoder.likelihood.draw(r, generator=stream(1)) for r in (raw, raw[order]))
    assert not torch.equal(whole[order], shuffled)


def test_rows_are_independent_draws_of_the_likelihood(decoder):
    z = 0.001 * torch.randn(4000, 2, generator=stream(1))
    x = decoder(z).flatten(1).double()
    with torch.no_grad():
        p = decoder.likelihood.mean(decoder.raw(z, None)).flatten(1).double()
    assert ((x.mean(0) - p.mean(0)).abs() < 4.5 * (p.mean(0) * (1 - p.mean(0)) / 4000).sqrt()).all()
    centred = (x - p) / (p * (1 - p)).sqrt()
    assert abs(float((centred[1:] * centred[:-1]).mean())) < 4.5 / math.sqrt(4000 * 16)


def test_sigma_is_the_objectives_and_images_stay_in_range():
    vae = build_vae(MLP(2, (8,)), Gaussian(1.0), None, (1, 4, 4), generator=stream(0))
    z = torch.randn(800, 2, generator=stream(1))
    narrow = DrawnDecoder(lambda z, label: vae.decode_raw(z), vae.likelihood, 0.05, seed=1)(z)
    with torch.no_grad():
        noise = narrow - vae.decode(z)
    assert float(noise.std()) == pytest.approx(0.05, rel=0.03)
    wide = DrawnDecoder(lambda z, label: vae.decode_raw(z), vae.likelihood, None, seed=1)(z)
    assert float(wide.min()) == 0 and float(wide.max()) == 1
    vectors = build_vae(MLP(2, (8,)), Gaussian(1.0), None, (6,), generator=stream(0))
    assert (
        float(
            DrawnDecoder(lambda z, label: vectors.decode_raw(z), vectors.likelihood, None, seed=1)(z)
            .abs()
            .max()
        )
        > 1.5
    )


def test_a_conditional_decoder_is_given_the_labels():
    seen = []

    def raw(z, label):
        seen.append(label)
        return z[:, :, None, None] + label[:, None, None, None]

    label = torch.arange(6) % 2
    decode_all(DrawnDecoder(raw, Bernoulli(), None, seed=1), torch.randn(6, 3), batch=3, label=label)
    assert torch.equal(torch.cat(seen), label)
