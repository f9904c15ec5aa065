"""Text is UTF-8 whatever the locale: the same keys, and no crash, under `LC_ALL=C` and in Latin-1."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_study import EXTRA, TINY, content, run_tiny

SOURCE = Path(__file__).parents[1] / "src"
_TEXT_METHODS = ("read_text", "write_text")


def _names_no_encoding(call: ast.Call) -> bool:
    """Whether a call reads or writes text in the locale's encoding."""
    given = {keyword.arg for keyword in call.keywords}
    function = call.func
    if "encoding" in given or None in given:
        return False
    if any(k.arg in ("text", "universal_newlines") for k in call.keywords):
        return True
    mode = next((k.value for k in call.keywords if k.arg == "mode"), None)
    if isinstance(function, ast.Name) and function.id == "open":
        mode = mode or (call.args[1] if len(call.args) > 1 else None)
    elif isinstance(function, ast.Attribute) and function.attr == "open":
        # of a path; other objects' `open` takes a first argument that is no mode
        mode = mode or (call.args[0] if call.args else None)
        if call.args and not (isinstance(mode, ast.Constant) and set(str(mode.value)) <= set("rwaxbt+")):
            return False
    elif isinstance(function, ast.Attribute) and function.attr in _TEXT_METHODS:
        return not (isinstance(function.value, ast.Name) and function.value.id == "artifacts")
    else:
        return False
    return not (isinstance(mode, ast.Constant) and "b" in str(mode.value))


def test_all_text_is_read_and_written_in_a_named_encoding():
    found = [
        f"{file.relative_to(SOURCE)}:{node.lineno}"
        for file in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and _names_no_encoding(node)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("open(p)", True),
        ("open(p, 'w')", True),
        ("open(p, mode='wb')", False),
        ("open(p, encoding='utf-8')", False),
        ("p.open()", True),
        ("p.open(newline='')", True),
        ("p.open('rb')", False),
        ("Image.open(p)", False),
        ("p.read_text()", True),
        ("artifacts.write_text(p, t)", False),
        ("subprocess.run(c, text=True)", True),
    ],
)
def test_the_check_sees_what_it_should(code, wrong):
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call) and _names_no_encoding(call) == wrong


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished tiny study."""
    folder = tmp_path_factory.mktemp("locale")
    assert run_tiny(folder, *EXTRA, "tracking=off", command=("run", "-m")) == 0
    return folder


def _latin_1(folder: Path) -> dict[str, str]:
    """Compile a Latin-1 locale, as a machine that uses one has it."""
    localedef = shutil.which("localedef")
    place = folder / "en_US.ISO-8859-1"
    if localedef is not None:
        subprocess.run(
            [localedef, "-i", "en_US", "-f", "ISO-8859-1", str(place)], capture_output=True, check=False
        )
    if not place.is_dir():
        pytest.skip("no Latin-1 locale can be made here")
    return {"LOCPATH": str(folder), "LC_ALL": "en_US.ISO-8859-1"}


@pytest.mark.parametrize(("name", "encoding"), [("C", "ascii"), ("Latin-1", "iso8859-1")])
def test_another_locale_gives_the_same_keys(finished, tmp_path, name, encoding):
    shutil.copytree(finished / "outputs", tmp_path / "outputs", symlinks=True)
    shutil.rmtree(tmp_path / "outputs" / ".finished")
    own = {"LC_ALL": "C"} if name == "C" else _latin_1(tmp_path / "..")
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONIOENCODING"))
    }
    environment |= {**own, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    def child(*arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "priorgap.pipeline", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            check=False,
        )
        said = (done.stdout + done.stderr).decode("latin-1")
        assert done.returncode == status and "Traceback" not in said, said
        return said

    asked = "import codecs, locale; print(codecs.lookup(locale.getencoding()).name)"
    known = subprocess.run(
        [sys.executable, "-c", asked], env=environment, capture_output=True, check=True, encoding="ascii"
    )
    assert known.stdout.strip() == encoding
    said = child("run", "-m", *TINY, "study=tiny", *EXTRA, "tracking=off")
    # the keys hold, so nothing is computed again
    assert ": trained, " not in said and ": sampled " not in said and "0 to train" in said
    assert content(tmp_path) == content(finished)
    for order in (("ls", "study=tiny"), ("verify",), ("gc",), ("report", "study=tiny", "tracking=off")):
        child(*order)
    child("generate", "study=tiny", "n=3", "out=größe.npz", "sampler=prior", "model_id=best")
    assert len(list(tmp_path.glob("*.npz"))) == 1
    # what is not ASCII and cannot be used is refused in a line
    child("run", "study=größe", status=2)
    child("run", "data=npz", "data.path=größe.npz", status=2)
