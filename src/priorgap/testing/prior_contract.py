"""Laws that every prior must satisfy, one function each, so that a wrong prior can be shown to fail each."""

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from priorgap.core.random import stream
from priorgap.models.likelihoods import Bernoulli
from priorgap.models.networks import MLP
from priorgap.models.vae import VAE, build_vae
from priorgap.priors.base import Prior, PriorSpec

# Maps a dimension to the sizes of a prior.
Make = Callable[[int], PriorSpec]
N_DRAWS = 20_000
SHAPE = (1, 4, 4)


def _numpy_state() -> Any:
    state: Any = np.random.get_state()
    return state[1].copy()


def model(make: Make, dim: int, seed: int = 0) -> VAE:
    """Return a model whose prior was moved away from its initial state, as training would."""
    vae = build_vae(MLP(dim, (8,)), Bernoulli(), make(dim), SHAPE, generator=stream(seed, "weights"))
    g = stream(seed, "move")
    with torch.no_grad():
        for module, size in ((vae.prior, 0.15), (vae.encoder, 0.3)):
            for p in module.parameters():
                p.add_(size * torch.randn(p.shape, generator=g))
    return vae


def prior(make: Make, dim: int, seed: int = 0) -> Prior:
    """Return the prior of such a model."""
    return model(make, dim, seed).prior


def grid(dim: int) -> tuple[Tensor, float]:
    """Return the points of a regular grid, and the volume of its cells."""
    axis = torch.linspace(-12, 12, 8001 if dim == 1 else 481, dtype=torch.float64)
    step = float(axis[1] - axis[0])
    return torch.cartesian_prod(*[axis] * dim).view(-1, dim), step**dim


def density(law: Prior, z: Tensor) -> Tensor:
    """Return p(z), computed in blocks that fit into memory."""
    with torch.no_grad():
        return torch.cat([law.log_prob(part) for part in z.split(50_000)]).exp()


def integrates_to_one(make: Make) -> None:
    """The density integrates to 1 on a grid, in one and two dimensions."""
    for dim in (1, 2):
        z, cell = grid(dim)
        mass = float(density(prior(make, dim), z).sum()) * cell
        assert mass == pytest.approx(1, abs=2e-3), (dim, mass)


def sample_matches_log_prob(make: Make) -> None:
    """Moments, and E log p (which reveals missing modes), are within 4 s.e. of the density's own."""
    for dim in (1, 2):
        law = prior(make, dim)
        z, cell = grid(dim)
        p = density(law, z) * cell
        drawn = law.sample(N_DRAWS, generator=stream(3)).double()
        log_p = density(law, drawn).log().clamp(min=-60)
        pairs = [
            (feature(z), feature(drawn))
            for feature in (torch.square, torch.sin, lambda x: x, lambda x: x[:, :1] * x[:, -1:])
        ]
        for on_grid, found in (*pairs, ((p / cell).log().clamp(min=-60)[:, None], log_p[:, None])):
            expected = (on_grid * p[:, None]).sum(0) / p.sum()
            error = found.std(0) / math.sqrt(N_DRAWS)
            assert ((found.mean(0) - expected).abs() <= 4 * error + 2e-3).all()


def repeats_itself(make: Make) -> None:
    """The same generator gives the same draws."""
    law = prior(make, 3)
    first = law.sample(200, generator=stream(1))
    assert torch.equal(first, law.sample(200, generator=stream(1)))
    assert not torch.equal(first, law.sample(200, generator=stream(2)))
    generator = stream(1)
    law.sample(200, generator=generator)
    assert not torch.equal(first, law.sample(200, generator=generator))


def leaves_global_rng_alone(make: Make) -> None:
    """The prior neither changes nor reads the global generators."""
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)
    before = (torch.get_rng_state(), random.getstate(), _numpy_state())
    law = prior(make, 2)
    first = law.sample(50, generator=stream(1))
    law.log_prob(first)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert (before[2] == _numpy_state()).all()
    torch.manual_seed(4)
    # The draws do not depend on the global generator either.
    assert torch.equal(first, prior(make, 2).sample(50, generator=stream(1)))
    assert torch.distributions.Distribution._validate_args is True


