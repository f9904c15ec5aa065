"""A study's plan as files, one for each stage: what DVC depends on, so that an edit reaches what uses it."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from priorgap.core import artifacts
from priorgap.pipeline.config.plan import KINDS, SHARED_KINDS, Closure, Json, Kind, Plan, Step
from priorgap.pipeline.store.code_digest import closure, module_file, tree_digest
from priorgap.pipeline.store.layout import Store

FOLDER = "plan"
# what reads results; and the packages that write the report: their public names are imported when first used
_REPORTING, _WRITING = ("priorgap.pipeline.reporting",), ("priorgap.report", "priorgap.verdict")
# keys of a configuration that only reports read
_SHOWN = ("verdict", "tracking")


def write_plan(plan: Plan, store: Store) -> Path:
    """Write the plan of one study to outputs/<study>/plan: for each stage its results' settings, inputs and code.

    Code is named by the bytes of the modules that a stage's results depend on, comments among them: a stage that
    looks again for a comment finds its results as their keys say, and makes none.

    Returns:
        The folder.
    """
    first = plan.cells[0]
    folder = store.study(first.study) / FOLDER
    for kind in KINDS:
        steps = sorted((s for s in plan.steps.values() if s.kind == kind), key=lambda step: str(step.path))
        # a stage without results has a file too: DVC asks for every declared dependency
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
    """Write outputs/<study>/<kind>.json for each study: the content of the results of a stage that studies share."""
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
            # the page's style and script too
            if file.is_file() and file.suffix != ".pyc"
        )
