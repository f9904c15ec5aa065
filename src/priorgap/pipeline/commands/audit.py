"""`priorgap audit`: runs `compare` on a user's own model from the shell."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from priorgap.core.arguments import show, unknown_key
from priorgap.core.errors import BadInput, refusing
from priorgap.pipeline.commands import audit_model
from priorgap.pipeline.commands.audit_data import AuditData, read

if TYPE_CHECKING:
    from priorgap.comparison.result import Comparison

# Maps each key to the number of values that follow it in the form --key.
_KEYS = {
    "model": 1, "onnx": 2, "data": 1, "test": 1, "out": 1, "samplers": 1, "metrics": 1, "features": 1, "n": 1,
    "seed": 1, "range": 1, "posterior": 1,
}  # fmt: skip
# The names of these keys in other commands.
_ALIASES = {"sampler": "samplers", "metric": "metrics", "n_samples": "n"}
_OPTION = "data."
_OUT = "audit"
# The file that identifies a folder as that of an earlier audit.
_RESULT = "verdict.json"


@dataclass(frozen=True)
class Order:
    """The user's request, checked as far as its words allow.

    Attributes:
        model: MODULE:FACTORY; "" where `onnx` is given.
        onnx: the files of encoder and decoder; () where `model` is given.
        data: the data that the model was trained on, with test data if they come in parts.
        test: data that the model was not trained on; None: the test part of `data`.
        out: the folder of results.
        samplers, metrics: their names; None: the default ones.
        features: the name of a feature space, or an ONNX file; None: the default one.
        n: draws per sampler; None: one for each test row.
        seed: of everything random.
        range: the values of images in the model; None: found from the data.
        posterior: which outputs of encode are mean and log_var; None: decided by their form.
        reading: options for reading the data, such as data.image_size.
    """

    model: str
    onnx: tuple[str, ...]
    data: Path
    test: Path | None
    out: Path
    samplers: tuple[str, ...] | None
    metrics: tuple[str, ...] | None
    features: str | None
    n: int | None
    seed: int
    range: tuple[float, ...] | None
    posterior: tuple[int | str, ...] | None
    reading: dict[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Run the command; bad input raises ValueError with one line."""
    with refusing():
        order = _parse(arguments)
        result = _audited(order)
    try:
        page = result.save(order.out)
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise BadInput(f"out={order.out}: cannot be written: {error.strerror}") from error
    sys.stdout.write("".join(f"{line}\n" for line in result.verdict.tiers))
    sys.stdout.write(f"report: {page}\n")
    return 1 if result.verdict.stopped else 0


def _audited(order: Order) -> "Comparison":
    from priorgap.comparison.compare import compare
    from priorgap.comparison.user_inputs import named_metrics, sampler_of

    # Names are checked first, because that costs nothing.
    samplers = None if order.samplers is None else [sampler_of(name) for name in order.samplers]
    metrics = None if order.metrics is None else named_metrics(order.metrics)
    features = _features(order.features)
    model = audit_model.of_onnx(*order.onnx) if order.onnx else audit_model.of_factory(order.model)
    given: dict[str, Any] = {
        key: value
        for key, value in (("range", order.range), ("posterior", order.posterior), ("features", features))
        if value is not None
    }
    with _notes_on_standard_error():
        data = read(order.data, order.test, order.reading)
    with audit_model.faults_of(model), _of_the_data(order.data):
        result: Comparison = compare(
            train=data.parts["train"],
            test=data.parts["test"],
            validation=data.parts.get("validation"),
            labels=data.labels,
            samplers=samplers,
            metrics=metrics,
            n=order.n,
            seed=order.seed,
            progress=True,
            known=data.findings,
            **{**model.arguments, **given},
        )
    _name_classes(result, data)
    return result


def _features(given: str | None) -> Any:
    """Return a feature space by its name, or the network in an ONNX file."""
    if given is None or not given.endswith(".onnx"):
        return given
    from priorgap.features.onnx import OnnxFeatures

    return OnnxFeatures(given)


def _name_classes(result: "Comparison", data: AuditData) -> None:
    """Let the table use the folders' names for classes."""
    from priorgap.comparison.user_inputs import named_classes

    if data.classes:
        named_classes(result.table, data.classes)


@contextmanager
def _of_the_data(data: Path) -> Iterator[None]:
    """Add to a message on train or test rows which file they come from."""
    try:
        yield
    except ValueError as error:
        about = str(error).startswith(("train", "test", "validation", "labels"))
        raise ValueError(f"data={data}: {error}" if about else str(error)) from error


