"""What a command says: one live line on a terminal, lines elsewhere, little or much where that was asked for."""

import io
import logging
import os
import pty
import re
import select
import struct
import subprocess
import sys
import time
from fcntl import ioctl
from termios import TIOCSWINSZ

import pytest

from priorgap.pipeline.commands import flags
from priorgap.pipeline.terminal import Handler, LiveLine, marked, say

RUN = (
    "run", "data=digits", "sampler=[prior,gaussian_full]", "metric=[fid,kl]", "trainer.max_epochs=2", "n_samples=100",
    "trainer.accelerator=cpu", "study=tiny", "tracking=off",
)  # fmt: skip


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True

    def shown(self) -> str:
        """What stands on the last line now."""
        return self.getvalue().rpartition("\n")[2].rpartition("\r\x1b[K")[2]


def line_on(screen, now):
    line = LiveLine(screen, clock=lambda: now[0])
    line.begin()
    return line


def test_the_line_says_how_many_models_are_done_and_how_long_the_rest_takes():
    now = [0.0]
    line = line_on(Screen(), now)
    line.of(4)
    assert line.line(200) == "0 of 4 models done · 0 s"
    now[0] = 60.0
    line.ended(failed=False)
    line.at("sampled, 9 samplers (latent_dim=2)")
    assert line.line(200) == (
        "1 of 4 models done · 1 min 00 s · about 3 min 00 s left · sampled, 9 samplers (latent_dim=2)"
    )
    now[0] = 90.0
    line.ended(failed=True)
    assert line.line(200).startswith("1 of 4 models done, 1 failed · 1 min 30 s · about 1 min 30 s left")
    line.close()


def test_the_line_of_one_model_counts_none():
    line = line_on(Screen(), [0.0])
    line.of(1)
    line.at("training, epoch 1 of 12")
    line.ended(failed=False)
    assert line.line(200) == "0 s · training, epoch 1 of 12"
    line.close()


@pytest.mark.parametrize("columns", [1, 2, 20, 80])
def test_the_line_is_never_longer_than_the_terminal(columns):
    line = line_on(Screen(), [0.0])
    line.at("x" * 300)
    assert len(line.line(columns)) < max(columns, 2)
    line.close()


def test_a_line_that_stays_is_not_written_over(monkeypatch):
    screen = Screen()
    line = line_on(screen, [0.0])
    line.at("measuring")
    with line.hidden():
        screen.write("priorgap: 3 models\n")
    assert "measuring\r\x1b[Kpriorgap: 3 models\n\r\x1b[K0 s · measuring" in screen.getvalue()
    line.close()
    assert screen.shown() == ""


def test_the_line_goes_on_by_itself():
    screen, now = Screen(), [0.0]
    line = line_on(screen, now)
    line.at("training")
    now[0] = 7.0
    deadline = time.monotonic() + 20
    while screen.shown() != "7 s · training" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert screen.shown() == "7 s · training"
    line.close()


def test_a_terminal_that_is_gone_stops_the_line_and_not_the_work():
    class Gone(Screen):
        def write(self, text):
            raise OSError("gone")

    line = line_on(Gone(), [0.0])
    line.at("training")
    assert not line.live


def test_no_line_where_nobody_looks():
    stream = io.StringIO()
    line = LiveLine(stream)
    line.begin()
    line.at("training")
    line.close()
    assert not line.live and stream.getvalue() == ""


def test_what_is_logged_goes_to_the_line_and_warnings_stay(monkeypatch):
    screen = Screen()
    line = line_on(screen, [0.0])
    monkeypatch.setattr("priorgap.pipeline.terminal.LINE", line)
    log = logging.Logger("priorgap.x")
    log.addHandler(Handler(screen))
    log.info("latent_dim=2,alpha=10: trained, max_epochs")
    assert screen.shown() == "0 s · trained, max_epochs (latent_dim=2,alpha=10)"
    log.warning("a feature space without labels")
    assert "a feature space without labels\n" in screen.getvalue()
    line.close()
    log.info("plain")
    assert screen.getvalue().endswith("plain\n")
    line.quiet = True
    log.info("nothing of it")
    log.error("failed")
    assert screen.getvalue().endswith("plain\nfailed\n")


def test_quiet_says_what_must_be_said(monkeypatch, capsys):
    line = LiveLine()
    monkeypatch.setattr("priorgap.pipeline.terminal.LINE", line)
    line.quiet = True
    say("3 models", always=False)
    say("report: x/report.html")
    assert capsys.readouterr().err == "priorgap: report: x/report.html\n"


