"""Keys know what code a result depends on: an edit there recomputes it, an edit elsewhere does not."""

import ast
from pathlib import Path

import pytest

from priorgap.core.build import configuration_directory, load_option, target_modules
from priorgap.pipeline.config import train_version
from priorgap.pipeline.store import code_digest

METRICS = sorted(
    p.stem
    for p in (configuration_directory() / "metric").glob("*.yaml")
    if p.stem not in ("standard", "full")
)


def depends(name: str) -> list[str]:
    return code_digest.closure(target_modules(load_option("metric", name)))


def digest_of(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    file = tmp_path / "module.py"
    file.write_text(text)
    monkeypatch.setattr(code_digest, "module_file", lambda module: file)
    code_digest.module_digest.cache_clear()
    try:
        return code_digest.module_digest("anything")
    finally:
        code_digest.module_digest.cache_clear()


def test_a_title_in_the_catalogue_recomputes_nothing():
    for name in METRICS:
        assert not {"priorgap.core.catalogue", "priorgap.core.measures"} & set(depends(name))
    assert "priorgap.core.sampler_facts" in code_digest.closure(["priorgap.samplers.kde"])


def test_comments_docstrings_and_layout_do_not_count(tmp_path, monkeypatch):
    a = digest_of('"""Doc."""\nX = 1\ndef f(x):\n    """Say."""\n    return x + 1\n', tmp_path, monkeypatch)
    b = digest_of("X=1  # one\n\n\ndef f( x ):\n    return (x + 1)\n", tmp_path, monkeypatch)
    assert a == b


@pytest.mark.parametrize("other", ["X = 2\ndef f(x): return x + 1", "X = 1\ndef f(x): return x - 1"])
def test_constants_and_code_count(tmp_path, monkeypatch, other):
    a = digest_of("X = 1\ndef f(x): return x + 1", tmp_path, monkeypatch)
    assert a != digest_of(other, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("estimator", "touched", "spared"),
    [
        ("coverage", "prdc", ["rate", "marginal_kl", "kl", "accuracy_synthetic_to_real", "copying", "elbo"]),
        ("copying", "copying", ["rate", "fid", "kl", "accuracy_synthetic_to_real", "elbo"]),
        ("discrepancy", "fid", ["rate", "kl", "accuracy_synthetic_to_real", "copying", "elbo"]),
        ("marginal", "marginal_kl", ["fid", "kl", "copying", "accuracy_synthetic_to_real"]),
        ("bracket", "kl", ["fid", "copying", "accuracy_synthetic_to_real"]),
        ("mixture", "kl", ["fid", "copying", "accuracy_synthetic_to_real"]),
    ],
)
def test_an_edited_estimator_recomputes_what_depends_on_it_and_nothing_else(estimator, touched, spared):
    module = f"priorgap.estimators.{estimator}"
    assert module in depends(touched)
    for name in spared:
        assert module not in depends(name), name


@pytest.mark.parametrize("name", METRICS)
def test_no_measure_depends_on_training_or_samplers(name):
    forbidden = ("priorgap.training", "priorgap.samplers", "priorgap.pipeline", "priorgap.report")
    assert not [m for m in depends(name) if m.startswith(forbidden)]


def test_samplers_do_not_depend_on_measures():
    for file in (configuration_directory() / "sampler").glob("*.yaml"):
        modules = code_digest.closure(target_modules(load_option("sampler", file.stem)))
        assert not [m for m in modules if m.startswith(("priorgap.metrics", "priorgap.features"))]


def test_closure_sees_imports_inside_functions():
    # parts.py is imported by model_config inside a function: leaving it out would miss an edit
    assert "priorgap.pipeline.config.parts" in code_digest.closure(["priorgap.pipeline.config.model_config"])


def test_unknown_module_is_refused():
    with pytest.raises(ValueError, match="not a module"):
        code_digest.closure(["priorgap.nothing"])


def test_training_code_is_of_the_declared_version():
    """Fails when the training code changes: raise TRAIN_VERSION, or declare the change compatible."""
    found = code_digest.code_digest(train_version.MODULES)
    assert found in train_version.COMPATIBLE, (
        f"the training code changed: its digest is now {found}; in pipeline/config/train_version.py either raise "
        "TRAIN_VERSION and make COMPATIBLE hold this digest alone, or add it with a reason"
    )


def test_every_module_parses_and_has_a_docstring():
    for file in code_digest.module_file("priorgap").parent.rglob("*.py"):
        assert ast.get_docstring(ast.parse(file.read_text())), file
