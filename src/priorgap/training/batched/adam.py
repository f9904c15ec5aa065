"""Adam and AdamW for members of a batch: torch's fused kernel, called once for all members of one learning rate.

`torch.optim` handles hundreds of tensors one by one in each step, which for small networks takes longer than the
kernel itself, and it imports torch's compiler, which takes a new process as long as importing torch. The kernel is a
private function of torch, so a test compares this class with `torch.optim`, bit for bit.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_BETAS, _EPS = (0.9, 0.999), 1e-8


class Adam:
    """Adam's state of every member, with torch's defaults.

    Args:
        views: each member's parameters; their gradients exist already, and stay the same tensors.
        learning_rates: the learning rate of each member.
        weight_decay: the weight decay of all members.
        decoupled: whether weight decay is decoupled, as in AdamW.
    """

    def __init__(
        self,
        views: Sequence[Sequence[nn.Parameter]],
        learning_rates: Sequence[float],
        *,
        weight_decay: float,
        decoupled: bool,
    ) -> None:
        self._rates = list(learning_rates)
        self._weight_decay = weight_decay
        self._kernel = torch._fused_adamw_ if decoupled else torch._fused_adam_
        self._means = [[torch.zeros_like(p) for p in member] for member in views]
        self._squares = [[torch.zeros_like(p) for p in member] for member in views]
        self._count = torch.zeros((), device=views[0][0].device)
        self._collect(views)

    def _collect(self, views: Sequence[Sequence[nn.Parameter]]) -> None:
        """Collect the arguments of the kernel's calls: the members of each learning rate."""
        self._calls: list[tuple[float, list[Tensor], list[Tensor], list[Tensor], list[Tensor]]] = []
        for rate in dict.fromkeys(self._rates):
            chosen = [k for k, own in enumerate(self._rates) if own == rate]
            params = [p for k in chosen for p in views[k]]
            grads = [p.grad for p in params if p.grad is not None]
            means = [t for k in chosen for t in self._means[k]]
            squares = [t for k in chosen for t in self._squares[k]]
            self._calls.append((rate, list(params), grads, means, squares))

    @torch.no_grad()
    def step(self) -> None:
        """Take a step for every member with the current gradients."""
        self._count.add_(1)
        for rate, params, grads, means, squares in self._calls:
            self._kernel(
                params, grads, means, squares, [], [self._count] * len(params),
                lr=rate, beta1=_BETAS[0], beta2=_BETAS[1], weight_decay=self._weight_decay, eps=_EPS,
                amsgrad=False, maximize=False,
            )  # fmt: skip

    def take(self, kept: Sequence[int], views: Sequence[Sequence[nn.Parameter]]) -> None:
        """Keep only some of the members; `views` are their parameters from now on."""
        self._rates = [self._rates[k] for k in kept]
        self._means = [self._means[k] for k in kept]
        self._squares = [self._squares[k] for k in kept]
        self._collect(views)