def test_quiet_and_verbose_exclude_each_other():
    assert flags.parse(["-q", "seed=1"]).quiet and flags.parse(["--verbose"]).verbose
    with pytest.raises(ValueError, match="--quiet and --verbose: expected one of them"):
        flags.parse(["-q", "-v"])


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_a_verdicts_first_words_have_colour_where_a_terminal_has_it(variables, coloured, monkeypatch):
    for name, value in {"TERM": "xterm", "NO_COLOR": "", **variables}.items():
        monkeypatch.setenv(name, value)
    lines = ["Do this: use gmm: it is better.", "  Its FID: 3.", "No words"]
    shown = [marked(line, Screen()) for line in lines]
    assert shown[1:] == lines[1:]
    assert (shown[0] == "\x1b[1;36mDo this:\x1b[0m use gmm: it is better.") == coloured
    assert (shown[0] == lines[0]) == (not coloured)
    # a file or a pipe has none
    assert marked(lines[0], io.StringIO()) == lines[0]


def on_a_terminal(folder, words, columns=80):
    """Return exit status, pieces (seconds since the start, text) and standard output of a command on a terminal."""
    mine, its = pty.openpty()
    ioctl(its, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**os.environ, "COLUMNS": str(columns), "OMP_NUM_THREADS": "1"}
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "priorgap", *words],
        cwd=folder, stderr=its, stdout=subprocess.PIPE, env=environment, text=True,
    )  # fmt: skip
    os.close(its)
    pieces = []
    while True:
        ready, _, _ = select.select([mine], [], [], 0.2)
        if ready:
            try:
                text = os.read(mine, 65536).decode()
            except OSError:
                break
            if not text:
                break
            pieces.append((time.monotonic() - start, text))
        elif process.poll() is not None:
            break
    out = process.stdout.read()
    os.close(mine)
    return process.wait(), pieces, out


def test_a_run_on_a_terminal_is_one_live_line(tmp_path):
    status, pieces, out = on_a_terminal(tmp_path, RUN)
    said = "".join(text for _, text in pieces)
    assert status == 0, said
    assert out.startswith("Do this: ")
    # the first words come before anything heavy is imported
    assert "reading the configuration" in pieces[0][1]
    for doing in ("training, ", "fitting sampler 2 of 2, gaussian_full", "measured ", "writing the report"):
        assert doing in said, doing
    # what stays are whole lines; what is written over never reaches the edge
    written = re.split(r"\r\x1b\[K|\r?\n", said)
    live = [text for text in written if re.match(r"\d+ (s|min)", text)]
    assert live and max(map(len, live)) < 80
    stays = [text for text in said.replace("\r\n", "\n").split("\n") if text]
    kept = [text.rpartition("\x1b[K")[2] for text in stays]
    assert [text for text in kept if text] == [text for text in kept if text.startswith("priorgap: ")], kept
    assert len([text for text in kept if text]) <= 4


@pytest.mark.e2e
def test_a_sweep_on_a_terminal_is_one_live_line_whatever_its_processes_do(tmp_path):
    words = ("run", "-m", *RUN[1:], "seed=0,1,2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    status, pieces, _ = on_a_terminal(tmp_path, words)
    said = "".join(text for _, text in pieces)
    assert status == 0, said
    assert "3 of 3 models done" in said
    # no bar of a worker, no line for each model
    assert "step/s" not in said and "train:" not in said and "job #" not in said
    kept = [text.rpartition("\x1b[K")[2] for text in said.replace("\r\n", "\n").split("\n")]
    assert len([text for text in kept if text]) <= 6, kept


@pytest.mark.e2e
def test_a_run_elsewhere_has_a_line_a_stage_and_quiet_none(tmp_path):
    words = [sys.executable, "-m", "priorgap", *RUN]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "\r" not in done.stderr and "\x1b" not in done.stderr
    assert done.stderr.count(": trained, ") == 1 and done.stderr.count(": sampled, 2 samplers") == 1
    assert ": sampled prior" not in done.stderr
    again = [*words, "seed=1"]
    verbose = subprocess.run([*again, "-v"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ": sampled prior\n" in verbose.stderr
    quiet = subprocess.run([*words, "seed=2", "-q"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert quiet.stderr == "priorgap: report: outputs/tiny/report/report.html\n"
    assert quiet.stdout.startswith("Do this: ")


@pytest.mark.e2e
def test_a_sweep_elsewhere_counts_its_models(tmp_path):
    words = [sys.executable, "-m", "priorgap", "run", "-m", *RUN[1:], "seed=0,1"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "1 of 2 models done · " in done.stderr and " left" in done.stderr
    assert "2 of 2 models done · " in done.stderr
