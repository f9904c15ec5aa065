"""Composition: every cell before anything is created, one line for every mistake, identities that hold."""

from itertools import product
from pathlib import Path

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from priorgap.core.build import configuration_directory, load_option, target_modules
from priorgap.pipeline.config.composer import Composer
from priorgap.pipeline.config.model_config import DATA_SEEDS, ModelConfig, validate
from priorgap.pipeline.config.session import CONFIG, Request, Session


def compose(*overrides: str, multirun: bool = False) -> list[ModelConfig]:
    with Session(Request(overrides, multirun)) as session:
        return [ModelConfig(config, names) for config, names in session.cells()]


def one(*overrides: str) -> ModelConfig:
    (cell,) = compose(*overrides)
    return cell


def refusal(*overrides: str, multirun: bool = False) -> str:
    with pytest.raises(ValueError) as caught:
        validate(compose(*overrides, multirun=multirun))
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("nothing=1", ["nothing", "unknown key"]),
        ("model.width=1", ["model.width", "unknown key"]),
        ("loss.beta=-1", ["loss.beta=-1", "expected"]),
        ("loss.alpha=0", ["loss.alpha=0", "expected"]),
        ("loss.beta=abc", ["loss", "abc"]),
        ("loss.reduction=max", ["loss.reduction=max", "sum", "mean"]),
        ("model.latent_dim=0", ["model.latent_dim=0", "from 1 to 256"]),
        ("model.latent_dim=257", ["model.latent_dim=257"]),
        ("seed=-1", ["seed=-1", ">= 0"]),
        ("seed=x", ["seed=x"]),
        ("data=nope", ["data=nope", "digits", "mnist"]),
        ("sampler=[prior,nope]", ["sampler=nope", "gmm"]),
        ("n_samples=0", ["n_samples=0"]),
        ("calibrate=maybe", ["calibrate=maybe", "both"]),
        ("calibrated_samplers=[pooled]", ["calibrated_samplers", "pooled"]),
        ("study=../x", ["study=../x"]),
        ("study=data", ["study=data"]),
        ("verdict.space=inception", ["verdict.space=inception", "classifier"]),
        ("reference.n_repeats=2", ["reference.n_repeats=2", ">= 3"]),
        ("numerics.threads=0", ["numerics.threads=0"]),
        ("numerics.matmul_precision=fast", ["matmul_precision=fast", "highest"]),
        ("samplers.gmm.n_components=0", ["samplers.gmm.n_components=0"]),
        ("sampler=[tempered_prior]", None),
        ("samplers.gmm._target_=os.system", ["samplers.gmm._target_=os.system", "priorgap."]),
        ("experiment=nope", ["experiment=nope", "default", "e01_alpha"]),
        ("trainer.max_epochs=0", ["trainer.max_epochs=0"]),
        ("trainer.optimizer=sgd", ["trainer.optimizer=sgd", "adam"]),
        ("unit_swaps=some", ["unit_swaps=some", "all"]),
        ("unit_swaps=[0,16]", ["unit_swaps=[0, 16]", "0 to 15"]),
    ],
)
def test_bad_values_are_refused_in_one_line(override, words):
    if words is None:
        validate([one(override)])
        return
    text = refusal(override)
    assert all(word in text for word in words), text


def test_bad_value_in_the_last_cell_is_found():
    text = refusal("loss.beta=1,2,-3", "seed=0,1", multirun=True)
    assert "loss.beta=-3" in text


def test_two_settings_of_one_sampler_for_one_model_are_refused():
    text = refusal("samplers.gmm.n_components=10,20", multirun=True)
    assert "samplers.gmm" in text and "study=" in text


NODES = {"sampler": "samplers", "features": "feature_spaces", "metric": "metrics"}
NEEDED = {
    "file": ["data.path=x.csv"],
    "image_folder": ["data.path=x", "data.image_size=8"],
    "learning_rate": ["logger=csv"],
    "npz": ["data.path=x.npz"],
    "data/table": ["data.path=x.csv"],
    "windows": ["data.path=x.csv"],
    # the default samplers ask for more than these models offer
    **{f"gan_{kind}": ["sampler=[prior]"] for kind in ("mlp", "conv")},
    **{f"autoencoder_{kind}": ["sampler=[gmm]"] for kind in ("mlp", "conv")},
    **{f"forecast_{name}": ["data=weather"] for name in ("gru", "mlp", "tcn")},
    "given_mlp": ["data=breast_cancer", "model.given=[target]"],
}


