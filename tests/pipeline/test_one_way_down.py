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


@pytest.mark.parametrize("line", ["isinstance(model, VAE)", "hasattr(vae, 'encode')", "type(model) is GAN"])
def test_the_search_for_questions_to_models_finds_them(line):
    assert questions(f"if {line}:\n    pass\n")


def test_the_pipeline_asks_no_model_for_its_class():
    found = {
        str(file.relative_to(SOURCE)): lines
        for file in sorted((SOURCE / "pipeline").rglob("*.py"))
        if (lines := questions(file.read_text(encoding="utf-8")))
    }
    assert found == {}


def questions(source: str) -> list[str]:
    """Lines that ask a model what it is: by its class's name, or by a name that a model goes by."""
    import ast

    classes = {"VAE", "GAN", "Autoencoder", "ConditionalVAE", "Model", "TrainedModel"}
    names = {"model", "vae", "network", "gan"}
    lines = source.splitlines()
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            words = {n.id for a in node.args for n in ast.walk(a) if isinstance(n, ast.Name)}
            words |= {n.attr for a in node.args for n in ast.walk(a) if isinstance(n, ast.Attribute)}
            if node.func.id in ("isinstance", "issubclass") and words & classes:
                found.append(lines[node.lineno - 1])
            if node.func.id in ("hasattr", "type") and words & names:
                found.append(lines[node.lineno - 1])
    return found
