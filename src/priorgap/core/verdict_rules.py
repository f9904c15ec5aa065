"""`verdict`: what ranks samplers, what counts as a difference, the limits of a healthy model; values are in conf/."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Annotated, Any, Self

from priorgap.core.arguments import AtLeast, Between, Matches
from priorgap.core.build import configuration_directory

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.=,+-]{0,120}")


def is_name(text: str) -> bool:
    """Whether a text may serve as a name: letters, digits and a few marks, but nothing that forms a path."""
    return _NAME.fullmatch(text) is not None


Name = Annotated[str, Matches(is_name, "letters, digits and _.=,+-")]


@dataclass(frozen=True)
class HealthLimits:
    """`verdict.health`: limits beyond which no verdict can be given about a model; see docs/verdicts.md.

    Attributes:
        explained: reconstructions explain at least this share of the variance of test observations.
        rate: the whole rate is at least this, nats.
        unit_rate: no unit's rate is above this, nats.
        rows_stop: with fewer test observations no sampler is recommended.
        rows_warn: with fewer the verdict says that they are few.
        decoder_stop: from this many times the floor's FID on reconstructions leave nothing to choose between
            samplers, where they are also at least `decoder_share` of the baseline's FID.
        decoder_warn: the same, where the verdict says that the decoder limits quality.
        decoder_share: reconstructions with at least this share of the baseline's FID count as near the samplers.
        decoder_near: warn also from this many times the floor's FID on, where all samplers are about as far from the
            data.
        decoder_near_share: reconstructions have that share of the baseline's FID, and the best sampler that share
            of theirs, where they are.
        decoder_means: reconstructions by means whose FID is this many times the best sampler's do not show what the
            decoder can do.
        moments: mismatch of means and variances on training posteriors that counts as matched, nats.
        unused_units: from this many latent units without a rate on, a density fitted to all units may lose by them.
    """

    explained: Annotated[float, AtLeast(0)]
    rate: Annotated[float, AtLeast(0)]
    unit_rate: Annotated[float, AtLeast(0)]
    rows_stop: Annotated[int, AtLeast(2)]
    rows_warn: Annotated[int, AtLeast(2)]
    decoder_stop: Annotated[float, AtLeast(1)]
    decoder_warn: Annotated[float, AtLeast(1)]
    decoder_share: Annotated[float, Between(0, 1)]
    decoder_near: Annotated[float, AtLeast(1)]
    decoder_near_share: Annotated[float, Between(0, 1)]
    decoder_means: Annotated[float, AtLeast(1)]
    moments: Annotated[float, AtLeast(0)]
    unused_units: Annotated[int, AtLeast(1)]


@dataclass(frozen=True)
class VerdictRules:
    """`verdict`: which measure is compared, in which feature space, against which sampler, and what counts.

    Attributes:
        measure: the measure that ranks samplers.
        space: the feature space of the ranking; None: the first of those selected.
        baseline: the sampler that all others are compared with.
        level: the level at which all intervals of a study hold together.
        smallest_ratio: a difference counts from this ratio on, on the log scale.
        health: the limits of a healthy model.
    """

    measure: Name
    space: Name | None
    baseline: Name
    level: Annotated[float, Between(0, 1)]
    smallest_ratio: Annotated[float, AtLeast(1)]
    health: HealthLimits

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> Self:
        """Return the rules of a configuration's group; keys that an earlier version lacked get conf's values."""
        whole = completed(node)
        health = HealthLimits(**whole["health"])
        return cls(**{**{f.name: whole[f.name] for f in fields(cls)}, "health": health})


@cache
def _standard() -> dict[str, Any]:
    import yaml

    text = (configuration_directory() / "config.yaml").read_text(encoding="utf-8")
    node: dict[str, Any] = yaml.safe_load(text)["verdict"]
    return node


def standard_rules() -> VerdictRules:
    """Return the rules of conf/config.yaml."""
    return VerdictRules.of(_standard())


def completed(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded group; keys that were added since get their values of conf/config.yaml."""
    own = dict(node)
    health = own.get("health", {})
    if isinstance(health, Mapping):
        own["health"] = {**_standard()["health"], **health}
    return {**_standard(), **own}


def as_node(rules: VerdictRules) -> dict[str, Any]:
    """Return rules in the form that a configuration holds them."""
    return asdict(rules)
