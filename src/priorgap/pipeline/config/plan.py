"""The results that a command computes, as data: for each its path, settings and inputs.

A plan is a pure function of composed configurations, made before anything is created, and the only place that
determines where results are stored. No path and no id depends on the data. Keys are not part of a plan, because they
need the content of a result's inputs (`store.keys`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Literal

from priorgap.core import artifacts, plugins
from priorgap.core.build import target_modules
from priorgap.core.receivers import under
from priorgap.metrics.protocols import Metric, wants
from priorgap.pipeline.config import parts
from priorgap.pipeline.config.model_config import ModelConfig, Variant
from priorgap.pipeline.store.records import MARGINALS

Kind = Literal["prepare", "reference", "train", "calibrate", "encode", "sample", "measure"]
KINDS: tuple[Kind, ...] = ("prepare", "reference", "train", "calibrate", "encode", "sample", "measure")
# The kinds of results that all studies of a data set share, and those that belong to one study.
SHARED_KINDS: tuple[Kind, ...] = ("prepare", "reference")
MODEL_KINDS: tuple[Kind, ...] = KINDS[len(SHARED_KINDS) :]
OF_MODEL = "_model"
CLASSIFIERS = "classifiers"
FEATURE_CLASSIFIER = "feature_classifier"
Json = Any


@dataclass(frozen=True)
class Closure:
    """A result depends on the code of these modules and of everything that they import."""

    modules: tuple[str, ...]


@dataclass(frozen=True)
class Version:
    """A result depends on a version number raised by hand, so that expensive results are not redone for every edit.

    Attributes:
        number: the version of our own code.
        modules: modules of plugins, which have no such number, so that their code is digested.
    """

    number: int
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subject:
    """What a result is about; "" where that does not apply.

    Attributes:
        model: the model's id.
        sampler: the sampler's name.
        metric: the metric's name.
        space: the feature space of the measurement.
    """

    model: str = ""
    sampler: str = ""
    metric: str = ""
    space: str = ""


@dataclass(frozen=True, eq=False)
class Step:
    """One stored result; its identity is its path.

    Attributes:
        kind: the stage that makes it.
        path: its path under the store.
        name: its name in messages.
        settings: what it depends on other than its inputs, as plain data.
        inputs: the results from which it is made.
        code: the code on which it depends.
        seed: the seed of everything random in it, for its provenance.
        subject: the model, sampler, metric and space of the result.
    """

    kind: Kind
    path: PurePosixPath
    name: str
    settings: Json
    inputs: tuple["Step", ...]
    code: Closure | Version
    seed: int
    subject: Subject = field(default_factory=Subject)

    def to_json(self) -> dict[str, Json]:
        """Return the part of a step that a study's record keeps."""
        return {
            "kind": self.kind,
            "path": str(self.path),
            "name": self.name,
            "inputs": [str(step.path) for step in self.inputs],
            "subject": vars(self.subject),
        }


@dataclass(frozen=True, eq=False)
class PlannedModel:
    """A model as it is sampled and measured, with the paths of all its results.

    Attributes:
        cell: the configuration that defines it.
        id: its id; calibrated models, and those with drawn x, have ids of their own.
        group: the common id of all models that differ only in their seed: the `cell` column of results.csv.
        calibrated: whether the model is calibrated.
        decode: how z becomes x: mean or draw.
        data, weights, posteriors: the inputs of its samples and measures.
        train: the training from which its weights come.
        references: the real data's features and networks, by feature space; "" holds labeller and judge.
        samples: its samples, by sampler.
        measures: the measurements of the model and of its samplers.
    """

    cell: ModelConfig
    id: str
    group: str
    calibrated: bool
    decode: str
    data: Step
    train: Step
    weights: Step
    posteriors: Step
    references: Mapping[str, tuple[Step, ...]]
    samples: Mapping[str, Step]
    measures: tuple[Step, ...]

    @property
    def name(self) -> str:
        """The name in messages and tables."""
        marks = [
            *(["calibrated"] if self.calibrated else []),
            *(["x drawn"] if self.decode == "draw" else []),
        ]
        named = f"{self.cell.label}-{self.id}"
        return f"{named} ({', '.join(marks)})" if marks else named

    @property
    def steps(self) -> Iterator[Step]:
        """Every result that it needs, in a valid order."""
        yield self.data
        yield from dict.fromkeys(step for steps in self.references.values() for step in steps)
        yield self.train
        if self.calibrated:
            yield self.weights
        yield self.posteriors
        yield from self.samples.values()
        yield from self.measures


