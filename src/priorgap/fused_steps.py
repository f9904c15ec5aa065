"""The steps of Adam without the optimiser's bookkeeping, which costs a small network as much as its products."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_SETTINGS = ("lr", "betas", "eps", "weight_decay", "maximize", "decoupled_weight_decay")


@dataclass(frozen=True)
class _Bucket:
    """Parameters that one call of the kernel takes: their groups have the same settings, and they the same age."""

    group: dict[str, Any]
    params: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]
    count: Tensor


class FusedSteps:
    """Takes the steps of a fused Adam or AdamW: the same kernel on the same state, hence the same bits.

    `torch.optim.Adam.step` collects its state anew in each step, group by group, and counts steps by tensor. Here
    that is done once, and groups of equal settings are one call. Parameters that are not on the CPU are left to the
    optimiser's own step. Nobody else may look at the optimiser's state, or change its groups, before `close`; a
    learning rate may change at any time if there is one group.

    Args:
        optimizer: made with `fused=True`, without amsgrad; it owns parameters and state.

    Raises:
        ValueError: another kind of optimiser.
    """

    def __init__(self, optimizer: torch.optim.Adam) -> None:
        for key, expected in (("fused", True), ("amsgrad", False)):
            for group in optimizer.param_groups:
                if group[key] is not expected:
                    raise ValueError(f"{type(optimizer).__name__}: {key}={group[key]}: expected {expected}")
        self._optimizer = optimizer
        self._params: list[Tensor] = [p for group in optimizer.param_groups for p in group["params"]]
        self._on_cpu = all(p.device.type == "cpu" for p in self._params)
        self._buckets: list[_Bucket] = []
        self._n_taken = -1

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self._params:
            p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Take a step with the gradients that there are."""
        if not self._on_cpu:
            self._optimizer.step()
            return
        if sum(p.grad is not None for p in self._params) != self._n_taken:
            # the optimiser itself makes the state of parameters that it sees for the first time
            self.close()
            self._optimizer.step()
            self._collect()
            return
        for bucket in self._buckets:
            group = bucket.group
            bucket.count.add_(1)
            kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
            kernel(
                bucket.params,
                [p.grad for p in bucket.params if p.grad is not None],
                bucket.means,
                bucket.squares,
                [],
                [bucket.count] * len(bucket.params),
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=group["maximize"],
            )

    def close(self) -> None:
        """Leave the optimiser as if it had taken the steps itself."""
        for bucket in self._buckets:
            for p in bucket.params:
                self._optimizer.state[p]["step"].copy_(bucket.count)
        self._buckets, self._n_taken = [], -1

    def _collect(self) -> None:
        state = self._optimizer.state
        found: dict[tuple[Any, ...], _Bucket] = {}
        for group in self._optimizer.param_groups:
            settings = tuple(group[key] for key in _SETTINGS)
            for p in group["params"]:
                if p.grad is None:
                    continue
                own = state[p]
                key = (*settings, float(own["step"]))
                bucket = found.setdefault(key, _Bucket(group, [], [], [], own["step"].clone()))
                bucket.params.append(p)
                bucket.means.append(own["exp_avg"])
                bucket.squares.append(own["exp_avg_sq"])
        self._buckets = list(found.values())
        self._n_taken = sum(len(b.params) for b in self._buckets)


@contextmanager
def fused_steps(optimizer: torch.optim.Adam) -> Iterator[FusedSteps]:
    """Lend an optimiser's steps; at the end its state is as if it had taken them itself."""
    steps = FusedSteps(optimizer)
    try:
        yield steps
    finally:
        steps.close()
