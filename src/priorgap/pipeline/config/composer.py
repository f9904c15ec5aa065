"""Hydra's configuration loader, made cheap for sweeps: what only values tell apart is composed once.

Hydra reads every file of the defaults list anew for each job, and each job is composed three times (by the session,
in Hydra's sweeper, in the launcher): a third of a second each. A value, as opposed to a choice of a group, is written
over the composed configuration last of all, so jobs that choose the same groups can share what comes before.
"""

import os
import pickle
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig

from priorgap.pipeline.config.hydra_internals import ConfigLoaderImpl, get_overrides_dirname


class Composer(ConfigLoaderImpl):
    """Composes what Hydra's own loader does, from a base that is kept for each choice of groups."""

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path=config_search_path)
        self._bases: dict[Any, bytes] = {}
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
        # a search path that is typed may hold groups that this loader does not know
        if run_mode != RunMode.RUN or any(o.get_key_element() == "hydra.searchpath" for o in parsed):
            return by_hydra(overrides)
        flags = [self._is_value(override, config_name) for override in parsed]
        values = [override for override, is_value in zip(parsed, flags, strict=True) if is_value]
        chosen = [word for word, is_value in zip(overrides, flags, strict=True) if not is_value]
        key = (config_name, from_shell, validate_sweep_overrides, os.getcwd(), *chosen)
        if key not in self._bases:
            self._bases[key] = pickle.dumps(by_hydra(chosen))
        # a third of a deep copy's time; it never leaves this process
        config: DictConfig = pickle.loads(self._bases[key])  # noqa: S301
        self._apply_overrides_to_config(values, config)
        _name_overrides(config, parsed)
        return config

    def _parse(self, word: str) -> Override:
        if word not in self._parsed:
            (self._parsed[word],) = OverridesParser.create().parse_overrides([word])
        return self._parsed[word]

    def _is_value(self, override: Override, config_name: str | None) -> bool:
        """Whether an override is written over the composed configuration, and touches nothing of Hydra's."""
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


def _name_overrides(config: DictConfig, parsed: list[Override]) -> None:
    """Write what was typed where Hydra writes it."""
    task = [override for override in parsed if not override.is_hydra_override()]
    config.hydra.overrides.task = [override.input_line for override in task]
    words = config.hydra.job.config.override_dirname
    config.hydra.job.override_dirname = get_overrides_dirname(
        overrides=task,
        kv_sep=words.kv_sep,
        item_sep=words.item_sep,
        exclude_keys=words.exclude_keys,
    )
