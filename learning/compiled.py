"""An agent's compiled calls, on TensorFlow and on JAX.

One call makes several updates when their batches are all there. Python then runs once, and what
does not depend on the update before, such as the target network's values, can run beside it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import keras
import numpy as np
from keras import ops

from replay.batch import ALIGNMENT
from replay.device_frames import DeviceFrames, states_at
from system.devices import has_gpu, is_jax

if TYPE_CHECKING:
    from collections.abc import Callable

    from learning.dead_relus import DeadReLUs
    from learning.learner import Actor, Learner

Arrays = dict[str, np.ndarray]
# What the calls on JAX give in one array, in this order.
FIGURES = "loss", "accuracy", "mean_q", "q_spread", "gradient_norm"


class Models(NamedTuple):
    """What an agent compiles. They all share the online network."""

    learner: Learner
    optimizer: keras.optimizers.Optimizer
    greedy: Actor  # acts without noise
    explorer: Actor  # acts while it learns; the greedy one where the network has no noise
    dead_relus: DeadReLUs | None  # None where the network has no ReLU


class Calls(Protocol):
    """The compiled calls of an agent.

    Between two of them the values of the variables, which are the weights, the optimiser's and the
    generators', may be held on the device. `release` brings them into the Keras variables.
    """

    def update(self, batches: Arrays, frames: DeviceFrames | None) -> Callable[[], Arrays]:
        """Starts U updates, one after the other; it compiles once for each U.

        Args:
            batches: the arrays of a `Batch` that an update needs, each [U, B, …]. They must stay as
                they are until the updates are made.
            frames: `Batch.frames`.

        Returns:
            A function that waits until the updates are made. It returns what `Learner.call` returns
            for each, [U, …], and "gradient_norm", [U] float32: the norm of all gradients together,
            before clipping.
        """

    def values(self, states: np.ndarray, explore: bool) -> np.ndarray:
        """Returns the values, [n, A] float32, of states, [n, H, W, k] uint8, wherever they are."""

    def dead_relus(self, states: np.ndarray, frames: DeviceFrames | None) -> float:
        """Returns the share of dead ReLUs, from `Batch.s_tm1` and `Batch.frames`."""

    def copy_to_target(self) -> None:
        """Makes the target network equal to the online one."""

    def set_learning_rate(self, rate: float) -> None:
        """Makes updates take steps of another size from now on."""

    def release(self) -> None:
        """Brings all values into the Keras variables, to be read or changed until the next call."""


def compiled_calls(models: Models) -> Calls:
    """Returns the compiled calls of an agent, on Keras's backend."""
    if is_jax():
        # On a CPU, convolutions take several times as long in XLA's loops.
        return JaxCalls(models, joined=has_gpu())
    return TensorFlowCalls(models)


class TensorFlowCalls:
    """The calls on TensorFlow, which work on the Keras variables themselves; see `Calls`."""

    def __init__(self, models: Models):
        """Compiles what acts; the rest is compiled at its first call."""
        import tensorflow as tf

        self.models = models
        # By U, and whether states are given. `tf.function` itself would look for the right one
        # among all shapes and types at each call.
        self._compiled: dict[tuple[int, bool], Callable[..., Any]] = {}
        # On a CPU, TensorFlow's own kernels are faster than those that XLA compiles.
        function = partial(tf.function, autograph=False, jit_compile=has_gpu())
        self._updates = function(self._traced_updates)
        self._dead_relus = function(partial(_dead_relus, models.dead_relus))
        self._greedy = self._explorer = self._compiled_actor(models.greedy)
        if models.explorer is not models.greedy:
            self._explorer = self._compiled_actor(models.explorer)

    def update(self, batches: Arrays, frames: DeviceFrames | None) -> Callable[[], Arrays]:
        """Makes updates before it returns; see `Calls`."""
        tensors = {name: _tensor(array) for name, array in batches.items()}
        array = frames.array if frames else None
        key = len(batches["r_t"]), frames is None
        if key not in self._compiled:
            self._compiled[key] = self._updates.get_concrete_function(tensors, array)
        made = self._compiled[key](tensors, array)
        results = {name: result.numpy() for name, result in made.items()}
        return lambda: results

    def values(self, states: np.ndarray, explore: bool) -> np.ndarray:
        """Returns values; see `Calls`."""
        import tensorflow as tf

        compiled = self._explorer if explore else self._greedy
        return compiled(tf.constant(states)).numpy()

    def dead_relus(self, states: np.ndarray, frames: DeviceFrames | None) -> float:
        """Returns the share of dead ReLUs; see `Calls`."""
        import tensorflow as tf

        return float(self._dead_relus(tf.constant(states), frames.array if frames else None))

    def copy_to_target(self) -> None:
        """Copies the weights; see `Calls`."""
        learner = self.models.learner
        learner.target.set_weights(learner.online.get_weights())

    def set_learning_rate(self, rate: float) -> None:
        """Changes the optimiser's; see `Calls`."""
        self.models.optimizer.learning_rate.assign(rate)

    def release(self) -> None:
        """Does nothing: the values are never anywhere else."""

    def _traced_updates(self, batches: dict[str, Any], frames: Any) -> dict[str, Any]:
        import tensorflow as tf

        batches = _with_states(batches, frames)
        count = batches["r_t"].shape[0]
        results = [self._update({name: x[n] for name, x in batches.items()}) for n in range(count)]
        return {name: tf.stack([result[name] for result in results]) for name in results[0]}

    def _update(self, batch: dict[str, Any]) -> dict[str, Any]:
        import tensorflow as tf

        learner, optimizer, *_ = self.models
        variables = learner.trainable_variables
        _average_target(learner)
        with tf.GradientTape() as tape:
            results = learner(batch)
        gradients = tape.gradient(results["loss"], [variable.value for variable in variables])
        optimizer.apply(gradients, variables)
        return {**results, "gradient_norm": tf.linalg.global_norm(gradients)}

    @staticmethod
    def _compiled_actor(actor: Actor) -> Callable[[Any], Any]:
        """Returns the values of states, compiled once for any number of them."""
        import tensorflow as tf

        (states,) = (tensor for tensor in actor.network.inputs if tensor.name == "states")
        return tf.function(lambda states: actor(states), autograph=False).get_concrete_function(
            tf.TensorSpec(states.shape, "uint8")
        )


