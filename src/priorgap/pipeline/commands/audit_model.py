"""The model that an audit examines: two ONNX files, or the result of a user's own function.

The function's code is run only because the user names it on the command line; no file can name one.
"""

import inspect
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from priorgap.core.arguments import show
from priorgap.core.errors import BadInput

# The arguments of `compare` that the command sets itself; all others may come with the model. `context` is excluded
# because the command splits the data, so that contexts would be assigned to the wrong rows.
_OF_THE_COMMAND = {
    "train", "test", "validation", "labels", "context", "samplers", "metrics", "n", "seed", "progress", "known"
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class AuditModel:
    """A model as arguments of `compare`.

    Attributes:
        place: the key and value by which it was given.
        arguments: the arguments for `compare`.
        file: the file of the user's own code; None for ONNX files.
    """

    place: str
    arguments: dict[str, Any]
    file: Path | None = None


def of_onnx(encoder: str, decoder: str) -> AuditModel:
    """Return a model from two ONNX files.

    Raises:
        ValueError: one line.
    """
    from priorgap.comparison.onnx_model import onnx_model

    encode, decode = onnx_model(encoder, decoder)
    return AuditModel(f"onnx={encoder},{decoder}", {"encode": encode, "decode": decode})


def of_factory(given: str) -> AuditModel:
    """Return the model that MODULE:FACTORY returns; the module is in the current folder or installed.

    Raises:
        ValueError: the module or function does not exist, fails, or returns something else; one line.
    """
    place = f"model={show(given)}"
    module_name, colon, name = given.partition(":")
    parts = [*module_name.split("."), *name.split(".")]
    if not colon or not all(part.isidentifier() for part in parts):
        hint = (
            f"; {module_name} is a file: its module is {Path(module_name).stem}"
            if module_name.endswith(".py")
            else ""
        )
        raise ValueError(f"{place}: expected MODULE:FACTORY, as my_vae:load{hint}")
    module = _imported(module_name, place)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            near = get_close_matches(part, [own for own in vars(found) if not own.startswith("_")], n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"{place}: {module_name} has no {part}{meant}")
        found = getattr(found, part)
    file = getattr(module, "__file__", None)
    own = None if file is None else Path(file)
    if inspect.isroutine(found) or inspect.isclass(found) or isinstance(found, partial):
        try:
            found = found()
        except Exception as error:
            raise ValueError(f"{place}: {_told(error, own)}") from error
    return AuditModel(place, _arguments(found, place), own)


def _imported(name: str, place: str) -> Any:
    # Python does not search the current folder when an installed command is run.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise ValueError(f"{place}: no module {name} in the current folder, or installed")
    try:
        return import_module(name)
    except Exception as error:
        file = None if spec.origin is None else Path(spec.origin)
        raise ValueError(f"{place}: importing {name} fails: {_told(error, file)}") from error


def _arguments(given: Any, place: str) -> dict[str, Any]:
    from priorgap.comparison.compare import compare

    known = [key for key in inspect.signature(compare).parameters if key not in _OF_THE_COMMAND]
    expected = (
        "expected (encode, decode), an object with these two methods, or a dictionary of compare's arguments "
        f"{', '.join(known)}"
    )
    if isinstance(given, Mapping):
        unknown = [key for key in given if key not in known]
        if unknown or "decode" not in given:
            has = show(", ".join(map(str, given)))
            raise ValueError(f"{place}: gave a dictionary of {has}; {expected}")
        return {"encode": None, **given}
    if isinstance(given, tuple | list):
        if len(given) != 2 or not callable(given[1]):
            kinds = ", ".join(type(one).__name__ for one in given)
            raise ValueError(f"{place}: gave {len(given)} values ({show(kinds)}); {expected}")
        return {"encode": given[0], "decode": given[1]}
    methods = {key: getattr(given, key, None) for key in ("encode", "decode")}
    if not all(callable(method) for method in methods.values()):
        lacks = " and ".join(key for key, method in methods.items() if not callable(method))
        raise ValueError(f"{place}: gave {type(given).__name__}, without {lacks}; {expected}")
    return methods


@contextmanager
def faults_of(model: AuditModel) -> Iterator[None]:
    """Report in one line where the user's own code failed; an error in priorgap keeps its traceback."""
    try:
        yield
    except (BadInput, ValueError):
        raise
    except Exception as error:
        if model.file is None or _line(error, model.file) is None:
            raise
        raise BadInput(f"{model.place}: {_told(error, model.file)}") from error


def _told(error: Exception, file: Path | None) -> str:
    """Return an error's name and message, and the last line of the user's file that it passed through."""
    said = " ".join(str(error).split())
    line = None if file is None else _line(error, file)
    where = f" ({file.name}, line {line})" if file is not None and line is not None else ""
    return f"{type(error).__name__}{f': {said}' if said else ''}{where}"


def _line(error: Exception, file: Path) -> int | None:
    """Return the last line of a file that an error passed through; None where there is none."""
    if (
        isinstance(error, SyntaxError)
        and error.filename is not None
        and Path(error.filename).name == file.name
    ):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == file.resolve()]
    return lines[-1] if lines else None
