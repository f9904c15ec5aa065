"""The table of swapped units (experiments/writeup/swaps.py), against costs that were planted."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
from writeup.blocks import block
from writeup.published import Published
from writeup.query import BLOCKS, EvidenceError, parse

COSTS = (1.0, 2.0, 3.0, 4.0, 10.0)


def study(folder: Path, *, rates: tuple[float, ...] = COSTS, prior: float = 12.0) -> Published:
    """Two models: posterior 2; a swapped unit costs COSTS, by `shuffle` half as much; the prior costs prior - 2."""
    rows = []
    for seed in range(2):
        swapped = {f"unit_swap_{j}_prior": cost for j, cost in enumerate(COSTS)}
        swapped |= {f"unit_swap_{j}_shuffle": cost / 2 for j, cost in enumerate(COSTS)}
        values = {"prior": prior, "posterior": 2.0, **{name: 2.0 + cost for name, cost in swapped.items()}}
        one = {
            "cell": "c",
            "model": f"m{seed}",
            "seed": seed,
            "bound": "point",
            "role": "",
            "label_source": "",
        }
        rows += [
            {**one, "sampler": sampler, "measure": "fid", "space": "pixels", "unit": "", "value": value}
            for sampler, value in values.items()
        ]
        rows += [
            {**one, "sampler": "", "measure": "rate", "space": "latent", "unit": str(j), "value": rate}
            for j, rate in enumerate(rates)
        ]
    pd.DataFrame(rows).to_csv(folder / "results.csv", index=False)
    (folder / "verdict.json").write_text(json.dumps({"space": "pixels", "cells": []}), encoding="utf-8")
    return Published(folder)


def shown(found: Published, asked: str = "swaps fid") -> list[str]:
    return block(parse(asked, BLOCKS), found, found.readme).splitlines()


def test_sums_and_correlations_are_the_planted_ones(tmp_path: Path) -> None:
    header, _, prior, shuffle, _, note = shown(study(tmp_path))
    assert header.count("|") == 5 and "correlation: rate R" in header
    # 1 + 2 + 3 + 4 + 10 = 20, and the prior's own cost is 12 - 2
    assert prior == "| prior | 1 [1, 1] | 2 [2, 2] | 1 [1, 1] |"
    assert shuffle == "| shuffle | 0.5 [0.5, 0.5] | 1 [1, 1] | 1 [1, 1] |"
    # the rates: 20 in each model, counted once though there are two arms
    assert note.endswith("of 2 models. Summed over units: rate R 20.")


def test_a_rate_that_goes_the_other_way_is_seen(tmp_path: Path) -> None:
    rows = shown(study(tmp_path, rates=COSTS[::-1], prior=42.0))
    assert rows[2] == "| prior | 1 [1, 1] | 0.5 [0.5, 0.5] | −1 [−1, −1] |"


@pytest.mark.parametrize(
    ("asked", "said"),
    [("swaps", "expected a measure"), ("swaps fid kid", "expected a measure"), ("swaps kid", "no kid")],
)
def test_a_mark_without_a_measure_is_refused(tmp_path: Path, asked: str, said: str) -> None:
    with pytest.raises(EvidenceError, match=said):
        shown(study(tmp_path), asked)


def test_a_study_without_swaps_is_refused(tmp_path: Path) -> None:
    found = study(tmp_path)
    table = pd.read_csv(tmp_path / "results.csv", dtype=str, keep_default_na=False)
    table[~table["sampler"].str.startswith("unit_swap")].to_csv(tmp_path / "results.csv", index=False)
    with pytest.raises(EvidenceError, match="no unit is swapped there"):
        shown(found)
