"""What a study's report says of its models' health: by the models' own word, kept with their weights."""

import json

import pytest
import yaml
from tiny_study import run_tiny


@pytest.mark.parametrize(
    ("words", "finding"),
    [
        ((), "not_converged"),
        # the scale of z is chosen against the size of the weights: no promise that it matches
        (("trainer.weight_decay=0.01",), "moments"),
    ],
)
def test_not_converged_is_said_where_the_theory_holds(tmp_path, words, finding):
    assert run_tiny(tmp_path, "sampler=[prior,posterior]", *words) == 0
    study = tmp_path / "outputs/tiny"
    (file,) = study.glob("train/*/config.yaml")
    reason = yaml.safe_load(file.read_text(encoding="utf-8"))["moments_may_differ"]
    assert (reason is None) == (finding == "not_converged")
    health = json.loads((study / "report/verdict.json").read_text(encoding="utf-8"))["health"]
    assert finding in {one["name"] for one in health}
    assert not {"not_converged", "moments"} - {finding} & {one["name"] for one in health}
