"""All use of Hydra: search path, composition of every cell before anything is created, launching.

`hydra.main` validates the cells of a sweep one batch at a time, prints several lines for one mistake and exits with 1
for every kind of failure. The same functions are called here directly, so that all cells are composed first, an error
is one line, and the exit status tells what happened.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from priorgap.core import plugins
from priorgap.core.arguments import unknown_key
from priorgap.core.build import configuration_directory
from priorgap.pipeline.config import launchers, training_precision, yaml_source
from priorgap.pipeline.config.composer import Composer
from priorgap.pipeline.config.groups import Settings, referred_keys
from priorgap.pipeline.config.hydra_internals import Hydra, create_config_search_path
from priorgap.pipeline.config.unit_swaps import with_unit_swaps
from priorgap.pipeline.config.words import MOST_STUDIES, Word, expand, for_hydra, parsed
from priorgap.pipeline.config.yaml_source import EXPERIMENTS

CONFIG = "config"
_BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
# The words for Hydra already contain the experiment's grid, or the command's own in its place.
_GRID = ("hydra.sweeper.params=null", "hydra.sweeper._target_=hydra_plugins.priorgap_sweeper.Grid")


@dataclass(frozen=True)
class Request:
    """The words after a command: Hydra overrides, the sweep flag, an extra configuration folder."""

    overrides: tuple[str, ...]
    multirun: bool = False
    config_dir: str | None = None

    @property
    def experiment(self) -> str | None:
        """The id given as `experiment=<id>`, if any."""
        for override in self.overrides:
            if override.lstrip("+").startswith("experiment="):
                return override.partition("=")[2]
        return None

    def with_study(self, name: str) -> "Request":
        """Return the same request for one study."""
        kept = [o for o in self.overrides if o.lstrip("+").partition("=")[0] != "study"]
        return replace(self, overrides=(*kept, f"study={name}"))


class Session:
    """A composed command line: its cells, and the launcher that will run them."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self._words: list[Word] = []
        typed = [Word.parse(o) for o in request.overrides]
        self._typed = _with_experiment(typed)
        plugins.allow(_named_plugins(typed, request))
        GlobalHydra.instance().clear()
        yaml_source.register()
        self._hydra = Hydra("priorgap", Composer(_search_path(request.config_dir)))
        GlobalHydra.instance().initialize(self._hydra)
        words = for_hydra(self._typed, multirun=self.multirun)
        if self.multirun and self.sweeps_basically:
            words = [*self._grid(words), *words]
        self._words = words
        self._check_options()

    def __enter__(self) -> "Session":
        # Another session may have been started since.
        GlobalHydra.instance().clear()
        GlobalHydra.instance().initialize(self._hydra)
        return self

    def __exit__(self, *_: object) -> None:
        GlobalHydra.instance().clear()

    @cached_property
    def multirun(self) -> bool:
        """Whether the command is a sweep, by its flag or by the experiment's file."""
        return self.request.multirun or self._main.hydra.get("mode") == RunMode.MULTIRUN

    @property
    def launcher(self) -> str:
        """The name of Hydra's launcher."""
        return str(self._main.hydra.runtime.choices["hydra/launcher"])

    @property
    def n_jobs(self) -> int | None:
        """The number of processes that the launcher may use; None where not given."""
        found: int | None = self._main.hydra.launcher.get("n_jobs")
        return found

    @property
    def sweeps_basically(self) -> bool:
        """Whether a sweep is a grid, known before it begins; other sweepers choose cells one after the other."""
        return bool(self._main.hydra.sweeper.get("_target_") == _BASIC)

    @property
    def grid_is_known(self) -> bool:
        """Whether all cells are known before the first begins."""
        return not self.multirun or self.sweeps_basically

    @cached_property
    def studies(self) -> tuple[str, ...]:
        """The studies that the command names: one, or each value of a sweep over `study`."""
        found: dict[str, None] = {}
        for override in parsed([w for w in self._words if w.key == "study"], multirun=self.multirun):
            values = override.sweep_iterator() if override.is_sweep_override() else [override.value()]
            found = dict.fromkeys(str(value) for value in islice(values, MOST_STUDIES + 1))
            if len(found) > MOST_STUDIES:
                line = override.input_line
                raise ValueError(f"{line}: too many studies; expected at most {MOST_STUDIES:,}")
        return tuple(found)

    def cells(self) -> list[tuple[dict[str, Any], tuple[str, ...]]]:
        """Compose every cell: its resolved configuration as plain data, and its overrides.

        For a sweeper that chooses cells as it runs, only the first cell of the possible values is composed.

        Raises:
            ValueError: a cell cannot be composed; one line for the first.
        """
        overrides = parsed(self._words, multirun=self.multirun)
        if self.multirun and not self.sweeps_basically:
            overrides = [o for o in overrides if not o.is_sweep_override() or o.is_discrete_sweep()]
            return [self._compose(expand(overrides)[0])]
        return [self._compose(cell) for cell in expand(overrides)]

    def launch(self, task: Callable[[DictConfig], Any], *, here: bool = False) -> list[str]:
        """Run the task for every cell through Hydra's launcher.

        Args:
            task: runs one cell and records its failure.
            here: whether to run in this process with any launcher.

        Returns:
            One line for each cell that ended without recording its failure.
        """
        words = [str(word) for word in self._words]
        if here:
            kept = [str(w) for w in self._words if not w.key.startswith(("hydra/launcher", "hydra.launcher"))]
            words = [*kept, "hydra/launcher=basic"]
        if not self.multirun:
            return list(_unended(self._hydra.run(config_name=CONFIG, task_function=task, overrides=words)))
        if self.sweeps_basically:
            words += _GRID
        found = self._hydra.multirun(config_name=CONFIG, task_function=task, overrides=words)
        return list(_unended(found))

    def show(self, what: str, *, package: str | None, resolve: bool) -> None:
        """Print the composed configuration of the first cell, like Hydra's `--cfg job|hydra|all`."""
        first = expand(parsed(self._words, multirun=self.multirun))[0]
        with _in_one_line(self._say):
            if package is not None:
                self._check_package(what, package, first)
            self._hydra.show_cfg(CONFIG, first, cfg_type=what, package=package, resolve=resolve)

    def _check_package(self, what: str, package: str, overrides: list[str]) -> None:
        config = self._hydra.compose_config(
            CONFIG, overrides, run_mode=RunMode.RUN, with_log_configuration=False
        )
        hidden = "hydra" if what == "job" else None
        found = None if package.partition(".")[0] == hidden else OmegaConf.select(config, package)
        if found is None and package != "_global_":
            raise ValueError(f"--package {package}: there is no such key in --cfg {what}")

    def info(self, what: str) -> None:
        """Print how the configuration was composed, like Hydra's `--info`."""
        with _in_one_line(self._say):
            self._hydra.show_info(what, config_name=CONFIG, overrides=[str(word) for word in self._words])

    def complete(self, words: Sequence[str]) -> None:
        """Do what Hydra's `-sc install=bash`, `uninstall=bash` and `query=bash` do, for bash, zsh or fish.

        Raises:
            ValueError: another word is given; one line.
        """
        try:
            self._hydra.shell_completion(CONFIG, list(words))
        except ValueError as error:
            given = " ".join(words) or "nothing"
            raise ValueError(
                f"-sc {given}: expected install=SHELL or uninstall=SHELL, bash, zsh or fish"
            ) from error

    @cached_property
    def _main(self) -> DictConfig:
        chosen = [str(w) for w in self._typed if w.is_hydra or w.key == EXPERIMENTS]
        with _in_one_line(self._say):
            return self._hydra.compose_config(
                CONFIG, chosen, run_mode=RunMode.RUN, with_log_configuration=False
            )

    def _grid(self, words: Iterable[Word]) -> list[Word]:
        """Return the words of an experiment's grid, without those that the command sets itself."""
        given = {word.key for word in words}
        grid = self._main.hydra.sweeper.get("params") or {}
        found = [Word("", str(key), str(value)) for key, value in grid.items() if key not in given]
        return for_hydra(found, multirun=True)

    def _compose(self, overrides: Sequence[str]) -> tuple[dict[str, Any], tuple[str, ...]]:
        with _in_one_line(self._say):
            config = self._hydra.compose_config(
                CONFIG, list(overrides), run_mode=RunMode.RUN, with_log_configuration=False
            )
        launchers.check(config.hydra)
        with open_dict(config):
            del config["hydra"]
        typed = [Word.parse(override) for override in overrides]
        try:
            content = plain(config)
        except ValueError as error:
            raise ValueError(self._with_file(str(error), config)) from error
        return content, tuple(str(w) for w in typed if not w.is_hydra and w.key != EXPERIMENTS)

    def _with_file(self, line: str, config: Mapping[str, Any]) -> str:
        """Add the experiment's file to a message on an unknown top-level key if the key is in that file."""
        key = line.partition(":")[0]
        experiment = self.request.experiment
        if ": unknown key" not in line or experiment is None or key not in config:
            return line
        file = Path(EXPERIMENTS, experiment, "config.yaml")
        text = _experiment_file(experiment).read_text(encoding="utf-8-sig")
        return f"{file}: {line}" if re.search(rf"^{re.escape(key)}\s*:", text, re.MULTILINE) else line

    def _say(self, error: BaseException) -> str:
        """Return an error of Hydra in one line, with the most similar keys."""
        match = re.search(
            r"Could not override '([^']+)'|Could not delete from config\. '([^']+)'", str(error)
        )
        if match is None:
            return one_line(error)
        key = (match.group(1) or match.group(2)).lstrip("+~").partition("=")[0]
        return f"{unknown_key(key, self._keys_beside(key))}; see priorgap run --help for the vocabulary"

    def _check_options(self) -> None:
        """Refuse a number or a mapping where the name of a group's option is expected, alone or in a list."""
        groups = set(self._hydra.config_loader.list_groups(""))
        words = [w for w in self._words if w.value and w.sign != "~" and w.key.partition("@")[0] in groups]
        for word, override in zip(words, parsed(words, multirun=True), strict=True):
            single = not override.is_sweep_override()
            values = [override.value()] if single else []
            if override.is_choice_sweep():
                values = list(override.sweep_iterator())
            for value in values:
                names = value if isinstance(value, list) else [value]
                if not all(isinstance(name, str) for name in names):
                    raise ValueError(f"{word}: expected the name of an option of {word.key}")

    def _keys_beside(self, key: str) -> list[str]:
        """Return the valid keys at the place of a key's last part."""
        groups = set(self._hydra.config_loader.list_groups(""))
        chosen = [str(w) for w in self._words if w.key in groups and w.value]
        try:
            base = self._hydra.compose_config(
                CONFIG,
                chosen,
                run_mode=RunMode.RUN,
                with_log_configuration=False,
                validate_sweep_overrides=False,
            )
        except (HydraException, OmegaConfBaseException):
            return []
        node = OmegaConf.select(base, key.rpartition(".")[0]) if "." in key else base
        return [str(name) for name in node] if isinstance(node, DictConfig) else []


