"""Distances between images after the best flip and the best shift of up to two pixels."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from priorgap.estimators.neighbour_index import NeighbourIndex

MAX_SHIFT = 2
# The number of queries that are processed at a time.
_CHUNK = 64
# An image that is flipped both ways has the same spectrum, so that only two of the four flips need a search.
_SEARCHED = ((), (3,))
_FLIPS = ((), (3,), (2,), (2, 3))


@dataclass(frozen=True, eq=False)
class AlignedIndex:
    """Images, and an index of the moduli of their Fourier transforms, which a cyclic shift does not change.

    Attributes:
        images: float32.
        spectra: index of the moduli, scaled so that their distance never exceeds the images' distance at any cyclic
            shift.
    """

    images: Float[Tensor, "n c h w"]
    spectra: NeighbourIndex

    @classmethod
    def of(cls, images: Float[Tensor, "n c h w"]) -> "AlignedIndex":
        """Build the index of a set of images.

        Raises:
            ValueError: the tensor does not have the shape [n, c, h, w].
        """
        if images.ndim != 4 or len(images) == 0:
            raise ValueError(f"images has shape {tuple(images.shape)}: expected [n, c, h, w]")
        return cls(images, NeighbourIndex.of(spectra(images)))

    def nearest_two(
        self, queries: Float[Tensor, "m c h w"]
    ) -> tuple[Float[Tensor, "m 2"], Int[Tensor, "m 2"]]:
        """Return each query's distances to its two nearest images after flips and shifts, and their indices.

        Distances are computed to the images whose spectra are the two nearest to the query's, and to its mirror
        image's. If a query is a shift of an image within its margins, that image is found; in other cases a nearer
        image may be missed. All images of the set are treated alike.

        Raises:
            ValueError: the queries have another shape, or the set has fewer than 2 images.
        """
        if queries.shape[1:] != self.images.shape[1:]:
            raise ValueError(
                f"queries has shape {tuple(queries.shape)}: expected images {tuple(self.images.shape[1:])}"
            )
        found = [self.spectra.nearest_two(spectra(queries.flip(axes)))[1] for axes in _SEARCHED]
        index = torch.cat(found, 1)
        parts = zip(queries.split(_CHUNK), index.split(_CHUNK), strict=True)
        distance = torch.cat([aligned_distance(x, self.images[i]) for x, i in parts])
        # An image that both searches found must count once.
        again = (index[:, 2:, None] == index[:, None, :2]).any(2)
        distance[:, 2:][again] = math.inf
        order = distance.argsort(dim=1, stable=True)[:, :2]
        return distance.gather(1, order), index.gather(1, order)


def spectra(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n s"]:
    """Return the moduli of each channel's Fourier transform; their distance is at most that of the images.

    |F x| is the same for every cyclic shift of x, and for x rotated by 180 degrees; by Parseval's theorem and
    ||a| - |b|| <= |a - b| the moduli of two images are at most as far apart as the images, however they are shifted.

    Example:
        >>> x = torch.zeros(1, 1, 8, 8)
        >>> x[..., 3, 3] = 1.0
        >>> torch.allclose(spectra(x), spectra(x.roll(2, -1)), atol=1e-6)
        True
    """
    height, width = images.shape[2:]
    # `rfft` leaves out a half that repeats all columns but the first and, for an even width, the last.
    weight = torch.full((width // 2 + 1,), math.sqrt(2 / (height * width)))
    weight[0] = math.sqrt(1 / (height * width))
    if width % 2 == 0:
        weight[-1] = weight[0]
    parts = [(torch.fft.rfft2(rows).abs() * weight).flatten(1) for rows in images.split(4096)]
    return torch.cat(parts)


def aligned_distance(
    x: Float[Tensor, "m c h w"], candidates: Float[Tensor, "m k c h w"]
) -> Float[Tensor, "m k"]:
    """Return the least distance of each image to each candidate over flips and shifts (padded with 0), float64.

    Example:
        >>> x = torch.zeros(1, 1, 8, 8)
        >>> x[..., 3, 3] = 1.0
        >>> aligned_distance(x, x.roll(1, -1)[None]).item()  # one pixel to the right
        0.0
    """
    height, width = x.shape[2:]
    moved = []
    for axes in _FLIPS:
        padded = functional.pad(x.flip(axes), [MAX_SHIFT] * 4)
        moved += [
            padded[:, :, down : down + height, right : right + width].flatten(1)
            for down in range(2 * MAX_SHIFT + 1)
            for right in range(2 * MAX_SHIFT + 1)
        ]
    images, flat = torch.stack(moved, 1), candidates.flatten(2)
    # Matrix products find the best flip and shift; a direct difference then gives the exact distance.
    score = 0.5 * images.square().sum(2)[:, None] - flat @ images.transpose(1, 2)
    best = images.gather(1, score.argmin(2)[:, :, None].expand(-1, -1, images.shape[2]))
    return (best.double() - flat.double()).square().sum(2).sqrt()
