"""Arrays lent to a writer in another thread, while their owner goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from threading import Condition
from typing import Any

import numpy as np


class Loan(Sequence[np.ndarray]):
    """Arrays that a reader in another thread has, and that must not change until they are back.

        owner:    lends a b c d | goes on | needs a: it is back | needs c: waits | changes c ...
        reader:                 | a ... | b ... | c ...                    | d ...

    The reader iterates over them: an array is back as soon as the reader asks for the next. Looking
    at one by its index changes nothing.

    Attributes:
        shape: that of the array of which each is some rows; None where they are not of one array.
    """

    def __init__(self, arrays: Sequence[np.ndarray], shape: tuple[int, ...] | None = None):
        """Lends arrays."""
        self.shape = shape
        self._arrays = arrays
        self._back = 0  # arrays that are back, from the first on
        self._changed = Condition()

    def __len__(self) -> int:
        """Returns how many arrays there are."""
        return len(self._arrays)

    def __getitem__(self, index: Any) -> Any:
        """Returns an array, or those of a slice."""
        return self._arrays[index]

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields the arrays in order."""
        for number, array in enumerate(self._arrays, start=1):
            yield array
            self._give_back(number)

    def wait_for(self, index: int) -> None:
        """Waits until the array of an index is back; not where there is none of this index."""
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
    """Ends all loans among these arrays."""
    for lent in arrays:
        if isinstance(lent, Loan):
            lent.end()