def options(group: str) -> list[str]:
    return sorted(p.stem for p in (configuration_directory() / group).glob("[!_]*.yaml"))


# Hydra's own, and sweeps as W&B reads them, are no groups of ours
OF_OTHERS = {"hydra", "sweeps"}
GROUPS = sorted(p.name for p in configuration_directory().iterdir() if p.is_dir() and p.name not in OF_OTHERS)


# options that choose others
LISTS = {"standard", "full", "series", "tables", "published_series"}


@pytest.mark.parametrize("group", sorted(NODES))
def test_every_selectable_option_builds_under_its_own_name(group):
    names = [name for name in options(group) if name not in LISTS]
    cell = one(f"{group}=[{','.join(names)}]", *(["verdict.space=pixels"] if group == "features" else []))
    validate([cell])
    assert set(cell.config[NODES[group]]) == set(names)


@pytest.mark.parametrize(("group", "name"), [(g, n) for g in GROUPS if g not in NODES for n in options(g)])
def test_every_other_option_builds(group, name):
    validate([one(f"{group}={name}", *NEEDED.get(f"{group}/{name}", NEEDED.get(name, [])))])


def test_the_lists_name_all_metrics_that_there_are_and_standard_a_part_of_full():
    full = list(one("metric=full").config["metrics"])
    standard = list(one("metric=standard").config["metrics"])
    # those of torchmetrics are chosen by name
    others = {name for name in options("metric") if name.startswith("tm_")}
    series = list(one("metric=series").config["metrics"])
    tables = list(one("metric=tables").config["metrics"])
    published = list(one("metric=published_series").config["metrics"])
    assert not set(full) & {*series, *tables, *published} and not set(published) & {*series, *tables}
    assert {*full, *series, *tables, *published} == set(options("metric")) - LISTS - others
    for name, own in (("series", series), ("tables", tables), ("published_series", published)):
        assert list(one(f"metric=[standard,{name}]").config["metrics"]) == [*standard, *own]
    assert all(target_modules(load_option("metric", name)) == [] for name in others)
    assert all(target_modules(load_option("metric", name)) for name in [*full, *series, *tables, *published])
    assert full[: len(standard)] == standard


@pytest.mark.parametrize(
    "experiment", sorted(p.parent.name for p in Path("experiments").glob("*/config.yaml"))
)
def test_every_experiment_composes(experiment):
    cells = compose(f"experiment={experiment}")
    validate(cells)
    assert {cell.study for cell in cells} == {experiment}
    assert len({cell.train_id for cell in cells}) == len(cells) >= 1


def test_first_study_is_the_grid_that_its_readme_says():
    cells = compose("experiment=e01_alpha")
    grid = {(c.config["data"]["name"], c.config["loss"]["alpha"], c.seed) for c in cells}
    assert grid == set(product(("mnist", "fashion_mnist"), (1, 10, 100, 300, 600), range(5)))
    assert len(cells) == len(grid)


# the answers to the claims; `default`, e12 and e13 (whose splits are of time or of rows) and the yardstick are others
@pytest.mark.parametrize(
    "experiment", sorted(p.parent.name for p in Path("experiments").glob("e[01][0-9]_*/config.yaml"))
)
def test_a_study_of_a_claim_has_five_seeds_in_every_cell(experiment):
    cells = compose(f"experiment={experiment}")
    seeds = {}
    for cell in cells:
        seeds.setdefault(cell.group_id(cell.variants[0]), []).append(cell.seed)
    assert all(sorted(own) == [0, 1, 2, 3, 4] for own in seeds.values())
    if experiment[:3] in ("e12", "e13"):
        return
    for cell in cells:
        own = {k: v for k, v in cell.config["data"]["source"].items() if k in DATA_SEEDS}
        assert own and set(own.values()) == {cell.seed}
        assert list(cell.config["feature_spaces"]) == ["classifier", "pixels"]


def test_command_line_replaces_an_experiments_grid():
    cells = compose("experiment=e01_alpha", "data=mnist", "seed=7", "loss.alpha=3")
    assert [(c.config["loss"]["alpha"], c.seed) for c in cells] == [(3, 7)]


