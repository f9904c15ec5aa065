"""Resolves `trainer.precision=auto` when a configuration is composed, before an id is computed from it."""

from collections.abc import Container
from typing import Any

from omegaconf import DictConfig, open_dict

from priorgap.core.processor import has_bf16_products

KEY = "trainer.precision"
_FLOAT32 = "32-true"
_CHOICES = ("auto", _FLOAT32, "bf16")


def settle(content: dict[Any, Any]) -> None:
    """Replace auto and 32-true by the values of `TrainerConfig`: "bf16", or None for float32.

    `data.auto_precision` says where bfloat16 was measured faster (benchmarks/precision.py); that key is removed.

    Raises:
        ValueError: the precision is another one; one line.
    """
    data, trainer = content.get("data"), content.get("trainer")
    hint = data.pop("auto_precision", None) if isinstance(data, dict) else None
    if isinstance(trainer, dict) and "precision" in trainer:
        pays = _pays(hint, content.get("model") or {})
        trainer["precision"] = _settled(trainer["precision"], pays, trainer.get("accelerator"))


def settle_for_a_worker(config: DictConfig) -> None:
    """Resolve auto on this machine, because a worker with another processor would get a model with another id."""
    trainer = config.trainer
    if trainer.get("precision") == "auto":
        pays = _pays(config.data.get("auto_precision"), config.model)
        with open_dict(config):
            trainer.precision = _settled("auto", pays, trainer.get("accelerator"))


def named(key: str, value: Any) -> Any:
    """Return a setting as users write it: a configuration keeps float32 as None."""
    return _FLOAT32 if key == KEY and value is None else value


def _pays(hint: Any, model: Container[str]) -> bool:
    """Return whether bfloat16 is faster for such data and possible: not for GANs (models with an adversary)."""
    return hint == "bf16" and "adversary" not in model


def _settled(precision: Any, pays: bool, accelerator: Any) -> str | None:
    """Return the precision for a setting: auto is bf16 where that is faster and the processor has such products.

    On a GPU auto is float32, because nothing was measured there.
    """
    if precision is not None and precision not in _CHOICES:
        choices = f"{', '.join(_CHOICES[:-1])} or {_CHOICES[-1]}"
        raise ValueError(f"{KEY}={precision}: expected {choices}")
    if precision != "auto":
        return None if precision == _FLOAT32 else precision
    return "bf16" if pays and has_bf16_products() and not _on_gpu(accelerator) else None


def _on_gpu(accelerator: Any) -> bool:
    import torch

    return accelerator != "cpu" and torch.cuda.is_available()
