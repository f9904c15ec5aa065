"""Hydra, held in one place: search path, composition of every cell before anything is created, launching.

`hydra.main` validates the cells of a sweep one batch at a time, prints several lines for one mistake and exits
with 1 for every kind of failure. The same machinery is called here directly, so that all cells are composed
first, an error is one line, and the exit status says what happened.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from priorgap.building import configuration_directory
from priorgap.pipeline.composing import Composer
from priorgap.pipeline.expansion import with_unit_swaps

CONFIG = "config"
EXPERIMENTS = "experiments"
# what launchers count, and the least of each
_COUNTS = {"n_jobs": 1, "retries": 0, "cells_per_job": 1, "timeout_min": 1, "cpus_per_task": 1}


@dataclass(frozen=True)
class Request:
    """What was typed after a command: Hydra overrides, the sweep flag, an extra configuration folder."""

    overrides: tuple[str, ...]
    multirun: bool = False
    config_dir: str | None = None

    @property
    def experiment(self) -> str | None:
        """The id given as `experiment=<id>`, if any."""
        for override in self.overrides:
            if override.startswith("experiment="):
                return override.partition("=")[2]
        return None


class Session:
    """A composed command line: the cells it names, and the launcher that will run them."""

    def __init__(self, request: Request) -> None:
        self.request = request
        experiments = [o for o in request.overrides if o.startswith("experiment=")]
        if len(experiments) > 1:
            raise ValueError(f"{' '.join(experiments)}: expected one experiment at a time")
        self._overrides = [_experiment_override(o) for o in request.overrides]
        GlobalHydra.instance().clear()
        self._hydra = Hydra("priorgap", Composer(_search_path(request.config_dir)))
        GlobalHydra.instance().initialize(self._hydra)

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        GlobalHydra.instance().clear()

    @property
    def multirun(self) -> bool:
        """Whether the command is a sweep: by flag, or because the experiment's file says so."""
        if self.request.multirun:
            return True
        return self._main().hydra.get("mode") == RunMode.MULTIRUN

    @property
    def launcher(self) -> str:
        """The name of Hydra's launcher."""
        return str(self._main().hydra.runtime.choices["hydra/launcher"])

    @property
    def n_jobs(self) -> int | None:
        """How many processes the launcher may use; None where that is not said."""
        found: int | None = self._main().hydra.launcher.get("n_jobs")
        return found

    def cells(self) -> list[tuple[dict[str, Any], tuple[str, ...]]]:
        """Compose every cell: its resolved configuration as plain data, and the overrides that make it.

        Raises:
            ValueError: one line, for the first cell that cannot be composed.
        """
        try:
            batches = self._expand() if self.multirun else [self._overrides]
            return [self._compose(batch) for batch in batches]
        except (HydraException, OmegaConfBaseException) as error:
            raise ValueError(one_line(error)) from error

    def launch(self, task: Callable[[DictConfig], Any], *, here: bool = False) -> None:
        """Run the task for every cell through Hydra's launcher; the cells record their own failures.

        Args:
            task: runs one cell.
            here: in this process, whatever launcher was chosen.
        """
        run = self._hydra.multirun if self.multirun else self._hydra.run
        overrides = self._overrides
        if here:
            kept = [o for o in overrides if not _key(o).startswith(("hydra/launcher", "hydra.launcher"))]
            overrides = [*kept, "hydra/launcher=basic"]
        run(config_name=CONFIG, task_function=task, overrides=overrides)

    def _main(self) -> DictConfig:
        try:
            return self._hydra.compose_config(
                CONFIG,
                [o for o in self._overrides if _is_hydra(o) or _is_experiment(o)],
                run_mode=RunMode.RUN,
                with_log_configuration=False,
            )
        except (HydraException, OmegaConfBaseException) as error:
            raise ValueError(one_line(error)) from error

    def _expand(self) -> list[list[str]]:
        """Expand the sweep as Hydra's basic sweeper will: the experiment's grid, then the command line's."""
        grid = self._main().hydra.sweeper.get("params") or {}
        given = {_key(o) for o in self._overrides}
        texts = [f"{k}={v}" for k, v in grid.items() if k not in given]
        hydra_only = [o for o in self._overrides if _is_hydra(o)]
        texts += [o for o in self._overrides if not _is_hydra(o)]
        parser = OverridesParser.create(config_loader=self._hydra.config_loader)
        batches = BasicSweeper.split_arguments(parser.parse_overrides(texts), None)
        return [[*hydra_only, *cell] for batch in batches for cell in batch]

    def _compose(self, overrides: Sequence[str]) -> tuple[dict[str, Any], tuple[str, ...]]:
        config = self._hydra.compose_config(
            CONFIG, list(overrides), run_mode=RunMode.RUN, with_log_configuration=False
        )
        _check_launcher(config.hydra)
        with open_dict(config):
            del config["hydra"]
        return plain(config), tuple(o for o in overrides if not _is_hydra(o) and not _is_experiment(o))