@pytest.mark.parametrize(
    "override",
    [
        "study=other", "sampler=[prior]", "n_samples=50", "calibrate=both", "tracking=off", "metric=[rate]",
        "trainer.accelerator=cpu", "trainer.progress=false", "data.root=/elsewhere", "data.download=false",
        "features=[pixels,classifier]", "output_root=elsewhere",
    ],
)  # fmt: skip
def test_what_is_no_training_setting_does_not_change_the_model(override):
    assert one(override).train_id == one().train_id


@pytest.mark.parametrize(
    "override",
    [
        "seed=1", "loss.alpha=2", "model.latent_dim=4", "likelihood=bernoulli", "trainer.max_epochs=3",
        "numerics.threads=2", "data.source.split_seed=1", "numerics.matmul_precision=medium",
    ],
)  # fmt: skip
def test_training_settings_change_the_model(override):
    assert one(override).train_id != one().train_id


def test_cell_column_ignores_the_seed():
    a, b, c = one("seed=0"), one("seed=1"), one("loss.alpha=2")
    ids = [cell.group_id(cell.variants[0]) for cell in (a, b, c)]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("own", ["data.source.split_seed", "data.source.data_seed"])
def test_cell_column_ignores_the_data_s_own_seed_and_nothing_else_of_them(own):
    words = ("data=linear_gaussian",) if own.endswith("data_seed") else ()
    a, b, c = one(*words), one(*words, f"{own}=4"), one("data=linear_gaussian", "data.source.noise=0.4")
    ids = [cell.group_id(cell.variants[0]) for cell in (a, b, c)]
    assert ids[0] == ids[1] != ids[2] and a.train_id != b.train_id


def test_calibration_makes_a_second_model_that_shares_the_training():
    cell = one("calibrate=both", "calibrated_samplers=[prior]")
    plain, calibrated = cell.variants
    assert plain.model_id == cell.train_id != calibrated.model_id
    assert calibrated.samplers == ("prior",) and len(plain.samplers) > 1


def test_label_is_readable_and_safe():
    label = one("loss.alpha=10", "seed=3", "data.source.split_seed=2").label
    assert "alpha=10" in label and "seed=3" in label and "/" not in label


def test_unit_swaps_stand_for_a_sampler_a_unit_and_arm():
    cell = one("sampler=[prior]", "model.latent_dim=3", "unit_swaps=all")
    arms = ("prior", "moments", "shuffle")
    assert set(cell.config["samplers"]) == {
        "prior",
        *(f"unit_swap_{j}_{a}" for j in range(3) for a in arms),
    }
    some = one("sampler=[prior]", "unit_swaps=[2,11]", "unit_swap_arms=[shuffle]")
    assert set(some.config["samplers"]) == {"prior", "unit_swap_2_shuffle", "unit_swap_11_shuffle"}
    validate([cell, some])
    assert some.train_id == one().train_id
    assert "unit_swap_arms=['twist']" in refusal("unit_swaps=all", "unit_swap_arms=[twist]")


def test_units_of_each_cell_of_a_sweep_are_its_own():
    cells = compose("model.latent_dim=2,4", "sampler=[prior]", "unit_swaps=all", multirun=True)
    assert [len(cell.config["samplers"]) for cell in cells] == [1 + 3 * 2, 1 + 3 * 4]


def test_a_sampler_that_means_nothing_for_the_model_is_refused(monkeypatch):
    from priorgap.pipeline.config import parts
    from priorgap.samplers.applicability import MODELS

    monkeypatch.setattr(parts, "sampling_traits", lambda config, labels: MODELS["GAN"])
    text = refusal("sampler=[prior,gmm]")
    assert text == "samplers.gmm: the model has no encoder; expected sampler=[prior]"


ORDERS = [
    ["seed=3", "loss.alpha=2"],
    ["seed=4", "loss.alpha=2"],
    [
        "loss.alpha=5",
        "model=linear",
        "model.latent_dim=3",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
    ],
    [
        "loss.alpha=6",
        "model=linear",
        "model.latent_dim=4",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
    ],
    ["model.hidden=[8,4]", "+samplers.gmm.extra=1", "~decode", "data=mnist", "++verdict.new={a: 1}"],
    ["sampler=[prior,gmm]", "samplers.gmm.n_components=3", "samplers.gmm.n_components=4"],
    ["+experiments=e01_alpha/config", "seed=7"],
    ["+experiments=e01_alpha/config", "seed=8", "loss.beta=null"],
]


