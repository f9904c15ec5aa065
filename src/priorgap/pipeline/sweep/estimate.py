"""The expected time of a study's measures, from the time that the same measures took before on this machine."""

from collections import defaultdict
from pathlib import Path
from statistics import median

from priorgap.core.shelves import Shelf
from priorgap.pipeline.config.plan import Plan
from priorgap.pipeline.store import records
from priorgap.pipeline.store.layout import Store
from priorgap.pipeline.terminal import counted

Seconds = dict[str, list[float]]


def expected_time(plan: Plan, store: Store) -> str:
    """Return a line on the time that the remaining measures will need; "" where none is left.

    The time of each measure is the median of its earlier times under this output root: in studies with the
    same data and number of samples or, if there are none, in any study. Measures without earlier times are
    counted, not estimated. Steps that several measures share (decoding, features) count for the first one.
    """
    missing = [step for model in plan.models for step in model.measures if not store.is_complete(step)]
    if not missing:
        return ""
    config = plan.cells[0].config
    near, anywhere = _earlier(store, (config["data"]["name"], config["n_samples"]))
    total, n_unknown = 0.0, 0
    for step in missing:
        found = near.get(step.path.name) or anywhere.get(step.path.name)
        if found:
            total += median(found)
        else:
            n_unknown += 1
    line = f"{counted(len(missing), 'measure')} to take"
    if total:
        line += f", about {_words(total)} by earlier runs"
        line += f" and what {n_unknown} take that were never timed here" if n_unknown else ""
    return line


def _earlier(store: Store, wanted: tuple[str, int]) -> tuple[Seconds, Seconds]:
    """Return seconds by measure, in studies with these data and this number of samples, and in all studies."""
    near: Seconds = defaultdict(list)
    anywhere: Seconds = defaultdict(list)
    for study in records.studies(store):
        alike = _facts(store, study) == wanted
        for folder in sorted((store.study(study) / "measure").glob("[!.]*")):
            for name, entry in Shelf(folder, store.locks).entries.items():
                seconds = entry.provenance.get("seconds")
                if seconds is not None:
                    last = Path(name).name
                    anywhere[last].append(float(seconds))
                    if alike:
                        near[last].append(float(seconds))
    return near, anywhere


def _facts(store: Store, study: str) -> tuple[str, int] | None:
    for record in records.records_of(store, study):
        return str(record.config["data"]["name"]), int(record.config["n_samples"])
    return None


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
