"""Conditional VAEs and the two controls: z and label reach the output, and what does not fit is refused."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from priorgap.core.latents import Latents
from priorgap.core.random import stream
from priorgap.models.calibrate import calibrate, calibration_refusal
from priorgap.models.conditional import Classes, ConditionalVAE
from priorgap.models.controls import GAN, Adversary, Autoencoder
from priorgap.models.families import (
    AutoencoderConv,
    AutoencoderMLP,
    ConditionalConv,
    ConditionalMLP,
    GanConv,
    GanMLP,
    Traits,
    build_model,
    traits_of,
)
from priorgap.models.likelihoods import Gaussian
from priorgap.models.networks import MLP
from priorgap.models.vae import build_vae
from priorgap.priors.base import Prior
from priorgap.priors.standard_normal import StandardNormal

IMAGE = (1, 8, 8)
ADVERSARY = Adversary(1.0, (0.5, 0.99))
CLASSES = Classes((10, 0, 5))
CONDITIONAL = [
    pytest.param(ConditionalMLP(3, (16,)), id="mlp"),
    pytest.param(ConditionalConv(3, (4, 4), 16), id="conv"),
]
ENCODERLESS = [
    pytest.param(GanMLP(3, (16,), adversary=ADVERSARY), id="mlp"),
    pytest.param(GanConv(3, (4, 4), 16, adversary=ADVERSARY), id="conv"),
]
AUTOENCODERS = [
    pytest.param(AutoencoderMLP(3, (16,)), id="mlp"),
    pytest.param(AutoencoderConv(3, (4, 4), 16), id="conv"),
]


def build(architecture, classes=CLASSES, prior=None, seed: int = 0):
    return build_model(architecture, Gaussian(), prior, IMAGE, classes=classes, generator=stream(seed))


def rows(n: int, generator) -> tuple[Tensor, Tensor, Tensor]:
    label = torch.tensor([0, 2]).repeat(n)[:n]
    return torch.rand(n, *IMAGE, generator=generator), torch.randn(n, 3, generator=generator), label


@pytest.mark.parametrize("architecture", CONDITIONAL)
def test_z_and_the_label_reach_encoder_and_decoder(architecture, generator):
    vae = build(architecture)
    assert isinstance(vae, ConditionalVAE)
    x, noise, label = rows(6, generator)
    leaf = noise.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(vae.terms(x, leaf, label).reconstruction.sum(), leaf)
    assert float(gradient.abs().max()) > 0
    with torch.no_grad():
        mean, log_var = vae.encode(x, label)
        assert mean.shape == log_var.shape == (6, 3)
        images = vae.decode(mean, label)
        assert not torch.equal(images, vae.decode(mean.roll(1, 0), label))
        other = label.roll(1)
        assert float((vae.encode(x, other)[0] - mean).abs().max()) > 1e-4
        assert float((vae.decode(mean, other) - images).abs().max()) > 1e-4
        # one row's label is its own affair
        assert torch.allclose(vae.decode(mean[:3], label[:3]), images[:3], atol=1e-6)


def test_the_label_is_the_one_hot_concatenated_to_the_first_layers_input(generator):
    vae = build(ConditionalMLP(3, (16,)))
    z, label = torch.randn(4, 3, generator=generator), torch.tensor([0, 2, 2, 0])
    first = vae.decoder[0]
    both = nn.Linear(6, 16)
    with torch.no_grad():
        both.weight.copy_(torch.cat([first.weight, vae.decoder_class.weight], 1))
        both.bias.copy_(first.bias)
        hidden = both(torch.cat([z, functional.one_hot(label, 3).float()], 1))
        assert torch.allclose(vae.decoder[1:](hidden), vae.decode_raw(z, label), atol=1e-6)


@pytest.mark.parametrize("architecture", CONDITIONAL)
def test_calibration_leaves_every_classes_images(architecture, generator):
    vae = build(architecture).double()
    with torch.no_grad():
        vae.encoder[-1].weight.mul_(4)
        vae.encoder[-1].bias.add_(torch.linspace(-2, 2, 6))
    x, noise, label = rows(200, generator)
    x, noise = x.double(), noise.double()
    with torch.no_grad():
        old = Latents(*vae.encode(x, label))
        result = calibrate(vae, old)
        assert isinstance(result, ConditionalVAE)
        new = Latents(*result.encode(x, label))
        before = vae.decode(old.mean + old.std * noise, label)
        after = result.decode(new.mean + new.std * noise, label)
    assert float((before - after).abs().max()) < 1e-6
    assert float(new.mean.mean(0).abs().max()) < 1e-12
    variance = new.mean.var(0, correction=0) + new.log_var.exp().mean(0)
    assert torch.allclose(variance, torch.ones_like(variance))
    # the negative control: a fold that scales the label's columns too
    wrong = copy.deepcopy(result)
    with torch.no_grad():
        wrong.decoder_class.weight.mul_(1.5)
        assert float((wrong.decode(new.mean + new.std * noise, label) - before).abs().max()) > 1e-4


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (None, "expected a label for each row"),
        (torch.tensor([0, 1]), "label=1: a class that was never seen in training; expected 0, 2"),
        (torch.tensor([0, 3]), "label=3: expected a class from 0 to 2"),
        (torch.tensor([-1, 0]), "label=-1: expected a class from 0 to 2"),
    ],
)
def test_labels_that_cannot_be_given_are_refused_in_one_line(label, words):
    vae = build(ConditionalMLP(3, (16,)))
    for call in (
        lambda: vae.encode(torch.zeros(2, *IMAGE), label),
        lambda: vae.decode(torch.zeros(2, 3), label),
    ):
        with pytest.raises(ValueError) as caught:
            call()
        assert words in str(caught.value) and "\n" not in str(caught.value)


def test_data_without_labels_are_refused():
    with pytest.raises(ValueError, match="no labels"):
        build(ConditionalMLP(3), classes=None)
    assert Classes.of(None, 3) is None
    found = Classes.of(torch.tensor([0, 2, 2]), 4)
    assert found == Classes((1, 0, 2, 0))
    assert torch.allclose(found.frequencies, torch.tensor([1, 0, 2, 0]).double() / 3)


def test_a_conditional_models_networks_start_as_a_plain_ones():
    plain = build_vae(MLP(3, (16,)), Gaussian(), None, IMAGE, generator=stream(0)).state_dict()
    state = build(ConditionalMLP(3, (16,))).state_dict()
    assert all(torch.equal(state[k], v) for k, v in plain.items())
    assert set(state) - set(plain) == {"encoder_class.weight", "decoder_class.weight"}


@pytest.mark.parametrize("architecture", AUTOENCODERS)
def test_an_autoencoder_decodes_its_code_and_uses_no_noise(architecture, generator):
    model = build(architecture)
    assert isinstance(model, Autoencoder) and model.prior is None and model.latent_dim == 3
    x, noise, _ = rows(5, generator)
    code, log_var = model.encode(x)
    assert code.shape == (5, 3) and log_var is None
    (gradient,) = torch.autograd.grad(model.decode(leaf := code.detach().requires_grad_()).sum(), leaf)
    assert float(gradient.abs().max()) > 0
    assert not torch.equal(model.decode(code), model.decode(code.roll(1, 0)))
    terms, other = model.terms(x, noise), model.terms(x, 2 * noise)
    assert torch.equal(terms.reconstruction, other.reconstruction)
    assert float(terms.rate.abs().sum()) == 0
    assert torch.allclose(terms.reconstruction, 0.5 * (model.decode(code) - x).square().flatten(1).sum(1))


@pytest.mark.parametrize("architecture", ENCODERLESS)
def test_a_gan_has_the_vaes_decoder_and_one_logit(architecture, generator):
    gan = build(architecture)
    assert isinstance(gan, GAN) and not hasattr(gan, "encode")
    x, noise, _ = rows(5, generator)
    leaf = noise.requires_grad_()
    images = gan.decode(leaf)
    assert images.shape == x.shape and bool(((images >= 0) & (images <= 1)).all())
    (gradient,) = torch.autograd.grad(gan.generator_loss(images), leaf)
    assert float(gradient.abs().max()) > 0
    assert not torch.equal(images, gan.decode(noise.roll(1, 0)))
    assert gan.discriminator(x).shape == (5, 1)
    plain = MLP(3, (16,)) if isinstance(architecture, GanMLP) else None
    if plain is not None:
        assert str(gan.decoder) == str(plain.build(IMAGE)[1])


def test_the_discriminators_loss_and_penalty_are_what_they_say(generator):
    gan = build(GanMLP(3, (16,), adversary=ADVERSARY)).double()
    x, noise, _ = rows(4, generator)
    x, fake = x.double(), gan.decode(noise.double()).detach()
    loss, penalty = gan.discriminator_terms(x, fake)
    real, made = gan.discriminator(x).sigmoid(), gan.discriminator(fake).sigmoid()
    assert float(loss) == pytest.approx(float(-real.log().mean() - (1 - made).log().mean()))
    assert float(gan.generator_loss(fake)) == pytest.approx(float(-made.log().mean()))
    step, slopes = 1e-6, torch.zeros(4, 64, dtype=torch.float64)
    for pixel in range(64):
        moved = x.clone().flatten(1)
        moved[:, pixel] += step
        with torch.no_grad():
            change = gan.discriminator(moved.reshape(x.shape)) - gan.discriminator(x)
        slopes[:, pixel] = change[:, 0] / step
    assert float(penalty) == pytest.approx(float(slopes.square().sum(1).mean()), rel=1e-4)
    assert penalty.requires_grad


class _Learned(Prior):
    def log_prob(self, z):
        return StandardNormal(self.dim).log_prob(z)

    def sample(self, n, *, generator):
        return torch.randn(n, self.dim, generator=generator)


def test_what_does_not_fit_is_refused_in_one_line():
    for architecture, words in (
        (AutoencoderMLP(3), "autoencoder"),
        (GanMLP(3, adversary=ADVERSARY), "GAN"),
    ):
        with pytest.raises(ValueError, match=f"prior=_Learned: .*{words}"):
            build(architecture, prior=_Learned(3))
        assert "no VAE" in (calibration_refusal(build(architecture)) or "")
    for r1, betas, words in (
        (-1.0, (0.5, 0.9), "r1=-1"),
        (1.0, (0.5, 1.0), "betas="),
        (1.0, (0.5,), "betas="),
    ):
        with pytest.raises(ValueError, match=words):
            Adversary(r1, betas)


def test_traits_say_what_a_model_offers():
    assert traits_of(MLP(2)) == Traits(True, True, True, False)
    assert traits_of(ConditionalMLP(2)) == Traits(True, True, True, True)
    assert traits_of(AutoencoderConv(2)) == Traits(True, False, False, False)
    assert traits_of(GanConv(2, adversary=ADVERSARY)) == Traits(False, False, True, False)
