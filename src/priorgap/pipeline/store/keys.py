"""Keys: what a result was computed from, as one digest: settings, the content of its inputs, the code."""

from priorgap.core import artifacts
from priorgap.pipeline.config.plan import Closure, Step
from priorgap.pipeline.store.code_digest import code_digest, module_digest
from priorgap.pipeline.store.layout import Store


class Incomplete(ValueError):  # noqa: N818
    """A result that another is made from is not there; the message is one line that names the command to run."""


def key(step: Step, store: Store) -> str:
    """Return the key of a result.

    Raises:
        Incomplete: an input is not there.
    """
    inputs = []
    for needed in step.inputs:
        known = store.known(needed)
        if known is None:
            raise Incomplete(
                f"{needed.kind}: no complete result for {needed.name}; run `priorgap {needed.kind}` first"
            )
        inputs.append(known.content)
    if isinstance(step.code, Closure):
        stage = module_digest(f"priorgap.pipeline.stages.{step.kind}")
        code: object = [stage, code_digest(tuple(sorted(set(step.code.modules))))]
    elif step.code.modules:
        code = [step.code.number, code_digest(step.code.modules, plugins_only=True)]
    else:
        code = step.code.number
    return artifacts.digest([step.kind, step.settings, inputs, code])
