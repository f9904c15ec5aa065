"""Commands and files that compose to what was meant, or are refused in one line, wherever a mistake stands."""

from pathlib import Path

import pytest

from priorgap.pipeline.commands.run import _checked, _sessions
from priorgap.pipeline.config.model_config import ModelConfig
from priorgap.pipeline.config.session import Request, Session

HEADER = "# @package _global_\n"
GRID = f"{HEADER}hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
ELBO = "_target_: priorgap.models.ElboLoss\nalpha: 42\nbeta: 1\nreduction: sum\n"
NULLS = "beta_warmup_epochs: null\nfree_bits: null\n"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str | bytes) -> None:
    file = Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())


def experiment(text: str | bytes, name: str = "e") -> str:
    write(f"experiments/{name}/config.yaml", text)
    return f"experiment={name}"


def compose(*words: str, multirun: bool = False, config_dir: str | None = None) -> list[ModelConfig]:
    return [c for s in _sessions(Request(words, multirun, config_dir)) for c in _checked(s)]


def refusal(*words: str, multirun: bool = False, config_dir: str | None = None) -> str:
    with pytest.raises(ValueError) as caught:
        compose(*words, multirun=multirun, config_dir=config_dir)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_an_experiment_with_and_without_plus(sign):
    word = experiment(f"{HEADER}study: mine\nseed: 3\n")
    (cell,) = compose(f"{sign}{word}")
    assert (cell.study, cell.seed) == ("mine", 3)
    assert Request((f"{sign}{word}",)).experiment == "e"
    assert refusal(f"{sign}experiment=nothing").endswith("experiment=nothing: expected one of e")


def test_of_several_experiments_none_is_taken():
    word = experiment(HEADER)
    assert "one experiment at a time" in refusal(word, f"+{word}")
    assert "one experiment at a time" in refusal("experiment=e,e", multirun=True)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"{HEADER}sudy: x\n", "experiments/e/config.yaml: sudy: unknown key; did you mean study?"),
        (f"{HEADER}loss:\n  alpa: 3\n", "loss.alpa: unknown key; did you mean loss.alpha?"),
        (f"{HEADER}verdict:\n  lvel: .9\n", "verdict.lvel: unknown key; did you mean verdict.level?"),
        ("study: x\n", "experiments: unknown key; an experiment's config.yaml begins with the line"),
        (f"{HEADER}study: [a\nseed: 1\n", "experiments/e/config.yaml, line 3: expected ',' or ']'"),
        (f"{HEADER}seed: 1\nseed: 2\n", "experiments/e/config.yaml, line 3: found duplicate key seed"),
        (f"{HEADER}- a\n- b\n", "experiments/e/config.yaml: expected keys with values"),
        ("5\n", "experiments/e/config.yaml: "),
        ("word\n", "experiments/e/config.yaml: expected keys with values, got 'word'"),
        (bytes(range(256)), "experiments/e/config.yaml: expected a text in UTF-8"),
        (f"{HEADER}study: é\n".encode("latin-1"), "experiments/e/config.yaml: expected a text in UTF-8"),
        (f"{HEADER}study: !!python/object/apply:os.system ['true']\n", "line 2: could not determine a constructor"),
        (f"{HEADER}study: ${{nothing}}\n", "study=${nothing}: there is no key nothing"),
        (f"{HEADER}defaults:\n  - override /loss: elbow\n", "loss=elbow: unknown option; did you mean elbo?"),
        (f"{GRID}      nope.key: 1,2\n", "nope.key: unknown key"),
        (f"{HEADER}defaults:\n  - /experiments/e/config\n", "a list that leads back to its own file"),
        (f"{HEADER}defaults:\n  - override /metric: [rate, 5]\n", "nested list items must be strings"),
    ],
)  # fmt: skip
def test_mistakes_in_an_experiment(text, line):
    word = experiment(text)
    assert line in refusal(word)