def survives_its_state(make: Make) -> None:
    """The model's weights, through the file format, restore the same prior; each tensor is stored once."""
    from safetensors.torch import load, save

    vae, other = model(make, 2), model(make, 2, seed=5)
    tensors = vae.state_dict()
    n_encoder = sum(t.numel() for t in vae.encoder.state_dict().values())
    assert sum(t.numel() for k, t in tensors.items() if not k.startswith(("prior.", "decoder."))) == n_encoder
    assert len({t.data_ptr() for t in tensors.values() if t.numel()}) == sum(
        t.numel() > 0 for t in tensors.values()
    )
    other.load_state_dict(load(save({k: t.contiguous() for k, t in tensors.items()})))
    z = vae.prior.sample(100, generator=stream(1))
    assert torch.equal(z, other.prior.sample(100, generator=stream(1)))
    assert torch.equal(vae.prior.log_prob(z), other.prior.log_prob(z))


def minds_sizes_and_types(make: Make) -> None:
    """Draws are float32, densities have z's precision, and refusals are one line."""
    law = prior(make, 3)
    assert law.dim == 3
    for n in (1, 7):
        z = law.sample(n, generator=stream(1))
        assert z.shape == (n, 3) and z.dtype == torch.float32 and not z.requires_grad
    for dtype in (torch.float32, torch.float64):
        value = law.log_prob(z.to(dtype))
        assert value.shape == (7,) and value.dtype == dtype
    for n in (0, -1):
        with pytest.raises(ValueError, match=rf"n={n}: expected"):
            law.sample(n, generator=stream(1))
    wrong: tuple[Any, ...] = (0, -1, 1.5, True)
    for bad in wrong:
        with pytest.raises(ValueError, match="dim="):
            make(bad)


def depends_on_every_parameter(make: Make) -> None:
    """Each parameter gets a gradient from log p, so that none is unused."""
    law = prior(make, 3)
    parameters = dict(law.named_parameters())
    if not parameters:
        pytest.skip("nothing is learned")
    z = 2 * torch.randn(400, 3, generator=stream(1))
    gradients = torch.autograd.grad(law.log_prob(z).sum(), list(parameters.values()))
    for name, gradient in zip(parameters, gradients, strict=True):
        each = gradient.abs().flatten(1).sum(1) if gradient.ndim > 1 else gradient.abs()
        # Masked weights in a flow's networks have no gradient by design.
        assert float(each.max()) > 0 if name.startswith("transform") else bool((each > 0).all()), name


def trains_with_a_model(make: Make) -> None:
    """A Monte Carlo KL is unbiased: its mean equals the closed form, or the mean of many draws."""
    vae = model(make, 2)
    x = torch.rand(6, *SHAPE, generator=stream(1))
    noise = torch.randn(4000, 6, 2, generator=stream(2))
    with torch.no_grad():
        mean, log_var = vae.encode(x)
        std = (0.5 * log_var).exp()
        z = mean + std * noise
        log_q = torch.distributions.Normal(mean, std).log_prob(z).sum(2)
        drawn = log_q - vae.prior.log_prob(z.view(-1, 2)).view(4000, 6)
        terms = vae.terms(x, noise[0])
        closed = vae.prior.kl(mean, log_var)
    assert terms.drawn == (closed is None)
    if closed is None:
        assert terms.rate.shape == (6, 1)
        assert torch.allclose(terms.rate[:, 0], drawn[0], atol=1e-4)
    else:
        error = drawn.std(0) / math.sqrt(4000)
        assert ((closed.sum(1) - drawn.mean(0)).abs() < 4 * error + 1e-5).all()
    encoder = [m for m in vae.prior.modules() if m is vae.encoder]
    assert not encoder and isinstance(vae.encoder, nn.Module)


LAWS: dict[str, Callable[[Make], None]] = {
    law.__name__: law
    for law in (
        integrates_to_one,
        sample_matches_log_prob,
        repeats_itself,
        leaves_global_rng_alone,
        survives_its_state,
        minds_sizes_and_types,
        depends_on_every_parameter,
        trains_with_a_model,
    )
}
