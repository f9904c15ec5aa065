"""PRDC against the reference package, and the scatter of its standard errors."""

import contextlib
import io
import operator

import pytest
import torch
from coverage_loop import NAMES, by_loop
from refusals import drawn_from_its_generator, refused, seeded

from priorgap.estimators.coverage import precision_recall_density_coverage
from priorgap.estimators.neighbours import kth, squared_radii


def reference(real, fake, k):
    with contextlib.redirect_stdout(io.StringIO()):
        from prdc import compute_prdc

        return compute_prdc(real_features=real.numpy(), fake_features=fake.numpy(), nearest_k=k)


def ours(real, fake, generator, k=5):
    result = precision_recall_density_coverage(real, fake, generator=generator, k=k)
    return {name: getattr(result, name) for name in ("precision", "recall", "density", "coverage")}


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_equals_the_reference_package(k, offset, generator):
    real = torch.randn(700, 6, generator=generator, dtype=torch.float64) + offset
    fake = 1.2 * torch.randn(520, 6, generator=generator, dtype=torch.float64) + 0.5 + offset
    expected = reference(real, fake, k)
    for name, estimate in ours(real, fake, generator, k).items():
        assert estimate.value == pytest.approx(expected[name], abs=1e-12), name


def test_equals_a_loop(generator):
    real, fake = torch.randn(30, 2, generator=generator), torch.randn(20, 2, generator=generator)
    k = 2

    def ball(points, i):
        return sorted(float((points[i] - p).double().norm()) for j, p in enumerate(points) if j != i)[k - 1]

    def gap(i, j):
        return float((real[i] - fake[j]).double().norm())

    inside = [[gap(i, j) < ball(real, i) for i in range(30)] for j in range(20)]
    recalled = [any(gap(i, j) < ball(fake, j) for j in range(20)) for i in range(30)]
    result = ours(real, fake, generator, k)
    assert result["precision"].value == pytest.approx(sum(any(row) for row in inside) / 20)
    assert result["density"].value == pytest.approx(sum(map(sum, inside)) / (20 * k))
    assert result["coverage"].value == pytest.approx(sum(any(c) for c in zip(*inside, strict=True)) / 30)
    assert result["recall"].value == pytest.approx(sum(recalled) / 30)


def test_radius_does_not_count_the_point_itself(generator):
    points = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    assert squared_radii(points, 1).tolist() == pytest.approx([1.0, 1.0, 4.0])
    assert squared_radii(points, 2).tolist() == pytest.approx([9.0, 4.0, 9.0])
    doubled = torch.cat([points, points])
    assert squared_radii(doubled, 1).abs().max() < 1e-12
    # negative control: counting the point itself gives radius 0 everywhere
    assert torch.cdist(points, points).kthvalue(1, dim=1).values.max() == 0


def two_modes(n, generator):
    mode = torch.where(torch.rand(n, 1, generator=generator) < 0.5, 4.0, -4.0)
    return torch.randn(n, 2, generator=generator) + torch.cat([mode, torch.zeros(n, 1)], 1)


def test_good_bad_and_degenerate_samples(generator):
    real, good = two_modes(800, generator), two_modes(800, generator)
    same = ours(real, good, generator)
    assert same["precision"].value > 0.9 and same["recall"].value > 0.9
    assert same["coverage"].value == pytest.approx(1 - 2**-5, abs=0.02)
    assert same["density"].value == pytest.approx(1, abs=0.1)
    half = ours(real, good[good[:, 0] > 0], generator)
    assert half["precision"].value > 0.9 and half["recall"].value < 0.6 and half["coverage"].value < 0.6
    point = ours(real, real[:1].expand(800, 2), generator)
    assert point["recall"].value == 0 and point["coverage"].value < 0.05
    assert point["precision"].value == 1  # a collapse to one real image is perfectly "precise"
    far = ours(real, good + 100, generator)
    assert all(far[name].value == 0 for name in ("precision", "recall", "density", "coverage"))
    wide = ours(real, 3 * good, generator)
    assert wide["precision"].value < 0.5


