"""Hydra's source of configuration files: folders of YAML, with each error in one line of file, line and reason."""

import os
import pickle
from collections.abc import Sequence
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

# The name of the folder of experiments, and of the search path's element that holds it.
EXPERIMENTS = "experiments"


class YamlFolder(ConfigSource):
    """A folder of YAML files, like Hydra's own `file://`; a byte-order mark at the start of a file is ignored."""

    @staticmethod
    def scheme() -> str:
        """Return the text before `://` in a search path."""
        return "yaml"

    def load_config(self, config_path: str) -> ConfigResult:
        """Read one file.

        Raises:
            ConfigLoadError: the file is not YAML with keys and values; one line.
        """
        file = self._file(config_path)
        try:
            text = file.read_bytes().decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigLoadError(f"{_named(file)}: expected a text in UTF-8 ({error})") from error
        try:
            header = ConfigSource._get_header_dict(text[:512])
            content = pickle.loads(_parsed(text))  # noqa: S301 - what this process parsed
        except yaml.YAMLError as error:
            raise ConfigLoadError(f"{_named(file)}{_what(error)}") from error
        except (OSError, ValueError, OmegaConfBaseException) as error:
            raise ConfigLoadError(f"{_named(file)}: {' '.join(str(error).split())}") from error
        # YAML reads a text without keys as one key without a value.
        if not isinstance(content, DictConfig) or (content and ":" not in text):
            raise ConfigLoadError(f"{_named(file)}: expected keys with values, got {text.strip()[:40]!r}")
        return ConfigResult(self.provider, self.full_path(), content, header)

    def available(self) -> bool:
        """Return whether the folder exists."""
        return self.is_group("")

    def is_group(self, config_path: str) -> bool:
        """Return whether this is a folder in this source."""
        return os.path.isdir(os.path.join(self.path, config_path))

    def is_config(self, config_path: str) -> bool:
        """Return whether this is a file in this source."""
        return os.path.isfile(self._file(config_path))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return the files and folders of a folder."""
        found: list[str] = []
        for name in os.listdir(os.path.join(self.path, config_path)):
            self._list_add_result(found, os.path.join(config_path, name), name, results_filter)
        return sorted(set(found))

    @staticmethod
    def files(folder: str) -> Sequence[tuple[str, int, int]]:
        """Return the files that may be read, each with path, size and modification time in nanoseconds."""
        found = []
        for place, _, names in os.walk(folder):
            for name in names:
                if name.endswith((".yaml", ".yml")):
                    path = os.path.join(place, name)
                    facts = os.stat(path)
                    found.append((path, facts.st_size, facts.st_mtime_ns))
        return sorted(found)

    def _file(self, config_path: str) -> Path:
        return Path(self.path, self._normalize_file_name(config_path))


@lru_cache(maxsize=1024)
def _parsed(text: str) -> bytes:
    """Return a file's content, cached because a command reads the same files several times; readers take copies."""
    return pickle.dumps(OmegaConf.load(StringIO(text)))


def plain_file(file: Path) -> dict[str, Any]:
    """Return a file's content before composition; {} where it cannot be read, which Hydra will report."""
    try:
        found = yaml.safe_load(file.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def plain_value(text: str) -> Any:
    """Return the value of a word on the command line before Hydra parses it: a list or a text."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _named(file: Path) -> str:
    """Return the file's name in the form in which the user would type it."""
    try:
        return str(file.relative_to(Path.cwd()))
    except ValueError:
        return str(file)


def _what(error: yaml.YAMLError) -> str:
    """Return the line and the reason of a YAML error."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    line = f", line {mark.line + 1}" if mark is not None else ""
    return f"{line}: {' '.join(str(reason).split())}"


def register() -> None:
    """Register the scheme with Hydra."""
    Plugins.instance().register(YamlFolder)
