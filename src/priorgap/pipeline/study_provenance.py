"""How a study was made and what it cost: the content of provenance.json in its report."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from priorgap.core import artifacts
from priorgap.pipeline.store.layout import Known, Store
from priorgap.pipeline.store.records import Record


def provenance_of(reported: Sequence[Record], store: Store) -> dict[str, Any]:
    """Return data, versions, processors and numerics of a study's models."""
    result: dict[str, Any] = {}
    processors: dict[str, None] = {}
    for kind, path, known in _known(reported, store):
        if kind == "prepare":
            facts = artifacts.load_json(path / "dataset.json")
            result[f"data {facts['name']}"] = {
                "checksum": known.content[:16],
                "official split": facts["official"],
            }
        if kind == "train":
            keep = ("packages", "python", "hardware", "commit", "kernels")
            result["models"] = {k: v for k, v in known.provenance.items() if k in keep and v != ""}
            # Results of earlier versions do not record the processor.
            processors[str(known.provenance.get("processor") or "not recorded")] = None
    if processors:
        result["models"]["processor"] = "; ".join(sorted(processors))
    result["numerics"] = dict(reported[0].config["numerics"])
    return result


def cost_of(reported: Sequence[Record], store: Store) -> dict[str, Any]:
    """Return seeds, commits, and the cost of all results of a study.

    A training that was resumed after a kill is timed from its last start. Results that other studies share (data,
    their references) count in each of them.

    Returns:
        `seeds`; `commits` of all results; `finished`, the day of the newest; `took`: `cpu_seconds` (processor time of
        all threads), `busy_seconds` (the time in which at least one process worked), `results`, and how many of them
        have no recorded processor time (`without_cpu_seconds`).
    """
    found = [known.provenance for _, _, known in _known(reported, store)]
    ended = [datetime.fromisoformat(one["finished"]) for one in found if one.get("finished")]
    timed = [one["cpu_seconds"] for one in found if one.get("cpu_seconds") is not None]
    spans = [
        (end.timestamp() - float(one["seconds"]), end.timestamp())
        for one in found
        if one.get("finished") and one.get("seconds") is not None
        for end in (datetime.fromisoformat(one["finished"]),)
    ]
    return {
        "seeds": sorted({int(record.config["seed"]) for record in reported}),
        "commits": sorted({str(one["commit"]) for one in found if one.get("commit")}),
        "finished": max(ended).date().isoformat() if ended else None,
        "took": {
            "cpu_seconds": round(sum(timed), 1),
            "busy_seconds": round(covered(spans), 2),
            "results": len(found),
            "without_cpu_seconds": len(found) - len(timed),
        },
    }


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of some intervals."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _known(reported: Sequence[Record], store: Store) -> Iterable[tuple[str, Any, Known]]:
    """Yield stage, path and manifest of every existing result."""
    for step in {step.path: step for record in reported for step in record.steps}.values():
        known = store.known(step)
        if known is not None:
            yield step.kind, store.folder(step) if step.kind == "prepare" else store.path(step), known