def _tensor(array: np.ndarray) -> Any:
    """Returns an array as a tensor.

    They share their memory if it is aligned as TensorFlow asks. The array must then not change
    while the tensor is in use.
    """
    import tensorflow as tf

    if array.ctypes.data % ALIGNMENT:
        return tf.constant(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


class DeviceState(NamedTuple):
    """The values of an agent's variables, as compiled calls on JAX take them.

    An update takes all but the noise, and gives new ones in the same memory.
    """

    trained: list[Any]  # the online network's weights
    others: list[Any]  # the target network's, what is not trained, and the learner's generator
    optimizer: list[Any]
    noise: list[Any]  # the generator of the noise to explore by


class JaxCalls:
    """The calls on JAX, which return before they are done; see `Calls`.

    All values are in one place at a time: in a `DeviceState`, or, after `release` and until the
    next call, in the Keras variables. Those that a call has taken from there are gone.

    Attributes:
        models: what is compiled.
        compiled_update: makes all updates of a call, or one of them.
    """

    def __init__(self, models: Models, joined: bool):
        """Compiles nothing yet.

        Args:
            models: what is compiled.
            joined: whether one compiled call makes all U updates, or each has a call of its own.
        """
        import jax

        learner, optimizer, greedy, explorer, dead_relus = models
        self.models, self._joined = models, joined
        self._variables = DeviceState(
            learner.trainable_variables,
            learner.non_trainable_variables,
            optimizer.variables,
            [explorer.random.state],
        )
        self._held: DeviceState | None = None
        # The new state takes the memory of the old one, which nothing needs any more.
        self.compiled_update = jax.jit(
            self._updates if joined else self._one_update, donate_argnums=0
        )
        self._copy = jax.jit(self._copied, donate_argnums=1)
        self._greedy = self._explorer = jax.jit(partial(self._acted, greedy))
        if explorer is not greedy:
            self._explorer = jax.jit(partial(self._acted, explorer))
        self._dead_relus = jax.jit(partial(self._share, dead_relus))

    def update(self, batches: Arrays, frames: DeviceFrames | None) -> Callable[[], Arrays]:
        """Starts updates; see `Calls`."""
        trained, others, of_optimizer, noise = self.state
        state = trained, others, of_optimizer
        array = frames.array if frames else None
        given = [batches]
        if not self._joined:
            count = len(batches["r_t"])
            given = [{name: x[n] for name, x in batches.items()} for n in range(count)]
        made = []
        for batch in given:
            state, results = self.compiled_update(state, batch, array)
            made.append(results)
        self._held = DeviceState(*state, noise)
        return partial(_fetched, made)

    def values(self, states: np.ndarray, explore: bool) -> np.ndarray:
        """Returns values; see `Calls`."""
        state = self.state
        compiled = self._explorer if explore else self._greedy
        outputs, noise = compiled(state.trained, state.others, state.noise, states)
        self._held = state._replace(noise=noise)
        return np.asarray(outputs)

    def dead_relus(self, states: np.ndarray, frames: DeviceFrames | None) -> float:
        """Returns the share of dead ReLUs; see `Calls`."""
        state = self.state
        array = frames.array if frames else None
        return float(self._dead_relus(state.trained, state.others, states, array))

    def copy_to_target(self) -> None:
        """Copies the weights on the device; see `Calls`."""
        state = self.state
        self._held = state._replace(others=self._copy(state.trained, state.others))

    def set_learning_rate(self, rate: float) -> None:
        """Changes the optimiser's on the device; see `Calls`."""
        state, variable = self.state, self.models.optimizer.learning_rate
        new = ops.convert_to_tensor(rate, variable.dtype)
        pairs = zip(self._variables.optimizer, state.optimizer, strict=True)
        of_optimizer = [new if each is variable else value for each, value in pairs]
        self._held = state._replace(optimizer=of_optimizer)

    def release(self) -> None:
        """Brings all values into the Keras variables; see `Calls`."""
        if self._held is None:
            return
        for variables, values in zip(self._variables, self._held, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        self._held = None

    @property
    def state(self) -> DeviceState:
        """All values, from where they are."""
        if self._held is None:
            self._held = DeviceState(*([v.value for v in group] for group in self._variables))
        return self._held

    def _stateless(
        self, function: Callable[[], Any], trained: Any, others: Any, noise: Any = ()
    ) -> tuple[Any, Any, Any]:
        """Returns what a function of the variables returns; others and noise as it leaves them."""
        variables = self._variables
        values = [*zip(variables.trained, trained, strict=True)]
        values += zip(variables.others, others, strict=True)
        values += zip(variables.noise, noise, strict=False)
        with keras.StatelessScope(state_mapping=values) as scope:
            returned = function()
        others = [scope.get_current_value(variable) for variable in variables.others]
        noise = [scope.get_current_value(variable) for variable in variables.noise]
        return returned, others, noise

    def _loss(self, trained: Any, others: Any, batch: dict[str, Any]) -> Any:
        learner = self.models.learner
        results, others, _ = self._stateless(lambda: learner(batch), trained, others)
        return results["loss"], (results, others)

    def _next_state(self, state: Any, batch: dict[str, Any]) -> Any:
        """Returns the state after an update, without the noise, and what the update tells."""
        import jax

        learner, optimizer, *_ = self.models
        trained, others, of_optimizer = state
        _, others, _ = self._stateless(lambda: _average_target(learner), trained, others)
        (_, (results, others)), gradients = jax.value_and_grad(self._loss, has_aux=True)(
            trained, others, batch
        )
        trained, of_optimizer = optimizer.stateless_apply(of_optimizer, gradients, trained)
        results["gradient_norm"] = jax.numpy.sqrt(sum(ops.sum(ops.square(g)) for g in gradients))
        # One array instead of five is fetched in a fifth of the time.
        figures = jax.numpy.stack([results[name] for name in FIGURES])
        return (trained, others, of_optimizer), (figures, results["td_errors"])

    def _one_update(self, state: Any, batch: dict[str, Any], frames: Any) -> Any:
        return self._next_state(state, _with_states(batch, frames))

    def _updates(self, state: Any, batches: dict[str, Any], frames: Any) -> Any:
        import jax

        return jax.lax.scan(self._next_state, state, _with_states(batches, frames))

    def _acted(self, actor: Actor, trained: Any, others: Any, noise: Any, states: Any) -> Any:
        outputs, _, noise = self._stateless(lambda: actor(states), trained, others, noise)
        return outputs, noise

    def _copied(self, trained: Any, others: Any) -> Any:
        learner = self.models.learner

        def copy() -> None:
            for target, online in zip(learner.target.weights, learner.online.weights, strict=True):
                # Another array, as an update gives up both.
                target.assign(ops.copy(online))

        return self._stateless(copy, trained, others)[1]

    def _share(self, dead_relus: Any, trained: Any, others: Any, states: Any, frames: Any) -> Any:
        compute = partial(_dead_relus, dead_relus, states, frames)
        return self._stateless(compute, trained, others)[0]


def _fetched(results: list[tuple[Any, Any]]) -> Arrays:
    """Waits for what calls on JAX give, each [(U,) 5] and [(U,) B]; returns it as `Calls` says."""
    import jax

    fetched = jax.device_get(results)
    figures = np.concatenate([each.reshape(-1, len(FIGURES)) for each, _ in fetched])
    td_errors = np.concatenate([np.atleast_2d(each) for _, each in fetched])
    return {"td_errors": td_errors, **dict(zip(FIGURES, figures.T, strict=True))}


def _dead_relus(dead_relus: Any, states: Any, frames: Any) -> Any:
    """Returns the share of dead ReLUs, for compiled functions; see `Calls.dead_relus`."""
    return dead_relus(states if frames is None else states_at(states, frames))


def _average_target(learner: Learner) -> None:
    """Moves the target network a little towards the online one, Lillicrap et al. 2016, section 3.

    An update starts with this, so the online network is as the update before left it.
    """
    averaging = learner.algorithm.target_averaging
    if not averaging:
        return
    for target, online in zip(learner.target.weights, learner.online.weights, strict=True):
        target.assign(target + averaging * (online - target))


def _with_states(batches: dict[str, Any], frames: Any) -> dict[str, Any]:
    """Returns batches with states; `frames` is `DeviceFrames.array` if they hold places in it."""
    if frames is None:
        return batches
    states = {name: states_at(batches[name], frames) for name in ("s_tm1", "s_t")}
    return {**batches, **states}
