"""Column shapes and pair trends of TVAE's rows: those of SDMetrics' quality report beside this library's.

    python benchmarks/sdmetrics_scores.py --out experiments/yardstick_sdmetrics [--seeds 5] [--epochs 300]

Run it in an environment that has ctgan, sdmetrics and ISLP beside priorgap. For each table and seed, TVAE is fitted
with its default settings. Two sets of its rows are scored: those that its own `sample` draws, by the estimators,
against training rows; and the prior's draws that `compare` made, by the measures in its table, against test rows.
Pairs are left out as SDMetrics' report leaves them out, or none is. All scores of columns, of pairs and of whole
tables are written to results.csv in the folder, what they took to provenance.json, fit by fit: a second call goes
on. Prints the whole tables' and the largest difference; exit status 1 where that is above 1e-9, or where one side has
a score that the other lacks.
"""

import argparse
import datetime
import math
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from ctgan.synthesizers import tvae
from sdmetrics.reports.single_table import QualityReport

from priorgap import Frames
from priorgap.core import artifacts
from priorgap.core.build import build, load_option
from priorgap.data.splits import Split
from priorgap.estimators.tables import column_shapes, pair_trends
from priorgap.metrics import ColumnShapes, PairTrends
from priorgap.pipeline.store.provenance import environment
from tvae import TABLES, audit, categories, frames, keeping, seeded

SHAPES, TRENDS = ColumnShapes.name, PairTrends.name
PROPERTIES = {SHAPES: "Column Shapes", TRENDS: "Column Pair Trends"}
# |r| and Cramér's V of the real table at or below which a pair has no score
LIMITS = {"none": (0.0, 0.0), "report": (0.5, 0.3)}
SDMETRICS, OURS = "SDMetrics", "priorgap"
LARGEST, N_SCORES = "largest_difference", "scores_compared"
MOST = 1e-9
SEEDS, EPOCHS = 5, 300
# measure -> column or pair ("" for the whole table) -> score
Scores = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Rows:
    """Two tables and their scores by this library, at each pair of limits.

    Attributes:
        name: where the synthetic rows come from.
        real: the table that they are held against.
        made: the synthetic rows.
        ours: limits -> scores.
    """

    name: str
    real: pd.DataFrame
    made: pd.DataFrame
    ours: dict[str, Scores]


def of_sdmetrics(real: pd.DataFrame, made: pd.DataFrame, limits: tuple[float, float]) -> Scores:
    """Return the scores of SDMetrics' quality report."""
    kinds = {name: "categorical" if name in categories(real) else "numerical" for name in real}
    report = QualityReport()
    report.real_correlation_threshold, report.real_association_threshold = limits
    report.generate(real, made, {"columns": {c: {"sdtype": k} for c, k in kinds.items()}}, verbose=False)
    whole = report.get_properties().set_index("Property")["Score"]
    columns = report.get_details(PROPERTIES[SHAPES]).set_index("Column")["Score"]
    pairs = report.get_details(PROPERTIES[TRENDS])
    pairs = pairs.set_index(pairs["Column 1"] + " × " + pairs["Column 2"])["Score"]
    found = {SHAPES: columns, TRENDS: pairs}
    return {
        name: {"": float(whole[PROPERTIES[name]]), **parts.dropna().astype(float).to_dict()}
        for name, parts in found.items()
    }


def by_estimators(real: pd.DataFrame, made: pd.DataFrame, limits: tuple[float, float]) -> Scores:
    """Return the scores of the library's estimators on two data frames."""
    numeric = [name for name in real if name not in categories(real)]
    found = {
        SHAPES: column_shapes(real, made, numeric=numeric),
        TRENDS: pair_trends(
            real, made, numeric=numeric, least_correlation=limits[0], least_association=limits[1]
        ),
    }
    return {
        name: {"": one.whole.value, **{part: score.value for part, score in one.scores.items()}}
        for name, one in found.items()
    }


def by_compare(
    model: tvae.TVAE, encoder: torch.nn.Module, parts: tuple[pd.DataFrame, ...], seed: int
) -> Rows:
    """Return the prior's draws of an audit, with the scores in its table; by means, which are the same each time."""
    train, validation, test = parts
    ours, drawn = {}, None
    own = Frames.of(train, test)
    # without validation rows, a fifth of the test rows would be set aside
    held_out = Split(own.rows(validation), None, "table", table=own.train.table)
    for name, (correlation, association) in LIMITS.items():
        trends = load_option("metric", TRENDS)
        trends |= {"least_correlation": correlation, "least_association": association}
        found = audit(
            model, encoder, train, test, samplers=["prior"], features="pixels", seed=seed, progress=False,
            decode_rule="mean", validation=held_out,
            metrics=[SHAPES, build(trends, object, where=TRENDS)],
        )  # fmt: skip
        table = found.table[(found.table["sampler"] == "prior") & found.table["measure"].isin(PROPERTIES)]
        ours[name] = {
            measure: dict(zip(rows["unit"], rows["value"], strict=True))
            for measure, rows in table.groupby("measure")
        }
        drawn = found.samples("prior")
    return Rows("prior of compare", test, own.frame(drawn.x)[list(test)], ours)


def of_fit(name: str, seed: int, epochs: int) -> Iterator[Rows]:
    """Yield both sets of rows of one TVAE."""
    train, validation, test = frames(name, ("train", "validation", "test"))
    kept: list = []
    seeded(seed)
    with keeping(kept):
        model = tvae.TVAE(epochs=epochs, enable_gpu=False)
        model.fit(train, categories(train))
    made = model.sample(len(train))
    ours = {limits: by_estimators(train, made, values) for limits, values in LIMITS.items()}
    yield Rows("TVAE.sample", train, made, ours)
    yield by_compare(model, kept[-1], (train, validation, test), seed)


