"""One composed and checked configuration, with the id of the model that it trains."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from priorgap.core.arguments import show
from priorgap.core.artifacts import digest
from priorgap.core.build import allow_plugins
from priorgap.pipeline.config.groups import Settings

if TYPE_CHECKING:
    from priorgap.data.binarize import Binarize

# Devices, workers and progress change how a model is trained, but not the result.
_TRAINER_COSMETIC = ("accelerator", "progress")
_TRAINING_KEYS = ("model", "likelihood", "prior", "loss", "numerics", "seed")
# The seeds of a data source. A study may draw its split, or its synthetic data, anew with each seed; these seeds are
# then part of the study's seed.
DATA_SEEDS = ("split_seed", "data_seed")
# Keys that were added after models had been trained. They are left out of ids while null, so that those models keep
# theirs.
LATER_KEYS: Mapping[str, tuple[str, ...]] = {
    "loss": ("beta_warmup_epochs", "free_bits"),
    "prior": ("initial_mean", "initial_std", "squash"),
    "trainer": ("precision", "scheduler"),
}
# Callbacks that only observe, and so change nothing that is trained.
_OBSERVERS = frozenset({"LearningRateMonitor", "ModelSummary", "RichModelSummary", "DeviceStatsMonitor"})


@dataclass(frozen=True)
class Variant:
    """A model as it is sampled and measured: as trained or calibrated, with one decode rule.

    Attributes:
        weights_id: the id of its weights and posteriors.
        model_id: the id of its draws and measures, which is the same unless x is drawn.
        calibrated: whether the model is calibrated.
        decode: how z becomes x: mean or draw.
        samplers: the samplers' names.
    """

    weights_id: str
    model_id: str
    calibrated: bool
    decode: str
    samplers: tuple[str, ...]

    @property
    def decoding(self) -> list[str]:
        """The decode rule for ids and keys: empty for the mean, so that ids from before this option stay valid."""
        return [] if self.decode == "mean" else [self.decode]


@dataclass(frozen=True, eq=False)
class ModelConfig:
    """One composed configuration as plain data.

    Attributes:
        config: the resolved configuration, without Hydra's node.
        overrides: the typed and swept words of this cell, for readable names.
    """

    config: Mapping[str, Any]
    overrides: tuple[str, ...] = field(default=())

    @cached_property
    def settings(self) -> Settings:
        """The configuration as typed groups.

        Raises:
            ValueError: a value is wrong; one line.
        """
        # A data source's own keys were checked when the configuration was composed.
        data = self.config["data"]
        own = frozenset(f"data.{key}" for key in data) if isinstance(data, Mapping) else frozenset()
        return Settings.of(self.config, referred=own)

    @property
    def study(self) -> str:
        """The study's name."""
        return str(self.config["study"])

    @property
    def seed(self) -> int:
        """The cell's seed."""
        return int(self.config["seed"])

    @property
    def training_slice(self) -> dict[str, Any]:
        """The part of the configuration that determines the trained model."""
        trainer = {k: v for k, v in self.config["trainer"].items() if k not in _TRAINER_COSMETIC}
        return {
            "data": self._data,
            "trainer": _without_nulls("trainer", trainer),
            **{key: _without_nulls(key, self.config[key]) for key in _TRAINING_KEYS},
            **self._callbacks,
        }

    @property
    def _callbacks(self) -> dict[str, Any]:
        """The callbacks that may change the trained model, if there are any."""
        # Records of earlier versions have no callbacks.
        chosen = self.config.get("callbacks") or {}
        found = {name: node for name, node in chosen.items() if not _looks_on(node)}
        return {"callbacks": found} if found else {}

    @property
    def binarize(self) -> "Binarize | None":
        """How grey images become black and white; None: they stay grey."""
        found: Binarize | None = self.config["data"].get("binarize")
        return found

    @property
    def _data(self) -> dict[str, Any]:
        """What determines the data: the source and, if there is one, the choice of binarisation."""
        source: dict[str, Any] = self.config["data"]["source"]
        return source if self.binarize is None else {"source": source, "binarize": self.binarize}

    @property
    def decode_rules(self) -> tuple[str, ...]:
        """How z becomes x: mean, draw, or both."""
        rules = self.config["decode"]
        return (rules,) if isinstance(rules, str) else tuple(rules)

    @property
    def train_id(self) -> str:
        """The trained model's id: the hash of its training slice."""
        return digest(self.training_slice)[:8]

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The models to sample: trained, calibrated, or both, by each decode rule."""
        choice = self.config["calibrate"]
        names = tuple(self.config["samplers"])
        after = self.config["calibrated_samplers"]
        kinds = {False: (False,), True: (True,), "both": (False, True)}[choice]
        found = []
        for calibrated in kinds:
            own = digest([self.train_id, "calibrate"])[:8] if calibrated else self.train_id
            chosen = names if after is None or not calibrated else tuple(n for n in names if n in after)
            for rule in self.decode_rules:
                model_id = own if rule == "mean" else digest([own, "decode", rule])[:8]
                found.append(Variant(own, model_id, calibrated, rule, chosen))
        return tuple(found)

    def group_id(self, variant: Variant) -> str:
        """The hash of the model without seeds (the data's included): the `cell` column of results.csv."""
        same = {**self.training_slice, "data": _of_any_seed(self._data), "seed": None}
        return digest([same, variant.calibrated, *variant.decoding])[:8]

    @property
    def label(self) -> str:
        """A readable prefix for directories, from the overrides of the training slice; cosmetic."""
        parts = []
        for override in self.overrides:
            key, _, value = override.lstrip("+~").partition("=")
            if key.partition(".")[0] in ("data", "trainer", *_TRAINING_KEYS) and "root" not in key:
                # A node is shown by the name of its class.
                made = re.search(r"_target_\W+([\w.]+)", value)
                shown = value if made is None else made[1].rpartition(".")[2]
                parts.append(f"{key.rpartition('.')[2]}={shown}")
        text = re.sub(r"[^A-Za-z0-9_.=,+-]+", "_", ",".join(parts))[:80]
        return text.lstrip("._-+=,") or str(self.config["data"]["name"])

    @property
    def data_id(self) -> str:
        """Name and hash of the data set: the folder under outputs/data and outputs/reference."""
        return f"{self.config['data']['name']}-{digest(self._data)[:8]}"


def _of_any_seed(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what determines the data, except the seeds of their split and of their draws."""
    if "source" in data:
        return {**data, "source": _of_any_seed(data["source"])}
    return {key: 0 if key in DATA_SEEDS else value for key, value in data.items()}


def _looks_on(node: Mapping[str, Any]) -> bool:
    package, _, name = str(node["_target_"]).rpartition(".")
    return package.partition(".")[0] == "pytorch_lightning" and name in _OBSERVERS


def _without_nulls(group: str, node: Any) -> Any:
    later = [key for key in LATER_KEYS.get(group, ()) if node.get(key) is None]
    return {key: value for key, value in node.items() if key not in later} if later else node


# Keys with one value for each study; a second value would be ignored silently.
_ONCE = ("verdict", "tracking", "reference", "batching", "features", "output_root", "measure_processes")
# Keys with one value for each model within a study.
_ONCE_A_MODEL = (
    "samplers",
    "metrics",
    "feature_spaces",
    "n_samples",
    "decode",
    "calibrate",
    "calibrated_samplers",
)


def validate(cells: Sequence[ModelConfig]) -> None:
    """Check every cell by building all objects that its configuration names, before anything is created.

    Raises:
        ValueError: one line that names the key, the value and what was expected.
    """
    from priorgap.pipeline.config import parts

    for cell in cells:
        _ = cell.settings
        allow_plugins(cell.config)
        parts.build_all(cell.config)
        parts.check_verdict(cell.config)
    _check_once(cells, _ONCE, lambda cell: cell.study, "study has one")
    _check_once(
        cells,
        _ONCE_A_MODEL,
        lambda cell: f"{cell.study}/{cell.train_id}",
        "model has one in each study (study=...)",
    )


def _check_once(
    cells: Sequence[ModelConfig], keys: Sequence[str], owner: Callable[[ModelConfig], str], whose: str
) -> None:
    """Refuse cells with the same owner that differ in a key of which the owner has only one value."""
    first: dict[str, ModelConfig] = {}
    for cell in cells:
        known = first.setdefault(owner(cell), cell)
        for key in keys:
            line = _difference(known.config[key], cell.config[key], key)
            if line is not None:
                raise ValueError(f"{line}: expected one value; a {whose}")


def _difference(a: Any, b: Any, key: str) -> str | None:
    """Return the first place where two values differ, and how."""
    if a == b:
        return None
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if set(a) != set(b):
            return f"{key}={','.join(map(str, a))} and {','.join(map(str, b))}"
        return next(
            found for name in a if (found := _difference(a[name], b[name], f"{key}.{name}")) is not None
        )
    return f"{key}={show(a)} and {show(b)}"
