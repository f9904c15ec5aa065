"""Recognises a finished study before Hydra is loaded: the same inputs, and every result unchanged.

Whether a result is unchanged is decided by sizes and modification times only, which takes well under a second for
thousands of files. A folder with files touched since is checksummed in full; `priorgap verify` checksums everything.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from priorgap.core import artifacts, plugins
from priorgap.core.build import configuration_directory
from priorgap.pipeline.config.session import Request, experiments_root
from priorgap.pipeline.config.yaml_source import EXPERIMENTS
from priorgap.pipeline.store.code_digest import tree_digest
from priorgap.pipeline.store.folders import content_of, damage_of, folder_of
from priorgap.pipeline.store.layout import Store, keep, read_record, stamp, stamps

if TYPE_CHECKING:
    from priorgap.pipeline.config.plan import Plan


def _inputs(request: Request) -> str:
    """Return a digest of everything on which a run can depend: command, vocabulary, experiment, code."""
    folders = [configuration_directory(), Path(__file__).parents[2]]
    local = Path.cwd() / "conf"
    if local.is_dir() and local.resolve() != configuration_directory().resolve():
        folders.append(local)
    if request.config_dir is not None and Path(request.config_dir).is_dir():
        folders.append(Path(request.config_dir))
    if request.experiment is not None:
        file = experiments_root() / EXPERIMENTS / request.experiment / "config.yaml"
        if file.is_file():
            folders.append(file)
    words = [list(request.overrides), request.multirun, str(request.config_dir)]
    return artifacts.digest([words, tree_digest(folders)])


def _root(request: Request) -> Path:
    given = [o.partition("=")[2] for o in request.overrides if o.startswith("output_root=")]
    return Path(given[-1] if given else "outputs")


def _file(request: Request) -> Path:
    return _root(request) / ".finished" / f"{_inputs(request)[:24]}.json"


def remember(request: Request, plan: "Plan", store: Store, report: Path, size: str) -> None:
    """Record that all results of a command exist, unless something was damaged in the meantime."""
    from priorgap.pipeline.config import parts
    from priorgap.pipeline.store.records import record_file

    files = [
        parts.feature_files(cell.config, name)
        for cell in plan.cells
        for name in cell.config["feature_spaces"]
    ]
    files += [parts.data_files(cell.config) for cell in plan.cells]
    records = (record_file(store, cell.study, cell.train_id) for cell in plan.cells)
    folders = dict.fromkeys(folder_of(step, store) for step in plan.steps.values())
    content: dict[str, Any] = {
        "artifacts": {str(path): _entry(path) for path in folders},
        # The code of plugins is outside of the store's folders.
        "plugins": {name: tree_digest([plugins.folder(name)]) for name in plugins.allowed()},
        # A user's own networks and data, and the records of the report's models, which the same trainings under other
        # words would replace.
        "files": {
            **{path: digest for found in files for path, digest in found.items()},
            **{str(path): artifacts.file_digest(path) for path in records},
        },
        "line": f"study={plan.cells[0].study} is complete ({size}): nothing to do; report: {report}",
        # Another command may have written the study's report again, so it must be complete but not the same.
        "report": {str(report.parent): _entry(report.parent)},
    }
    if None not in (*content["artifacts"].values(), *content["report"].values()):
        keep(store, _file(request), content)


def _entry(path: Path) -> dict[str, Any] | None:
    """Return a folder's content and the state of its files; None where a file differs from the manifest."""
    found = stamps(path)
    # The manifest is the last file that a writer touches.
    touched = max(changed for _, _, changed in found.values()) > found[artifacts.MANIFEST][2]
    if touched and damage_of(path):
        return None
    return {"content": content_of(path), "files": found}


def finished(request: Request) -> str | None:
    """Return the message for a command whose results all exist, complete and from the same inputs; else None."""
    file = _file(request)
    record = read_record(file) if file.is_file() else None
    if record is None:
        return None
    if not _same_plugins(record.get("plugins")) or not _same_files(record.get("files", {})):
        return None
    touched = [*_touched(record["artifacts"]), *_touched(record["report"])]
    for path in touched:
        known = record["artifacts"].get(path)
        if not _whole(Path(path), None if known is None else known["content"]):
            return None
    if touched:
        for group in ("artifacts", "report"):
            record[group] |= {path: _entry(Path(path)) for path in touched if path in record[group]}
        keep(Store(_root(request)), file, record)
    return str(record["line"])


def _same_plugins(known: Mapping[str, str] | None) -> bool:
    try:
        return known is not None and all(
            tree_digest([plugins.folder(name)]) == code for name, code in known.items()
        )
    except ValueError:
        return False  # A file is missing.


def _same_files(known: Mapping[str, str]) -> bool:
    return all(
        Path(path).is_file() and artifacts.file_digest(Path(path)) == digest for path, digest in known.items()
    )


def _touched(entries: Mapping[str, Any]) -> Iterator[str]:
    for path, entry in entries.items():
        try:
            same = all(stamp(f"{path}/{name}") == known for name, known in entry["files"].items())
        except OSError:
            same = False
        if not same:
            yield path


def _whole(path: Path, content: str | None) -> bool:
    try:
        return not damage_of(path) and content in (None, content_of(path))
    except FileNotFoundError:
        return False
