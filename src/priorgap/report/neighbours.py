"""Samples above their nearest training images, so that a reader can check a label of copying."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# The number of samples that are shown, and of training images that are compared at a time.
_N_SHOWN, _BLOCK = 8, 4096

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Samples and their nearest training images.

    Attributes:
        samples: uint8 [k, h, w, c].
        nearest: for each sample the training image at the least distance of pixels, in the same form.
    """

    samples: Pixels
    nearest: Pixels


def neighbours(samples: Pixels, training: Pixels) -> Neighbours:
    """Return the first samples with their nearest training images; ties go to the first image.

    Raises:
        ValueError: the images differ in shape, or there are none.
    """
    if samples.shape[1:] != training.shape[1:] or not len(samples) or not len(training):
        raise ValueError(
            f"samples {list(samples.shape)}, training images {list(training.shape)}: expected images of one shape"
        )
    shown = samples[:_N_SHOWN]
    # The images stay bytes, and one block at a time becomes floats. `estimators.copying.nearest_distance` would
    # convert all images to floats, in eight times the memory.
    rows = shown.reshape(len(shown), -1).astype(np.float64)
    least = np.full(len(shown), np.inf)
    place = np.zeros(len(shown), dtype=np.int64)
    for start in range(0, len(training), _BLOCK):
        block = training[start : start + _BLOCK].reshape(-1, rows.shape[1]).astype(np.float64)
        # Sums of integers below 2^53 are exact in any order of addition.
        distance = (rows**2).sum(1)[:, None] + (block**2).sum(1) - 2 * rows @ block.T
        found = distance.argmin(1)
        nearer = distance[np.arange(len(shown)), found] < least
        place[nearer] = start + found[nearer]
        least = np.minimum(least, distance.min(1))
    return Neighbours(shown, training[place])
