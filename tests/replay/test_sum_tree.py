"""The sum tree, held against a running sum over all leaves."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from replay.sum_tree import WIDTH, SumTree
from tests.helpers.resident_memory import taken_by

# One level, two, three and four; full and one leaf off.
EDGES = [1] + [WIDTH**power + off for power in (1, 2, 3) for off in (-1, 0, 1)]
sizes = st.sampled_from(EDGES) | st.integers(1, 5000)
seeds = st.integers(0, 2**32 - 1)
shares = st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.999])


def tree_of(values: np.ndarray) -> SumTree:
    tree = SumTree(len(values))
    tree.load(values)
    return tree


def some_zero(values: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Returns the values with a share of them 0, but not all."""
    kept = rng.random(len(values)) >= share
    kept[rng.integers(len(values))] = True
    return np.where(kept, values, 0.0)


def mixed(size: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Returns values of 1e-12 next to such of 1e9, and zeros."""
    return some_zero(10.0 ** rng.uniform(-12, 9, size), share, rng)


def points_around(ends: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns points at borders, next to them, anywhere, and from the total to far beyond it."""
    total = ends[-1]
    borders = np.append(rng.choice(ends, 50), [0.0, total])
    beyond = [total + ulps * np.spacing(total) for ulps in range(1, 9)] + [2 * total, math.inf]
    below, above = np.nextafter(borders, 0), np.nextafter(borders, math.inf)
    return np.concatenate([borders, below, above, rng.random(50) * total, beyond])


def test_a_new_tree_is_all_zero():
    tree = SumTree(WIDTH + 1)
    assert len(tree) == WIDTH + 1
    assert tree.total == 0
    assert tree.leaves.dtype == np.float64
    np.testing.assert_array_equal(tree.leaves, np.zeros(WIDTH + 1))


@pytest.mark.parametrize("size", [0, -1])
def test_a_tree_without_leaves_is_refused(size):
    with pytest.raises(ValueError, match=str(size)):
        SumTree(size)


def test_points_find_the_leaves_of_the_docstring():
    tree = tree_of(np.array([2.0, 0, 1, 4, 0, 3]))
    assert tree.total == 10
    points = np.array([0, 1.9, 2, 2.9, 3, 6.5, 6.9, 7, 9.9])
    found = tree.find(points)
    assert found.dtype == np.int64
    assert found.tolist() == [0, 0, 2, 2, 3, 3, 3, 5, 5]


@settings(deadline=None)
@given(sizes, shares, seeds)
def test_a_point_finds_the_leaf_that_a_running_sum_finds(size, share, seed):
    rng = np.random.default_rng(seed)
    # Whole numbers, so that all sums are exact.
    values = some_zero(rng.integers(1, 1000, size).astype(float), share, rng)
    ends = values.cumsum()
    points = points_around(ends, rng)
    points = points[points < ends[-1]]
    found = tree_of(values).find(points)
    np.testing.assert_array_equal(found, np.searchsorted(ends, points, side="right"))


@settings(deadline=None)
@given(sizes, shares, seeds)
def test_tiny_leaves_next_to_huge_ones_are_found_to_within_rounding(size, share, seed):
    rng = np.random.default_rng(seed)
    values = mixed(size, share, rng)
    ends = values.cumsum()
    points = rng.random(100) * ends[-1]
    found = tree_of(values).find(points)
    rounding = 1e-12 * ends[-1]
    assert (ends[found] - values[found] - rounding <= points).all()
    assert (points < ends[found] + rounding).all()


@settings(deadline=None)
@given(sizes, shares, seeds)
def test_a_leaf_of_zero_is_never_found(size, share, seed):
    rng = np.random.default_rng(seed)
    values = mixed(size, share, rng)
    tree = tree_of(values)
    # Borders added up one by one, and in two steps, as the tree does: they round differently.
    ends, node_ends = values.cumsum(), np.add.reduceat(values, np.arange(0, size, WIDTH)).cumsum()
    total = np.array([tree.total])
    points = np.concatenate([points_around(border, rng) for border in (ends, node_ends, total)])
    found = tree.find(points)
    assert (found >= 0).all()
    assert (found < size).all()
    assert (values[found] > 0).all()


@pytest.mark.parametrize("value", [5e-324, 1e-300, 0.1, 1e9, 1e300])
@pytest.mark.parametrize("size", EDGES)
def test_a_single_leaf_that_is_not_zero_is_found_by_all_points(size, value):
    for index in {0, size // 2, size - 1}:
        tree = SumTree(size)
        tree.set(np.array([index]), np.array([value]))
        points = np.array([0, value / 2, np.nextafter(value, 0), value, 2 * value])
        assert tree.find(points).tolist() == [index] * 5


def test_points_beyond_the_total_find_the_last_leaf_that_is_not_zero():
    values = np.full(3000, 0.1)
    values[2900:] = 0
    tree = tree_of(values)
    total = tree.total
    assert (tree.find(total + np.arange(5) * np.spacing(total)) == 2899).all()
    assert tree.find(np.array([math.inf])).tolist() == [2899]


def test_leaves_are_found_as_often_as_their_values_say():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 6, WIDTH**2 + 1).astype(float)
    tree, draws = tree_of(values), 200_000
    counts = np.bincount(tree.find(rng.random(draws) * tree.total), minlength=len(values))
    expected = draws * values / values.sum()
    drawn = expected > 0
    assert counts[~drawn].sum() == 0
    chi_square = ((counts - expected)[drawn] ** 2 / expected[drawn]).sum()
    freedom = drawn.sum() - 1
    # Nearly normal at so many degrees of freedom: three standard deviations either way.
    assert abs(chi_square - freedom) < 3 * math.sqrt(2 * freedom)


changes = st.lists(
    st.lists(
        st.tuples(
            st.integers(0, 2**30),
            st.sampled_from([0.0, 5e-324, 1e-12, 1.0, 1e9]) | st.floats(0, 1e9),
        ),
        max_size=40,
    ),
    max_size=8,
)


@settings(deadline=None)
@given(sizes, changes)
@example(2, [[(0, 1.0), (1, 2.0), (0, 3.0), (0, 4.0)]])
@example(WIDTH**3 + 1, [[(WIDTH**3, 1e9), (0, 1e-12)], [(WIDTH**3, 0.0)]])
def test_after_any_changes_the_last_value_of_each_leaf_counts(size, changes):
    tree, naive = SumTree(size), np.zeros(size)
    for change in changes:
        indices = np.array([place % size for place, _ in change], np.int64)
        values = np.array([value for _, value in change], np.float64)
        tree.set(indices, values)
        for index, value in zip(indices, values, strict=True):
            naive[index] = value
        np.testing.assert_array_equal(tree.leaves, naive)
        np.testing.assert_array_equal(tree.get(indices), naive[indices])
        assert tree.total == pytest.approx(math.fsum(naive), rel=1e-14, abs=0)


def test_the_last_of_many_values_for_a_leaf_counts():
    rng = np.random.default_rng(0)
    tree = SumTree(50)
    for _ in range(100):
        indices, values = rng.integers(50, size=500), rng.random(500)
        tree.set(indices, values)
        last = dict(zip(indices, values, strict=True))
        assert tree.leaves.tolist() == [last.get(i, 0.0) for i in range(50)]


@settings(deadline=None)
@given(sizes, seeds)
def test_a_loaded_tree_is_the_saved_one_to_the_last_bit(size, seed):
    rng = np.random.default_rng(seed)
    tree = SumTree(size)
    for count in (8, 32, 8, 1, 500):
        tree.set(rng.integers(size, size=count), mixed(count, 0.1, rng))
    tree.set(np.array([0]), np.array([0.1]))  # not all are 0
    loaded = SumTree(size)
    loaded.set(np.arange(size), rng.random(size))  # to be forgotten
    loaded.load(tree.leaves.copy())
    assert loaded.total == tree.total
    np.testing.assert_array_equal(loaded.leaves, tree.leaves)
    points = points_around(tree.leaves.cumsum(), rng)
    np.testing.assert_array_equal(loaded.find(points), tree.find(points))


def test_a_huge_leaf_that_has_gone_leaves_no_error_behind():
    tree = SumTree(WIDTH**2 + 1)
    tree.set(np.array([1]), np.array([1e-12]))
    for index in (0, 2, WIDTH, WIDTH**2):
        tree.set(np.array([index]), np.array([1e9]))
        tree.set(np.array([index]), np.array([0.0]))
    assert tree.total == 1e-12


@pytest.mark.parametrize("value", [-1.0, -5e-324, math.nan, math.inf])
def test_a_value_that_is_negative_or_not_finite_is_refused_and_changes_nothing(value):
    tree = tree_of(np.ones(40))
    with pytest.raises(ValueError, match="finite and at least 0"):
        tree.set(np.array([3, 4]), np.array([2.0, value]))
    with pytest.raises(ValueError, match="finite and at least 0"):
        tree.load(np.append(np.full(39, 2.0), value))
    assert tree.leaves.tolist() == [1.0] * 40
    assert tree.total == 40


@pytest.mark.parametrize("shape", [(39,), (41,), (1,), (40, 1), ()])
def test_another_number_of_leaves_is_not_loaded(shape):
    tree = SumTree(40)
    with pytest.raises(ValueError, match=re.escape(f"{shape} for 40 leaves")):
        tree.load(np.ones(shape))
    assert tree.total == 0


@pytest.mark.parametrize("index", [-1, 40, WIDTH * 2 - 1, WIDTH * 2])
def test_a_leaf_that_is_not_there_is_not_set(index):
    tree = tree_of(np.ones(40))
    with pytest.raises(IndexError):
        tree.set(np.array([0, index]), np.array([5.0, 5.0]))
    assert tree.leaves.tolist() == [1.0] * 40
    assert tree.total == 40


def test_nothing_is_found_where_all_leaves_are_zero():
    tree = SumTree(40)
    with pytest.raises(ValueError, match="all leaves are 0"):
        tree.find(np.array([0.0]))
    tree.set(np.array([7]), np.array([1.0]))
    tree.set(np.array([7]), np.array([0.0]))
    with pytest.raises(ValueError, match="all leaves are 0"):
        tree.find(np.array([0.0]))


@pytest.mark.parametrize("point", [-1.0, -5e-324, math.nan])
def test_a_point_that_is_negative_or_not_a_number_is_refused(point):
    with pytest.raises(ValueError, match="a point is negative"):
        tree_of(np.ones(40)).find(np.array([1.0, point]))


def test_points_and_values_are_left_as_they_were():
    tree = tree_of(np.ones(40))
    indices, values, points = np.array([3, 35]), np.array([2.0, 3.0]), np.array([99.0, 35.5])
    tree.set(indices, values)
    tree.find(points)
    assert (indices.tolist(), values.tolist()) == ([3, 35], [2.0, 3.0])
    assert points.tolist() == [99.0, 35.5]


def test_the_leaves_can_be_read_but_not_written():
    tree = tree_of(np.ones(40))
    with pytest.raises(ValueError, match="read-only"):
        tree.leaves[0] = 5.0
    tree.set(np.array([0]), np.array([2.0]))  # the tree itself still can
    assert tree.get(np.array([0, 1])).tolist() == [2.0, 1.0]


def test_the_sums_take_little_memory_beside_the_leaves():
    assert 8_000_000 <= SumTree(1_000_000).nbytes < 8_300_000


def test_a_new_tree_takes_no_memory_yet():
    assert SumTree(20_000_000).nbytes > 160_000_000
    assert taken_by("from replay.sum_tree import SumTree", "SumTree(20_000_000)") < 10_000_000
