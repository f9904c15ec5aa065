"""`--help` shows the keys of a command with their defaults; a shell completes what `priorgap completion` prints."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from priorgap.core.build import configuration_directory
from priorgap.pipeline import cli
from priorgap.pipeline.commands.keys import Key, keys_of

STAGES = (*cli.STAGES, "run", "report")
_SHOWN = re.compile(r" +([a-z_][\w.]*)=(\[[^]]*\]|\S+)(?: .*)?")


def shown(text: str) -> dict[str, str]:
    """The keys of a help text and their defaults; groups with their options among them."""
    _, _, listed = text.partition("keys, with their defaults")
    found = (_SHOWN.fullmatch(line) for line in listed.splitlines())
    return {match[1]: match[2] for match in found if match is not None}


def help_of(command: str, run, capsys) -> str:
    assert run(command, "--help") == 0
    return str(capsys.readouterr().out)


def test_every_default_of_the_help_is_that_of_the_composed_configuration(run, capsys):
    keys = shown(help_of("run", run, capsys))
    assert run("run", "--cfg") == 0
    config = yaml.safe_load(capsys.readouterr().out)
    checked = 0
    for name, default in keys.items():
        value = config
        try:
            for part in name.split("."):
                value = value[part]
        except (KeyError, TypeError):
            continue
        # composed from other keys, or settled, where they are not said
        if isinstance(value, dict) or name in ("prior.dim", "verdict.space", "trainer.precision"):
            continue
        assert yaml.safe_load(default) == value, name
        checked += 1
    assert checked > 60


def test_every_key_of_the_composed_configuration_is_in_the_help(run, capsys):
    keys = shown(help_of("run", run, capsys))
    assert run("run", "--cfg") == 0
    config = yaml.safe_load(capsys.readouterr().out)
    # samplers, metrics and spaces are chosen by name: their own keys stand in their files
    for name in ("samplers", "metrics", "feature_spaces"):
        del config[name]

    def leaves(node, prefix=""):
        for key, value in node.items():
            if isinstance(value, dict) and value:
                yield from leaves(value, f"{prefix}{key}.")
            elif not key.startswith("_") and key != "name":
                yield f"{prefix}{key}"

    assert set(leaves(config)) <= keys.keys()


@pytest.mark.parametrize("command", STAGES)
def test_a_stage_shows_what_it_reads(command, run, capsys):
    keys = shown(help_of(command, run, capsys))
    assert {"study", "output_root"} <= keys.keys()
    assert ("loss.alpha" in keys) == (command not in ("prepare", "reference", "report"))
    assert ("verdict.level" in keys) == (command in ("run", "report"))
    assert ("metric" in keys) == (command in ("run", "measure"))


def test_other_commands_show_theirs(run, capsys):
    for command in set(cli.COMMANDS) - set(STAGES):
        assert "usage: priorgap" in help_of(command, run, capsys)
        if command not in ("schema", "completion"):
            assert re.search(r"default|\(required\)", help_of(command, run, capsys)), command


def test_the_help_is_light():
    code = (
        "import sys; from priorgap.pipeline import cli\n"
        "try: cli.main(['run', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'hydra', 'yaml', 'numpy', 'wandb'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_keys_sentence_is_the_comment_above_it():
    text = (
        "# @package a.b\n# of the file. More\nx: 1\ny: null\n# of z\nz:\n  # and w; null: no\n  w: ${a.b}\n"
    )
    assert list(keys_of(text, "g.")) == [
        Key("g.x", "1", "of the file"), Key("g.y", "null", ""), Key("g.z.w", "a.b", "of z and w")
    ]  # fmt: skip


def test_every_file_of_the_vocabulary_can_be_read_so():
    for file in configuration_directory().rglob("*.yaml"):
        content = yaml.safe_load(file.read_text())
        names = {key.name.partition(".")[0] for key in keys_of(file.read_text())}
        assert names <= set(content or {}), file


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_function_of_a_shell(shell, run, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/__main__.py"])
    assert run("completion", shell) == 0
    printed = capsys.readouterr().out
    assert "hydra" in printed and re.search(r"complete .*priorgap", printed) and "__main__" not in printed


@pytest.mark.parametrize("words", [(), ("tcsh",), ("bash", "zsh")])
def test_another_shell_is_refused_in_one_line(words, run, capsys):
    assert run("completion", *words) == 2
    assert (
        capsys.readouterr().err
        == f"priorgap: {' '.join(('completion', *words))}: expected one of bash, zsh, fish\n"
    )


def on_the_path(folder: Path) -> dict[str, str]:
    """Put the console script of this interpreter into a folder; return an environment that finds it first."""
    program = folder / "priorgap"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m priorgap.pipeline "$@"\n')
    program.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HOME": str(folder),
        "ZDOTDIR": str(folder),
    }


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_groups_options_and_keys(tmp_path):
    on_the_path(tmp_path)
    script = """
    export PATH="$1:$PATH"
    eval "$(priorgap completion bash)"
    complete_it() {
        COMP_LINE="$1"; COMP_POINT=${#1}; COMP_WORDS=($1); COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
        hydra_bash_completion
        echo "${COMPREPLY[@]}"
    }
    complete_it "priorgap run lik"
    complete_it "priorgap run likelihood=ber"
    complete_it "priorgap run loss.al"
    complete_it "priorgap run verdict.health.rows_w"
    complete_it "priorgap comp"
    """
    done = subprocess.run(
        ["bash", "-c", script, "bash", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["likelihood.", "likelihood="],
        ["likelihood=bernoulli"],
        ["loss.alpha="],
        ["verdict.health.rows_warn="],
        ["completion"],
    ]


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish")
def test_fish_completes_groups_options_and_keys(tmp_path):
    script = """
    priorgap completion fish | source
    for line in "priorgap run lik" "priorgap run likelihood=ber" "priorgap run loss.al" \\
            "priorgap run verdict.health.rows_w" "priorgap comp" "priorgap ge" "priorgap "
        echo (complete -C $line)
    end
    """
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        cwd=tmp_path, env=on_the_path(tmp_path), capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    *found, commands = done.stdout.splitlines()
    assert found == [
        "likelihood. likelihood=",
        "likelihood=bernoulli",
        "loss.alpha=",
        "verdict.health.rows_warn=",
        "completion",
        "generate",
    ]
    # each is a proposal of its own
    assert commands.split() == sorted(cli.COMMANDS)


ZSH = """
import os, pty, select, sys, time

process, terminal = pty.fork()
if process == 0:
    os.execvp("zsh", ["zsh", "-f", "-i"])


def until(seen):
    end = time.monotonic() + 60
    while not seen():
        assert time.monotonic() < end, "zsh has not answered"
        if select.select([terminal], [], [], 0.1)[0]:
            os.read(terminal, 65536)


def buffers():
    return open("buffers").read().splitlines() if os.path.exists("buffers") else []


os.write(terminal, b'eval "$(priorgap completion zsh)"\\n')
# what is typed is written to a file by a key of its own, and not run
os.write(terminal, b"show() { print -r -- $BUFFER >> buffers; BUFFER= }; zle -N show\\n")
os.write(terminal, b"bindkey '^X^X' show; : > ready\\n")
until(lambda: os.path.exists("ready"))
for number, line in enumerate(sys.argv[1:], start=1):
    os.write(terminal, line.encode() + b"\\t\\x18\\x18")
    until(lambda: len(buffers()) == number)
os.write(terminal, b"exit\\n")
print(*buffers(), sep="\\n")
"""


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")
def test_zsh_completes_groups_options_and_keys(tmp_path):
    words = ("run lik", "run likelihood=ber", "run loss.al", "run verdict.health.rows_w", "comp", "ge")
    done = subprocess.run(
        [sys.executable, "-c", ZSH, *(f"priorgap {line}" for line in words)],
        cwd=tmp_path, env=on_the_path(tmp_path), capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # as a first tab leaves the line: two begin with likelihood, each of the others is the only one
    assert [line.removeprefix("priorgap ").rstrip() for line in done.stdout.splitlines()] == [
        "run likelihood",
        "run likelihood=bernoulli",
        "run loss.alpha=",
        "run verdict.health.rows_warn=",
        "completion",
        "generate",
    ]