@pytest.mark.parametrize("word", ["loss.alpa=1", "+loss.alpa=1", "++loss.alpa=1"])
def test_unknown_keys_are_refused_however_they_are_typed(word):
    assert refusal(word).startswith("loss.alpa: unknown key; did you mean loss.alpha?")
    assert refusal(word.replace("loss.alpa", "nothing")).startswith("nothing: unknown key")
    assert refusal(word.replace("loss.alpa", "reference.classifier.wdth")).startswith(
        "reference.classifier.wdth: unknown key; did you mean reference.classifier.width?"
    )


def test_a_byte_order_mark_is_harmless():
    word = experiment(b"\xef\xbb\xbf" + f"{HEADER}study: bom\n".encode())
    assert compose(word)[0].study == "bom"


def test_a_users_own_variables_are_theirs():
    word = experiment(f"{HEADER}mine:\n  a: 7\nloss:\n  alpha: ${{mine.a}}\n  beta: ${{.alpha}}\n")
    (cell,) = compose(word)
    assert cell.config["loss"]["alpha"] == cell.config["loss"]["beta"] == 7 and "mine" not in cell.config
    assert cell.train_id == compose("loss.alpha=7", "loss.beta=7")[0].train_id
    # one that nothing refers to is a slip
    assert "mine: unknown key" in refusal(experiment(f"{HEADER}mine:\n  a: 7\n"))


def test_the_folder_here_wins_over_the_package_and_the_commands_over_both():
    write("conf/loss/elbo.yaml", ELBO + NULLS)
    assert compose()[0].config["loss"]["alpha"] == 42
    write("more/loss/elbo.yaml", (ELBO + NULLS).replace("42", "43"))
    assert compose(config_dir="more")[0].config["loss"]["alpha"] == 43
    write("conf/loss/elbo.yaml", f"{ELBO}{NULLS}alpa: 1\n")
    assert refusal() == "loss.alpa: unknown key; did you mean loss.alpha?"
    write("conf/loss/elbo.yaml", "alpha: [1\n")
    assert refusal().startswith("conf/loss/elbo.yaml, line 2: ")


def test_a_file_without_its_header():
    node = "_target_: priorgap.samplers.TemperedPrior\ntemperature: 0.5\n"
    write("conf/sampler/mine.yaml", node)
    assert refusal("sampler=[prior,mine]").endswith("`# @package samplers.NAME`")
    write("conf/sampler/tempered_prior.yaml", f"# @package samplers.tempered_prior\n{node}")
    assert compose("sampler=[tempered_prior]")[0].config["samplers"]["tempered_prior"]["temperature"] == 0.5


def test_samplers_of_a_sweep_are_united_and_never_dropped():
    for cells in (
        compose("sampler=prior,gmm", "seed=0,1", multirun=True),
        compose(experiment(f"{GRID}      sampler: prior,gmm\n      seed: 0,1\n")),
    ):
        assert [(list(c.config["samplers"]), c.seed) for c in cells] == [
            (["prior", "gmm"], 0),
            (["prior", "gmm"], 1),
        ]


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["verdict.level=.9,.95"], "verdict.level=0.9 and 0.95"),
        (["samplers.gmm.n_components=10,20"], "samplers.gmm.n_components=10 and 20"),
        (["n_samples=50,60", "seed=0,1"], "n_samples=50 and 60"),
        (["reference.n_repeats=3,4"], "reference.n_repeats=3 and 4"),
        (["tracking=off,offline"], "tracking.mode=off and offline"),
        (["metrics.prdc.k=3,5", "metric=prdc"], "metrics.prdc.k=3 and 5"),
        (["calibrate=false,true"], "calibrate=false and true"),
        (["output_root=a,b"], "output_root=a,b"),
    ],
)  # fmt: skip
def test_of_what_a_study_has_once_no_second_value_is_dropped(words, key):
    assert refusal(*words, multirun=True).startswith(f"{key}: expected one value")