@contextmanager
def _notes_on_standard_error() -> Iterator[None]:
    """Print the data readers' remarks on standard error."""
    log = logging.getLogger("priorgap.data")
    handler, level = logging.StreamHandler(sys.stderr), log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _parse(arguments: Sequence[str]) -> Order:
    given, reading = _words(arguments)
    for key in ("model", "onnx"):
        if key in given and not all(given[key]):
            raise ValueError(f"{key}=: expected a value")
    if ("model" in given) == ("onnx" in given):
        raise ValueError("model: expected one of model=MODULE:FACTORY and onnx=ENCODER,DECODER")
    if "data" not in given:
        raise ValueError("data: missing; expected data=FILE or data=DIR")
    out = Path(given.get("out", [_OUT])[0]).expanduser()
    _check_out(out)
    return Order(
        model=given.get("model", [""])[0],
        onnx=_pair(given),
        data=Path(given["data"][0]).expanduser(),
        test=Path(given["test"][0]).expanduser() if "test" in given else None,
        out=out,
        samplers=_names(given, "samplers"),
        metrics=_names(given, "metrics"),
        features=given.get("features", [None])[0],
        n=_integer(given, "n", 2) if "n" in given else None,
        seed=_integer(given, "seed", 0) if "seed" in given else 0,
        range=_numbers(given, "range"),
        posterior=_entries(given, "posterior"),
        reading=reading,
    )


def _words(arguments: Sequence[str]) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """Return the values of each key, and the reading options, from words key=value, --key=value and --key value."""
    given: dict[str, list[str]] = {}
    reading: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        key, equals, value = word.partition("=")
        option = key.startswith("--")
        key = key.removeprefix("--")
        key = _ALIASES.get(key, key)
        if not equals and not option:
            raise ValueError(f"{show(word)}: expected key=value with a key of {', '.join(_KEYS)}")
        if key.startswith(_OPTION) and equals:
            reading[key.removeprefix(_OPTION)] = _plain(value, key)
            continue
        if key not in _KEYS:
            raise ValueError(unknown_key(show(key), _KEYS))
        if equals:
            values = [value]
        else:
            values, rest = rest[: _KEYS[key]], rest[_KEYS[key] :]
            if len(values) < _KEYS[key]:
                raise ValueError(f"--{key}: expected {'a value' if _KEYS[key] == 1 else 'two files'}")
        if not all(values):
            raise ValueError(f"{key}=: expected a value")
        given[key] = values
    return given, reading


def _plain(text: str, key: str) -> Any:
    """Return a value as a configuration file would give it."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{key}={show(text)}: expected a plain value") from error


def _pair(given: dict[str, list[str]]) -> tuple[str, ...]:
    values = given.get("onnx", [])
    files = tuple(_listed(values[0])) if len(values) == 1 else tuple(values)
    if values and len(files) != 2:
        raise ValueError(f"onnx={show(','.join(files))}: expected two files, ENCODER,DECODER")
    return files


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.strip("[]()").split(",") if part.strip()]


def _names(given: dict[str, list[str]], key: str) -> tuple[str, ...] | None:
    if key not in given:
        return None
    names = _listed(given[key][0])
    if not names:
        raise ValueError(f"{key}={show(given[key][0])}: expected names, as {key}=prior,gmm")
    return tuple(names)


def _integer(given: dict[str, list[str]], key: str, least: int) -> int:
    text = given[key][0]
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise ValueError(f"{key}={show(text)}: expected an integer >= {least}")
    return value


def _numbers(given: dict[str, list[str]], key: str) -> tuple[float, ...] | None:
    if key not in given:
        return None
    try:
        found = tuple(float(part) for part in _listed(given[key][0]))
    except ValueError:
        found = ()
    if len(found) != 2:
        raise ValueError(f"{key}={show(given[key][0])}: expected two numbers, as {key}=-1,1")
    return found


def _entries(given: dict[str, list[str]], key: str) -> tuple[int | str, ...] | None:
    if key not in given:
        return None
    found = tuple(int(part) if part.isdecimal() else part for part in _listed(given[key][0]))
    if len(found) != 2:
        raise ValueError(
            f"{key}={show(given[key][0])}: expected mean and log_var among encode's outputs, as 0,1"
        )
    return found


def _check_out(out: Path) -> None:
    """Refuse a folder that holds anything other than an earlier audit."""
    file = next((place for place in (out, *out.parents) if place.exists()), None)
    if file is not None and not file.is_dir():
        raise ValueError(f"out={out}: {file} is a file; expected a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / _RESULT).is_file():
        raise ValueError(f"out={out}: holds other files; expected a new folder, or that of an earlier audit")
