"""Updates, values and dead ReLUs as compiled calls, on TensorFlow and on JAX.

One call makes several updates where the batches of all are there: what does not depend on the
update before, such as the target network's values, then runs beside it, and Python runs once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from learning.dead_relus import DeadReLUs
from learning.learner import Actor, Learner
from replay.batch import ALIGNMENT
from replay.device_frames import DeviceFrames, states_at
from system.devices import has_gpu, is_jax

Arrays = dict[str, np.ndarray]
Updates = Callable[[Arrays, DeviceFrames | None], Arrays]
DeadShare = Callable[[np.ndarray, DeviceFrames | None], float]


def compiled_updates(learner: Learner, optimizer: keras.optimizers.Optimizer) -> Updates:
    """Returns a function that makes U updates, one after the other.

    It takes the fields of a `Batch`, each [U, B, …], and the frames on the device that these hold
    the places of, or None where they hold states. It returns what `Learner.call` finds, each
    [U, …], and the norm of all gradients together, before any are shortened, as "gradient_norm",
    [U] float32. It compiles once for each U.
    """
    if is_jax():
        # In XLA's loops, a CPU takes several times as long for convolutions.
        return jax_updates(learner, optimizer, joined=has_gpu())
    return _tensorflow_updates(learner, optimizer)


def compiled_values(actor: Actor) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from states, [n, H, W, k] uint8, to values, [n, A] float32."""
    make = _jax_values if is_jax() else _tensorflow_values
    return make(actor)


def compiled_dead_relus(dead_relus: DeadReLUs) -> DeadShare:
    """Returns a function to the share of dead ReLUs from the states of a batch.

    As a `Batch` has them: states, [B, H, W, k] uint8, or the places of their frames, [B, k] int32,
    with the frames on the device that these are places in.
    """
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
    """Returns batches with states in place of their frames' places in `DeviceFrames.array`."""
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
            found = learner(batch)
        gradients = tape.gradient(found["loss"], [each.value for each in variables])
        optimizer.apply(gradients, variables)
        return {**found, "gradient_norm": tf.linalg.global_norm(gradients)}

    # On a CPU, TensorFlow's own kernels are faster than what XLA makes of them.
    @tf.function(autograph=False, jit_compile=has_gpu())
    def updates(batches: dict[str, Any], frames: Any) -> dict[str, Any]:
        batches = _with_states(batches, frames)
        count = batches["r_t"].shape[0]
        found = [update({name: each[n] for name, each in batches.items()}) for n in range(count)]
        return {name: tf.stack([each[name] for each in found]) for name in found[0]}

    # By U, and whether frames are given. Calling what is compiled spares the search for it among
    # all shapes and types.
    compiled: dict[tuple[int, bool], Callable[[dict[str, Any], Any], dict[str, Any]]] = {}

    def numpy_updates(batches: Arrays, frames: DeviceFrames | None) -> Arrays:
        tensors = {name: _tensor(array) for name, array in batches.items()}
        array = frames.array if frames else None
        kind = len(batches["r_t"]), frames is None
        if kind not in compiled:
            compiled[kind] = updates.get_concrete_function(tensors, array)
        return {name: each.numpy() for name, each in compiled[kind](tensors, array).items()}

    return numpy_updates


def _tensor(array: np.ndarray) -> Any:
    """Returns an array as a tensor, which has the same memory where it starts as TensorFlow asks.

    Then the array must not be changed while the tensor is in use.
    """
    import tensorflow as tf

    if array.ctypes.data % ALIGNMENT:
        return tf.constant(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def jax_updates(learner: Learner, optimizer: keras.optimizers.Optimizer, joined: bool) -> Updates:
    """Returns what `compiled_updates` does, on JAX.

    Args:
        learner: what is trained.
        optimizer: makes the updates of its gradients.
        joined: whether all updates are one call of what is compiled, or each a call of its own.
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
        (_, (found, other_values)), gradients = jax.value_and_grad(loss, has_aux=True)(
            trained_values, other_values, batch
        )
        trained_values, optimizer_values = optimizer.stateless_apply(
            optimizer_values, gradients, trained_values
        )
        found["gradient_norm"] = jax.numpy.sqrt(sum(ops.sum(ops.square(g)) for g in gradients))
        return (trained_values, other_values, optimizer_values), found

    def one(state: Any, batch: dict[str, Any], frames: Any) -> Any:
        return update(state, _with_states(batch, frames))

    def many(state: Any, batches: dict[str, Any], frames: Any) -> Any:
        return jax.lax.scan(update, state, _with_states(batches, frames))

    # The state before is not needed any more: its room is taken for that after.
    compiled = jax.jit(many if joined else one, donate_argnums=0)

    def one_by_one(state: Any, batches: Arrays, frames: Any) -> Any:
        found = []
        for n in range(len(batches["r_t"])):
            batch = {name: each[n] for name, each in batches.items()}
            state, of_update = compiled(state, batch, frames)
            found.append(of_update)
        return state, {name: np.stack([each[name] for each in found]) for name in found[0]}

    make = compiled if joined else one_by_one
    parts = trained, others, optimizer.variables

    def updates(batches: Arrays, frames: DeviceFrames | None) -> Arrays:
        state = tuple([each.value for each in part] for part in parts)
        state, found = make(state, batches, frames.array if frames else None)
        for part, values in zip(parts, state, strict=True):
            for variable, value in zip(part, values, strict=True):
                variable.assign(value)
        return {name: np.asarray(each) for name, each in found.items()}

    return updates


def _tensorflow_values(actor: Actor) -> Callable[[np.ndarray], np.ndarray]:
    import tensorflow as tf

    (states,) = (each for each in actor.network.inputs if each.name == "states")
    # For any number of states, compiled once.
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
        outputs, random = values([each.value for each in variables], states)
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
        share([each.value for each in variables], states, frames.array if frames else None)
    )
