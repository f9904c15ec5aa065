"""Jobs whose nodes share no disk with the command: what they build on goes out once, results come back as packs.

This process alone writes to the store. A pack is checked against its own list, against the manifests in it and
against the keys that its results must have, and each result is published by rename, as its own writer would have.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from priorgap.core import artifacts
from priorgap.pipeline.config.plan import Step
from priorgap.pipeline.store import keys, packs, receiving
from priorgap.pipeline.store.folders import folder_of
from priorgap.pipeline.store.layout import Store, unless_in_use
from priorgap.pipeline.sweep.node_folder import PLAIN, Answer, Errand, Shipment

_INCOMING = ".incoming"
# the files that jobs read beside results: by path as it was typed, with the digest that the command saw
OwnFiles = Mapping[str, str]


class Cluster(Protocol):
    """What carries bytes to nodes."""

    def send(self, content: bytes) -> Callable[[], bytes | memoryview]:
        """Return a call that returns these bytes on any node."""


class Exchange:
    """The driver's side of a sweep: makes errands, and publishes what they bring.

    Args:
        store: the command's.
        cluster: carries what errands build on.
        node: returns the id of a node, there.
        base: where nodes make their folders; None: where temporary files are.
        incoming: a folder of this exchange's own, on the store's file system.
    """

    def __init__(
        self, store: Store, cluster: Cluster, node: Callable[[], str], base: str | None, incoming: Path
    ) -> None:
        self._store, self._cluster, self._node, self._base = store, cluster, node, base
        self._incoming = incoming
        self._sent: dict[tuple[PurePosixPath, ...], Shipment] = {}

    def is_done(self, steps: Sequence[Step]) -> bool:
        """Whether all of some results are here and sound."""
        try:
            return all(self._store.is_sound(step, keys.key(step, self._store)) for step in steps)
        except keys.Incomplete:
            return False

    def errand(
        self,
        steps: Sequence[Step],
        builds_on: Sequence[Step],
        compute: Callable[[Path], Any],
        own_files: OwnFiles | None = None,
    ) -> Errand:
        """Return a job for a node.

        Args:
            steps: the results that it is to make; those that are here go along.
            builds_on: results that many jobs build on: sent once.
            compute: makes them in a store at a place.
            own_files: files that it reads beside.

        Raises:
            Damaged: what it builds on is damaged.
        """
        folders = dict.fromkeys(folder_of(step, self._store) for step in steps)
        names = tuple(folder.relative_to(self._store.root).as_posix() for folder in folders)
        given = [folder for folder in folders if self._can_go(folder)]
        pack = packs.pack(given, self._store.root) if given else b""
        return Errand(
            self._shipment(builds_on, own_files or {}), pack, names, compute, self._node, self._base
        )

    def _can_go(self, folder: Path) -> bool:
        """Whether a folder holds results, and all its files; what is damaged in it is made again on the node."""
        manifest = folder / artifacts.MANIFEST
        if not self._store.holds(folder) or not manifest.is_file():
            return False
        try:
            return all((folder / name).is_file() for name in packs.published(folder))
        except ValueError:
            return False

    def _shipment(self, builds_on: Sequence[Step], own_files: OwnFiles) -> Shipment:
        key = tuple(step.path for step in builds_on)
        if key not in self._sent:
            # by its path from here, a file comes to the same path from a job's folder
            along = {name: Path(name) for name in own_files if artifacts.is_plain_path(name)}
            content = packs.pack(
                [self._store.folder(step) for step in builds_on],
                self._store.root,
                {f"{PLAIN}/{name}": file for name, file in along.items()},
            )
            expected = {name: digest for name, digest in own_files.items() if name not in along}
            digest = hashlib.sha256(content).hexdigest()
            self._sent[key] = Shipment(digest, self._cluster.send(content), expected)
        return self._sent[key]

    @contextmanager
    def received(self, answer: Answer, steps: Sequence[Step]) -> Iterator[Path]:
        """Publish what a job made; yield the folder of the plain files that came along, which is removed afterwards.

        Raises:
            ValueError: the pack, or a result in it, is not what it should be; one line.
            OSError: it cannot be written.
        """
        # the same place each time: nothing that remembers files grows
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(parents=True)
        try:
            packs.unpack(answer.pack, self._incoming, sync=True)
            receiving.take(steps, Store(self._incoming), self._store, self._key)
            yield self._incoming / PLAIN
        finally:
            shutil.rmtree(self._incoming, ignore_errors=True)

    def _key(self, step: Step) -> str | None:
        try:
            return keys.key(step, self._store)
        except keys.Incomplete:
            return None


@contextmanager
def exchanging(
    store: Store, cluster: Cluster, node: Callable[[], str], base: str | None
) -> Iterator[Exchange]:
    """Open an exchange; what killed ones left in the store is removed."""
    place = PurePosixPath(_INCOMING) / f"{os.uname().nodename}-{os.getpid()}"
    folder = store.root / place
    folder.parent.mkdir(parents=True, exist_ok=True)
    with store.locked(place):
        for left in sorted(folder.parent.iterdir()):
            with unless_in_use(left, store) as free:
                if free:
                    shutil.rmtree(left, ignore_errors=True)
        try:
            yield Exchange(store, cluster, node, base, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
