"""Typed words as Hydra overrides: quoted, combined into lists, and refused in one line.

Hydra's grammar is made for values, but users also type paths and names, which are quoted here. Everything else
follows Hydra: `+key=`, `++key=`, `~key`, `key=1,2` and the functions of its sweeps.
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

# Groups of which a list is chosen: two values form one list and do not make two models.
LISTS = ("sampler", "metric", "features", "callbacks", "logger", "decode")
# Keys whose values are paths and names, recognised by their ends.
_TEXT = re.compile(
    r"(.*[._])?(path|root|dir|directory|file|folder|(?<!max_)weights|study|output_root|project|entity|address|partition)"
    r"|data\.(source\.)?(x|target|drop|time|entity|values)"
)
_PATH = re.compile(r"(.*[._])?(path|root|dir|directory|file|folder|(?<!max_)weights|output_root)")
_LONGEST_KEY = 200
# A larger grid would take hours to compose.
MOST_CELLS = 100_000
MOST_STUDIES = 1_000


@dataclass(frozen=True)
class Word:
    """One override.

    Attributes:
        sign: "", "+", "++" or "~".
        key: the key with dots, or a group with slashes.
        value: the value as typed; None for `~key`.
    """

    sign: str
    key: str
    value: str | None

    @classmethod
    def parse(cls, text: str) -> "Word":
        """Split a typed word.

        Raises:
            ValueError: the word has no key or no value.
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
        """Whether the override is for Hydra itself and not for the configuration."""
        return self.key == "hydra" or self.key.startswith(("hydra.", "hydra/"))


def for_hydra(words: Iterable[Word], *, multirun: bool) -> list[Word]:
    """Return the words in Hydra's grammar: paths and names quoted, lists of samplers combined."""
    return [_united(_quoted(word, multirun)) for word in words]


def _quoted(word: Word, multirun: bool) -> Word:
    """Quote a path or a name, and expand `~`; quoted texts, lists, references and null are unchanged."""
    value = word.value
    if value is None or not _TEXT.fullmatch(word.key) or value == "null" or _is_quoted(value):
        return word
    if _PATH.fullmatch(word.key) and value.startswith("~"):
        value = os.path.expanduser(value)  # A ~name that does not exist stays as it is.
    if (value[:1] + value[-1:] in ("[]", "{}") and value) or "${" in value or (multirun and _sweeps(value)):
        return replace(word, value=value)
    return replace(word, value=value if _reads_as(value) else quote(value))


def _reads_as(value: str) -> bool:
    """Return whether Hydra reads a text unchanged."""
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
    """Return a text quoted so that Hydra reads exactly this text."""
    return QuotedString(value, Quote.double if "'" in value else Quote.single).with_quotes()


def _united(word: Word) -> Word:
    """Return `sampler=prior,gmm` as the list that it means, because all models of a study get all of its samplers.

    Raises:
        ValueError: there are several lists, of which a model can have only one.
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
    """Return the words as parsed by Hydra.

    Raises:
        ValueError: a word cannot be read, or makes a sweep outside of one; one line for the first.
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
    # Hydra's glob() needs the options of its group.
    loader = GlobalHydra.instance().config_loader() if GlobalHydra.instance().is_initialized() else None
    try:
        (found,) = OverridesParser.create(config_loader=loader).parse_overrides([str(word)])
    except OverrideParseException as error:
        raise ValueError(
            f"{show(word)}: cannot be read ({_reason(error)}); as a text: {_as_text(word)}"
        ) from error
    except (HydraException, ValueError) as error:
        # Raised for integers of thousands of digits, and for functions with impossible arguments.
        raise ValueError(f"{show(word)}: cannot be read ({show(error)})") from error
    return found


def _as_text(word: Word) -> str:
    """Return the word in the form in which a shell passes its value as text."""
    if word.value is None:
        return show(word)
    inner = f"{word.sign}{word.key}={quote(word.value)}"
    return show(f'"{inner}"' if "'" in inner else f"'{inner}'")


def _reason(error: OverrideParseException) -> str:
    first = str(error).strip().splitlines()[0] if str(error).strip() else ""
    # The parser's own messages do not help a user.
    return "its characters are not of Hydra's grammar" if "Exception" in first or not first else first.lower()


def expand(overrides: Sequence[Override]) -> list[list[str]]:
    """Return the cells of a grid, each as words, in the order of Hydra's basic sweeper; a key's last word counts.

    Raises:
        ValueError: a sweep has no values, or too many; one line.
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
