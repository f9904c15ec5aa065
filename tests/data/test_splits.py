"""The data contract: shapes, ranges, disjoint seeded splits, round trips."""

import pytest
import torch

from priorgap.core.random import stream
from priorgap.data.digits import Digits
from priorgap.data.splits import (
    Dataset,
    Split,
    fraction_split,
    load_dataset,
    random_split,
    save_dataset,
    stratified_split,
)


def images(n: int = 10, *, labels: bool = True) -> Split:
    x = torch.arange(n * 4, dtype=torch.uint8).reshape(n, 1, 2, 2)
    return Split(x, torch.arange(n) % 3 if labels else None)


def test_batches_are_floats_in_the_unit_interval():
    split = Split(torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8))
    assert torch.allclose(split.floats().flatten(), torch.tensor([0.0, 0.2, 1.0]))
    assert torch.equal(split.batch(slice(0, 1)), split.floats())
    assert split.range == (0.0, 1.0) and split.shape == (1, 1, 3)
    assert split.x.dtype == torch.uint8


def test_vectors_stay_as_they_are():
    split = Split(torch.tensor([[-3.0, 7.0]]), None, "float_vector")
    assert torch.equal(split.floats(), split.x) and split.range is None


@pytest.mark.parametrize("index", [torch.tensor([3, 1]), slice(1, 3), [2, 2]])
def test_take_and_batch_agree(index):
    split = images()
    taken = split.take(index)
    assert torch.equal(taken.floats(), split.batch(index))
    assert torch.equal(taken.label, split.label[index])


@pytest.mark.parametrize(
    ("x", "label", "kind", "message"),
    [
        (torch.zeros(2, 1, 2, 2), None, "uint8_image", "expected torch.uint8"),
        (torch.zeros(2, 4, dtype=torch.uint8), None, "uint8_image", "4 axes"),
        (torch.zeros(2, 4, dtype=torch.float64), None, "float_vector", "expected torch.float32"),
        (torch.zeros(2, 4), None, "float_sequence", "3 axes"),
        (torch.zeros(2, 4), None, "table", "kind='table'"),
        (torch.zeros(2, 4), torch.zeros(3, dtype=torch.int64), "float_vector", "label"),
        (torch.zeros(2, 4), torch.zeros(2), "float_vector", "label"),
    ],
)
def test_bad_splits_are_refused(x, label, kind, message):
    with pytest.raises(ValueError) as caught:
        Split(x, label, kind)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_bad_datasets_are_refused():
    good = images()
    with pytest.raises(ValueError, match="the test split is empty"):
        Dataset("d", good, good, good.take(slice(0, 0)), 3)
    with pytest.raises(ValueError, match=r"validation is uint8_image \(1, 2, 1\)"):
        Dataset("d", good, Split(torch.zeros(2, 1, 2, 1, dtype=torch.uint8)), good, 3)
    with pytest.raises(ValueError, match="not below n_classes=2"):
        Dataset("d", good, good, good, 2)
    with pytest.raises(ValueError, match="not below n_classes=None"):
        Dataset("d", good, good, good)


def test_random_split_is_a_partition_of_its_seed():
    parts = random_split(100, [20, 10], generator=stream(0))
    assert [len(p) for p in parts] == [20, 10, 70]
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(100))
    again, other = (random_split(100, [20, 10], generator=stream(s)) for s in (0, 1))
    assert torch.equal(parts[0], again[0]) and not torch.equal(parts[0], other[0])


def test_stratified_split_keeps_the_classes_shares():
    label = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)
    test, validation, train = stratified_split(label, [0.2, 0.1], generator=stream(0))
    assert label[test].bincount().tolist() == [10, 6, 4]
    assert label[validation].bincount().tolist() == [5, 3, 2]
    assert torch.equal(torch.cat([test, validation, train]).sort().values, torch.arange(100))


def test_splits_that_leave_nothing_are_refused():
    with pytest.raises(ValueError, match="of 10 rows"):
        random_split(10, [5, 5], generator=stream(0))
    with pytest.raises(ValueError, match="class 1 has 2 rows"):
        stratified_split(torch.tensor([0] * 9 + [1] * 2), [0.2, 0.2], generator=stream(0))
    for bad in ([0.5, 0.5], [0.0], [1.2]):
        with pytest.raises(ValueError, match="fractions"):
            fraction_split(None, 100, bad, generator=stream(0))
        with pytest.raises(ValueError, match="fractions"):
            fraction_split(torch.zeros(100, dtype=torch.int64), 100, bad, generator=stream(0))


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("labels", [True, False])
def test_a_saved_dataset_comes_back(tmp_path, mmap, labels):
    split = images(labels=labels)
    before = Dataset("d", split, split.take([1]), split.take([2]), 3 if labels else None, False, {"a": [1]})
    save_dataset(before, tmp_path)
    after = load_dataset(tmp_path, mmap=mmap)
    for part in ("train", "validation", "test"):
        old, new = getattr(before, part), getattr(after, part)
        assert torch.equal(old.x, new.x) and old.kind == new.kind
        assert (old.label is None) == (new.label is None)
        if old.label is not None:
            assert torch.equal(old.label, new.label)
    assert (after.name, after.n_classes, after.official, after.provenance) == (
        "d",
        before.n_classes,
        False,
        {"a": [1]},
    )


def test_digits_are_whole_stratified_and_need_no_disk(tmp_path):
    data = Digits().load(root=tmp_path / "absent", download=False)
    assert not (tmp_path / "absent").exists()
    assert data.shape == (1, 8, 8) and data.n_classes == 10 and not data.official
    sizes = [len(data.train), len(data.validation), len(data.test)]
    assert sum(sizes) == 1797 and sizes == data.provenance["sizes"]
    assert "no official" in data.provenance["split"]
    for split in (data.train, data.validation, data.test):
        assert split.label.bincount(minlength=10).min() >= 0.18 * len(split) / 2
        assert int(split.x.max()) == 255 and int(split.x.min()) == 0
    rows = torch.cat([s.x.flatten(1) for s in (data.train, data.validation, data.test)])
    assert len(rows.unique(dim=0)) == 1797
    again, other = (
        Digits().load(root=tmp_path, download=False),
        Digits(split_seed=1).load(root=tmp_path, download=False),
    )
    assert torch.equal(again.test.x, data.test.x) and not torch.equal(other.test.x, data.test.x)
