"""What a measure tells a CPU-second: planted differences are found, equal ones are not, directions count."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from priorgap.core.catalogue import BUILTIN
from priorgap.verdict.readings import Reading, Readings

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
# one of the scripts has the name of an outside package (coverage): the folder stays on the path for this import alone
sys.path.insert(0, str(BENCHMARKS))
try:
    import measures_per_second as script
    import shared_work
finally:
    sys.path.remove(str(BENCHMARKS))


def of(**values: list[float]) -> Readings:
    return {name: {seed: Reading(v, None) for seed, v in enumerate(each)} for name, each in values.items()}


def test_a_ratio_is_told_apart_on_the_scale_of_its_measure() -> None:
    found = of(gmm=[1.0, 2.0, 4.0], prior=[2.2, 4.0, 8.8])
    effect, t = script.separation(BUILTIN["fid"], found, "gmm/prior")
    logs = [math.log(1 / 2.2), math.log(1 / 2), math.log(1 / 2.2)]
    mean = sum(logs) / 3
    error = math.sqrt(sum((x - mean) ** 2 for x in logs) / 2 / 3)
    assert effect == f"{math.exp(mean):.3g} x"
    assert t == pytest.approx(abs(mean) / error)
    # a share is compared by differences
    effect, t = script.separation(BUILTIN["coverage"], of(gmm=[0.9, 0.8], prior=[0.8, 0.6]), "gmm/prior")
    assert effect == "+0.15" and t == pytest.approx(3.0)


def test_equal_values_and_missing_samplers_tell_nothing() -> None:
    assert script.separation(BUILTIN["recall"], of(gmm=[0.5, 0.6], prior=[0.5, 0.6]), "gmm/prior") == (
        "equal",
        None,
    )
    assert script.separation(BUILTIN["recall"], of(gmm=[0.5, 0.6]), "gmm/prior") == ("", None)


def test_rankings_agree_from_worse_to_better() -> None:
    by_fid = script.merit(BUILTIN["fid"], of(a=[1.0], b=[2.0], c=[3.0]))
    better = of(a=[0.9], b=[0.8], c=[0.7])
    assert script.agreement(BUILTIN["coverage"], better, by_fid) == "1.00"
    assert script.agreement(BUILTIN["kid"], better, by_fid) == "-1.00"
    # no direction is better: what lies nearer to the null is
    nearer = of(a=[0.5], b=[0.45], c=[0.6])
    assert BUILTIN["train_share"].null == 0.5
    assert script.agreement(BUILTIN["train_share"], nearer, by_fid) == "1.00"
    assert script.agreement(BUILTIN["coverage"], of(a=[0.9], b=[0.8]), by_fid) == ""


@pytest.mark.slow
def test_a_finished_study_gives_its_table(tmp_path: Path) -> None:
    words = [
        "-m", "data=digits", "study=tiny", "seed=0,1,2", "model.latent_dim=3", "model.hidden=[16]",
        "trainer.max_epochs=2", "n_samples=200", "reference.classifier.epochs=1", "reference.n_repeats=3",
        "sampler=[prior,posterior,gmm]", "metric=[rate,fid,kid,memorisation,copying]", "tracking=off",
        "hydra/launcher=basic",
    ]  # fmt: skip
    made = [sys.executable, "-m", "priorgap.pipeline", "run", *words]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)

    def table(*arguments: str) -> subprocess.CompletedProcess[str]:
        order = [sys.executable, str(BENCHMARKS / "measures_per_second.py"), *arguments]
        return subprocess.run(order, cwd=tmp_path, check=False, capture_output=True, text=True)

    done = table("tiny")
    assert done.returncode == 0, done.stderr
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if "|" in line
    ]
    shares = [float(row[2].removesuffix(" %")) for row in rows if len(row) == 10 and row[2].endswith(" %")]
    assert len(shares) == 5 and sum(shares) == pytest.approx(100, abs=0.3)
    (fid,) = [row for row in rows if row[3:4] == ["fid"]]
    assert fid[8] == "1.00" and fid[4].endswith(" x")
    # what they share was seen while they worked, and no more than that
    seen = {row[0]: row[1] for row in rows if len(row) == 3}
    # which metrics share counts, not the order in which a configuration names them
    assert set(seen[shared_work.TITLES["features"]].split(", ")) == {"fid", "kid"}
    assert set(seen[shared_work.TITLES["copies"]].split(", ")) == {"memorisation", "copying"}
    assert shared_work.TITLES["labeller_labels"] not in seen
    assert table("no_such_study").returncode == 2
