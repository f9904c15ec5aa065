"""Fixed, padded batches: no number depends on how many rows there are."""

import pytest
import torch
from torch import nn

from priorgap.core.batched_calls import decode_all, encode_all


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 8)).requires_grad_(False)


def test_decoding_does_not_depend_on_n(net, generator):
    z = torch.randn(130, 6, generator=generator)
    whole = decode_all(net, z, batch=32)
    assert torch.equal(whole[:7], decode_all(net, z[:7], batch=32))
    assert torch.equal(whole[:1], decode_all(net, z[:1], batch=32))
    assert whole.shape == (130, 8)


def test_encoding_keeps_rows_and_labels(net, generator):
    x = torch.randn(50, 6, generator=generator)
    label = torch.arange(50)
    latents = encode_all(lambda b: net(b).chunk(2, 1), lambda rows: x[rows], 50, batch=16, label=label)
    assert latents.mean.shape == (50, 4) and torch.equal(latents.label, label)
    torch.testing.assert_close(latents.mean, net(x)[:, :4])


def test_label_goes_to_those_who_take_it():
    seen = []

    def decode(z, label=None):
        seen.append(None if label is None else label.clone())
        return z

    decode_all(decode, torch.zeros(3, 2), batch=2, label=torch.tensor([4, 5, 6]))
    assert [s.tolist() for s in seen] == [[4, 5], [6, 6]]


@pytest.mark.parametrize(
    ("encode", "words"),
    [
        (lambda x: x, "encode: gave Tensor"),
        (lambda x: (x[:, :2], x), "log_var that does not match"),
        (lambda x: (x[:1], None), "expected .4, d."),
        (lambda x: (x * float("nan"), None), "NaN or infinity"),
    ],
)
def test_bad_encoders_are_named(encode, words):
    with pytest.raises(ValueError, match=words):
        encode_all(encode, lambda rows: torch.ones(8, 3)[rows], 8, batch=4)


@pytest.mark.parametrize(
    ("decode", "words"), [(lambda z: z[:1], "decode: gave .1, 3."), (lambda z: z / 0, "NaN or infinity")]
)
def test_bad_decoders_are_named(decode, words):
    with pytest.raises(ValueError, match=words):
        decode_all(decode, torch.ones(8, 3), batch=4)
