"""Arrays lent to a writer in another thread, while their owner goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from threading import Condition

import numpy as np


class Loan(Sequence[np.ndarray]):
    """Arrays that somebody else reads, and that must not be changed until they are back.

        owner:    lends a b c d | goes on | needs a: it is back | needs c: waits | changes c ...
        reader:                 | a ... | b ... | c ...                    | d ...

    Iterating gives them out in order; each is back as soon as the next is asked for. Looking one up
    by its index gives nothing out.

    Attributes:
        shape: of all of them together, where they are parts of one array, some of its rows each.
    """

    def __init__(self, arrays: Sequence[np.ndarray], shape: tuple[int, ...] | None = None):
        """Lends arrays."""
        self.shape = shape
        self._arrays = arrays
        self._back = 0  # so many of them, from the first on
        self._changed = Condition()

    def __len__(self) -> int:
        """Returns how many arrays there are."""
        return len(self._arrays)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        """Returns an array, or some."""
        return self._arrays[index]

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields the arrays in order."""
        for number, array in enumerate(self._arrays, start=1):
            yield array
            self._give_back(number)

    def wait_for(self, index: int) -> None:
        """Returns once an array is back; at once where there is no array of this index."""
        with self._changed:
            self._changed.wait_for(lambda: index < self._back or index >= len(self))

    def end(self) -> None:
        """Gives all arrays back, read or not."""
        self._give_back(len(self))

    def _give_back(self, count: int) -> None:
        with self._changed:
            self._back = count
            self._changed.notify_all()


def end_loans(arrays: Iterable[np.ndarray | Sequence[np.ndarray]]) -> None:
    """Gives back what is lent among arrays."""
    for each in arrays:
        if isinstance(each, Loan):
            each.end()
