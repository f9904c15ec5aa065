"""ctgan's own TVAE on the tables of e13, sampled every way, beside what else makes rows.

    python benchmarks/tvae.py --out tvae.csv [--seeds 5] [--epochs 300]

Run it in an environment that has ctgan, sdmetrics and ISLP beside priorgap. For each table and seed: TVAE with its
default settings and with ten times its weight of the reconstruction (encoder kept, as in
`examples/adapters/ctgan_tvae_tables.py`), all samplers by both decode rules; TVAE's own `sample`; CTGAN; a Gaussian
copula; and controls: independent columns, a bootstrap of the training rows. All are measured beside the same test
rows. Rows of finished seeds are kept in the file, so that a second call goes on. Prints the means with 95 %
t intervals over seeds, and the differences that e13 asks for, paired over seeds.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
import torch
import yaml
from ctgan import CTGAN
from ctgan.synthesizers import tvae

from priorgap import Frames, compare
from priorgap.core.build import build, load_option
from priorgap.core.catalogue import BUILTIN

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "adapters"))
from ctgan_tvae_tables import audit, keep_encoders

TABLES = ("wage", "default_credit")
WEIGHTS = (2, 20)
STUDY = Path(__file__).parents[1] / "experiments/e13_tables/config.yaml"
# rows of a synthetic table that draws are taken from
POOL = 20_000
KEPT = [
    "data",
    "made_by",
    "weight",
    "sampler",
    "decode",
    "seed",
    "measure",
    "space",
    "bound",
    "value",
    "std_error",
    "n",
]
AS_SHIPPED, METRICS = "TVAE.sample", ["tables", "copy_shares"]


def frames(name: str, parts: tuple[str, ...] = ("train", "test")) -> tuple[pd.DataFrame, ...]:
    """Return the training and the test rows of a built-in table, or other parts, in the file's units."""
    data = build(load_option("data", name)["source"], object, where=name).load(
        root=Path("data"), download=True
    )
    own = [getattr(data, part) for part in parts]
    return tuple(part.table.frame(part.x) for part in own)


def samplers_of_the_study() -> list:
    """Return the samplers of e13, with the options that it gives them."""
    study = yaml.safe_load(STUDY.read_text(encoding="utf-8"))
    (names,) = [entry["override /sampler"] for entry in study["defaults"] if "override /sampler" in entry]
    options = study["samplers"]
    return [build(load_option("sampler", n) | options.get(n, {}), object, where=n) for n in names]


def categories(frame: pd.DataFrame) -> list[str]:
    """Return the names of the columns of categories."""
    return [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]


