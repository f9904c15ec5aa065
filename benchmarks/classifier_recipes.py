"""How to train the classifiers of labels and accuracies: accuracy on real test images beside CPU seconds.

    OMP_NUM_THREADS=1 PRIORGAP_DATA=DIR python benchmarks/classifier_recipes.py [--data mnist,fashion_mnist]
        [--seeds 4]

A recipe is passes over 10,000 images (more images, fewer passes), images a step, and the first learning rate. Each
trains classifiers of real images, by seed on images of its own: as many as train a classifier of draws, with the
steps that it has there, and half of the training set, as labeller and judge have. The first recipe is that of the
feature space's network, which was the one of all classifiers before; the last is conf/config.yaml's. Accuracies are
means over seeds; the difference from the first recipe has twice the standard error of paired seeds. Exits 1 where
the last recipe is shown to be less accurate than the first, or takes more than .6 of its CPU seconds. Fewer than
5,000 images train in another way, whatever the recipe.
"""

import argparse
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import torch

from priorgap.comparison.user_inputs import reference_settings, settings
from priorgap.core.processor import processor
from priorgap.core.random import stream
from priorgap.data.images import TorchvisionImages
from priorgap.data.splits import Dataset
from priorgap.features.classifier import Recipe, fit_classifier

SETTINGS = reference_settings(settings())
RECIPES = (Recipe(), Recipe(passes=4), Recipe(passes=3, batch_size=64), SETTINGS.recipe)
SHARE = 0.6


@dataclass(frozen=True)
class Found:
    """Accuracies of a recipe's classifiers and CPU seconds a training, by seed."""

    accuracies: list[float]
    seconds: list[float]


def data_set(name: str, folder: Path) -> Dataset:
    """Read a data set."""
    return TorchvisionImages(name, 5000, 0).load(root=folder, download=True)


def trained(data: Dataset, n: int, together: int, recipe: Recipe, seed: int) -> tuple[float, float]:
    """Return accuracy and CPU seconds of a classifier of n images, with the steps of one of `together` images."""
    train, test = data.train, data.test
    assert train.label is not None
    assert test.label is not None
    assert data.n_classes is not None
    rows = torch.randperm(len(train), generator=stream(seed, "rows"))[:n]
    start = time.process_time()
    classifier = fit_classifier(
        train.x[rows], train.label[rows], n_classes=data.n_classes, generator=stream(seed, "classifier"),
        recipe=recipe, together=together, width=SETTINGS.width, n_features=SETTINGS.n_features,
    )  # fmt: skip
    seconds = time.process_time() - start
    return float((classifier.predict(test.x) == test.label).double().mean()), seconds


def compared(data: Dataset, n: int, together: int, n_seeds: int) -> bool:
    """Print a row for each recipe; return whether the last one is as good as the first, and cheaper."""
    found = {recipe: Found([], []) for recipe in RECIPES}
    for seed in range(n_seeds):
        for recipe in RECIPES:
            accuracy, seconds = trained(data, n, together, recipe, seed)
            found[recipe].accuracies.append(accuracy)
            found[recipe].seconds.append(seconds)
    first, good = found[RECIPES[0]], True
    for recipe, own in found.items():
        change = torch.tensor(own.accuracies).double() - torch.tensor(first.accuracies).double()
        error = 2 * float(change.std()) / math.sqrt(n_seeds)
        share = mean(own.seconds) / mean(first.seconds)
        name = f"{recipe.passes:g} x {recipe.batch_size}, {recipe.learning_rate:g}"
        print(
            f"| {data.name} | {n} | {name} | {mean(own.accuracies):.4f} | {float(change.mean()):+.4f} ± {error:.4f} "
            f"| {mean(own.seconds):.2f} | {share:.2f} |"
        )
        good = float(change.mean()) + error >= 0 and share <= SHARE
    return good


def main() -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default="mnist,fashion_mnist")
    parser.add_argument("--seeds", type=int, default=4)
    given = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(os.environ.get("PRIORGAP_DATA", "outputs/data"))
    print(processor())
    print(f"\n{given.seeds} seeds; passes x images a step, learning rate\n")
    print("| data | images | recipe | accuracy | beside the first | CPU s | share |")
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: |")
    good = True
    for name in given.data.split(","):
        data = data_set(name, folder)
        half = len(data.train) // 2
        few = min(SETTINGS.n_train, len(data.test), half // SETTINGS.n_seeds)
        good &= compared(data, few, SETTINGS.n_seeds * few, given.seeds)
        good &= compared(data, half, half, given.seeds)
    print("\nas accurate and cheaper: " + ("PASS" if good else "FAIL"))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
