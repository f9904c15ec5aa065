"""A VAE as two ONNX files: the numbers of the model that it was exported from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx_networks import affine, exported

from priorgap import compare, onnx_model
from priorgap.data.digits import Digits
from priorgap.models.likelihoods import Bernoulli
from priorgap.models.networks import MLP
from priorgap.models.vae import VAE, build_vae

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

# shares and areas of these are ratios of counts of draws
COUNTED = ("precision", "recall", "coverage", "density", "share", "auc", "accuracy")
N = 200


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return Digits(validation_fraction=0.2, test_fraction=0.2, split_seed=0).load(
        root=tmp_path_factory.mktemp("data"), download=False
    )


@pytest.fixture(scope="module")
def vae(digits) -> VAE:
    generator = torch.Generator().manual_seed(0)
    model = build_vae(MLP(3, (32,)), Bernoulli(), None, digits.shape, generator=generator)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    x = digits.train.floats()
    for _ in range(300):
        rows = torch.randint(len(x), (128,), generator=generator)
        terms = model.terms(x[rows], torch.randn(128, 3, generator=generator))
        optimizer.zero_grad()
        (terms.reconstruction.mean() + terms.rate.sum(1).mean()).backward()
        optimizer.step()
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def files(vae, tmp_path_factory) -> tuple[Path, Path]:
    return exported(vae, tmp_path_factory.mktemp("onnx"))


def numbers(encode, decode, digits) -> dict[tuple[str, ...], float]:
    found = compare(
        encode, decode, digits.train, digits.test, validation=digits.validation, n=N, features="pixels",
        samplers=["prior", "posterior", "gaussian_full"],
        metrics=["rate", "marginal_kl", "kl", "fid", "kid", "prdc", "copying", "memorisation", "reconstruction"],
    )  # fmt: skip
    keys = ["sampler", "measure", "space", "unit", "bound"]
    return found.table.set_index(keys)["value"].to_dict()


def test_an_exported_vae_has_the_numbers_of_its_original(vae, files, digits):
    own = numbers(vae.encode, vae.decode, digits)
    found = numbers(*onnx_model(*files), digits)
    assert own.keys() == found.keys() and len(own) > 30
    counted = {key for key in own if any(word in key[1] for word in COUNTED)}
    assert 5 < len(counted) < len(own) - 20
    for key, value in own.items():
        # within three draws, or by rounding alone
        slack = 3 / N if key in counted else 1e-4 * abs(value) + 1e-7
        assert abs(found[key] - value) <= slack, (key, value, found[key])
    # negative control: the same comparison rejects a decoder of other weights
    other = numbers(vae.encode, lambda z: vae.decode(1.02 * z), digits)
    assert any(abs(other[key] - own[key]) > 1e-4 * abs(own[key]) for key in own if key[1] == "fid")


def pair(folder: Path, names: list[str], factor: float = 1.0) -> tuple[Path, Path]:
    """Write a linear VAE of vectors: z is two of the four values."""
    w = np.eye(4)[:, :2]
    flat = np.zeros((4, 2))
    files = affine(folder / "enc.onnx", [w, factor * flat], names=names), affine(folder / "dec.onnx", [w.T])
    return files


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["mean", "log_var"], dict),
        (["z_log_var", "z_mean"], dict),
        (["out0", "out1"], tuple),
        (["mu", "y"], tuple),
    ],
)
def test_outputs_by_name_or_by_order(names, kind, tmp_path):
    encode, decode = onnx_model(*pair(tmp_path, names))
    x = torch.randn(3, 4)
    found = encode(x)
    assert isinstance(found, kind)
    first = found[names[0]] if isinstance(found, dict) else found[0]
    torch.testing.assert_close(first, x[:, :2])
    assert decode(x[:, :2]).shape == (3, 4)


def test_one_output_is_a_plain_autoencoders(tmp_path):
    file = affine(tmp_path / "enc.onnx", [np.eye(4)[:, :2]])
    encode, _ = onnx_model(file, file)
    assert isinstance(encode(torch.zeros(3, 4)), torch.Tensor)


def test_a_file_that_does_not_fit_the_data_is_one_line(files, digits):
    encode, decode = onnx_model(*files)
    x = torch.rand(60, 1, 9, 9)
    with pytest.raises(
        ValueError, match=r"encoder=.*input rows is \[b, 1, 8, 8\]; got rows of shape \(1, 9, 9\)"
    ):
        compare(encode, decode, x, x, progress=False)
    with pytest.raises(ValueError, match=r"decoder=.*got rows of shape \(3,\)"):
        compare(encode, onnx_model(*reversed(files))[1], digits.train, digits.test, progress=False)
