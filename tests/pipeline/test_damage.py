"""What report, generate and the stages read is verified first: a damaged file is one line, and no wrong answer."""

import re
import shutil
from pathlib import Path

import pytest
from tiny_study import EXTRA, TINY, content, flip

from priorgap import artifacts

MODELS = (*TINY, *EXTRA)


@pytest.fixture
def copy(tiny, tmp_path, monkeypatch) -> Path:
    """A finished tiny study of one's own."""
    shutil.copytree(tiny / "outputs", tmp_path / "outputs", symlinks=True)
    shutil.rmtree(tmp_path / "outputs/.finished")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outputs"


def change_a_digit(file: Path) -> None:
    """Change one digit of a measured value, as a disk or an editor would."""
    text = file.read_text(encoding="utf-8")
    changed = re.sub(r'("value": -?\d*)(\d)', lambda m: m[1] + str((int(m[2]) + 5) % 10), text, count=1)
    assert changed != text
    file.write_text(changed, encoding="utf-8")


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


REPORTED = {
    "a digit of a measurement": ("tiny/measure/*/prior/fid@classifier/measurements.json", change_a_digit),
    "a cut measurement": ("tiny/measure/*/gaussian_full/fid@classifier/measurements.json", truncate),
    "a measurement that is gone": ("tiny/measure/*/prior/copying/measurements.json", Path.unlink),
    "a measurement's manifest": ("tiny/measure/*/_model/rate/manifest.json", truncate),
    "a preview": ("tiny/sample/*/prior/preview.safetensors", lambda file: flip(file, 400)),
    "marginals": ("tiny/measure/*/_model/_marginals/marginals.safetensors", lambda file: flip(file, 900)),
    "facts of the data": ("data/digits/*/dataset.json", lambda file: flip(file, 30)),
}


@pytest.mark.parametrize("case", REPORTED, ids=str)
def test_a_report_of_damage_is_refused_and_the_study_s_command_mends_it(copy, run, capsys, case, tiny):
    pattern, damage = REPORTED[case]
    file = sorted(copy.glob(pattern))[0]
    verdict = (copy / "tiny/report/verdict.json").read_bytes()
    damage(file)
    assert run("report", "study=tiny", "tracking=off") == 2
    err = capsys.readouterr().err.splitlines()[-1]
    shown = file if file.name != artifacts.MANIFEST else file.parent
    assert err.startswith("priorgap: damaged: ") and str(shown.relative_to(copy.parent)) in err, err
    assert "the command that made it makes it again" in err
    assert (copy / "tiny/report/verdict.json").read_bytes() == verdict
    assert run("run", "-m", *MODELS, "study=tiny", "tracking=off") == 0
    assert run("report", "study=tiny", "tracking=off") == 0
    assert content(copy.parent) == content(tiny)


def test_curves_are_verified_where_they_are_tracked(copy, run, capsys):
    flip(sorted(copy.glob("tiny/train/*/curves.csv"))[0], 60)
    for file in copy.glob("tiny/tracked/*"):
        file.unlink()
    assert run("report", "study=tiny", "tracking=offline") == 2
    assert "curves.csv: checksum differs" in capsys.readouterr().err


GENERATED = {
    "weights": ("tiny/train/*/weights.safetensors", lambda file: flip(file, 2000)),
    "configuration": ("tiny/train/*/config.yaml", lambda file: flip(file, 30)),
    "fitted sampler": ("tiny/sample/*/gaussian_full/state.safetensors", lambda file: flip(file, 60)),
    "its facts": ("tiny/sample/*/gaussian_full/facts.json", lambda file: flip(file, 20)),
    "a cut sampler": ("tiny/sample/*/gaussian_full/state.safetensors", truncate),
}


@pytest.mark.parametrize("case", GENERATED, ids=str)
def test_nothing_is_generated_from_damage(copy, run, capsys, case):
    pattern, damage = GENERATED[case]
    model = next((copy / "tiny/train").glob("*seed=0-*")).name.rpartition("-")[2]
    order = ("generate", "study=tiny", "n=5", f"model_id={model}", "sampler=gaussian_full")
    assert run(*order, "out=good.npz") == 0
    capsys.readouterr()
    for file in copy.glob(pattern):
        if model in str(file):
            damage(file)
    assert run(*order, "out=bad.npz") == 2
    err = capsys.readouterr().err
    assert err.startswith("priorgap: damaged: ") and err.count("\n") == 1, err
    assert not Path("bad.npz").exists()


@pytest.mark.parametrize("name", ["verdict.json", "results.csv"])
def test_no_model_is_chosen_by_a_damaged_report(copy, run, capsys, name):
    file = copy / "tiny/report" / name
    file.write_bytes(file.read_bytes().replace(b"1", b"2", 1))
    assert run("generate", "study=tiny", "n=5", "out=bad.npz") == 2
    assert f"{name}: checksum differs" in capsys.readouterr().err


def test_a_stage_alone_does_not_use_damage(copy, run, capsys):
    """`priorgap measure` on flipped weights: the cell fails and says which stage mends it."""
    for file in copy.glob("tiny/train/*seed=0-*/weights.safetensors"):
        flip(file, 2000)
    shutil.rmtree(next(copy.glob("tiny/encode/*seed=0-*")))
    assert run("encode", "-m", *MODELS, "study=tiny", "tracking=off") == 1
    err = capsys.readouterr().err
    assert "weights.safetensors: checksum differs" in err and "`priorgap train` makes it again" in err
    assert run("train", "-m", *MODELS, "study=tiny", "tracking=off") == 0
    assert run("encode", "-m", *MODELS, "study=tiny", "tracking=off") == 0


def test_named_files_are_checked(tmp_path):
    with artifacts.publish(tmp_path / "a", "key") as directory:
        for name in ("x", "y"):
            (directory / name).write_text(name, encoding="utf-8")
    artifacts.check(tmp_path / "a")
    (tmp_path / "a" / "y").write_text("z", encoding="utf-8")
    artifacts.check(tmp_path / "a", "x")
    for names in ((), ("y",), ("unknown",)):
        with pytest.raises(artifacts.Damaged, match="damaged: "):
            artifacts.check(tmp_path / "a", *names)
    with pytest.raises(artifacts.Damaged, match="no valid manifest"):
        artifacts.check(tmp_path / "b")
