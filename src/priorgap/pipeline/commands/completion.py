"""completion: the shell's function that completes commands, groups, options and keys."""

import sys
from collections.abc import Sequence

from priorgap.core.errors import BadInput

SHELLS = ("bash", "zsh", "fish")
# Hydra's function for zsh is bash's: zsh reads it by a module of its own, which needs the completion to be set up
_BEFORE = {
    "zsh": """\
(( $+functions[compdef] )) || { autoload -Uz compinit; compinit -i; }
autoload -Uz bashcompinit; bashcompinit
"""
}


def main(words: Sequence[str]) -> int:
    """Print what a shell evaluates.

    Raises:
        BadInput: one line, where no shell is named, or one that is not known.
    """
    if len(words) != 1 or words[0] not in SHELLS:
        typed = " ".join(words)
        raise BadInput(f"completion{f' {typed}' if typed else ''}: expected one of {', '.join(SHELLS)}")
    from priorgap.core.errors import refusing
    from priorgap.pipeline.commands.flags import Typed

    with refusing():
        from priorgap.pipeline.config import shown

        sys.stdout.write(_BEFORE.get(words[0], ""))
        # Hydra completes the program by the name that this process was started by, which may be that of a module
        sys.argv = ["priorgap", *sys.argv[1:]]
        return shown.show(Typed(overrides=(f"install={words[0]}",), completion=True), ())
