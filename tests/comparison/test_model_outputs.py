"""What encoders and decoders give: every form means the same numbers; what is not clear is refused in one line."""

from collections import OrderedDict, namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Independent, Laplace, Normal

from priorgap.comparison.model_outputs import check_posterior, observation_of, posterior_of

MEAN = torch.tensor([[0.5, -1.0], [2.0, 0.25]])
LOG_VAR = torch.tensor([[-1.0, 0.5], [0.25, -3.0]])
STD = (LOG_VAR / 2).exp()


class ModelOutput(OrderedDict):
    """As pythae's: an entry is an attribute, and what is absent raises KeyError."""

    __getattr__ = OrderedDict.__getitem__


class DiagonalGaussian:
    """As diffusers' DiagonalGaussianDistribution."""

    mean, logvar, std = MEAN, LOG_VAR, STD

    def sample(self):
        return self.mean


NORMAL = Normal(MEAN, STD)
FORMS = {
    "pair": (MEAN, LOG_VAR),
    "list": [MEAN, LOG_VAR],
    "arrays": (MEAN.numpy(), LOG_VAR.numpy()),
    "normal": NORMAL,
    "independent": Independent(NORMAL, 1),
    "pythae": ModelOutput(embedding=MEAN, log_covariance=LOG_VAR),
    "mapping": {"mu": MEAN, "logvar": LOG_VAR, "z": MEAN},
    "log sigma": {"mean": MEAN, "log_sigma": LOG_VAR / 2},
    "sigma": {"loc": MEAN, "scale": STD},
    "variance": {"qz_m": MEAN, "qz_v": LOG_VAR.exp()},
    "diffusers": SimpleNamespace(latent_dist=DiagonalGaussian()),
    "scvi": {"z": MEAN, "qz": NORMAL, "library": MEAN[:, :1]},
    "named tuple": namedtuple("Output", "z mu log_var")(0 * MEAN, MEAN, LOG_VAR),
    "the one distribution": {"z": MEAN, "posterior": NORMAL},
    "of one": [NORMAL],
}


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_form_is_the_same_posterior(form):
    mean, log_var = posterior_of(FORMS[form])
    assert torch.equal(mean, MEAN)
    assert torch.allclose(log_var, LOG_VAR, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "given",
    [MEAN, MEAN.numpy(), (MEAN, None), {"embedding": MEAN}],
    ids=["tensor", "array", "pair", "mapping"],
)
def test_no_log_var_is_a_plain_autoencoder(given):
    mean, log_var = posterior_of(given)
    assert torch.equal(mean, MEAN) and log_var is None


THREE = (0 * MEAN, MEAN, LOG_VAR)


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        (THREE, (1, 2)),
        (THREE, (-2, -1)),
        ({"a": MEAN, "b": LOG_VAR}, ("a", "b")),
        ({"a": MEAN, "log_sigma": LOG_VAR / 2}, ("a", "log_sigma")),
        ((MEAN, NORMAL), 1),
        ({"mine": NORMAL}, "mine"),
    ],
)
def test_posterior_says_which(given, chosen):
    mean, log_var = posterior_of(given, chosen)
    assert torch.equal(mean, MEAN) and torch.allclose(log_var, LOG_VAR, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("given", "chosen", "words"),
    [
        (None, None, "encode: gave None, expected a pair"),
        (THREE, None, r"encode: gave 3 outputs \(Tensor \[2, 2\], .*posterior=\(0, 1\)"),
        ((MEAN, 1), None, r"encode: gave \(Tensor \[2, 2\], int\)"),
        ((MEAN, NORMAL), None, "posterior=0 or posterior=1"),
        (Laplace(MEAN, STD), None, "a distribution Laplace; expected Normal"),
        ({"a": MEAN}, None, "entries a; expected entries as mean and log_var, or posterior="),
        ({"a": NORMAL, "b": NORMAL}, None, "encode: gave dict with entries a, b"),
        ({"mu": MEAN, "mean": MEAN}, None, "mean and mu: which is the mean"),
        (object(), None, "encode: gave object with no attributes"),
        (THREE, (0, 3), "posterior=3: encode gave 3 outputs"),
        ({"a": MEAN}, ("a", "b"), "posterior='b': encode gave dict with entries a"),
    ],
)
def test_what_is_not_clear_is_refused_in_one_line(given, chosen, words):
    with pytest.raises(ValueError, match=words) as caught:
        posterior_of(given, chosen)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [(0, 1, 2), [0.5, 1], True, 1.5, ()], ids=str)
def test_posterior_is_a_place_a_name_or_two(given):
    with pytest.raises(ValueError, match="posterior="):
        check_posterior(given)


X = torch.linspace(0, 1, 2 * 3 * 4).view(2, 3, 4)


@pytest.mark.parametrize(
    "given",
    [
        X, X.numpy(), (X, torch.zeros(2, 5)), [X], Bernoulli(probs=X), Independent(Bernoulli(probs=X), 2),
        SimpleNamespace(sample=X), ModelOutput(reconstruction=X), {"recon_x": X}, {"px": Normal(X, 1.0)},
    ],
    ids=lambda given: type(given).__name__,
)  # fmt: skip
def test_every_form_is_the_same_observation(given):
    assert np.allclose(observation_of(given, 2, (3, 4)), X, atol=1e-7, rtol=0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, r"decode: gave NoneType, expected \[2, 3, 4\]"),
        ((X, 1), r"decode: gave 2 outputs \(Tensor \[2, 3, 4\], int\)"),
        ((X, X), "one tensor of observations"),
        ({"z": X}, "decode: gave dict with entries z"),
    ],
)
def test_outputs_of_decode_that_are_not_clear_are_refused(given, words):
    with pytest.raises(ValueError, match=words) as caught:
        observation_of(given, 2, (3, 4))
    assert "\n" not in str(caught.value)
