"""From measurements to a study's report: the tidy table, the verdict, figures, one page."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import yaml

from priorgap.core import artifacts
from priorgap.core.findings import Finding
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Catalogue
from priorgap.core.verdict_rules import VerdictRules
from priorgap.evaluation.reference import FEATURE_CLASSIFIER, no_labels
from priorgap.pipeline import page_data
from priorgap.pipeline.gathering import gather, measurements_of, models_of
from priorgap.pipeline.models import moments_match, weights_file
from priorgap.pipeline.store.curves import read_curves
from priorgap.pipeline.store.layout import Store
from priorgap.pipeline.store.records import Record, RecordedModel
from priorgap.pipeline.study_provenance import cost_of, provenance_of
from priorgap.pipeline.tracking.access import TrackingFailed
from priorgap.pipeline.tracking.live import LiveRuns, run_name
from priorgap.pipeline.tracking.models import track_model
from priorgap.pipeline.tracking.study import track_study
from priorgap.report import page_of, write_page, write_results
from priorgap.report.pictures import shows_one_model
from priorgap.report.run_metrics import write_run_metrics
from priorgap.verdict import StudyVerdict, decide_study
from priorgap.verdict.model_findings import not_applied

log = logging.getLogger(__name__)


class Written(NamedTuple):
    """The result of writing a report.

    Attributes:
        path: the page.
        verdict: the verdict.
        untracked: why W&B did not receive all of it; None where it did, or was not asked to.
    """

    path: Path
    verdict: StudyVerdict
    untracked: str | None


def write(reported: Sequence[Record], config: Mapping[str, Any], store: Store) -> Written:
    """Write outputs/<study>/report.

    Args:
        reported: the models that the report covers, as recorded; nothing that they name is built.
        config: the command's own configuration: settings of the report and of tracking.
        store: the store of results.

    Raises:
        NothingMeasured: nothing of the study is complete.
        Damaged: a result differs from its manifest.
    """
    folder = store.study(reported[0].study) / "report"
    # Two processes that share a study must not replace a page or write a run at the same time.
    with artifacts.locked(folder, store.locks):
        artifacts.sweep_partial(folder)
        return _write(reported, config, store, folder)


def _write(reported: Sequence[Record], config: Mapping[str, Any], store: Store, folder: Path) -> Written:
    study = reported[0].study
    gathered = gather(reported, store)
    for name in gathered.missing:
        log.warning("not complete, left out of the report: %s", name)
    rules = VerdictRules.of(config["verdict"])
    verdict = decide_study(
        gathered.table,
        measure=rules.measure,
        space=rules.space or "",
        baseline=rules.baseline,
        level=rules.level,
        smallest_ratio=rules.smallest_ratio,
        limits=rules.health,
        findings=[
            *_without_labels(reported, store),
            *_chosen_by_results(reported, rules),
            *not_applied(gathered.without_draws),
        ],
        matches=_matches(reported, store),
        skipped=gathered.skipped,
        costs=gathered.costs,
        redrawn=gathered.redrawn,
        catalogue=gathered.catalogue,
    )
    record = verdict.to_json()
    with artifacts.publish(folder, artifacts.digest(record)) as directory:
        write_results(directory, gathered.table, verdict, gathered.catalogue)
        write_run_metrics(directory, gathered.table, verdict, gathered.catalogue, _curves(reported, store))
        provenance = provenance_of(reported, store)
        artifacts.save_json(directory / "provenance.json", {**provenance, **cost_of(reported, store)})
        page = page_of(
            study=study,
            table=gathered.table,
            verdict=verdict,
            previews=page_data.all_previews(reported, store),
            aggregates=page_data.aggregates(reported, store),
            training=page_data.training_images(reported, store),
            studied=page_data.studied(reported, store),
            provenance=provenance,
            config_text=yaml.safe_dump(dict(reported[0].config), sort_keys=False),
            skipped={**gathered.skipped, **dict.fromkeys(gathered.missing, "not complete")},
            catalogue=gathered.catalogue,
            known_as=gathered.known_as,
        )
        write_page(page, directory)
    figures = {p.stem: p for p in sorted((folder / "figures").glob("*.png"))}
    try:
        track_models(reported, config["tracking"], store, gathered.catalogue)
        track_study(
            config["tracking"],
            store.study(study),
            study=study,
            table=gathered.table,
            figures={k: v for k, v in figures.items() if not shows_one_model(k)},
            verdict=verdict,
        )
    except TrackingFailed as error:
        return Written(folder / "report.html", verdict, str(error))
    return Written(folder / "report.html", verdict, None)


def _without_labels(reported: Sequence[Record], store: Store) -> list[Finding]:
    """Return findings on feature spaces that were trained without labels."""
    found = set()
    for step in (step for record in reported for step in record.steps):
        if step.space == FEATURE_CLASSIFIER and store.is_complete(step):
            artifacts.check(store.folder(step), "facts.json")
            facts = artifacts.load_json(store.folder(step) / "facts.json")
            if not facts["labelled"] and FEATURE_CLASSIFIER in facts:
                found.add(no_labels(int(facts[FEATURE_CLASSIFIER]["n_classes"])))
    return list(found)


def _chosen_by_results(reported: Sequence[Record], rules: VerdictRules) -> list[Finding]:
    """Return findings on models that a sweeper proposed by the results of others."""
    sweepers = sorted({record.proposed_by for record in reported} - {""})
    if not sweepers:
        return []
    n = sum(record.proposed_by != "" for record in reported)
    sentence = (
        f"{n} of {len(reported)} models were proposed by the results of others ({', '.join(sweepers)}, by "
        f"{rules.measure} of {rules.baseline} on the test observations): the best of them look better than they are, "
        "and no interval knows of it."
    )
    return [Finding("warn", "chosen_by_results", float(n), None, sentence)]


def _matches(reported: Sequence[Record], store: Store) -> dict[str, bool]:
    """Return by cell whether training to convergence matches means and variances, as its models state."""
    found: dict[str, bool] = {}
    for _, model in models_of(reported):
        (step,) = model.of("train")
        known = moments_match(store.path(step)) if store.is_complete(step) else None
        if known is not None:
            found[model.group] = found.get(model.group, True) and known
    return found


def _curves(reported: Sequence[Record], store: Store) -> dict[str, list[dict[str, float]]]:
    """Return the training curves of every trained model, each once."""
    steps = {step.path: step for _, model in models_of(reported) for step in model.of("train")}
    return {
        str(path): read_curves(store.folder(step)) for path, step in steps.items() if store.is_complete(step)
    }


def track_models(
    reported: Sequence[Record],
    settings: Mapping[str, Any],
    store: Store,
    catalogue: Catalogue,
    live: LiveRuns | None = None,
) -> None:
    """Write the W&B run of every measured model; unchanged runs are skipped.

    Args:
        reported: the models.
        settings: the group `tracking`.
        store: the store of results.
        catalogue: the entries of their measures.
        live: runs that were opened when their models were trained.

    Raises:
        TrackingFailed: W&B cannot be reached, or refuses.
    """
    if settings["mode"] == "off":
        return
    for record, model in models_of(reported):
        rows = [
            (step.sampler, Measurement.from_json(row))
            for step in measurements_of(model)
            if store.is_complete(step)
            for row in store.value(step)["rows"]
        ]
        (training,) = model.of("train")
        if not rows or not store.is_complete(training):
            continue
        # Two processes that share a study must not write the same run at the same time.
        with store.locked(PurePosixPath(record.study) / "tracked" / model.id):
            track_model(
                settings,
                store.study(record.study),
                run_name(
                    record.config,
                    model,
                    record.study,
                    record.label,
                    None if live is None else live.agent(model.id),
                ),
                curves=read_curves(store.folder(training)),
                rows=rows,
                previews=page_data.previews_of(model, store),
                weights=weights_file(store.folder(model.weights)),
                stages=_stages(model, store),
                catalogue=catalogue,
                live=None if live is None else live.take(model.id),
            )


def _stages(model: RecordedModel, store: Store) -> list[str]:
    once = ("train", "calibrate", "encode")
    found = [kind for kind in once if any(store.is_complete(step) for step in model.of(kind))]
    return [*found, "sample", "measure"]
