"""What each measure of a finished study tells a CPU-second: its time, and how well it tells samplers apart.

    priorgap run -m data=mnist likelihood=bernoulli model.latent_dim=10 seed=0,1,2 study=standard_measures
    python benchmarks/measures_per_second.py STUDY [--output-root outputs] [--pairs gmm/prior,posterior/gmm]

Times are those that the store keeps with each result, CPU seconds, means over models; the share is of all measures
of a model, and holds on a busy machine too. What several metrics need is computed by the first that asks and stands
in its time: the second table says what that is and what it takes, timed now for one sampler and model, one thread.

Of two samplers A/B: the ratio A over B (x; for measures on a log scale) or the difference A - B, and |t|, the mean
over seeds on the measure's scale over its standard error, paired by seed. With three seeds |t| has two degrees of
freedom: 4.3 is the 5 % point, and one |t| may be several times another by chance. "equal" are values that are the
same in every seed. tau is Kendall's, of the ranking of all samplers with FID's, both from worse to better (nearer
to the null where no direction is better). The last column is the geometric mean of the pairs' t^2 over the metric's
CPU seconds a model: t^2 grows with the number of seeds, and so with the time. A metric's measures come together,
for its time once.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pandas as pd

from priorgap.core.measures import Catalogue, Measure
from priorgap.pipeline.config import parts
from priorgap.pipeline.gathering import gather, measurements_of, models_of
from priorgap.pipeline.store.layout import Store
from priorgap.pipeline.store.records import Record, records_of
from priorgap.verdict.contrasts import paired, scaled_mean
from priorgap.verdict.family import rank_agreement
from priorgap.verdict.readings import (
    Readings,
    most_common_label_source,
    readings_of,
    scale_of,
    select,
    text_column,
)
from shared_work import shared

FID = "fid"


@dataclass(frozen=True)
class Taken:
    """What a metric took in one feature space.

    Attributes:
        name: the metric, with its space where it is of one.
        metric: its name.
        space: the space, "" for none.
        seconds: CPU seconds a model, the mean over models.
        n_samplers: samplers of a model that it was taken of; 0: it is of the model.
    """

    name: str
    metric: str
    space: str
    seconds: float
    n_samplers: float


def times_of(reported: Sequence[Record], store: Store) -> list[Taken]:
    """Return what each metric took, the most expensive first.

    Raises:
        ValueError: a result does not say its CPU seconds.
    """
    models = models_of(reported)
    seconds: dict[tuple[str, str], float] = {}
    count: dict[tuple[str, str], int] = {}
    for _, model in models:
        for step in measurements_of(model):
            known = store.known(step)
            if known is None or known.provenance.get("cpu_seconds") is None:
                raise ValueError(
                    f"{step.path}: not there, or without its CPU seconds; expected a finished study"
                )
            key = (step.metric, step.space)
            seconds[key] = seconds.get(key, 0.0) + float(known.provenance["cpu_seconds"])
            applied = bool(step.sampler) and store.value(step)["skipped"] is None
            count[key] = count.get(key, 0) + applied
    found = [
        Taken("@".join(filter(None, key)), *key, total / len(models), count[key] / len(models))
        for key, total in seconds.items()
    ]
    return sorted(found, key=lambda one: -one.seconds)


def readings(table: pd.DataFrame, measure: Measure, space: str) -> Readings:
    """Return a measure's values by sampler and seed in a space; none for one that is of the model."""
    rows = select(table, measure.name, space)
    rows = rows[text_column(rows, "sampler") != ""]
    rows = rows[text_column(rows, "label_source") == most_common_label_source(rows)]
    return readings_of(rows)


def merit(measure: Measure, found: Readings) -> dict[str, float]:
    """Return how good each sampler is by a measure, higher better; nothing where the measure cannot say."""
    means = {name: scaled_mean(by_seed, sorted(by_seed), "identity") for name, by_seed in found.items()}
    if measure.sign:
        return {name: measure.sign * value for name, value in means.items()}
    return {} if measure.null is None else {name: -abs(value - measure.null) for name, value in means.items()}


def agreement(measure: Measure, found: Readings, by_fid: dict[str, float]) -> str:
    """Return Kendall's tau of a measure's ranking with FID's."""
    own = merit(measure, found)
    common = sorted(set(own) & set(by_fid))
    tau = rank_agreement([[ranks[name] for name in common] for ranks in (own, by_fid)])
    return "" if tau is None else f"{tau:.2f}"


