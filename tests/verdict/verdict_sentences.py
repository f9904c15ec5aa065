"""Print docs/verdicts.md, or write it (--write): every kind of sentence of a verdict, said of planted results."""

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from priorgap.core.findings import Finding
from priorgap.core.verdict_rules import standard_rules
from priorgap.verdict import StudyVerdict, decide_study
from priorgap.verdict.health import CONSEQUENCES
from priorgap.verdict.model_findings import not_applied

PAGE = Path(__file__).parents[2] / "docs" / "verdicts.md"
TRAITS = {"prior": "fixed", "posterior": "reconstructs needs_training_data", "kde": "needs_training_data"}
COSTS = {"gmm": "Fitting the mixture takes seconds."}
SPACES = {
    "rate": "latent",
    "active_units_var": "latent",
    "kl_diag_train": "latent",
    "explained_share": "data",
}
HEALTHY = {
    "rate": 12.0,
    "active_units_var": 8.0,
    "explained_share": 0.7,
    "fid_floor": 5.0,
    "fid_reconstruction": 13.0,
}
CLEAR = {"prior": 60.0, "posterior": 12.0, "gmm": 13.5, "per_class_gmm": 14.0, "gaussian_full": 35.0}


def row(seed: int, measure: str, value: float, sampler: str = "", **more: Any) -> dict[str, Any]:
    """Return a row of results.csv."""
    record = {
        "study": "planted", "cell": "a", "model": f"a-{seed}", "seed": seed, "sampler": sampler,
        "role": "candidate" if sampler else "", "label_source": "", "measure": measure,
        "space": SPACES.get(measure, "classifier"), "unit": "", "value": value, "std_error": None, "n": 1000,
        "n_reference": 1000, "bound": "point", "traits": TRAITS.get(sampler, "none") if sampler else "",
        "decode": "mean",
    }  # fmt: skip
    return record | more


def noise(place: int, seed: int) -> float:
    """Return numbers around 0 that look irregular and are the same everywhere."""
    return math.sin(12.9898 * (place + 1) + 78.233 * (seed + 1))


def measured(
    measure: str,
    means: Mapping[str, float],
    n_seeds: int = 5,
    *,
    spread: float = 0.05,
    log: bool = True,
    **more: Any,
) -> list[dict[str, Any]]:
    """Return a measure of some samplers over seeds."""
    rows = []
    for place, (sampler, mean) in enumerate(means.items()):
        for seed in range(n_seeds):
            own = spread * noise(place, seed)
            rows.append(row(seed, measure, mean * math.exp(own) if log else mean + own, sampler, **more))
    return rows


def model(n_seeds: int = 5, **changed: float) -> list[dict[str, Any]]:
    """Return the model's own measures; healthy but for what is changed."""
    values = {**HEALTHY, **changed}
    return [row(seed, name, value) for name, value in values.items() for seed in range(n_seeds)]


