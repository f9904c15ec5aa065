"""Checks of a launcher before any work: its package, its whole numbers, and whether a cluster answers."""

import shutil
import socket
from importlib.util import find_spec
from typing import Any

from omegaconf import DictConfig, OmegaConf

from priorgap.pipeline.config.groups import LauncherCounts

_OURS = "hydra_plugins.priorgap_launcher."
_SECONDS = 3.0
# Sweepers whose configurations are all known before the first one runs.
_GRIDS = ("hydra._internal.core_plugins.basic_sweeper.BasicSweeper", "hydra_plugins.priorgap_sweeper.Grid")


def check(hydra: DictConfig) -> None:
    """Check the launcher of a composed command; other packages' own settings are not checked.

    Raises:
        ValueError: one line.
    """
    name = hydra.runtime.choices["hydra/launcher"]
    node: Any = OmegaConf.to_container(hydra.launcher, resolve=True)
    target = str(node.get("_target_"))
    if not target.startswith(("hydra_plugins.", "hydra._internal.core_plugins.")):
        raise ValueError(
            f"hydra.launcher._target_={target}: expected a launcher's, which hydra/launcher=NAME chooses"
        )
    if not target.startswith(_OURS):
        return
    package = node.get("requires")
    if package is not None and find_spec(package) is None:
        raise ValueError(
            f"hydra/launcher={name}: the package {package} is not installed; pip install 'priorgap[{name}]'"
        )
    LauncherCounts.check(node)
    if node.get("cluster") == "slurm" and shutil.which("srun") is None:
        raise ValueError(
            "hydra.launcher.cluster=slurm: there is no srun here; expected a machine that submits to Slurm, or "
            "cluster=local to try a command"
        )
    if node.get("shared_disk") is False and hydra.sweeper.get("_target_") not in _GRIDS:
        raise ValueError(
            "hydra.launcher.shared_disk=false: expected a sweep over named values; a sweeper that proposes models by "
            "the results of others needs nodes that see the output root"
        )
    if node.get("address") is not None:
        _check_address(str(node["address"]))


def _check_address(address: str) -> None:
    """Check that something answers at a Ray cluster's address."""
    if address in ("auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()
    except (OSError, ValueError) as error:
        raise ValueError(
            f"hydra.launcher.address={address}: no Ray cluster answers there; expected auto, or host:port of "
            "the head of one that runs"
        ) from error
