"""Hydra's configuration loader, made fast for sweeps: jobs that differ only in values share one composition.

Hydra reads every file of the defaults list again for each job, and composes each job three times (in the session, in
its sweeper, in the launcher), a third of a second each. A value, unlike a choice of a group, is written over the
composed configuration in the last step, so jobs that choose the same groups can share the steps before.
"""

import os
import pickle
from functools import cached_property
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from priorgap.pipeline.config.hydra_internals import ConfigLoaderImpl, get_overrides_dirname
from priorgap.pipeline.config.yaml_source import EXPERIMENTS, YamlFolder

# A cache of Hydra's compositions by choice of groups and files; the oldest entry is dropped when it is full.
_BASES: dict[Any, bytes] = {}
_MOST_BASES = 64


class Composer(ConfigLoaderImpl):
    """Composes what Hydra's own loader would compose, from a base that is cached for each choice of groups."""

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path=config_search_path)
        self._parsed: dict[str, Override] = {}
        self._groups: dict[str, bool] = {}
        self._repositories: dict[str | None, Any] = {}

    def _load_configuration_impl(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        def by_hydra(words: list[str]) -> DictConfig:
            return super(Composer, self)._load_configuration_impl(
                config_name, words, run_mode, from_shell, validate_sweep_overrides
            )

        parsed = [self._parse(word) for word in overrides]
        # A typed search path may hold groups that this loader does not know.
        if any(o.get_key_element() == "hydra.searchpath" for o in parsed):
            return by_hydra(overrides)
        # The sweeper reads these; Hydra leaves them out of the configuration that names the sweeper.
        swept = [run_mode == RunMode.MULTIRUN and _is_swept(override) for override in parsed]
        flags = [self._is_value(override, config_name) for override in parsed]
        values = [override for override, is_value in zip(parsed, flags, strict=True) if is_value]
        words = zip(overrides, flags, swept, strict=True)
        chosen = [word for word, is_value, is_swept in words if not is_value and not is_swept]
        key = (config_name, run_mode, from_shell, validate_sweep_overrides, self._files, *chosen)
        if key not in _BASES:
            base = pickle.dumps(by_hydra(chosen))
            while len(_BASES) >= _MOST_BASES:
                del _BASES[next(iter(_BASES))]
            _BASES[key] = base
        # Pickling takes a third of a deep copy's time; the bytes never leave this process.
        config: DictConfig = pickle.loads(_BASES[key])  # noqa: S301
        self._apply_overrides_to_config(values, config)
        _name_overrides(config, parsed)
        _name_surroundings(config)
        return config

    @cached_property
    def _files(self) -> tuple[object, ...]:
        """What identifies the files of the search path, and changes when one of them is edited."""
        found: list[object] = []
        for element in self.config_search_path.get_path():
            scheme, _, folder = element.path.partition("://")
            found.append((element.provider, element.path))
            if scheme == YamlFolder.scheme():
                # The working folder may hold anything, so only its experiments/ are read.
                own = element.provider == EXPERIMENTS
                found += YamlFolder.files(os.path.join(folder, EXPERIMENTS) if own else folder)
        return tuple(found)

    def _parse(self, word: str) -> Override:
        if word not in self._parsed:
            (self._parsed[word],) = OverridesParser.create().parse_overrides([word])
        return self._parsed[word]

    def _is_value(self, override: Override, config_name: str | None) -> bool:
        """Whether an override only writes over the composed configuration, and changes nothing of Hydra's."""
        if override.package is not None or override.is_sweep_override() or override.is_hydra_override():
            return False
        key = override.key_or_group
        if key not in self._groups:
            if config_name not in self._repositories:
                _, self._repositories[config_name] = self._parse_overrides_and_create_caching_repo(
                    config_name, []
                )
            self._groups[key] = self._repositories[config_name].group_exists(key)
        return not self._groups[key] or isinstance(override.value(), dict)


def _is_swept(override: Override) -> bool:
    return override.is_sweep_override() and not override.is_hydra_override()


def _name_surroundings(config: DictConfig) -> None:
    """Write the values that Hydra takes from the process: the working directory, and variables for jobs."""
    config.hydra.runtime.cwd = os.getcwd()
    with open_dict(config.hydra):
        for key in config.hydra.job.env_copy:
            config.hydra.job.env_set[key] = os.environ[key]


def _name_overrides(config: DictConfig, parsed: list[Override]) -> None:
    """Write the typed words where Hydra writes them."""
    task = [override for override in parsed if not override.is_hydra_override()]
    config.hydra.overrides.task = [override.input_line for override in task]
    words = config.hydra.job.config.override_dirname
    config.hydra.job.override_dirname = get_overrides_dirname(
        overrides=task,
        kv_sep=words.kv_sep,
        item_sep=words.item_sep,
        exclude_keys=words.exclude_keys,
    )
