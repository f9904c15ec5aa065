"""The keys of a command with their defaults for `--help`, read from conf/ as text, with their comments.

Nothing is composed, and neither YAML nor Hydra is imported, so that `--help` is fast and works without the
extra.
"""

import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_NARROW, _WIDE, _COLUMN = 80, 118, 40
_KEY = re.compile(r"(?P<indent> *)(?P<name>[A-Za-z_][\w/]*):(?: +(?P<value>.*))?")
# Matches ${model.latent_dim} and ${oc.env:NAME,default}.
_REFERENCE = re.compile(r"\$\{(?:oc\.\w+:[^,}]*,)?([^}]*)\}")
# The groups and keys that each stage reads in addition to those of earlier stages.
_ADDS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "prepare": (("data",), ("study", "output_root", "plugins")),
    "reference": (("features",), ("features", "reference", "numerics")),
    "train": (
        ("model", "likelihood", "prior", "loss", "trainer", "callbacks", "logger", "tracking"),
        ("seed", "batching"),
    ),
    "calibrate": ((), ("calibrate",)),
    "encode": ((), ()),
    "sample": (("sampler",), ("n_samples", "calibrated_samplers", "unit_swaps", "unit_swap_arms")),
    "measure": (("metric",), ("decode", "measure_processes")),
    "report": ((), ("verdict",)),
}


@dataclass(frozen=True)
class Key:
    """A key of the configuration.

    Attributes:
        name: the name as it is typed.
        default: the default as text.
        says: the first sentence of the comment above it, or "".
    """

    name: str
    default: str
    says: str


def keys_of(text: str, prefix: str = "") -> Iterator[Key]:
    """Yield the keys with values in a file of conf/, in order, without nodes' classes and lists of defaults.

    Args:
        text: the text of the file.
        prefix: the prefix of the keys' names.
    """
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        found = _KEY.fullmatch(line.rstrip())
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip("# ").rstrip())
        elif found is None:
            comment = []
        else:
            indent, name, value = len(found["indent"]), found["name"], found["value"]
            path = [one for one in path if one[0] < indent]
            if value is None:
                path.append((indent, name))
                continue
            parts = [*(one for _, one in path), name]
            if not any(part in ("hydra", "defaults", "name") or part.startswith("_") for part in parts):
                default = _REFERENCE.sub(r"\1", value.strip("\"'"))
                yield Key(prefix + ".".join(parts), default, _sentence(comment))
            comment = []


def help_of(command: str, conf: Path) -> str:
    """Return the keys that a command reads, with defaults, group by group.

    Args:
        command: a stage, or run.
        conf: the folder of the configuration.
    """
    groups, own = _read_by(command)
    config = (conf / "config.yaml").read_text(encoding="utf-8")
    chosen = dict(_defaults(config))
    lines = ["keys, with their defaults; a group (model=mlp) brings the keys under it:"]
    for group in groups:
        lines += _group(conf, group, chosen[group])
    for key in keys_of(config):
        first = key.name.partition(".")[0]
        if (first in own and first not in chosen) or (first in own and "." in key.name):
            lines += _line(key)
    return "\n".join(lines) + "\n"


def _read_by(command: str) -> tuple[list[str], set[str]]:
    stages = list(_ADDS)
    last = stages.index(command) if command in stages else len(stages) - 1
    if command in ("report", "publish"):
        # The study's configuration is read from its record, so no key of this command changes it.
        return ["tracking"], {*_ADDS["prepare"][1], *_ADDS["report"][1]}
    read = stages[: last + 1]
    return [g for stage in read for g in _ADDS[stage][0]], {key for stage in read for key in _ADDS[stage][1]}


def _defaults(config: str) -> Iterator[tuple[str, str]]:
    for line in config.splitlines():
        found = re.fullmatch(r"  - (\w+): (.+)", line)
        if found is not None:
            yield found[1], found[2].replace(" ", "")


def _group(conf: Path, group: str, chosen: str) -> Iterator[str]:
    names = sorted(file.stem for file in (conf / group).glob("[!_]*.yaml"))
    yield from _line(Key(f"{group}={chosen}", "", f"one of {', '.join(names)}"))
    file = conf / group / f"{chosen}.yaml"
    if file.is_file():
        text = file.read_text(encoding="utf-8")
        if "_location" in text:
            text += (conf / group / "_location.yaml").read_text(encoding="utf-8")
        for key in keys_of(text, f"{group}."):
            yield from _line(key, "  ")


def _line(key: Key, indent: str = "") -> Iterable[str]:
    """Return the lines of a key and its explanation, wrapped beside it."""
    typed = f"  {indent}{key.name}={key.default}" if key.default else f"  {indent}{key.name}"
    if not key.says:
        return [typed]
    width = max(_NARROW, min(_WIDE, shutil.get_terminal_size().columns))
    room = " " * _COLUMN
    beside = len(typed) < _COLUMN
    says = textwrap.wrap(key.says, width - _COLUMN, break_on_hyphens=False)
    lines = [room + line for line in says]
    return [typed.ljust(_COLUMN) + says[0], *lines[1:]] if beside else [typed, *lines]


def _sentence(comment: Sequence[str]) -> str:
    """Return the first sentence of a comment; a package header is not one."""
    text = " ".join(line for line in comment if not line.startswith("@package"))
    return re.split(r"(?<=[a-z)])\. |; null: ", text, maxsplit=1)[0].rstrip(".")
