"""ONNX files for tests: affine networks written node by node, and a VAE of ours as its exporter writes it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from priorgap.models.vae import VAE


def affine(
    path: Path,
    weights: Sequence[np.ndarray],
    *,
    names: Sequence[str] = (),
    batch: int | str = "b",
    dtype: type = np.float32,
    shape: Sequence[int] = (),
) -> Path:
    """Write a network whose outputs are x @ w for each weight; of images [b, *shape], flattened."""
    onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
    helper = onnx.helper
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    n_in = weights[0].shape[0]
    names = names or [f"y{i}" for i in range(len(weights))]
    nodes = [helper.make_node("Flatten", ["x"], ["flat"], axis=1)]
    nodes += [helper.make_node("MatMul", ["flat", f"w{i}"], [name]) for i, name in enumerate(names)]
    graph = helper.make_graph(
        nodes, "affine",
        [helper.make_tensor_value_info("x", kind, [batch, *(shape or (n_in,))])],
        [helper.make_tensor_value_info(n, kind, [batch, w.shape[1]]) for n, w in zip(names, weights, strict=True)],
        [onnx.numpy_helper.from_array(w.astype(dtype), f"w{i}") for i, w in enumerate(weights)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


class _Decoder(torch.nn.Module):
    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, z):
        return self.vae.decode(z)


class _Encoder(_Decoder):
    def forward(self, x):
        return self.vae.encode(x)


def exported(vae: VAE, folder: Path) -> tuple[Path, Path]:
    """Write encoder and decoder of a VAE as torch's exporter does; rows of any number."""
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package, reason=f"the package {package} is not installed")
    files = folder / "encoder.onnx", folder / "decoder.onnx"
    inputs = torch.zeros(2, *vae.shape), torch.zeros(2, vae.latent_dim)
    for module, x, file, names in (
        (_Encoder(vae), inputs[0], files[0], ["mean", "log_var"]),
        (_Decoder(vae), inputs[1], files[1], ["x"]),
    ):
        torch.onnx.export(
            module.eval(), (x,), file, input_names=["rows"], output_names=names, dynamo=True, verbose=False,
            dynamic_shapes=({0: torch.export.Dim("b")},),
        )  # fmt: skip
    return files
