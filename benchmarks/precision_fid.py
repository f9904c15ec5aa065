"""What training in bfloat16 does to FID and to the verdict: the check behind `trainer.precision=auto`.

    priorgap run -m experiment=e01_alpha study=precision data=mnist loss.alpha=10 trainer.precision=bf16,32-true
    python benchmarks/precision_fid.py --results outputs/precision/report

The first command trains models twice, by seed, and takes their measures; the second compares them, paired over seeds:
geometric mean ratios with 95 % t intervals of single comparisons. Exits 1 where an interval leaves out 1, or the two
precisions recommend different samplers.
"""

import argparse
import json
from pathlib import Path

import pandas as pd

from priorgap.verdict.contrasts import contrasts
from priorgap.verdict.readings import readings_of

KEY = "trainer.precision"
PRECISIONS = ("32-true", "bf16")
OF = ["space", "sampler", "calibrate"]


def compared(table: pd.DataFrame) -> tuple[list[str], bool]:
    """Return a row for each space and sampler, and whether all intervals hold 1."""
    rows, unmoved = [], True
    fids = table[(table["measure"] == "fid") & (table["decode"] == "mean")]
    for (space, sampler, calibrated), group in fids.groupby(OF):
        values = {name: readings_of(group[group[KEY] == name])[sampler] for name in PRECISIONS}
        (found,) = contrasts(values, [("bf16", "32-true")], scale="log", level=0.95, one_model=False)
        if found.interval is None:
            raise SystemExit("one seed has no interval: expected several")
        low, high = found.interval
        unmoved &= low <= 1 <= high
        name = f"{sampler}, calibrated" if calibrated else sampler
        means = " | ".join(f"{group['value'][group[KEY] == name].mean():.3g}" for name in PRECISIONS)
        ratio = f"{found.effect:.3f} [{low:.3f}, {high:.3f}]"
        rows.append(f"| {space} | {name} | {means} | {ratio} | {found.n_pairs} |")
    return rows, unmoved


def main() -> int:
    """Print the comparison; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--results", type=Path, required=True, help="the report's folder of the first command"
    )
    given = parser.parse_args()
    rows, unmoved = compared(pd.read_csv(given.results / "results.csv", dtype={"unit": str}))
    print("| space | sampler | FID, 32-true | FID, bf16 | bf16 over 32-true | seeds |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    print("\n".join(rows))
    verdict = json.loads((given.results / "verdict.json").read_text(encoding="utf-8"))
    recommended = {cell["recommended"] for cell in verdict["cells"]}
    print(f"\nrecommended in {len(verdict['cells'])} cells: {', '.join(sorted(map(str, recommended)))}")
    return 0 if unmoved and len(recommended) == 1 else 1


if __name__ == "__main__":
    raise SystemExit(main())
