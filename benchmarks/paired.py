"""Paired differences over seeds of a study that decodes by both rules, as a Markdown table.

    python benchmarks/paired.py experiments/e13_tables/results.csv --measure detection_auc [--sampler gmm]

Each entry is a mean over seeds with its 95 % t interval, of one comparison; the intervals do not hold together over
the table (those of the report do).
"""

import argparse
import math
from pathlib import Path

import pandas as pd
import scipy

_NOT_KEYS = {"study", "cell", "model", "seed", "sampler", "role", "label_source", "measure", "space", "unit"}
_NOT_KEYS |= {"value", "std_error", "n", "n_reference", "bound", "traits", "decode"}


def difference(a: pd.Series, b: pd.Series) -> str:
    """Return the mean of a - b over the seeds that both have, with its interval."""
    gaps = (a - b).dropna()
    half = float(scipy.stats.t.ppf(0.975, len(gaps) - 1)) * float(gaps.std()) / math.sqrt(len(gaps))
    return f"{gaps.mean():+.3f} [{gaps.mean() - half:+.3f}, {gaps.mean() + half:+.3f}]"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--measure", required=True)
    parser.add_argument("--space", default=None, help="where a measure was taken in several feature spaces")
    parser.add_argument("--sampler", default="gmm", help="what the prior is held against")
    args = parser.parse_args()
    table = pd.read_csv(args.results, keep_default_na=False, dtype=str)
    own = table[(table["measure"] == args.measure) & (table["unit"] == "") & (table["bound"] == "point")]
    own = own[own["space"] == args.space] if args.space else own
    keys = [key for key in own.columns if key not in _NOT_KEYS]
    other = args.sampler
    print(
        f"| {' | '.join(keys)} | draw − mean, prior | draw − mean, {other} | {other} − prior, means | ",
        end="",
    )
    print(f"{other} − prior, draws | {other} and draws − prior and means |")
    print("|" + " --- |" * (len(keys) + 5))
    for place, rows in own.groupby(keys, sort=True):
        values = rows.assign(value=rows["value"].astype(float))
        values = values.set_index(["decode", "sampler", "seed"])["value"].sort_index()
        pairs = (
            (("draw", "prior"), ("mean", "prior")), (("draw", other), ("mean", other)),
            (("mean", other), ("mean", "prior")), (("draw", other), ("draw", "prior")),
            (("draw", other), ("mean", "prior")),
        )  # fmt: skip
        found = [difference(values.loc[a], values.loc[b]) for a, b in pairs]
        print(f"| {' | '.join([*map(str, place), *found])} |")


if __name__ == "__main__":
    main()