def twin(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as those of the calibrated models."""
    return [{**r, "calibrate": True, "cell": "b", "model": f"b-{r['seed']}"} for r in rows]


def say(*parts: Sequence[Mapping[str, Any]], **more: Any) -> StudyVerdict:
    """Decide planted results."""
    table = pd.DataFrame([record for part in parts for record in part])
    return decide_study(table, space="classifier", costs=COSTS, **more)


def copying(sampler: str, excess: float, share: float) -> list[dict[str, Any]]:
    """Return copying measures of a sampler."""
    at = {"space": "pixels", "std_error": 0.003}
    return [
        row(seed, name, value + 0.001 * noise(0, seed), sampler, **at)
        for name, value in (("near_copy_excess", excess), ("train_share", share))
        for seed in range(5)
    ]


def headlines() -> list[tuple[str, StudyVerdict]]:
    """Return each kind of advice with an example."""
    fid = measured("fid", CLEAR)
    near = {"prior": 20.0, "gmm": 20.1, "gaussian_full": 22.0}
    return [
        ("The prior is shown to be worse, by a ratio that counts.", say(model(), fid)),
        (
            "Something that may not be used is better still.",
            say(model(), measured("fid", {"prior": 60.0, "posterior": 5.0, "gmm": 13.5}, spread=0.02)),
        ),
        (
            "The recommended sampler's draws sit nearer to training images than to unseen ones.",
            say(model(), measured("fid", {"prior": 60.0, "gmm": 13.5}), copying("gmm", 0.0, 0.61)),
        ),
        ("Nothing else is better by what counts.", say(model(), measured("fid", near, spread=0.002))),
        (
            "Something is better, by less than counts.",
            say(model(), measured("fid", near | {"gmm": 19.4}, spread=0.002)),
        ),
        (
            "The prior is kept beside a better sampler that may not be used.",
            say(model(), measured("fid", {"prior": 20.0, "posterior": 10.0}, spread=0.002)),
        ),
        (
            "The prior has the best mean, and that is all that is known.",
            say(model(), measured("fid", near | {"gmm": 23.0}, spread=0.2)),
        ),
        (
            "Another sampler has the better mean, which is not shown.",
            say(model(), measured("fid", near | {"gmm": 18.0}, spread=0.2)),
        ),
        ("There is no prior beside it.", say(model(), measured("fid", {"gmm": 13.5, "gaussian_full": 35.0}))),
        ("No sampler may be used.", say(model(), measured("fid", {"posterior": 12.0, "kde": 14.0}))),
        (
            "A measure that is compared by differences.",
            say(
                model(), measured("coverage", {"prior": 0.4, "gmm": 0.7}, spread=0.02, log=False),
                measure="coverage",
            ),
        ),
        (
            "The calibrated model's prior is best.",
            say(
                [r | {"calibrate": False} for r in [*model(), *measured("fid", {"prior": 60.0, "gmm": 30.0})]],
                twin(measured("fid", {"prior": 20.0})),
            ),
        ),
        ("The measure is missing.", say(model(), measured("kid", CLEAR, log=False), skipped={"fid": "no weights"})),
        ("There is nothing to compare.", say(model(), measured("fid", {"prior": 60.0}))),
    ]  # fmt: skip


def faults() -> list[tuple[str, StudyVerdict]]:
    """Return each finding with an example."""
    fid = measured("fid", CLEAR)
    flat = measured("fid", {"prior": 705.0, "gmm": 700.0})
    wired = Finding(
        "stop",
        "sigma_for_log_var",
        0.02,
        0.0,
        "Return the logarithm of the variance from encode: its log_var is never below 0 (least 0.02), as sigma or a "
        "variance is, and every posterior would be as wide as the prior, or wider.",
    )
    few = [r | {"n_reference": 12} for r in fid]
    some = [r | {"n_reference": 120} for r in fid]
    unit = [row(seed, "rate", 5e5, unit="3") for seed in range(5)]
    absent = not_applied({"per_class_gmm": "per_class_gmm: the data have no labels"})
    return [
        ("a fault of the model's functions or of the data, handed in", say(model(), fid, findings=[wired])),
        ("too_few_rows", say(model(), few)),
        ("exploded_posteriors", say(model(), fid, unit)),
        (
            "nothing_in_the_latent_space",
            say(model(active_units_var=0.0, rate=0.002, explained_share=0.0), fid),
        ),
        ("reconstructions_no_better_than_the_mean", say(model(explained_share=-0.03), fid)),
        ("decoder_limits", say(model(fid_reconstruction=760.0), flat)),
        ("decoder_limits, without reconstructions", say([row(s, "fid_floor", 5.0) for s in range(5)], flat)),
        ("too_few_rows, as a warning", say(model(), some)),
        (
            "decoder_limits, as a warning",
            say(model(fid_reconstruction=60.0), measured("fid", {"prior": 90.0, "gmm": 65.0})),
        ),
        (
            "means_hide_what_the_decoder_can",
            say(model(fid_reconstruction=35.0), measured("fid", {"prior": 100.0, "gmm": 22.0})),
        ),
        ("not_converged", say(model(kl_diag_train=0.3), fid, matches={"a": True})),
        ("moments", say(model(kl_diag_train=0.3), fid)),
        (
            "sampler_does_not_apply",
            say(model(), measured("fid", {"prior": 60.0, "gmm": 13.5}), findings=absent),
        ),
        (
            "unused_units",
            say(
                model(active_units_rate=15.0),
                fid,
                [row(s, "rate", 0.4, unit=str(j)) for s in range(5) for j in range(64)],
            ),
        ),
    ]


def others() -> list[tuple[str, StudyVerdict]]:
    """Return examples of how sure a verdict is, and of its details."""
    fid = measured("fid", CLEAR)
    coverage = measured("coverage", {"posterior": 0.5, "gmm": 0.8}, spread=0.02, log=False)
    second = measured("fid", {k: 40 - v / 2 for k, v in CLEAR.items()}, space="pixels")
    alike = measured("fid", {k: v / 9 for k, v in CLEAR.items()}, space="pixels")
    mixed = measured(
        "fid", dict(zip(CLEAR, (9.0, 2.0, 5.0, 4.0, 3.0), strict=True)), space="pixels", spread=0.01
    )
    apart = measured(
        "fid", dict(zip(CLEAR, (4.0, 3.0, 2.0, 9.0, 5.0), strict=True)), space="pixels", spread=0.01
    )
    one = [r | {"std_error": r["value"] * 0.02} for r in measured("fid", CLEAR, 1)]
    density = measured("density", {"posterior": 0.9, "gmm": 0.8}, 1, log=False)
    auc = [row(s, "memorisation_auc", 0.61 + 0.01 * noise(1, s), space="pixels") for s in range(5)]
    unknown = [r | {"unit": "null unknown"} for r in auc]
    partial = [r for r in fid if (r["sampler"], r["seed"]) != ("gaussian_full", 4)]
    sizes = [r | {"n": 500} if r["sampler"] == "gmm" else r for r in fid]
    unranked = measured("kid", {"flow": 0.1}, log=False)
    calibrated = [r | {"calibrate": False} for r in [*model(), *fid]] + [
        r | {"calibrate": True, "cell": "b", "model": f"b-{r['seed']}"}
        for r in measured("fid", {"prior": 40.0})
    ]
    return [
        ("Five seeds or more, a paired study.", say(model(), fid, auc)),
        ("Fewer than five seeds.", say(model(3), measured("fid", CLEAR, 3))),
        ("One model; a second opinion without a valid standard error.", say(model(1), one, density)),
        ("A second opinion contradicts.", say(model(), fid, coverage)),
        ("A second feature space ranks alike.", say(model(), fid, alike)),
        ("It ranks roughly alike.", say(model(), fid, mixed)),
        ("It ranks differently.", say(model(), fid, apart)),
        ("It ranks the other way round, and contradicts.", say(model(), fid, second)),
        ("A sampler copies.", say(model(), fid, copying("gmm", 0.2, 0.7), unknown)),
        ("All candidates reconstruct or copy.", say(model(), measured("fid", {"posterior": 12.0, "vamp": 14.0}),
            copying("vamp", 0.2, 0.7))),
        ("The decoder itself copies.", say(model(), measured("fid", {"prior": 12.0, "gmm": 10.0, "posterior": 9.0}),
            copying("prior", 0.2, 0.7), copying("gmm", 0.2, 0.7))),
        ("A calibrated model beside the one as trained.", say(calibrated)),
        ("Seeds are missing.", say(model(), partial)),
        ("Sample sizes differ.", say(model(), sizes)),
        ("A candidate was not measured.", say(model(), fid, unranked)),
        ("A tie: what the seeds could have shown.", say(model(), measured("fid", {"gmm": 14.0, "kde": 14.1,
            "prior": 60.0}))),
        ("A tie of two seeds.", say(model(2), measured("fid", {"gmm": 14.0, "prior": 14.0}, 2))),
    ]  # fmt: skip


def studies() -> list[tuple[str, StudyVerdict]]:
    """Return studies of several cells."""
    kinds = [
        CLEAR, {**CLEAR, "gmm": 16.0}, {"prior": 30.0, "gmm": 40.0}, {"prior": 21.0, "gmm": 20.5},
        {"gmm": 13.5, "gaussian_full": 35.0}, {"posterior": 12.0, "kde": 14.0}, {"prior": 60.0},
    ]  # fmt: skip
    cells: list[list[dict[str, Any]]] = []
    for place, means in enumerate(kinds):
        own = [*model(fid_reconstruction=20.0), *measured("fid", means, spread=0.2 if place == 3 else 0.05)]
        cells.append(
            [
                r | {"cell": f"c{place}", "model": f"c{place}-{r['seed']}", "loss.alpha": place + 1}
                for r in own
            ]
        )
    sick = [r | {"cell": "s", "model": f"s-{r['seed']}", "loss.alpha": 9}
            for r in [*model(explained_share=-0.1), *measured("fid", CLEAR)]]  # fmt: skip
    drawn = [
        r | {"cell": "d", "model": f"d-{r['seed']}", "decode": "draw"}
        for r in [
            *model(),
            *measured("fid", {name: 1.4 * value for name, value in CLEAR.items()}, spread=0.04),
        ]
    ]
    return [
        ("The same in every cell.", say(*cells[:2])),
        ("One model decoded both ways.", say([*model(), *measured("fid", CLEAR)], drawn)),
        ("One cell of each kind.", say(*cells, sick)),
        ("No cell is healthy.", say(sick, [r | {"cell": "t", "loss.alpha": 10} for r in sick])),
    ]


def quoted(verdict: StudyVerdict, *, whole: bool) -> list[str]:
    """Return a verdict as Markdown."""
    lines = [f"> **Do this.** {verdict.headline}"]
    lines += [">", f"> **How sure.** {verdict.sure}"] if verdict.sure and whole else []
    lines += [">", *(f"> - {line}" for line in verdict.details)] if verdict.details and whole else []
    return lines


def section(title: str, text: str, examples: Sequence[tuple[str, StudyVerdict]], *, whole: bool) -> list[str]:
    """Return a section: its text, and each example under what it shows."""
    lines = [f"## {title}", "", text.strip(), ""]
    for shows, verdict in examples:
        lines += [shows if shows.endswith(".") else f"`{shows}`:", "", *quoted(verdict, whole=whole), ""]
    return lines


def consequences() -> list[str]:
    """Return what each finding brings with it, as a table."""
    rows = [
        f"| `{name}` | {', '.join(f'`{x}`' for x in sorted(brings))} |"
        for name, brings in CONSEQUENCES.items()
    ]
    return ["| found first | may bring with it |", "|---|---|", *rows, ""]


INTRO = """
# What a verdict says

Every sentence below is made by the code, of planted results: `python tests/verdict/verdict_sentences.py --write`
writes this page, and a test compares it. The rules stand in `conf/config.yaml` under `verdict`.

A verdict has three tiers. **Do this**: one or two plain sentences. **How sure**: what they rest on and what
they are conditional on. **Details**: the numbers behind them, folded away on the page. `verdict.json` has
them as `headline`, `sure` and `details.sentences`, beside `recommended`, `best_set` and `health`.

It is made in this order.

1. *Is the model healthy?* Findings come before any ranking. Where one says stop, no sampler is recommended,
   `generate` takes no model of that cell unasked, and `winner`, `effect`, `recommended` and `best_set` are
   null.
2. *What is shown?* Seeds are paired, on the log scale for FID. All pairs of candidates are one family,
   because which pairs matter is decided by looking at the data. The intervals hold together: over all
   pairs, and over all cells of the study. The residual variances of the samplers are pooled where a test
   does not show them to be unequal (John's, at 5 %); a pair that varies more than that keeps its own. A
   standard error of 0 is unknown, not small. The best set holds every candidate that is not shown to be
   worse than the one with the best mean; a difference counts from `verdict.smallest_ratio` on.
3. *What is to be done?* Recommended is the best mean in the best set among the samplers that neither
   reconstruct training images, nor copy them, nor need them when they draw; where the best set has none,
   the best mean among all such samplers.

`benchmarks/verdicts.py` measures how often that is right. Two limits are known. With three seeds, and one
sampler whose residuals vary five times as much as those of the others, intervals cover together in about
.87, for the test of equal variances has little to go by. And a study shares one test set: intervals say
nothing of another one.
"""


HEALTH = """
A finding has a severity: *stop* (nothing is recommended; its sentence is the headline), *warn* (said beside
the recommendation) or *note* (among the details). Faults that are found by looking at a model's functions, or
at its rows, come first: a model that is wired wrongly explains bad numbers. A cell has a finding where one of
its models has it; the sentence names the seeds. What was not measured is not judged.
"""


def page() -> str:
    """Return the whole page."""
    lines = [INTRO.strip(), ""]
    lines += section("What to do", "The kinds of headline.", headlines(), whole=False)
    known = ", ".join(f"`{name}` {value:g}" for name, value in vars(standard_rules().health).items())
    text = f"{HEALTH.strip()}\n\nLimits: {known}."
    lines += section("Health", text, faults(), whole=True)
    lines += ["What a finding brings with it is marked as following from it:", "", *consequences()]
    lines += section("How sure, and the details", "In full.", others(), whole=True)
    lines += section(
        "Studies of several cells", "The same over cells, then a line a cell.", studies(), whole=True
    )
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())