@dataclass(frozen=True, eq=False)
class Job:
    """The work that one process does at once, because its results share expensive steps.

    Attributes:
        kind: the stage.
        path: the path of the job's lock.
        steps: its results.
        model: the model that it works on; for prepare and reference a model that needs them.
        sampler: for a measure job the sampler, "" for the model itself.
    """

    kind: Kind
    path: PurePosixPath
    steps: tuple[Step, ...]
    model: PlannedModel
    sampler: str = ""


@dataclass(frozen=True, eq=False)
class Plan:
    """All results of some configurations.

    Attributes:
        models: every model, calibrated ones too, in the order of their configurations.
        steps: every result by its path.
    """

    models: tuple[PlannedModel, ...]
    steps: Mapping[PurePosixPath, Step]

    @cached_property
    def cells(self) -> tuple[ModelConfig, ...]:
        """The configurations, without repetitions."""
        return tuple(dict.fromkeys(model.cell for model in self.models))

    @cached_property
    def by_cell(self) -> Mapping[ModelConfig, list[PlannedModel]]:
        """The models of each configuration; the mapping avoids a search that is quadratic in their number."""
        found: dict[ModelConfig, list[PlannedModel]] = {}
        for model in self.models:
            found.setdefault(model.cell, []).append(model)
        return found

    def of(self, cells: Collection[ModelConfig]) -> "Plan":
        """Return the part of the plan that belongs to some configurations."""
        models = tuple(model for model in self.models if model.cell in cells)
        return Plan(models, {step.path: step for model in models for step in model.steps})

    def jobs(self, kinds: Collection[str]) -> list[Job]:
        """Return the jobs of these kinds, in a valid order: model by model."""
        shared = {
            job.path: job
            for kind in SHARED_KINDS
            for model in self.models
            for job in _shared_jobs(kind, model)
        }
        own = [job for model in self.models for job in _model_jobs(model)]
        return [job for job in (*shared.values(), *own) if job.kind in kinds]


def _shared_jobs(kind: Kind, model: PlannedModel) -> Iterator[Job]:
    if kind == "prepare":
        yield Job(kind, model.data.path, (model.data,), model)
        return
    for step in dict.fromkeys(step for steps in model.references.values() for step in steps):
        yield Job(kind, step.path, (step,), model)


def _model_jobs(model: PlannedModel) -> Iterator[Job]:
    yield Job("train", model.train.path, (model.train,), model)
    if model.calibrated:
        yield Job("calibrate", model.weights.path, (model.weights,), model)
    yield Job("encode", model.posteriors.path, (model.posteriors,), model)
    if model.samples:
        first = next(iter(model.samples.values()))
        yield Job("sample", first.path.parent, tuple(model.samples.values()), model)
    for sampler in dict.fromkeys(step.subject.sampler for step in model.measures):
        own = tuple(step for step in model.measures if step.subject.sampler == sampler)
        yield Job("measure", own[0].path.parent, own, model, sampler)


def plan_of(cells: Sequence[ModelConfig]) -> Plan:
    """Return the plan of some configurations.

    Raises:
        ValueError: two configurations give the same result different settings; one line.
    """
    builder = _Builder()
    models = tuple(model for cell in cells for model in builder.models(cell))
    return Plan(models, builder.steps)