def test_standard_errors_against_simulation(generator):
    values = {name: [] for name in ("precision", "recall", "density", "coverage")}
    errors = {name: [] for name in values}
    for _ in range(60):
        real = torch.randn(400, 3, generator=generator)
        fake = 1.4 * torch.randn(400, 3, generator=generator) + 0.5
        for name, estimate in ours(real, fake, generator).items():
            values[name].append(estimate.value)
            errors[name].append(estimate.std_error)
    for name, column in values.items():
        ratio = sum(errors[name]) / 60 / float(torch.tensor(column).std())
        assert 0.6 < ratio < 2.5, (name, ratio)


def test_small_sets_and_bad_input(generator):
    x = torch.randn(40, 2, generator=generator)
    assert ours(x, x + 0.1, generator)["precision"].std_error is None
    with pytest.raises(ValueError, match="real has 5 rows: expected at least 6"):
        ours(x[:5], x, generator)
    with pytest.raises(ValueError, match="k=0"):
        ours(x, x, generator, k=0)
    with pytest.raises(ValueError, match="fake has 1 columns"):
        ours(x, x[:, :1], generator)


@pytest.mark.parametrize("sizes", [(6, 6), (7, 300), (300, 7), (257, 513), (64, 256)])
def test_sizes_about_the_chunk_and_the_block(sizes, generator):
    """Fewer points than a block has columns, one more than a chunk has rows, and no multiple of 8."""
    real = torch.randn(sizes[0], 3, generator=generator)
    fake = 1.1 * torch.randn(sizes[1], 3, generator=generator) + 0.2
    for k in (1, 5):
        found = precision_recall_density_coverage(real, fake, generator=generator, k=k, n_blocks=1)
        assert [getattr(found, name).value for name in NAMES] == pytest.approx(by_loop(real, fake, k))
        assert all(getattr(found, name).std_error is None for name in NAMES)


def test_points_on_a_grid_lie_exactly_on_many_borders(generator):
    """Integer points and a mean that is exact: float32 finds many borders, float64 decides; a border is outside."""
    for offset in (0, 1000):
        real = torch.randint(5, (128, 3), generator=generator).float() + offset
        fake = torch.randint(5, (64, 3), generator=generator).float() + offset
        found = precision_recall_density_coverage(real, fake, generator=generator, k=3, n_blocks=1)
        assert [getattr(found, name).value for name in NAMES] == pytest.approx(by_loop(real, fake, 3))
    assert 0 < found.precision.value < 1 and 0 < found.recall.value < 1


def by_integers(real, fake, k, within=operator.lt):
    """The four definitions in integers, without rounding: a tie is a tie, and a border is outside."""
    gap = [[sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for y in real] for x in fake]

    def radii(points):
        squares = [[sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for y in points] for x in points]
        return [sorted(row)[k] for row in squares]

    inner, outer = radii(real), radii(fake)
    inside = [[within(d, r) for d, r in zip(row, inner, strict=True)] for row in gap]
    recalled = [any(within(row[j], r) for row, r in zip(gap, outer, strict=True)) for j in range(len(real))]
    return [
        sum(map(any, inside)) / len(fake),
        sum(recalled) / len(real),
        sum(map(sum, inside)) / (k * len(fake)),
        sum(map(any, zip(*inside, strict=True))) / len(real),
    ]


@pytest.mark.parametrize("values", [2, 3, 256])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ties_of_integers_are_ties_whatever_their_mean(values, dtype, generator):
    """Means such as 1/7 have no finite binary expansion: rounding them must decide nothing."""
    real = torch.randint(values, (133, 5), generator=generator)
    fake = torch.randint(values, (119, 5), generator=generator)
    fake[:60] = real[:60]  # copies: at a distance that is also a radius
    for k in (1, 5):
        found = precision_recall_density_coverage(
            real.to(dtype), fake.to(dtype), generator=generator, k=k, n_blocks=1
        )
        expected = by_integers(real.tolist(), fake.tolist(), k)
        assert [getattr(found, name).value for name in NAMES] == pytest.approx(expected, abs=1e-12)
        # negative control: there are ties, and what is done with them shows
        assert by_integers(real.tolist(), fake.tolist(), k, operator.le) != expected


def test_copies_lie_on_borders_that_rounding_must_not_move(generator):
    real = torch.randn(300, 40, generator=generator) + 5
    found = precision_recall_density_coverage(real, real.clone(), generator=generator, k=1, n_blocks=1)
    # each ball holds its own point alone: the nearest neighbour lies on its border
    assert (found.precision.value, found.coverage.value, found.recall.value) == (1, 1, 1)
    assert found.density.value == 1


