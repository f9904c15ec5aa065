"""A local Ray cluster whose nodes are kept from a folder, as nodes of other machines would be."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FORBIDDEN = "TESTS_FORBIDDEN_FOLDER"
# what a process of a node runs when it starts: a look into the folder fails there
_HOOK = f"""
import os, sys
_forbidden = os.environ.get("{FORBIDDEN}")
def _refuse(event, arguments):
    for given in arguments[:2]:
        if isinstance(given, (str, bytes, os.PathLike)):
            path = os.path.abspath(os.fsdecode(given))
            if path == _forbidden or path.startswith(_forbidden + os.sep):
                raise PermissionError(f"{{event}}: {{path}} is on no disk of this node")
if _forbidden:
    sys.addaudithook(_refuse)
"""
_NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


@dataclass
class Nodes:
    """A cluster with nodes that can be lost."""

    cluster: Any
    workers: list[Any]

    @property
    def address(self) -> str:
        """Where its head is."""
        return str(self.cluster.address)

    def lose(self) -> None:
        """Lose a node at once, with all that runs on it."""
        self.cluster.remove_node(self.workers.pop(0), allow_graceful=False)

    def add(self) -> None:
        """Add a node."""
        self.workers.append(self.cluster.add_node(**_NODE))


@contextmanager
def nodes(n: int, forbidden: Path, scratch: Path, *, tests: Path | None = None) -> Iterator[Nodes]:
    """Start a cluster of n nodes.

    Args:
        n: nodes, one CPU each.
        forbidden: a folder that no process of a node may look into: the command's.
        scratch: for what the nodes' processes run when they start.
        tests: a folder whose modules jobs are made of.
    """
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / "sitecustomize.py").write_text(_HOOK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv(FORBIDDEN, str(forbidden.absolute()))
        patch.setenv("PYTHONPATH", environment(scratch, tests)["PYTHONPATH"])
        head = {**_NODE, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        found = Nodes(cluster, [])
        try:
            for _ in range(n - 1):
                found.add()
            cluster.wait_for_nodes()
            yield found
        finally:
            cluster.shutdown()


def environment(scratch: Path, tests: Path | None = None) -> dict[str, str]:
    """Return the environment of a command on such a cluster; it hands its PYTHONPATH to the workers."""
    places = (scratch, tests, os.environ.get("PYTHONPATH"))
    path = os.pathsep.join(str(place) for place in places if place)
    return {"PYTHONPATH": path, "RAY_USAGE_STATS_ENABLED": "0", FORBIDDEN: ""}
