"""`_target_` nodes: allowed names only, one-line errors."""

import pytest

from priorgap.core.build import build, configuration_directory, load_option, target_modules
from priorgap.models.losses import ElboLoss
from priorgap.models.networks import MLP, Architecture

MLP_NODE = {"_target_": "priorgap.models.MLP", "latent_dim": 3, "hidden": [5, 4]}


def test_builds_with_tuples():
    assert build(MLP_NODE, MLP, where="model") == MLP(3, (5, 4))


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"_target_": "os.system", "command": "true"}, ["model._target_=os.system", "expected a name under"]),
        ({"_target_": "builtins.eval"}, ["model._target_=builtins.eval"]),
        (
            {"_target_": "priorgap.nothing.Here"},
            ["model._target_=priorgap.nothing.Here", "cannot be imported"],
        ),
        ({**MLP_NODE, "latent_dim": 0}, ["model.latent_dim=0", "expected"]),
        ({**MLP_NODE, "width": 3}, ["model.width", "unknown key", "latent_dim"]),
        ({"latent_dim": 3}, ["model", "_target_"]),
    ],
)
def test_bad_nodes_give_one_line(node, words):
    with pytest.raises(ValueError) as caught:
        build(node, MLP, where="model")
    text = str(caught.value)
    assert "\n" not in text
    assert all(word in text for word in words), text


def test_type_is_checked():
    node = {"_target_": "priorgap.models.ElboLoss", "alpha": 1.0, "beta": 1.0, "reduction": "sum"}
    assert isinstance(build(node, ElboLoss, where="loss"), ElboLoss)
    with pytest.raises(ValueError, match="expected a MLP"):
        build(node, MLP, where="model")


def test_key_is_not_named_twice():
    node = {"_target_": "priorgap.models.ElboLoss", "alpha": 1.0, "beta": -1, "reduction": "sum"}
    with pytest.raises(ValueError, match=r"^loss\.beta=-1"):
        build(node, ElboLoss, where="loss")


def test_protocols_are_checked():
    assert isinstance(build(MLP_NODE, Architecture, where="model"), MLP)


def test_nested_targets_are_listed():
    node = load_option("sampler", "per_class_gmm")
    assert target_modules(node) == ["priorgap.samplers.ex_post", "priorgap.samplers.per_class"]


def test_unknown_option_names_the_known_ones():
    with pytest.raises(ValueError, match=r"sampler=nope: expected one of .*gmm"):
        load_option("sampler", "nope")


def test_vocabulary_is_found():
    assert (configuration_directory() / "config.yaml").is_file()
