"""Networks of affine layers and ReLUs with equal shapes, stacked so that one batched product computes all of them."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

_PLAIN = (nn.Linear, nn.ReLU, nn.Flatten, nn.Unflatten)


class Stack:
    """K pairs (encoder, decoder) with their weights in tensors [K, ...].

    `views[k]` are the parameters of network k, which share memory (also of gradients) with the stack: optimisers and
    clipping work on them exactly as on a single network.

    Args:
        networks: pairs of equal architecture; their weights are copied.
        device: where the stack lies.
    """

    def __init__(
        self,
        networks: Sequence[tuple[nn.Sequential, nn.Sequential]],
        device: str | torch.device = "cpu",
    ) -> None:
        self._encoder, self._decoder = (list(part) for part in networks[0])
        rows = [[p.detach() for part in pair for p in part.parameters()] for pair in networks]
        if any([p.shape for p in row] != [p.shape for p in rows[0]] for row in rows):
            raise ValueError("networks: their layers differ in shape; expected one architecture")
        self._set([torch.stack(same).to(device) for same in zip(*rows, strict=True)])

    def _set(self, stacked: list[Tensor]) -> None:
        self._weights = [w.requires_grad_() for w in stacked]
        for weight in self._weights:
            weight.grad = torch.zeros_like(weight)
        self.views = [[self._view(w, k) for w in self._weights] for k in range(len(stacked[0]))]

    @staticmethod
    def _view(weight: Tensor, k: int) -> nn.Parameter:
        view = nn.Parameter(weight.detach()[k])
        assert weight.grad is not None
        view.grad = weight.grad[k]
        return view

    @staticmethod
    def refusal(network: nn.Sequential) -> str | None:
        """Return why a network cannot be stacked, in one line; None where it can."""
        others = [part for layer in network if type(layer) not in _PLAIN for part in layer.modules()]
        if others:
            # Prefer a part with weights, because its type says more than that of a container.
            named = next(
                (part for part in others if any(True for _ in part.parameters(recurse=False))), others[0]
            )
            return f"a layer is {type(named).__name__}: expected affine layers and ReLUs"
        if any(isinstance(layer, nn.Linear) and layer.bias is None for layer in network):
            return "an affine layer has no bias"
        return None

    def encode(self, x: Float[Tensor, "k b ..."]) -> Float[Tensor, "k b d2"]:
        """Return each encoder's output for its own rows."""
        return self._run(self._encoder, x, iter(self._weights))

    def decode(self, z: Float[Tensor, "k b d"]) -> Float[Tensor, "k b ..."]:
        """Return each decoder's raw output for its own rows."""
        n_first = 2 * sum(isinstance(layer, nn.Linear) for layer in self._encoder)
        return self._run(self._decoder, z, iter(self._weights[n_first:]))

    @staticmethod
    def _run(layers: list[nn.Module], x: Tensor, weights: "object") -> Tensor:
        for layer in layers:
            if isinstance(layer, nn.Linear):
                weight, bias = next(weights), next(weights)  # type: ignore[call-overload]
                x = torch.baddbmm(bias[:, None, :], x, weight.transpose(1, 2))
            elif isinstance(layer, nn.ReLU):
                x = x.relu()
            elif isinstance(layer, nn.Unflatten):
                x = x.unflatten(2, tuple(layer.unflattened_size))
            else:
                x = x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
        return x

    def zero_grad(self) -> None:
        """Set all gradients to zero in place, so that the views keep pointing to them."""
        for weight in self._weights:
            assert weight.grad is not None
            weight.grad.zero_()

    @torch.no_grad()
    def store(self, k: int, module: nn.Module) -> None:
        """Copy network k's weights into a module with `encoder` and `decoder` of this architecture."""
        parts = (module.encoder, module.decoder)
        targets = [p for part in parts if isinstance(part, nn.Module) for p in part.parameters()]
        for target, weight in zip(targets, self._weights, strict=True):
            target.copy_(weight[k])

    def take(self, kept: Sequence[int]) -> "Stack":
        """Return a stack of some of the networks, in new memory."""
        result = Stack.__new__(Stack)
        result._encoder, result._decoder = self._encoder, self._decoder
        result._set([weight.detach()[list(kept)] for weight in self._weights])
        return result
