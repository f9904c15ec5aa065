"""Small recurrent networks that read windows: one tells two sets apart, another predicts the next step."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from priorgap.core.devices import compute_device, placed
from priorgap.core.fit_network import fit_network
from priorgap.core.random import isolated

N_LAYERS = 2
# The values of the published code.
BATCH_SIZE, LEARNING_RATE = 128, 1e-3
_CHUNK = 2048


class GRUReader(nn.Module):
    """Two layers of GRU, and a linear map of the state at each step."""

    def __init__(self, n_channels: int, n_hidden: int, n_out: int) -> None:
        super().__init__()
        self.recurrent = nn.GRU(n_channels, n_hidden, num_layers=N_LAYERS, batch_first=True)
        self.head = nn.Linear(n_hidden, n_out)

    def forward(self, x: Float[Tensor, "n T f"]) -> Float[Tensor, "n T o"]:
        """Return the output after each step."""
        said: Tensor = self.head(self.recurrent(x)[0])
        return said


def fit_teller(
    first: Float[Tensor, "n T f"],
    second: Float[Tensor, "m T f"],
    *,
    n_hidden: int,
    n_steps: int,
    generator: torch.Generator,
) -> GRUReader:
    """Fit a classifier that tells two sets of windows apart, by cross-entropy.

    Args:
        first, second: windows on a scale of about 0 to 1.
        n_hidden: units of each layer.
        n_steps: the number of Adam's steps, rounded up to whole passes.
        generator: draws the initial weights and the order.
    """
    x = torch.cat([first, second])
    is_first = (torch.arange(len(x)) < len(first)).float()

    def loss(module: GRUReader, windows: Tensor, target: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(module(windows)[:, -1, 0], target)

    return _fitted(x.shape[2], 1, loss, (x, is_first), n_hidden, n_steps, generator)


def said_first(reader: GRUReader, x: Float[Tensor, "n T f"]) -> Bool[Tensor, "n"]:
    """Return which windows the classifier assigns to the first set."""
    return _read(reader, x)[:, -1, 0] > 0


def fit_predictor(
    x: Float[Tensor, "n T f"], *, n_hidden: int, n_steps: int, generator: torch.Generator
) -> GRUReader:
    """Fit a network that predicts each step from the steps before, by mean absolute error.

    Args:
        x: windows of at least two steps, on a scale of about 0 to 1.
        n_hidden, n_steps, generator: as in `fit_teller`.
    """

    def loss(module: GRUReader, windows: Tensor) -> Tensor:
        return functional.l1_loss(module(windows[:, :-1]), windows[:, 1:])

    return _fitted(x.shape[2], x.shape[2], loss, (x,), n_hidden, n_steps, generator)


def predicted(reader: GRUReader, x: Float[Tensor, "n T f"]) -> Float[Tensor, "n s f"]:
    """Return the network's predictions of all steps but the first."""
    return _read(reader, x[:, :-1])


def _fitted(
    n_channels: int,
    n_out: int,
    loss: Callable[..., Tensor],
    inputs: tuple[Tensor, ...],
    n_hidden: int,
    n_steps: int,
    generator: torch.Generator,
) -> GRUReader:
    with isolated(generator):
        reader = GRUReader(n_channels, n_hidden, n_out)
    fit_network(
        reader, loss, inputs,
        epochs=-(-n_steps // -(-len(inputs[0]) // BATCH_SIZE)),
        batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE, generator=generator, device=compute_device(),
    )  # fmt: skip
    return reader


@torch.no_grad()
def _read(reader: GRUReader, x: Float[Tensor, "n T f"]) -> Float[Tensor, "n T o"]:
    with placed(reader) as device:
        return torch.cat([reader(part.to(device)).cpu() for part in x.split(_CHUNK)])
