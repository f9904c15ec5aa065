"""The flags of commands that take a configuration: Hydra's flags under Hydra's names, parsed without Hydra."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

_CONFIGURATIONS = ("job", "hydra", "all")
_INFORMATION = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
_LONG = {
    "-m": "--multirun",
    "-cd": "--config-dir",
    "-c": "--cfg",
    "-r": "--resolve",
    "-p": "--package",
    "-i": "--info",
    "-sc": "--shell-completion",
    "-q": "--quiet",
    "-v": "--verbose",
}


@dataclass
class Typed:
    """The words after a command.

    Attributes:
        overrides: words of the form key=value, +key=value, ~key.
        multirun: whether it is a sweep.
        config_dir: an extra folder of configuration files.
        cfg: which configuration to print: job, hydra or all; "" for the one that priorgap reads.
        resolve: whether to resolve references.
        package: print only this part of the configuration.
        info: which information on the configuration's composition to print.
        completion: whether the words are for the shell's completion.
        quiet: whether to print only results, warnings and errors.
        verbose: whether to print each step, even on a terminal.
    """

    overrides: tuple[str, ...] = ()
    multirun: bool = False
    config_dir: str | None = None
    cfg: str | None = None
    resolve: bool = False
    package: str | None = None
    info: str | None = None
    completion: bool = False
    quiet: bool = False
    verbose: bool = False

    @property
    def shows(self) -> bool:
        """Whether the command only prints something and runs nothing."""
        return self.cfg is not None or self.info is not None or self.completion


def parse(words: Sequence[str]) -> Typed:
    """Parse the words after a command.

    Raises:
        ValueError: a flag is unknown or lacks its value, or a word is no override; one line.
    """
    typed, overrides, rest = Typed(), [], list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            _flag(word, rest, typed)
        elif "=" not in word and not word.startswith("~"):
            raise ValueError(f"{_shown(word)}: expected an override of the form key=value")
        else:
            overrides.append(word)
    typed.overrides = tuple(overrides)
    if typed.cfg is None and (typed.resolve or typed.package is not None):
        raise ValueError("--resolve, --package: expected together with --cfg")
    if typed.quiet and typed.verbose:
        raise ValueError("--quiet and --verbose: expected one of them")
    if (typed.cfg is not None) + (typed.info is not None) + typed.completion > 1:
        raise ValueError("expected one of --cfg, --info and --shell-completion")
    return typed


def _flag(word: str, rest: list[str], typed: Typed) -> None:
    name, equals, value = word.partition("=")
    flag = _LONG.get(name, name)
    given = value if equals else None
    if flag == "--multirun":
        typed.multirun = True
    elif flag in ("--quiet", "--verbose"):
        setattr(typed, flag.removeprefix("--"), True)
    elif flag == "--resolve":
        typed.resolve = True
    elif flag == "--shell-completion":
        typed.completion = True
    elif flag == "--config-dir":
        typed.config_dir = _needed(flag, "a folder", given, rest)
    elif flag == "--package":
        typed.package = _needed(flag, "a key", given, rest)
    elif flag == "--cfg":
        typed.cfg = _chosen(flag, _CONFIGURATIONS, "", given, rest)
    elif flag == "--info":
        typed.info = _chosen(flag, _INFORMATION, "all", given, rest)
    else:
        near = get_close_matches(flag, _LONG.values(), n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ValueError(
            f"{_shown(word)}: unknown option; {meant}expected one of {', '.join(_LONG.values())}, --help"
        )


def _needed(flag: str, what: str, given: str | None, rest: list[str]) -> str:
    value = given if given is not None else (rest.pop(0) if rest else "")
    if not value:
        raise ValueError(f"{flag}: expected {what}")
    return value


def _chosen(flag: str, options: Sequence[str], default: str, given: str | None, rest: list[str]) -> str:
    """Return a flag's optional value; without one, the next word is an override or another flag."""
    if given is None and rest and "=" not in rest[0] and rest[0][:1] not in ("-", "~"):
        given = rest.pop(0)
    if given is not None and given not in options:
        raise ValueError(f"{flag} {_shown(given)}: expected one of {', '.join(options)}")
    return default if given is None else given


def _shown(word: str) -> str:
    from priorgap.core.arguments import show

    return show(word) or repr(word)
