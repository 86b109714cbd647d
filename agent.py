"""The agent: an online and a target network, acting by the first and learning from both."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from learning.compiled import compiled_dead_relus, compiled_updates, compiled_values
from learning.dead_relus import DeadReLUs, relus_of
from learning.distributions import DISTRIBUTIONS
from learning.learner import Actor, Algorithm, Learner
from learning.networks import NETWORKS, NetworkOptions, computing_in
from learning.optimizers import OPTIMIZERS
from replay.batch import Batch
from replay.device_frames import DeviceFrames
from settings.config import Config
from settings.declaration import ConfigError
from storage import weights
from system.devices import has_bfloat16, has_gpu

# A network takes consecutive seeds, at most this many, all of them below the limit.
SEED_LIMIT, SEEDS_OF_A_NETWORK = 2**31, 100


class Update(NamedTuple):
    """What one update of the online network found in its batch."""

    loss: float
    accuracy: float  # share of states whose greedy action the target leaves as it is
    mean_q: float  # mean value that the online network gave to the actions taken
    q_spread: float  # deviation of its values over the states, mean of all actions
    td_errors: np.ndarray  # [B] float32, absolute
    gradient_norm: float  # of all gradients together, before any are shortened


class Agent:
    """Acts epsilon-greedily by the online network and learns from batches of transitions."""

    def __init__(
        self,
        state_shape: tuple[int, int, int],
        num_actions: int,
        *,
        network: Callable[..., keras.Model],
        options: NetworkOptions,
        algorithm: Algorithm,
        optimizer: keras.optimizers.Optimizer,
        batch_size: int,
        rng: np.random.Generator,
        precision: str = "float32",
    ):
        """Makes both networks, with the same weights.

        Args:
            state_shape: (height, width, frames) of a uint8 state.
            num_actions: A.
            network: makes a network, as those of `networks.NETWORKS` do.
            options: of the network.
            algorithm: what is learnt.
            optimizer: makes the updates.
            batch_size: B, transitions in each update.
            rng: draws the first weights, the random actions and the seeds of noise.
            precision: that the networks compute in; see `networks.computing_in`.
        """
        seed = int(rng.integers(SEED_LIMIT - SEEDS_OF_A_NETWORK))
        with computing_in(precision):
            self.online = network(state_shape, num_actions, seed, options)
            self._target = network(state_shape, num_actions, seed, options)
        self.num_actions = num_actions
        self._rng = rng
        self._batch_size = batch_size
        self._learner = Learner(self.online, self._target, algorithm, seed)
        self._optimizer = optimizer
        # So that what it holds is there before the first update.
        optimizer.build(self._learner.trainable_variables)
        self._updates = compiled_updates(self._learner, optimizer)
        self._greedy = Actor(self.online, algorithm.distribution, seed, noisy=False)
        self._explorer = self._greedy
        if options.noisy:
            self._explorer = Actor(self.online, algorithm.distribution, seed + 1, noisy=True)
        self._greedy_values = compiled_values(self._greedy)
        self._explorer_values = compiled_values(self._explorer)
        self._dead_relus = None
        if relus_of(self.online):
            self._dead_relus = compiled_dead_relus(DeadReLUs(self.online))

    def values(self, states: np.ndarray) -> np.ndarray:
        """Returns the online network's values, [n, A] float32, of states, [n, H, W, k] uint8."""
        return self._greedy_values(states)

    def act(
        self,
        states: np.ndarray,
        epsilon: float,
        explore: bool = False,
        rng: np.random.Generator | None = None,
    ) -> np.ndarray:
        """Returns an action for each state: a random one with probability `epsilon`, else the best.

        Args:
            states: [n, H, W, k] uint8.
            epsilon: probability.
            explore: whether a noisy network is to be noisy.
            rng: draws the random actions; by default the agent's own generator.

        Returns:
            [n] int64.

        Raises:
            FloatingPointError: a value is not finite.
        """
        rng = rng or self._rng
        actions = rng.integers(self.num_actions, size=len(states))
        greedy = rng.random(len(states)) >= epsilon
        if greedy.any():
            values = self._explorer_values(states) if explore else self.values(states)
            if not np.isfinite(values).all():
                raise FloatingPointError("the values of the actions are not finite")
            actions = np.where(greedy, values.argmax(axis=-1), actions)
        return actions

    def learn(self, batches: Batch, frames: DeviceFrames | None = None) -> list[Update]:
        """Makes updates of the online network, one after the other, in one call.

        Args:
            batches: [U·B] transitions, those of the first update first. It compiles once for each
                number of updates U.
            frames: where the frames of the transitions lie, if that is on the device. Since the
                batches were drawn, none of these may have been overwritten.

        Raises:
            FloatingPointError: the loss, or what the network gave, is not finite.
        """
        arrays = batches._asdict()
        del arrays["indices"]
        found = self._updates(
            {
                name: array.reshape(-1, self._batch_size, *array.shape[1:])
                for name, array in arrays.items()
            },
            frames,
        )
        updates = []
        for row in range(len(found["loss"])):
            of_row = {name: each[row] for name, each in found.items()}
            td_errors = of_row.pop("td_errors")
            update = Update(**{name: float(v) for name, v in of_row.items()}, td_errors=td_errors)
            if not math.isfinite(update.loss + update.mean_q):
                raise FloatingPointError(
                    f"the loss is {update.loss:g}, the mean Q value {update.mean_q:g}"
                )
            updates.append(update)
        return updates

    def dead_relus(self, batches: Batch, frames: DeviceFrames | None = None) -> float | None:
        """Returns which share of the online network's ReLUs are dead, 0 to 1.

        It takes as long as acting for a batch of states: too long to be done in each update.

        Args:
            batches: what was learnt from; the first B states s_tm1 are looked at.
            frames: as in `learn`.

        Returns:
            The share of units that give 0 for all these states, see `DeadReLUs`; None where the
            network has no ReLU.
        """
        if self._dead_relus is None:
            return None
        return self._dead_relus(batches.s_tm1[: self._batch_size], frames)

    def copy_to_target(self) -> None:
        """Makes the target network equal to the online one."""
        self._target.set_weights(self.online.get_weights())

    def get_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Returns all that acting and learning depend on: numbers, and copies of arrays.

        Raises:
            FloatingPointError: the network has diverged: not all of it is finite.
        """
        arrays = {
            str(number): np.array(ops.convert_to_numpy(variable))
            for number, variable in enumerate(self._variables)
        }
        _check_finite(arrays.values())
        return {"random generator": self._rng.bit_generator.state}, arrays

    def set_state(self, numbers: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Takes what `get_state` returned in an agent made of the same settings."""
        self._rng.bit_generator.state = numbers["random generator"]
        for number, variable in enumerate(self._variables):
            variable.assign(arrays[str(number)])

    @property
    def _variables(self) -> list[Any]:
        """Both networks, the optimiser and the generators of noise, as Keras variables."""
        optimizer = self._optimizer
        return [
            *self.online.weights,
            *self._target.weights,
            # The step size is a setting, and may change within a run.
            *(each for each in optimizer.variables if each is not optimizer.learning_rate),
            self._learner.random.state,
            self._explorer.random.state,
        ]

    def save_weights(self, path: Path, run: str = "") -> None:
        """Writes the online network's weights, whole or not at all.

        Args:
            path: the file.
            run: what tells the files of a run from those of others.

        Raises:
            FloatingPointError: the network has diverged: not all of them are finite.
            OSError: the file cannot be written; one that was there stays.
        """
        _check_finite(self.online.get_weights())
        weights.save(path, self.online, run)

    def load_weights(self, path: Path, channels_first: bool = False) -> None:
        """Loads weights into both networks.

        Reads Keras's `.weights.h5` and `.keras` files and its older HDF5 layouts, whatever the
        file's name.

        Args:
            path: the file.
            channels_first: whether its network has the channels first; see `weights.load`.

        Raises:
            WeightsError: the file is missing, damaged, none of these, of a newer format version,
                or of another shape.
        """
        weights.load(path, self.online, channels_first)
        self.copy_to_target()


