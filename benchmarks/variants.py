"""Times other ways to make an update, in turns with the program's own: what is and isn't worth it.

    python3 -m benchmarks.variants                     our defaults
    python3 -m benchmarks.variants --network nature --precision bfloat16
    python3 -m benchmarks.variants --convolutions      the convolutions, as matrix products as well

On TensorFlow. Each variant differs in little from the one before or from the program's own, and
makes two updates in a call, on random batches.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from agent import make_agent
from benchmarks.random_batches import ACTIONS, STATE, random_batch
from benchmarks.where_time_goes import best_times
from learning.learner import Learner
from learning.targets import bootstrapped, greedy_policy, huber, values_of
from settings.config import Config

UPDATES = 2  # in a call
# Of the networks of 2013 and 2015: pixels, channels, kernel, stride, filters.
CONVOLUTIONS = {
    "nips 1": (84, 4, 8, 4, 16),
    "nips 2": (20, 16, 4, 2, 32),
    "nature 1": (84, 4, 8, 4, 32),
    "nature 2": (20, 32, 4, 2, 64),
    "nature 3": (9, 64, 3, 1, 64),
}
Variant = Callable[[], object]


class OnePassLearner(Learner):
    """Asks the online network for both states of a transition at once. Double DQN alone."""

    def call(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Returns what `Learner.call` does, but for the accuracy, which is left at 0."""
        states = ops.concatenate([batch["s_tm1"], batch["s_t"]])
        q_tm1, q_t = ops.split(self.online(states, training=True), 2)
        policy = greedy_policy(ops.stop_gradient(q_t))
        values = ops.sum(self.target(batch["s_t"]) * policy, axis=-1, keepdims=True)
        targets = bootstrapped(batch["r_t"], batch["discount_t"], values)[:, 0]
        taken = values_of(q_tm1, batch["a_tm1"])
        td_errors = ops.stop_gradient(targets) - taken
        return {
            "loss": ops.mean(batch["weights"] * huber(td_errors)),
            "td_errors": ops.abs(td_errors),
            "accuracy": ops.zeros(()),
            "mean_q": ops.mean(taken),
            "q_spread": ops.mean(ops.std(q_tm1, axis=0)),
        }


def compiled(
    config: Config,
    learner_class: type[Learner] = Learner,
    optimizer: keras.optimizers.Optimizer | None = None,
    norm: Callable[[list[Any]], Any] = tf.linalg.global_norm,
    xla: bool = False,
) -> Variant:
    """Returns updates as `learning/compiled.py` makes them, but for what is given here."""
    agent = make_agent(config, STATE, ACTIONS, np.random.default_rng(0))
    learner = learner_class(agent.online, agent.learner.target, agent.learner.algorithm)
    variables = learner.trainable_variables
    if optimizer:
        optimizer.build(variables)
    else:
        optimizer = agent.optimizer

    def update(batch: dict[str, Any]) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            results = learner(batch)
        gradients = tape.gradient(results["loss"], [variable.value for variable in variables])
        optimizer.apply(gradients, variables)
        return {**results, "gradient_norm": norm(gradients)}

    @tf.function(autograph=False, jit_compile=xla)
    def updates(batches: dict[str, Any]) -> dict[str, Any]:
        results = [
            update({name: array[n] for name, array in batches.items()}) for n in range(UPDATES)
        ]
        return {name: tf.stack([result[name] for result in results]) for name in results[0]}

    fields = random_batch(UPDATES * config.batch_size).arrays
    del fields["indices"]
    batches = {
        name: array.reshape(UPDATES, config.batch_size, *array.shape[1:])
        for name, array in fields.items()
    }
    return lambda: {name: value.numpy() for name, value in updates(batches).items()}


def ours(config: Config) -> Variant:
    """Returns the program's own updates."""
    agent = make_agent(config, STATE, ACTIONS, np.random.default_rng(0))
    return partial(agent.learn, random_batch(UPDATES * config.batch_size))


def squared_norm(gradients: list[Any]) -> Any:
    """Returns the norm of all gradients together, by way of their squares."""
    return tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(gradient)) for gradient in gradients]))


