"""p(x|z) of table rows: categories, numbers with a scale for each column, and missing values."""

import math
from typing import ClassVar, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from priorgap.core.arguments import show
from priorgap.models.learned_scale import start_above
from priorgap.models.likelihoods import Likelihood
from priorgap.tables.layout import TableLayout

_LOG_2PI = math.log(2 * math.pi)
# An indicator of at least this value means missing.
_HALF = 0.5


class TableLikelihood(Likelihood):
    """Independent columns given z, each with the distribution of its kind.

    - Categories: one of a block, with probabilities softmax(raw). A category that the training rows lack (a block of
      zeros) counts 0 nats.
    - Numbers: N(raw, sigma^2) with one learned sigma for each column, above `min_sigma`.
    - Missing-indicators: Bernoulli with logit raw; the number counts only where it is not missing.

    The weight alpha multiplies all terms: sigma of a column is its root mean squared error at any alpha.
    `mean` is not an expectation for categories, but the most likely one as one-hot, to which decoding to the table's
    values would round anyway. `draw` draws all columns.

    Attributes:
        initial_sigma: the initial value of each sigma, in standard deviations of the column.
        min_sigma: the lower limit of each sigma.
        table: the layout of the columns in x; None until `for_table`.
        log_sigma: the learned parameters, [numeric columns]: log(sigma - min_sigma).
    """

    name = "table"
    smooth: ClassVar[bool] = False

    def __init__(self, initial_sigma: float, min_sigma: float, table: TableLayout | None = None) -> None:
        super().__init__()
        start = start_above(min_sigma, initial_sigma)
        self.initial_sigma = float(initial_sigma)
        self.min_sigma = float(min_sigma)
        self.table = table
        columns = () if table is None else table.coded
        numeric = [column for column in columns if column.numeric]
        self.log_sigma = nn.Parameter(torch.full((len(numeric),), start))
        blocks = [column.places for column in columns if not column.numeric]
        self._places("numbers", torch.tensor([column.start for column in numeric], dtype=torch.int64))
        indicators = [column.missing for column in numeric if column.missing is not None]
        self._places("indicators", torch.tensor(indicators, dtype=torch.int64))
        has = [i for i, column in enumerate(numeric) if column.missing is not None]
        # For each indicator the number of the numeric column that it belongs to.
        self._places("about", torch.tensor(has, dtype=torch.int64))
        width = max((block.stop - block.start for block in blocks), default=0)
        places = torch.zeros((len(blocks), width), dtype=torch.int64)
        beyond = torch.ones((len(blocks), width), dtype=torch.bool)
        for row, block in enumerate(blocks):
            size = block.stop - block.start
            places[row, :size] = torch.arange(block.start, block.stop)
            beyond[row, :size] = False
        # The blocks are stacked, and shorter ones are padded.
        self._places("categories", places)
        self._places("beyond", beyond)

    def _places(self, name: str, places: Tensor) -> None:
        # These tensors follow from the table's layout, so they are not stored with the weights.
        self.register_buffer(name, places, persistent=False)

    def _place(self, name: str) -> Tensor:
        return cast(Tensor, getattr(self, name))

    def for_table(self, table: TableLayout | None) -> "TableLikelihood":
        """Return the likelihood of a table's columns.

        Raises:
            ValueError: there is no table.
        """
        if table is None:
            raise ValueError(
                "likelihood=table: the data are no table; expected data=table, or another likelihood"
            )
        return TableLikelihood(self.initial_sigma, self.min_sigma, table)

    def for_shape(self, shape: tuple[int, ...]) -> "TableLikelihood":
        """Return the likelihood, with parameters of its own.

        Raises:
            ValueError: the table's rows have another shape, or there is no table.
        """
        if self.table is None or tuple(shape) != (self.table.width,):
            width = "none" if self.table is None else f"{self.table.width} values"
            raise ValueError(
                f"likelihood=table: the data have shape {show(list(shape))}; the table's rows have {width}"
            )
        return TableLikelihood(self.initial_sigma, self.min_sigma, self.table)

    @property
    def sigma(self) -> Float[Tensor, "k"]:
        """The standard deviation of each numeric column, in units of that of the training rows."""
        return self.min_sigma + self.log_sigma.exp()

    def _known(self, x: Float[Tensor, "n d"]) -> Bool[Tensor, "n k"]:
        """Return which numbers are not missing."""
        known = torch.ones((len(x), len(self.log_sigma)), dtype=torch.bool, device=x.device)
        known[:, self._place("about")] = x[:, self._place("indicators")] < _HALF
        return known

    def _blocks(self, raw: Float[Tensor, "n d"], fill: float) -> Float[Tensor, "n b w"]:
        """Return the blocks of categories stacked along a new axis."""
        blocks = raw[:, self._place("categories").reshape(-1)].reshape(len(raw), *self._place("beyond").shape)
        return blocks.masked_fill(self._place("beyond"), fill)

    def reconstruction_loss(self, raw: Float[Tensor, "n d"], x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return -log p(x|z) without log(2 pi) / 2 of each number that is not missing, nats."""
        numbers, sigma = self._place("numbers"), self.sigma
        error = (x[:, numbers] - raw[:, numbers]) / sigma
        of_numbers = (0.5 * error.square() + sigma.log()) * self._known(x)
        indicators = self._place("indicators")
        of_missing = functional.binary_cross_entropy_with_logits(
            raw[:, indicators], x[:, indicators], reduction="none"
        )
        log_p = self._blocks(raw, -math.inf).log_softmax(2) if len(self._place("categories")) else raw[:, :0]
        chosen = self._blocks(x, 0.0) if len(self._place("categories")) else x[:, :0]
        # The padding of a block has log-probability -inf; it is replaced by 0 because -inf times 0 is NaN.
        of_categories = -(chosen * log_p.masked_fill(chosen == 0, 0.0)).flatten(1).sum(1)
        return of_numbers.sum(1) + of_missing.sum(1) + of_categories

    def negative_log_likelihood(
        self, raw: Float[Tensor, "n d"], x: Float[Tensor, "n d"], *, sigma: float | None = None
    ) -> Float[Tensor, "n"]:
        """Return -log p(x|z): a density of standardised numbers, a probability of all else; sigma is ignored."""
        return self.reconstruction_loss(raw, x) + 0.5 * _LOG_2PI * self._known(x).sum(1)

    def mean(self, raw: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return the expected numbers, and the most likely of each column's categories as one-hot."""
        return self._row(raw, self._blocks(raw, -math.inf), raw, raw[:, self._place("indicators")] >= 0)

    def expectation(self, raw: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return E[x|z]: probabilities of categories and missing values, numbers times probabilities of presence."""
        x = torch.zeros_like(raw)
        numbers, indicators, about = (self._place(name) for name in ("numbers", "indicators", "about"))
        x[:, numbers] = raw[:, numbers]
        x[:, indicators] = raw[:, indicators].sigmoid()
        x[:, numbers[about]] *= 1 - x[:, indicators]
        if len(self._place("categories")):
            there = ~self._place("beyond")
            x[:, self._place("categories")[there]] = self._blocks(raw, -math.inf).softmax(2)[:, there]
        return x

    @torch.no_grad()
    def draw(
        self, raw: Float[Tensor, "n d"], *, generator: torch.Generator, sigma: float | None = None
    ) -> Float[Tensor, "n d"]:
        """Draw numbers, categories and what is missing; sigma is ignored."""
        device, raw = self.log_sigma.device, raw.to(self.log_sigma.device)
        # Noise is drawn once for all columns, because rows are drawn one by one.
        normal = torch.randn(raw.shape, generator=generator, dtype=raw.dtype).to(device)
        uniform = torch.rand(raw.shape, generator=generator, dtype=torch.float64).clamp(min=1e-300).to(device)
        numbers, indicators = self._place("numbers"), self._place("indicators")
        drawn = raw.clone()
        drawn[:, numbers] += self.sigma * normal[:, numbers]
        # The argmax of logits plus Gumbel noise is a draw from their softmax.
        noisy = raw.double() - (-uniform.log()).log()
        missing = uniform[:, indicators] < raw[:, indicators].double().sigmoid()
        return self._row(drawn, self._blocks(noisy, -math.inf), raw, missing).cpu()

    def _row(
        self,
        numbers: Float[Tensor, "n d"],
        blocks: Float[Tensor, "n b w"],
        like: Float[Tensor, "n d"],
        missing: Bool[Tensor, "n m"],
    ) -> Float[Tensor, "n d"]:
        """Return rows with these numbers (0 where missing), each block's largest entry as one-hot, and indicators."""
        x = torch.zeros_like(like)
        places = self._place("numbers")
        x[:, places] = numbers[:, places]
        x[:, places[self._place("about")]] *= ~missing
        x[:, self._place("indicators")] = missing.to(x.dtype)
        if blocks.shape[1]:
            chosen = blocks.argmax(2)
            at = self._place("categories").expand(len(x), -1, -1).gather(2, chosen[:, :, None]).squeeze(2)
            x.scatter_(1, at, 1.0)
        return x
