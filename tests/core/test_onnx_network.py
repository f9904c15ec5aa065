"""Networks from ONNX files: the same numbers for any batch; files that are none, or reach elsewhere, are one line."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx_networks import affine

from priorgap.core.onnx_network import OnnxNetwork

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")

W = np.random.default_rng(0).normal(size=(6, 2))


@pytest.mark.parametrize("batch", ["b", 1, 4, 50])
def test_rows_come_out_as_they_went_in_whatever_the_batch_of_the_file(batch, tmp_path, generator):
    network = OnnxNetwork(affine(tmp_path / "a.onnx", [W], batch=batch), "encoder")
    x = torch.randn(11, 6, generator=generator)
    (found,) = network(x)
    torch.testing.assert_close(found, x @ torch.tensor(W, dtype=torch.float32))
    assert network.batch == (None if batch == "b" else batch)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float16, 2e-2), (np.float32, 1e-6), (np.float64, 1e-12)]
)
def test_types_of_floats(dtype, tolerance, tmp_path, generator):
    network = OnnxNetwork(affine(tmp_path / "a.onnx", [W], dtype=dtype), "encoder")
    x = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    (found,) = network(x)
    assert found.dtype == (torch.float64 if dtype == np.float64 else torch.float32)
    torch.testing.assert_close(found.double(), x @ torch.tensor(W), atol=tolerance * 10, rtol=tolerance)


def test_several_outputs_and_images(tmp_path, generator):
    file = affine(tmp_path / "a.onnx", [W, 2 * W], names=["mean", "log_var"], shape=(1, 2, 3))
    network = OnnxNetwork(file, "encoder")
    assert network.outputs == ("mean", "log_var") and network.shape == (1, 2, 3)
    x = torch.randn(3, 1, 2, 3, generator=generator)
    a, b = network(x)
    torch.testing.assert_close(2 * a, b)
    with pytest.raises(ValueError, match=r"input x is \[b, 1, 2, 3\]; got rows of shape \(6,\)"):
        network(x.flatten(1))


def refused(path: Path) -> str:
    with pytest.raises(ValueError) as caught:
        OnnxNetwork(path, "encoder")
    message = str(caught.value)
    assert message.startswith("encoder=") and "\n" not in message and len(message) < 500
    return message


def test_what_is_no_network_is_one_line(tmp_path):
    assert "no such file" in refused(tmp_path / "none.onnx")
    assert "a folder" in refused(tmp_path)
    (tmp_path / "text.onnx").write_text("hello")
    assert "cannot be read as an ONNX network" in refused(tmp_path / "text.onnx")
    whole = affine(tmp_path / "whole.onnx", [W]).read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read as an ONNX network" in refused(tmp_path / "cut.onnx")


def test_inputs_that_are_not_one_batch_of_floats(tmp_path):
    helper = onnx.helper
    for inputs, words in (
        ([("a", 1, ["b", 3]), ("c", 1, ["b", 3])], "has 2 inputs (a, c)"),
        ([("a", 7, ["b", 3])], "its input a is tensor(int64)"),
        ([("a", 1, ["b"])], "expected floats [b, ...]"),
    ):
        values = [helper.make_tensor_value_info(*one) for one in inputs]
        nodes = [helper.make_node("Identity", [inputs[0][0]], ["y"])]
        graph = helper.make_graph(
            nodes, "g", values, [helper.make_tensor_value_info("y", inputs[0][1], None)]
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        assert words in refused(tmp_path / "m.onnx")


def external(folder: Path, location: str) -> Path:
    """Write a network whose weights lie in a file of their own."""
    helper, kind = onnx.helper, onnx.TensorProto
    weight = kind(name="w", data_type=kind.FLOAT, dims=[4], data_location=kind.EXTERNAL)
    entry = weight.external_data.add()
    entry.key, entry.value = "location", location
    sides = [helper.make_tensor_value_info(name, kind.FLOAT, ["b", 4]) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])], "g", sides[:1], sides[1:], [weight]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return folder / "m.onnx"


def test_weights_beside_the_file_are_read_and_those_elsewhere_refused(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    values = np.arange(4, dtype=np.float32)
    for file in (own / "weights.bin", tmp_path / "secret.bin"):
        values.tofile(file)
    (own / "link.bin").symlink_to(tmp_path / "secret.bin")
    (found,) = OnnxNetwork(external(own, "weights.bin"), "encoder")(torch.zeros(1, 4))
    assert found.flatten().tolist() == values.tolist()
    for location in ("../secret.bin", str(tmp_path / "secret.bin"), "link.bin", "./../own/../secret.bin"):
        message = refused(external(own, location))
        assert "External data path" in message


def test_a_runtime_that_is_not_installed_is_one_line(tmp_path, monkeypatch):
    file = affine(tmp_path / "a.onnx", [W])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert refused(file).endswith("expected the extra onnx: pip install 'priorgap[onnx]'")
