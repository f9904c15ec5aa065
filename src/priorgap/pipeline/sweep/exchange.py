"""Jobs whose nodes share no disk with the command: what they build on goes out once, results come back as packs.

This process alone writes to the store. A pack is checked against its own list, against the manifests in it and
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
# seconds between two writings of an index: what it lacks after a kill is looked for
_WRITE_EVERY = 30.0
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
        self._indexes: dict[str, Index] = {}
        self._written = time.monotonic()

    def is_done(self, train_id: str, steps: Sequence[Step]) -> bool:
        """Whether all results of a training are here and sound; those that the index knows are not read again."""
        # a store that remembers what it has read would grow with the sweep
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
        """Write what is known of the studies' trainings."""
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
    def received(self, answer: Answer, train_id: str, steps: Sequence[Step]) -> Iterator[Path]:
        """Publish what a job made; yield the folder of the plain files that came along, which is removed afterwards.

        Args:
            answer: the job's.
            train_id: of its model.
            steps: the results that it was to make.

        Raises:
            ValueError: the pack, or a result in it, is not what it should be; one line.
            OSError: it cannot be written.
        """
        # the same place each time: nothing that remembers files grows
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
        """Let the index know a training whose results were all checked as they came, or before."""
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
            exchange = Exchange(store, cluster, node, base, folder)
            yield exchange
            exchange.write_indexes()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
