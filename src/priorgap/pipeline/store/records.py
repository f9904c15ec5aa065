"""Small records of a study: its models, the plan of their results, and which models failed.

Records may come from other machines, so they are treated as data: the places that a record names are checked against
its own folder, and nothing that it names is built or imported. Its checksum reveals accidental changes; it is no
signature.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from priorgap.pipeline.config.groups import verdict_of
from priorgap.pipeline.store.layout import Store, forget, keep, read_record

if TYPE_CHECKING:
    from priorgap.pipeline.config.model_config import ModelConfig
    from priorgap.pipeline.config.plan import PlannedModel

SCHEMA = 2
FOLDER = "cells"
FAILED = "failed"
# Data for the picture of the aggregate posterior, which are on the shelf of measurements but are no measurement.
MARGINALS = "_marginals"
# The folders of stages whose results all studies share; results of other stages are in the study's folder.
SHARED = {"prepare": "data", "reference": "reference"}
_OWN = ("train", "calibrate", "encode", "sample", "measure")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=,+@-]{0,160}")


@dataclass(frozen=True)
class RecordedStep:
    """A result in a record: its stage, its path under the store, its subject."""

    kind: str
    path: PurePosixPath
    model: str = ""
    sampler: str = ""
    metric: str = ""
    space: str = ""

    def check(self, study: str) -> None:
        """Check that the path is in this study or in a shared folder.

        Raises:
            ValueError: it is not.
        """
        parts = self.path.parts
        home = (SHARED[self.kind],) if self.kind in SHARED else (study, self.kind)
        about = (self.model, self.sampler, self.metric, self.space)
        if not all(isinstance(text, str) for text in about):
            raise ValueError(f"{self.path}: what it is about is no text")
        known = self.kind in (*SHARED, *_OWN) and len(parts) > len(home)
        if not known or parts[: len(home)] != home or not all(_NAME.fullmatch(part) for part in parts):
            raise ValueError(f"{self.path}: not a place of {self.kind} in study={study}")


@dataclass(frozen=True)
class RecordedModel:
    """A model in a record, as trained or calibrated.

    Attributes:
        id, group, calibrated, decode, name: as in `PlannedModel`.
        seed: its seed.
        steps: every result that it stands on.
    """

    id: str
    group: str
    calibrated: bool
    decode: str
    name: str
    seed: int
    steps: tuple[RecordedStep, ...]

    def check(self, study: str) -> None:
        """Check types, and the paths of all steps.

        Raises:
            ValueError: a path is not one of the study's own.
        """
        texts = (self.id, self.group, self.name)
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{texts}: expected the id, the group and the name of a model")
        if not isinstance(self.calibrated, bool) or not isinstance(self.seed, int):
            raise ValueError(f"{self.name}: expected whether it is calibrated, and its seed")
        if self.decode not in ("mean", "draw"):
            raise ValueError(f"{self.name}: decode={self.decode}: expected mean or draw")
        for step in self.steps:
            step.check(study)
        if not self.of("train"):
            raise ValueError(f"{self.name}: no training")

    def of(self, kind: str) -> list[RecordedStep]:
        """Return the model's results of one stage."""
        return [step for step in self.steps if step.kind == kind]

    @property
    def samples(self) -> dict[str, RecordedStep]:
        """The model's draws, by sampler."""
        return {step.sampler: step for step in self.of("sample")}

    @property
    def weights(self) -> RecordedStep:
        """The model's weights, trained or calibrated."""
        return (self.of("calibrate") or self.of("train"))[0]


@dataclass(frozen=True, eq=False)
class Record:
    """One training of a study, with the plan of all results that depend on it.

    Attributes:
        study: the study's name.
        train_id: the trained model's id.
        label: a readable name, from the typed words.
        config: the composed configuration, as plain data.
        models: the trained model, the calibrated one, or both.
        proposed_by: the sweeper that proposed it from the results of others; "" where it was known beforehand.
    """

    study: str
    train_id: str
    label: str
    config: Mapping[str, Any]
    models: tuple[RecordedModel, ...] = field(default=())
    proposed_by: str = ""

    @property
    def steps(self) -> Iterator[RecordedStep]:
        """Every result, each once."""
        yield from dict.fromkeys(step for model in self.models for step in model.steps)


class OtherVersion(ValueError):  # noqa: N818
    """A record that another version of priorgap wrote; the message is one line."""


def record_file(store: Store, study: str, train_id: str) -> Path:
    """Return the path of a study's record of a training."""
    return store.study(study) / FOLDER / f"{train_id}.json"


def record_of(cell: "ModelConfig", models: "Iterator[PlannedModel]") -> Record:
    """Return the record of a configuration."""
    return Record(
        cell.study,
        cell.train_id,
        cell.label,
        dict(cell.config),
        tuple(
            RecordedModel(
                model.id, model.group, model.calibrated, model.decode, model.name, cell.seed,
                tuple(RecordedStep(s.kind, s.path, **vars(s.subject)) for s in model.steps),
            )
            for model in models
        ),
    )  # fmt: skip


def write(record: Record, store: Store) -> None:
    """Write the record of a training, so that a study is known without its command line."""
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "study": record.study,
        "train_id": record.train_id,
        "label": record.label,
        "config": dict(record.config),
        "proposed_by": record.proposed_by,
        "models": [{**vars(model), "steps": [_row(step) for step in model.steps]} for model in record.models],
    }
    keep(store, record_file(store, record.study, record.train_id), content)


