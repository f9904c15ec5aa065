"""Near copies: draws close to one image and far from all others, and whether training images have more of them."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from priorgap.estimators.identical import ExactShare
from priorgap.estimators.two_sample import clopper_pearson
from priorgap.estimators.uncertainty import Estimate, proportion_estimate

# A draw is near an image if its distance is at most this share of the distance to the second nearest image.
RATIO = 2 / 3


@dataclass(frozen=True)
class NearCopies:
    """How many draws are near copies of training images, compared with near copies of unseen images.

    Attributes:
        share: the share of all draws that are near a training image.
        train_share: the share of training images among images with near draws, adjusted to equally many training and
            unseen images; 1/2 for every distribution that does not depend on which images were trained on. None where
            no draw is near.
        n: the number of draws.
        n_hit: the number of images with near draws, training and unseen ones together.
    """

    share: ExactShare
    train_share: ExactShare | None
    n: int
    n_hit: int


def near_copies(
    distance: Float[Tensor, "m 2"],
    index: Int[Tensor, "m 2"],
    n_train: int,
    n_unseen: int,
    *,
    level: float = 0.95,
    ratio: float = RATIO,
) -> NearCopies:
    """Count near copies of training images, and compare them with near copies of unseen images.

    A draw is near an image when no other image is less than 1 / `ratio` times as far. A ratio is used because scale
    and blur change both distances alike. Where the draws do not depend on which images were trained on, each image
    that has near draws is an unseen one with probability n_unseen / N, N = n_train + n_unseen: each image counts
    once, however many draws are near it, and the number of unseen ones is hypergeometric. The binomial limits used
    here are a little wider.

    With h the counted share of training images, train_share is (h / n_train) / (h / n_train + (1 - h) / n_unseen),
    increasing in h, and its limits are those of h.

    Args:
        distance: each draw's distances to its two nearest images, training and unseen ones together.
        index: the indices of these images; training images are 0 to n_train - 1, unseen ones follow.
        n_train, n_unseen: the number of training and of unseen images.
        level: the two-sided confidence level of the limits.
        ratio: between 0 and 1.

    Raises:
        ValueError: shapes differ, an index is too large, or a number is out of its range.

    Example:
        >>> distance, index = torch.tensor([[0.0, 9.0], [8.0, 9.0]]), torch.tensor([[0, 1], [0, 1]])
        >>> near_copies(distance, index, n_train=2, n_unseen=1).share.estimate.value
        0.5
    """
    if distance.ndim != 2 or distance.shape[1] != 2 or index.shape != distance.shape or len(distance) == 0:
        raise ValueError(
            f"distance has shape {tuple(distance.shape)}, index {tuple(index.shape)}: expected [m, 2] both"
        )
    if min(n_train, n_unseen) < 1 or int(index.max()) >= n_train + n_unseen:
        raise ValueError(
            f"n_train={n_train}, n_unseen={n_unseen}: expected positive numbers, together above each index"
        )
    if not 0 < ratio < 1:
        raise ValueError(f"ratio={ratio}: expected a number between 0 and 1")
    near = is_near(distance, ratio)
    nearest = index[:, 0]
    hit = nearest[near].unique()
    n_copies = int((near & (nearest < n_train)).sum())
    share = ExactShare.of(n_copies, len(distance), level=level)
    if len(hit) == 0:
        return NearCopies(share, None, len(distance), 0)
    found = _train_share(int((hit < n_train).sum()), len(hit), n_train, n_unseen, level)
    return NearCopies(share, found, len(distance), len(hit))


def is_near(distance: Float[Tensor, "m 2"], ratio: float = RATIO) -> Bool[Tensor, "m"]:
    """Return which draws are near their nearest image: two images at distance 0 are both near.

    Example:
        >>> is_near(torch.tensor([[0.1, 9.0], [8.0, 9.0]])).tolist()
        [True, False]
    """
    return (distance[:, 0] < ratio * distance[:, 1]) | (distance[:, 0] == 0)


def _train_share(hits: int, n: int, n_train: int, n_unseen: int, level: float) -> ExactShare:
    def balanced(share: float) -> float:
        a, b = share / n_train, (1 - share) / n_unseen
        return a / (a + b)

    low, high = clopper_pearson(hits, n, level)
    counted = proportion_estimate(hits, n)
    # The derivative of `balanced`, taken at a shrunk share so that it is never at 0 or 1.
    shrunk = (hits + 2) / (n + 4)
    slope = n_train * n_unseen / (shrunk * n_unseen + (1 - shrunk) * n_train) ** 2
    value = balanced(counted.value)
    return ExactShare(Estimate(value, slope * (counted.std_error or 0.0)), balanced(low), balanced(high))


def merged(
    parts: list[tuple[Float[Tensor, "m 2"], Int[Tensor, "m 2"]]], sizes: list[int]
) -> tuple[Float[Tensor, "m 2"], Int[Tensor, "m 2"]]:
    """Return the two nearest points over several sets, with indices that count on from set to set.

    Example:
        >>> first, second = torch.tensor([[1.0, 4.0]]), torch.tensor([[2.0, 3.0]])
        >>> index = torch.tensor([[0, 1]])
        >>> [one.tolist() for one in merged([(first, index), (second, index)], [10, 10])]
        [[[1.0, 2.0]], [[0, 10]]]
    """
    start = torch.tensor([0, *sizes]).cumsum(0)[:-1].tolist()
    distance = torch.cat([distance for distance, _ in parts], 1)
    index = torch.cat([own + first for (_, own), first in zip(parts, start, strict=True)], 1)
    order = distance.argsort(dim=1, stable=True)[:, :2]
    return distance.gather(1, order), index.gather(1, order)
