"""Keys: one digest of what a result was computed from: settings, content of its inputs, code."""

from collections.abc import Sequence

from priorgap.core import artifacts
from priorgap.pipeline.config.plan import Closure, Step
from priorgap.pipeline.store.code_digest import code_digest, module_digest
from priorgap.pipeline.store.layout import Store


class Incomplete(ValueError):  # noqa: N818
    """An input of a result is missing; the message is one line that names the command to run."""


def key(step: Step, store: Store) -> str:
    """Return the key of a result.

    Raises:
        Incomplete: an input is missing.
    """
    inputs = [_content(needed, store) for needed in step.inputs]
    return artifacts.digest([step.kind, step.settings, inputs, _code(step)])


def _code(step: Step) -> object:
    if isinstance(step.code, Closure):
        stage = module_digest(f"priorgap.pipeline.stages.{step.kind}")
        return [stage, code_digest(tuple(sorted(set(step.code.modules))))]
    if step.code.modules:
        return [step.code.number, code_digest(step.code.modules, plugins_only=True)]
    return step.code.number


def signature(steps: Sequence[Step], store: Store) -> str:
    """Return a digest that determines the keys of some results as long as these results do not change.

    Raises:
        Incomplete: an input that is not one of these results is missing.
    """
    own = {step.path for step in steps}
    outside = {needed.path: needed for step in steps for needed in step.inputs if needed.path not in own}
    known = {str(path): _content(needed, store) for path, needed in outside.items()}
    return artifacts.digest([known, [[str(step.path), step.settings, _code(step)] for step in steps]])


def _content(needed: Step, store: Store) -> str:
    known = store.known(needed)
    if known is None:
        raise Incomplete(
            f"{needed.kind}: no complete result for {needed.name}; run `priorgap {needed.kind}` first"
        )
    return known.content
