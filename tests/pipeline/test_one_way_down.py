"""The way of a value from the command line to the objective is short, and docs/architecture.md lists it."""

import inspect
import re
from pathlib import Path

import pytest
from tiny_study import run_tiny

import priorgap
from priorgap.training import module

SOURCE = Path(priorgap.__file__).parent
ROOT = Path(__file__).parents[2]
# the console script and its table of commands
ENTRY = {"pipeline/cli.py"}


def test_alpha_passes_seven_files_at_most(tmp_path, monkeypatch):
    """Traced on the basic launcher: the files on the stack when the objective is first computed."""
    ways: list[list[str]] = []
    objective = module.objective

    def traced(*arguments, **keys):
        if not ways:
            frames = [Path(frame.filename) for frame in reversed(inspect.stack())]
            ours = [str(p.relative_to(SOURCE)) for p in frames if p.is_relative_to(SOURCE)]
            ways.append([name for name in dict.fromkeys(ours) if name not in ENTRY])
        return objective(*arguments, **keys)

    monkeypatch.setattr(module, "objective", traced)
    assert run_tiny(tmp_path, "sampler=[prior]", "metric=[rate]", command=("train",)) in (0, 2)
    if not ways:  # `train` alone wants prepared data
        assert run_tiny(tmp_path, command=("prepare",)) == 0
        assert run_tiny(tmp_path, command=("train",)) == 0
    (way,) = ways
    assert len(way) <= 7, way
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    section = text.partition("### The way of `loss.alpha`")[2].partition("###")[0]
    documented = re.findall(r"^\d+\. `([\w/]+\.py)`", section, re.M)
    assert documented == way


@pytest.mark.parametrize(
    "line",
    [
        "isinstance(model, VAE)",
        "isinstance(x, models.GAN)",
        "isinstance(self.network, nn.Sequential)",
        "issubclass(type(vae), Base)",
        "hasattr(vae, 'encode')",
        "hasattr(model.decoder, 'head')",
        "type(model) is GAN",
        "model.__class__ is GAN",
    ],
)
def test_the_search_for_questions_to_models_finds_them(line):
    assert questions(f"if {line}:\n    pass\n")


def test_the_search_sees_patterns_and_leaves_others_alone():
    assert questions("match model:\n    case VAE():\n        pass\n")
    assert not questions("match word:\n    case Word():\n        pass\n")
    assert not questions("if isinstance(error, ValueError) or hasattr(signal, 'SIGHUP'):\n    pass\n")


def test_the_pipeline_asks_no_model_for_its_class():
    found = {
        str(file.relative_to(SOURCE)): lines
        for file in sorted((SOURCE / "pipeline").rglob("*.py"))
        if (lines := questions(file.read_text(encoding="utf-8")))
    }
    assert found == {}


def questions(source: str) -> list[str]:
    """Lines that ask a model what it is: by its class's name, or of a name that a model goes by."""
    import ast

    classes = {"VAE", "GAN", "Autoencoder", "ConditionalVAE", "Model", "TrainedModel"}
    names = {"model", "vae", "network", "gan", "net", "encoder", "decoder"}
    lines = source.splitlines()
    found = []
    for node in ast.walk(ast.parse(source)):
        asked: set[str] = set()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            if node.func.id in ("isinstance", "issubclass", "hasattr", "type"):
                asked = words(*node.args) & classes | words(node.args[0]) & names
        elif isinstance(node, ast.Attribute) and node.attr == "__class__":
            asked = words(node.value) & names
        elif isinstance(node, ast.Match):
            patterns = [p.cls for case in node.cases for p in ast.walk(case) if isinstance(p, ast.MatchClass)]
            asked = words(*patterns) & classes | (words(node.subject) & names if patterns else set())
        if asked:
            found.append(lines[node.lineno - 1])
    return found


def words(*nodes):
    """The names and attributes of some expressions."""
    import ast

    inside = [n for node in nodes for n in ast.walk(node)]
    return {n.id for n in inside if isinstance(n, ast.Name)} | {
        n.attr for n in inside if isinstance(n, ast.Attribute)
    }
