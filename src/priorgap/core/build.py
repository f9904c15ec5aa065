"""Build objects from plain configuration nodes: the class that `_target_` names is checked before it is called.

A configuration may come from elsewhere (a study that was merged, a file that was sent), so nothing is called because
it was named: the class must lie in an allowed package itself (a re-export does not count), be what the receiver needs
(`receivers.py`), and its arguments are plain data, or nodes where the argument's type says so.
"""

import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from difflib import get_close_matches
from functools import cache, partial
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any

from priorgap.core import plugins, receivers
from priorgap.core.arguments import check, unknown_key
from priorgap.core.receivers import Receiver

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+")
# Parts of module names in other packages whose code fetches, serves or starts something.
_REFUSED_PARTS = frozenset({"tests", "cli", "serve", "datasets"})
_REFUSED_KEYS = ("_args_", "_convert_", "_recursive_")


def configuration_directory() -> Path:
    """Return the folder of the YAML vocabulary: inside an installed package, or at the top of a checkout."""
    packaged = Path(__file__).parents[1] / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "conf"


def load_option(group: str, name: str) -> dict[str, Any]:
    """Read one YAML file of the vocabulary as plain data, so that library calls by name use the same values as conf/.

    Options that priorgap does not have are looked up in the plugins' vocabularies.

    Raises:
        ValueError: there is no such file.
    """
    return {key: value for key, value in _read(group, name).items() if key != "defaults"}


def option_names(group: str, name: str) -> list[str]:
    """Return the names that an option selects: all names of a list (`standard`, `tables`), else its own name.

    Raises:
        ValueError: there is no such file.
    """
    node = _read(group, name)
    if "_target_" in node or "defaults" not in node:
        return [name]
    return list(dict.fromkeys(one for entry in node["defaults"] for one in option_names(group, str(entry))))


def _read(group: str, name: str) -> dict[str, Any]:
    import yaml

    own = _options(configuration_directory(), group)
    if name not in own:
        for _, folder in plugins.option_folders():
            own = {**_options(folder, group), **own}
    if name not in own:
        near = get_close_matches(name, list(own), n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"{group}={name}: {meant}expected one of {', '.join(sorted(own))}")
    node: dict[str, Any] = yaml.safe_load(own[name].read_text(encoding="utf-8"))
    return node


def _options(folder: Path, group: str) -> dict[str, Path]:
    """Return the files of a group, by name."""
    return {p.stem: p for p in (folder / group).glob("[!_]*.yaml")}


def target_modules(node: Any) -> list[str]:
    """Return the modules of all classes that `_target_`s in a node name, sorted.

    Only modules of priorgap and plugins count: other packages are identified by their versions. A public name
    (`priorgap.models.MLP`) stands for the module that defines the class.
    """
    found: set[str] = set()
    if isinstance(node, Mapping):
        target = str(node.get("_target_", ""))
        if receivers.under(target, receivers.own_packages()):
            module, _, name = target.rpartition(".")
            found.add(str(getattr(receivers.import_allowed(module), name).__module__))
        for value in node.values():
            found.update(target_modules(value))
    elif isinstance(node, list | tuple):
        for value in node:
            found.update(target_modules(value))
    return sorted(found)


def target_roots(node: Any) -> set[str]:
    """Return the top-level packages of all `_target_`s in a node, nested ones included."""
    found: set[str] = set()
    if isinstance(node, Mapping):
        if "_target_" in node:
            found.add(str(node["_target_"]).partition(".")[0])
        node = list(node.values())
    if isinstance(node, list | tuple):
        found.update(*(target_roots(value) for value in node))
    return found


def allow_plugins(config: Mapping[str, Any]) -> None:
    """Let a command's configuration name classes of its plugins: those that it lists, and those that are installed.

    Never call it for a record: a package must not be imported because a store names it.

    Raises:
        ValueError: a package is not installed; one line.
    """
    plugins.allow(config["plugins"])
    for root in sorted(target_roots(config) - set(receivers.own_packages())):
        if plugins.is_possible(root):
            plugins.allow_installed(root)


def build(
    node: Mapping[str, Any],
    expected: type | Receiver,
    *,
    where: str,
    supplied: Mapping[str, Any] | None = None,
) -> Any:
    """Build the object that a configuration node describes; its class is checked before it is called.

    Args:
        node: a mapping with `_target_` and the arguments; lists become tuples, nested nodes objects.
        expected: what may stand at this place: a receiver, or one of our protocols or classes.
        where: the node's key, for messages.
        supplied: arguments that priorgap passes itself; those that the class does not take are left out.

    Returns:
        The object; for a receiver that is `partial`, a callable that builds it from the arguments that are still
        missing.

    Raises:
        ValueError: one line that names the key, the value and what was expected.
    """
    receiver = expected if isinstance(expected, Receiver) else Receiver((expected,))
    target, foreign = _resolve(node, receiver, where)
    arguments = _arguments(node, target, receiver, foreign, where)
    accepted = _accepted(target)
    if not foreign:
        check(target, arguments, where)
    arguments |= {key: value for key, value in (supplied or {}).items() if key in accepted}
    missing = [key for key, p in accepted.items() if p.default is p.empty and key not in arguments]
    missing = [key for key in missing if not (receiver.partial and key in receiver.supplied)]
    if missing:
        raise ValueError(f"{where}.{missing[0]}: missing; {node['_target_']} needs it")
    if receiver.partial:
        return partial(target, **arguments)
    built = _call(target, arguments, foreign, where)
    if not all(_is(built, base) for base in receivers.bases_of(receiver)):
        raise ValueError(f"{where}._target_={node['_target_']}: expected {receivers.described(receiver)}")
    return built


