"""The place of an actor in a run: the process that holds it now, and others after it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import ray
from ray.exceptions import RayError

from cluster.actor import Actor
from cluster.connection import ClusterError
from system.console import counted
from system.cores import GIVEN, VARIABLES
from system.root import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from settings.config import Config

MOST_DEATHS = 3  # of actors of one place, one after the other, that have sent nothing


class Request(NamedTuple):
    """What an actor has been asked for."""

    place: Place
    turns: int  # 0 to make its parts
    epsilon: float
    phase: int  # of the run, such as pretraining
    is_anew: bool  # whether it begins with games in place of lost ones


class Place:
    """The place of an actor.

    Attributes:
        number: of the actor in the run.
        life: processes that have held the place before.
        handle: by which Ray knows the process.
        where: its machine and process, in words.
        starts: whether the next chunk begins with new games.
        has_played: whether there are games that would be lost.
    """

    def __init__(self, number: int, start: Callable[[int], Any]):
        """Starts a process.

        Args:
            number: of the actor in the run.
            start: starts an actor of a number, and returns its handle.
        """
        self.number, self._start = number, start
        self.life = self._deaths = 0
        self.handle = start(number)
        self.where = "not yet anywhere"
        self.starts, self.has_played = True, False
        self._is_anew = self._is_prepared = False
        self._weights = -1  # the number of those that the process has

    def prepare(self) -> dict[Any, Request]:
        """Has the process make its parts; returns by Ray's reference what is asked, if it is."""
        if self._is_prepared:
            return {}
        self._is_prepared = True
        return {self.handle.prepare.remote(self.life): Request(self, 0, 0.0, 0, False)}

    def play(
        self, turns: int, epsilon: float, phase: int, weights: tuple[int, Any]
    ) -> dict[Any, Request]:
        """Asks for a chunk, and for all that comes before; returns it by Ray's references.

        Args:
            turns: in the chunk.
            epsilon: to play with.
            phase: of the run.
            weights: the newest, by number and reference.
        """
        before = self.prepare()
        number, stored = weights
        given = stored if number != self._weights else None
        chunk = self.handle.play.remote(turns, epsilon, self.starts, given)
        request = Request(self, turns, epsilon, phase, self._is_anew)
        self._weights, self.starts, self._is_anew = number, False, False
        return {**before, chunk: request}

    def begin_anew(self) -> None:
        """Has the next chunk begin with new games, in place of none that are lost."""
        self.starts, self._is_anew, self.has_played = True, False, False

    def note_chunk(self) -> None:
        """Notes that the process has sent something."""
        self.has_played, self._deaths = True, 0

    def replace(self, error: RayError) -> None:
        """Starts another process in place of one that has died.

        Raises:
            ClusterError: too many have died before they had played.
        """
        self._deaths += 1
        if self._deaths > MOST_DEATHS:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ClusterError(
                f"actor {self.number} has died {counted(self._deaths, 'time')} before it had "
                f"played: {reason}"
            )
        self.end()
        self.life += 1
        self.handle, self.where = self._start(self.number), "not yet anywhere"
        self.starts, self.has_played = True, False
        self._is_anew, self._is_prepared, self._weights = True, False, -1

    def end(self) -> None:
        """Ends the process."""
        with contextlib.suppress(RayError):
            ray.kill(self.handle)


def starter(config: Config) -> Callable[[int], Any]:
    """Returns what starts the process of an actor by its number, and returns Ray's handle of it."""
    on_ray = ray.remote(Actor).options(
        num_cpus=1,
        max_restarts=0,
        max_task_retries=0,
        # In step it computes the bits that this process would.
        runtime_env={"env_vars": _variables(None if config.actors_in_step else 1)},
    )
    # Where files are is of no use elsewhere.
    given = dataclasses.replace(config, continue_from=None, out=".")
    settings = ray.put(dataclasses.asdict(given))
    return lambda number: on_ray.remote(settings, number)


def _variables(cores: int | None) -> dict[str, str]:
    """Returns the environment variables of an actor's process.

    Args:
        cores: that it may use; None for those of this process.
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
