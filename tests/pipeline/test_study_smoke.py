"""Every study runs from its own config.yaml to its report at a size that takes a minute: one model, small data."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_study import invoke

from priorgap.pipeline.config.session import Request, Session

ROOT = Path(__file__).parents[2]
STUDIES = sorted(p.parent.name for p in (ROOT / "experiments").glob("*/config.yaml"))

# what no study needs more of when the question is whether it runs
SMALL = (
    "hydra/launcher=basic", "trainer.max_epochs=1", "trainer.accelerator=cpu", "n_samples=200", "tracking=off",
    "reference.n_repeats=3", "reference.classifier.epochs=1", "reference.classifier.n_train=200",
    # one epoch leaves next to nothing in the latent space, which would forbid every recommendation
    "verdict.health.rate=0.0",
)  # fmt: skip
# and of what some of them name: set where the study has the key
SMALLER: dict[str, Any] = {
    "samplers.gmm.n_components": 2, "samplers.per_class_gmm.base.n_components": 1, "samplers.flow.epochs": 1,
    "samplers.two_stage.steps": 20, "samplers.vamp.n_components": 20,
    "metrics.kl.n_components": 2, "metrics.unit_dependence.n_components": 2,
    "metrics.holes.mixture.n_components": 2, "metrics.holes.n_prior": 500, "metrics.holes.n_repeats": 20,
    "metrics.total_correlation.mixture.n_components": 2, "metrics.tv_lower.n_fit": 200,
    "metrics.tv_lower.n_eval": 200, "metrics.latent_distances.n_repeats": 5, "metrics.copying.n_queries": 100,
    "metrics.kl_train_mixture.n_draws": 200, "metrics.accuracy_by_size.sizes": "[50,100]",
    "metrics.real_equivalent.sizes": "[50,100]", "metrics.iw_bound.n_images": 20,
    "metrics.iw_bound.n_draws": "[1,20]",
}  # fmt: skip
# data that need no download, of the kind of the study's own
OWN_DATA = {
    "e04_oracle": ("data=linear_gaussian", "data.source.n_train=400", "data.source.n_test=300"),
    "e10_oracle": ("data=linear_gaussian", "data.source.n_train=400", "data.source.n_test=300"),
    "e12_series": ("data=sines", "data.source.n_train=400", "data.source.n_test=300"),
    "e13_tables": ("data=breast_cancer",),
}
# sides of 8 pixels cannot be halved four times, and Inception's weights are not at hand
OWN_SIZES = {
    "yardstick_rae": ("model.channels=[4,8]", "model.up_channels=[8,4,4]", "features=[pixels]"),
}
# settings of images that come in files, which digits do not have
OF_FILES = ("data.source.validation_size", "data.path")


def smoke(study: str) -> list[str]:
    """The words that make a study small: of each factor its first value, and less of everything."""
    with Session(Request((f"experiment={study}",))) as session:
        cells = session.cells()
    config, names = cells[0]
    data = OWN_DATA.get(study, ("data=digits",))
    data = (*data, *OWN_SIZES.get(study, ()))
    taken = {word.partition("=")[0] for word in (*data, *SMALL)}
    first = [w for w in names if w.partition("=")[0] not in {*taken, *OF_FILES, "experiment"}]
    smaller = [f"{key}={value}" for key, value in SMALLER.items() if _has(config, key)]
    own = yaml.safe_load((ROOT / f"experiments/{study}/config.yaml").read_text(encoding="utf-8"))
    dropped = [f"~{key}" for key in OF_FILES if _has(own, key)]
    return [*data, *SMALL, *smaller, *first, *dropped]


def _has(config: Any, key: str) -> bool:
    for part in key.split("."):
        if part not in config:
            return False
        config = config[part]
    return True


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_a_study_runs_to_its_report(study, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = smoke(study)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRIORGAP_EXPERIMENTS", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    done = invoke("run", f"experiment={study}", f"study=smoke_{study}", *words)
    assert done == 0
    report = tmp_path / f"outputs/smoke_{study}/report"
    assert (report / "report.html").stat().st_size > 10_000
    assert json.loads((report / "verdict.json").read_text(encoding="utf-8"))["cells"]
    with (report / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    measured = {row["measure"] for row in rows}
    assert {"fid", "rate"} <= measured or study == "e11_gan"
    assert {row["seed"] for row in rows} == {"0"}
