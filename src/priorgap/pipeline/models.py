"""Trained models on disk: weights.safetensors and config.yaml, and their encode and decode as plain callables."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from priorgap import artifacts
from priorgap.coding import Decode
from priorgap.data.splits import Dataset, Split
from priorgap.models.decoding import DrawnDecoder
from priorgap.models.vae import VAE, build_vae, load_weights
from priorgap.pipeline import components
from priorgap.priors.base import Prior
from priorgap.streams import stream

_WEIGHTS = "weights.safetensors"
_CONFIG = "config.yaml"


@dataclass(frozen=True)
class TrainedModel:
    """A model with what is needed to encode and decode with it.

    Attributes:
        vae: the model, on its device.
        config: the configuration that it was trained with.
        kind: what one observation is.
        device: where it computes.
    """

    vae: VAE
    config: Mapping[str, Any]
    kind: str
    device: str

    @property
    def encode_batch(self) -> int:
        """The fixed encoding batch."""
        return int(self.config["numerics"]["encode_batch"])

    @property
    def decode_batch(self) -> int:
        """The fixed decoding batch."""
        return int(self.config["numerics"]["decode_batch"])

    def encode(self, x: Tensor, /) -> tuple[Tensor, Tensor | None]:
        """Return mean and log-variance of a batch."""
        return self.vae.encode(x)

    def decode(self, z: Tensor, /) -> Tensor:
        """Return the mean image of a batch."""
        return self.vae.decode(z.to(self.device))

    def decoder(self, how: str, seed: int) -> Decode:
        """Return what turns z into x: the mean, or a draw of p(x|z) at the sigma that the objective implies.

        Args:
            how: "mean" or "draw".
            seed: of the draws.
        """
        if how == "mean":
            return self.decode
        return DrawnDecoder(
            lambda z: self.vae.decode_raw(z.to(self.device)), self.vae.likelihood, self.sigma_x(), seed
        )

    @property
    def prior(self) -> Prior:
        """p(z) on the CPU, where latents are drawn."""
        return self.vae.prior if self.device == "cpu" else copy.deepcopy(self.vae).cpu().prior

    def sigma_x(self) -> float | None:
        """Return the decoder's standard deviation that the loss weights imply, None where there is no reading."""
        loss = components.loss(self.config)
        n_dims = int(torch.tensor(self.vae.shape).prod())
        return loss.in_sum_units(self.vae.likelihood, n_dims).sigma_x(self.vae.likelihood, n_dims)


def device_of(config: Mapping[str, Any]) -> str:
    """Return the device that trainer.accelerator names.

    Raises:
        ValueError: it names CUDA and there is none.
    """
    choice = config["trainer"]["accelerator"]
    if choice == "cuda" and not torch.cuda.is_available():
        raise ValueError("trainer.accelerator=cuda: no CUDA device here; expected auto or cpu")
    return "cuda" if choice in ("auto", "cuda") and torch.cuda.is_available() else "cpu"


def build(config: Mapping[str, Any], shape: tuple[int, ...]) -> VAE:
    """Build an untrained model; its initial weights come from the seed's own stream."""
    return build_vae(
        components.architecture(config),
        components.likelihood(config),
        components.prior(config),
        shape,
        generator=stream(int(config["seed"]), "weights"),
    )


def save(directory: Path, vae: VAE, config: Mapping[str, Any], dataset: Dataset | Split) -> None:
    """Write weights and configuration."""
    artifacts.save_tensors(directory / _WEIGHTS, vae.state_dict())
    content = {"shape": list(vae.shape), "kind": dataset.kind, "config": _training_part(config)}
    artifacts.write_text(directory / _CONFIG, yaml.safe_dump(content, sort_keys=False))


def _training_part(config: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("data", "model", "likelihood", "prior", "loss", "trainer", "numerics", "seed")
    return {key: config[key] for key in keys}


def load(folder: Path) -> TrainedModel:
    """Read a model that `save` wrote.

    Raises:
        ValueError: the weights belong to another model; one line that names the tensor and both shapes.
    """
    content = yaml.safe_load((folder / _CONFIG).read_text())
    config = content["config"]
    vae = build(config, tuple(content["shape"]))
    load_weights(vae, artifacts.load_tensors(folder / _WEIGHTS), origin=str(folder / _WEIGHTS))
    device = device_of(config)
    vae.to(device).eval()
    for parameter in vae.parameters():
        parameter.requires_grad_(False)
    return TrainedModel(vae, config, content["kind"], device)