@contextmanager
def _in_one_line(say: Callable[[BaseException], str]) -> Iterator[None]:
    try:
        yield
    # Hydra also raises plain ValueErrors, for words that it does not expect.
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ValueError(say(error)) from error
    except RecursionError as error:
        raise ValueError(
            "defaults: a list that leads back to its own file; expected one that ends"
        ) from error
    # Hydra takes the files' structure for granted, and fails on names that are numbers or keys that are lists.
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"cannot be composed ({what}); expected defaults lists and overrides of names"
        ) from error


def _unended(returned: Any) -> Iterator[str]:
    """Yield why jobs did not end, from a launcher's results for one job, a batch, or several batches."""
    if isinstance(returned, JobReturn):
        if returned.status != JobStatus.COMPLETED:
            error = returned._return_value
            words = ",".join(returned.overrides or ()) or "job"
            yield f"{words}: {type(error).__name__}: {' '.join(str(error).split())}"
    elif isinstance(returned, Sequence) and not isinstance(returned, str):
        for one in returned:
            yield from _unended(one)


def plain(config: DictConfig) -> dict[str, Any]:
    """Return a composed configuration as plain data: resolved, checked, expanded, and without Hydra's own node.

    Raises:
        ValueError: a key is unknown or has a wrong value; one line for the first.
    """
    own = config
    if "hydra" in config:
        own = OmegaConf.create({k: v for k, v in config.items_ex(resolve=False) if k != "hydra"})
    referred = frozenset(referred_keys(OmegaConf.to_container(own, resolve=False)))
    with _in_one_line(one_line):
        content = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    assert isinstance(content, dict)
    if isinstance(content.get("data"), dict):
        # data.decode is only the default of the top-level key `decode`, which is the one that counts.
        content["data"].pop("decode", None)
    training_precision.settle(content)
    _name_space(content)
    settings = Settings.of({str(key): value for key, value in content.items()}, referred=referred)
    # A user's own variables are no longer needed after resolution.
    known = {str(key): value for key, value in content.items() if hasattr(settings, str(key))}
    return with_unit_swaps(known)


