"""Models of series: what they learn, what reaches beyond a row or a window, what they refuse."""

import copy

import pytest
import torch
from torch import Tensor, nn

from priorgap.core.bf16 import bf16
from priorgap.core.random import stream
from priorgap.data import Sines
from priorgap.models.likelihoods import Gaussian
from priorgap.models.losses import objective
from priorgap.models.series import GRU, TCN
from priorgap.models.vae import VAE, build_vae

SERIES = (24, 3)
MODELS = [
    pytest.param(TCN(4, 16, 3), id="tcn"),
    pytest.param(GRU(4, 24), id="gru"),
]


def model(architecture: TCN | GRU, shape: tuple[int, ...] = SERIES) -> VAE:
    return build_vae(architecture, Gaussian(), None, shape, generator=stream(0, "init"))


def trained(vae: VAE, x: Tensor, target: Tensor, n_epochs: int) -> VAE:
    """A few epochs of Adam on reconstructions of `target` from posteriors of `x`."""
    optimiser = torch.optim.Adam(vae.parameters(), 5e-3)
    generator = stream(1, "training")
    for _ in range(n_epochs):
        for rows in torch.randperm(len(x), generator=generator).split(50):
            mean, log_var = vae.encode(x[rows])
            z = mean + (0.5 * log_var).exp() * torch.randn(mean.shape, generator=generator)
            loss = vae.likelihood.reconstruction_loss(vae.decode_raw(z), target[rows])
            rate = vae.prior.kl(mean, log_var)
            assert rate is not None
            optimiser.zero_grad()
            (20 * loss + rate.sum(1)).mean().backward()
            optimiser.step()
    return vae


@torch.no_grad()
def error_ratio(vae: VAE, x: Tensor, centre: Tensor) -> float:
    """Squared error of reconstructions over that of the mean series."""
    return float((vae.decode(vae.encode(x)[0]) - x).square().sum() / (centre - x).square().sum())


@pytest.mark.parametrize("architecture", MODELS)
def test_sines_are_reconstructed_from_their_own_z(architecture):
    source = Sines(frequencies=(2, 2, 2))
    x = source.draw(500, generator=stream(0, "train")).float()
    held_out = source.draw(200, generator=stream(0, "test")).float()
    learned = trained(model(architecture), x, x, 10)
    assert error_ratio(learned, held_out, x.mean(0)) < 0.7
    # negative control: targets of other rows leave nothing to learn from x
    shuffled = x[torch.randperm(len(x), generator=stream(0, "shuffle"))]
    assert error_ratio(trained(model(architecture), x, shuffled, 10), held_out, x.mean(0)) > 0.9


@pytest.mark.parametrize("architecture", MODELS)
def test_training_gives_the_same_bits_again(architecture):
    x = Sines().draw(100, generator=stream(0)).float()
    first, again = (trained(model(architecture), x, x, 1).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], w) for name, w in model(architecture).state_dict().items())


@pytest.mark.parametrize("architecture", MODELS)
def test_rows_do_not_depend_on_the_batch(architecture, generator):
    vae = model(architecture).double()
    x = torch.randn(7, *SERIES, generator=generator, dtype=torch.float64)
    other = torch.cat([x[:3], torch.randn(2, *SERIES, generator=generator, dtype=torch.float64)])
    with torch.no_grad():
        for part in (0, 1):
            assert torch.allclose(vae.encode(x)[part][:3], vae.encode(other)[part][:3], atol=1e-12)
            assert torch.allclose(vae.encode(x)[part][:1], vae.encode(x[:1])[part], atol=1e-12)


@pytest.mark.parametrize("architecture", MODELS)
def test_z_reaches_every_step_and_every_step_reaches_z(architecture, generator):
    vae = model(architecture)
    x = torch.randn(1, *SERIES, generator=generator).requires_grad_()
    mean, log_var = vae.encode(x)
    for out in (mean, log_var):
        (gradient,) = torch.autograd.grad(out.square().sum(), x, retain_graph=True)
        assert bool((gradient != 0).any(2).all())
    z = mean.detach().requires_grad_()
    raw = vae.decode_raw(z)
    for step in (0, 11, 23):
        (gradient,) = torch.autograd.grad(raw[0, step].square().sum(), z, retain_graph=True)
        assert bool((gradient != 0).all())