class _Builder:
    """Builds steps, each path once."""

    def __init__(self) -> None:
        self.steps: dict[PurePosixPath, Step] = {}

    def _step(
        self,
        cell: ModelConfig,
        kind: Kind,
        path: PurePosixPath,
        what: str,
        settings: Json,
        inputs: Sequence[Step],
        code: Closure | Version,
        seed: int,
        subject: Subject,
    ) -> Step:
        known = self.steps.get(path)
        if known is None:
            name = f"{what}, {cell.label}" if what else cell.label
            known = Step(kind, path, name, settings, tuple(inputs), code, seed, subject)
            self.steps[path] = known
        elif known.settings != settings:
            group = "metrics" if subject.metric else "samplers"
            raise ValueError(
                f"{group}.{subject.metric or subject.sampler}: two cells of this sweep give one model different "
                "settings of it, or of n_samples; give them studies of their own (study=...)"
            )
        return known

    def models(self, cell: ModelConfig) -> Iterator[PlannedModel]:
        """Yield the models that a configuration defines: as trained, calibrated, or both."""
        data = self._data(cell)
        references = self._references(cell, data)
        train = self._train(cell, data)
        for variant in cell.variants:
            subject = Subject(variant.weights_id)
            folder = PurePosixPath(cell.study)
            weights = train
            if variant.calibrated:
                code = Closure(("priorgap.models.calibrate", "priorgap.evaluation.model"))
                weights = self._step(
                    cell, "calibrate", folder / "calibrate" / variant.weights_id, "", {}, (train, data), code,
                    cell.seed, subject,
                )  # fmt: skip
            encoding = Closure(("priorgap.evaluation.model", "priorgap.models.families"))
            posteriors = self._step(
                cell, "encode", folder / "encode" / variant.weights_id, "posteriors",
                dict(cell.config["numerics"]), (weights, data), encoding, cell.seed, subject,
            )  # fmt: skip
            samples = {
                name: self._sample(cell, variant, name, (weights, posteriors)) for name in variant.samplers
            }
            found = PlannedModel(
                cell, variant.model_id, cell.group_id(variant), variant.calibrated, variant.decode, data, train,
                weights, posteriors, references, samples, (),
            )  # fmt: skip
            yield PlannedModel(**{**vars(found), "measures": tuple(self._measures(found))})

    def _data(self, cell: ModelConfig) -> Step:
        node = cell.config["data"]["source"]
        modules = [*target_modules(node), "priorgap.data.splits"]
        settings: Json = node
        if cell.binarize is not None:
            settings, modules = [node, cell.binarize], [*modules, "priorgap.data.binarize"]
        # The settings do not contain the content of a user's own files, so their digests are added.
        own = list(parts.data_files(cell.config).values())
        settings = [settings, *own] if own else settings
        return self._step(
            cell, "prepare", PurePosixPath("data") / cell.data_id, "data", settings, (),
            Closure(tuple(modules)), 0, Subject(),
        )  # fmt: skip

    def _references(self, cell: ModelConfig, data: Step) -> dict[str, tuple[Step, ...]]:
        shared: Json = [
            {"reference": cell.config["reference"], "n_samples": cell.config["n_samples"]},
            cell.config["numerics"],
        ]
        root = PurePosixPath("reference") / cell.data_id

        def step(what: str, settings: Json, inputs: Sequence[Step], modules: Sequence[str]) -> Step:
            path = root / f"{what}-{artifacts.digest(settings)[:8]}"
            code = Closure(("priorgap.evaluation.reference", *modules))
            seed = int(cell.config["reference"]["seed"])
            return self._step(
                cell, "reference", path, what, settings, inputs, code, seed, Subject(space=what)
            )

        found: dict[str, tuple[Step, ...]] = {}
        for space, node in cell.config["feature_spaces"].items():
            inputs = [data]
            if parts.feature_space(cell.config, space).needs_classifier:
                inputs.append(step(FEATURE_CLASSIFIER, [FEATURE_CLASSIFIER, *shared], (data,), ()))
            settings: list[Json] = [*shared, node, *parts.feature_files(cell.config, space).values()]
            own = step(space, settings, inputs, ("priorgap.metrics.floors", *target_modules(node)))
            found[space] = (*inputs[1:], own)
        metrics = [parts.metric(cell.config, name) for name in cell.config["metrics"]]
        if any("classifiers" in wants(metric) for metric in metrics):
            # Labeller, judge and ceilings are the most expensive part of a reference, so they are made only if a
            # metric needs them.
            found[""] = (
                step(CLASSIFIERS, [CLASSIFIERS, *shared], (data,), ("priorgap.metrics.classifiers",)),
            )
        return found

    def _train(self, cell: ModelConfig, data: Step) -> Step:
        from priorgap.pipeline.config.train_version import TRAIN_VERSION

        path = PurePosixPath(cell.study) / "train" / cell.train_id
        own = {key: node for key, node in cell.training_slice.items() if key != "data"}
        of_plugins = [m for m in target_modules(own) if under(m, plugins.allowed())]
        return self._step(
            cell, "train", path, "", cell.training_slice, (data,), Version(TRAIN_VERSION, tuple(of_plugins)),
            cell.seed, Subject(cell.train_id),
        )  # fmt: skip

    def _sample(self, cell: ModelConfig, variant: Variant, name: str, inputs: Sequence[Step]) -> Step:
        node = cell.config["samplers"][name]
        settings = [node, cell.config["n_samples"], cell.seed, cell.config["numerics"], *variant.decoding]
        code = Closure((*target_modules(node), "priorgap.evaluation.sample"))
        path = PurePosixPath(cell.study) / "sample" / variant.model_id / name
        return self._step(
            cell, "sample", path, name, settings, inputs, code, cell.seed, Subject(variant.model_id, name)
        )

    def _measures(self, model: PlannedModel) -> Iterator[Step]:
        cell = model.cell
        # Measures that do not use x are the same for each decode rule.
        of_latents = model.posteriors.subject.model
        root = PurePosixPath(cell.study) / "measure"
        yield self._step(
            cell, "measure", root / of_latents / OF_MODEL / MARGINALS, "marginals", MARGINALS,
            (model.posteriors, model.weights, model.data),
            Closure(("priorgap.evaluation.measure",)), cell.seed, Subject(of_latents, metric=MARGINALS),
        )  # fmt: skip
        for name in cell.config["metrics"]:
            metric = parts.metric(cell.config, name)
            samplers = tuple(model.samples) if metric.scope == "sampler" else ("",)
            spaces = tuple(cell.config["feature_spaces"]) if "features" in metric.needs else ("",)
            shared = metric.scope != "sampler" and "decode" not in metric.needs
            owner = of_latents if shared else model.id
            for sampler in samplers:
                for space in spaces:
                    yield self._measure(model, root / owner, metric, Subject(owner, sampler, name, space))

    def _measure(self, model: PlannedModel, root: PurePosixPath, metric: Metric, subject: Subject) -> Step:
        cell = model.cell
        # Measures that need no images depend neither on the reference nor on a sampler.
        inputs = [model.weights, model.posteriors, model.data]
        space = subject.space or str(cell.config["verdict"]["space"])
        if needs_reference(metric):
            inputs += [*(model.references[""] if "classifiers" in wants(metric) else ())]
            inputs += model.references[space]
        if subject.sampler:
            inputs.append(model.samples[subject.sampler])
        node = cell.config["metrics"][subject.metric]
        settings = [node, cell.seed, space if needs_reference(metric) else None]
        # The model's metrics that decode also depend on the decode rule.
        if "decode" in metric.needs and model.decode != "mean":
            settings.append(model.decode)
        # For a class of torchmetrics this adds the module that wraps it as a metric.
        modules = (*target_modules(node), type(metric).__module__)
        code = Closure((*modules, "priorgap.evaluation.measure", "priorgap.metrics.measuring"))
        last = f"{subject.metric}@{subject.space}" if subject.space else subject.metric
        what = f"{last} of {subject.sampler}" if subject.sampler else last
        return self._step(
            cell, "measure", root / (subject.sampler or OF_MODEL) / last, what, settings, inputs, code,
            cell.seed, subject,
        )  # fmt: skip


def needs_reference(metric: Metric) -> bool:
    """Whether a metric uses the real data."""
    return bool({"reference", "features", "classifiers", "floor", "labels"} & wants(metric))