def _row(step: RecordedStep) -> list[str]:
    return [step.kind, str(step.path), step.model, step.sampler, step.metric, step.space]


def read(file: Path) -> Record:
    """Read a record.

    Raises:
        OtherVersion: another version wrote it.
        ValueError: the record cannot be read, or names places outside of its study; one line.
    """
    content = read_record(file)
    if content is None:
        raise ValueError(f"{file}: cannot be read, or was changed")
    if content.get("schema") != SCHEMA:
        raise OtherVersion(f"{file}: was written by another version of priorgap")
    try:
        record = _parsed(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file}: not whole ({type(error).__name__}: {error})") from error
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    if (record.study, record.train_id) != (file.parent.parent.name, file.stem):
        raise ValueError(f"{file}: names study={record.study} and model {record.train_id}")
    return record


def _parsed(content: Mapping[str, Any]) -> Record:
    study = str(content["study"])
    models = []
    for entry in content["models"]:
        for _, path, *_ in entry["steps"]:
            if str(PurePosixPath(path)) != path:
                raise ValueError(f"{path}: no place as it is written here")
        steps = tuple(RecordedStep(kind, PurePosixPath(path), *rest) for kind, path, *rest in entry["steps"])
        models.append(RecordedModel(**{**entry, "steps": steps}))
        models[-1].check(study)
    config = content["config"]
    _check_config(config)
    if config["study"] != study:
        raise ValueError(f"its configuration is of study={config['study']}")
    proposed_by = str(content.get("proposed_by", ""))
    return Record(study, str(content["train_id"]), str(content["label"]), config, tuple(models), proposed_by)


def _check_config(config: Any) -> None:
    """Check the parts of a recorded configuration that are read; the rest is only shown.

    Raises:
        ValueError: a part is missing, or of a wrong type.
    """
    if not isinstance(config, dict):
        raise ValueError("its configuration is no mapping")
    verdict_of(config["verdict"])
    kinds: dict[str, type] = {"data": dict, "numerics": dict, "n_samples": int, "seed": int}
    for key, kind in kinds.items():
        if not isinstance(config[key], kind):
            raise ValueError(f"its configuration has {key}={config[key]!r}")
    if not isinstance(config["data"]["name"], str):
        raise ValueError(f"its configuration has data.name={config['data']['name']!r}")


def as_commanded(record: Record, config: Mapping[str, Any]) -> Record:
    """Return a record with the settings that the running command decides: paths, and what is sent elsewhere.

    Args:
        record: a model of a study, perhaps from elsewhere.
        config: the configuration that the command composed.
    """
    own = {key: config[key] for key in ("output_root", "tracking")}
    places = {key: config["data"][key] for key in ("root", "download")}
    kept = {key: value for key, value in record.config.items() if key != "hydra"}
    return replace(record, config={**kept, **own, "data": {**record.config["data"], **places}})


def files_of(store: Store, study: str) -> list[Path]:
    """Return the records of a study."""
    folder = store.study(study) / FOLDER
    return sorted(folder.glob("[!.]*.json")) if store.holds(folder) else []


def records_of(store: Store, study: str) -> Iterator[Record]:
    """Yield every record of a study that can be read; `unreadable` names the others."""
    for file in files_of(store, study):
        with contextlib.suppress(ValueError):
            yield read(file)


def unreadable(store: Store, study: str, *, other_versions: bool = True) -> list[str]:
    """Return a line for each unreadable record of a study; a record of another version is not damaged."""
    lines = []
    for file in files_of(store, study):
        try:
            read(file)
        except ValueError as error:
            if other_versions or not isinstance(error, OtherVersion):
                lines.append(left_out(error))
    return lines


def left_out(error: ValueError) -> str:
    """Return the message on a record that cannot be read."""
    return f"{error}; left out: the command that made it writes it again"


def studies(store: Store) -> list[str]:
    """Return the names of the studies of a store."""
    found = store.root.glob(f"[!.]*/{FOLDER}")
    return sorted(p.parent.name for p in found if store.holds(p) and _NAME.fullmatch(p.parent.name))


def failure_file(store: Store, study: str, train_id: str) -> Path:
    """Return the path of a study's record of a failed training."""
    return store.study(study) / FAILED / f"{train_id}.json"


def record_failure(store: Store, cell: "ModelConfig", error: str, trace: str = "") -> None:
    """Record that a model failed, and why."""
    content = {"label": cell.label, "overrides": list(cell.overrides), "error": error, "traceback": trace}
    keep(store, failure_file(store, cell.study, cell.train_id), content)


def forget_failure(store: Store, cell: "ModelConfig") -> None:
    """Remove the record of a failure, because the model is finished."""
    forget(store, failure_file(store, cell.study, cell.train_id))


def failure(store: Store, study: str, train_id: str) -> dict[str, Any] | None:
    """Return why a model failed in its last run; None where it did not."""
    file = failure_file(store, study, train_id)
    if not file.is_file():
        return None
    return sound_failure(file) or {"label": train_id, "error": "its record cannot be read"}


def sound_failure(file: Path) -> dict[str, Any] | None:
    """Return the content of a failure's record; None where it is no such record or has changed."""
    found = read_record(file)
    texts = ("label", "error", "traceback")
    return found if found is not None and all(isinstance(found.get(key), str) for key in texts) else None