def test_tight_clusters_far_apart(generator):
    """Distances within a cluster are below what float32 products can tell: float64 decides all of them."""
    centres = 1000 * torch.randn(6, 8, generator=generator, dtype=torch.float64)
    real, fake = (
        centres.repeat(20, 1) + 0.001 * torch.randn(120, 8, generator=generator, dtype=torch.float64)
        for _ in range(2)
    )
    found = precision_recall_density_coverage(real, fake, generator=generator, k=3, n_blocks=1)
    expected = by_loop(real, fake, 3)
    assert [getattr(found, name).value for name in NAMES] == pytest.approx(expected, abs=1e-12)
    assert 0 < found.precision.value < 1


def test_radii_of_many_points_in_any_chunk(generator):
    points = torch.randn(150, 4, generator=generator) + 30
    gaps = torch.cdist(points.double(), points.double(), compute_mode="donot_use_mm_for_euclid_dist")
    for k in (1, 7, 149):
        expected = gaps.square().sort(1).values[:, k]
        torch.testing.assert_close(squared_radii(points, k), expected, rtol=1e-9, atol=0)
        torch.testing.assert_close(squared_radii(points, k, chunk=11), expected, rtol=1e-9, atol=0)
    assert squared_radii(points, 1).dtype == torch.float64


@pytest.mark.parametrize("shape", [(3, 8, 40), (3, 16, 157), (2, 8, 300), (4, 8, 2)])
def test_kth_of_many_scores(shape, generator):
    """Rows short enough to be partitioned whole and longer ones, distinct values and ties among the groups."""
    distinct = torch.randn(shape, generator=generator)
    ties = torch.randint(4, shape, generator=generator).float()
    filled = torch.full(shape, torch.inf)
    filled[:, 0, :2] = distinct[:, 0, :2]
    for score in (distinct, ties, filled):
        before = score.clone()
        for k in (1, 2, 7):
            assert torch.equal(kth(score, k), score.flatten(1).sort(1).values[:, k - 1])
        assert torch.equal(score, before)


def test_blocks_step_by_step(generator):
    real, fake = torch.randn(125, 2, generator=generator), torch.randn(131, 2, generator=generator) + 0.5
    for k, n_blocks in ((5, 10), (3, 4), (1, 2)):
        same = seeded()
        i, j = (torch.randperm(n, generator=same).tensor_split(n_blocks) for n in (125, 131))
        blocks = torch.tensor([by_loop(real[p], fake[q], k) for p, q in zip(i, j, strict=True)]).double()
        found = precision_recall_density_coverage(real, fake, generator=seeded(), k=k, n_blocks=n_blocks)
        assert [getattr(found, name).value for name in NAMES] == pytest.approx(by_loop(real, fake, k))
        errors = blocks.std(0) / n_blocks**0.5
        assert [getattr(found, name).std_error for name in NAMES] == pytest.approx(errors.tolist(), rel=1e-5)
    default = drawn_from_its_generator(lambda g: precision_recall_density_coverage(real, fake, generator=g))
    assert default == precision_recall_density_coverage(real, fake, generator=seeded(), k=5, n_blocks=10)


def test_a_block_needs_2_k_and_2_points(generator):
    x = torch.randn(120, 2, generator=generator)
    for n, known in ((120, True), (119, False)):
        for sets in ((x[:n], x), (x, x[:n])):
            found = precision_recall_density_coverage(*sets, generator=generator, k=5, n_blocks=10)
            assert (found.recall.std_error is not None) == known


def test_whole_messages(generator):
    x = torch.randn(6, 2, generator=generator)

    def call(real, fake, k=5):
        return precision_recall_density_coverage(real, fake, generator=generator, k=k)

    call(x, x + 1)
    call(x[:2], x[:2], 1)
    refused(lambda: call(x, x, 0), "k=0: expected an integer >= 1")
    refused(lambda: call(x[:5], x), "real has 5 rows: expected at least 6")
    refused(lambda: call(x, x[:5]), "fake has 5 rows: expected at least 6")
    refused(lambda: call(x, x[:, :1]), "fake has 1 columns: expected 2")
