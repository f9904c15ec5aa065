"""examples/adapters with the real libraries, where they are installed: tiny models, and what an audit must find."""

import ast
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from onnx_networks import exported
from sklearn.datasets import load_digits

from priorgap import Comparison, compare, torchvision_compat
from priorgap.data import Sines
from priorgap.estimators.discrepancy import frechet_from_features
from priorgap.features.maps import extract
from priorgap.modalities.images import quantise

FOLDER = Path(__file__).parents[3] / "examples" / "adapters"
FILES = sorted(FOLDER.glob("*.py"))
FEW = {
    "samplers": ["prior", "posterior", "gaussian_full"], "metrics": ["rate", "fid", "reconstruction"],
    "features": "pixels", "progress": False,
}  # fmt: skip
MOST = 10
# a table is coded on the way in and out, and may be drawn
MOST_OF_TABLES = 18


def adapter(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def needs(library: str) -> ModuleType:
    torchvision_compat.ensure()
    return pytest.importorskip(library, reason=f"{library} is not installed (docs/adapters.md)")


def check(found: Comparison, *, mismatch: bool = True) -> None:
    """An audit of a healthy model: samplers are ranked, and it can be drawn from."""
    assert not found.verdict.stopped, found.verdict.headline
    assert set(found.drawn.draws) == set(FEW["samplers"])
    fid = found.table[found.table["measure"] == "fid"].set_index("sampler")["value"]
    assert (fid > 0).all()
    if mismatch:
        assert fid["posterior"] < fid["prior"]
    assert len(found.generate(20, sampler="gaussian_full").x) == 20


def n_lines(file: Path) -> int:
    """Count the lines of code beside imports, docstrings, comments and blank lines."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and not isinstance(node, ast.Import | ast.ImportFrom):
            text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if not text:
                last = node.lineno if hasattr(node, "body") else node.end_lineno
                lines.update(range(node.lineno, last + 1))
    return len(lines)


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_an_adapter_has_at_most_ten_lines_and_a_page_that_shows_it(file):
    assert n_lines(file) <= (MOST_OF_TABLES if "Frames" in file.read_text() else MOST)
    assert file.name in (FOLDER.parents[1] / "docs" / "adapters.md").read_text(encoding="utf-8")


def test_lines_are_counted(tmp_path):
    file = tmp_path / "a.py"
    file.write_text(
        '"""Doc."""\nimport os\n# a\n\ndef f(x):\n    """Doc."""\n    y = (x,\n         x)\n    return y\n'
    )
    assert n_lines(file) == 4


@pytest.fixture
def digits() -> tuple[np.ndarray, np.ndarray]:
    x = (load_digits().images[:, None] / 16).astype(np.float32)
    return x[:1300], x[1300:]


@pytest.mark.e2e
def test_pythae(digits):
    needs("pythae")
    from pythae.models import VAE, VAEConfig

    train, test = digits
    torch.manual_seed(0)
    vae = VAE(VAEConfig(input_dim=(1, 8, 8), latent_dim=4, reconstruction_loss="bce"))
    optimizer = torch.optim.Adam(vae.parameters(), 1e-3)
    for _ in range(12):
        for rows in torch.randperm(len(train)).split(128):
            optimizer.zero_grad()
            vae({"data": torch.from_numpy(train[rows])}).loss.backward()
            optimizer.step()
    # without labels: the features of a network that tells clusters of the training rows apart
    found = adapter("pythae_vae").audit(vae, train, test, **{**FEW, "features": None})
    check(found)

    # pythae's own draws, in our feature space: torchmetrics' FID and ours
    from pythae.samplers import NormalSampler
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Features(torch.nn.Module):
        num_features = 64

        def forward(self, x):
            return extract(space, x)

    reference = found.drawn.evidence["mean"].reference
    space = reference.feature_map
    draws = quantise(NormalSampler(vae).sample(num_samples=400).view(-1, 1, 8, 8))
    peer = FrechetInceptionDistance(Features(), input_img_size=(1, 8, 8))
    peer.set_dtype(torch.float64)
    peer.update(reference.test.x, real=True)
    peer.update(draws, real=False)
    own = frechet_from_features(extract(space, draws), reference.test_features).value
    assert own == pytest.approx(float(peer.compute()), rel=1e-5)
    assert own > 1


@pytest.mark.e2e
@pytest.mark.parametrize(("data", "epochs"), [("digits", 40), ("mnist", 2)])
def test_pythae_has_the_pipelines_numbers(data, epochs, tmp_path, monkeypatch):
    """The networks of a model that the pipeline trained, in a VAE of pythae's; on all of MNIST where that lies."""
    needs("pythae")
    if data == "mnist" and not Path(os.environ.get("PRIORGAP_DATA", "none"), "mnist").is_dir():
        pytest.skip("no MNIST in PRIORGAP_DATA")
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    from priorgap.data.splits import load_dataset
    from priorgap.pipeline import cli, models

    monkeypatch.chdir(tmp_path)
    samplers, metrics = (
        ["prior", "posterior", "gaussian_full", "gmm"],
        ["rate", "marginal_kl", "decomposition"],
    )
    metrics += ["kl", "fid", "kid", "prdc", "copying", "copy_shares"]
    words = [
        "model.latent_dim=3", "loss.alpha=50", f"trainer.max_epochs={epochs}", "trainer.accelerator=cpu", "seed=3",
        "features=[pixels]",
        "verdict.space=pixels", "study=same", "tracking=off", f"sampler=[{','.join(samplers)}]",
        f"metric=[{','.join(metrics)}]", "reference.n_repeats=3", f"data={data}",
    ]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", *words])
    assert not ended.value.code
    (folder,), (place,) = (list((tmp_path / "outputs" / name).iterdir()) for name in ("same/train", "data"))
    ours, rows = models.load(folder), load_dataset(place)

    class Encoder(BaseEncoder):
        def forward(self, x):
            mean, log_var = ours.encode(x)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def forward(self, z):
            return ModelOutput(reconstruction=ours.decode(z))

    vae = VAE(VAEConfig(input_dim=tuple(rows.train.shape), latent_dim=3), Encoder(), Decoder())
    found = adapter("pythae_vae").audit(
        vae, rows.train, rows.test, validation=rows.validation, samplers=samplers, metrics=metrics, features="pixels",
        seed=3, progress=False,
    )  # fmt: skip
    names = ["sampler", "measure", "space", "unit", "bound"]
    table = found.table.fillna({"unit": ""}).set_index(names)["value"]
    stored = pd.read_csv(
        tmp_path / "outputs/same/report/results.csv", keep_default_na=False, dtype={"unit": str}
    )
    stored = stored.astype({"value": float}).set_index(names)["value"]
    assert set(stored.index) == set(table.index) and len(stored) > 60
    assert table.loc[stored.index].to_numpy() == pytest.approx(stored.to_numpy(), rel=1e-5)


@pytest.mark.e2e
def test_diffusers(digits):
    needs("diffusers")
    module = adapter("diffusers_autoencoder_kl")
    from diffusers import AutoencoderKL

    train, test = digits
    torch.manual_seed(0)
    vae = AutoencoderKL(
        in_channels=1, out_channels=1, down_block_types=("DownEncoderBlock2D",) * 3, latent_channels=2,
        up_block_types=("UpDecoderBlock2D",) * 3, block_out_channels=(8, 16, 16), norm_num_groups=4, sample_size=8,
    )  # fmt: skip
    # with random weights: reconstructions are no better than the mean image, and that is said
    options = {**FEW, "range": (-1, 1)}
    random = module.audit(vae, 2 * train - 1, 2 * test - 1, **options)
    assert random.verdict.stopped and "Train the model first" in random.verdict.headline
    optimizer = torch.optim.Adam(vae.train().parameters(), 3e-3)
    for _ in range(4):
        for rows in torch.randperm(len(train)).split(64):
            x = 2 * torch.from_numpy(train[rows]) - 1
            posterior = vae.encode(x).latent_dist
            optimizer.zero_grad()
            error = (vae.decode(posterior.sample()).sample - x).square().sum((1, 2, 3))
            (10 * error + posterior.kl()).mean().backward()
            optimizer.step()
    found = module.audit(vae, 2 * train - 1, 2 * test - 1, **options)
    check(found)
    assert found.sampler("gaussian_full").sample(3, generator=torch.Generator().manual_seed(0)).z.shape == (
        3,
        8,
    )


def two_modes() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    side, place = rng.integers(0, 2, 1200), rng.normal(size=1200)
    columns = {"a": 4 * side + 0.3 * place, "b": place + 0.2 * rng.normal(size=1200), "c": side - place}
    # depends on nothing: what is most likely is always "often"
    return pd.DataFrame({**columns, "rare": np.where(rng.random(1200) < 0.15, "seldom", "often")})


def fitted_tvae(module: ModuleType, table: pd.DataFrame, discrete: tuple[str, ...] = ()):
    """Return a TVAE and its encoder, which an adapter keeps."""
    from ctgan.synthesizers import tvae

    own, kept = tvae.Encoder.__init__, []
    try:
        module.keep_encoders(kept)
        torch.manual_seed(0)
        np.random.seed(0)
        model = tvae.TVAE(embedding_dim=3, epochs=40, batch_size=100)
        model.fit(table, discrete_columns=discrete)
    finally:
        tvae.Encoder.__init__ = own
    (encoder,) = kept
    return model, encoder


@pytest.mark.e2e
def test_ctgan():
    needs("ctgan")
    module, table = adapter("ctgan_tvae"), two_modes().drop(columns="rare")
    model, encoder = fitted_tvae(module, table[:800])
    check(module.audit(model, encoder, table[:800], table[800:], **FEW))


@pytest.mark.e2e
def test_ctgan_tables():
    """Frames in, frames out: at a low weight the categories that the mean never takes come back in draws."""
    needs("ctgan")
    module, table = adapter("ctgan_tvae_tables"), two_modes()
    model, encoder = fitted_tvae(module, table[:800], ("rare",))
    few = {**FEW, "metrics": [*FEW["metrics"], "column_shapes"]}
    found = module.audit(model, encoder, table[:800], table[800:], **few)
    assert not found.verdict.stopped, found.verdict.headline
    rows = found.table[(found.table["measure"] == "column_shapes") & (found.table["unit"] == "rare")]
    shapes = rows.set_index(["sampler", "decode"])["value"]
    for sampler in FEW["samplers"]:
        assert shapes[sampler, "draw"] > 0.9 > 0.88 > shapes[sampler, "mean"]
    assert len(found.generate(20, sampler="gaussian_full", decode_rule="draw").x) == 20


@pytest.mark.e2e
def test_scvi():
    needs("scvi")
    needs("anndata")
    import anndata
    from scvi.model import SCVI

    rng = np.random.default_rng(0)
    z = rng.normal(size=(900, 2))
    rate = np.exp(1.5 + 0.6 * z @ rng.normal(size=(2, 20)))
    counts = rng.poisson(1000 * rate / rate.sum(1, keepdims=True)).astype(np.float32)
    data = anndata.AnnData(counts[:600])
    torch.manual_seed(0)
    SCVI.setup_anndata(data)
    model = SCVI(data, n_latent=3, n_hidden=64, gene_likelihood="nb")
    model.train(max_epochs=60, accelerator="cpu", enable_progress_bar=False, batch_size=64, train_size=1.0)
    found = adapter("scvi_model").audit(model, counts[:600], counts[600:], library=1000.0, **FEW)
    check(found)


@pytest.mark.e2e
def test_onnx(digits, tmp_path):
    needs("onnxruntime")
    from priorgap.models.likelihoods import Bernoulli
    from priorgap.models.networks import MLP
    from priorgap.models.vae import build_vae

    train, test = digits
    generator = torch.Generator().manual_seed(0)
    vae = build_vae(MLP(3, (32,)), Bernoulli(), None, (1, 8, 8), generator=generator)
    optimizer = torch.optim.Adam(vae.parameters(), 5e-3)
    for _ in range(200):
        rows = torch.randint(len(train), (128,), generator=generator)
        terms = vae.terms(torch.from_numpy(train)[rows], torch.randn(128, 3, generator=generator))
        optimizer.zero_grad()
        (terms.reconstruction.mean() + terms.rate.sum(1).mean()).backward()
        optimizer.step()
    files = exported(vae, tmp_path)
    check(adapter("onnx_files").audit(*map(str, files), train, test, **FEW))


@pytest.mark.e2e
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_keras_series_through_onnx(tmp_path):
    """A VAE of windows with convolutions over time, as TimeVAE has them, trained in Keras, as two files."""
    if "keras" not in sys.modules:
        os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = needs("keras")
    needs("onnx")
    needs("onnxruntime")
    layers = keras.layers
    source = Sines(frequencies=(1, 3), amplitudes=(1.0, 0.5), noise=0.1, n_train=1200, n_test=400)
    data = source.load(root=tmp_path, download=False)
    keras.utils.set_random_seed(0)
    window, code = keras.Input((24, 2)), keras.Input((4,))
    rows = layers.Conv1D(16, 3, strides=2, padding="same", activation="relu")(window)
    rows = layers.Flatten()(layers.Conv1D(32, 3, strides=2, padding="same", activation="relu")(rows))
    encoder = keras.Model(window, [layers.Dense(4)(rows), layers.Dense(4)(rows)])
    steps = layers.Reshape((6, 32))(layers.Dense(6 * 32, activation="relu")(code))
    steps = layers.Conv1DTranspose(16, 3, strides=2, padding="same", activation="relu")(steps)
    steps = layers.Conv1DTranspose(16, 3, strides=2, padding="same", activation="relu")(steps)
    decoder = keras.Model(code, layers.Dense(2)(steps))
    x = data.train.floats()
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam([w.value for m in (encoder, decoder) for w in m.trainable_weights], 3e-3)
    for _ in range(600):
        own = x[torch.randint(len(x), (128,), generator=generator)]
        mean, log_var = encoder(own)
        z = mean + (0.5 * log_var).exp() * torch.randn(mean.shape, generator=generator)
        rate = 0.5 * (mean.square() + log_var.exp() - log_var - 1).sum(1)
        loss = (20 * (decoder(z) - own).square().sum((1, 2)) + rate).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    files = []
    for model, given, names in ((encoder, x[:2], ["mean", "log_var"]), (decoder, torch.zeros(2, 4), ["x"])):
        files.append(str(tmp_path / f"{names[0]}.onnx"))
        axes = {name: {0: "n"} for name in ["rows", *names]}
        torch.onnx.export(
            model.eval(), (given,), files[-1], input_names=["rows"], output_names=names, dynamic_axes=axes,
            dynamo=False,
        )  # fmt: skip
    few = {**FEW, "metrics": [*FEW["metrics"], "autocorrelation", "spectrum"], "series": True}
    found = adapter("onnx_files").audit(*files, x.numpy(), data.test.floats().numpy(), **few)
    check(found)
    assert {"autocorrelation_distance", "spectrum_distance"} <= set(found.table["measure"])


@pytest.mark.e2e
def test_keras(digits):
    if "keras" not in sys.modules:
        os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = needs("keras")
    train, test = (part.transpose(0, 2, 3, 1) for part in digits)
    flat = train.reshape(len(train), -1)
    mean = flat.mean(0)
    _, s, v = np.linalg.svd(flat - mean, full_matrices=False)
    basis, scale = v[:3], s[:3] / len(flat) ** 0.5
    image, code = keras.Input((8, 8, 1)), keras.Input((3,))
    rows = keras.layers.Flatten()(image)
    layers = [keras.layers.Dense(3), keras.layers.Dense(3)]
    encoder = keras.Model(image, [layer(rows) for layer in layers])
    layers[0].set_weights([basis.T / scale, -(mean @ basis.T) / scale])
    layers[1].set_weights([np.zeros((64, 3)), np.full(3, -3.0)])
    last = keras.layers.Dense(64)
    decoder = keras.Model(code, keras.layers.Reshape((8, 8, 1))(keras.layers.ReLU(max_value=1.0)(last(code))))
    last.set_weights([scale[:, None] * basis, mean])
    found = adapter("keras_vae").audit(encoder, decoder, train, test, **FEW)
    check(found, mismatch=False)

    # the numbers of the same model by hand
    def encode(x):
        code = (x.flatten(1) - torch.from_numpy(mean)) @ torch.from_numpy(basis.T / scale)
        return code, torch.full_like(code, -3.0)

    def decode(z):
        return (
            (z @ torch.from_numpy(scale[:, None] * basis) + torch.from_numpy(mean))
            .clamp(0, 1)
            .view(-1, 8, 8, 1)
        )

    own = compare(encode, decode, train, test, **FEW)
    for a, b in zip(found.table["value"], own.table["value"], strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-6)
