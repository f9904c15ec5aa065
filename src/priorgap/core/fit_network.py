"""The training loop of all auxiliary networks: classifiers, flows, second-stage models, two-sample networks."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

# Inputs of at most this size, in bytes, go to the device as a whole.
_KEPT_ON_DEVICE = 2**30

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class FitCurve:
    """Mean training loss of each epoch."""

    losses: list[float]


def fit_network(
    module: M,
    loss_fn: Callable[..., Tensor],
    inputs: tuple[Tensor, ...],
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
    device: str | torch.device = "cpu",
    weight_decay: float = 0.0,
    schedule: Literal["constant", "cosine"] = "constant",
    progress: Callable[[int, float], None] | None = None,
) -> FitCurve:
    """Minimise `loss_fn(module, *batch)` with Adam over shuffled batches; the module ends in eval mode.

    Args:
        module: moved to `device`, and back to the CPU at the end.
        loss_fn: returns the mean loss of a batch; its own random draws must come from a generator of its own.
        inputs: tensors with the same number of rows.
        epochs: passes over the rows.
        batch_size: rows per step; the last batch of an epoch may be smaller.
        learning_rate: Adam's; with `schedule="cosine"` it falls to 0.
        generator: draws the order of the rows.
        device: where to compute. Rows that are not too many are kept there.
        weight_decay: decoupled (AdamW); 0 is Adam.
        schedule: the course of the learning rate over steps.
        progress: called after each epoch with its number (from 1) and mean loss.

    Raises:
        ValueError: no rows, inputs of different lengths, or a size below 1.
        RuntimeError: the loss is not finite.
    """
    n = len(inputs[0]) if inputs else 0
    if n == 0 or any(len(t) != n for t in inputs):
        raise ValueError(f"inputs have {[len(t) for t in inputs]} rows: expected the same positive number")
    if epochs < 1 or batch_size < 1:
        raise ValueError(f"epochs={epochs}, batch_size={batch_size}: expected at least 1 of each")
    module.to(device).train()
    if sum(t.numel() * t.element_size() for t in inputs) <= _KEPT_ON_DEVICE:
        inputs = tuple(t.to(device) for t in inputs)
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True
    )
    n_steps = epochs * -(-n // batch_size)
    losses: list[float] = []
    step = 0
    for epoch in range(epochs):
        total = torch.zeros((), dtype=torch.float64, device=device)
        order = torch.randperm(n, generator=generator).to(inputs[0].device)
        for rows in order.split(batch_size):
            if schedule == "cosine":
                optimizer.param_groups[0]["lr"] = (
                    learning_rate * 0.5 * (1 + math.cos(math.pi * step / n_steps))
                )
            parts = (t.index_select(0, rows.to(t.device)) for t in inputs)
            loss = loss_fn(module, *(part.to(device, non_blocking=True) for part in parts))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach().double() * len(rows)
            step += 1
        losses.append(float(total) / n)
        if not math.isfinite(losses[-1]):
            raise RuntimeError(f"the loss of {type(module).__name__} is {losses[-1]} in epoch {epoch}")
        if progress is not None:
            progress(epoch + 1, losses[-1])
    module.cpu().eval()
    return FitCurve(losses)
