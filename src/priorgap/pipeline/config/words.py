"""What was typed after a command, made into Hydra's overrides: quoted, united, and refused in one line.

Hydra's grammar is made for values; a shell user types paths and names. Those are quoted here. Everything else is
Hydra's: `+key=`, `++key=`, `~key`, `key=1,2` and the functions of its sweeps.
"""

import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException, OverrideParseException

from priorgap.core.arguments import show

# groups of which a list is chosen: two values are one list, not two models
LISTS = ("sampler", "metric", "features", "callbacks", "logger", "decode")
# keys whose values are paths and names, by how they end
_TEXT = re.compile(
    r"(.*[._])?(path|root|dir|directory|file|folder|(?<!max_)weights|study|output_root|project|entity|address|partition)"
    r"|data\.(source\.)?(x|target|drop|time|entity|values)"
)
_PATH = re.compile(r"(.*[._])?(path|root|dir|directory|file|folder|(?<!max_)weights|output_root)")
_LONGEST_KEY = 200
# beyond, composing alone would take hours
MOST_CELLS = 100_000
MOST_STUDIES = 1_000


@dataclass(frozen=True)
class Word:
    """One override.

    Attributes:
        sign: "", "+", "++" or "~".
        key: with dots, or a group with slashes.
        value: as typed; None for `~key`.
    """

    sign: str
    key: str
    value: str | None

    @classmethod
    def parse(cls, text: str) -> "Word":
        """Split what was typed.

        Raises:
            ValueError: it has no key, or no value.
        """
        match = re.fullmatch(r"(\+\+|\+|~|)([^=]*)(?:=(.*))?", text, re.DOTALL)
        assert match is not None
        sign, key, value = match.groups()
        if not text.isprintable() and not text.isascii():
            raise ValueError(f"{show(ascii(text)[1:-1])}: expected text in UTF-8")
        if not key.strip() or (value is None and sign != "~"):
            raise ValueError(f"{show(text) or repr(text)}: expected an override of the form key=value")
        if len(key) > _LONGEST_KEY or not re.fullmatch(r"[A-Za-z0-9_@:/.$%?*\-\[\]]+", key):
            raise ValueError(f"{show(key)}: unknown key; expected letters, digits, _ and dots before the =")
        return cls(sign, key, value)

    def __str__(self) -> str:
        return f"{self.sign}{self.key}" if self.value is None else f"{self.sign}{self.key}={self.value}"

    @property
    def is_hydra(self) -> bool:
        """Whether it is Hydra's own, not the configuration's."""
        return self.key == "hydra" or self.key.startswith(("hydra.", "hydra/"))


def for_hydra(words: Iterable[Word], *, multirun: bool) -> list[Word]:
    """Return the words as Hydra's grammar wants them: paths and names quoted, lists of samplers united."""
    return [_united(_quoted(word, multirun)) for word in words]


def _quoted(word: Word, multirun: bool) -> Word:
    """Quote a path or a name, and expand `~`; what is quoted, a list, a reference or null stays."""
    value = word.value
    if value is None or not _TEXT.fullmatch(word.key) or value == "null" or _is_quoted(value):
        return word
    if _PATH.fullmatch(word.key) and value.startswith("~"):
        value = os.path.expanduser(value)  # a ~name that nobody has stays
    if (value[:1] + value[-1:] in ("[]", "{}") and value) or "${" in value or (multirun and _sweeps(value)):
        return replace(word, value=value)
    return replace(word, value=value if _reads_as(value) else quote(value))


def _reads_as(value: str) -> bool:
    """Return whether Hydra reads a text as it stands."""
    try:
        (found,) = OverridesParser.create().parse_overrides([f"key={value}"])
    except (HydraException, ValueError):
        return False
    return not found.is_sweep_override() and found.value() == value


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] and value[0] in "'\""


def _sweeps(value: str) -> bool:
    return "," in value or re.match(r"(choice|range|glob|interval|shuffle|sort|tag)\(", value) is not None


def quote(value: str) -> str:
    """Return a text so that Hydra reads exactly it."""
    return QuotedString(value, Quote.double if "'" in value else Quote.single).with_quotes()


