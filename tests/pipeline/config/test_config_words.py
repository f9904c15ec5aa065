"""What a shell user types: paths and names quoted, lists united, sweeps expanded, the rest refused in one line."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from priorgap.pipeline.config.words import Word, expand, for_hydra, parsed


def value(text: str, multirun: bool = False) -> object:
    """What Hydra reads of one word."""
    (word,) = for_hydra([Word.parse(text)], multirun=multirun)
    (override,) = OverridesParser.create().parse_overrides([str(word)])
    return override.value()


def refusal(*texts: str, multirun: bool = False) -> str:
    with pytest.raises(ValueError) as caught:
        expand(parsed(for_hydra(map(Word.parse, texts), multirun=multirun), multirun=multirun))
    assert "\n" not in str(caught.value)
    return str(caught.value)


PATHS = (
    "plain.npz", "My Folder/x", "Datensätze/Zahlen_ü.npz", "数字.npz", "digits (1).npz", "a,b.npz", "run=3.npz",
    "50%.npz", "me@home.npz", "a#1.npz", "it's.npz", '"quoted" inside.npz', "[v2].npz", "a&b.npz", "a;b.npz",
    "~nobody-of-this-name",    "C:\\data\\x.npz", "1e3", "2024-05-01", "true", "x\\", "{a}b", "-dash", "a:b", "k!?*",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "key", ["data.path", "+data.path", "output_root", "hydra.run.dir", "features.weights"]
)
def test_a_path_is_what_the_shell_hands_over(key, path):
    assert value(f"{key}={path}") == path


@pytest.mark.parametrize("name", ["sepal length (cm)", "3", "true", "größe", "a=b", "null value"])
@pytest.mark.parametrize("key", ["data.target", "data.x", "data.source.target", "data.drop"])
def test_a_column_is_called_what_the_shell_hands_over(key, name):
    assert value(f"{key}={name}") == name
    assert value(f"{key}=[a,b]") == ["a", "b"] and value(f"{key}=null") is None
    assert value("+x=3") == 3 and value("+data.xs=3") == 3


def test_home_is_expanded_in_paths_and_in_nothing_else(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert value("data.path=~/my data.npz") == "/home/me/my data.npz"
    assert value("study=~") == "~"


@pytest.mark.parametrize(
    "text", ["study=a,b", "study=mine", "data.path='a b'", 'data.path="a,b"', "study=null"]
)
def test_what_is_text_or_quoted_already_is_not_quoted_again(text):
    read = value(text)
    assert read is None if text.endswith("null") else not set(str(read)) & set("'\"")


def test_what_hydra_reads_as_it_stands_is_handed_over_as_typed():
    words = ["data.path=x/y.npz", "loss.alpha=3", "sampler=[prior,gmm]", "study=a", "~samplers.gmm", "+x.y=1"]
    assert [str(w) for w in for_hydra(map(Word.parse, words), multirun=False)] == words


def test_references_lists_and_sweeps_stay_hydras():
    (word,) = for_hydra([Word.parse("data.root=${oc.env:HOME}/data")], multirun=False)
    assert str(word) == "data.root=${oc.env:HOME}/data"
    assert value("output_root=[a]") == ["a"]
    words = for_hydra([Word.parse("data.path=a.npz,b.npz")], multirun=True)
    assert expand(parsed(words, multirun=True)) == [["data.path=a.npz"], ["data.path=b.npz"]]


@pytest.mark.parametrize("group", ["sampler", "metric", "features"])
@pytest.mark.parametrize("multirun", [False, True])
def test_two_values_of_a_list_are_one_list(group, multirun):
    for typed in ("prior,gmm", "prior, gmm", "[prior,gmm]"):
        assert value(f"{group}={typed}", multirun) == ["prior", "gmm"]


def test_several_lists_are_refused_with_the_one_that_is_meant():
    assert "sampler=[prior,gmm]" in refusal("sampler=[prior],[prior,gmm]", multirun=True)
    assert "sampler=[prior,gmm]" in refusal("sampler=choice(prior,gmm)", multirun=True)
    assert "~samplers.NAME" in refusal("~sampler=gmm")


def test_a_grid_in_the_order_of_its_words():
    words = [
        Word.parse(w) for w in ("seed=0,1", "loss.alpha=range(1,3)", "study=x", "~samplers.gmm", "seed=2,3")
    ]
    assert expand(parsed(words, multirun=True)) == [
        [f"seed={s}", f"loss.alpha={a}", "study=x", "~samplers.gmm"] for s in (2, 3) for a in (1, 2)
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed", "key=value"), ("", "key=value"), ("=5", "key=value"), ("~", "key=value"), ("++", "key=value"),
        ("a b=1", "unknown key"), ("x" * 5000 + "=1", "unknown key"), ("\udcff=1", "UTF-8"), ("k=\udcff", "UTF-8"),
        ("seed=0,1", "add -m"), ("loss.alpha=range(1,3)", "add -m"), ("sampler=[prior", "sampler=[prior"),
        ("loss.alpha=1,,2", "loss.alpha=1,,2"), ("seed=١", "seed=١"), ("seed=" + "9" * 5000, "seed=999"),
    ],
)  # fmt: skip
def test_words_that_are_refused(text, words):
    line = refusal(text)
    assert words in line and len(line) < 600
    assert not any(inner in line for inner in ("Lexer", "Exception", "set_int_max"))


@pytest.mark.parametrize(
    "text", ["loss.alpha=range(1,0)", "seed=choice()", "seed=range(0,3,0)", "loss.alpha=interval(1,2)"]
)
def test_sweeps_without_values_are_refused(text):
    assert refusal(text, multirun=True).startswith(text.partition("=")[0])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("seed=range(0,100000000)", "seed=range(0,100000000): too many values; expected at most 100,000"),
        ("seed=range(0,400)", None),
    ],
)
def test_a_sweep_without_an_end_is_refused_at_once(text, line):
    if line is not None:
        assert refusal(text, multirun=True) == line
        return
    words = [Word.parse(text), Word.parse("loss.alpha=range(1,400)")]
    with pytest.raises(
        ValueError, match=r"^400 of seed x 399 of loss\.alpha: too many models for one command"
    ):
        expand(parsed(words, multirun=True))


def test_what_is_the_whole_commands_is_no_factor():
    assert refusal("output_root=a,b", multirun=True).startswith("output_root=a,b: expected one value")
