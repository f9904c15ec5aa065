"""Trained models on disk: weights.safetensors and config.yaml, with encode and decode as plain callables."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from priorgap.core import artifacts
from priorgap.core.batched_calls import Decode, Encode
from priorgap.core.contexts import Contexts
from priorgap.core.devices import device_for
from priorgap.core.random import stream
from priorgap.data.splits import Dataset, Split
from priorgap.evaluation.model import ModelFunctions
from priorgap.modalities import GapLayout, Modality, modality_of
from priorgap.models.conditional import Classes
from priorgap.models.decoding import DrawnDecoder
from priorgap.models.families import Model, build_model
from priorgap.models.vae import load_weights
from priorgap.pipeline.config import parts
from priorgap.priors.base import Prior
from priorgap.tables.layout import TableLayout

_WEIGHTS = "weights.safetensors"
_CONFIG = "config.yaml"
# The keys of a table's column layout and of the layout of gaps; absent for other data.
_TABLE, _GAPS = "table", "gaps"
# Key: why a converged model may have other means and variances than the prior; null where it cannot.
_MAY_DIFFER = "moments_may_differ"


@dataclass(frozen=True)
class TrainedModel:
    """A model with everything needed to encode and decode with it.

    Attributes:
        vae: the model, on its device.
        config: the configuration that it was trained with.
        modality: the modality of observations.
        device: where it computes.
    """

    vae: Model
    config: Mapping[str, Any]
    modality: Modality
    device: str

    @property
    def encode_batch(self) -> int:
        """The fixed encoding batch."""
        return int(self.config["numerics"]["encode_batch"])

    @property
    def decode_batch(self) -> int:
        """The fixed decoding batch."""
        return int(self.config["numerics"]["decode_batch"])

    @property
    def encode(self) -> Encode | None:
        """Mean and log-variance of a batch; conditional models also take labels. None without an encoder."""
        return self.vae.encoding

    @property
    def decode(self) -> Decode:
        """The mean of a batch; only conditional models take labels, only models given a part of x take contexts."""
        if self.vae.traits.told:
            return self._decode_told
        return self._decode_labelled if self.vae.traits.conditional else self._decode

    def _decode(self, z: Tensor, /) -> Tensor:
        return self._decode_labelled(z)

    def _decode_labelled(self, z: Tensor, /, label: Tensor | None = None) -> Tensor:
        return self.vae.likelihood.mean(self._raw(z, label))

    def _decode_told(self, z: Tensor, /, context: Tensor | None = None) -> Tensor:
        return self.vae.likelihood.mean(self._raw(z, None, context))

    @property
    def expected(self) -> Decode:
        """Like `decode`, but E[x|z] even where that is not a possible observation."""
        if self.vae.traits.told:
            return self._expected_told
        return self._expected_labelled if self.vae.traits.conditional else self._expected

    def _expected(self, z: Tensor, /) -> Tensor:
        return self._expected_labelled(z)

    def _expected_labelled(self, z: Tensor, /, label: Tensor | None = None) -> Tensor:
        return self.vae.likelihood.expectation(self._raw(z, label))

    def _expected_told(self, z: Tensor, /, context: Tensor | None = None) -> Tensor:
        return self.vae.likelihood.expectation(self._raw(z, None, context))

    def decoder(self, how: str, seed: int) -> Decode:
        """Return the function from z to x: the mean, or a draw of p(x|z) with the sigma that the objective implies.

        Args:
            how: "mean" or "draw".
            seed: the seed of the draws.
        """
        if how == "mean":
            return self.decode
        return DrawnDecoder(self._raw, self.vae.likelihood, self.sigma_x(), seed)

    def _raw(self, z: Tensor, label: Tensor | None, context: Tensor | None = None) -> Tensor:
        own = (None if one is None else one.to(self.device) for one in (label, context))
        return self.vae.raw(z.to(self.device), *own)

    def contexts(self, dataset: Dataset) -> Contexts | None:
        """Return the contexts that decoding needs beside z, for all rows, part after part; None where there are none.

        Draws that came from a training row get its context. Others get that of a random test row, because with a
        training row's context that part of x would always be a copy of training data. If the context determines the
        label, draws with a label get the context of a test row of their class.
        """
        parts_ = (dataset.train, dataset.validation, dataset.test)
        told = [self.vae.context_of(part.floats()) for part in parts_]
        known = [one for one in told if one is not None]
        if not known:
            return None
        n = sum(map(len, known))
        fresh = torch.arange(n - len(dataset.test), n)
        part = self.vae.part
        label = dataset.test.label if part is not None and part.tells_label else None
        return Contexts(torch.cat(known), torch.arange(len(dataset.train)), fresh=fresh, fresh_label=label)

    @property
    def prior(self) -> Prior | None:
        """p(z) on the CPU, where latents are drawn; None for a model without one."""
        if self.vae.prior is None or self.device == "cpu":
            return self.vae.prior
        return copy.deepcopy(self.vae).cpu().prior

    @property
    def class_frequencies(self) -> Tensor | None:
        """The share of each class among the training images of a conditional model; None for others."""
        return self.vae.class_frequencies

    def functions(self, how: str, seed: int, contexts: Contexts | None = None) -> ModelFunctions:
        """Return the model as functions, with a decode rule (see `decoder`) and the result of `contexts`."""
        return ModelFunctions(
            encode=self.encode,
            decode=self.decoder(how, seed),
            expected=self.expected,
            prior=self.prior,
            has_prior=self.vae.traits.prior,
            class_frequencies=self.class_frequencies,
            encode_batch=self.encode_batch,
            decode_batch=self.decode_batch,
            device=self.device,
            contexts=contexts,
        )

    def sigma_x(self) -> float | None:
        """Return the decoder's standard deviation that the loss weights imply; None where there is none."""
        loss = parts.loss(self.config)
        n_dims = int(torch.tensor(self.vae.shape).prod())
        return loss.in_sum_units(self.vae.likelihood, n_dims).sigma_x(self.vae.likelihood, n_dims)


