"""What report, generate and the stages read is verified first: a damaged file is one line, and no wrong answer."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_study import EXTRA, TINY, content, flip, model, shelf

from priorgap.core import artifacts
from priorgap.core.shelves import Shelf

MODELS = (*TINY, *EXTRA)


@pytest.fixture
def copy(tiny, tmp_path, monkeypatch) -> Path:
    """A finished tiny study of one's own."""
    shutil.copytree(tiny / "outputs", tmp_path / "outputs", symlinks=True)
    shutil.rmtree(tmp_path / "outputs/.finished")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outputs"


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def flip_tensors(place: Shelf, name: str, position: int = 40) -> None:
    """Change a byte of a result's tensors."""
    span = place.entries[name].span
    flip(place.folder / span.file, span.offset + position)


def change_a_digit(place: Shelf, name: str) -> None:
    """Change one digit of a measured value, as a disk or an editor would."""
    file = place.folder / artifacts.MANIFEST
    text = file.read_text(encoding="utf-8")
    start = text.index('"value": ', text.index('"rows"', text.index(f'"{name}"')))
    value = re.compile(r"-?\d*(\d)").match(text, start + len('"value": '))
    assert value is not None
    digit = str((int(value[1]) + 5) % 10)
    file.write_text(f"{text[: value.start(1)]}{digit}{text[value.end(1) :]}", encoding="utf-8")


def cut_pack(place: Shelf) -> None:
    """Take the end of the last tensors off."""
    (file,) = place.folder.glob("*.pack")
    truncate(file)


def of_model(stage: str) -> Shelf:
    return shelf(Path(), stage, model(Path()).id)


# what happens to a study, and the file or result that is named then
REPORTED: dict[str, tuple[str, Callable[[Shelf], object], str]] = {
    "a digit of a measurement": (
        "measure", lambda place: change_a_digit(place, "prior/fid@classifier"), "prior/fid@classifier"
    ),
    "a cut manifest": ("measure", lambda place: truncate(place.folder / artifacts.MANIFEST), "no valid manifest"),
    "an emptied manifest": (
        "measure", lambda place: (place.folder / artifacts.MANIFEST).write_text(""), "no valid manifest"
    ),
    "tensors that are gone": ("sample", lambda place: next(place.folder.glob("*.pack")).unlink(), "prior: its tens"),
    "cut tensors": ("sample", cut_pack, "per_class_gaussian_full: its tensors"),
    "a preview": ("sample", lambda place: flip_tensors(place, "prior", 5000), "prior: its tensors"),
    "marginals": ("measure", lambda place: flip_tensors(place, "_model/_marginals", 900), "_model/_marginals: its"),
    "facts of the data": (
        "sample", lambda place: flip(next(Path("outputs/data").glob("digits-*/dataset.json")), 30), "dataset.json"
    ),
}  # fmt: skip


# what may happen together: no two harm one file
TOGETHER = (
    ("a digit of a measurement", "marginals", "tensors that are gone", "facts of the data"),
    ("a cut manifest", "a preview", "cut tensors"),
    ("an emptied manifest",),
)


@pytest.mark.parametrize("case", REPORTED, ids=str)
def test_a_report_of_damage_is_refused(copy, run, capsys, case):
    stage, damage, named = REPORTED[case]
    place = of_model(stage)
    verdict = (copy / "tiny/report/verdict.json").read_bytes()
    damage(place)
    assert run("report", "study=tiny", "tracking=off") == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.startswith("priorgap: damaged: ") and named in err, err
    assert str(place.folder) in err or case == "facts of the data", err
    assert "the command that made it makes it again" in err
    assert (copy / "tiny/report/verdict.json").read_bytes() == verdict


@pytest.mark.parametrize("cases", TOGETHER, ids=" and ".join)
def test_the_study_s_command_mends_it(copy, run, cases, tiny):
    verdict = (copy / "tiny/report/verdict.json").read_bytes()
    for case in cases:
        stage, damage, _ = REPORTED[case]
        damage(of_model(stage))
    # and writes the report anew
    (copy / "tiny/report/verdict.json").unlink()
    assert run("run", "-m", *MODELS, "study=tiny", "tracking=off") == 0
    assert (copy / "tiny/report/verdict.json").read_bytes() == verdict
    assert content(copy.parent) == content(tiny)


def test_every_damage_is_mended_somewhere():
    assert sorted(case for cases in TOGETHER for case in cases) == sorted(REPORTED)


def test_curves_are_verified_where_they_are_tracked(copy, run, capsys):
    flip(sorted(copy.glob("tiny/train/*/curves.csv"))[0], 60)
    for file in copy.glob("tiny/tracked/*"):
        file.unlink()
    assert run("report", "study=tiny", "tracking=offline") == 2
    assert "curves.csv: checksum differs" in capsys.readouterr().err


GENERATED: dict[str, Callable[[Path, Shelf], object]] = {
    "weights": lambda trained, draws: flip(trained / "weights.safetensors", 2000),
    "configuration": lambda trained, draws: flip(trained / "config.yaml", 30),
    "fitted sampler": lambda trained, draws: flip_tensors(draws, "gaussian_full", 5000),
    "its facts": lambda trained, draws: change_facts(draws),
    "a cut sampler": lambda trained, draws: next(draws.folder.glob("*.pack")).write_bytes(b""),
    "a cut manifest": lambda trained, draws: truncate(draws.folder / artifacts.MANIFEST),
}


def change_facts(draws: Shelf) -> None:
    """Change a word of what stands beside a fitted sampler's tensors."""
    file = draws.folder / artifacts.MANIFEST
    text = file.read_text(encoding="utf-8")
    start = text.index('"state": ', text.index('"gaussian_full"'))
    file.write_text(f"{text[:start]}{text[start:].replace('gaussian', 'gavssian', 1)}", encoding="utf-8")


@pytest.mark.parametrize("case", GENERATED, ids=str)
def test_nothing_is_generated_from_damage(copy, run, capsys, case):
    order = ("generate", "study=tiny", "n=5", f"model_id={model(Path()).id}", "sampler=gaussian_full")
    assert run(*order, "out=good.npz") == 0
    capsys.readouterr()
    GENERATED[case](copy / "tiny/train" / model(Path()).id, of_model("sample"))
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
    trained = model(Path()).id
    flip(copy / "tiny/train" / trained / "weights.safetensors", 2000)
    shutil.rmtree(copy / "tiny/encode" / trained)
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
