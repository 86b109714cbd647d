"""Updates, values and dead ReLUs as compiled calls, on TensorFlow and on JAX.

One call makes several updates when their batches are all there. Python then runs once, and what
does not depend on the update before, such as the target network's values, can run beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from replay.batch import ALIGNMENT
from replay.device_frames import DeviceFrames, states_at
from system.devices import has_gpu, is_jax

if TYPE_CHECKING:
    from learning.dead_relus import DeadReLUs
    from learning.learner import Actor, Learner

Arrays = dict[str, np.ndarray]
Updates = Callable[[Arrays, DeviceFrames | None], Arrays]
DeadShare = Callable[[np.ndarray, DeviceFrames | None], float]


def compiled_updates(learner: Learner, optimizer: keras.optimizers.Optimizer) -> Updates:
    """Returns a function that makes U updates, one after the other; it compiles once for each U.

    It takes the arrays of a `Batch` that an update needs, each [U, B, …], and `Batch.frames`.

    It returns what `Learner.call` returns for each update, [U, …], and "gradient_norm", [U]
    float32: the norm of all gradients together, before clipping.
    """
    if is_jax():
        # On a CPU, convolutions take several times as long in XLA's loops.
        return jax_updates(learner, optimizer, joined=has_gpu())
    return _tensorflow_updates(learner, optimizer)


def compiled_values(actor: Actor) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from states, [n, H, W, k] uint8, to values, [n, A] float32."""
    make = _jax_values if is_jax() else _tensorflow_values
    return make(actor)


def compiled_dead_relus(dead_relus: DeadReLUs) -> DeadShare:
    """Returns a function to the share of dead ReLUs, from `Batch.s_tm1` and `Batch.frames`."""
    make = _jax_dead_relus if is_jax() else _tensorflow_dead_relus
    return make(dead_relus)


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


def _tensorflow_updates(learner: Learner, optimizer: keras.optimizers.Optimizer) -> Updates:
    import tensorflow as tf

    variables = learner.trainable_variables

    def update(batch: dict[str, Any]) -> dict[str, Any]:
        _average_target(learner)
        with tf.GradientTape() as tape:
            results = learner(batch)
        gradients = tape.gradient(results["loss"], [variable.value for variable in variables])
        optimizer.apply(gradients, variables)
        return {**results, "gradient_norm": tf.linalg.global_norm(gradients)}

    # On a CPU, TensorFlow's own kernels are faster than those that XLA compiles.
    @tf.function(autograph=False, jit_compile=has_gpu())
    def updates(batches: dict[str, Any], frames: Any) -> dict[str, Any]:
        batches = _with_states(batches, frames)
        count = batches["r_t"].shape[0]
        results = [update({name: x[n] for name, x in batches.items()}) for n in range(count)]
        return {name: tf.stack([result[name] for result in results]) for name in results[0]}

    # By U, and whether states are given. `updates` itself would look for the right one among all
    # shapes and types at each call.
    compiled: dict[tuple[int, bool], Callable[[dict[str, Any], Any], dict[str, Any]]] = {}

    def numpy_updates(batches: Arrays, frames: DeviceFrames | None) -> Arrays:
        tensors = {name: _tensor(array) for name, array in batches.items()}
        array = frames.array if frames else None
        key = len(batches["r_t"]), frames is None
        if key not in compiled:
            compiled[key] = updates.get_concrete_function(tensors, array)
        return {name: result.numpy() for name, result in compiled[key](tensors, array).items()}

    return numpy_updates


