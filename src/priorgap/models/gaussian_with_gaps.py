"""p(x|z) of windows of time series with missing values: Gaussian values, and Bernoulli missing-indicators."""

import math
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from priorgap.core.arguments import show
from priorgap.modalities import GapLayout
from priorgap.modalities.gaps import MISSING_FROM
from priorgap.models.learned_scale import start_above
from priorgap.models.likelihoods import Likelihood

_LOG_2PI = math.log(2 * math.pi)


class GaussianWithGaps(Likelihood):
    """Independent steps and channels given z, both values and missing-indicators.

    - Values: N(raw, sigma_c^2) with one learned sigma for each channel, above `min_sigma`, counted where not missing.
    - Missing-indicators: Bernoulli with logit raw.

    What is missing thus depends on z as values do, so that gaps that come with high values, or in runs, can be
    learned. The weight alpha multiplies all terms: sigma of a channel is the root mean squared error of its values at
    any alpha.
    `mean` is not an expectation: a value is missing where that is more likely than not, and the expected value
    elsewhere, so that rare gaps vanish; `draw` draws both. Values are 0 where missing, as in the data.

    Attributes:
        initial_sigma: the initial value of each sigma, in standard deviations of the column.
        min_sigma: the lower limit of each sigma.
        gaps: the roles of the channels; None until `for_gaps`.
        log_sigma: the learned parameters, [value channels]: log(sigma - min_sigma).
    """

    name = "gaussian_with_gaps"
    smooth: ClassVar[bool] = False

    def __init__(self, initial_sigma: float, min_sigma: float, gaps: GapLayout | None = None) -> None:
        super().__init__()
        start = start_above(min_sigma, initial_sigma)
        self.initial_sigma = float(initial_sigma)
        self.min_sigma = float(min_sigma)
        self.gaps = gaps
        self.log_sigma = nn.Parameter(torch.full((0 if gaps is None else gaps.n_values,), start))

    def for_gaps(self, gaps: GapLayout | None) -> "GaussianWithGaps":
        """Return the likelihood of windows with these channels.

        Raises:
            ValueError: the data are not windows with masked missing values.
        """
        if gaps is None:
            raise ValueError(
                f"likelihood={self.name}: the data have no missing-indicators; expected data=windows with "
                "data.missing=mask, or another likelihood (of series: gaussian_by_channel)"
            )
        return GaussianWithGaps(self.initial_sigma, self.min_sigma, gaps)

    def for_shape(self, shape: tuple[int, ...]) -> "GaussianWithGaps":
        """Return the likelihood, with parameters of its own.

        Raises:
            ValueError: windows have other channels, or `for_gaps` was not called.
        """
        if self.gaps is None or len(shape) != 2 or shape[1] != self.gaps.width:
            channels = "none" if self.gaps is None else f"{self.gaps.width} channels"
            raise ValueError(
                f"likelihood={self.name}: the data have shape {show(list(shape))}; windows with gaps have {channels}"
            )
        return GaussianWithGaps(self.initial_sigma, self.min_sigma, self.gaps)

    @property
    def _layout(self) -> GapLayout:
        if self.gaps is None:
            raise RuntimeError("GaussianWithGaps: call for_gaps(gaps) first")
        return self.gaps

    @property
    def sigma(self) -> Float[Tensor, "f"]:
        """The standard deviation of each value channel, in units of the column's standard deviation."""
        return self.min_sigma + self.log_sigma.exp()

    def _parts(self, x: Float[Tensor, "n t c"]) -> tuple[Float[Tensor, "n t f"], Float[Tensor, "n t m"]]:
        """Return values and indicators."""
        n = self._layout.n_values
        return x[..., :n], x[..., n:]

    def _of_values(self, indicators: Float[Tensor, "n t m"]) -> Float[Tensor, "n t f"]:
        """Return for each value channel its indicator; 0 where it has none."""
        layout = self._layout
        place = {channel: i for i, channel in enumerate(layout.about)}
        none = indicators.new_zeros((*indicators.shape[:-1], 1))
        own = [place.get(channel, len(place)) for channel in range(layout.n_values)]
        return torch.cat([indicators, none], -1)[..., own]

    def _known(self, x: Float[Tensor, "n t c"]) -> Bool[Tensor, "n t f"]:
        """Return which values are not missing."""
        return self._of_values(self._parts(x)[1]) < MISSING_FROM

    def reconstruction_loss(
        self, raw: Float[Tensor, "n t c"], x: Float[Tensor, "n t c"]
    ) -> Float[Tensor, "n"]:
        """Return -log p(x|z) without log(2 pi) / 2 of each value that is not missing, nats."""
        (mean, logit), (values, indicators) = self._parts(raw), self._parts(x)
        sigma = self.sigma
        error = (values - mean) / sigma
        of_values = (0.5 * error.square() + sigma.log()) * self._known(x)
        of_gaps = functional.binary_cross_entropy_with_logits(logit, indicators, reduction="none")
        return of_values.flatten(1).sum(1) + of_gaps.flatten(1).sum(1)

    def negative_log_likelihood(
        self, raw: Float[Tensor, "n t c"], x: Float[Tensor, "n t c"], *, sigma: float | None = None
    ) -> Float[Tensor, "n"]:
        """Return -log p(x|z): a density of the values present, a probability of gaps; sigma is ignored."""
        return self.reconstruction_loss(raw, x) + 0.5 * _LOG_2PI * self._known(x).to(raw.dtype).flatten(
            1
        ).sum(1)

    def mean(self, raw: Float[Tensor, "n t c"]) -> Float[Tensor, "n t c"]:
        """Return the expected values where presence is more likely, and indicators of missing values elsewhere."""
        values, logit = self._parts(raw)
        return self._window(values, (logit >= 0).to(raw.dtype))

    def expectation(self, raw: Float[Tensor, "n t c"]) -> Float[Tensor, "n t c"]:
        """Return E[x|z]: probabilities of gaps, and values times their probabilities of presence."""
        values, logit = self._parts(raw)
        return self._window(values, logit.sigmoid())

    @torch.no_grad()
    def draw(
        self, raw: Float[Tensor, "n t c"], *, generator: torch.Generator, sigma: float | None = None
    ) -> Float[Tensor, "n t c"]:
        """Draw the values and what is missing; sigma is ignored."""
        raw = raw.cpu()
        values, logit = self._parts(raw)
        noise = torch.randn(values.shape, generator=generator, dtype=raw.dtype)
        uniform = torch.rand(logit.shape, generator=generator, dtype=torch.float64)
        missing = uniform < logit.double().sigmoid()
        return self._window(values + self.sigma.cpu().to(raw.dtype) * noise, missing.to(raw.dtype))

    def _window(
        self, values: Float[Tensor, "n t f"], missing: Float[Tensor, "n t m"]
    ) -> Float[Tensor, "n t c"]:
        """Return windows of these indicators and of the values, which are 0 where an indicator is 1."""
        return torch.cat([values * (1 - self._of_values(missing)), missing], -1)
