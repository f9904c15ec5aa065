"""A plain installation compares; what it lacks for a command or a setting is one line, with the extra to add."""

import os
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from priorgap.pipeline import extras
from priorgap.pipeline.tracking.access import check_access

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BEYOND_THE_LIBRARY = ("hydra", "omegaconf", "pytorch_lightning", "lightning", "wandb", "dvc", "torchvision",
    "grimp", "joblib", "pyarrow", "h5py", "tqdm", "ray", "submitit", "torch_fidelity")  # fmt: skip
# scikit-learn brings joblib, pandas looks for pyarrow, torch for tqdm: they stay
BLOCKED = tuple(name for name in BEYOND_THE_LIBRARY if name not in ("joblib", "pyarrow", "tqdm"))

BLOCK = f"""
import sys

BLOCKED = {BLOCKED!r}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())

import importlib.metadata

# torchmetrics looks for the distribution, not for the package
distribution = importlib.metadata.Distribution.from_name.__func__

def from_name(cls, name):
    if name.replace("-", "_") in BLOCKED:
        raise importlib.metadata.PackageNotFoundError(name)
    return distribution(cls, name)

importlib.metadata.Distribution.from_name = classmethod(from_name)
"""


def without_extras(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process where none of the extras can be imported."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", BLOCK + textwrap.dedent(code)],
        capture_output=True, text=True, cwd=folder, env=environment,
    )  # fmt: skip


@pytest.mark.e2e
def test_the_library_compares_without_them(tmp_path):
    done = without_extras(
        """
        import torch
        from priorgap import compare

        def images(seed):
            return decode(torch.randn(60, 2, generator=torch.Generator().manual_seed(seed)))

        def decode(z):
            return torch.sigmoid(z @ torch.linspace(-2, 2, 128).view(2, 64)).view(-1, 1, 8, 8)

        def encode(x):
            # pixel 0 is all but sigmoid(-2 z0), pixel 63 sigmoid(2 z1)
            mean = torch.logit(x.flatten(1)[:, [0, 63]].clamp(0.01, 0.99)) * torch.tensor([-0.5, 0.5])
            return mean, torch.full_like(mean, -3.0)

        labels = [torch.arange(60) % 2] * 3
        found = compare(
            encode, decode, images(0), images(1), validation=images(2), labels=labels,
            samplers=["prior", "posterior", "gaussian_full"], metrics=["fid", "rate", "kid", "tm_psnr"],
        )
        print(found.to_markdown())
        print(sorted(set(found.table["measure"])), found.skipped)
        print("imported:", sorted({name.partition(".")[0] for name in sys.modules} & {*BLOCKED}))
        """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    *_, measures, imported = done.stdout.strip().splitlines()
    assert "this trained model only" in done.stdout
    for name in ("fid", "rate", "kid", "tm_psnr"):
        assert f"'{name}'" in measures
    assert imported == "imported: []"


@pytest.mark.e2e
def test_an_audit_needs_none_of_them(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def load():\n"
        "    return lambda x: (x[:, :2], torch.full((len(x), 2), -3.0)), lambda z: torch.cat([z, z], 1)\n"
    )
    done = without_extras(
        """
        import numpy as np
        from priorgap.pipeline.cli import main
        x = np.random.default_rng(0).normal(size=(400, 2)).astype("f4")
        x = np.concatenate([x, x], 1)
        np.savez("x.npz", x_train=x[:200], x_test=x[200:])
        main("audit model=mine:load data=x.npz samplers=prior,gaussian_full metrics=fid features=pixels".split())
        """,
        tmp_path,
    )
    assert done.returncode == 0 and done.stdout.startswith("Do this: "), done.stderr
    assert (tmp_path / "audit/report.html").is_file()


def test_a_blocked_package_is_really_absent(tmp_path):
    assert without_extras("import hydra", tmp_path).returncode == 1
    assert without_extras("import json, torch", tmp_path).returncode == 0


@pytest.mark.parametrize("command", ["run", "train", "report", "generate", "ls", "gc"])
def test_a_command_says_which_extra_to_add(command, tmp_path):
    code = f"from priorgap.pipeline.cli import main; main([{command!r}, 'study=x'])"
    done = without_extras(code, tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"priorgap: priorgap {command}: hydra, omegaconf, pytorch_lightning")
    assert line.endswith("expected the extra pipeline: pip install 'priorgap[pipeline]'")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"], ["ls", "--help"], []])
def test_help_needs_none(words, tmp_path):
    done = without_extras(f"from priorgap.pipeline.cli import main; main({words!r})", tmp_path)
    assert done.returncode == 0 and "priorgap" in done.stdout and done.stderr == ""


def test_the_module_is_the_console_script(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "priorgap", "--version"], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (0, f"priorgap {PROJECT['version']}\n")


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_tracking_says_which_extra_to_add(mode, monkeypatch):
    settings = {"mode": mode, "project": "p", "entity": None}
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ValueError) as caught:
        check_access(settings)
    assert str(caught.value) == (
        f"tracking={mode}: wandb is not installed; expected the extra tracking: pip install 'priorgap[tracking]', "
        "or take tracking=off"
    )
    check_access({**settings, "mode": "off"})


def test_run_says_so_before_any_work(tmp_path):
    code = """
    import sys
    sys.meta_path.pop(0)
    sys.modules["wandb"] = None
    from priorgap.pipeline.cli import main
    main(["run", "data=digits", "study=x"])
    """
    done = without_extras(code, tmp_path)
    assert done.returncode == 2
    assert "tracking=offline: wandb is not installed" in done.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "outputs").exists()


def test_is_installed_imports_nothing():
    assert extras.is_installed("json") and not extras.is_installed("no_such_package_anywhere")
    assert not extras.is_installed("no_such_package_anywhere.inner")
    code = (
        "import sys\nfrom priorgap.pipeline import extras\n"
        "extras.require('x', 'pipeline', extras.PIPELINE)\n"
        "print([m for m in extras.PIPELINE if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


NAMES = {"pytorch-lightning": "pytorch_lightning", "hydra-core": "hydra"}


def packages_of(requirements: list[str]) -> set[str]:
    found = {requirement.split(">")[0].split("=")[0].split("[")[0].strip() for requirement in requirements}
    return {NAMES.get(name, name) for name in found}


def test_what_is_looked_for_is_what_the_extras_install():
    offered = PROJECT["optional-dependencies"]
    assert packages_of(offered["pipeline"]) == set(extras.PIPELINE)
    assert packages_of(offered["tracking"]) == set(extras.TRACKING)
    assert not packages_of(PROJECT["dependencies"]) & set(BEYOND_THE_LIBRARY)


def test_developers_have_all_extras():
    offered = PROJECT["optional-dependencies"]
    (own,) = (entry for entry in offered["dev"] if entry.startswith("priorgap["))
    assert set(own.removeprefix("priorgap[").removesuffix("]").split(",")) == set(offered) - {"dev"}
