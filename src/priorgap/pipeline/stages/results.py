"""The results that a stage yields."""

from collections.abc import Iterator
from dataclasses import dataclass

from priorgap.pipeline.config.plan import Step
from priorgap.pipeline.store.layout import Files, Values


@dataclass(frozen=True)
class Failure:
    """A result that could not be made; the other results of its job are not affected."""

    error: Exception


Outcome = Files | Values | Failure
Work = Iterator[tuple[Step, Outcome]]