def separation(measure: Measure, found: Readings, pair: str) -> tuple[str, float | None]:
    """Return how two samplers differ, in words, and |t|; None where it is not known."""
    first, second = pair.split("/")
    if first not in found or second not in found:
        return "", None
    scale = scale_of(measure, {name: found[name] for name in (first, second)})
    each = [
        {seed: scaled_mean(found[name], [seed], scale) for seed in found[name]} for name in (first, second)
    ]
    difference = paired(*each)
    if all(each[0].get(seed) == value for seed, value in each[1].items()):
        return "equal", None
    effect = f"{math.exp(difference.mean):.3g} x" if scale == "log" else f"{difference.mean:+.3g}"
    if difference.std_error is None:
        return effect, None
    return effect, abs(difference.mean) / difference.std_error


@dataclass(frozen=True, eq=False)
class Results:
    """A finished study's numbers.

    Attributes:
        table: its results.csv.
        catalogue: what its measures are.
        record: one of its models.
        pairs: samplers to tell apart.
    """

    table: pd.DataFrame
    catalogue: Catalogue
    record: Record
    pairs: Sequence[str]

    @property
    def by_fid(self) -> dict[str, float]:
        """How good each sampler is by FID."""
        entry = self.catalogue[FID]
        return merit(entry, readings(self.table, entry, str(self.record.config["verdict"]["space"])))

    def of(self, taken: Taken) -> list[tuple[str, str]]:
        """Return the measures of a metric, with the spaces that they were taken in."""
        names = [one.name for one in parts.metric(self.record.config, taken.metric).measures]
        if not taken.n_samplers:
            return [(", ".join(names), "")]
        rows = self.table[self.table["measure"].isin(names) & (text_column(self.table, "unit") == "")]
        found = set(zip(rows["measure"], rows["space"], strict=True))
        own = [one for one in found if not taken.space or one[1] == taken.space]
        return sorted(own, key=lambda one: (names.index(one[0]), one[1]))

    def cells(self, name: str, space: str, seconds: float) -> list[str]:
        """Return what a measure says of the pairs, its agreement with FID, and its rate."""
        measure = self.catalogue[name]
        found = readings(self.table, measure, space)
        told = [separation(measure, found, pair) for pair in self.pairs]
        ts = [t for _, t in told if t]
        rated = seconds > 0 and len(ts) == len(told)
        rate = math.exp(fmean(2 * math.log(t) for t in ts)) / seconds if rated else None
        each = [cell for effect, t in told for cell in (effect, "" if t is None else f"{t:.1f}")]
        return [*each, agreement(measure, found, self.by_fid), "" if rate is None else f"{rate:.2g}"]


def rows_of(taken: Taken, total: float, results: Results) -> Iterator[str]:
    """Yield a metric's rows, one a measure and space."""
    each = taken.seconds / taken.n_samplers if taken.n_samplers else taken.seconds
    of = "sampler" if taken.n_samplers else "model"
    head = f"| {taken.name} | {each:.2f} a {of} | {100 * taken.seconds / total:.1f} % "
    own = results.of(taken)
    for name, space in own:
        label = f"{name}@{space}" if sum(one == name for one, _ in own) > 1 else name
        told = [""] * (2 + 2 * len(results.pairs))
        if taken.n_samplers:
            told = results.cells(name, space, taken.seconds)
        yield head + "".join(f"| {cell} " for cell in (label, *told)) + "|"
        head = "| | | "


def main() -> int:
    """Print both tables and return the exit status."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("study")
    parser.add_argument("--output-root", default="outputs", type=Path)
    parser.add_argument("--pairs", default="gmm/prior,posterior/gmm")
    given = parser.parse_args()
    store, pairs = Store(given.output_root), given.pairs.split(",")
    reported = list(records_of(store, given.study))
    if not reported:
        print(f"{given.study}: no study in {given.output_root}; expected a finished one", file=sys.stderr)
        return 2
    gathered, times = gather(reported, store), times_of(reported, store)
    if gathered.missing:
        print(f"{given.study}: not finished: {', '.join(gathered.missing)}", file=sys.stderr)
        return 2
    total = sum(one.seconds for one in times)
    heads = "".join(f"| {pair} | abs. t " for pair in pairs)
    print(f"| metric | CPU s | share | measure {heads}| tau with FID | t² a CPU-second |")
    print("|---" * (6 + 2 * len(pairs)) + "|")
    results = Results(gathered.table, gathered.catalogue, reported[0], pairs)
    for one in times:
        for row in rows_of(one, total, results):
            print(row)
    print("\n| shared by metrics, in the time of the first that asks | asked for by | CPU s |\n|---|---|---|")
    for what, by, seconds, of in shared(reported[0], store):
        print(f"| {what} | {by} | {seconds:.2f} a {of} |")
    seeds = sorted({int(record.config["seed"]) for record in reported})
    print(f"\nall measures of a model: {total:.1f} CPU s; seeds {', '.join(map(str, seeds))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