def test_a_sweep_over_studies_is_a_command_each():
    cells = compose("study=a,b", "seed=0,1", "verdict.level=.9", multirun=True)
    assert [(c.study, c.seed) for c in cells] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert refusal("study=a,../b", multirun=True).startswith("study=../b: expected")
    assert compose("study=a,b")[0].study == "a,b"


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("~loss", "loss: missing; a configuration needs it: loss=NAME"),
        ("~seed", "seed: missing"),
        ("~verdict.level", "verdict.level: missing"),
        ("~sampler", "~sampler: expected a list of what is left"),
        ("~samplers.nope", "samplers.nope: unknown key"),
        ("~samplers", "samplers: nothing is selected; expected sampler=[NAME,...]"),
        ("sampler=[]", "samplers: nothing is selected"),
        ("features=[]", "feature_spaces: nothing is selected; expected features=[NAME,...]"),
        ("sampler=5", "sampler=5: expected the name of an option of sampler"),
        ("loss=5", "loss=5: expected the name of an option of loss"),
        ("loss=null", "loss=null: expected the name of an option of loss"),
        ("plugins=5", "plugins=5: expected a list"),
        ("loss={}", "loss={}: expected the name of an option of loss"),
        ("metric=[rate,5]", "metric=[rate,5]: expected the name of an option of metric"),
        ("sampler=[[prior]]", "sampler=[[prior]]: expected the name of an option of sampler"),
        ("unit_swap_arms=5", "unit_swap_arms=5: expected a list, each prior, moments or shuffle"),
        ("+seed=1", "+seed: the key is there already; expected seed=VALUE"),
        ("seed=0,1", "seed=0,1: several values make a sweep; add -m"),
        ("data=npz", "data.path: missing; expected a value"),
        ("hydra.mode=banana", "hydra.mode"),
        ("hydra.nope=1", "hydra.nope: unknown key"),
        ("study=${nope}", "study=${nope}: there is no key nope"),
    ],
)  # fmt: skip
def test_refused_in_one_line(word, line):
    assert line in refusal(word)


def test_one_sampler_less():
    cells = compose("~samplers.gmm", "seed=0,1", multirun=True)
    assert all("gmm" not in c.config["samplers"] and "prior" in c.config["samplers"] for c in cells)


def test_a_session_does_not_disturb_another():
    first, second = Session(Request(("seed=1",))), Session(Request(("seed=2",)))
    for session, seed in ((first, 1), (second, 2), (first, 1)):
        with session:
            assert session.cells()[0][0]["seed"] == seed


def test_globs_are_hydras():
    cells = compose("model=glob(conditional*)", multirun=True)
    assert sorted(c.config["model"]["_target_"] for c in cells) == [
        "priorgap.models.ConditionalConv", "priorgap.models.ConditionalMLP"
    ]  # fmt: skip
    assert refusal("model=glob(nope*)", multirun=True).startswith(
        "model=glob(nope*): expected at least one value"
    )


def test_launchers_and_studies_that_cannot_be(monkeypatch):
    words = ("seed=0,1", "hydra/launcher=joblib", "hydra.launcher._target_=os.system")
    assert refusal(*words, multirun=True).startswith(
        "hydra.launcher._target_=os.system: expected a launcher's"
    )
    assert "too many studies" in refusal("study=range(0,100000000)", multirun=True)
    ray = ("seed=0,1", "hydra/launcher=ray", "hydra.launcher.address=5")
    monkeypatch.setattr("priorgap.pipeline.config.launchers.find_spec", lambda name: name)
    assert refusal(*ray, multirun=True).startswith("hydra.launcher.address=5: no Ray cluster answers there")


def test_a_setting_of_the_source_by_either_of_its_two_keys():
    """`data.resize` stands for `data.source.resize`: who gives the latter is not told of the former."""
    source = (
        "data=image_folder",
        "data.path=x",
        "data.image_size=8",
        "features=[pixels]",
        "verdict.space=pixels",
    )
    for word in ("data.resize=pad", "data.source.resize=error"):
        (cell,) = compose(*source, word)
        assert cell.config["data"]["source"]["resize"] == word.partition("=")[2]
    line = refusal(*source, "data.source.resize=pad")
    assert line.startswith("data.resize=error and data.source.resize=pad: one setting; expected one of")
    # of one that the option's file has once there is no second
    line = refusal("+data.split_seed=3")
    assert line.startswith("data.split_seed=3 and data.source.split_seed=0: one setting")
    assert refusal("+data.nope=3").startswith("data.nope: unknown key")
