"""A cell: one composed configuration, checked, with the identity of the model that it trains."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from priorgap.artifacts import digest
from priorgap.pipeline.batching_rule import BatchingRule

if TYPE_CHECKING:
    from priorgap.data.binarize import Binarize

# devices, workers and progress change how a model is trained, not what it is
_TRAINER_COSMETIC = ("accelerator", "progress")
_TRAINING_KEYS = ("model", "likelihood", "prior", "loss", "numerics", "seed")
# keys that came after models had been trained: left out while null, so that those models keep their ids
LATER_KEYS: Mapping[str, tuple[str, ...]] = {
    "loss": ("beta_warmup_epochs", "free_bits"),
    "trainer": ("precision",),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.=,+-]{0,120}")
RESERVED_STUDIES = ("data", "reference")


def is_name(text: object) -> bool:
    """Whether a text can name a folder of the store: a sampler's, a metric's, a data set's."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def is_study_name(text: object) -> bool:
    """Whether a text can name a study: a folder of its own beside those of the data."""
    return is_name(text) and text not in RESERVED_STUDIES


@dataclass(frozen=True)
class Variant:
    """A model as sampled and measured: as trained, or calibrated afterwards."""

    model_id: str
    calibrated: bool
    samplers: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One composed configuration as plain data.

    Attributes:
        config: the resolved configuration, without Hydra's node.
        overrides: what was typed or swept for this cell, for readable names.
    """

    config: Mapping[str, Any]
    overrides: tuple[str, ...] = field(default=())

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
        """The part of the configuration that says what the trained model is."""
        trainer = {k: v for k, v in self.config["trainer"].items() if k not in _TRAINER_COSMETIC}
        return {
            "data": self._data,
            "trainer": _without_nulls("trainer", trainer),
            **{key: _without_nulls(key, self.config[key]) for key in _TRAINING_KEYS},
        }

    @property
    def binarize(self) -> "Binarize | None":
        """How grey images become black and white; None: they do not."""
        found: Binarize | None = self.config["data"].get("binarize")
        return found

    @property
    def _data(self) -> dict[str, Any]:
        """What the data are: the source and, where there is one, the choice of binarisation."""
        source: dict[str, Any] = self.config["data"]["source"]
        return source if self.binarize is None else {"source": source, "binarize": self.binarize}

    @property
    def decode(self) -> str:
        """How z becomes x: mean or draw."""
        return str(self.config["decode"])

    @property
    def decoding(self) -> list[str]:
        """The same for keys: nothing for the mean, so that keys from before there was a choice stay."""
        return [] if self.decode == "mean" else [self.decode]

    @property
    def train_id(self) -> str:
        """The trained model's id: the hash of its training slice."""
        return digest(self.training_slice)[:8]

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The models to sample: the trained one, the calibrated one, or both."""
        choice = self.config["calibrate"]
        names = tuple(self.config["samplers"])
        after = self.config["calibrated_samplers"]
        plain = Variant(self.train_id, False, names)
        chosen = names if after is None else tuple(name for name in names if name in after)
        calibrated = Variant(digest([self.train_id, "calibrate"])[:8], True, chosen)
        return {False: (plain,), True: (calibrated,), "both": (plain, calibrated)}[choice]

    def group_id(self, variant: Variant) -> str:
        """The hash of the model without its seed: the `cell` column of results.csv."""
        return digest([{**self.training_slice, "seed": None}, variant.calibrated])[:8]

    @property
    def label(self) -> str:
        """A readable prefix for directories, from the overrides of the training slice; cosmetic."""
        parts = []
        for override in self.overrides:
            key, _, value = override.lstrip("+~").partition("=")
            if key.partition(".")[0] in ("data", "trainer", *_TRAINING_KEYS) and "root" not in key:
                parts.append(f"{key.rpartition('.')[2]}={value}")
        text = re.sub(r"[^A-Za-z0-9_.=,+-]+", "_", ",".join(parts))[:80]
        return text.lstrip("._-+=,") or str(self.config["data"]["name"])

    @property
    def data_id(self) -> str:
        """Name and hash of the data set: the folder under outputs/data and outputs/reference."""
        return f"{self.config['data']['name']}-{digest(self._data)[:8]}"


def _without_nulls(group: str, node: Any) -> Any:
    later = [key for key in LATER_KEYS.get(group, ()) if node.get(key) is None]
    return {key: value for key, value in node.items() if key not in later} if later else node


def validate(cells: Sequence[Cell]) -> None:
    """Check every cell by building all that its configuration names, before anything is created.

    Raises:
        ValueError: one line that names the key, the value and what was expected.
    """
    from priorgap.pipeline import components

    seen: dict[tuple[str, str, str], Any] = {}
    for cell in cells:
        _check_plain_keys(cell.config)
        components.build_all(cell.config)
        for variant in cell.variants:
            for name in variant.samplers:
                node = [cell.config["samplers"][name], cell.config["n_samples"], cell.decode]
                if seen.setdefault((cell.study, variant.model_id, name), node) != node:
                    raise ValueError(
                        f"samplers.{name}: two cells of this sweep give one model different settings of it, of "
                        "n_samples or of decode; give them studies of their own (study=...)"
                    )


def _check_plain_keys(config: Mapping[str, Any]) -> None:
    # needs torch, which a command that finds its study finished does without
    from priorgap.data.binarize import check as check_binarize

    _integer(config, "seed", 0)
    _integer(config, "n_samples", 2)
    for key in ("threads", "encode_batch", "decode_batch"):
        _integer(config["numerics"], key, 1, "numerics.")
    _integer(config["reference"], "n_repeats", 3, "reference.")
    _integer(config["reference"], "seed", 0, "reference.")
    if config["measure_processes"] is not None:
        _integer(config, "measure_processes", 1)
    BatchingRule.of(config["batching"])
    check_binarize(config["data"].get("binarize"))
    precision = config["numerics"]["matmul_precision"]
    if precision not in ("highest", "high", "medium"):
        raise ValueError(f"numerics.matmul_precision={precision}: expected highest, high or medium")
    study = config["study"]
    if not is_study_name(study):
        raise ValueError(
            f"study={study}: expected letters, digits and _.=,+- (not {' or '.join(RESERVED_STUDIES)})"
        )
    if config["decode"] not in ("mean", "draw"):
        raise ValueError(f"decode={config['decode']}: expected mean or draw")
    if config["calibrate"] not in (True, False, "both"):
        raise ValueError(f"calibrate={config['calibrate']}: expected false, true or both")
    for name in config["calibrated_samplers"] or ():
        if name not in config["samplers"]:
            raise ValueError(f"calibrated_samplers: {name} is not among the selected samplers")
    for group in ("samplers", "metrics", "feature_spaces"):
        if not config[group]:
            raise ValueError(f"{group}: nothing is selected")
        for name in config[group]:
            if not is_name(str(name)):
                raise ValueError(f"{group}.{name}: expected a name of letters, digits and _.=,+-")
    if config["verdict"]["space"] not in config["feature_spaces"]:
        raise ValueError(
            f"verdict.space={config['verdict']['space']}: expected a selected feature space, "
            f"one of {', '.join(config['feature_spaces'])}"
        )
    if config["tracking"]["mode"] not in ("offline", "online", "off"):
        raise ValueError(f"tracking.mode={config['tracking']['mode']}: expected offline, online or off")


def _integer(node: Mapping[str, Any], key: str, least: int, prefix: str = "") -> None:
    value = node[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{prefix}{key}={value}: expected an integer >= {least}")
