"""completion: prints the shell function that completes commands, groups, options and keys."""

import sys
from collections.abc import Sequence

from priorgap.core.errors import BadInput

SHELLS = ("bash", "zsh", "fish")
# For zsh Hydra's function is bash's, which zsh reads through a module that needs zsh's completion to be initialised.
_BEFORE = {
    "zsh": """\
(( $+functions[compdef] )) || { autoload -Uz compinit; compinit -i; }
autoload -Uz bashcompinit; bashcompinit
"""
}


def main(words: Sequence[str]) -> int:
    """Print the code that a shell evaluates.

    Raises:
        BadInput: no shell is named, or an unknown one; one line.
    """
    if len(words) != 1 or words[0] not in SHELLS:
        typed = " ".join(words)
        raise BadInput(f"completion{f' {typed}' if typed else ''}: expected one of {', '.join(SHELLS)}")
    from priorgap.core.errors import refusing
    from priorgap.pipeline.commands.flags import Typed

    with refusing():
        from priorgap.pipeline.config import shown

        sys.stdout.write(_BEFORE.get(words[0], ""))
        # Hydra completes the program by the name with which this process was started, which may be a module's.
        sys.argv = ["priorgap", *sys.argv[1:]]
        return shown.show(Typed(overrides=(f"install={words[0]}",), completion=True), ())
