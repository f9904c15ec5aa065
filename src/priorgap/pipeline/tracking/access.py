"""Checks, before any work, that W&B can be written to."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from priorgap.pipeline import extras


class TrackingFailed(RuntimeError):  # noqa: N818
    """W&B could not be reached, or refused; results are complete all the same. The message is one line."""


def check_access(tracking: Mapping[str, Any]) -> None:
    """Check, before any work, that W&B is installed and logged in for online runs; on a terminal it asks for a login.

    Raises:
        ValueError: W&B cannot be used; one line.
    """
    if tracking["mode"] != "off":
        extras.require(f"tracking={tracking['mode']}", "tracking", extras.TRACKING, "take tracking=off")
    leave_the_service_of_others()
    if tracking["mode"] != "online":
        return
    mode = os.environ.get("WANDB_MODE", "online")
    if mode in ("offline", "dryrun", "disabled"):
        raise ValueError(
            f"tracking=online: the environment has WANDB_MODE={mode}; unset it, or take tracking=offline"
        )
    import wandb

    try:
        known = wandb.login()
    except (wandb.Error, ValueError) as error:
        line = " ".join(str(error).split())
        raise ValueError(
            f"tracking=online: {line} (or set WANDB_API_KEY, or take tracking=offline)"
        ) from error
    if not known:
        raise ValueError("tracking=online: no API key; run `wandb login`, or take tracking=offline")


@dataclass(frozen=True)
class Agent:
    """The information that `wandb agent` passes to the command that it starts.

    Attributes:
        sweep: the id of the sweep.
        run: the id of the run that the command must write.
    """

    sweep: str
    run: str


@cache
def agent() -> Agent | None:
    """Return the agent that started this command; None where there is none.

    W&B would write every run of the process into the agent's run, and count all of them in the sweep. So the
    variables that it reads are removed from the environment before W&B is imported.
    """
    known = {name: os.environ.pop(f"WANDB_{name}", "") for name in ("SWEEP_ID", "RUN_ID", "SWEEP_PARAM_PATH")}
    return Agent(known["SWEEP_ID"], known["RUN_ID"]) if known["SWEEP_ID"] and known["RUN_ID"] else None


def leave_the_service_of_others() -> None:
    """Start a W&B service of our own, even if the process that started this one (a notebook) has named its own.

    A run that is written through another process's service waits half a minute at its end and stays unfinished.
    """
    agent()
    if "wandb" not in sys.modules:
        os.environ.pop("WANDB_SERVICE", None)
