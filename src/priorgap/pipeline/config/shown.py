"""Commands that only print: `--cfg`, `--info` and the shell's completion, as in Hydra."""

import os
import sys
from collections.abc import Sequence

import yaml

from priorgap.pipeline.commands.flags import Typed
from priorgap.pipeline.config.session import Request, Session


def show(typed: Typed, commands: Sequence[str]) -> int:
    """Print what a flag requests.

    Args:
        typed: the flag and the overrides.
        commands: the names of commands, for completion.

    Raises:
        ValueError: the configuration cannot be composed; one line.
    """
    if typed.completion:
        return _complete(typed, commands)
    with Session(Request(typed.overrides, typed.multirun, typed.config_dir)) as session:
        if typed.info is not None:
            session.info(typed.info)
        elif typed.cfg or typed.package is not None:
            session.show(typed.cfg or "job", package=typed.package, resolve=typed.resolve or not typed.cfg)
        else:
            content, _ = session.cells()[0]
            sys.stdout.write(yaml.safe_dump(content, sort_keys=False))
    return 0


def _complete(typed: Typed, commands: Sequence[str]) -> int:
    """Print the shell's function or, when that function asks, the possible next words."""
    line = os.environ.get("COMP_LINE")
    if line is not None:
        # Hydra's completion expects programs without commands, so `priorgap run loss.` is passed on as
        # `priorgap loss.`.
        program, _, after = line.partition(" ")
        command, space, words = after.lstrip().partition(" ")
        if not space:
            # One line for each proposal works in both shells: fish takes a line for one proposal, and bash
            # splits at any white space.
            sys.stdout.writelines(f"{name}\n" for name in commands if name.startswith(command))
            return 0
        os.environ["COMP_LINE"] = f"{program} {words}"
    with Session(Request((), False, typed.config_dir)) as session:
        session.complete(typed.overrides)
    return 0
