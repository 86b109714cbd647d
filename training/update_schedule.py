"""Which updates, and which copies to the target network, are due as a run goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from training.prefetching import updates_in_a_call

if TYPE_CHECKING:
    from settings.config import Config


class Call(NamedTuple):
    """What is made in one go."""

    updates: int  # of the online network, a power of two or 0
    copies: bool  # whether the online network is copied to the target network after them


class UpdateSchedule:
    """Counts steps or games, as `--count-by` says, and tells what they make due.

    Attributes:
        count: the step, or game, up to which all has been told.
    """

    def __init__(self, config: Config, count: int = 0):
        """Takes the settings, and the step or game to count from."""
        self._train_every, self._updates = config.train_every, config.updates
        self._copy_every = 0 if config.target_averaging else config.target_update_period
        self._most_updates = updates_in_a_call(config)
        self.count = count

    def due(self, count: int, can_learn: bool) -> list[Call]:
        """Returns what became due since the last time, in order.

        Updates that follow one another are joined, to calls of a power of two of them, so that few
        are compiled.

        Args:
            count: the step, or game, up to which to tell.
            can_learn: whether there is anything to learn from.
        """
        calls, updates = [], 0
        for now in range(self.count + 1, count + 1):
            if can_learn and now % self._train_every == 0:
                updates += self._updates
            copies = self._copy_every > 0 and now % self._copy_every == 0
            if copies or now == count:
                sizes = self._sizes(updates)
                calls += [Call(size, False) for size in sizes[:-1]]
                if copies or sizes:
                    calls.append(Call(sizes[-1] if sizes else 0, copies))
                updates = 0
        self.count = count
        return calls

    def _sizes(self, updates: int) -> list[int]:
        """Returns how many updates each call makes, the largest first."""
        sizes = []
        while updates:
            sizes.append(min(self._most_updates, 1 << (updates.bit_length() - 1)))
            updates -= sizes[-1]
        return sizes
