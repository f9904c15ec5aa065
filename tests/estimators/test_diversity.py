"""Vendi score and sharpness against direct eigenvalues, loops and closed forms."""

import math

import pytest
import torch
from refusals import refused

from priorgap.estimators.diversity import sharpness, vendi_score


def direct_vendi(x):
    unit = x.double() / x.double().norm(dim=1, keepdim=True)
    values = torch.linalg.eigvals((unit @ unit.T) / len(x)).real
    values = values[values > 1e-14]
    return math.exp(-float((values * values.log()).sum()))


@pytest.mark.parametrize("shape", [(7, 20), (20, 7), (5, 5)])
def test_vendi_equals_the_eigenvalues_of_the_kernel(shape, generator):
    x = torch.randn(*shape, generator=generator) + 0.5
    assert vendi_score(x) == pytest.approx(direct_vendi(x), rel=1e-9)


def test_vendi_closed_forms(generator):
    row = torch.randn(1, 9, generator=generator)
    assert vendi_score(row.expand(50, 9) * torch.rand(50, 1, generator=generator)) == pytest.approx(1)
    assert vendi_score(torch.eye(6).repeat(10, 1)) == pytest.approx(6)
    # shares of 1/4 and 3/4: exp of the binary entropy
    two = torch.eye(2)[torch.arange(40) % 4 // 3]
    assert vendi_score(two) == pytest.approx(math.exp(-0.25 * math.log(0.25) - 0.75 * math.log(0.75)))
    # a row of zeros is one more kind
    assert vendi_score(torch.cat([torch.zeros(1, 3), torch.eye(3)])) == pytest.approx(4)


def test_vendi_good_bad_and_degenerate(generator):
    centres = torch.randn(10, 32, generator=generator) * 5
    every = centres[torch.randint(10, (400,), generator=generator)]
    noise = 0.1 * torch.randn(400, 32, generator=generator)
    good, collapsed = vendi_score(every + noise), vendi_score(every[:1] + noise)
    half = vendi_score(centres[torch.randint(5, (400,), generator=generator)] + noise)
    assert good > 1.5 * half > 1.5 * collapsed
    # negative control: noise is "more varied" than any data, so the score is no quality
    assert vendi_score(torch.randn(400, 32, generator=generator)) > good
    # negative control: eigenvalues of the kernel not divided by n do not sum to 1
    unit = every / every.norm(dim=1, keepdim=True)
    assert abs(float(torch.linalg.eigvalsh((unit @ unit.T).double()).sum()) - 1) > 100


def test_sharpness_equals_a_convolution(generator):
    x = torch.rand(6, 3, 9, 8, generator=generator)
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=torch.float64).view(1, 1, 3, 3)
    response = torch.nn.functional.conv2d(x.double().mean(1, keepdim=True), kernel)
    expected = response.flatten(1).var(1, unbiased=False)
    found = sharpness(x)
    assert found.value == pytest.approx(float(expected.mean()), rel=1e-12)
    assert found.std_error == pytest.approx(float(expected.std()) / math.sqrt(6), rel=1e-12)


def test_sharpness_sees_blur_and_is_fooled_by_noise(generator):
    x = torch.rand(50, 1, 12, 12, generator=generator).round()
    blurred = torch.nn.functional.avg_pool2d(x, 3, stride=1, padding=1)
    assert sharpness(blurred).value < 0.3 * sharpness(x).value
    assert sharpness(torch.full((4, 1, 5, 5), 0.7)).value == pytest.approx(0, abs=1e-20)
    noisy = blurred + 0.5 * torch.randn(x.shape, generator=generator)
    assert sharpness(noisy).value > sharpness(x).value
    # a linear ramp has no second derivative; its variance of intensity (negative control) is large
    ramp = torch.linspace(0, 1, 12).expand(2, 1, 12, 12)
    assert sharpness(ramp).value < 1e-12 < ramp.var()


def test_bad_input():
    with pytest.raises(ValueError, match=r"\(2, 4\)"):
        sharpness(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="sides of at least 3"):
        sharpness(torch.zeros(2, 1, 2, 5))
    with pytest.raises(ValueError, match="features has shape"):
        vendi_score(torch.zeros(3))


def test_vendi_ignores_length_and_counts_rows_of_zeros(generator):
    x = torch.randn(6, 4, generator=generator)
    for scale in (1e-3, 1e3):
        assert vendi_score(scale * x.double()) == pytest.approx(vendi_score(x.double()), rel=1e-12)
    assert vendi_score(torch.cat([torch.zeros(3, 2), torch.eye(2)])) == pytest.approx(5)
    assert vendi_score(torch.zeros(4, 2)) == pytest.approx(4)
    assert vendi_score(torch.cat([torch.zeros(1, 2), torch.eye(2)[:1].expand(3, 2)])) == pytest.approx(
        math.exp(0.25 * math.log(4) + 0.75 * math.log(4 / 3))
    )


def test_the_smallest_images_and_whole_messages():
    assert sharpness(torch.rand(1, 2, 3, 4)).std_error is None
    assert sharpness(torch.rand(2, 1, 3, 3)).value == pytest.approx(0, abs=1e-30)
    for shape in ((2, 4), (2, 1, 2, 5), (2, 1, 5, 2), (0, 1, 5, 5), (1, 2, 1, 5, 5)):
        line = f"x has shape {shape}: expected images [n, c, h, w] with sides of at least 3"
        refused(lambda s=shape: sharpness(torch.zeros(s)), line)
    refused(lambda: vendi_score(torch.zeros(3)), "features has shape (3,): expected [n, D] with D >= 1")
