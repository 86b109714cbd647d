"""The actors of a run as its learner sees them: asked for chunks, heard, and replaced.

learner     asks ──► actor 0   chunk ▒▒▒▒ chunk ▒▒▒▒      at most `CREDITS` chunks are asked for
asks ──► actor 1   chunk ▒▒▒▒▒▒▒▒▒▒▒▒         of each and not yet taken: an actor
takes ◄── whichever is ready first            that is ahead waits
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import ray
from ray.exceptions import RayError, RayTaskError

from cluster.actor import Actor
from cluster.chunks import CHUNK_STEPS, CREDITS, Shape, Turn, turns_of
from cluster.connection import ClusterError
from cluster.version import check_version
from storage.state import State, prefixed, under
from system.console import counted, warn
from system.cores import GIVEN, VARIABLES
from system.root import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np

    from settings.config import Config

MOST_DEATHS = 3  # of actors of one number, one after the other, that have sent nothing


@dataclass
class _Place:
    """The place of an actor, which others take after it."""

    number: int
    life: int = 0  # actors that were here before
    handle: Any = None
    where: str = ""
    weights: int = -1  # the number of those that it has been given
    starts: bool = True  # the next chunk begins with new games
    is_anew: bool = False  # in place of lost ones
    is_prepared: bool = False
    has_played: bool = False  # whether there are games that would be lost
    deaths: int = 0  # since one sent something


class _Request(NamedTuple):
    """What an actor has been asked for."""

    place: _Place
    turns: int  # 0 to prepare itself
    epsilon: float
    phase: int
    is_anew: bool


class Actors:
    """The actors of a run.

    Attributes:
        games_lost: unfinished games of actors that have died, until somebody sets it back.
    """

    def __init__(self, config: Config, frame_shape: tuple[int, int, int], num_actions: int):
        """Starts as many processes as the settings say.

        Args:
            config: the settings.
            frame_shape: (H, W, p), of a step.
            num_actions: how many there are.
        """
        self._config, self._num_actions = config, num_actions
        self._frames = (config.envs, *frame_shape)
        self._in_step = config.actors_in_step
        self.turns = 1 if self._in_step else max(1, CHUNK_STEPS // config.envs)
        self._class = ray.remote(Actor).options(
            num_cpus=1,
            max_restarts=0,
            max_task_retries=0,
            runtime_env={"env_vars": _variables(1 if not self._in_step else None)},
        )
        # Where files are is of no use elsewhere, and what is watched is watched here.
        given = dataclasses.replace(config, continue_from=None, out=".", tensorboard=False)
        self._settings = ray.put(dataclasses.asdict(given))
        self._places = [_Place(number) for number in range(config.actors)]
        for place in self._places:
            place.handle = self._class.remote(self._settings, place.number)
        self._asked: dict[Any, _Request] = {}  # the oldest first
        self._ready: deque[Any] = deque()
        self._next = 0  # who is asked next, in step
        self._phase = 0  # chunks of an earlier one come too late
        self.games_lost = 0

    def start(self) -> None:
        """Has all actors begin new games. What they have been asked for before is dropped."""
        self._phase += 1
        for place in self._places:
            place.starts, place.is_anew, place.has_played = True, False, False

    def ask(self, epsilons: Sequence[float], weights: Callable[[], tuple[int, Any]]) -> None:
        """Asks for as many chunks as the actors' credits allow.

        Args:
            epsilons: of each actor.
            weights: returns the number of the newest weights, and where they are in the store.
        """
        for place in self._due():
            number, stored = weights()
            self._prepare(place)
            given = stored if number != place.weights else None
            epsilon = epsilons[place.number]
            chunk = place.handle.play.remote(self.turns, epsilon, place.starts, given)
            self._asked[chunk] = _Request(place, self.turns, epsilon, self._phase, place.is_anew)
            place.weights, place.starts, place.is_anew = number, False, False

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
            ray.kill(place.handle)

    def _due(self) -> Iterable[_Place]:
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

    def _prepare(self, place: _Place) -> None:
        """Has an actor make its parts, if it has not been asked to."""
        if not place.is_prepared:
            answer = place.handle.prepare.remote(place.life)
            self._asked[answer] = _Request(place, 0, 0.0, self._phase, False)
            place.is_prepared = True

    def _prepared(self, place: _Place) -> Any:
        """Returns the handle of an actor that has been asked to make its parts."""
        self._prepare(place)
        return place.handle

    def _taken(self, reference: Any, request: _Request) -> list[Turn]:
        """Returns the turns of a chunk that is ready, or replaces the actor that has died."""
        place = request.place
        try:
            answer = ray.get(reference)
        except RayTaskError as error:
            raise error.cause from None
        except RayError as error:
            self._replace(place, error)
            return []
        if not request.turns:
            version, place.where = answer
            check_version(version, f"actor {place.number} ({place.where})")
            return []
        if request.phase != self._phase:
            return []
        place.has_played, place.deaths = True, 0
        shape = Shape(request.turns, self._frames, self._num_actions)
        return turns_of(answer, shape, place.number, request.epsilon, request.is_anew)

    def _replace(self, place: _Place, error: RayError) -> None:
        """Starts another actor in the place of one that has died; its games are lost."""
        reason = " ".join(str(error).split()) or type(error).__name__
        place.deaths += 1
        if place.deaths > MOST_DEATHS:
            raise ClusterError(
                f"actor {place.number} has died {counted(place.deaths, 'time')} before it has "
                f"played: {reason}"
            )
        lost = self._config.envs * place.has_played
        self.games_lost += lost
        warn(
            f"actor {place.number} ({place.where or 'not yet anywhere'}) has died, and "
            f"{counted(lost, 'unfinished game')} with it: another takes its place, and the run "
            "goes on"
        )
        with contextlib.suppress(RayError):
            ray.kill(place.handle)
        self._asked = {key: asked for key, asked in self._asked.items() if asked.place is not place}
        place.life += 1
        place.handle = self._class.remote(self._settings, place.number)
        place.weights, place.is_prepared, place.has_played = -1, False, False
        place.starts = place.is_anew = True


def epsilons(count: int) -> list[float]:
    """Returns the constant epsilon of each of at least two actors, Horgan et al. 2018, section 4.1.

    Actor i of N has 0.4^(1 + 7 i/(N−1)).
    """
    return [0.4 ** (1 + 7 * number / (count - 1)) for number in range(count)]


def _variables(cores: int | None) -> dict[str, str]:
    """Returns the environment variables of an actor's process.

    Args:
        cores: that it may use; None for those of this process, so that it computes the same bits.
    """
    names = ("KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS", *VARIABLES)
    ours = {name: os.environ[name] for name in names if name in os.environ}
    if cores:
        ours |= dict.fromkeys((*VARIABLES, GIVEN), str(cores))
    # Not on a GPU, which is the learner's.
    return {
        **ours,
        "CUDA_VISIBLE_DEVICES": "-1",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
