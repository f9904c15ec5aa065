"""Jobs on nodes that share no disk with the command: their inputs are sent once, and results return as packs.

Only this process writes to the store. A pack is checked against its own list, against the manifests in it and
against the keys that its results must have, and each result is published by rename, as its own writer would have.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from priorgap.core import artifacts
from priorgap.pipeline.config.plan import Step
from priorgap.pipeline.store import keys, packs, receiving
from priorgap.pipeline.store.folders import folder_of
from priorgap.pipeline.store.index import Index
from priorgap.pipeline.store.layout import Store, unless_in_use
from priorgap.pipeline.sweep.node_folder import PLAIN, Answer, Errand, Shipment

_INCOMING = ".incoming"
# Seconds between two writings of an index; entries that a kill loses are determined again.
_WRITE_EVERY = 30.0
# Maps the typed paths of files that jobs read in addition to results to the digests that the command computed.
OwnFiles = Mapping[str, str]


class Cluster(Protocol):
    """The interface for sending bytes to nodes."""

    def send(self, content: bytes) -> Callable[[], bytes | memoryview]:
        """Return a call that returns these bytes on any node."""


class Exchange:
    """The driver's side of a sweep: makes errands, and publishes the results that they return.

    Args:
        store: the command's store.
        cluster: sends the inputs of errands to nodes.
        node: returns the id of the node on which it is called.
        base: the folder in which nodes create their folders; None: that of temporary files.
        incoming: a folder that belongs to this exchange, on the store's file system.
    """

    def __init__(
        self, store: Store, cluster: Cluster, node: Callable[[], str], base: str | None, incoming: Path
    ) -> None:
        self._store, self._cluster, self._node, self._base = store, cluster, node, base
        self._incoming = incoming
        self._sent: dict[tuple[PurePosixPath, ...], Shipment] = {}
        self._indexes: dict[str, Index] = {}
        self._written = time.monotonic()

    def is_done(self, train_id: str, steps: Sequence[Step]) -> bool:
        """Whether all results of a training are here and sound; results in the index are not read again."""
        # A new store object is used, because one that caches what it has read would grow with the sweep.
        store = Store(self._store.root)
        try:
            signature = keys.signature(steps, store)
            index = self._index_of(steps)
            row = index.row(train_id)
            folders = dict.fromkeys(folder_of(step, store) for step in steps)
            if row is not None and row.signature == signature and row.covers(folders, store.root):
                return True
            stamps = index.stamps(train_id, folders)
            if not all(store.is_sound(step, keys.key(step, store)) for step in steps):
                return False
        except keys.Incomplete:
            return False
        index.keep(train_id, stamps, signature=signature)
        return True

    def _index_of(self, steps: Sequence[Step]) -> Index:
        study = steps[0].path.parts[0]
        if study not in self._indexes:
            self._indexes[study] = Index(self._store, study)
        return self._indexes[study]

    def write_indexes(self) -> None:
        """Write the indexes of the studies' trainings."""
        for index in self._indexes.values():
            index.write()

    def errand(
        self,
        steps: Sequence[Step],
        builds_on: Sequence[Step],
        compute: Callable[[Path], Any],
        own_files: OwnFiles | None = None,
    ) -> Errand:
        """Return a job for a node.

        Args:
            steps: the results that it must make; those that exist here are sent along.
            builds_on: inputs that many jobs share, which are sent once.
            compute: makes the results in a store at a given path.
            own_files: additional files that it reads.

        Raises:
            Damaged: an input is damaged.
        """
        folders = dict.fromkeys(folder_of(step, self._store) for step in steps)
        names = tuple(folder.relative_to(self._store.root).as_posix() for folder in folders)
        given = [folder for folder in folders if self._can_go(folder)]
        pack = packs.pack(given, self._store.root) if given else b""
        return Errand(
            self._shipment(builds_on, own_files or {}), pack, names, compute, self._node, self._base
        )

    def _can_go(self, folder: Path) -> bool:
        """Whether a folder holds results with all their files; damaged ones are made again on the node."""
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
            # A file with a path relative to this folder gets the same relative path in a job's folder.
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
    def received(self, answer: Answer, train_id: str, steps: Sequence[Step]) -> Iterator[Path]:
        """Publish a job's results; yield the folder of plain files that came with them, which is removed afterwards.

        Args:
            answer: the job's answer.
            train_id: the id of its training.
            steps: the results that it had to make.

        Raises:
            ValueError: the pack, or a result in it, is not as expected; one line.
            OSError: a result cannot be written.
        """
        # The same path is used each time, so that caches of files do not grow.
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(parents=True)
        try:
            packs.unpack(answer.pack, self._incoming, sync=True)
            store = Store(self._store.root)
            receiving.take(steps, Store(self._incoming), store, partial(_key, store))
            yield self._incoming / PLAIN
            self._note(train_id, steps, store)
        finally:
            shutil.rmtree(self._incoming, ignore_errors=True)

    def _note(self, train_id: str, steps: Sequence[Step], store: Store) -> None:
        """Add a training to the index after all of its results were checked."""
        index = self._index_of(steps)
        stamps = index.stamps(train_id, dict.fromkeys(folder_of(step, store) for step in steps))
        if all(store.is_complete(step, _key(store, step) or "") for step in steps):
            index.keep(train_id, stamps, signature=keys.signature(steps, store))
        if time.monotonic() - self._written > _WRITE_EVERY:
            self.write_indexes()
            self._written = time.monotonic()


def _key(store: Store, step: Step) -> str | None:
    try:
        return keys.key(step, store)
    except keys.Incomplete:
        return None


@contextmanager
def exchanging(
    store: Store, cluster: Cluster, node: Callable[[], str], base: str | None
) -> Iterator[Exchange]:
    """Open an exchange, and remove what killed ones left in the store."""
    place = PurePosixPath(_INCOMING) / f"{os.uname().nodename}-{os.getpid()}"
    folder = store.root / place
    folder.parent.mkdir(parents=True, exist_ok=True)
    with store.locked(place):
        for left in sorted(folder.parent.iterdir()):
            with unless_in_use(left, store) as free:
                if free:
                    shutil.rmtree(left, ignore_errors=True)
        try:
            exchange = Exchange(store, cluster, node, base, folder)
            yield exchange
            exchange.write_indexes()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
