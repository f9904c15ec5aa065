"""`trainer.precision=auto` becomes a precision before anything is named by it."""

import pytest
from omegaconf import OmegaConf

from priorgap.pipeline.config import training_precision
from priorgap.pipeline.config.training_precision import settle, settle_for_a_worker


def content(precision, *, data=None, gan=False, accelerator="cpu"):
    return {
        "data": {"name": "x", **({} if data is None else {"auto_precision": data})},
        "model": {"latent_dim": 2, **({"adversary": {"r1": 1.0}} if gan else {})},
        "trainer": {"precision": precision, "accelerator": accelerator},
    }


@pytest.mark.parametrize(
    ("has", "given", "expected"),
    [
        (True, content("auto", data="bf16"), "bf16"),
        # small data, a GAN, a processor without such products
        (True, content("auto"), None),
        (True, content("auto", data="bf16", gan=True), None),
        (False, content("auto", data="bf16"), None),
        # what is said stands, wherever
        (True, content("32-true", data="bf16"), None),
        (True, content(None, data="bf16"), None),
        (False, content("bf16"), "bf16"),
    ],
)
def test_auto_is_settled_by_data_model_and_processor(monkeypatch, has, given, expected):
    monkeypatch.setattr(training_precision, "has_bf16_products", lambda: has)
    sent = OmegaConf.create(given)
    settle(given)
    assert given["trainer"]["precision"] == expected
    assert given["data"] == {"name": "x"}
    # a worker on another processor composes the same configuration again, and finds the sender's choice
    settle_for_a_worker(sent)
    monkeypatch.setattr(training_precision, "has_bf16_products", lambda: not has)
    arrived = OmegaConf.to_container(sent)
    settle(arrived)
    assert arrived == given


def test_auto_is_float32_on_a_gpu(monkeypatch):
    monkeypatch.setattr(training_precision, "has_bf16_products", lambda: True)
    monkeypatch.setattr(training_precision, "_on_gpu", lambda accelerator: accelerator != "cpu")
    for accelerator, expected in (("auto", None), ("cuda", None), ("cpu", "bf16")):
        given = content("auto", data="bf16", accelerator=accelerator)
        settle(given)
        assert given["trainer"]["precision"] == expected


def test_an_unknown_precision_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r"^trainer.precision=fp8: expected auto, 32-true or bf16$"):
        settle(content("fp8"))


def test_float32_is_named_as_users_write_it():
    settled = content("32-true", data="bf16")
    settle(settled)
    assert training_precision.named("trainer.precision", settled["trainer"]["precision"]) == "32-true"
    assert training_precision.named("trainer.precision", "bf16") == "bf16"
    # null of any other key stays what it is
    assert training_precision.named("trainer.scheduler", None) is None
