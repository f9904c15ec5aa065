"""How often verdicts are right: simulated studies through the verdict's own family and advice.

    python benchmarks/verdicts.py [--studies 2000] [--only WORD] [--seeds 3 5 10] [--cells 1 12]

A study has six samplers, the prior among them, measured for some seeds in one or twelve cells: log FID = mean of the
sampler + an effect of the seed that all share + residual noise of s.d. .08. Rates are by study, so over all of its
cells. A rate holds when the exact one-sided 99.9 % binomial limit does not exclude its bound. Exits with 1 where one
does not. A prior that varies twice as much as the others is one case further than what must hold; it is only printed.
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from priorgap.core.catalogue import BUILTIN
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.core.verdict_rules import standard_rules
from priorgap.verdict.advice import Advice, advise, is_eligible
from priorgap.verdict.family import Family, family_of
from priorgap.verdict.readings import Reading

Noise = Callable[[np.random.Generator, tuple[int, int]], npt.NDArray[np.float64]]
SPREAD, SEED_EFFECT = 0.08, 0.3
# the candidates by what they say of themselves
FACTS = {
    "prior": SamplerFacts(False, False, True, ""),
    "a fit": SamplerFacts(False, False, False, ""),
    "a fit that copies": SamplerFacts(False, False, False, ""),
    "another fit": SamplerFacts(False, False, False, ""),
    "one that needs the training data": SamplerFacts(False, True, False, ""),
    "one that reconstructs": SamplerFacts(True, True, False, ""),
}
NAMES = tuple(FACTS)
# one candidate copies, as found by its own measures: it has a label, whatever it says of itself
LABELS = {"a fit that copies": ["copies"]}
RULES = standard_rules()


def _normal(rng: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    return SPREAD * rng.standard_normal(shape)


def _student(rng: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    return SPREAD * rng.standard_t(3, shape) / math.sqrt(3)


def _uneven(rng: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return noise of which the prior has twice as much as the others."""
    return _normal(rng, shape) * np.where(np.arange(shape[0]) == 0, 2.0, 1.0)[:, None]


@dataclass(frozen=True)
class Case:
    """Where the truth lies: the means of log FID of the samplers in every cell."""

    name: str
    means: tuple[float, ...]
    noise: Noise = _normal


CASES = (
    Case("equal", (0.0,) * 6),
    Case("tied", (0.5, 0.4, 0.6, 0.0, 0.0, 0.7)),
    *(
        Case(f"planted .{step}0", (step / 10, step / 10, step / 10, 0.0, step / 10, step / 10))
        for step in (1, 2, 5)
    ),
    Case("ladder", tuple(0.1 * i for i in range(6))),
    Case("equal, t(3) noise", (0.0,) * 6, _student),
    Case("tied, t(3) noise", (0.5, 0.4, 0.6, 0.0, 0.0, 0.7), _student),
    Case("equal, the prior twice as variable", (0.0,) * 6, _uneven),
    Case("two samplers, equal", (0.0, 0.0)),
)
PRIOR = Case("prior at 1.6 times", (math.log(1.6), 0.0, 0.0, 0.0, 0.0, 0.0))


@dataclass
class Count:
    """What was counted over studies."""

    studies: int = 0
    false_winner: int = 0
    covered: int = 0
    best_lost: int = 0
    prior_excluded: int = 0
    cells: int = 0
    barred: int = 0
    pooled: int = 0


def decide(rng: np.random.Generator, case: Case, n_seeds: int, n_cells: int) -> tuple[Family, Advice]:
    """Simulate one cell and decide it."""
    names = NAMES[: len(case.means)]
    y = np.array(case.means)[:, None] + SEED_EFFECT * rng.standard_normal(n_seeds)
    y = np.exp(y + case.noise(rng, (len(names), n_seeds)))
    values = {
        n: {s: Reading(float(v), None) for s, v in enumerate(row)} for n, row in zip(names, y, strict=True)
    }
    family = family_of(values, scale="log", level=RULES.level, n_cells=n_cells)
    order = sorted(names, key=lambda name: float(np.log([r.value for r in values[name].values()]).mean()))
    advice = advise(
        order,
        family,
        FACTS,
        LABELS,
        measure=BUILTIN["fid"],
        baseline="prior",
        smallest_ratio=RULES.smallest_ratio,
    )
    return family, advice


