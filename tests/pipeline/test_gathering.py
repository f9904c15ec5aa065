"""Which keys of a study tell its cells apart."""

from types import SimpleNamespace

import pytest

from priorgap.pipeline.gathering import (
    _follows,
    _is_an_option_of_a_class,
    _is_redrawn_with_the_seed,
    _redraws,
)


def flat(name, file, drop):
    return {"data.name": name, "data.source.file": file, "data.source.drop": drop}


def test_what_follows_the_data_is_no_column():
    flats = [
        flat("wage", "Wage.csv", "[a]"),
        flat("credit", "Default.csv", "[]"),
        flat("wage", "Wage.csv", "[b]"),
    ]
    assert _follows("data.source.file", "data.name", flats)
    # it differs within one data set
    assert not _follows("data.source.drop", "data.name", flats)
    # with one data set there is nothing to follow
    assert not _follows("data.source.file", "data.name", [flat("wage", "x", ""), flat("wage", "x", "")])


def record(seed, **source):
    return SimpleNamespace(config={"seed": seed, "data": {"source": source}})


@pytest.mark.parametrize("key", ["split_seed", "data_seed"])
def test_a_split_for_each_seed_is_no_column(key):
    name = f"data.source.{key}"
    redrawn = [record(seed, **{key: 10 + seed}) for seed in (0, 1, 1)]
    assert _is_redrawn_with_the_seed(name, redrawn)
    # data without such a seed beside it
    assert _is_redrawn_with_the_seed(name, [*redrawn, record(0, file="x")])
    # negative controls: two splits of one seed, one seed, another key
    assert not _is_redrawn_with_the_seed(name, [*redrawn, record(1, **{key: 0})])
    assert not _is_redrawn_with_the_seed(name, redrawn[1:])
    assert not _is_redrawn_with_the_seed("data.source.noise", [record(0, noise=1), record(1, noise=2)])


@pytest.mark.parametrize("key", ["split_seed", "data_seed"])
def test_a_study_knows_whether_its_seeds_have_splits_of_their_own(key):
    assert _redraws([record(seed, **{key: seed}) for seed in (0, 1, 2)])
    # negative controls: one split for all, two of one seed, no such key
    assert not _redraws([record(seed, **{key: 0}) for seed in (0, 1, 2)])
    assert not _redraws([record(0, **{key: 0}), record(0, **{key: 1}), record(1, **{key: 2})])
    assert not _redraws([record(0, file="x"), record(1, file="x")])


def test_an_option_that_one_class_alone_has_is_no_column():
    normal = {"prior._target_": "StandardNormal", "prior.dim": 4}
    vamp = {"prior._target_": "Vamp", "prior.dim": 5, "prior.n_pseudo_inputs": 100}
    assert _is_an_option_of_a_class("prior.n_pseudo_inputs", [normal, vamp, vamp])
    # negative controls: two values of it, a key that both have, the class itself, one class alone
    more = {**vamp, "prior.n_pseudo_inputs": 500}
    assert not _is_an_option_of_a_class("prior.n_pseudo_inputs", [normal, vamp, more])
    assert not _is_an_option_of_a_class("prior.dim", [normal, vamp])
    assert not _is_an_option_of_a_class("prior._target_", [normal, vamp])
    assert not _is_an_option_of_a_class("prior.n_pseudo_inputs", [vamp, more])