def _united(word: Word) -> Word:
    """Make `sampler=prior,gmm` the list that it means: a study gives each of its models all of its samplers.

    Raises:
        ValueError: several lists, of which each model can have but one.
    """
    if word.key in LISTS and word.sign == "~":
        raise ValueError(
            f"{word}: expected a list of what is left, {word.key}=[NAME,...]; or, of its nodes, ~samplers.NAME, "
            "~metrics.NAME, ~feature_spaces.NAME"
        )
    if word.key not in LISTS or not word.value or "," not in word.value:
        return word
    if re.fullmatch(r"[\w/.-]+(\s*,\s*[\w/.-]+)+", word.value):
        return replace(word, value=f"[{word.value}]")
    if re.fullmatch(r"\[[^\[\]]*\]", word.value):
        return word
    names = ",".join(dict.fromkeys(re.findall(r"[\w/.-]+", word.value.replace("choice", ""))))
    raise ValueError(
        f"{word}: expected one list, which each model of the study is given: {word.key}=[{names}]"
    )


def parsed(words: Sequence[Word], *, multirun: bool) -> list[Override]:
    """Let Hydra read the words.

    Raises:
        ValueError: one line, for the first that it cannot read, or that makes a sweep where there is none.
    """
    found = [_parse(word) for word in words]
    for word, override in zip(words, found, strict=True):
        if not override.is_sweep_override():
            continue
        if not multirun:
            raise ValueError(
                f"{word}: several values make a sweep; add -m, or quote the value: {_as_text(word)}"
            )
        if word.is_hydra or word.key == "output_root":
            raise ValueError(f"{word}: expected one value; it is the whole command's")
    return found


def _parse(word: Word) -> Override:
    # glob() asks for the options of its group
    loader = GlobalHydra.instance().config_loader() if GlobalHydra.instance().is_initialized() else None
    try:
        (found,) = OverridesParser.create(config_loader=loader).parse_overrides([str(word)])
    except OverrideParseException as error:
        raise ValueError(
            f"{show(word)}: cannot be read ({_reason(error)}); as a text: {_as_text(word)}"
        ) from error
    except (HydraException, ValueError) as error:
        # of an integer of thousands of digits, and of functions with impossible arguments
        raise ValueError(f"{show(word)}: cannot be read ({show(error)})") from error
    return found


def _as_text(word: Word) -> str:
    """Return the word as a shell takes it with its value as a text."""
    if word.value is None:
        return show(word)
    inner = f"{word.sign}{word.key}={quote(word.value)}"
    return show(f'"{inner}"' if "'" in inner else f"'{inner}'")


def _reason(error: OverrideParseException) -> str:
    first = str(error).strip().splitlines()[0] if str(error).strip() else ""
    # of the parser's own words none helps
    return "its characters are not of Hydra's grammar" if "Exception" in first or not first else first.lower()


def expand(overrides: Sequence[Override]) -> list[list[str]]:
    """Return the cells of a grid, each as words, in the order of Hydra's basic sweeper; a key's last word counts.

    Raises:
        ValueError: one line, for a sweep that has no values, or too many.
    """
    values: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        values[key] = _values(override) if override.is_sweep_override() else [str(override.input_line)]
    if math.prod(map(len, values.values())) > MOST_CELLS:
        factors = " x ".join(f"{len(found):,} of {key}" for key, found in values.items() if len(found) > 1)
        raise ValueError(f"{factors}: too many models for one command; expected at most {MOST_CELLS:,}")
    return [list(cell) for cell in product(*values.values())]


def _values(override: Override) -> list[str]:
    line, key = override.input_line, override.get_key_element()
    if not override.is_discrete_sweep():
        raise ValueError(
            f"{line}: expected values to go through; interval() needs a sweeper that draws from it"
        )
    try:
        found = [f"{key}={value}" for value in islice(override.sweep_string_iterator(), MOST_CELLS + 1)]
    except (IndexError, ValueError, HydraException) as error:
        raise ValueError(f"{line}: expected at least one value ({show(error)})") from error
    if not found:
        raise ValueError(f"{line}: expected at least one value")
    if len(found) > MOST_CELLS:
        raise ValueError(f"{line}: too many values; expected at most {MOST_CELLS:,}")
    return found