def _name_space(content: dict[Any, Any]) -> None:
    """Write the first feature space where none is named for ranking, so that readers need no rule for this."""
    verdict, spaces = content.get("verdict"), content.get("feature_spaces")
    if isinstance(verdict, dict) and verdict.get("space", "") is None and isinstance(spaces, dict) and spaces:
        verdict["space"] = next(iter(spaces))


def one_line(error: BaseException) -> str:
    """Return a message of Hydra or OmegaConf in one line, without their internals."""
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    missing = re.search(r"Could not (?:find|load) '([^']+)'", text)
    if missing:
        return _no_such_option(missing.group(1))
    unset = re.search(r"Missing mandatory value: ([\w.]+)", text)
    key = re.search(r"full_key: (\S+)", text)
    if unset:
        return f"{key.group(1) if key else unset.group(1)}: missing; expected a value"
    there = re.search(r"An item is already at '([^']+)'", text)
    if there:
        return f"+{there.group(1)}: the key is there already; expected {there.group(1)}=VALUE"
    reference = re.search(r"Interpolation key '([^']+)' not found", text)
    if reference and key:
        name = reference.group(1)
        return f"{key.group(1)}=${{{name}}}: there is no key {name}; \\${{ stands for the characters"
    # The first line says what is wrong, and a later one names the key.
    said = " ".join(lines[:1]) or type(error).__name__
    return f"{key.group(1)}: {said}" if key and key.group(1) not in said else said