@pytest.mark.parametrize(
    "architecture", [TCN(2, 4, 6, 5), TCN(2, 4, 1), GRU(2, 4, 3)], ids=["tcn", "shallow", "gru"]
)
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (97, 2)], ids=str)
def test_windows_of_any_length(architecture, shape, generator):
    vae = model(architecture, shape)
    x = torch.randn(3, *shape, generator=generator)
    terms = vae.terms(x, torch.zeros(3, 2))
    assert vae.decode(torch.zeros(3, 2)).shape == x.shape
    objective(terms, 1.0, 1.0).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in vae.parameters())


def test_dilations_double_and_stay_inside_the_window():
    def dilations(layers: nn.Sequential) -> list[int]:
        return [m.dilation[0] for m in layers.modules() if isinstance(m, nn.Conv1d) and m.kernel_size[0] > 1]

    encoder, decoder = TCN(2, 4, 6).build((9, 1))
    assert dilations(encoder) == [1, 1, 2, 2, 4, 4, 8, 8, 1, 1, 2, 2]
    assert dilations(decoder) == dilations(encoder)[::-1]
    assert dilations(TCN(2, 4, 3).build((8, 1))[0]) == [1, 1, 2, 2, 4, 4]
    assert set(dilations(TCN(2, 4, 3).build((1, 1))[0])) == {1}


def test_the_decoder_of_a_gru_sees_z_alone(generator):
    """The same z after other series in the batch, and in another call, gives the same series."""
    vae = model(GRU(4, 8, 2)).double()
    z = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        first = vae.decode(z)
        vae.encode(torch.randn(5, *SERIES, generator=generator, dtype=torch.float64))
        assert torch.equal(vae.decode(z), first)
        # the input drives later steps too: without it they are others, from the same initial states
        silent = copy.deepcopy(vae)
        silent.decoder[0].weight[:8] = 0
        silent.decoder[0].bias[:8] = 0
        assert float((silent.decode(z)[:, -1] - first[:, -1]).abs().max()) > 1e-4


def test_bf16_multiplies_in_the_convolutions(generator):
    x = torch.randn(20, *SERIES, generator=generator)
    vae = model(TCN(4, 16, 3))
    exact = vae.encoder(x)
    with bf16(vae.encoder, vae.decoder):
        rounded = vae.encoder(x)
    assert rounded.dtype == torch.float32 and not torch.equal(rounded, exact)
    assert torch.allclose(rounded, exact, atol=0.05)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TCN(0), "latent_dim=0: expected an integer from 1 to 256"),
        (lambda: GRU(257), "latent_dim=257: expected an integer from 1 to 256"),
        (lambda: TCN(2, 0), "hidden=[0]: expected positive integers"),
        (lambda: GRU(2, -1), "hidden=[-1]: expected positive integers"),
        (lambda: TCN(2, 4, 0), "n_layers=0: expected an integer from 1 to 32"),
        (lambda: GRU(2, 4, 33), "n_layers=33: expected an integer from 1 to 32"),
        (lambda: GRU(2, 4, True), "n_layers=True"),
        (lambda: TCN(2, 4, 1, 4), "kernel_size=4: expected an odd integer from 3 to 31"),
        (lambda: TCN(2, 4, 1, 1), "kernel_size=1"),
        (lambda: TCN(2).build((6,)), "model=tcn: expected series [steps, channels] (data=windows"),
        (lambda: TCN(2).encoder((1, 8, 8), 4), "the data have shape [1, 8, 8]"),
        (lambda: GRU(2).build((1, 8, 8)), "model=gru: expected series [steps, channels] (data=windows"),
        (lambda: GRU(2).decoder((6,)), "the data have shape [6]"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
