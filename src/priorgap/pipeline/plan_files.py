"""A study's plan as files, one for each stage, on which DVC depends: an edit then affects the stages that use it."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from priorgap.core import artifacts
from priorgap.pipeline.config.plan import KINDS, SHARED_KINDS, Closure, Json, Kind, Plan, Step
from priorgap.pipeline.store.code_digest import closure, module_file, tree_digest
from priorgap.pipeline.store.layout import Store

FOLDER = "plan"
# The module that reads results, and the packages that write the report, whose public names are imported when first
# used.
_REPORTING, _WRITING = ("priorgap.pipeline.reporting",), ("priorgap.report", "priorgap.verdict")
# Keys of a configuration that only reports read.
_SHOWN = ("verdict", "tracking")


def write_plan(plan: Plan, store: Store) -> Path:
    """Write the plan of one study to outputs/<study>/plan: settings, inputs and code of each stage's results.

    Code is identified by the bytes of the modules on which a stage's results depend, comments included. If only a
    comment changed, DVC runs the stage again, which finds its results complete by their keys and makes none.

    Returns:
        The folder.
    """
    first = plan.cells[0]
    folder = store.study(first.study) / FOLDER
    for kind in KINDS:
        steps = sorted((s for s in plan.steps.values() if s.kind == kind), key=lambda step: str(step.path))
        # A stage without results has a file, too, because DVC requires every declared dependency.
        artifacts.save_json(folder / f"{kind}.json", [_described(step) for step in steps])
    artifacts.save_json(
        folder / "report.json",
        {
            "code": [_bytes_of(_REPORTING), tree_digest(_files_of(_WRITING))],
            "models": [model.id for model in plan.models],
            **{key: first.config[key] for key in _SHOWN},
        },
    )
    return folder


def write_made(plan: Plan, kind: Kind, store: Store) -> None:
    """Write outputs/<study>/<kind>.json for each study: the content of a stage's results that studies share."""
    if kind not in SHARED_KINDS:
        raise ValueError(f"kind={kind}: expected one of {', '.join(SHARED_KINDS)}")
    for study in {cell.study for cell in plan.cells}:
        own = plan.of([cell for cell in plan.cells if cell.study == study])
        known = {str(s.path): store.known(s) for s in own.steps.values() if s.kind == kind}
        made = {path: one.content for path, one in sorted(known.items()) if one is not None}
        artifacts.save_json(store.study(study) / f"{kind}.json", made)


def _described(step: Step) -> Json:
    code: Json = (
        [
            tree_digest([module_file(f"priorgap.pipeline.stages.{step.kind}")]),
            _bytes_of(tuple(sorted(set(step.code.modules)))),
        ]
        if isinstance(step.code, Closure)
        else {
            "version": step.code.number,
            "plugins": _bytes_of(step.code.modules) if step.code.modules else "",
        }
    )
    return {
        "path": str(step.path),
        "settings": step.settings,
        "inputs": [str(one.path) for one in step.inputs],
        "code": code,
    }


@cache
def _bytes_of(modules: tuple[str, ...]) -> str:
    return tree_digest(module_file(module) for module in closure(modules))


def _files_of(packages: tuple[str, ...]) -> Iterator[Path]:
    for package in packages:
        yield from sorted(
            file
            for file in module_file(package).parent.rglob("*")
            # The page's style and script count, too.
            if file.is_file() and file.suffix != ".pyc"
        )