def _check_launcher(hydra: DictConfig) -> None:
    """Check what a launcher needs before any work: its package, and whole numbers where it counts."""
    node, name = hydra.launcher, hydra.runtime.choices["hydra/launcher"]
    package = node.get("requires")
    if package is not None and find_spec(package) is None:
        raise ValueError(
            f"hydra/launcher={name}: the package {package} is not installed; pip install 'priorgap[{name}]'"
        )
    for key, least in _COUNTS.items():
        value = node.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ValueError(f"hydra.launcher.{key}={value}: expected an integer >= {least}, or null")


def plain(config: DictConfig) -> dict[str, Any]:
    """Return a composed configuration, resolved and expanded, without Hydra's own node, as plain data."""
    own = config
    if "hydra" in config:
        own = OmegaConf.create({k: v for k, v in config.items_ex(resolve=False) if k != "hydra"})
    try:
        content = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ValueError(one_line(error)) from error
    assert isinstance(content, dict)
    return with_unit_swaps({str(key): value for key, value in content.items()})


def one_line(error: BaseException) -> str:
    """Say in one line what Hydra or OmegaConf say in several, without their internals."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, OverrideParseException):
        return f"{error.override}: {lines[0] if lines else 'cannot be read'}"
    unknown = re.search(r"Key '([^']+)' is not in struct", str(error))
    override = re.search(r"Could not override '([^']+)'", str(error))
    if override:
        last = f": key {unknown.group(1)!r} does not exist" if unknown else ""
        return f"{override.group(1)}: unknown key{last}; see priorgap run --help for the vocabulary"
    missing = re.search(r"Could not (?:find|load) '([^']+)'", str(error))
    if missing:
        group, _, name = missing.group(1).rpartition("/")
        options = sorted(p.stem for p in (configuration_directory() / group).glob("[!_]*.yaml"))
        listed = ", ".join(options) if group and options else "a file in conf/"
        return f"{group or name}={name}: unknown option; expected one of {listed}"
    return " ".join(lines[:2]) if lines else type(error).__name__


def _search_path(config_dir: str | None) -> ConfigSearchPath:
    """Package vocabulary first; a conf/ in the working directory and --config-dir extend it."""
    path = create_config_search_path(str(configuration_directory()))
    schema = SearchPathQuery(provider="schema")
    if config_dir is not None:
        folder = Path(config_dir).absolute()
        if not folder.is_dir():
            raise ValueError(f"--config-dir={config_dir}: no such folder")
        path.prepend("command-line", f"file://{folder}", anchor=SearchPathQuery(provider="main"))
    local = Path.cwd() / "conf"
    if local.is_dir() and local.resolve() != configuration_directory().resolve():
        path.prepend("working-directory", f"file://{local}", anchor=schema)
    # experiments/<id>/config.yaml is reached as the group `experiments` of this folder
    path.prepend("experiments", f"file://{experiments_root()}", anchor=schema)
    return path


def experiments_root() -> Path:
    """Return the folder that holds experiments/: the working directory, or the one PRIORGAP_EXPERIMENTS names."""
    return Path(os.environ.get("PRIORGAP_EXPERIMENTS", Path.cwd())).absolute()


def _experiment_override(override: str) -> str:
    if not override.startswith("experiment="):
        return override
    name = override.partition("=")[2]
    file = experiments_root() / EXPERIMENTS / name / "config.yaml"
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or not file.is_file():
        known = sorted(p.parent.name for p in (experiments_root() / EXPERIMENTS).glob("*/config.yaml"))
        raise ValueError(f"experiment={name}: expected one of {', '.join(known) or 'none found here'}")
    return f"+{EXPERIMENTS}={name}/config"


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _is_hydra(override: str) -> bool:
    return _key(override).startswith("hydra")


def _is_experiment(override: str) -> bool:
    return _key(override) == EXPERIMENTS