def print_variants(config: Config) -> None:
    """Prints the milliseconds of an update in each variant, and its ratio to the program's own."""
    adam = keras.optimizers.Adam(config.learning_rate, epsilon=config.optimizer_epsilon)
    variants = {
        "the program's own": ours(config),
        "batches copied, compilation looked up": compiled(config),
        "and the norm of the gradients by way of squares": compiled(config, norm=squared_norm),
        "and Keras's Adam": compiled(config, norm=squared_norm, optimizer=adam),
        "one online pass for s and s'": compiled(config, OnePassLearner),
        "compiled by XLA": compiled(config, xla=True),
        "pixels that are not scaled": compiled(replace(config, input_scaling=False)),
    }
    for variant in variants.values():
        variant()
    seconds = best_times(**variants)
    first = next(iter(seconds.values()))
    print("\n| variant | ms an update | ratio |\n| --- | --- | --- |")
    for name, taken in seconds.items():
        print(f"| {name} | {1e3 * taken / UPDATES:.2f} | {taken / first:.2f} |")


def convolution_ways(
    pixels: int, channels: int, size: int, stride: int, filters: int, config: Config
) -> tuple[float, dict[str, Variant]]:
    """Returns the GFLOP of a convolution, and ways to compute it and both of its gradients."""
    rng = np.random.default_rng(0)
    places = (pixels - size) // stride + 1

    def normal(*shape: int) -> Any:
        return tf.cast(rng.normal(size=shape), config.precision)

    x = normal(config.batch_size, pixels, pixels, channels)
    kernel = normal(size, size, channels, filters)
    slope = normal(config.batch_size, places, places, filters)
    sizes, strides = [1, size, size, 1], [1, stride, stride, 1]

    def columns() -> Any:
        patches = tf.image.extract_patches(x, sizes, strides, [1] * 4, "VALID")
        return tf.reshape(patches, [-1, size * size * channels])

    patches = columns()
    flat_kernel, flat_slope = tf.reshape(kernel, [-1, filters]), tf.reshape(slope, [-1, filters])
    options = {"strides": strides, "padding": "VALID"}
    ways: dict[str, Callable[[], Any]] = {
        "forward": lambda: tf.nn.conv2d(x, kernel, **options),
        "gradient of the kernel": lambda: tf.raw_ops.Conv2DBackpropFilter(
            input=x, filter_sizes=kernel.shape, out_backprop=slope, **options
        ),
        "gradient of the inputs": lambda: tf.raw_ops.Conv2DBackpropInput(
            input_sizes=x.shape, filter=kernel, out_backprop=slope, **options
        ),
        "copying patches": columns,
        "forward of patches": lambda: tf.matmul(patches, flat_kernel),
        "gradient of the kernel of patches": lambda: tf.matmul(
            patches, flat_slope, transpose_a=True
        ),
        "gradient of patches": lambda: tf.matmul(flat_slope, flat_kernel, transpose_b=True),
    }
    if size % stride == 0 and stride > 1:
        reach = (places - 1) * stride + size
        cut, blocks = x[:, :reach, :reach], size // stride
        deep = tf.nn.space_to_depth(cut, stride)
        # Any kernel of that shape takes as long.
        deep_kernel = tf.reshape(kernel, [blocks, blocks, stride * stride * channels, filters])
        ways |= {
            "space to depth": lambda: tf.nn.space_to_depth(cut, stride),
            "forward in depth": lambda: tf.nn.conv2d(deep, deep_kernel, 1, "VALID"),
            "gradient of the kernel in depth": lambda: tf.raw_ops.Conv2DBackpropFilter(
                input=deep, filter_sizes=deep_kernel.shape, out_backprop=slope,
                strides=[1] * 4, padding="VALID",
            ),
        }  # fmt: skip
    gflop = 2e-9 * config.batch_size * places**2 * filters * size**2 * channels
    return gflop, {name: _waited_for(way) for name, way in ways.items()}


def _waited_for(way: Callable[[], Any]) -> Variant:
    """Returns a computation as a compiled function that gives back one number alone."""
    number = tf.function(lambda: tf.reshape(way(), [-1])[0], autograph=False)
    return lambda: number().numpy()


def print_convolutions(config: Config) -> None:
    """Prints the milliseconds and GFLOP/s of each convolution, computed in several ways."""
    print("\n| convolution | way | ms | GFLOP/s |\n| --- | --- | --- | --- |")
    for name, shape in CONVOLUTIONS.items():
        gflop, ways = convolution_ways(*shape, config)
        for way in ways.values():
            way()
        for way_name, taken in best_times(**ways).items():
            speed = "" if way_name in ("copying patches", "space to depth") else gflop / taken
            print(f"| {name} | {way_name} | {1e3 * taken:.2f} | {speed and format(speed, '.0f')} |")


def main() -> None:
    """Prints one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--convolutions", action="store_true", help="of one layer alone")
    parser.add_argument("--network", default="nips")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--batch", type=int, default=32)
    options = vars(parser.parse_args())
    table = print_convolutions if options.pop("convolutions") else print_variants
    table(Config(**options))


if __name__ == "__main__":
    main()
