"""examples/plugin, installed beside priorgap: run, ranked, compared, generated from; edits redo what they change."""

import csv
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from tiny_study import stamps

pytestmark = pytest.mark.e2e

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin"
PACKAGE = "priorgap_example"
WORDS = (
    "model.latent_dim=3", "model.hidden=[16]", "loss.alpha=20", "trainer.max_epochs=2", "trainer.accelerator=cpu",
    "sampler=[prior,gaussian_full,student_t]", "metric=[rate,fid,brightness]", "n_samples=100",
    "reference.classifier.epochs=1", "reference.n_repeats=3", "tracking=off", "data=bars", "study=bars",
    # two epochs leave a rate that a verdict would rightly refuse
    "verdict.health.rate=0.0",
)  # fmt: skip
RUN = ("run", "-m", *WORDS, "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def install(target: Path, source: Path) -> None:
    """Install the example without a network: by pip where its build backend is there, else as pip would leave it."""
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__"))
    if importlib.util.find_spec("setuptools") is not None and importlib.util.find_spec("pip") is not None:
        words = ("install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target))
        done = subprocess.run(
            [sys.executable, "-m", "pip", *words, str(source)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return
    shutil.copytree(source / PACKAGE, target / PACKAGE)
    facts = target / "priorgap_example-0.1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: priorgap-example\nVersion: 0.1.0\n", encoding="utf-8"
    )
    (facts / "entry_points.txt").write_text(f"[priorgap.plugins]\nexample = {PACKAGE}\n", encoding="utf-8")


class Place:
    """A folder in which commands run, with packages beside priorgap."""

    def __init__(self, folder: Path, packages: Path) -> None:
        self.folder, self.packages = folder, packages

    def call(self, *arguments: str, status: int = 0, path: Path | None = None) -> str:
        """Run a command; return what it said."""
        return self.python("-m", "priorgap.pipeline", *arguments, status=status, path=path)

    def python(self, *arguments: str, status: int = 0, path: Path | None = None) -> str:
        environment: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(path or self.packages)}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == status and "Traceback" not in said, said
        return said

    def edit(self, module: str, old: str, new: str) -> None:
        file = self.packages / PACKAGE / f"{module}.py"
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1
        file.write_text(text.replace(old, new), encoding="utf-8")

    def remade(self, before: dict[str, object]) -> set[str]:
        """What was made anew since, of the models' results."""
        after = stamps(self.folder)
        changed = {name for name, stamp in after.items() if before.get(name) != stamp}
        return {"/".join(name.split("/")[1:2] + name.split("/")[3:]) for name in changed if "bars/" in name}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A study of two models, run with the installed example."""
    root = tmp_path_factory.mktemp("plugin")
    install(root / "packages", root / "source")
    (root / "work").mkdir()
    place = Place(root / "work", root / "packages")
    place.call(*RUN)
    return place


@pytest.fixture
def place(finished: Place, tmp_path: Path) -> Place:
    """A copy of it, packages too."""
    shutil.copytree(finished.folder, tmp_path / "work", symlinks=True)
    shutil.copytree(finished.packages, tmp_path / "packages")
    return Place(tmp_path / "work", tmp_path / "packages")


def test_the_report_ranks_the_sampler_by_our_measures_and_by_its_own(place: Place) -> None:
    report = place.folder / "outputs/bars/report"
    with (report / "results.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    own = [row for row in rows if row["sampler"] == "student_t"]
    assert {row["measure"] for row in own} == {"fid", "brightness_gap"}
    assert {row["traits"] for row in own} == {"none"}
    assert {row["sampler"] for row in rows if row["measure"] == "brightness_gap"} == {
        "prior", "gaussian_full", "student_t",
    }  # fmt: skip
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "brightness gap" in page and "student_t" in page
    verdict = json.loads((report / "verdict.json").read_text(encoding="utf-8"))
    assert "student_t" in json.dumps(verdict)
    by_its_own = ("metric=[rate,fid,brightness]", "features=[classifier,pixels]", "verdict.space=pixels")
    healthy = "verdict.health.rate=0.0"
    place.call("report", "study=bars", "tracking=off", *by_its_own, healthy, "verdict.measure=brightness_gap")
    again = json.loads((report / "verdict.json").read_text(encoding="utf-8"))
    assert again["measure"] == "brightness_gap" and "brightness gap" in again["text"]


def test_an_edit_makes_exactly_its_results_stale(place: Place) -> None:
    assert "nothing to do" in place.call(*RUN)
    before = stamps(place.folder)
    # other code that draws the same: drawn again, and nothing is computed from the same draws
    place.edit("samplers", "(noise @ self.scale.T)", "(noise @ self.scale.T) * 1.0")
    assert "nothing to do" not in place.call(*RUN)
    assert place.remade(before) <= {"sample/student_t", "report"}
    assert "sample/student_t" in place.remade(before)
    before = stamps(place.folder)
    place.edit("samplers", "(noise @ self.scale.T) * 1.0", "(noise @ self.scale.T) * 1.1")
    place.call(*RUN)
    assert place.remade(before) == {
        "sample/student_t", "measure/student_t/fid@classifier", "measure/student_t/brightness", "report",
    }  # fmt: skip
    before = stamps(place.folder)
    place.edit("metrics", "abs(float(own.mean() - real.mean()))", "abs(float(real.mean() - own.mean()))")
    place.call(*RUN)
    samplers = ("prior", "gaussian_full", "student_t")
    assert place.remade(before) <= {*(f"measure/{name}/brightness" for name in samplers), "report"}
    assert {f"measure/{name}/brightness" for name in samplers} <= place.remade(before)
    # a comment changes nothing
    before = stamps(place.folder)
    place.edit("samplers", "# chi² as a sum", "# chi squared as a sum")
    place.call(*RUN)
    assert place.remade(before) <= {"report"}


def test_an_edit_of_the_data_source_redoes_what_its_data_change(place: Place) -> None:
    before = stamps(place.folder)
    place.edit("data", "0.05 * torch.randn", "0.06 * torch.randn")
    place.call(*RUN)
    assert {"sample/student_t", "sample/prior"} <= place.remade(before)


def test_generate_restores_it(place: Place) -> None:
    place.call("generate", "study=bars", "sampler=student_t", "n=20", "out=own.npz")
    place.call("generate", "study=bars", "sampler=student_t", "n=20", "out=again.npz")
    own, again = (np.load(place.folder / name)["x"] for name in ("own.npz", "again.npz"))
    assert own.shape == (20, 1, 8, 8) and (own == again).all()


def test_a_store_names_the_plugin_and_never_loads_it(place: Place, tmp_path: Path) -> None:
    """Without the package, or with one that cannot be imported: what builds nothing works, the rest says why not."""
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    for command in (
        ("ls",),
        ("ls", "study=bars"),
        ("verify",),
        ("gc",),
        ("report", "study=bars", "tracking=off"),
    ):
        place.call(*command, path=nothing)
    place.call("generate", "study=bars", "sampler=prior", "n=3", "out=prior.npz", path=nothing)
    said = place.call(
        "generate", "study=bars", "sampler=student_t", "n=3", "out=x.npz", path=nothing, status=2
    )
    assert (
        "study=bars: made with the plugin priorgap_example" in said and "plugins=[priorgap_example]" in said
    )
    said = place.call(*RUN[:2], *WORDS, "plugins=[priorgap_example]", path=nothing, status=2)
    assert (
        said
        == "priorgap: plugins=priorgap_example: no such package is installed (a folder with __init__.py)\n"
    )
    # not declared: a copy on the path is used only when it is named
    undeclared = tmp_path / "undeclared"
    shutil.copytree(place.packages / PACKAGE, undeclared / PACKAGE)
    place.call("generate", "study=bars", "sampler=student_t", "n=3", "out=x.npz", path=undeclared, status=2)
    order = ("generate", "study=bars", "sampler=student_t", "n=3", "plugins=[priorgap_example]")
    place.call(*order, "out=named.npz", path=undeclared)
    place.edit("__init__", '"""An outside', 'raise RuntimeError("broken")\n"""An outside')
    for command in (
        ("ls",),
        ("verify",),
        ("report", "study=bars", "tracking=off"),
        ("run", "data=digits", "--cfg"),
    ):
        place.call(*command)
    said = place.call("generate", "study=bars", "sampler=student_t", "n=3", "out=y.npz", status=2)
    assert "cannot be imported (broken)" in said


def test_a_package_that_is_named_works_as_an_installed_one_does(place: Place, tmp_path: Path) -> None:
    """`plugins=` on the command line, and in an experiment's file: the same results under the same keys."""
    undeclared = tmp_path / "undeclared"
    shutil.copytree(place.packages / PACKAGE, undeclared / PACKAGE)
    before = stamps(place.folder)
    place.call(*RUN, "plugins=[priorgap_example]", path=undeclared)
    assert place.remade(before) <= {"report"}
    file = place.folder / "experiments" / "bars" / "config.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(
        "# @package _global_\n"
        "defaults:\n  - override /data: bars\n  - override /sampler: [prior, gaussian_full, student_t]\n"
        "plugins: [priorgap_example]\nstudy: bars\n",
        encoding="utf-8",
    )
    said = place.call("run", "experiment=bars", "--cfg", path=undeclared)
    assert "priorgap_example.samplers.StudentT" in said and "priorgap_example.data.Bars" in said
    said = place.call("run", "data=bars", "--cfg", path=undeclared, status=2)
    assert "data=bars: unknown option" in said


COMPARE = """
import torch
from priorgap import compare
from priorgap_example.data import Bars
from priorgap_example.metrics import Brightness
from priorgap_example.samplers import StudentT

data = Bars(size=8, n_train=300, n_validation=60, n_test=120, data_seed=0).load(root=None, download=False)
g = torch.Generator().manual_seed(0)
weights = 0.3 * torch.randn(3, 64, generator=g)
encode = lambda x: (x.flatten(1) @ torch.linalg.pinv(weights), torch.full((len(x), 3), -2.0))
decode = lambda z: torch.sigmoid(z @ weights).view(-1, 1, 8, 8)
for sampler in ("student_t", StudentT(dof=10)):
    found = compare(
        encode, decode, data.train, data.test, validation=data.validation, n=100, features="pixels",
        samplers=["prior", "gaussian_full", sampler],
        metrics=["fid", Brightness() if sampler == "student_t" else "brightness"],
    )
    table = found.table
    own = table[table["sampler"] == "student_t"]
    print(sorted(set(own["measure"])), "student_t" in str(found))
"""


def test_compare_takes_its_objects_and_its_names(place: Place) -> None:
    lines = [line for line in place.python("-c", COMPARE).splitlines() if line.startswith("[")]
    assert lines == ["['brightness_gap', 'fid'] True"] * 2


def test_its_own_tests_pass(place: Place) -> None:
    said = place.python("-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests"))
    assert " passed" in said or "100%" in said