def _tensor(array: np.ndarray) -> Any:
    """Returns an array as a tensor.

    They share their memory if it is aligned as TensorFlow asks. The array must then not change
    while the tensor is in use.
    """
    import tensorflow as tf

    if array.ctypes.data % ALIGNMENT:
        return tf.constant(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def jax_updates(learner: Learner, optimizer: keras.optimizers.Optimizer, joined: bool) -> Updates:
    """Returns what `compiled_updates` returns, on JAX.

    Args:
        learner: both networks and their loss.
        optimizer: applies the gradients.
        joined: whether one compiled call makes all U updates, or each has a call of its own.
    """
    import jax

    trained, others = learner.trainable_variables, learner.non_trainable_variables

    def stateless(
        function: Callable[[], Any], trained_values: Any, other_values: Any
    ) -> tuple[Any, Any]:
        """Returns what a function of the variables returns, and the others as it leaves them."""
        values = [*zip(trained, trained_values, strict=True)]
        values += zip(others, other_values, strict=True)
        with keras.StatelessScope(state_mapping=values) as scope:
            returned = function()
        return returned, [scope.get_current_value(variable) for variable in others]

    def loss(trained_values: Any, other_values: Any, batch: dict[str, Any]) -> Any:
        results, other_values = stateless(lambda: learner(batch), trained_values, other_values)
        return results["loss"], (results, other_values)

    def update(state: Any, batch: dict[str, Any]) -> Any:
        trained_values, other_values, optimizer_values = state
        _, other_values = stateless(lambda: _average_target(learner), trained_values, other_values)
        (_, (results, other_values)), gradients = jax.value_and_grad(loss, has_aux=True)(
            trained_values, other_values, batch
        )
        trained_values, optimizer_values = optimizer.stateless_apply(
            optimizer_values, gradients, trained_values
        )
        results["gradient_norm"] = jax.numpy.sqrt(sum(ops.sum(ops.square(g)) for g in gradients))
        return (trained_values, other_values, optimizer_values), results

    def one(state: Any, batch: dict[str, Any], frames: Any) -> Any:
        return update(state, _with_states(batch, frames))

    def many(state: Any, batches: dict[str, Any], frames: Any) -> Any:
        return jax.lax.scan(update, state, _with_states(batches, frames))

    # The new state takes the memory of the old one, which nothing needs any more.
    compiled = jax.jit(many if joined else one, donate_argnums=0)

    def one_by_one(state: Any, batches: Arrays, frames: Any) -> Any:
        results = []
        for n in range(len(batches["r_t"])):
            batch = {name: array[n] for name, array in batches.items()}
            state, result = compiled(state, batch, frames)
            results.append(result)
        return state, {name: np.stack([result[name] for result in results]) for name in results[0]}

    make = compiled if joined else one_by_one
    variables = trained, others, optimizer.variables

    def updates(batches: Arrays, frames: DeviceFrames | None) -> Arrays:
        state = tuple([variable.value for variable in group] for group in variables)
        state, results = make(state, batches, frames.array if frames else None)
        for group, values in zip(variables, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        return {name: np.asarray(result) for name, result in results.items()}

    return updates


def _tensorflow_values(actor: Actor) -> Callable[[np.ndarray], np.ndarray]:
    import tensorflow as tf

    (states,) = (tensor for tensor in actor.network.inputs if tensor.name == "states")
    # Compiled once, for any number of states.
    values = tf.function(lambda states: actor(states), autograph=False).get_concrete_function(
        tf.TensorSpec(states.shape, "uint8")
    )
    return lambda states: values(tf.constant(states)).numpy()


def _jax_values(actor: Actor) -> Callable[[np.ndarray], np.ndarray]:
    import jax

    variables = actor.variables

    @jax.jit
    def values(state: Any, states: Any) -> Any:
        with keras.StatelessScope(state_mapping=zip(variables, state, strict=True)) as scope:
            outputs = actor(states)
        return outputs, scope.get_current_value(actor.random.state)

    def drawn_values(states: np.ndarray) -> np.ndarray:
        outputs, random = values([variable.value for variable in variables], states)
        actor.random.state.assign(random)
        return np.asarray(outputs)

    return drawn_values


def _tensorflow_dead_relus(dead_relus: DeadReLUs) -> DeadShare:
    import tensorflow as tf

    @tf.function(autograph=False, jit_compile=has_gpu())
    def share(states: Any, frames: Any) -> Any:
        return dead_relus(states if frames is None else states_at(states, frames))

    return lambda states, frames: float(
        share(tf.constant(states), frames.array if frames else None)
    )


def _jax_dead_relus(dead_relus: DeadReLUs) -> DeadShare:
    import jax

    variables = dead_relus.variables

    @jax.jit
    def share(values: Any, states: Any, frames: Any) -> Any:
        with keras.StatelessScope(state_mapping=zip(variables, values, strict=True)):
            return dead_relus(states if frames is None else states_at(states, frames))

    return lambda states, frames: float(
        share([variable.value for variable in variables], states, frames.array if frames else None)
    )