def _resolve(node: Mapping[str, Any], receiver: Receiver, where: str) -> tuple[type, bool]:
    """Return the class that a node names, and whether it belongs to another package."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise ValueError(f"{where}: expected a node with _target_, got {node}")
    target = node["_target_"]
    place = f"{where}._target_={target}"
    allowed = (*receivers.own_packages(), *receiver.packages)
    if isinstance(target, str) and not receivers.under(target, allowed):
        plugins.allow_installed(target.partition(".")[0])
    own = receivers.own_packages()
    allowed = (*own, *receiver.packages)
    if not isinstance(target, str) or not _NAME.fullmatch(target) or not receivers.under(target, allowed):
        names = ", ".join(f"{name}." for name in allowed)
        raise ValueError(f"{place}: expected a name under {names} or of a package in plugins=[...]")
    foreign = not receivers.under(target, own)
    if foreign and _REFUSED_PARTS & set(target.split(".")):
        raise ValueError(f"{place}: expected {receivers.described(receiver)}")
    module, _, name = target.rpartition(".")
    try:
        found = getattr(receivers.import_allowed(module), name)
    except Exception as error:  # A plugin's module may raise any exception while it is imported.
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{place}: cannot be imported ({said})") from error
    receivers.check_class(found, receiver, foreign=foreign, place=place)
    return found, foreign


@cache
def _accepted(target: type) -> dict[str, Parameter]:
    # A class that inherits `__init__(*args, **kwargs)`, as torch modules do, has no configuration keys of its own.
    named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    return {name: p for name, p in signature(target).parameters.items() if p.kind in named}


def _arguments(
    node: Mapping[str, Any], target: type, receiver: Receiver, foreign: bool, where: str
) -> dict[str, Any]:
    accepted = _accepted(target)
    hints = {} if foreign else _hints(target)
    found = {}
    for key, value in node.items():
        place = f"{where}.{key}"
        if key == "_target_" or (key == "_partial_" and receiver.partial and value is True):
            continue
        if key in (*_REFUSED_KEYS, "_partial_"):
            raise ValueError(f"{place}={value}: not possible here")
        if key not in accepted:
            raise ValueError(unknown_key(place, accepted))
        if foreign:
            receivers.check_foreign(key, value, receiver, place)
            within = [receiver] if key in receiver.nested else []
        else:
            within = list(_receivers_in(hints.get(key)))
        found[key] = _value(value, within, place)
    return found


@cache
def _hints(target: type) -> dict[str, Any]:
    """Return the types of a class's arguments, as far as its annotations can be resolved."""
    # A dataclass is read by its fields, each in the module of the class that declares it.
    typed: Any = target if is_dataclass(target) else vars(target).get("__init__", target)
    try:
        return typing.get_type_hints(typed, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}


def _receivers_in(hint: Any) -> typing.Iterator[Receiver]:
    """Yield the receivers in an argument's type: one that annotates it, else one for each of our classes in it."""
    if typing.get_origin(hint) is Annotated:
        marked = [mark for mark in hint.__metadata__ if isinstance(mark, Receiver)]
        yield from marked or _receivers_in(hint.__origin__)
    elif isinstance(hint, type) and not typing.get_args(hint):
        if receivers.under(hint.__module__, receivers.own_packages()):
            yield Receiver((hint,))
    else:
        for part in typing.get_args(hint):
            yield from _receivers_in(part)


def _value(value: Any, within: Sequence[Receiver], where: str) -> Any:
    if isinstance(value, Mapping):
        if any(str(key).startswith("_") and str(key).endswith("_") for key in value):
            return _nested(value, within, where)
        return {key: _value(item, within, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_value(item, within, f"{where}[{i}]") for i, item in enumerate(value))
    return value


def _nested(node: Mapping[str, Any], within: Sequence[Receiver], where: str) -> Any:
    if not within:
        raise ValueError(f"{where}={dict(node)}: expected a plain value, not a node with _target_")
    reasons = []
    for receiver in within:
        try:
            _resolve(node, receiver, where)
        except ValueError as error:
            reasons.append(error)
        else:
            return build(node, receiver, where=where)
    raise reasons[0]


def _call(target: type, arguments: Mapping[str, Any], foreign: bool, where: str) -> Any:
    try:
        return target(**arguments)
    except ValueError as error:
        # Some objects already put their group's name into the message.
        text = str(error)
        has_group = text.startswith(f"{where.partition('.')[0]}.")
        raise ValueError(text if has_group else f"{where}.{text}") from error
    except TypeError as error:
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise ValueError(f"{where}: a value of the wrong type among {given} ({error})") from error
    except Exception as error:
        if not foreign:
            raise
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{where}: {target.__name__} cannot be made ({said})") from error


def _is(built: object, base: type) -> bool:
    runtime = not getattr(base, "_is_protocol", False) or getattr(base, "_is_runtime_protocol", False)
    return isinstance(built, base) if runtime else not receivers.lacking(type(built), base)