def run(case: Case, n_seeds: int, n_cells: int, n_studies: int) -> Count:
    """Simulate studies and count."""
    rng = np.random.default_rng([n_seeds, n_cells, *case.name.encode()])
    names = NAMES[: len(case.means)]
    truth = dict(zip(names, case.means, strict=True))
    least = min(case.means)
    best = {name for name, mean in truth.items() if mean == least}
    count = Count()
    for _ in range(n_studies):
        wrong = covered = lost = 0
        for _ in range(n_cells):
            family, advice = decide(rng, case, n_seeds, n_cells)
            alone = advice.best_set[0] if len(advice.best_set) == 1 else None
            wrong += alone is not None and best != {alone}
            lost += not best <= set(advice.best_set)
            covered += all(_covers(family, pair, truth) for pair in family.differences)
            count.prior_excluded += "prior" not in advice.best_set
            count.pooled += family.pooled
            count.cells += 1
            name = advice.recommended
            count.barred += name is not None and not is_eligible(name, FACTS, LABELS)
        count.studies += 1
        count.false_winner += wrong > 0
        count.best_lost += lost > 0
        count.covered += covered == n_cells
    return count


def _covers(family: Family, pair: tuple[str, str], truth: dict[str, float]) -> bool:
    interval = family.contrast(*pair).interval
    return interval is None or interval[0] <= math.exp(truth[pair[0]] - truth[pair[1]]) <= interval[1]


def at_most(hits: int, n: int, bound: float) -> bool:
    """Whether a rate of at most `bound` is not excluded: its exact one-sided 99.9 % lower limit is below."""
    return hits == 0 or float(stats.beta.ppf(0.001, hits, n - hits + 1)) <= bound


def at_least(hits: int, n: int, bound: float) -> bool:
    """The same for a rate of at least `bound`."""
    return at_most(n - hits, n, 1 - bound)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line a case; return 1 where a rate does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--only", default="")
    parser.add_argument("--seeds", type=int, nargs="*", default=[3, 5, 10])
    parser.add_argument("--cells", type=int, nargs="*", default=[1, 12])
    given = parser.parse_args(arguments)
    failed = 0
    print("| case | seeds | cells | studies | false winner | covered together | a best one lost | pooled |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for case in (c for c in CASES if given.only in c.name):
        for n_seeds in given.seeds:
            for n_cells in given.cells:
                c = run(case, n_seeds, n_cells, given.studies)
                held = at_most(c.false_winner, c.studies, 0.05) and at_least(c.covered, c.studies, 0.95)
                held = (held and c.barred == 0) or case.noise is _uneven
                failed += not held
                print(
                    f"| {case.name} | {n_seeds} | {n_cells} | {c.studies} | {c.false_winner / c.studies:.3f} | "
                    f"{c.covered / c.studies:.3f} | {c.best_lost / c.studies:.3f} | {c.pooled / c.cells:.2f} |"
                    + ("" if held else " **does not hold**"),
                    flush=True,
                )
    if given.only in PRIOR.name:
        print()
        print("| case | seeds | cells | prior excluded, by cell |")
        print("|---|---:|---:|---:|")
        for n_cells in given.cells:
            c = run(PRIOR, 5, n_cells, given.studies // n_cells + 1)
            held = at_least(c.prior_excluded, c.cells, 0.95)
            failed += not held
            rate = c.prior_excluded / c.cells
            print(
                f"| {PRIOR.name} | 5 | {n_cells} | {rate:.3f} |" + ("" if held else " **does not hold**"),
                flush=True,
            )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
