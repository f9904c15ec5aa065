"""The samplers that fit networks, and every unit's swap, through Hydra and through compare()."""

import csv

import pytest
from tiny_study import run_tiny

from priorgap import compare
from priorgap.core.build import build, load_option
from priorgap.data.splits import load_dataset
from priorgap.pipeline import models
from priorgap.samplers.protocols import Sampler

# a study of its own and every fitted sampler: the contracts have the same samplers in seconds
pytestmark = pytest.mark.slow

FLOW = {"transforms": 1, "hidden": [8], "epochs": 1, "n_fit": 400}
SMALL = (
    "sampler=[prior,flow,flow_maf,two_stage,per_class_kde,active_gmm]",
    *(f"samplers.{name}.{key}={value}" for name in ("flow", "flow_maf") for key, value in FLOW.items()),
    "samplers.two_stage.steps=20",
    "samplers.two_stage.width=8",
    # two epochs leave little in the units
    "samplers.active_gmm.least_share=0.001",
    "unit_swaps=all",
    "metric=[fid,copying]",
    "features=[pixels]",
    "verdict.space=pixels",
    "tracking=off",
)


def small(name: str) -> Sampler:
    changes = {"two_stage": {"steps": 20, "width": 8}, "active_gmm": {"least_share": 0.001}}.get(name, FLOW)
    return build({**load_option("sampler", name), **changes}, Sampler, where=name)


def fid_of(rows) -> dict[str, float]:
    return {row["sampler"]: float(row["value"]) for row in rows if row["measure"] == "fid" and row["sampler"]}


def test_networks_and_unit_swaps(run, tmp_path):
    assert run_tiny(tmp_path, *SMALL) == 0
    with open("outputs/tiny/report/results.csv", newline="") as handle:
        found = fid_of(csv.DictReader(handle))
    swaps = {f"unit_swap_{j}_{arm}" for j in range(3) for arm in ("prior", "moments", "shuffle")}
    assert set(found) == {"prior", "flow", "flow_maf", "two_stage", "per_class_kde", "active_gmm"} | swaps
    (folder,) = (tmp_path / "outputs/tiny/train").iterdir()
    (data,) = (tmp_path / "outputs/data").iterdir()
    model, dataset = models.load(folder), load_dataset(data)
    names = ("flow", "flow_maf", "two_stage", "active_gmm")
    library = compare(
        model.encode, model.decode, dataset.train, dataset.test, validation=dataset.validation,
        samplers=["prior", *map(small, names), "per_class_kde", "unit_swap_0_prior"], metrics=["fid"],
        features="pixels", n=80,
    )  # fmt: skip
    again = fid_of(library.table.to_dict("records"))
    assert set(again) == {"prior", *names, "per_class_kde", "unit_swap_0_prior"}
    assert {k: f"{v:.10g}" for k, v in again.items()} == {k: f"{found[k]:.10g}" for k in again}


def test_compare_leaves_out_what_means_nothing(tmp_path, run):
    assert run_tiny(tmp_path, "sampler=[prior]", "metric=[fid,copying]", "tracking=off") == 0
    (folder,) = (tmp_path / "outputs/tiny/train").iterdir()
    model, dataset = models.load(folder), load_dataset(next((tmp_path / "outputs/data").iterdir()))
    found = compare(
        lambda x: (model.encode(x)[0], None), model.decode, dataset.train.x, dataset.test.x,
        samplers=["prior", "posterior_mean", "kde", "per_class_gaussian_diag"], metrics=["fid"], n=80,
    )  # fmt: skip
    assert found.skipped["kde"] == "kde: the encoder gives no log_var"
    assert found.skipped["per_class_gaussian_diag"] == "per_class_gaussian_diag: the data have no labels"
    assert found.skipped["prior"] == "prior: the model has no prior"
    assert set(found.table["sampler"]) == {"posterior_mean"}