@pytest.fixture
def loaders():
    """Ours and Hydra's, over the same search path."""
    with Session(Request(())):
        ours = GlobalHydra.instance().config_loader()
        assert isinstance(ours, Composer)
        yield ours, ConfigLoaderImpl(config_search_path=ours.config_search_path)


SWEEPS = [
    ["seed=3,4", "loss.alpha=2"],
    ["seed=5,6", "loss.alpha=3", "hydra/launcher=joblib"],
    ["seed=range(0,3)", "model=linear,mlp", "loss.alpha=choice(1,2)", "study=x"],
    ["model.latent_dim=3,4", "model=linear", "loss.beta=1"],
]


@pytest.mark.parametrize(("mode", "orders"), [(RunMode.RUN, ORDERS), (RunMode.MULTIRUN, SWEEPS)])
def test_what_is_composed_from_a_kept_base_is_what_hydra_composes(loaders, mode, orders):
    composed = {tuple(words): loaders[1].load_configuration(CONFIG, list(words), mode) for words in orders}
    # each a second time: from its base
    for words in [*orders, *orders]:
        theirs = composed[tuple(words)]
        ours = loaders[0].load_configuration(CONFIG, list(words), mode)
        unresolved = [OmegaConf.to_container(c, enum_to_str=True) for c in (ours, theirs)]
        for found in unresolved:
            # each loader remembers its own folders and times
            assert found["hydra"]["overrides"]["task"] == [w for w in words if not w.startswith("hydra")]
        assert unresolved[0] == unresolved[1]
        assert list(unresolved[0]["samplers"]) == list(unresolved[1]["samplers"])
        assert OmegaConf.is_struct(ours) == OmegaConf.is_struct(theirs)
        assert OmegaConf.to_yaml(ours.model, resolve=True) == OmegaConf.to_yaml(theirs.model, resolve=True)


def test_a_base_is_of_these_files_and_this_folder(tmp_path, monkeypatch):
    own = tmp_path / "conf" / "loss" / "mine.yaml"
    own.parent.mkdir(parents=True)
    text = "_target_: priorgap.models.WeightedELBO\nalpha: {}\nbeta: 1.0\nreduction: sum\n"
    monkeypatch.chdir(tmp_path)
    for alpha in (3, 44):
        own.write_text(text.format(alpha))
        assert one("loss=mine").config["loss"]["alpha"] == alpha
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    assert "loss=mine" in refusal("loss=mine")
    with Session(Request(())):
        config = GlobalHydra.instance().config_loader().load_configuration(CONFIG, [], RunMode.RUN)
    assert config.hydra.runtime.cwd == str(other)


def test_variables_of_jobs_are_read_anew(loaders, monkeypatch):
    for value in ("a", "b"):
        monkeypatch.setenv("MINE", value)
        words = ["hydra.job.env_copy=[MINE]"]
        ours, theirs = (loader.load_configuration(CONFIG, list(words), RunMode.RUN) for loader in loaders)
        assert ours.hydra.job.env_set == theirs.hydra.job.env_set == {"MINE": value}


@pytest.mark.parametrize(
    "words",
    [["nothing=1"], ["+seed=1"], ["~nothing"], ["data=nope"], ["seed=1,2"], ["model@x=mlp"], ["hydra.no=1"]],
)
def test_what_hydra_refuses_is_refused_in_its_words(loaders, words):
    said = []
    for loader in loaders:
        with pytest.raises(HydraException) as caught:
            loader.load_configuration(CONFIG, list(words), RunMode.RUN)
        said.append((type(caught.value), str(caught.value)))
    assert said[0] == said[1]


def test_a_composed_configuration_shares_nothing_with_the_next(loaders):
    first = loaders[0].load_configuration(CONFIG, ["seed=1", "model.hidden=[8]"], RunMode.RUN)
    first.model.hidden.append(4)
    first.hydra.job.id = "x"
    second = loaders[0].load_configuration(CONFIG, ["seed=1", "model.hidden=[8]"], RunMode.RUN)
    assert list(second.model.hidden) == [8]
    assert OmegaConf.is_missing(second.hydra.job, "id")
