"""What the metrics of a model share, who asks for it, and what it takes: found by watching them work."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from time import process_time
from typing import Any

from priorgap.metrics.copies import copies_of, found_in_pixels
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.measuring import measure_one
from priorgap.metrics.protocols import Metric
from priorgap.pipeline.config import parts
from priorgap.pipeline.config.model_config import ModelConfig
from priorgap.pipeline.config.plan import plan_of
from priorgap.pipeline.desk import Desk
from priorgap.pipeline.precision import set_numerics
from priorgap.pipeline.store.layout import Store
from priorgap.pipeline.store.records import Record

# attributes of the evidence, and the first words of what is kept in a memo: as they are called there
TITLES = {
    "samples": "a sampler's draws, decoded",
    "features": "their features",
    "labeller_labels": "their labels by the labeller",
    "nearest in pixels": "nearest training and validation images of the first of them",
    "neighbours": "index of the training images",
    "copies": "posterior draws of training and held-out images, decoded and searched for",
}
OF_SAMPLERS = ("samples", "features", "labeller_labels")
OF_MODEL = ("neighbours", "copies")
# a metric that needs none of these looks at latents alone
OF_IMAGES = frozenset({"decode", "reference", "features", "classifiers"})

N_WATCHED = 500


class Memo(dict[Any, Any]):
    """What metrics keep for each other; it notes what they ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def _note(self, key: Any) -> None:
        self.asked.add(str(key[0] if isinstance(key, tuple) else key))

    def __contains__(self, key: object) -> bool:
        self._note(key)
        return super().__contains__(key)

    def get(self, key: Any, default: Any = None) -> Any:
        """Return what is kept, and note that it was asked for."""
        self._note(key)
        return super().get(key, default)


class Watched(Evidence):
    """Evidence that notes in its model's memo which of what metrics share is asked for."""

    def __getattribute__(self, name: str) -> Any:
        if name in OF_SAMPLERS:
            object.__getattribute__(self, "model").memo.asked.add(name)
        return super().__getattribute__(name)


def timed(work: Callable[[], object]) -> float:
    """Return the CPU seconds of some work."""
    start = process_time()
    work()
    return process_time() - start


def asked_by(metrics: Mapping[str, Metric], one: Evidence, seed: int) -> dict[str, list[str]]:
    """Return what is shared -> the metrics that ask for it, by taking each once, of one sampler or of the model."""
    memo = Memo()
    reference = one.model.reference
    assert reference is not None
    model = replace(one.model, memo=memo, reference=replace(reference, memo=memo))
    assert one.draw is not None
    # what is asked for does not depend on how many draws there are, and a classifier of few is soon trained
    few = replace(
        one.draw, **{name: None if x is None else x[:N_WATCHED] for name, x in vars(one.draw).items()}
    )
    of_sampler = Watched(model, one.sampler, one.role, few, one.label_source)
    found: dict[str, list[str]] = {}
    for name, metric in metrics.items():
        if not metric.needs & OF_IMAGES:
            continue
        memo.asked.clear()
        measure_one(metric, of_sampler if metric.scope == "sampler" else Watched(model), seed=seed)
        for what in memo.asked & TITLES.keys():
            found.setdefault(what, []).append(name)
    return found


def shared(record: Record, store: Store) -> Iterator[tuple[str, str, float, str]]:
    """Yield what metrics of one model share, those that ask for it, its CPU seconds, and of what they are."""
    cell = ModelConfig(record.config)
    set_numerics(cell.config)
    space = str(cell.config["verdict"]["space"])
    planned = plan_of([cell]).models[0]
    model = Desk(store).model(planned)
    read = timed(lambda: model.evidence(space))
    yield "model, posteriors, data and reference, read", "all", read, "model"
    all_of_them = (model.of_sampler(name, space) for name in planned.samples)
    # a sampler whose draws have labels is asked for most
    most = max((x for x in all_of_them if not isinstance(x, str)), key=lambda one: bool(one.label_source))
    metrics = {name: parts.metric(cell.config, name) for name in cell.config["metrics"]}
    users = asked_by(metrics, most, cell.seed)
    seconds = _seconds(most, users, _queries(cell))
    for what, title in TITLES.items():
        if len(users.get(what, ())) > 1:
            of = "model" if what in OF_MODEL else "sampler"
            yield title, ", ".join(users[what]), seconds[what], of


def _queries(cell: ModelConfig) -> int:
    """Return for how many draws near copies are searched for."""
    return max(
        (int(node["n_queries"]) for node in cell.config["metrics"].values() if "n_queries" in node), default=0
    )


def _seconds(one: Evidence, users: Mapping[str, object], n: int) -> dict[str, float]:
    """Return the CPU seconds of what is asked for, by `TITLES`, each after what it needs itself."""
    reference = one.model.reference
    assert reference is not None
    work: dict[str, Callable[[], object]] = {
        "samples": lambda: one.samples,
        "features": lambda: one.features,
        "labeller_labels": lambda: one.labeller_labels,
        "neighbours": lambda: [reference.neighbours("train"), reference.neighbours("validation")],
        "copies": lambda: copies_of(one.model, n),
        "nearest in pixels": lambda: found_in_pixels(one.samples, reference, n),
    }
    return {name: timed(do) for name, do in work.items() if name in users}