def gaussian_copula(train: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Draw rows whose ranks depend as a Gaussian's do, with the columns of training rows; categories by frequency."""
    random = np.random.default_rng(seed)
    uniform, inverse = [], []
    for name in train:
        column = train[name]
        if name in categories(train):
            shares = column.value_counts(normalize=True)
            ends = shares.cumsum().to_numpy()
            start = dict(zip(shares.index, ends - shares.to_numpy(), strict=True))
            jitter = random.random(len(column)) * column.map(shares).to_numpy(float)
            uniform.append(column.map(start).to_numpy(float) + jitter)
            index, last = shares.index.to_numpy(), len(shares) - 1
            inverse.append(lambda u, i=index, e=ends, k=last: i[np.minimum(np.searchsorted(e, u), k)])
        else:
            values = np.sort(column.to_numpy(float))
            uniform.append(
                (scipy.stats.rankdata(column + 1e-9 * random.random(len(column))) - 0.5) / len(column)
            )
            inverse.append(lambda u, v=values: v[np.minimum((u * len(v)).astype(int), len(v) - 1)])
    scores = scipy.stats.norm.ppf(np.clip(np.stack(uniform, 1), 1e-6, 1 - 1e-6))
    drawn = random.multivariate_normal(np.zeros(len(inverse)), np.corrcoef(scores.T), n)
    made = {name: f(u) for name, f, u in zip(train, inverse, scipy.stats.norm.cdf(drawn).T, strict=True)}
    return pd.DataFrame({name: pd.Series(v).astype(train[name].dtype) for name, v in made.items()})


def independent(train: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Draw each column by itself."""
    random = np.random.default_rng(seed)
    return pd.DataFrame({name: train[name].to_numpy()[random.integers(len(train), size=n)] for name in train})


def measured(rows: pd.DataFrame, train: pd.DataFrame, test: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Measure a synthetic table: a model whose z is the place of a row in it."""
    own = Frames.of(train, test)
    coded = own.rows(rows)

    def decode(z: torch.Tensor) -> torch.Tensor:
        place = (torch.special.ndtr(z[:, 0].double()) * len(coded)).long()
        return coded[place.clamp(max=len(coded) - 1)]

    return compare(
        None, decode, own.train, own.test, latent_dim=1, samplers=["prior"], metrics=METRICS, features="pixels",
        seed=seed, progress=False,
    ).table  # fmt: skip


def made_by(train: pd.DataFrame, seed: int, epochs: int) -> Iterator[tuple[str, Callable[[], pd.DataFrame]]]:
    """Yield what else makes rows, and its rows."""

    def ctgan() -> pd.DataFrame:
        model = CTGAN(epochs=epochs, enable_gpu=False)
        model.fit(train, categories(train))
        return model.sample(POOL)

    yield "CTGAN", ctgan
    yield "Gaussian copula", lambda: gaussian_copula(train, POOL, seed)
    yield "independent columns", lambda: independent(train, POOL, seed)
    yield "bootstrap of training rows", lambda: train


def of_seed(name: str, seed: int, epochs: int) -> Iterator[pd.DataFrame]:
    """Yield the measurements of all that is fitted with one seed."""
    train, test = frames(name)
    samplers = samplers_of_the_study()
    for weight in WEIGHTS:
        seeded(seed)
        kept: list = []
        with keeping(kept):
            model = tvae.TVAE(epochs=epochs, loss_factor=weight, enable_gpu=False)
            model.fit(train, categories(train))
        found = audit(
            model, kept[-1], train, test, samplers=samplers, metrics=METRICS, features="pixels",
            decode_rule=["mean", "draw"], seed=seed, progress=False,
        ).table  # fmt: skip
        yield found.assign(made_by="TVAE", weight=weight)
        yield measured(model.sample(POOL), train, test, seed).assign(made_by=AS_SHIPPED, weight=weight)
    for other, rows in made_by(train, seed, epochs):
        seeded(seed)
        yield measured(rows(), train, test, seed).assign(made_by=other, weight=0)


def seeded(seed: int) -> None:
    """Set the random state that ctgan draws from: torch's and NumPy's own."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002


class keeping:  # noqa: N801
    """Keep encoders while TVAE fits, and give its class back its own constructor."""

    def __init__(self, kept: list) -> None:
        self.kept, self.own = kept, tvae.Encoder.__init__

    def __enter__(self) -> None:
        keep_encoders(self.kept)

    def __exit__(self, *_: object) -> None:
        tvae.Encoder.__init__ = self.own


def mean_of(values: pd.Series) -> str:
    """Return a mean with its 95 % t interval."""
    if len(values) < 2:
        return f"{values.mean():.3f}"
    half = float(scipy.stats.t.ppf(0.975, len(values) - 1)) * float(values.std()) / math.sqrt(len(values))
    return f"{values.mean():.3f} [{values.mean() - half:.3f}, {values.mean() + half:.3f}]"


def printed(results: pd.DataFrame, section: str) -> None:
    """Print the table of means of a section's measures, and paired differences."""
    own = results[results["bound"] == "point"]
    keys = ["data", "made_by", "weight", "sampler", "decode"]
    wide = own.pivot_table(index=[*keys, "seed"], columns="measure", values="value")
    shown = [m.name for m in BUILTIN.values() if m.section == section and m.name in wide]
    shown = [name for name in shown if not name.endswith("_floor")]
    print(f"| {' | '.join(keys)} | {' | '.join(shown)} |")
    print("|" + " --- |" * (len(keys) + len(shown)))
    for place, rows in wide.groupby(level=keys):
        print(f"| {' | '.join(map(str, place))} | {' | '.join(mean_of(rows[name]) for name in shown)} |")
    print("\n| data | weight | difference of detection AUC | |\n| --- | --- | --- | --- |")
    area = wide["detection_auc"]
    pairs = {
        "draw − mean, prior": (("prior", "draw"), ("prior", "mean")),
        "gmm − prior, means": (("gmm", "mean"), ("prior", "mean")),
        "gmm − prior, draws": (("gmm", "draw"), ("prior", "draw")),
        "gmm and draws − prior and means": (("gmm", "draw"), ("prior", "mean")),
    }
    for data in own["data"].unique():
        for weight in WEIGHTS:
            model = area.loc[data, "TVAE", weight]
            shipped = area.loc[data, AS_SHIPPED, weight].droplevel([0, 1])
            for title, (a, b) in pairs.items():
                print(f"| {data} | {weight} | {title} | {mean_of(model.loc[a] - model.loc[b])} |")
            best = mean_of(model.loc["gmm", "draw"] - shipped)
            print(f"| {data} | {weight} | gmm and draws − TVAE.sample | {best} |")


def main() -> None:
    """Fit, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="a CSV file of all measurements")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument(
        "--section", default="quality", help="of the measures that are printed: quality or copying"
    )
    args = parser.parse_args()
    parts = [pd.read_csv(args.out)] if args.out.exists() else []
    done = set(zip(parts[0]["data"], parts[0]["seed"], strict=True)) if parts else set()
    start = time.process_time()
    for seed in range(args.seeds):
        for name in TABLES:
            if (name, seed) in done:
                continue
            found = [rows.assign(data=name, seed=seed) for rows in of_seed(name, seed, args.epochs)]
            # the whole tables' numbers: those by column and by pair would fill a repository
            parts += [rows.loc[rows["unit"] == "", KEPT] for rows in found]
            pd.concat(parts).to_csv(args.out, index=False, float_format="%.6g")
            print(
                f"{name}, seed {seed}: {time.process_time() - start:.0f} s of processor time", file=sys.stderr
            )
    printed(pd.read_csv(args.out), args.section)


if __name__ == "__main__":
    main()