def _no_such_option(found: str) -> str:
    group, _, name = found.rpartition("/")
    options: list[str] = []
    if group and GlobalHydra.instance().is_initialized():
        listed = GlobalHydra.instance().config_loader().get_group_options(group)
        options = [option for option in listed if not option.startswith("_")]
    if not options:
        return f"{group or name}={name}: unknown option; expected a file in conf/"
    near = get_close_matches(name, options, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{group}={name}: unknown option; {meant}expected one of {', '.join(options)}"


def _named_plugins(words: Iterable[Word], request: Request) -> list[Any]:
    """Return the plugins that a command names, before composition, because their options join the vocabulary.

    If it names none, those of its experiment are used, or those of the first config.yaml on the search path.
    """
    typed = [word.value for word in words if word.key == "plugins" and word.value is not None]
    if typed:
        given = yaml_source.plain_value(typed[-1])
    else:
        files = [_experiment_file(request.experiment)] if request.experiment is not None else []
        folders = [
            *([Path(request.config_dir)] if request.config_dir is not None else []),
            Path.cwd() / "conf",
        ]
        files += [folder / f"{CONFIG}.yaml" for folder in folders]
        found = (yaml_source.plain_file(file).get("plugins") for file in files if file.is_file())
        given = next((names for names in found if names is not None), [])
    if isinstance(given, str):
        return [name.strip() for name in given.split(",")]
    # A value of another type is refused, with its key, when the configuration is read.
    return given if isinstance(given, list) else []


def _search_path(config_dir: str | None) -> ConfigSearchPath:
    """Return the search path: the folder that the command names, then conf/ here, the package's, the plugins'."""
    package = configuration_directory()
    path = create_config_search_path(_folder(package))
    main = SearchPathQuery(provider="main")
    if config_dir is not None:
        folder = Path(config_dir).absolute()
        if not folder.is_dir():
            raise ValueError(f"--config-dir={config_dir}: no such folder")
        path.prepend("command-line", _folder(folder), anchor=main)
    local = Path.cwd() / "conf"
    if local.is_dir() and local.resolve() != package.resolve():
        path.prepend("working-directory", _folder(local), anchor=main)
    # Hydra requires its schema to be last.
    schema = SearchPathQuery(provider="schema")
    for name, options in plugins.option_folders():
        path.prepend(f"plugin-{name}", _folder(options), anchor=schema)
    # experiments/<id>/config.yaml is reached as the group `experiments` of this folder.
    path.prepend(EXPERIMENTS, _folder(experiments_root()), anchor=schema)
    return path


def _folder(path: Path) -> str:
    return f"{yaml_source.YamlFolder.scheme()}://{path}"


def experiments_root() -> Path:
    """Return the folder that holds experiments/: the user's own or, if there are none, priorgap's."""
    own, packaged = own_experiments(), configuration_directory().parent
    return own if any((own / EXPERIMENTS).glob("*/config.yaml")) else packaged


def own_experiments() -> Path:
    """Return the folder that may hold the user's experiments/: the working directory, or PRIORGAP_EXPERIMENTS."""
    return Path(os.environ.get("PRIORGAP_EXPERIMENTS", Path.cwd())).absolute()


def _with_experiment(words: Sequence[Word]) -> list[Word]:
    """Replace `experiment=<id>`, with or without +, by the group of its file.

    Raises:
        ValueError: there is no such experiment, or there are several.
    """
    asked = [word for word in words if word.key == "experiment"]
    if len(asked) > 1 or any("," in (word.value or "") for word in asked):
        raise ValueError(f"{' '.join(map(str, asked))}: expected one experiment at a time")
    return [_experiment(word) if word.key == "experiment" else word for word in words]


def _experiment(word: Word) -> Word:
    name = word.value or ""
    if word.sign == "~" or not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or not _experiment_file(name).is_file():
        known = sorted(p.parent.name for p in (experiments_root() / EXPERIMENTS).glob("*/config.yaml"))
        near = get_close_matches(name, known, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"experiment={name}: {meant}expected one of {', '.join(known) or 'none found here'}")
    return Word("+", EXPERIMENTS, f"{name}/config")


def _experiment_file(name: str) -> Path:
    return experiments_root() / EXPERIMENTS / name / "config.yaml"
