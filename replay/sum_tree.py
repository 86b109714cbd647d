"""A sum tree, which draws from millions of transitions in proportion to their priorities."""

from __future__ import annotations

import numpy as np

# Children of a node, measured at a million leaves: narrower nodes make more levels, each of them
# several NumPy calls, and wider ones more to add up for each point. 16 and 64 are both slower.
WIDTH = 32


class SumTree:
    """Leaves, which are numbers of at least 0, and above them sums to find a point among them.

    Schaul et al. 2016, appendix B.2.1, with wide nodes, so that a batch takes a few NumPy calls for
    each level. The leaves lie end to end, each as long as its value, and a point is looked up from
    the root down. With two children to a node instead of `WIDTH`:

        root:               [7            3]        the point 6.5 is in the first node of the two,
        nodes:       [2           5] [3     0]      4.5 into the second node of that,
        leaves:  [2    0] [1    4] [0    3]         3.5 into its second leaf: leaf 3

    A sum is always added up anew from the node's children, in their order. So errors do not pile
    up, and trees with the same leaves are the same to the last bit, however they came about.
    """

    def __init__(self, size: int):
        """Makes a tree of leaves that are all 0.

        Args:
            size: leaves.

        Raises:
            ValueError: there is less than one leaf.
            MemoryError: the machine has no room for it.
        """
        if size < 1:
            raise ValueError(f"a sum tree needs at least 1 leaf, not {size}")
        # From the leaves to the root, each [nodes, WIDTH] float64. What fills up the last node
        # stays 0. Zeros that are never written take no memory yet.
        self._levels = [np.zeros((-(-size // WIDTH), WIDTH))]
        while len(self._levels[-1]) > 1:
            self._levels.append(np.zeros((-(-len(self._levels[-1]) // WIDTH), WIDTH)))
        self._leaves = self._levels[0].reshape(-1)[:size]

    def __len__(self) -> int:
        """Returns the number of leaves."""
        return len(self._leaves)

    def __repr__(self) -> str:
        """Returns how large it is and what it adds up to."""
        return f"SumTree({len(self):,} leaves, total {self.total:g}, {self.nbytes:,} bytes)"

    @property
    def nbytes(self) -> int:
        """Bytes that it takes when all leaves have been set."""
        return sum(level.nbytes for level in self._levels)

    @property
    def total(self) -> float:
        """The sum of all leaves."""
        return float(self._levels[-1].sum())

    @property
    def leaves(self) -> np.ndarray:
        """All leaves, [size] float64: a view that cannot be written to."""
        view = self._leaves.view()
        view.flags.writeable = False
        return view

    def load(self, values: np.ndarray) -> None:
        """Sets all leaves.

        Args:
            values: [size] float64, such as `leaves` gave.

        Raises:
            ValueError: there is another number of values, or one is negative or not finite.
        """
        if values.shape != self._leaves.shape:
            raise ValueError(f"values of shape {values.shape} for {len(self)} leaves")
        _check(values)
        self._leaves[:] = values
        for below, above in zip(self._levels, self._levels[1:], strict=False):
            above.reshape(-1)[: len(below)] = below.sum(axis=1)

    def get(self, indices: np.ndarray) -> np.ndarray:
        """Returns the values of these leaves, [N] float64.

        Args:
            indices: [N] int64.
        """
        return self._leaves[indices]

    def set(self, indices: np.ndarray, values: np.ndarray) -> None:
        """Sets these leaves; where one occurs twice, to the last of its values.

        Args:
            indices: [N] int64.
            values: [N] float64.

        Raises:
            ValueError: a value is negative or not finite.
            IndexError: there is no such leaf; negative indices do not count from the end.
        """
        _check(values)
        if (indices < 0).any():
            raise IndexError(f"leaf {indices.min()} is negative")
        self._leaves[indices] = values
        nodes = indices
        for below, above in zip(self._levels, self._levels[1:], strict=False):
            nodes = nodes // WIDTH
            above.reshape(-1)[nodes] = below[nodes].sum(axis=1)

    def find(self, points: np.ndarray) -> np.ndarray:
        """Returns the leaves that these points lie in, [N] int64.

        That is leaf i where the leaves before i add up to the point or less, and those up to and
        including i to more; near a border it can be a neighbour, by rounding. It is never a leaf
        of 0. A point at the total or beyond is in the last leaf that is not 0.

        Args:
            points: [N] float64, from 0 up to the total.

        Raises:
            ValueError: all leaves are 0, or a point is negative or not a number.
        """
        if not self._levels[-1].any():
            raise ValueError("all leaves are 0, so no point lies in any")
        if not (points >= 0).all():
            raise ValueError("a point is negative or not a number")
        batch = np.arange(len(points))
        nodes = np.zeros(len(points), np.int64)
        for level in reversed(self._levels):
            # Where each child begins, and after it where it ends.
            borders = np.zeros((len(points), WIDTH + 1))
            np.cumsum(level[nodes], axis=1, out=borders[:, 1:])
            # Rounding can carry a point to its node's end or past it, where nothing is. Anywhere
            # before, the first child that ends after the point begins at or before it: it is not 0.
            points = np.minimum(points, np.nextafter(borders[:, -1], 0))
            children = (borders[:, 1:] > points[:, None]).argmax(axis=1)
            points = points - borders[batch, children]
            nodes = nodes * WIDTH + children
        return nodes


def _check(values: np.ndarray) -> None:
    """Raises ValueError unless all values are finite and at least 0."""
    if not ((values >= 0) & (values < np.inf)).all():
        raise ValueError("a leaf's value has to be finite and at least 0")
