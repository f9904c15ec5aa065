"""Commands in other locales: the same keys, and no crash, under `LC_ALL=C` and in Latin-1."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_study import EXTRA, TINY, content


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


# commands and how they end, in one process: a locale is a process's
RUN = {("run", "-m", *TINY, "study=tiny", *EXTRA, "tracking=off"): 0}
MORE = {
    ("ls", "study=tiny"): 0,
    ("verify",): 0,
    ("gc",): 0,
    ("report", "study=tiny", "tracking=off"): 0,
}
LAST = {
    ("generate", "study=tiny", "n=3", "out=größe.npz", "sampler=prior", "model_id=best"): 0,
    ("run", "study=größe"): 2,
    ("run", "data=npz", "data.path=größe.npz"): 2,
}
COMMANDS = """
import sys
from priorgap.pipeline import cli
for words in sys.argv[1:]:
    try:
        cli.main(words.split(" "))
    except SystemExit as error:
        print("status", error.code or 0, flush=True)
"""


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("name", "encoding", "orders"),
    [("C", "ascii", {**RUN, **MORE, **LAST}), ("Latin-1", "iso8859-1", {**RUN, **LAST})],
    ids=["C", "Latin-1"],
)
def test_another_locale_gives_the_same_keys(tiny, tmp_path, name, encoding, orders):
    shutil.copytree(tiny / "outputs", tmp_path / "outputs", symlinks=True)
    shutil.rmtree(tmp_path / "outputs" / ".finished")
    own = {"LC_ALL": "C"} if name == "C" else _latin_1(tmp_path / "..")
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONIOENCODING"))
    }
    environment |= {**own, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    def child(code: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            check=False,
        )
        said = (done.stdout + done.stderr).decode("latin-1")
        assert done.returncode == 0 and "Traceback" not in said, said
        return said

    asked = "import codecs, locale; print(codecs.lookup(locale.getencoding()).name)"
    assert child(asked).strip() == encoding
    said = child(COMMANDS, *(" ".join(words) for words in orders))
    # the keys hold, so nothing is computed again
    assert ": trained, " not in said and ": sampled " not in said and "0 to train" in said
    assert content(tmp_path) == content(tiny)
    # what is not ASCII and cannot be used is refused in a line
    assert [line for line in said.splitlines() if line.startswith("status ")] == [
        f"status {status}" for status in orders.values()
    ]
    assert len(list(tmp_path.glob("*.npz"))) == 1