def compared(rows: Rows) -> Iterator[dict]:
    """Yield both sides' scores, then the largest difference and the number of scores, at each pair of limits."""
    for limits, values in LIMITS.items():
        theirs, ours = of_sdmetrics(rows.real, rows.made, values), rows.ours[limits]
        common = {"made_by": rows.name, "limits": limits, "n": len(rows.made), "n_reference": len(rows.real)}
        apart = []
        for measure in PROPERTIES:
            for computed_by, scores in ((SDMETRICS, theirs[measure]), (OURS, ours[measure])):
                for unit, value in scores.items():
                    yield {
                        **common, "computed_by": computed_by, "measure": measure, "unit": unit, "value": value
                    }  # fmt: skip
            same = set(theirs[measure]) == set(ours[measure])
            apart += (
                [abs(value - ours[measure][unit]) for unit, value in theirs[measure].items()]
                if same
                else [math.inf]
            )
        yield {**common, "measure": LARGEST, "unit": "", "value": max(apart)}
        yield {**common, "measure": N_SCORES, "unit": "", "value": len(apart)}


def before(folder: Path, epochs: int) -> tuple[pd.DataFrame, dict]:
    """Return the scores of earlier calls with as many epochs, and their provenance."""
    if not (folder / "results.csv").is_file():
        return pd.DataFrame(), {}
    found = pd.read_csv(folder / "results.csv", keep_default_na=False)
    same = bool((found["epochs"] == epochs).all())
    return (found, artifacts.load_json(folder / "provenance.json")) if same else (pd.DataFrame(), {})


def written(
    results: pd.DataFrame, folder: Path, command: str, known: dict, spent: tuple[float, float]
) -> dict:
    """Write results and what they and earlier ones took; return the latter."""
    results.to_csv(folder / "results.csv", index=False)
    models = environment()
    versions = {"ctgan": version("ctgan"), "sdmetrics": version("sdmetrics")}
    earlier = known.get("took", {"busy_seconds": 0.0, "cpu_seconds": 0.0})
    took = {
        name: earlier[name] + own for name, own in zip(("busy_seconds", "cpu_seconds"), spent, strict=True)
    }
    content = {
        "command": command,
        "commits": sorted({*known.get("commits", ()), models["commit"]}),
        "finished": str(datetime.date.today()),
        "models": {**models, "packages": {**models["packages"], **versions}},
        "seeds": sorted({int(seed) for seed in results["seed"]}),
        "took": {**took, "results": len(results), "without_cpu_seconds": 0},
    }
    artifacts.save_json(folder / "provenance.json", content)
    return content


def scored(name: str, seed: int, epochs: int) -> pd.DataFrame:
    """Return all scores of one fit, with the columns that pages about studies read."""
    rows = [row for made in of_fit(name, seed, epochs) for row in compared(made)]
    found = pd.DataFrame(rows).assign(
        data=name, seed=seed, epochs=epochs, fit=f"{name} {seed}", sampler="prior", space="data", bound="point",
        std_error="",
    )  # fmt: skip
    return found.assign(computed_by=found["computed_by"].fillna(""))


def printed(results: pd.DataFrame) -> float:
    """Print both sides' scores of whole tables, mean over seeds, and the largest difference; return the largest."""
    keys = ["data", "made_by", "limits"]
    whole = results[(results["unit"] == "") & results["measure"].isin(PROPERTIES)]
    wide = whole.pivot_table(index=keys, columns=["measure", "computed_by"], values="value")
    apart = results[results["measure"] == LARGEST].groupby(keys)["value"].max()
    counted = results[results["measure"] == N_SCORES].groupby(keys)["value"].sum()
    heads = [f"{measure}: {by}" for measure, by in wide.columns]
    print(f"| {' | '.join([*keys, *heads, 'scores', 'largest difference'])} |")
    print("|" + " --- |" * (len(keys) + len(heads) + 2))
    for place, row in wide.iterrows():
        shown = [*place, *(f"{value:.12f}" for value in row), f"{counted[place]:.0f}", f"{apart[place]:.3g}"]
        print(f"| {' | '.join(shown)} |")
    return float(apart.max())


def main() -> int:
    """Fit, score, write, print; return 1 where the two sides are apart."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="the folder of results.csv and provenance.json"
    )
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    args = parser.parse_args()
    # of libraries' own calls, about versions to come
    warnings.filterwarnings("ignore", category=FutureWarning)
    results, known = before(args.out, args.epochs)
    command = f"python benchmarks/{Path(__file__).name} --out {args.out}"
    command += f" --seeds {args.seeds}" * (args.seeds != SEEDS) + f" --epochs {args.epochs}" * (
        args.epochs != EPOCHS
    )
    for seed in range(args.seeds):
        for name in TABLES:
            if len(results) and f"{name} {seed}" in set(results["fit"]):
                continue
            busy, start = time.monotonic(), time.process_time()
            results = pd.concat([results, scored(name, seed, args.epochs)])
            spent = time.monotonic() - busy, time.process_time() - start
            known = written(results, args.out, command, known, spent)
            print(f"{name}, seed {seed}: {spent[1]:.0f} s of processor time", file=sys.stderr)
    largest = printed(results)
    n_scores = int(results["value"][results["measure"] == N_SCORES].sum())
    print(f"\nlargest difference of {n_scores} scores: {largest:.3g}")
    return int(not largest <= MOST)


if __name__ == "__main__":
    sys.exit(main())
