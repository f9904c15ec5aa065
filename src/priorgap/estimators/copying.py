"""Copying: distances to nearest training images, AUCs over these distances, and the share of near copies."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.estimators.checks import check_matrix, check_vector
from priorgap.estimators.uncertainty import Estimate, normal_quantile, proportion_estimate

# The numbers of rows of b, and of a, that are centred and converted at a time.
_TILE = 4096
_QUERIES = 16384


def nearest_distance(
    a: Float[Tensor, "m D"],
    b: Float[Tensor, "n D"],
    *,
    exclude: Int[Tensor, "m"] | None = None,
    chunk: int = 512,
) -> tuple[Float[Tensor, "m"], Int[Tensor, "m"]]:
    """Return each row of a's Euclidean distance to its nearest row of b, and that row's index.

    The nearest row is found by matrix products over tiles (memory chunk x 4096 + 16,384 x D), its distance by a
    direct difference in float64, so that an identical row has distance exactly 0. Rows so close that float32 products
    cannot order them are searched again in float64.

    Args:
        a: queries.
        b: the rows to search.
        exclude: exclude[i] = j leaves row j of b out for query i; -1 leaves out none.
        chunk: the number of queries that are processed at a time.

    Returns:
        Distances [m], float64, in the units of the space; indices [m].

    Raises:
        ValueError: shapes differ, or `exclude` leaves nothing to search.

    Example:
        >>> a, b = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [9.0, 9.0]])
        >>> distance, index = nearest_distance(a, b)
        >>> distance.tolist(), index.tolist()
        ([5.0], [0])
    """
    check_matrix("a", a)
    check_matrix("b", b, n_columns=a.shape[1])
    if exclude is not None and (exclude.shape != (len(a),) or len(b) < 2):
        raise ValueError(
            f"exclude has shape {tuple(exclude.shape)}: expected [{len(a)}] and b of at least 2 rows"
        )
    dtype = torch.float64 if torch.float64 in (a.dtype, b.dtype) else torch.float32
    index = _search(a, b, exclude, dtype, chunk)
    distance = _direct(a, b, index, chunk)
    if dtype == torch.float32:
        noise = 4e-7 * math.sqrt(a.shape[1]) * _scale(a, b)
        close = ((distance > 0) & (distance.square() < noise)).nonzero()[:, 0]
        if len(close):
            again = None if exclude is None else exclude[close]
            index[close] = _search(a[close], b, again, torch.float64, chunk)
            distance[close] = _direct(a[close], b, index[close], chunk)
    return distance, index


def _scale(a: Tensor, b: Tensor) -> float:
    centre = b.double().mean(0)
    return sum(float((x - centre.to(x.dtype)).square().sum(1).max()) for x in (a, b))


def _direct(a: Tensor, b: Tensor, index: Tensor, chunk: int) -> Tensor:
    parts = zip(a.split(chunk), index.split(chunk), strict=True)
    return torch.cat([(rows.double() - b[i].double()).square().sum(1).sqrt() for rows, i in parts])


def _search(a: Tensor, b: Tensor, exclude: Tensor | None, dtype: torch.dtype, chunk: int) -> Tensor:
    """Return the index of the nearest row of b, up to the rounding of products in `dtype`."""
    centre = b.double().mean(0)
    index = torch.zeros(len(a), dtype=torch.long)
    best = torch.full((len(a),), math.inf, dtype=dtype)
    for first in range(0, len(a), _QUERIES):
        some = slice(first, first + _QUERIES)
        queries = torch.cat([(rows.double() - centre).to(dtype) for rows in a[some].split(chunk)])
        left_out = None if exclude is None else exclude[some]
        for offset in range(0, len(b), _TILE):
            tile = (b[offset : offset + _TILE].double() - centre).to(dtype)
            _search_tile(queries, tile, offset, left_out, chunk, best[some], index[some])
    return index


def _search_tile(
    queries: Tensor,
    tile: Tensor,
    offset: int,
    exclude: Tensor | None,
    chunk: int,
    best: Tensor,
    index: Tensor,
) -> None:
    """Lower `best`, and set `index`, where a row of the tile (its first is row `offset`) is nearer than before."""
    norm, transposed = tile.square().sum(1), tile.T.contiguous()
    buffer = tile.new_empty(min(chunk, len(queries)), len(tile))
    for start in range(0, len(queries), chunk):
        rows = queries[start : start + chunk]
        # |x|^2 is the same for the whole row, so the order needs only |y|^2 - 2 x.y
        score = torch.addmm(norm[None, :], rows, transposed, alpha=-2.0, out=buffer[: len(rows)])
        if exclude is not None:
            column = exclude[start : start + chunk] - offset
            row = ((column >= 0) & (column < len(tile))).nonzero()[:, 0]
            score[row, column[row]] = math.inf
        least = score.amin(1)
        # argmin runs only over the rows that found a nearer one.
        better = (least < best[start : start + chunk]).nonzero()[:, 0]
        best[start + better] = least[better]
        index[start + better] = score[better].argmin(1) + offset


def auc(smaller: Float[Tensor, "n"], larger: Float[Tensor, "m"]) -> Estimate:
    """Return P(a < b) + 1/2 P(a = b) for a from `smaller`, b from `larger`, with DeLong's standard error.

    Unbiased, 0 to 1; 1/2 when both have one distribution. Where DeLong's error is 0 (perfectly separated sets) it
    is that of `auc_error` at a value a little inside. An interval: `auc_limits`.

    **Source**: DeLong, DeLong & Clarke-Pearson (1988).

    Example:
        >>> auc(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 3.0])).value
        0.875
    """
    check_vector("smaller", smaller)
    check_vector("larger", larger)
    a, b = smaller.double().contiguous(), larger.double().contiguous()
    above = 1 - _mid_rank(b, a)
    below = _mid_rank(a, b)
    value = float(above.mean())
    if min(len(a), len(b)) < 2:
        return Estimate(value)
    error = math.sqrt(float(above.var() / len(a) + below.var() / len(b)))
    least = min(len(a), len(b))
    return Estimate(value, error or auc_error((value * least + 2) / (least + 4), len(a), len(b)))


def auc_error(value: float, n: int, m: int) -> float:
    """Return the standard error of an area with this value from n and m draws, assuming exponential scores.

    sqrt(v (1 - v) (1 + (k - 1) ((1 - v) / (2 - v) + v / (1 + v))) / (n m)), k = (n + m) / 2: at 1/2 the null's.

    **Source**: Hanley & McNeil (1982), with Newcombe's (2006) mean of both sizes.

    Example:
        >>> round(auc_error(0.5, 100, 100), 3)
        0.041
    """
    mean = 0.5 * (n + m) - 1
    spread = 1 + mean * ((1 - value) / (2 - value) + value / (1 + value))
    return math.sqrt(max(0.0, value * (1 - value) * spread / (n * m)))


def auc_limits(value: float, n: int, m: int, level: float = 0.95) -> tuple[float, float]:
    """Return an area's confidence limits: the values that are z standard errors away, inside [0, 1] and never equal.

    **Source**: Newcombe (2006), "Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic", method 5: a score interval, whose error is that at the limit, not at the estimate.

    Raises:
        ValueError: a value outside [0, 1], n or m below 2, or a level outside (0, 1).

    Example:
        >>> [round(x, 2) for x in auc_limits(0.5, 100, 100)]
        [0.42, 0.58]
    """
    if not 0 <= value <= 1 or min(n, m) < 2:
        raise ValueError(
            f"value={value}, n={n}, m={m}: expected a number from 0 to 1 and sizes of at least 2"
        )
    z = normal_quantile(0.5 + 0.5 * level)
    ends = []
    for outer in (0.0, 1.0):
        # The limit lies between `inner` and `outer`; each step halves the interval.
        inner, beyond = value, outer
        for _ in range(60):
            middle = 0.5 * (inner + beyond)
            if abs(value - middle) <= z * auc_error(middle, n, m):
                inner = middle
            else:
                beyond = middle
        ends.append(inner)
    return ends[0], ends[1]


def _mid_rank(among: Tensor, x: Tensor) -> Tensor:
    """Return the share of `among` below each x, ties counted half."""
    among = among.sort().values
    count = torch.searchsorted(among, x, right=False) + torch.searchsorted(among, x, right=True)
    return count.double() / (2 * len(among))


def memorisation_auc(
    posterior_to_train: Float[Tensor, "n"], heldout_to_swapped: Float[Tensor, "m"]
) -> Estimate:
    """Return P(d(posterior_i, T) < d(heldout_j, T with one random image exchanged for x_j)), ties half.

    In both cases the draw's own source is among the images searched, but only the first source was trained on. 1/2
    when training gives an image's own draw no extra closeness (held-out images drawn at random from the training
    pool), above it when the model memorises. Standard error by DeLong.

    Args:
        posterior_to_train: distance of posterior draws of training images to the training set.
        heldout_to_swapped: distance of posterior draws of held-out images to the training set in which a
            random image is replaced by the draw's own source.

    Example:
        >>> memorisation_auc(torch.tensor([0.1, 0.2]), torch.tensor([0.5, 0.6])).value  # training codes lie nearer
        1.0
    """
    return auc(posterior_to_train, heldout_to_swapped)


def least_heldout(q: float) -> int:
    """Return the number of held-out draws that a q quantile needs: 1/q - 1.

    Example:
        >>> least_heldout(0.01)
        99
    """
    return math.ceil(1 / q - 1 - 1e-9)


def near_copy_excess(
    sample_distance: Float[Tensor, "n"], heldout_distance: Float[Tensor, "m"], q: float = 0.01
) -> Estimate:
    """Return P(d(sample, T) < Q) - q, Q the q quantile of the held-out draws' distance to T.

    The share of samples closer to a training image than all but a fraction q of draws that cannot have
    copied. 0 when samples have the distribution of held-out draws, at most 1 - q; negative for samples that are far
    from all images. Q sits at rank q (m + 1), so that E F(Q) = q and the excess is unbiased at its null. The standard
    error has the binomial part and the quantile's (by moving Q one standard error both ways).

    Raises:
        ValueError: q outside (0, 1/2], or fewer than 1/q - 1 held-out distances.

    Example:
        >>> heldout = torch.arange(1.0, 101.0)
        >>> near_copy_excess(torch.zeros(50), heldout, q=0.1).value  # every sample is a copy
        0.9
    """
    check_vector("sample_distance", sample_distance)
    if not 0.0 < q <= 0.5:
        raise ValueError(f"q={q}: expected a number above 0, at most 0.5")
    check_vector("heldout_distance", heldout_distance, min_length=least_heldout(q))
    heldout, n = heldout_distance.double().sort().values, len(sample_distance)
    step = math.sqrt(q * (1 - q) / len(heldout))
    threshold, low, high = (_quantile(heldout, level) for level in (q, q - step, q + step))
    sample = sample_distance.double()
    share = proportion_estimate(int((sample < threshold).sum()), n)
    wobble = 0.5 * float(((sample < high).sum() - (sample < low).sum()) / n)
    return Estimate(share.value - q, math.hypot(share.std_error or 0.0, wobble))


def _quantile(ordered: Tensor, level: float) -> float:
    """Return the value at rank level * (m + 1), interpolated, kept inside the data."""
    rank = min(max(level * (len(ordered) + 1), 1.0), float(len(ordered)))
    below = math.floor(rank + 1e-9)
    above = min(below + 1, len(ordered))
    return float(ordered[below - 1] + (rank - below) * (ordered[above - 1] - ordered[below - 1]))


def train_share(
    to_train: Float[Tensor, "n"],
    to_validation: Float[Tensor, "n"],
    *,
    nearest: Int[Tensor, "n"] | None = None,
    n_images: int | None = None,
) -> Estimate:
    """Return the share of samples that are nearer to T' than to V (equally many training and validation images).

    Mean of 1[a < b] + 1/2 1[a = b]: 1/2 for every distribution that does not depend on which images were trained on.

    Args:
        to_train: each sample's distance to its nearest image of T'.
        to_validation: the same for V.
        nearest: index, among T' and V together, of the image nearest to each sample. Samples with the same nearest
            image are not independent; with `nearest` the standard error is taken over all ways to choose half of the
            N images as T', which is exact under the null: 1/2 sqrt((sum of squared group sizes - n^2 / N) N / (N -
            1)) / n. Without it, it is the
            binomial one: too small when samples crowd around few images, too large when they are spread evenly.
        n_images: N, the size of T' and V together; given with `nearest`.

    Raises:
        ValueError: lengths differ, or one of `nearest` and `n_images` without the other.

    Example:
        >>> train_share(torch.tensor([1.0, 1.0, 1.0, 3.0]), torch.tensor([2.0, 2.0, 2.0, 2.0])).value
        0.75
    """
    check_vector("to_train", to_train)
    check_vector("to_validation", to_validation)
    n = len(to_train)
    if len(to_validation) != n or (nearest is not None and nearest.shape != (n,)):
        raise ValueError(f"to_validation has {len(to_validation)} values: expected {n}, as to_train has")
    a, b = to_train.double(), to_validation.double()
    share = (a < b).double() + 0.5 * (a == b).double()
    if nearest is None and n_images is None:
        return proportion_estimate(float(share.sum()), n)
    if nearest is None or n_images is None or n_images < 2 or int(nearest.max()) >= n_images:
        raise ValueError(
            f"n_images={n_images}: expected, with `nearest` alone, a number above each of its indices"
        )
    size = torch.bincount(nearest, minlength=n_images).double()
    spread = float((size - n / n_images).square().sum()) * n_images / (n_images - 1)
    return Estimate(float(share.mean()), 0.5 * math.sqrt(spread) / n)
