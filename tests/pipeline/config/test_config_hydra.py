"""Hydra as its users know it: flags, other packages' launchers and sweepers; how little of its inside is used."""

import ast
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hydra.core.plugins import Plugins
from hydra_plugins.outside import OneByOne, TwoPoints

from priorgap.pipeline.commands import flags
from priorgap.pipeline.config import hydra_internals

SOURCE = Path(hydra_internals.__file__).parents[3]
TINY = (
    "trainer.max_epochs=1", "trainer.accelerator=cpu", "model.latent_dim=2", "model.hidden=[8]", "n_samples=50",
    "sampler=[prior]", "metric=[rate,fid]", "features=[pixels]", "verdict.space=pixels", "reference.n_repeats=3",
    "tracking=off",
)  # fmt: skip


INFINITE = ("likelihood.squash=false", "trainer.learning_rate=1e30", "loss.alpha=1e30")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Hydra's --info sets up logging for the rest of the process."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level


# --------------------------------------------------------------------------------------------------- what is used


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_one_file_knows_hydras_inside():
    knowing = {
        f.name for f in SOURCE.rglob("*.py") if any(m.startswith("hydra._internal") for m in imported(f))
    }
    assert knowing == {"hydra_internals.py"}
    taken = {name for module, name, _, _ in hydra_internals.NEEDED}
    assert taken == set(hydra_internals.__all__) and all(reason for *_, reason in hydra_internals.NEEDED)


def test_what_is_used_is_there():
    assert hydra_internals.missing() is None


@pytest.mark.parametrize(
    "gone",
    [
        "del loader.ConfigLoaderImpl._apply_overrides_to_config",
        "del loader.ConfigLoaderImpl",
        "del loader.get_overrides_dirname",
        "sys.modules['hydra._internal.hydra'] = None",
    ],
)
def test_a_hydra_that_moved_it_is_refused_in_one_line(gone, tmp_path):
    code = (
        f"import sys\nimport hydra._internal.config_loader_impl as loader\n{gone}\n"
        "from priorgap.pipeline import cli\ncli.main(['run', 'seed=0'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("priorgap: hydra-core ") and "pip install 'hydra-core" in done.stderr
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------------- flags


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-m", "seed=0,1"], {"multirun": True, "overrides": ("seed=0,1",)}),
        (["--cfg"], {"cfg": ""}),
        (["--cfg", "seed=1"], {"cfg": "", "overrides": ("seed=1",)}),
        (["--cfg", "job", "seed=1"], {"cfg": "job", "overrides": ("seed=1",)}),
        (["-c", "hydra", "-r", "-p", "hydra.run"], {"cfg": "hydra", "resolve": True, "package": "hydra.run"}),
        (["--cfg=all"], {"cfg": "all"}),
        (["-i"], {"info": "all"}),
        (["--info", "defaults-tree", "~samplers.gmm"], {"info": "defaults-tree", "overrides": ("~samplers.gmm",)}),
        (["-cd", "d"], {"config_dir": "d"}),
        (["--config-dir=d"], {"config_dir": "d"}),
        (["-sc", "install=bash"], {"completion": True, "overrides": ("install=bash",)}),
    ],
)  # fmt: skip
def test_flags(words, expected):
    assert flags.parse(words) == flags.Typed(**expected)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--nope"], "--nope: unknown option"),
        (["--multrun"], "did you mean --multirun?"),
        (["--cfg", "jobs"], "--cfg jobs: expected one of job, hydra, all"),
        (["--info", "x"], "--info x: expected one of all, config"),
        (["--resolve"], "expected together with --cfg"),
        (["--cfg", "--info"], "expected one of --cfg, --info and --shell-completion"),
        (["--config-dir"], "--config-dir: expected a folder"),
        (["word"], "word: expected an override"),
    ],
)  # fmt: skip
def test_flags_that_are_refused(words, said):
    with pytest.raises(ValueError, match=said.replace("?", "[?]")):
        flags.parse(words)


