"""The agent: acts by an online network, and learns with the help of a target network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import keras
import numpy as np
from keras import ops

from learning.compiled import Models, compiled_calls
from learning.dead_relus import DeadReLUs, relus_of
from learning.distributions import DISTRIBUTIONS
from learning.layers import Whitening
from learning.learner import Actor, Algorithm, Learner
from learning.networks import NETWORKS, NetworkOptions, computing_in
from learning.optimizers import OPTIMIZERS
from learning.random_actions import RandomActions
from settings.declaration import ConfigError
from storage import weights
from storage.state import State
from system.devices import computes_bfloat16

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from replay.batch import Batch
    from settings.config import Config

# A network takes consecutive seeds, at most this many, all of them below the limit.
SEED_LIMIT, SEEDS_OF_A_NETWORK = 2**31, 100


class Update(NamedTuple):
    """The figures of one update of the online network."""

    loss: float
    accuracy: float  # share of states whose greedy action stays the same with the target's value
    mean_q: float  # mean Q value of the actions taken, by the online network
    q_spread: float  # standard deviation of its Q values over the states, mean of all actions
    td_errors: np.ndarray  # [B] float32, absolute
    gradient_norm: float  # of all gradients together, before clipping


class Updates(Sequence[Update]):
    """The updates of one call, in their order.

    They may still be going on: to look at one waits for all of them.
    """

    def __init__(self, count: int, results: Callable[[], dict[str, np.ndarray]]):
        """Takes how many there are, and what `Calls.update` returns."""
        self._count, self._results = count, results

    def wait(self) -> None:
        """Waits until they are made. From then on their batches may be written over."""
        self._results()

    def __len__(self) -> int:
        """Returns the number of updates."""
        return self._count

    @overload
    def __getitem__(self, index: int) -> Update: ...
    @overload
    def __getitem__(self, index: slice) -> list[Update]: ...
    def __getitem__(self, index: int | slice) -> Update | list[Update]:
        """Returns the figures of an update, or of some.

        Raises:
            FloatingPointError: the loss of one of all, or what the network gave, is not finite.
        """
        return self._updates[index]

    @cached_property
    def _updates(self) -> list[Update]:
        results = self._results()
        names = [name for name in results if name != "td_errors"]
        figures = zip(*(results[name].tolist() for name in names), strict=True)
        updates = [
            Update(**dict(zip(names, of_one, strict=True)), td_errors=td_errors)
            for of_one, td_errors in zip(figures, results["td_errors"], strict=True)
        ]
        for update in updates:
            if not math.isfinite(update.loss + update.mean_q):
                raise FloatingPointError(
                    f"the loss is {update.loss:g}, the mean Q value {update.mean_q:g}"
                )
        return updates


class Agent:
    """Acts epsilon-greedily by the online network and learns from batches of transitions.

    Attributes:
        num_actions: A.
        learner: both networks and their loss.
        optimizer: makes the updates.
        calls: the compiled calls, which hold what the agent depends on.
    """

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
            options: the network's options.
            algorithm: what is learnt.
            optimizer: makes the updates.
            batch_size: B, transitions in an update.
            rng: draws the initial weights, the random actions and the seeds of noise.
            precision: the precision of the networks; see `networks.computing_in`.
        """
        seed = int(rng.integers(SEED_LIMIT - SEEDS_OF_A_NETWORK))
        with computing_in(precision):
            self._online = network(state_shape, num_actions, seed, options)
            self._target = network(state_shape, num_actions, seed, options)
        self.num_actions = num_actions
        self._rng = rng
        self._batch_size = batch_size
        self.learner = Learner(self._online, self._target, algorithm, seed)
        self.optimizer = optimizer
        # Makes its variables before the first update.
        optimizer.build(self.learner.trainable_variables)
        greedy = self._explorer = Actor(self._online, algorithm.distribution, seed, noisy=False)
        if options.noisy:
            self._explorer = Actor(self._online, algorithm.distribution, seed + 1, noisy=True)
        self._dead_relus = DeadReLUs(self._online) if relus_of(self._online) else None
        self.calls = compiled_calls(
            Models(self.learner, optimizer, greedy, self._explorer, self._dead_relus)
        )

    @property
    def online(self) -> keras.Model:
        """The network that acts and is trained, with its newest weights.

        They are good until the next call of this agent, and may be changed until then.
        """
        self.calls.release()
        return self._online

    @property
    def lacks_pixel_statistics(self) -> bool:
        """Whether its networks whiten pixels, and nobody has given them the statistics."""
        return any(not layer.has_statistics for layer in self._whitening_layers())

    def set_pixel_statistics(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        """Gives both networks the mean and the deviation of each pixel, [H, W] float, to whiten."""
        for layer in self._whitening_layers():
            layer.set_statistics(mean, deviation)

    def _whitening_layers(self) -> list[Whitening]:
        self.calls.release()
        layers = [*self._online.layers, *self._target.layers]
        return [layer for layer in layers if isinstance(layer, Whitening)]

    def values(self, states: np.ndarray) -> np.ndarray:
        """Returns the online network's Q values, [n, A] float32, of states, [n, H, W, k] uint8."""
        return self.calls.values(states, explore=False)

    def act(
        self,
        states: np.ndarray,
        epsilon: float,
        explore: bool = False,
        rng: np.random.Generator | None = None,
        random_actions: RandomActions | None = None,
    ) -> np.ndarray:
        """Returns an action for each state: a share `epsilon` of them at random, else the best.

        Args:
            states: [n, H, W, k] uint8, on the host or on the device.
            epsilon: the share of random actions, in the mean of many.
            explore: whether the noise of a noisy network is on.
            rng: draws the random actions; None for the agent's own generator.
            random_actions: those of the n environments; None for ones that take a step each.

        Returns:
            [n] int64.

        Raises:
            FloatingPointError: a value is not finite.
        """
        random_actions = random_actions or RandomActions(self.num_actions, len(states))
        actions, is_random = random_actions.draw(epsilon, rng or self._rng)
        if not is_random.all():
            values = self.calls.values(states, explore)
            if not np.isfinite(values).all():
                raise FloatingPointError("the values of the actions are not finite")
            actions = np.where(is_random, actions, values.argmax(axis=-1))
        return actions

    def learn(self, batches: Batch) -> Updates:
        """Makes updates of the online network, one after the other, in one call.

        They may still be going on when this returns. What acts, learns or is saved next waits for
        them where it has to.

        Args:
            batches: [U·B] transitions, those of the first update first, in arrays that stay as they
                are until the updates are made. It compiles once for each number of updates U.
        """
        arrays = batches.arrays
        del arrays["indices"]
        by_update = {
            name: array.reshape(-1, self._batch_size, *array.shape[1:])
            for name, array in arrays.items()
        }
        results = self.calls.update(by_update, batches.frames)
        return Updates(len(by_update["r_t"]), results)

    def set_learning_rate(self, rate: float) -> None:
        """Makes updates take steps of another size from now on."""
        self.calls.set_learning_rate(rate)

    def dead_relus(self, batches: Batch) -> float | None:
        """Returns which share of the online network's ReLUs are dead, 0 to 1.

        It takes as long as acting for a batch of states: too long to be done in each update.

        Args:
            batches: what was learnt from; the first B states s_tm1 are looked at.

        Returns:
            The share of units that give 0 for all these states, see `DeadReLUs`; None where the
            network has no ReLU.
        """
        if self._dead_relus is None:
            return None
        return self.calls.dead_relus(batches.s_tm1[: self._batch_size], batches.frames)

    def copy_to_target(self) -> None:
        """Makes the target network equal to the online one."""
        self.calls.copy_to_target()

    def get_state(self) -> State:
        """Returns what acting and learning depend on, with copies of arrays.

        Raises:
            FloatingPointError: the network has diverged: not all of it is finite.
        """
        arrays = {
            str(number): np.array(ops.convert_to_numpy(variable))
            for number, variable in enumerate(self._variables)
        }
        _check_finite(arrays.values())
        return State({"random generator": self._rng.bit_generator.state}, arrays)

    def set_state(self, state: State) -> None:
        """Takes what `get_state` of an agent of the same settings returned."""
        self._rng.bit_generator.state = state.attributes["random generator"]
        for number, variable in enumerate(self._variables):
            variable.assign(state.arrays[str(number)])

    @property
    def _variables(self) -> list[Any]:
        """Both networks, the optimiser and the generators of noise, as Keras variables."""
        self.calls.release()
        optimizer = self.optimizer
        return [
            *self._online.weights,
            *self._target.weights,
            # The learning rate is a setting, which may change when a run is resumed.
            *(v for v in optimizer.variables if v is not optimizer.learning_rate),
            self.learner.random.state,
            self._explorer.random.state,
        ]

    def save_weights(self, path: Path, run: str = "") -> None:
        """Writes the online network's weights, whole or not at all.

        Args:
            path: the file.
            run: identifies the files of one run.

        Raises:
            FloatingPointError: the network has diverged: not all of them are finite.
            OSError: the file cannot be written; one that was there stays.
        """
        online = self.online
        _check_finite(online.get_weights())
        weights.save(path, online, run)

    def load_weights(self, path: Path, channels_first: bool = False) -> None:
        """Loads weights into both networks.

        Reads Keras's `.weights.h5` and `.keras` files and its older HDF5 layouts, whatever the
        file's name.

        Args:
            path: the file.
            channels_first: whether its network has the channels first; see `weights.load`.

        Raises:
            WeightsError: the file is missing, damaged, in another format, of a newer version of the
                format, or of a network of another shape.
        """
        weights.load(path, self.online, channels_first)
        self.copy_to_target()


def _check_finite(arrays: Iterable[np.ndarray]) -> None:
    """Raises FloatingPointError if an element of an array is not finite."""
    if not all(np.isfinite(array).all() for array in arrays):
        raise FloatingPointError("the network has weights that are not finite")


def make_agent(
    config: Config,
    state_shape: tuple[int, int, int],
    num_actions: int,
    rng: np.random.Generator,
) -> Agent:
    """Returns the agent that the settings describe.

    Args:
        config: the settings.
        state_shape: (height, width, frames) of a uint8 state.
        num_actions: A.
        rng: draws the initial weights, the random actions and the seeds of noise.

    Raises:
        ConfigError: the machine cannot compute in the precision of the settings.
    """
    if config.precision == "bfloat16" and not computes_bfloat16():
        raise ConfigError(
            "--precision bfloat16 needs a processor with avx512_bf16 or amx_bf16, or a GPU of "
            "compute capability 8.0, and this machine computes on neither: give --precision float32"
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
        whitening=config.whitening,
    )
