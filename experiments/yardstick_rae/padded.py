"""Write MNIST padded to 32 x 32 by two black pixels on every side, the file that this study reads.

    python experiments/yardstick_rae/padded.py [mnist_32x32.npz]

60,000 training images, in the order of a seeded split, and the 10,000 official test images, with their labels.
"""

import os
import sys
from pathlib import Path

import numpy as np

from priorgap.data import TorchvisionImages

PIXELS = 2


def main() -> None:
    """Read, pad, write."""
    file = Path(sys.argv[1] if len(sys.argv) > 1 else "mnist_32x32.npz")
    data = TorchvisionImages("mnist").load(root=Path(os.environ.get("PRIORGAP_DATA", "data")), download=True)
    around = [(0, 0), (0, 0), (PIXELS, PIXELS), (PIXELS, PIXELS)]
    arrays = {}
    for name, parts in {"train": (data.validation, data.train), "test": (data.test,)}.items():
        arrays[f"x_{name}"] = np.concatenate([np.pad(part.x.numpy(), around) for part in parts])
        arrays[f"y_{name}"] = np.concatenate([part.label.numpy() for part in parts])
    np.savez_compressed(file, **arrays)
    sizes = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
    print(f"{file}: {sizes}")


if __name__ == "__main__":
    main()