def test_the_configuration_is_shown_as_hydra_does(run, capsys, tmp_path):
    def shown(*words: str) -> str:
        assert run("run", *words) == 0
        return capsys.readouterr().out

    assert yaml.safe_load(shown("--cfg", "job", "seed=3"))["prior"]["dim"] == "${model.latent_dim}"
    assert yaml.safe_load(shown("--cfg", "job", "--resolve"))["prior"]["dim"] == 16
    assert yaml.safe_load(shown("--cfg", "seed=3"))["seed"] == 3
    assert shown("--cfg", "job", "-p", "loss", "loss.alpha=7").startswith("# @package loss\n")
    assert set(yaml.safe_load(shown("--cfg", "hydra"))) == {"hydra"}
    assert {"hydra", "loss"} <= set(yaml.safe_load(shown("--cfg", "all")))
    assert yaml.safe_load(shown("--cfg", "job", "-m", "seed=4,5"))["seed"] == 4
    assert "likelihood: gaussian" in shown("--info", "defaults-tree")
    assert "yaml://" in shown("--info", "searchpath")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", ["--cfg job -p nope", "--cfg job nope=1", "-sc install=fishy"])
def test_nothing_to_show_is_said_in_one_line(words, run, capsys):
    assert run("run", *words.split()) == 2
    err = capsys.readouterr().err
    assert err.startswith("priorgap: ") and err.count("\n") == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed(shell, run, capsys):
    assert run("-sc", f"install={shell}") == 0
    assert "hydra" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("priorgap ge", "generate"),
        ("priorgap run loss.a", "loss.alpha="),
        ("priorgap train likelihood=bern", "likelihood=bernoulli"),
        ("priorgap run sampler=gm", "sampler=gmm"),
    ],
)
def test_completion_knows_commands_and_keys(line, expected, run, capsys, monkeypatch):
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    assert run("-sc", "query=bash") == 0
    assert expected in capsys.readouterr().out.split()


def test_the_package_is_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "priorgap", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("priorgap ")


# ------------------------------------------------------------------------- other launchers, sweepers, and folders


@pytest.fixture
def plugins() -> None:
    for plugin in (TwoPoints, OneByOne):
        Plugins.instance().register(plugin)


@pytest.mark.e2e
@pytest.mark.usefixtures("plugins")
def test_a_sweeper_that_chooses_as_it_goes(run, capsys):
    assert run("run", "-m", *TINY, "study=s", "hydra/sweeper=twopoints", "loss.alpha=interval(1,20)") == 0
    found = json.loads(Path("points.json").read_text(encoding="utf-8"))
    assert len(found) == 2 and all(value > 0 for value in found)
    table = Path("outputs/s/report/results.csv").read_text(encoding="utf-8").splitlines()
    head = table[0].split(",")
    rows = [dict(zip(head, line.split(","), strict=False)) for line in table[1:]]
    # both points are in the report, with the numbers that the sweeper was given
    values = [float(r["value"]) for r in rows if (r["measure"], r["sampler"]) == ("fid", "prior")]
    assert sorted(values) == pytest.approx(sorted(found), rel=1e-8)
    # and the verdict says that they were chosen by results; a grid named beforehand is not
    verdict = json.loads(Path("outputs/s/report/verdict.json").read_text(encoding="utf-8"))
    assert "models were proposed by the results of others (twopoints, by fid of prior" in json.dumps(verdict)
    assert run("run", "-m", *TINY, "study=grid", "loss.alpha=1,20") == 0
    assert "proposed by" not in Path("outputs/grid/report/verdict.json").read_text(encoding="utf-8")


@pytest.mark.usefixtures("plugins")
def test_a_launcher_of_another_package_and_a_job_that_ended_without_a_word(run, capsys):
    words = ("-m", *TINY, "study=s", "hydra/launcher=onebyone")
    assert run("run", *words, "seed=0,2") == 0
    capsys.readouterr()
    # there is a report already: a command whose job was lost fails all the same, and says which
    assert run("run", *words, "seed=0,1") == 1
    err = capsys.readouterr().err
    assert "seed=1" in err and "MemoryError: no room" in err


def test_a_model_that_fails_fails_the_command_beside_an_older_report(run, capsys):
    assert run("run", *TINY, "study=s") == 0
    report = Path("outputs/s/report/results.csv")
    assert report.is_file()
    assert run("run", *TINY, "study=s", "seed=1", *INFINITE) == 1
    assert "failed: " in capsys.readouterr().err
    # the report of what earlier commands left says so too
    assert run("report", "study=s", "tracking=off") == 1
    assert "failed: " in capsys.readouterr().err


def test_jobs_in_folders_of_their_own_write_where_the_command_was_given(run, tmp_path):
    here = os.getcwd()
    assert run("run", *TINY, "hydra.job.chdir=true", "output_root=my store", "study=s") == 0
    assert os.getcwd() == here
    assert (tmp_path / "my store" / "s" / "report" / "results.csv").is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["my store"]
    assert not list((tmp_path / "my store" / "s" / "logs").rglob("my store"))