def _check_finite(arrays: Iterable[np.ndarray]) -> None:
    """Raises FloatingPointError where an array has an element that is not finite."""
    if not all(np.isfinite(array).all() for array in arrays):
        raise FloatingPointError("the network has weights that are not finite")


def make_agent(
    config: Config,
    state_shape: tuple[int, int, int],
    num_actions: int,
    rng: np.random.Generator,
) -> Agent:
    """Returns the agent that the settings describe, for such states and so many actions.

    Raises:
        ConfigError: the machine cannot compute in the precision that is asked for.
    """
    if config.precision == "bfloat16" and not (has_bfloat16() or has_gpu()):
        raise ConfigError(
            "--precision bfloat16 needs a GPU or a processor with avx512_bf16 or amx_bf16, and "
            "this machine has neither: give --precision float32"
        )
    return Agent(
        state_shape,
        num_actions,
        network=NETWORKS[config.network],
        options=network_options(config),
        algorithm=Algorithm(
            distribution=DISTRIBUTIONS[config.distribution](config),
            double=config.double,
            munchausen=config.munchausen,
            rescaled=config.value_rescaling,
            target_averaging=config.target_averaging,
        ),
        optimizer=OPTIMIZERS[config.optimizer](config),
        batch_size=config.batch_size,
        rng=rng,
        precision=config.precision,
    )


def network_options(config: Config) -> NetworkOptions:
    """Returns what the settings choose about the network."""
    distribution = DISTRIBUTIONS[config.distribution](config)
    return NetworkOptions(
        outputs=distribution.outputs,
        fractions=distribution.fractions,
        dueling=config.dueling,
        noisy=config.noisy,
        width=config.network_width,
        normalization=config.normalization,
        biases=config.hidden_biases,
        initializer=config.initializer,
        value_scale=config.value_scale,
        hidden_activation=config.hidden_activation,
        input_scaling=config.input_scaling,
    )
