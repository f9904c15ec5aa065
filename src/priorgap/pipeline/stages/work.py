"""What every stage shares: the key of a piece of work."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from priorgap import artifacts
from priorgap.pipeline.closure import code_digest, module_digest
from priorgap.pipeline.store import upstream


def stage_key(stage: str, settings: Any, inputs: Sequence[Path], modules: Sequence[str]) -> str:
    """Return the key of a piece of work: its settings, the content it reads, the code it runs.

    Args:
        stage: the stage's name; its own module's code counts too (without what that imports).
        settings: the slice of the configuration that matters, as plain data.
        inputs: the artifacts that it reads.
        modules: the modules that do the work; their whole import closure counts.
    """
    code = [module_digest(f"priorgap.pipeline.stages.{stage}"), code_digest(tuple(sorted(set(modules))))]
    return artifacts.digest([stage, settings, upstream(inputs), code])
