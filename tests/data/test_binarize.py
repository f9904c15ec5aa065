"""Binarisation: the grey value is the probability, one draw for all, a new one each epoch where asked."""

import pytest
import torch

from priorgap.core.random import stream
from priorgap.data.binarize import GreySplit, bernoulli, binarized, check, training_images, with_grey
from priorgap.data.digits import Digits
from priorgap.data.splits import Dataset, Split


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Dataset:
    return Digits().load(root=tmp_path_factory.mktemp("none"), download=False)


def test_grey_is_the_probability_of_white():
    grey = torch.tensor([0, 1, 64, 128, 254, 255], dtype=torch.uint8).repeat(40_000, 1)
    drawn = bernoulli(grey, generator=stream(0))
    assert set(drawn.unique().tolist()) == {0, 255}
    share, p = (drawn == 255).double().mean(0), grey[0].double() / 255
    assert ((share - p).abs() <= 4 * (p * (1 - p) / 40_000).sqrt()).all()
    assert (drawn[:, 0] == 0).all() and (drawn[:, -1] == 255).all()
    rounded = (grey > 127).to(torch.uint8)  # negative control: a threshold is no draw
    assert ((rounded.double().mean(0) - p).abs() > 0.1).any()


@pytest.mark.parametrize("how", ["static", "dynamic"])
def test_every_split_is_one_draw_of_the_datas_seed(digits, how):
    a, b = (binarized(digits, how, seed=4) for _ in range(2))
    other = binarized(digits, how, seed=5)
    for part in ("train", "validation", "test"):
        x = getattr(a, part).x
        assert set(x.unique().tolist()) == {0, 255}
        assert torch.equal(x, getattr(b, part).x)
        assert not torch.equal(x, getattr(other, part).x)
        assert torch.equal(getattr(a, part).label, getattr(digits, part).label)
    assert a.provenance["binarize"] == how and "binarize" not in digits.provenance
    assert isinstance(a.train, GreySplit) == (how == "dynamic")
    assert not isinstance(a.validation, GreySplit) and not isinstance(a.test, GreySplit)


def test_only_dynamic_training_images_change_with_the_epoch(digits):
    static, dynamic = (binarized(digits, how, seed=0).train for how in ("static", "dynamic"))
    for split in (digits.train, static):
        assert training_images(split, seed=0, epoch=3) is split.x
    draws = [training_images(dynamic, seed=s, epoch=e) for s, e in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert torch.equal(draws[0], draws[3])
    assert not torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    mean = torch.stack([training_images(dynamic, seed=0, epoch=e).float() for e in range(60)]).mean(0)
    assert float((mean - digits.train.x.float()).abs().mean()) < 15
    # the fixed draw stays what everything after training sees
    assert torch.equal(dynamic.x, static.x)


def test_what_cannot_be_binarised_is_refused(digits):
    vectors = Split(torch.zeros(3, 2), kind="float_vector")
    with pytest.raises(ValueError, match=r"data.binarize=static: data=v holds no images; expected null"):
        binarized(Dataset("v", vectors, vectors, vectors), "static", seed=0)
    with pytest.raises(ValueError, match=r"data.binarize=often: expected null, static or dynamic"):
        check("often")
    check(None)
    with pytest.raises(ValueError, match="of the shape of x"):
        with_grey(digits.train, digits.test.x)
