"""The actors of a run as its learner sees them: asked for chunks, heard, and replaced.

    learner   asks ──► actor 0   chunk ▒▒▒▒ chunk ▒▒▒▒   at most `CREDITS` chunks are asked for
              asks ──► actor 1   chunk ▒▒▒▒▒▒▒▒▒▒▒▒      of each and not yet taken: an actor
              takes ◄── whichever is ready first         that is ahead waits

Each actor has a place, which another takes when it dies.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError, RayTaskError

from cluster.chunks import CHUNK_STEPS, CREDITS, Shape, Turn, turns_of
from cluster.places import Place, Request, starter
from cluster.version import check_version
from storage.state import State, prefixed, under
from system.console import counted, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np

    from settings.config import Config


class Actors:
    """The actors of a run.

    Attributes:
        turns: of a chunk.
        games_lost: unfinished games of actors that have died, until somebody sets it back.
    """

    def __init__(self, config: Config, frame_shape: tuple[int, int, int], num_actions: int):
        """Starts as many processes as the settings say.

        Args:
            config: the settings.
            frame_shape: (H, W, p), of a step.
            num_actions: how many there are.
        """
        self._count, self._num_actions = config.envs, num_actions
        self._frames = (config.envs, *frame_shape)
        self._in_step = config.actors_in_step
        self.turns = 1 if self._in_step else max(1, CHUNK_STEPS // config.envs)
        start = starter(config)
        self._places = [Place(number, start) for number in range(config.actors)]
        self._asked: dict[Any, Request] = {}  # by Ray's reference, the oldest first
        self._ready: deque[Any] = deque()
        self._next = 0  # who is asked next, in step
        self._phase = 0  # chunks of an earlier one come too late
        self.games_lost = 0

    def start(self) -> None:
        """Has all actors begin new games. What they have been asked for before is dropped."""
        self._phase += 1
        for place in self._places:
            place.begin_anew()

    def ask(self, epsilons: Sequence[float], weights: Callable[[], tuple[int, Any]]) -> None:
        """Asks for as many chunks as the actors' credits allow.

        Args:
            epsilons: of each actor.
            weights: returns the number of the newest weights, and where they are in the store.
        """
        for place in self._due():
            epsilon = epsilons[place.number]
            self._asked |= place.play(self.turns, epsilon, self._phase, weights())

    def receive(self, seconds: float) -> list[Turn]:
        """Waits for the next chunk, and returns its turns; none where there is nothing new.

        Raises:
            ChunkError: an actor has sent something else.
            ClusterError: actors cannot be started, or are of another version of the program.
            EmulatorError: an emulator failed.
            FloatingPointError: the values that an actor has computed are not finite.
        """
        if not self._ready:
            asked = list(self._asked)
            # All that are there, in the order in which they were asked for; or else the first.
            ready, _ = ray.wait(asked, num_returns=len(asked), timeout=0)
            if not ready:
                ready, _ = ray.wait(asked, num_returns=1, timeout=seconds)
            self._ready.extend(ready)
        while self._ready:
            reference = self._ready.popleft()
            # An actor that has died meanwhile has nothing to come.
            if request := self._asked.pop(reference, None):
                return self._taken(reference, request)
        return []

    def get_state(self) -> State:
        """Returns what a run goes on from: in step, the games of all actors as well."""
        numbers = {
            "in step": self._in_step,
            "next": self._next,
            "lives": [place.life for place in self._places],
        }
        if not self._in_step:
            return State({"actors": {**numbers, "games": []}}, {})
        states = ray.get([self._prepared(place).get_state.remote() for place in self._places])
        arrays: dict[str, np.ndarray] = {}
        for place, (_, of_one) in zip(self._places, states, strict=True):
            arrays |= prefixed(f"actor {place.number}", of_one)
        return State({"actors": {**numbers, "games": [games for games, _ in states]}}, arrays)

    def set_state(self, state: State) -> str:
        """Takes what `get_state` returned; returns why the games cannot go on, if they cannot."""
        numbers = state.attributes["actors"]
        self._next = numbers["next"]
        goes_on = self._in_step and numbers["in step"]
        for place, life in zip(self._places, numbers["lives"], strict=True):
            place.life = life if goes_on else life + 1
        if not goes_on:
            return "which other actors begin anew"
        answers = [
            self._prepared(place).set_state.remote(
                games, under(f"actor {place.number}", state.arrays)
            )
            for place, games in zip(self._places, numbers["games"], strict=True)
        ]
        for place in self._places:
            place.starts, place.has_played = False, True
        return "" if all(ray.get(answers)) else "which these emulators play in another way"

    def close(self) -> None:
        """Ends all actors."""
        for place in self._places:
            place.end()

    def _due(self) -> Iterable[Place]:
        """Returns who is to be asked for a chunk, as often as that."""
        if self._in_step:
            if not any(request.turns for request in self._asked.values()):
                self._next = (self._next + 1) % len(self._places)
                return [self._places[self._next - 1]]
            return []
        asked = Counter(request.place.number for request in self._asked.values() if request.turns)
        rounds = (
            [place for place in self._places if asked[place.number] + turn < CREDITS]
            for turn in range(CREDITS)
        )
        return [place for places in rounds for place in places]

    def _prepared(self, place: Place) -> Any:
        """Returns the handle of an actor that has been asked to make its parts."""
        self._asked |= place.prepare()
        return place.handle

    def _taken(self, reference: Any, request: Request) -> list[Turn]:
        """Returns the turns of a chunk that is ready, or replaces the actor that has died."""
        place = request.place
        try:
            answer = ray.get(reference)
        except RayTaskError as error:
            raise error.cause or error from None
        except RayError as error:
            self._replace(place, error)
            return []
        if not request.turns:
            version, place.where = answer
            check_version(version, f"actor {place.number} ({place.where})")
            return []
        if request.phase != self._phase:
            return []
        place.note_chunk()
        shape = Shape(request.turns, self._frames, self._num_actions)
        return turns_of(answer, shape, place.number, request.epsilon, request.is_anew)

    def _replace(self, place: Place, error: RayError) -> None:
        """Has another actor take the place of one that has died; its games are lost."""
        lost, where = self._count * place.has_played, place.where
        place.replace(error)
        self.games_lost += lost
        self._asked = {key: asked for key, asked in self._asked.items() if asked.place is not place}
        warn(
            f"actor {place.number} ({where}) has died, and {counted(lost, 'unfinished game')} with "
            "it: another takes its place, and the run goes on"
        )


def epsilons(count: int) -> list[float]:
    """Returns the constant epsilon of each of at least two actors, Horgan et al. 2018, section 4.1.

    Actor i of N has 0.4^(1 + 7 i/(N−1)).
    """
    return [0.4 ** (1 + 7 * number / (count - 1)) for number in range(count)]
