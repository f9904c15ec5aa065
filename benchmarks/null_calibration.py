"""Null calibration: do nominal 95 % intervals of two-sample measures cover their null on real data?

    OMP_NUM_THREADS=1 PRIORGAP_DATA=DIR python benchmarks/null_calibration.py [--pairs 200] [--size 5000]

Pairs of disjoint random subsets of the 60,000 MNIST training images stand for samples and test images of one
law. Features: the penultimate layer of a classifier of 10,000 of them; distances for the copying measures are
taken there too (784 pixels would say the same more slowly). Nulls: 0 for KID, near_copy_excess, C_T; 1/2 for
AUC and train_share; 1 for the ratios; the mean over all pairs for precision, recall, density and coverage, whose
null has no closed form. FID is held against its null interval (`frechet_null_interval`, 20 pairs of the pool); its
influence-function interval against the mean over pairs at a real difference, far above 5 null biases: a pool
tilted towards half of the classes. Prints a table; exits 1 unless every coverage lies in 91 to 98.5 %.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from priorgap.data.images import TorchvisionImages
from priorgap.estimators.copying import auc, near_copy_excess, nearest_distance, train_share
from priorgap.estimators.coverage import precision_recall_density_coverage
from priorgap.estimators.data_copying import data_copying_score, distance_within_cells
from priorgap.estimators.discrepancy import frechet_from_features, frechet_null_interval, kernel_distance
from priorgap.estimators.diversity import sharpness, vendi_score
from priorgap.estimators.kernel_error import kernel_standard_error
from priorgap.estimators.uncertainty import Estimate, block_estimate
from priorgap.features import extract, fit_classifier
from priorgap.streams import stream

LOW, HIGH = 0.91, 0.985
NULLS = {"kid": 0.0, "near_copy_excess": 0.0, "c_t": 0.0, "auc": 0.5, "train_share": 0.5}
RATIOS = ("vendi_ratio", "sharpness_ratio")


class Pool:
    """Features, images and classes of the 60,000 images, and disjoint subsets of them."""

    def __init__(self) -> None:
        source = TorchvisionImages("mnist", validation_size=5000, split_seed=0)
        data = source.load(root=Path(os.environ["PRIORGAP_DATA"]), download=False)
        self.x = torch.cat([data.train.x, data.validation.x])
        self.label = torch.cat([data.train.label, data.validation.label])
        order = torch.randperm(len(self.x), generator=stream(0, "classifier"))[:10_000]
        network = fit_classifier(
            self.x[order], self.label[order], n_classes=10, generator=stream(0, "network")
        )
        self.features = extract(network.features, self.x)
        centres = self.features[torch.randperm(len(self.x), generator=stream(0, "cells"))[:8]]
        self.cell = torch.cdist(self.features, centres).argmin(1)

    def rows(self, n_sets: int, size: int, *names: str | int) -> tuple[torch.Tensor, ...]:
        """Return disjoint random subsets."""
        order = torch.randperm(len(self.x), generator=stream(1, *names))
        return order[: n_sets * size].split(size)


def ratio(value: Callable[[torch.Tensor], Estimate], a: torch.Tensor, b: torch.Tensor) -> Estimate:
    """Return value(a) / value(b), delta method."""
    x, y = value(a), value(b)
    error = ((x.std_error / x.value) ** 2 + (y.std_error / y.value) ** 2) ** 0.5
    return Estimate(x.value / y.value, x.value / y.value * error)


def vendi(features: torch.Tensor) -> Estimate:
    """Return the Vendi score with its error from ten blocks."""
    blocks = torch.tensor([vendi_score(part) for part in features.tensor_split(10)]).double()
    return Estimate(vendi_score(features), block_estimate(blocks).std_error)


def one_pair(pool: Pool, size: int, pair: int) -> dict[str, Estimate]:
    """Return every measure between subsets a and b; c and d stand for training images."""
    a, b, c, d = pool.rows(4, size, "pair", pair)
    generator, f = stream(2, pair), pool.features
    prdc = precision_recall_density_coverage(f[b], f[a], generator=generator)
    found = {name: getattr(prdc, name) for name in ("precision", "recall", "density", "coverage")}
    found["kid"] = replace(
        kernel_distance(f[a], f[b], generator=generator, n_subsets=2),
        std_error=kernel_standard_error(f[a], f[b]),
    )
    (to_c, i), (to_d, j) = nearest_distance(f[a], f[c]), nearest_distance(f[a], f[d])
    heldout = nearest_distance(f[b], f[c])[0]
    found["auc"] = auc(to_c, heldout)
    found["near_copy_excess"] = near_copy_excess(to_c, heldout)
    found["train_share"] = train_share(to_c, to_d, nearest=torch.where(to_c <= to_d, i, size + j))
    within = [distance_within_cells(f[x], pool.cell[x], f[c], pool.cell[c]) for x in (a, b)]
    found["c_t"] = data_copying_score(within[0], pool.cell[a], within[1], pool.cell[b], least_share=0.01)
    found["vendi_ratio"] = ratio(vendi, f[a], f[b])
    found["sharpness_ratio"] = ratio(sharpness, pool.x[a].float() / 255, pool.x[b].float() / 255)
    return found


def frechet_pair(pool: Pool, size: int, pair: int) -> tuple[bool, Estimate]:
    """Return whether FID lies in its null interval, and FID to a tilted subset."""
    a, b = pool.rows(2, size, "frechet", pair)
    f = pool.features
    low, high = frechet_null_interval(f, size, size, generator=stream(3, pair), n_repeats=20)
    value = frechet_from_features(f[a], f[b]).value
    # classes 0 to 4 three times as likely
    weight = torch.where(pool.label < 5, 3.0, 1.0).double()
    weight[a] = 0
    tilted = torch.multinomial(weight, size, generator=stream(4, pair))
    return low <= value <= high, frechet_from_features(f[a], f[tilted])


def covers(estimates: list[Estimate], null: float) -> float:
    """Return the share of intervals that hold the null."""
    intervals = [e.interval() for e in estimates]
    return sum(i is not None and i[0] <= null <= i[1] for i in intervals) / len(intervals)


def main() -> int:
    """Run all pairs and return the exit status."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--size", type=int, default=5000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    started, pool = time.process_time(), Pool()
    results = [one_pair(pool, options.size, pair) for pair in range(options.pairs)]
    frechet = [frechet_pair(pool, options.size, pair) for pair in range(options.pairs)]
    tilted = [e for _, e in frechet]
    print(f"{options.pairs} pairs of {options.size} of {len(pool.x)} images; nominal 95 % intervals")
    print("| measure | null | mean value | mean s.e. / s.d. over pairs | covers |\n|---|---|---|---|---|")
    passed = True
    columns = {name: [r[name] for r in results] for name in results[0]}
    columns["fid, tilted classes (influence function)"] = tilted
    for name, estimates in columns.items():
        values = torch.tensor([e.value for e in estimates]).double()
        mean = float(values.mean())
        null = 1.0 if name in RATIOS else NULLS.get(name, mean)
        share = covers(estimates, null)
        errors = [e.std_error for e in estimates if e.std_error is not None]
        relative = sum(errors) / max(len(errors), 1) / float(values.std())
        said = f"{null:g}" if name in NULLS or name in RATIOS else "mean"
        passed &= LOW <= share <= HIGH
        print(f"| {name} | {said} | {mean:.5g} | {relative:.2f} | {share:.1%} |")
    share = sum(inside for inside, _ in frechet) / len(frechet)
    passed &= LOW <= share <= HIGH
    print(f"| fid (null interval) | interval | | | {share:.1%} |")
    print(f"{time.process_time() - started:.0f} CPU seconds; 91 to 98.5 %: {'PASS' if passed else 'FAIL'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
