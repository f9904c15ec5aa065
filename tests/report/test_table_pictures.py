"""Pictures of tables show what the numbers say."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from priorgap.report.previews import TablePreview, drawn
from priorgap.report.table_pictures import associations, column_pairs, column_values

NUMERIC = ("age", "wage")


def table(rho=0.8, n=2000, seed=0):
    rng = np.random.default_rng(seed)
    age = rng.normal(40, 10, n)
    wage = 50 + 20 * (rho * (age - 40) / 10 + np.sqrt(1 - rho**2) * rng.normal(size=n))
    side = np.where(rng.random(n) < 0.9, np.where(age > 40, "old", "young"), None)
    return pd.DataFrame({"age": age, "wage": wage, "side": side.astype(object), "coin": rng.random(n) < 0.5})


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_associations_of_a_known_table():
    found = associations(table(), NUMERIC)
    assert found[0, 1] == pytest.approx(0.8, abs=0.03)
    # groups of equal size tell the side of the median exactly, where it is not missing
    assert found[0, 2] > 0.6 and found[2, 0] == found[0, 2]
    assert found[0, 3] < 0.1 and (np.diag(found) == 1).all()
    rng = np.random.RandomState(1)
    independent = table().apply(lambda column: column.sample(frac=1, random_state=rng).to_numpy())
    assert np.triu(associations(independent, NUMERIC), 1).max() < 0.12


def test_perfect_and_degenerate_columns():
    frame = pd.DataFrame({"a": [0.0, 1, 2, 3] * 50, "b": ["x", "x", "y", "y"] * 50, "one": [1.0] * 200})
    frame["none"] = np.nan
    found = associations(frame, ("a", "one", "none"))
    assert found[0, 1] == pytest.approx(1, abs=1e-9)
    assert found[0, 2] == found[1, 2] == found[2, 3] == found[1, 3] == 0


def test_equal_tables_have_equal_pictures_and_others_have_not():
    real, other = table(), table(rho=-0.8)
    assert column_values({"real": real, "prior": real}, NUMERIC, {}) == column_values(
        {"real": real, "prior": real.copy()}, NUMERIC, {}
    )
    shifted = real.assign(wage=real["wage"] + 40)
    assert column_values({"real": real, "prior": shifted}, NUMERIC, {}) != column_values(
        {"real": real, "prior": real}, NUMERIC, {}
    )
    assert column_pairs({"real": real, "prior": other}, NUMERIC) == column_pairs(
        {"real": real, "prior": other}, NUMERIC
    )


def test_what_lies_far_away_is_counted_at_the_edge():
    real = table()
    far = pixels(column_values({"real": real, "prior": real.assign(wage=1e6)}, NUMERIC, {}))
    further = pixels(column_values({"real": real, "prior": real.assign(wage=1e9)}, NUMERIC, {}))
    assert np.array_equal(far, further)


def test_many_columns_have_no_matrix_and_dates_have_one():
    wide = pd.DataFrame(np.zeros((5, 30))).rename(columns=str)
    assert column_pairs({"real": wide}, tuple(wide.columns)) is None
    assert column_pairs({"real": table()[["age"]]}, NUMERIC) is None
    dated = table().assign(day=pd.date_range("2020-01-01", periods=2000))
    assert column_values({"real": dated}, (*NUMERIC, "day"), {})
    assert associations(dated, (*NUMERIC, "day"))[0, 4] < 0.1


def test_a_model_of_rows_has_two_pictures_of_a_few_samplers():
    names = ["real", "reconstructions", "gmm", "posterior", "kde", "flow", "prior"]
    known = {name: TablePreview(table(n=200), NUMERIC) for name in names}
    found = list(drawn(known, names[2:], "cell 1", baseline="prior"))
    others = list(drawn(known, names[2:], "cell 1", baseline="flow"))
    assert others[0].content != found[0].content and others[1].content == found[1].content
    assert [(one.file, one.wide) for one in found] == [("columns", True), ("pairs", True)]
    assert "cell 1" in found[0].alt
