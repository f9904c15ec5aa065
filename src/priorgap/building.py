"""Objects from plain configuration nodes: `_target_` for leaf objects, checked types, a short list of prefixes."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from priorgap.arguments import check

ALLOWED_PREFIXES = ("priorgap.", "torch.optim.", "pytorch_lightning.", "sklearn.")


def configuration_directory() -> Path:
    """Return the folder of the YAML vocabulary: inside an installed package, or at the top of a checkout."""
    packaged = Path(__file__).parent / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "conf"


def load_option(group: str, name: str) -> dict[str, Any]:
    """Read one file of the vocabulary as plain data, so that a library call by name has the values of conf/.

    Raises:
        ValueError: there is no such file.
    """
    import yaml

    folder = configuration_directory() / group
    file = folder / f"{name}.yaml"
    if not file.is_file():
        names = sorted(p.stem for p in folder.glob("*.yaml") if not p.stem.startswith("_"))
        raise ValueError(f"{group}={name}: expected one of {', '.join(names)}")
    node = yaml.safe_load(file.read_text())
    return {key: value for key, value in node.items() if key != "defaults"}


def target_module(node: Mapping[str, Any]) -> str:
    """Return the module that a node's `_target_` lives in."""
    return str(node["_target_"]).rpartition(".")[0]


def target_modules(node: Any) -> list[str]:
    """Return the modules of all `_target_`s in a node, nested ones too, sorted."""
    found: set[str] = set()
    if isinstance(node, Mapping):
        if "_target_" in node:
            found.add(target_module(node))
        for value in node.values():
            found.update(target_modules(value))
    elif isinstance(node, list | tuple):
        for value in node:
            found.update(target_modules(value))
    return sorted(found)


def _resolve(target: str, where: str) -> Any:
    if not target.startswith(ALLOWED_PREFIXES):
        raise ValueError(f"{where}._target_={target}: expected a name under {', '.join(ALLOWED_PREFIXES)}")
    module, _, name = target.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{where}._target_={target}: cannot be imported ({error})") from error


def _value(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return build(value, object, where=where)
        return {key: _value(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_value(item, f"{where}[{i}]") for i, item in enumerate(value))
    return value


def build(node: Mapping[str, Any], expected: type, *, where: str) -> Any:
    """Build the object that a configuration node describes, and check its type.

    Args:
        node: a mapping with `_target_` and the arguments; lists become tuples, nested nodes objects.
        expected: the protocol or class that the receiver needs.
        where: the node's key, for messages.

    Raises:
        ValueError: one line that names the key, the value and what was expected.
    """
    if "_target_" not in node:
        raise ValueError(f"{where}: expected a node with _target_, got {dict(node)}")
    target = _resolve(str(node["_target_"]), where)
    arguments = {key: _value(item, f"{where}.{key}") for key, item in node.items() if key != "_target_"}
    check(target, arguments, where)
    try:
        built = target(**arguments)
    except ValueError as error:
        # some objects name their own group already
        text = str(error)
        has_group = text.startswith(f"{where.partition('.')[0]}.")
        raise ValueError(text if has_group else f"{where}.{text}") from error
    except TypeError as error:
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise ValueError(f"{where}: a value of the wrong type among {given} ({error})") from error
    if not isinstance(built, expected):
        raise ValueError(f"{where}._target_={node['_target_']}: expected a {expected.__name__}")
    return built
