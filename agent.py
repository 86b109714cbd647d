"""The agent: an online and a target network, acting by the first and learning from both."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

import weights_file
from batch import Batch
from config import Config
from networks import NETWORKS

# Adam's epsilon of Dopamine and Rainbow (Hessel et al. 2018, table 1): the common 1e-7 lets weights
# that hardly ever see a gradient jump when they do.
ADAM_EPSILON = 1.5e-4


def q_target(r_t: Any, discount_t: Any, q_t_target: Any) -> Any:
    """Returns the target of deep Q-learning, Mnih et al. 2015, "Methods: Algorithm".

    Args:
        r_t: [B] float32, n-step rewards, discounted to the first step.
        discount_t: [B] float32, gamma**n, or 0 where the return ended.
        q_t_target: [B, A] float32, the target network's values.

    Returns:
        [B] float32.
    """
    return r_t + discount_t * ops.max(q_t_target, axis=-1)


def double_q_target(r_t: Any, discount_t: Any, q_t_online: Any, q_t_target: Any) -> Any:
    """Returns the Double DQN target, van Hasselt et al. 2016, eq. 4 with the target network.

    Args:
        r_t: [B] float32, n-step rewards, discounted to the first step.
        discount_t: [B] float32, gamma**n, or 0 where the return ended.
        q_t_online: [B, A] float32, the online network's values, which choose the action.
        q_t_target: [B, A] float32, the target network's values, which rate it.

    Returns:
        [B] float32.
    """
    return r_t + discount_t * values_of(q_t_target, ops.argmax(q_t_online, axis=-1))


def values_of(q: Any, a: Any) -> Any:
    """Returns the values of the actions `a` ([B] int) among `q` ([B, A] float32), [B] float32."""
    return ops.sum(q * ops.one_hot(a, q.shape[-1], dtype=q.dtype), axis=-1)


def huber(td_error: Any) -> Any:
    """Returns the loss of Huber 1964 with its bend at 1: [B] float32 for [B] float32.

    Its gradient is the TD error clipped to [-1, 1], which Mnih et al. 2015 ask for in "Methods:
    Training algorithm for deep Q-networks".
    """
    size = ops.abs(td_error)
    linear = ops.maximum(size - 1, 0)
    return 0.5 * ops.square(size - linear) + linear


class Update(NamedTuple):
    """What one update of the online network found in its batch."""

    loss: float
    accuracy: float  # share of states whose greedy action the target leaves as it is
    mean_q: float  # mean value that the online network gave to the actions taken
    td_errors: np.ndarray  # [B] float32, absolute


class Learner(keras.Model):
    """Both networks and their loss, in `keras.ops` alone, so that every Keras backend runs it.

    It takes the fields of a `Batch` by name, in a dict. What else an update finds out is left in
    two weights, which is how a value leaves a compiled Keras step on every backend.
    """

    def __init__(self, online: keras.Model, target: keras.Model, double: bool, batch_size: int):
        """Takes two networks of one shape; only `online` is trained."""
        super().__init__()
        self.online = online
        self.target = target
        self.target.trainable = False
        self.double = double
        self.td_errors = self.add_weight(
            shape=(batch_size,), initializer="zeros", trainable=False, name="td_errors"
        )
        self.means = self.add_weight(
            shape=(2,), initializer="zeros", trainable=False, name="accuracy_and_mean_q"
        )

    def call(self, batch: dict[str, Any]) -> Any:
        """Returns the online network's values of the first states, [B, A] float32."""
        return self.online(batch["s_tm1"])

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns the mean Huber loss of the TD errors, weighted.

        The weights are those of Schaul et al. 2016, section 3.4.

        Args:
            x: the batch, a dict of arrays.
            y: not used.
            y_pred: [B, A] float32, what `call` returned.
            sample_weight: not used; the batch brings its weights.
            training: not used; the networks act and learn alike.

        Returns:
            A float32 scalar.
        """
        q_tm1 = y_pred
        q_t_target = self.target(x["s_t"])
        if self.double:
            target = double_q_target(x["r_t"], x["discount_t"], self.online(x["s_t"]), q_t_target)
        else:
            target = q_target(x["r_t"], x["discount_t"], q_t_target)
        target = ops.stop_gradient(target)
        q_a_tm1 = values_of(q_tm1, x["a_tm1"])
        td_error = target - q_a_tm1
        self.td_errors.assign(ops.abs(td_error))
        # The values as the target would have them: all as they are but for the action taken.
        taken = ops.one_hot(x["a_tm1"], q_tm1.shape[-1], dtype=q_tm1.dtype)
        wanted = q_tm1 + taken * ops.expand_dims(td_error, -1)
        kept = ops.equal(ops.argmax(wanted, axis=-1), ops.argmax(q_tm1, axis=-1))
        accuracy = ops.mean(ops.cast(kept, "float32"))
        self.means.assign(ops.stack([accuracy, ops.mean(q_a_tm1)]))
        return ops.mean(x["weights"] * huber(td_error))


class Agent:
    """Acts epsilon-greedily by the online network and learns from batches of transitions."""

    def __init__(
        self,
        state_shape: tuple[int, int, int],
        num_actions: int,
        *,
        network: str,
        learning_rate: float,
        double: bool,
        batch_size: int,
        rng: np.random.Generator,
    ):
        """Makes both networks, with the same weights.

        Args:
            state_shape: (height, width, frames) of a uint8 state.
            num_actions: A.
            network: a name in `networks.NETWORKS`.
            learning_rate: of Adam.
            double: whether the online network chooses the action that the target network rates.
            batch_size: B, transitions in each update.
            rng: draws the first weights and the random actions.
        """
        seed = int(rng.integers(2**31 - 100))
        self.online = NETWORKS[network](state_shape, num_actions, seed)
        self._target = NETWORKS[network](state_shape, num_actions, seed)
        self.num_actions = num_actions
        self._rng = rng
        self._learner = Learner(self.online, self._target, double, batch_size)
        self._learner.compile(optimizer=keras.optimizers.Adam(learning_rate, epsilon=ADAM_EPSILON))

    def values(self, states: np.ndarray) -> np.ndarray:
        """Returns the online network's values, [n, A] float32, of states, [n, H, W, k] uint8."""
        return self.online.predict_on_batch(states)

    def act(self, states: np.ndarray, epsilon: float) -> np.ndarray:
        """Returns an action for each state: a random one with probability `epsilon`, else the best.

        Args:
            states: [n, H, W, k] uint8.
            epsilon: probability.

        Returns:
            [n] int64.
        """
        actions = self._rng.integers(self.num_actions, size=len(states))
        greedy = self._rng.random(len(states)) >= epsilon
        if greedy.any():
            actions = np.where(greedy, self.values(states).argmax(axis=-1), actions)
        return actions

    def learn(self, batch: Batch) -> Update:
        """Makes one update of the online network."""
        arrays = batch._asdict()
        del arrays["indices"]
        loss = self._learner.train_on_batch(arrays)
        accuracy, mean_q = ops.convert_to_numpy(self._learner.means)
        td_errors = ops.convert_to_numpy(self._learner.td_errors)
        return Update(float(loss), float(accuracy), float(mean_q), td_errors)

    def copy_to_target(self) -> None:
        """Makes the target network equal to the online one."""
        self._target.set_weights(self.online.get_weights())

    def save_weights(self, path: Path) -> None:
        """Writes the online network's weights, whole or not at all.

        Raises:
            OSError: the file cannot be written; one that was there stays.
        """
        weights_file.save(path, self.online)

    def load_weights(self, path: Path, channels_first: bool = False) -> None:
        """Loads weights into both networks.

        Reads Keras's `.weights.h5` and `.keras` files and its older HDF5 layouts, whatever the
        file's name.

        Args:
            path: the file.
            channels_first: whether its network has the channels first; see `weights_file.load`.

        Raises:
            WeightsError: the file is missing, damaged, none of these, or of another shape.
        """
        weights_file.load(path, self.online, channels_first)
        self.copy_to_target()


def make_agent(
    config: Config,
    state_shape: tuple[int, int, int],
    num_actions: int,
    rng: np.random.Generator,
) -> Agent:
    """Returns the agent that the settings describe, for such states and so many actions."""
    return Agent(
        state_shape,
        num_actions,
        network=config.network,
        learning_rate=config.learning_rate,
        double=config.double,
        batch_size=config.batch,
        rng=rng,
    )
