"""Everything used of Hydra beyond its public interface, with the reason; no other module imports hydra._internal.

A version of Hydra that has moved one of these is refused in one line (`missing`), instead of failing with an
AttributeError in a sweep.
"""

from importlib import import_module
from importlib.metadata import version

# Each entry: module, name, the methods that are called or overridden, and why the public interface does not suffice.
NEEDED: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    (
        "hydra._internal.hydra",
        "Hydra",
        ("compose_config", "run", "multirun", "show_cfg", "show_info", "shell_completion"),
        "hydra.main composes a sweep's cells one batch at a time, prints several lines for one mistake and exits "
        "with 1 for every failure; hydra.compose runs no launcher and shows no --cfg, --info or completion",
    ),
    (
        "hydra._internal.config_loader_impl",
        "ConfigLoaderImpl",
        (
            "_load_configuration_impl",
            "_apply_overrides_to_config",
            "_parse_overrides_and_create_caching_repo",
        ),
        "the public loader reads every file anew for each cell: .3 s, three times a cell (composer.py)",
    ),
    (
        "hydra._internal.config_loader_impl",
        "get_overrides_dirname",
        (),
        "writes hydra.job.override_dirname, which the composer must write for the cells that it composes itself",
    ),
    (
        "hydra._internal.utils",
        "create_config_search_path",
        (),
        "hydra.initialize knows one folder; ours are several, with SearchPathPlugins of other packages among them",
    ),
)


def missing() -> str | None:
    """Return, in one line, which of Hydra's internals are not where they are expected; None if all are."""
    for module, name, methods, _ in NEEDED:
        try:
            found = getattr(import_module(module), name)
        except (ImportError, AttributeError):
            return _line(f"{module}.{name}")
        for method in methods:
            if not hasattr(found, method):
                return _line(f"{module}.{name}.{method}")
    return None


def _line(what: str) -> str:
    return (
        f"hydra-core {version('hydra-core')}: {what} is not there; this version of priorgap works with "
        "hydra-core 1.3: pip install 'hydra-core>=1.3.2,<1.4'"
    )


_missing = missing()
if _missing is not None:
    raise ValueError(_missing)

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname  # noqa: E402
from hydra._internal.hydra import Hydra  # noqa: E402
from hydra._internal.utils import create_config_search_path  # noqa: E402

__all__ = ["ConfigLoaderImpl", "Hydra", "create_config_search_path", "get_overrides_dirname"]
