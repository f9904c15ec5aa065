"""Typed groups: every key of the configuration with values of wrong kinds, and what fields say against conf/."""

import copy
import math
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import pytest

from priorgap.core.build import configuration_directory
from priorgap.data.binarize import Binarize
from priorgap.pipeline.config import groups
from priorgap.pipeline.config.groups import LauncherCounts, Settings, referred_keys
from priorgap.pipeline.config.model_config import ModelConfig, validate
from priorgap.pipeline.config.session import Request, Session


def options(group: str) -> str:
    files = sorted((configuration_directory() / group).glob("[!_]*.yaml"))
    return ",".join(f.stem for f in files if f.stem not in ("standard", "full"))


def compose(*words: str) -> dict[str, Any]:
    with Session(Request(words)) as session:
        return session.cells()[0][0]


SMALL = ("sampler=[prior]", "metric=[fid]", "features=[pixels]", "verdict.space=pixels")
COMMANDS = {
    "all samplers, metrics and spaces": (
        f"sampler=[{options('sampler')}]", "metric=full", f"features=[{options('features')}]",
    ),
    **{
        word: (*SMALL, *word.split())
        for word in (
            "data=npz data.path=x.npz", "data=file data.path=x.csv",
            "data=image_folder data.path=x", "data=linear_gaussian", "data=sines", "data=mnist",
            "data=weather", "data=vowels",
            "data=windows data.path=x.csv data.time=t",
            "data=sines model=tcn", "data=sines model=gru",
            "data=weather model=forecast_tcn", "data=weather model=forecast_gru", "data=weather model=forecast_mlp",
            "data=breast_cancer model=given_mlp model.given=[target]",
            "likelihood=gaussian_by_channel", "likelihood=student_t", "likelihood=gaussian_with_gaps",
            "model=conv", "model=gan_conv", "likelihood=learned_gaussian", "likelihood=discretized_logistic",
            "prior=flow", "prior=vamp", "prior=mixture",
        )
    },
}  # fmt: skip
WRONG: tuple[Any, ...] = (
    "x", -1, 0, 1.5, math.nan, math.inf, 10**30, None, True, [], ["x"], [1.5], [0], {"a": 1}, "",
)  # fmt: skip
# Python's own words, which say nothing of what was expected
INSIDE = (
    "not supported",
    "has no ",
    "must be ",
    "could not ",
    "not iterable",
    "invalid literal",
    "unhashable",
)


def keys(node: dict[str, Any], where: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in node.items():
        yield (*where, key)
        if isinstance(value, dict):
            yield from keys(value, (*where, key))


def with_value(config: dict[str, Any], where: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The configuration with another value of one key, and of nodes by name only the one that the key belongs to."""
    changed = dict(config)
    for name in ("samplers", "metrics", "feature_spaces"):
        if where[0] == name and len(where) > 1:
            changed[name] = {where[1]: config[name][where[1]]}
        elif where[0] != name:
            changed[name] = dict(list(config[name].items())[:1])
    changed["verdict"] = {**config["verdict"], "space": next(iter(changed["feature_spaces"]), "")}
    changed[where[0]] = node = copy.deepcopy(changed[where[0]])
    if len(where) == 1:
        changed[where[0]] = value
        return changed
    for key in where[1:-1]:
        node = node[key]
    node[where[-1]] = value
    return changed


def accepted(config: dict[str, Any], where: tuple[str, ...], value: Any) -> bool:
    """Whether a value is accepted; a refusal is one line that names the key."""
    try:
        validate([ModelConfig(with_value(config, where, value))])
    except ValueError as error:
        line, key = str(error), ".".join(where)
        assert "\n" not in line and (key in line or where[-1] in line), (key, value, line)
        assert not any(words in line for words in INSIDE), (key, value, line)
        return False
    return True


def is_number(node: Any, where: tuple[str, ...]) -> bool:
    for key in where:
        node = node[key]
    # data's own keys are copies of its source's, which are checked
    return isinstance(node, int | float) and not (where[0] == "data" and len(where) == 2)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_every_key_refuses_values_of_a_wrong_kind_by_its_name_or_takes_them(command):
    """Whatever is wrong, it is a ValueError of one line: here of some thousands of pairs of key and value.

    What is a number in conf/ takes none of the values that are none, whoever checks it.
    """
    config = compose(*COMMANDS[command])
    first = set(keys(compose(*SMALL)))
    chosen = [k for k in keys(config) if k not in first or command.startswith("all")]
    assert chosen
    for where in chosen:
        for value in WRONG:
            taken = accepted(config, where, value)
            no_number = isinstance(value, str | list | dict) or (value in (math.inf, -1) or value != value)
            assert not (taken and no_number and is_number(config, where)), (where, value)


def test_groups_have_no_defaults_of_their_own():
    for name in (
        "Numerics",
        "Batching",
        "Features",
        "Reference",
        "VerdictRules",
        "Tracking",
        "Data",
        "Settings",
    ):
        group = getattr(groups, name)
        assert not [f for f in group.__dataclass_fields__ if hasattr(group, f)], name


def test_a_cells_settings_are_its_configuration():
    config = compose("seed=3", "verdict.level=.9", "tracking=off", "calibrated_samplers=[prior]")
    settings = ModelConfig(config).settings
    assert isinstance(settings, Settings) and settings is not ModelConfig(config).settings
    assert (settings.seed, settings.verdict.level, settings.tracking.mode) == (3, 0.9, "off")
    assert settings.reference.classifier.width == config["reference"]["classifier"]["width"]
    assert settings.calibrated_samplers == ("prior",) and settings.data.source == config["data"]["source"]
    assert set(Settings.__dataclass_fields__) == set(config)


def test_literals_that_stand_twice_are_the_same():
    hint = get_type_hints(groups.Data)["binarize"]
    assert {x for one in get_args(hint) for x in get_args(one)} == set(get_args(Binarize))


def test_references_of_a_configuration():
    raw = {"a": "${b.c}/x", "d": {"e": "${.f}", "f": ["${..g}"]}, "h": "${oc.env:HOME}"}
    assert set(referred_keys(raw)) == {"b", "b.c", "d", "d.f", "d.g"}


def test_launchers_count():
    LauncherCounts.check({"n_jobs": None, "retries": 0, "partition": "gpu", "cluster": "local"})
    for node, line in (
        ({"n_jobs": 0}, "hydra.launcher.n_jobs=0: expected an integer >= 1 or null"),
        ({"retries": True}, "hydra.launcher.retries=true: expected an integer >= 0"),
        ({"num_cpus": -1}, "hydra.launcher.num_cpus=-1: expected a number above 0 or null"),
        ({"cluster": "nope"}, "hydra.launcher.cluster=nope: expected slurm, local or debug"),
    ):
        with pytest.raises(ValueError) as caught:
            LauncherCounts.check(node)
        assert str(caught.value) == line


@pytest.mark.parametrize("project", ["a/b", "", "x" * 129, "a:b", "a#b", None, 5])
def test_projects_that_wandb_does_not_accept(project):
    config = with_value(compose(), ("tracking", "project"), project)
    with pytest.raises(ValueError, match=r"^tracking\.project="):
        validate([ModelConfig(config)])
