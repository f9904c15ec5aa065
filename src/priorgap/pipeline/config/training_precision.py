"""`trainer.precision=auto` as a precision: settled when a configuration is composed, before an id is made of it."""

from typing import Any

from omegaconf import DictConfig, open_dict

from priorgap.core.processor import has_bf16_products

_CHOICES = ("auto", "32-true", "bf16")


def settle(content: dict[Any, Any]) -> None:
    """Replace auto, and 32-true, by what `TrainerConfig` takes: "bf16", or None for float32.

    `data.auto_precision` and `model.auto_precision` say where bfloat16 was measured faster (benchmarks/precision.py);
    they are removed.

    Raises:
        ValueError: one line, for another precision.
    """
    hints = [
        node.pop("auto_precision", None)
        for node in map(content.get, ("data", "model"))
        if isinstance(node, dict)
    ]
    trainer = content.get("trainer")
    if isinstance(trainer, dict) and "precision" in trainer:
        trainer["precision"] = _settled(trainer["precision"], hints, trainer.get("accelerator"))


def settle_for_a_worker(config: DictConfig) -> None:
    """Settle auto on this machine: a worker on another processor would train a model with another id."""
    hints = [config[group].get("auto_precision") for group in ("data", "model")]
    trainer = config.trainer
    if trainer.get("precision") == "auto":
        with open_dict(config):
            trainer.precision = _settled("auto", hints, trainer.get("accelerator"))


def _settled(precision: Any, hints: list[Any], accelerator: Any) -> str | None:
    """Return a precision: auto is bf16 where data and model allow it, on processors with such products.

    On a GPU auto is float32: nothing was measured there.
    """
    if precision is not None and precision not in _CHOICES:
        raise ValueError(
            f"trainer.precision={precision}: expected {', '.join(_CHOICES[:-1])} or {_CHOICES[-1]}"
        )
    if precision != "auto":
        return None if precision == "32-true" else precision
    pays = "bf16" in hints and "32-true" not in hints and has_bf16_products()
    return "bf16" if pays and not _on_gpu(accelerator) else None


def _on_gpu(accelerator: Any) -> bool:
    import torch

    return accelerator != "cpu" and torch.cuda.is_available()
