"""Bad input: one line on standard error, exit status 2, nothing written."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from priorgap.data.images import MNIST_MD5


def written(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


CASES = {
    "unknown key": (("nothing=1",), "nothing"),
    "negative weight": (("loss.beta=-1",), "loss.beta=-1"),
    "no latent": (("model.latent_dim=0",), "model.latent_dim=0"),
    "negative seed": (("seed=-1",), "seed=-1"),
    "unknown data": (("data=nope",), "data=nope"),
    "unknown sampler": (("sampler=[nope]",), "sampler=nope"),
    "no samples": (("n_samples=0",), "n_samples=0"),
    "last cell of a sweep": (("-m", "loss.beta=1,2,-3"), "loss.beta=-3"),
    "convolutions on vectors": (("data=linear_gaussian", "model=conv", "features=[pixels]"), "model=conv"),
    "dilated convolutions on vectors": (
        ("data=linear_gaussian", "model=tcn", "features=[pixels]"),
        "model=tcn: expected series [steps, channels] (data=windows, data=sines), the data have shape [",
    ),
    "a recurrent network on images": (
        ("data=digits", "model=gru"),
        "model=gru: expected series [steps, channels] (data=windows, data=sines), the data have shape [1, 8, 8]",
    ),
    "no latent of a series": (
        ("data=sines", "model=gru", "model.latent_dim=0"),
        "model.latent_dim=0: expected",
    ),
    "no recurrent layer": (("data=sines", "model=gru", "model.n_layers=0"), "model.n_layers=0: expected"),
    "an even kernel": (
        ("data=sines", "model=tcn", "model.kernel_size=4"),
        "model.kernel_size=4: expected an odd",
    ),
    "no such npz": (("data=npz", "data.path=none.npz"), "none.npz"),
    "no such option": (("--nope",), "--nope"),
    "no such folder": (("--config-dir", "nowhere"), "nowhere"),
    "a folder left out": (("--config-dir",), "--config-dir"),
    "no workers": (("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=0"), "n_jobs=0"),
    "half a worker": (("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=half"), "n_jobs"),
    "no retries": (("-m", "hydra/launcher=joblib", "hydra.launcher.retries=-1"), "retries=-1"),
    "half a disk": (("-m", "hydra/launcher=ray", "hydra.launcher.shared_disk=half"), "shared_disk"),
    "a sweeper that proposes, without a disk": (
        (
            "-m",
            "hydra/launcher=ray",
            "hydra.launcher.shared_disk=false",
            "hydra.sweeper._target_=somebody.Else",
        ),
        "hydra.launcher.shared_disk=false",
    ),
    "two experiments": (("experiment=default", "experiment=e01_alpha"), "one experiment"),
    "an unclosed bracket": (("sampler=[prior",), "sampler"),
    "a sweep without -m": (("seed=0,1",), "seed"),
    "a store where none can be": (
        ("output_root=/proc/x", "data=digits"),
        "output_root=/proc/x: no folder can be",
    ),
    "a store inside a file": (
        ("output_root=/dev/null/x",),
        "output_root=/dev/null/x: expected a path: a folder",
    ),
    "not an override": (("seed",), "seed"),
    "data that may not be fetched": (("data=mnist", "data.download=false", "data.root=none"), "mnist"),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_refused_in_one_line(run, tmp_path, capsys, case):
    arguments, words = CASES[case]
    assert (
        run("run", "verdict.space=pixels" if "features=[pixels]" in arguments else "seed=0", *arguments) == 2
    )
    err = capsys.readouterr().err
    assert err.startswith("priorgap: ") and err.count("\n") == 1 and words in err, err
    assert written(tmp_path) == []


def test_a_launcher_whose_package_is_not_there(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("priorgap.pipeline.config.launchers.find_spec", lambda name: None)
    assert run("run", "-m", "seed=0,1", "hydra/launcher=slurm") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "hydra/launcher=slurm: the package submitit is not installed" in err
    assert written(tmp_path) == []


def test_online_without_a_key_is_refused_before_any_work(tmp_path):
    home = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "none"), "WANDB_CONFIG_DIR": str(tmp_path)}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")}
    order = [sys.executable, "-m", "priorgap.pipeline", "run", "tracking=online"]
    found = subprocess.run(
        order, cwd=tmp_path, env={**kept, **home}, capture_output=True, text=True, check=False
    )
    assert found.returncode == 2, found.stderr
    assert found.stderr.startswith("priorgap: tracking=online: ") and found.stderr.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


def test_report_of_a_study_that_is_not_there(run, tmp_path, capsys):
    assert run("report", "study=nope") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "study=nope" in err
    assert written(tmp_path) == []


def test_unknown_command(run, capsys):
    assert run("walk") == 2
    assert "walk: unknown command" in capsys.readouterr().err


def test_corrupt_mnist_file(run, tmp_path, capsys):
    place = tmp_path / "data" / "mnist"
    place.mkdir(parents=True)
    for name in MNIST_MD5:
        (place / name).write_bytes(b"not an idx file")
    before = written(tmp_path)
    assert run("run", "data=mnist", "data.download=false", "data.root=data") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "expected" in err
    assert written(tmp_path) == before


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((3, 6, 6), "data: rows.npz: 1 training, 1 validation, 1 test rows; expected at least 2 of each"),
        ((1, 6, 6), "rows.npz: 1 rows: split sizes"),
        ((60, 0, 6), "rows.npz: x is float64 (60, 0, 6): rows without values"),
    ],
)
def test_data_too_few_to_study(run, tmp_path, capsys, shape, words):
    np.savez("rows.npz", x=np.random.default_rng(0).random(shape))
    before = written(tmp_path)
    assert run("run", "data=npz", "data.path=rows.npz", "features=[pixels]", "verdict.space=pixels") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and words in err, err
    assert written(tmp_path) == before


def test_image_folder_with_one_odd_size(run, tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    folder = tmp_path / "images"
    folder.mkdir()
    for i, image in enumerate(pixels):
        Image.fromarray(image if i != 7 else image[:, :5]).save(folder / f"{i}.png")
    before = written(tmp_path)
    source = ("data=image_folder", f"data.path={folder}", "data.image_size=8")
    assert run("run", *source, "features=[pixels]", "verdict.space=pixels") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "7.png" in err and "resize" in err
    assert written(tmp_path) == before


@pytest.mark.parametrize("command", ["run", "train", "report", "generate"])
def test_help_is_there_and_light(command, run, capsys, monkeypatch):

    assert run(command, "--help") == 0
    assert f"usage: priorgap {command}" in capsys.readouterr().out


def test_a_finished_study_is_looked_for_without_torch():
    heavy = "{'torch', 'sklearn', 'scipy'}"
    code = f"import sys, priorgap.pipeline.store.finished; sys.exit(len({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_import_and_help_stay_light():
    code = (
        "import sys, priorgap; from priorgap.pipeline import cli\n"
        "try: cli.main(['run', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'pytorch_lightning', 'hydra', 'wandb', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