def device_of(config: Mapping[str, Any]) -> str:
    """Return the device that trainer.accelerator names.

    Raises:
        ValueError: it names CUDA and there is none.
    """
    return device_for(str(config["trainer"]["accelerator"]))


def build(
    config: Mapping[str, Any], shape: tuple[int, ...], modality: Modality, classes: Classes | None
) -> Model:
    """Build an untrained model; its initial weights come from the seed's own stream.

    Args:
        config: the model's configuration.
        shape: the shape of one observation.
        modality: the modality, with a table's columns or missing-indicators of windows.
        classes: the result of `classes_of`.
    """
    return build_model(
        parts.architecture(config),
        parts.likelihood(config).for_table(modality.table).for_gaps(modality.gaps),
        parts.prior(config),
        shape,
        classes=classes,
        generator=stream(int(config["seed"]), "weights"),
    )


def classes_of(config: Mapping[str, Any], dataset: Dataset) -> Classes | None:
    """Return the training classes of a conditional model; None for others.

    Raises:
        ValueError: the data have no labels, or held-out images have a class without training images; one line.
    """
    if not parts.traits(config).conditional:
        return None
    found = Classes.of(dataset.train.label, dataset.n_classes)
    if found is None:
        raise ValueError(
            f"model: a conditional model needs labels; data={dataset.name} has no labels for its training images"
        )
    for part, split in (("validation", dataset.validation), ("test", dataset.test)):
        if split.label is None:
            raise ValueError(
                f"model: a conditional model needs labels; data={dataset.name} has none for its {part} images"
            )
        found.check(split.label, f"data={dataset.name}: {part} label")
    return found


def save(
    directory: Path,
    vae: Model,
    config: Mapping[str, Any],
    dataset: Dataset | Split,
) -> None:
    """Write weights and configuration."""
    table, gaps = dataset.modality.table, dataset.modality.gaps
    artifacts.save_tensors(directory / _WEIGHTS, vae.state_dict())
    content = {
        "shape": list(vae.shape),
        "kind": dataset.kind,
        **({} if table is None else {_TABLE: table.json()}),
        **({} if gaps is None else {_GAPS: gaps.json()}),
        "config": _training_part(config),
        _MAY_DIFFER: vae.moments_may_differ(
            parts.loss(config), weight_decay=float(config["trainer"]["weight_decay"])
        ),
        **vae.facts(),
    }
    artifacts.write_text(directory / _CONFIG, yaml.safe_dump(content, sort_keys=False))


def _training_part(config: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("data", "model", "likelihood", "prior", "loss", "trainer", "numerics", "seed")
    return {key: config[key] for key in keys}


def weights_file(folder: Path) -> Path:
    """Return the path of the weights that `save` wrote."""
    return folder / _WEIGHTS


def moments_match(folder: Path) -> bool | None:
    """Return whether training to convergence matches means and variances to the prior's; None where not known.

    It reads what `save` wrote, and builds nothing.

    Raises:
        Damaged: the file has changed.
    """
    artifacts.check(folder, _CONFIG)
    content = yaml.safe_load((folder / _CONFIG).read_text(encoding="utf-8"))
    return content[_MAY_DIFFER] is None if _MAY_DIFFER in content else None


def load(folder: Path) -> TrainedModel:
    """Read a model that `save` wrote, once its checksums are verified.

    Raises:
        Damaged: a file has changed.
        ValueError: the weights belong to another model; one line that names the tensor and both shapes.
    """
    artifacts.check(folder)
    content = yaml.safe_load((folder / _CONFIG).read_text(encoding="utf-8"))
    config = content["config"]
    # Every part that the file names is checked, even one that a mean does not need.
    parts.loss(config)
    counts = content.get("class_counts")
    classes = None if counts is None else Classes(tuple(counts))
    table = TableLayout.of_json(content[_TABLE]) if _TABLE in content else None
    gaps = GapLayout.of_json(content[_GAPS]) if _GAPS in content else None
    modality = modality_of(content["kind"], table, gaps)
    vae = build(config, tuple(content["shape"]), modality, classes)
    load_weights(vae, artifacts.load_tensors(folder / _WEIGHTS), origin=str(folder / _WEIGHTS))
    device = device_of(config)
    vae.to(device).eval()
    for parameter in vae.parameters():
        parameter.requires_grad_(False)
    return TrainedModel(vae, config, modality, device)
