"""Samples above the training images that are nearest to them, so that a label of copying can be looked at."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# samples that are shown, and training images that are compared at once
_N_SHOWN, _BLOCK = 8, 4096

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Samples and their nearest training images.

    Attributes:
        samples: uint8 [k, h, w, c].
        nearest: for each of them the training image at the least distance of pixels, alike.
    """

    samples: Pixels
    nearest: Pixels


def neighbours(samples: Pixels, training: Pixels) -> Neighbours:
    """Return the first samples with their nearest training images; of equally near ones, the first.

    Raises:
        ValueError: the images differ in shape, or there are none.
    """
    if samples.shape[1:] != training.shape[1:] or not len(samples) or not len(training):
        raise ValueError(
            f"samples {list(samples.shape)}, training images {list(training.shape)}: expected images of one shape"
        )
    shown = samples[:_N_SHOWN]
    # bytes, a block at a time: `estimators.copying.nearest_distance` takes all as floats, eight times the memory
    rows = shown.reshape(len(shown), -1).astype(np.float64)
    least = np.full(len(shown), np.inf)
    place = np.zeros(len(shown), dtype=np.int64)
    for start in range(0, len(training), _BLOCK):
        block = training[start : start + _BLOCK].reshape(-1, rows.shape[1]).astype(np.float64)
        # sums of whole numbers below 2^53: exact, whatever the order of addition
        distance = (rows**2).sum(1)[:, None] + (block**2).sum(1) - 2 * rows @ block.T
        found = distance.argmin(1)
        nearer = distance[np.arange(len(shown)), found] < least
        place[nearer] = start + found[nearer]
        least = np.minimum(least, distance.min(1))
    return Neighbours(shown, training[place])
