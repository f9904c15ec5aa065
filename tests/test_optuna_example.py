"""examples/optuna_search.py: a search by Optuna's own study, chosen on validation rows."""

import importlib.util
from pathlib import Path

import pytest

from priorgap.core import torchvision_compat

torchvision_compat.ensure()
optuna = pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def example():
    place = Path(__file__).parents[1] / "examples/optuna_search.py"
    spec = importlib.util.spec_from_file_location("optuna_search", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module._EPOCHS = 3
    return module


@pytest.mark.e2e
def test_the_search_chooses_by_validation_rows_and_reports_on_test_rows(example, tmp_path, monkeypatch):
    judged = []
    original = example.judge

    def judge(vae, train, held_out, **options):
        found = original(vae, train, held_out, **options)
        judged.append((held_out, found))
        return found

    monkeypatch.setattr(example, "judge", judge)
    found = example.main(3, tmp_path)
    dataset = example.Digits().load(root=tmp_path, download=False)
    assert len(judged) == 4
    assert all(rows.x.equal(dataset.validation.x) for rows, _ in judged[:3])
    assert judged[3][0].x.equal(dataset.test.x)
    values = [example.fid_of_the_prior(one) for _, one in judged[:3]]
    assert len(set(values)) == 3
    # the model that is reported on is the one that was best on validation rows
    folders = sorted(tmp_path.glob("trial_*"))
    assert [folder.name for folder in folders] == ["trial_0", "trial_1", "trial_2"]
    assert "the best of 3 by the FID of its prior on validation" in found.verdict.text
    # the same search again ends with the same numbers
    again = example.main(3, tmp_path / "again")
    assert example.fid_of_the_prior(again) == example.fid_of_the_prior(found)
