"""Tables in compare: data frames in, a model of frames, measures of tables; and what cannot be read."""

import numpy as np
import pandas as pd
import pytest
import torch

from priorgap import Frames, compare


def table(n=900, seed=0):
    """Two numbers that go together, a category that tells their side, a truth value, missing values."""
    rng = np.random.default_rng(seed)
    age = rng.normal(40, 10, n).round().astype(int)
    wage = 2.0 * age + rng.normal(0, 4, n)
    side = np.where(age > 40, "old", np.where(age > 30, "middle", "young")).astype(object)
    side[rng.random(n) < 0.05] = None
    return pd.DataFrame({"age": age, "wage": wage, "side": side, "coin": rng.random(n) < 0.3})


class Model:
    """A VAE of frames with one latent unit, age: what it decodes goes by that alone."""

    def __init__(self) -> None:
        self.seen, self.generator = [], np.random.default_rng(0)

    def encode(self, frame):
        self.seen.append(frame)
        mean = torch.tensor((frame["age"].to_numpy(float) - 40) / 10)[:, None].float()
        return mean, torch.full_like(mean, -5.0)

    def decode(self, z):
        age = (40 + 10 * z[:, 0].double().numpy()).round().astype(int)
        side = np.where(age > 40, "old", np.where(age > 30, "middle", "young"))
        return pd.DataFrame({"age": age, "wage": 2.0 * age, "side": side, "coin": np.zeros(len(age), bool)})

    def draw(self, z, generator):
        found = self.decode(z)
        n = len(found)
        found["wage"] += 4 * torch.randn(n, generator=generator, dtype=torch.float64).numpy()
        found["coin"] = torch.rand(n, generator=generator).numpy() < 0.3
        return found


def test_a_model_of_frames_is_audited_as_a_table():
    data, model = table(), Model()
    rows = Frames.of(data[:600], data[600:])
    found = compare(
        rows.encoding(model.encode), rows.decoding(model.decode), rows.train, rows.test,
        draw=rows.decoding(model.draw),
        samplers=["prior", "posterior", "gaussian_full"], metrics=["rate", "column_shapes", "pair_trends"], seed=0,
        progress=False, known=rows.known,
    )  # fmt: skip
    assert not found.verdict.stopped, found.verdict.headline
    # the model saw the file's values
    seen = model.seen[0]
    assert list(seen.columns) == list(data.columns) and seen["age"].dtype.kind == "i"
    assert set(seen["side"].dropna()) <= {"old", "middle", "young"} and seen["side"].isna().any()
    whole = found.table[found.table["unit"] == ""]
    shapes = whole[whole["measure"] == "column_shapes"].set_index(["sampler", "decode"])["value"]
    for sampler in ("prior", "posterior", "gaussian_full"):
        # the mean has no coin; a draw has all columns as they are
        assert shapes[sampler, "draw"] > 0.9 > shapes[sampler, "mean"]
    made = found.generate(50, sampler="prior", decode_rule="draw")
    assert rows.frame(torch.as_tensor(made.x))["side"].isin(["old", "middle", "young"]).all()


def test_the_name_of_a_list_stands_for_its_measures():
    data, model = table(), Model()
    rows = Frames.of(data[:600], data[600:])

    def names(*metrics):
        found = compare(
            None, rows.decoding(model.decode), rows.train, rows.test, latent_dim=2, samplers=["prior"],
            metrics=list(metrics), features="pixels", progress=False,
        )  # fmt: skip
        assert not found.verdict.stopped, found.verdict.headline
        return list(dict.fromkeys(found.table["measure"]))

    all_of_them = names("tables", "column_shapes")
    assert {"column_shapes", "pair_trends", "detection_auc", "dcr"} <= set(all_of_them)
    assert names("column_shapes") == ["column_shapes"]
    assert sorted(all_of_them) == sorted(names("column_shapes", "tables"))
    with pytest.raises(ValueError, match=r"^metric=table: did you mean tables\? expected one of "):
        names("table")


def test_rows_go_there_and_back():
    data = table()
    rows = Frames.of(data[:600], data[600:])
    back = rows.frame(rows.test.x)
    for name in ("age", "side", "coin"):
        given, found = (frame[name].astype(object) for frame in (data[600:], back))
        assert found.where(found.notna(), None).tolist() == given.where(given.notna(), None).tolist()
    assert np.abs(back["wage"] - data[600:]["wage"].to_numpy()).max() < 1e-6 * np.ptp(data["wage"])
    assert torch.equal(rows.rows(back), rows.test.x)
    # columns in another order, and one too many, are found by name
    assert torch.equal(rows.rows(back[["coin", "side", "age", "wage"]].assign(more=1)), rows.test.x)


def test_labels_are_a_column_of_categories():
    data = table()
    data["side"] = data["side"].fillna("young")
    rows = Frames.of(data[:600], data[600:], target="side")
    names = ["middle", "old", "young"]
    assert [names[i] for i in rows.train.label.tolist()] == data[:600]["side"].tolist()


def test_what_is_unusual_is_known():
    data = table()
    data = data.assign(one=1, name=[f"p{i}" for i in range(900)])
    train, test = data[:600], data[600:].copy()
    test.loc[test.index[0], "side"] = "ancient"
    (said,) = Frames.of(train, test).known
    for word in ("one", "constant", "name", "ancient"):
        assert word in said.sentence


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b: (a, b.drop(columns="coin")), "expected those of train, age, wage, side, coin"),
        (lambda a, b: (a.to_numpy(), b), "train is ndarray: expected a data frame with rows"),
        (lambda a, b: (a, b[:0]), "test is DataFrame: expected a data frame with rows"),
    ],
)
def test_what_are_no_two_frames_of_the_same_columns_is_one_line(change, message):
    data = table()
    with pytest.raises(ValueError, match=message):
        Frames.of(*change(data[:600], data[600:]))


def test_a_target_that_gives_no_labels_is_one_line():
    data = table()
    for target, message in (
        ("nothing", "expected a column of train"), ("wage", "expected one of categories"), ("side", "have no value"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            Frames.of(data[:600], data[600:], target=target)


def test_what_decode_may_not_give_is_one_line():
    data = table()
    rows = Frames.of(data[:600], data[600:])
    with pytest.raises(ValueError, match="decode gave Tensor: expected a data frame"):
        rows.decoding(lambda z: z)(torch.zeros(3, 1))
    with pytest.raises(ValueError, match="decode gave no column wage"):
        rows.decoding(lambda z: data[["age"]])(torch.zeros(3, 1))
    with pytest.raises(ValueError, match="age"):
        rows.decoding(lambda z: data.assign(age="old"))(torch.zeros(3, 1))


def test_reconstructions_are_judged_by_what_is_expected_and_not_by_draws():
    """Noise that no model can foresee counts once, whatever measures see of a z."""
    data, model = table(), Model()
    rows = Frames.of(data[:600], data[600:])
    found = compare(
        rows.encoding(model.encode), rows.decoding(model.decode), rows.train, rows.test,
        draw=rows.decoding(model.draw), samplers=["prior"], metrics=["reconstruction"], progress=False,
    )  # fmt: skip
    share = found.table[found.table["measure"] == "explained_share"].set_index("decode")["value"]
    assert share["draw"] == share["mean"] > 0.1
