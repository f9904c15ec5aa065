"""Train, encode and sample with pythae, one order a line; run by sweep.py in an environment that has pythae.

python peer_pythae_sweep.py DATA.npz FOLDER

Reads orders as JSON lines ({"task": "train" | "encode" | "study", ...}), answers with CPU seconds, JSON again. The
net is 784-512-256-16 with a sigmoid at its end and pythae's binary cross-entropy.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.samplers import GaussianMixtureSampler, GaussianMixtureSamplerConfig, NormalSampler
from pythae.samplers.gaussian_mixture import gaussian_mixture_sampler
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import nn

HIDDEN, DIM = (512, 256), 16


class Encoder(BaseEncoder):
    """784-512-256, then two heads of 16."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        a, b = HIDDEN
        self.latent_dim = DIM
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(n_in, a), nn.ReLU(), nn.Linear(a, b), nn.ReLU())
        self.head = nn.Linear(b, 2 * DIM)

    def forward(self, x: torch.Tensor) -> ModelOutput:
        """Return mean and log-variance."""
        mean, log_var = self.head(self.body(x)).chunk(2, dim=1)
        return ModelOutput(embedding=mean, log_covariance=log_var)


class Decoder(BaseDecoder):
    """16-256-512-784, sigmoid."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        a, b = HIDDEN
        self.shape = shape
        n_out = int(np.prod(shape))
        self.body = nn.Sequential(
            nn.Linear(DIM, b), nn.ReLU(), nn.Linear(b, a), nn.ReLU(), nn.Linear(a, n_out), nn.Sigmoid()
        )

    def forward(self, z: torch.Tensor) -> ModelOutput:
        """Return the mean image."""
        return ModelOutput(reconstruction=self.body(z).reshape(len(z), *self.shape))


class NoMixture:
    """In the place of scikit-learn's mixture, to time what a sampler's fit does before it: encode all."""

    def __init__(self, **settings: object) -> None:
        """Take what the mixture takes."""

    def fit(self, z: torch.Tensor) -> None:
        """Do nothing."""


def model_for(x: torch.Tensor) -> VAE:
    """Return an untrained model."""
    shape = tuple(x.shape[1:])
    config = VAEConfig(input_dim=shape, latent_dim=DIM, reconstruction_loss="bce")
    return VAE(config, encoder=Encoder(int(np.prod(shape))), decoder=Decoder(shape))


def train(x: torch.Tensor, epochs: int, seed: int, folder: str) -> tuple[VAE, float]:
    """Train as BaseTrainer does; return the model and CPU seconds."""
    torch.manual_seed(seed)
    model = model_for(x)
    settings = BaseTrainerConfig(
        output_dir=folder, num_epochs=epochs, per_device_train_batch_size=128, learning_rate=1e-3, no_cuda=True,
        seed=seed,
    )  # fmt: skip
    start = time.process_time()
    BaseTrainer(model, BaseDataset(x, torch.zeros(len(x))), training_config=settings).train()
    return model.eval(), time.process_time() - start


def encode(x: torch.Tensor) -> float:
    """Return the CPU seconds of a sampler's fit without its mixture."""
    model, kept = model_for(x).eval(), gaussian_mixture_sampler.mixture.GaussianMixture
    gaussian_mixture_sampler.mixture.GaussianMixture = NoMixture
    try:
        start = time.process_time()
        GaussianMixtureSampler(model).fit(x)
        return time.process_time() - start
    finally:
        gaussian_mixture_sampler.mixture.GaussianMixture = kept


def mixture(model: VAE, x: torch.Tensor, n_components: int, n: int) -> torch.Tensor:
    """Fit pythae's mixture and draw n images."""
    sampler = GaussianMixtureSampler(model, GaussianMixtureSamplerConfig(n_components=n_components))
    sampler.fit(x)
    return sampler.sample(n, batch_size=500)


def per_class(model: VAE, x: torch.Tensor, y: torch.Tensor, n: int) -> torch.Tensor:
    """Fit a mixture to each class and draw equally many images of each."""
    classes = y.unique().tolist()
    share = -(-n // len(classes))
    return torch.cat([mixture(model, x[y == c], 10, share) for c in classes])[:n]


@torch.no_grad()
def reconstruct(model: VAE, x: torch.Tensor) -> torch.Tensor:
    """Decode one draw of each image's posterior."""
    return torch.cat([model({"data": part}).recon_x for part in x.split(500)])


@torch.no_grad()
def of_means(model: VAE, x: torch.Tensor) -> torch.Tensor:
    """Decode each image's posterior mean."""
    return torch.cat([model.decoder(model.encoder(part).embedding).reconstruction for part in x.split(500)])


def study(data: dict[str, torch.Tensor], order: dict, folder: str) -> dict:
    """Train a model, draw from eight samplers, save the images; return CPU seconds."""
    x, y, test, n = data["x_train"], data["y_train"], data["x_test"], order["n"]
    model, seconds = train(x, order["epochs"], order["seed"], folder)
    start = time.process_time()
    with torch.no_grad():
        images = {
            "NormalSampler": NormalSampler(model).sample(n, batch_size=500),
            "reconstructions": reconstruct(model, x[:n]),
            "reconstructions of test images": reconstruct(model, test[:n]),
            "reconstructions from means": of_means(model, x[:n]),
            "GaussianMixtureSampler, one component": mixture(model, x, 1, n),
            "GaussianMixtureSampler, one component, again": mixture(model, x, 1, n),
            "GaussianMixtureSampler": mixture(model, x, 50, n),
            "GaussianMixtureSampler, per class": per_class(model, x, y, n),
        }
    for name, drawn in images.items():
        np.save(Path(folder) / f"{order['seed']}-{name}.npy", (255 * drawn).round().byte().numpy())
    return {"train": seconds, "sample": time.process_time() - start}


def main() -> None:
    """Answer orders until there are no more."""
    torch.set_num_threads(1)
    # pythae prints: the answers' way stays free
    answers, sys.stdout = sys.stdout, sys.stderr
    with np.load(sys.argv[1]) as arrays:
        data = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    data = {k: v.float() / 255 if k.startswith("x_") else v for k, v in data.items()}
    for line in sys.stdin:
        order = json.loads(line)
        x = data["x_train"][: order.get("images")]
        if order["task"] == "train":
            found = {"seconds": train(x, order["epochs"], 0, sys.argv[2])[1]}
        elif order["task"] == "encode":
            found = {"seconds": encode(x)}
        else:
            found = study(data, order, sys.argv[2])
        answers.write(json.dumps(found) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
