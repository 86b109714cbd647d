"""The networks: their sizes as in the papers, and what each option does."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from learning.layers import (
    CosineEmbedding,
    Duel,
    Fork,
    NoisyDense,
    SpectralConv2D,
    Whitening,
    WholeLayerNormalization,
)
from learning.networks import NETWORKS, NetworkOptions, computing_in

SMALL = (44, 44, 4)


def make(name: str, **options: Any) -> keras.Model:
    return NETWORKS[name](SMALL, 3, 0, NetworkOptions(**options))


def states(count: int = 2) -> np.ndarray:
    return np.random.default_rng(9).integers(256, size=(count, *SMALL), dtype=np.uint8)


def inputs(network: keras.Model, count: int = 2, noise: float = 0.0) -> Any:
    """Returns states, with a fixed noise and fractions where the network takes them."""
    rng = np.random.default_rng(1)
    given = {"states": states(count)}
    for each in network.inputs:
        if each.name == "fractions":
            given[each.name] = np.tile(np.float32([0.1, 0.5, 0.9]), (count, 1))
        elif each.name != "states":
            values = rng.normal(size=(count, each.shape[-1])).astype(np.float32)
            given[each.name] = noise * values
    return given if len(given) > 1 else given["states"]


@pytest.mark.parametrize(
    ("name", "parameters"), [("nature", 1_686_180), ("nips", 677_172), ("impala", 1_090_260)]
)
def test_networks_have_the_papers_parameters(name: str, parameters: int) -> None:
    network = NETWORKS[name]((84, 84, 4), 4, 0)
    assert network.count_params() == parameters
    assert network.output_shape == (None, 4)


def test_tables_of_the_docstrings_add_up_to_their_last_row() -> None:
    for network in NETWORKS.values():
        rows = [
            [cell.strip() for cell in line.strip(" |").split("|")]
            for line in network.__doc__.splitlines()
            if line.strip().startswith("| ") and "---" not in line
        ]
        counts = [int(row[-1].replace(",", "")) for row in rows[1:]]
        assert sum(counts[:-1]) == counts[-1]


def test_layers_do_not_start_with_the_same_numbers() -> None:
    for options in ({}, {"dueling": True}, {"noisy": True}):
        network = make("nature", **options)
        kernels = [each for each in network.get_weights() if each.ndim > 1 and each.std() > 0]
        directions = [each.ravel()[:12] / np.abs(each.ravel()[:12]).max() for each in kernels]
        for i, one in enumerate(directions):
            for other in directions[i + 1 :]:
                count = min(len(one), len(other))
                assert not np.allclose(one[:count], other[:count])


@pytest.mark.parametrize("name", NETWORKS)
def test_same_seed_same_weights(name: str) -> None:
    first, second, other = (
        NETWORKS[name](SMALL, 3, seed, NetworkOptions(noisy=True)).get_weights()
        for seed in (5, 5, 6)
    )
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize(
    "normalized",
    [{"normalization": "layer"}, {"normalization": "whole", "biases": False}],
    ids=["layer", "whole"],
)
def test_outputs_are_one_for_each_action_or_as_many_as_asked(
    name: str, dueling: bool, noisy: bool, normalized: dict[str, Any]
) -> None:
    options = {"dueling": dueling, "noisy": noisy, **normalized}
    for more, shape in (
        ({}, (2, 3)),
        ({"outputs": 7}, (2, 3, 7)),
        ({"fractions": True}, (2, 3, 3)),
    ):
        network = make(name, **options, **more)
        assert network(inputs(network)).shape == shape


def test_width_multiplies_the_filters_of_each_convolution() -> None:
    plain, wide = make("impala"), make("impala", width=3)
    filters = [
        [each.filters for each in network.layers if isinstance(each, keras.layers.Conv2D)]
        for network in (plain, wide)
    ]
    assert filters[1] == [3 * each for each in filters[0]]
    assert len(filters[0]) == 15


def test_unscaled_pixels_are_255_times_as_large() -> None:
    scaled, unscaled = make("nips"), make("nips", input_scaling=False)
    kernel, *rest = scaled.get_weights()
    unscaled.set_weights([kernel / 255, *rest])
    np.testing.assert_allclose(unscaled(states()), scaled(states()), rtol=1e-4, atol=1e-6)


def test_whitened_pixels_are_deviations_from_their_mean() -> None:
    layer = Whitening()
    states = np.array([0, 100, 255], np.uint8).reshape(3, 1, 1, 1).repeat(4, axis=3)
    np.testing.assert_allclose(layer(states)[:, 0, 0, 0], [0, 100 / 255, 1], rtol=1e-6)
    assert not layer.has_statistics
    # A deviation of 32 and the 8 that are added; 255 would be 5.125 of these, and 5 are the most.
    layer.set_statistics(np.full((1, 1), 50.0), np.full((1, 1), 32.0))
    np.testing.assert_allclose(layer(states)[:, 0, 0, 0], [-1.25, 1.25, 5], rtol=1e-6)
    assert layer.has_statistics


def test_each_pixel_has_its_own_mean_which_bfloat16_does_not_round() -> None:
    means = np.array([[200.0, 200.5]])
    layer = Whitening(dtype="mixed_bfloat16")
    layer(np.zeros((1, 1, 2, 4), np.uint8))
    layer.set_statistics(means, np.zeros((1, 2)))
    whitened = layer(np.full((1, 1, 2, 4), 202, np.uint8))
    assert keras.backend.standardize_dtype(whitened.dtype) == "bfloat16"
    np.testing.assert_array_equal(np.asarray(whitened)[0, 0, :, 3], [2 / 8, 1.5 / 8])


def test_a_network_that_whitens_has_the_statistics_among_its_weights() -> None:
    network, other = make("nips", whitening=True), make("nips", whitening=True)
    rng = np.random.default_rng(3)
    network.get_layer("whitening").set_statistics(*rng.uniform(0, 99, (2, *SMALL[:2])))
    assert not np.allclose(network(states()), other(states()))
    other.set_weights(network.get_weights())
    np.testing.assert_array_equal(network(states()), other(states()))
    trained = [weight.shape for weight in network.trainable_weights]
    assert trained == [weight.shape for weight in make("nips").trainable_weights]


def test_linear_hidden_layer_lets_negative_values_through() -> None:
    relu, linear = make("nips"), make("nips", hidden_activation="linear")
    weights = relu.get_weights()
    linear.set_weights(weights)
    assert not np.allclose(relu(states()), linear(states()))
    features = keras.Model(linear.input, linear.get_layer("hidden").output)(states())
    expected = features @ weights[-2] + weights[-1]
    np.testing.assert_allclose(linear(states()), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("normalization", "kind"),
    [("layer", keras.layers.LayerNormalization), ("whole", WholeLayerNormalization)],
)
def test_normalization_follows_each_hidden_layer(
    name: str, normalization: str, kind: type[keras.Layer]
) -> None:
    network = make(name, normalization=normalization)
    kinds = [type(each) for each in network.layers]
    assert kinds.count(kind) == {"nips": 3, "nature": 4, "impala": 13}[name]


@pytest.mark.parametrize("name", ["nips", "nature"])
@pytest.mark.parametrize("more", [{}, {"dueling": True}, {"noisy": True}], ids=str)
def test_whole_layers_are_normalised_whatever_the_size_of_the_first_kernel(
    name: str, more: dict[str, Any]
) -> None:
    network = make(name, normalization="whole", biases=False, **more)
    before = network(inputs(network))
    kernel, *rest = network.get_weights()
    network.set_weights([30 * kernel, *rest])
    # Not to the last digit, as something is added to the variance.
    np.testing.assert_allclose(network(inputs(network)), before, rtol=1e-4, atol=1e-5)
    plain = make(name, biases=False)
    assert not np.allclose(plain(states()), make(name, normalization="whole")(states()))


def test_dividing_by_the_deviation_in_the_last_hidden_layer_does_so_for_those_before() -> None:
    network = make("nips", normalization="whole", biases=False)
    divided = [
        layer.divided for layer in network.layers if isinstance(layer, WholeLayerNormalization)
    ]
    assert divided == [False, False, True]
    before = network(states())
    for layer in network.layers:
        if isinstance(layer, WholeLayerNormalization):
            layer.divided = True
    np.testing.assert_allclose(network(states()), before, rtol=1e-4, atol=1e-5)


def test_without_biases_only_the_values_have_them() -> None:
    for name in NETWORKS:
        for more in ({}, {"noisy": True}, {"normalization": "spectral"}):
            with_biases, without = make(name, **more), make(name, biases=False, **more)
            vectors = [
                [each.shape for each in network.trainable_weights if len(each.shape) == 1]
                for network in (with_biases, without)
            ]
            assert vectors[1] == vectors[0][-len(vectors[1]) :] != vectors[0]
            assert all(shape == (3,) for shape in vectors[1])


@pytest.mark.parametrize(
    ("initializer", "square"),
    [
        ("glorot", lambda i, o: 6 / (i + o)),
        ("lecun", lambda i, o: 3 / i),
        ("he", lambda i, o: 6 / i),
    ],
)
def test_first_weights_are_uniform_up_to_the_bound_of_the_paper(
    initializer: str, square: Any
) -> None:
    network = make("nature", initializer=initializer, value_scale=0.1)
    kernels = [each for each in network.get_weights() if each.ndim > 1]
    for kernel, scale in zip(kernels, [1, 1, 1, 1, 0.1], strict=True):
        places = int(np.prod(kernel.shape[:-2]))
        bound = scale * np.sqrt(square(places * kernel.shape[-2], places * kernel.shape[-1]))
        assert 0.97 * bound < np.abs(kernel).max() <= bound
        assert np.abs(kernel).mean() == pytest.approx(bound / 2, rel=0.1)


def test_spectral_normalization_is_of_the_residual_blocks_in_the_impala_network() -> None:
    for name, count in {"nips": 2, "nature": 3, "impala": 12}.items():
        network = make(name, normalization="spectral")
        assert sum(isinstance(each, SpectralConv2D) for each in network.layers) == count


# ---------------------------------------------------------------- layers


def test_whole_layers_get_mean_0_and_deviation_1_by_hand() -> None:
    # Means 3 and 1; squares of the differences 4, 1, 0, 9 and 1, 1, 1, 1: variances 3.5 and 1.
    x = np.array([[1, 2, 3, 6], [0, 2, 0, 2]], np.float32)
    root = np.sqrt(3.5)
    expected = np.array([[-2 / root, -1 / root, 0, 3 / root], [-1, 1, -1, 1]])
    for shape in ((2, 2, 1, 2), (2, 4), (1, 2, 4)):
        layer = WholeLayerNormalization()
        np.testing.assert_allclose(
            layer(x.reshape(shape)), expected.reshape(shape), rtol=1e-4, atol=1e-6
        )
    centred = WholeLayerNormalization(divided=False)(x.reshape(2, 2, 1, 2))
    np.testing.assert_array_equal(
        centred, np.reshape([[-2, -1, 0, 3], [-1, 1, -1, 1]], (2, 2, 1, 2))
    )


def test_a_layer_that_gives_the_same_everywhere_is_normalised_to_0() -> None:
    x = np.full((2, 3, 3, 2), 0.3, np.float32)
    np.testing.assert_allclose(WholeLayerNormalization()(x), 0, atol=1e-6)


def noisy_layer() -> NoisyDense:
    layer = NoisyDense(1, seed=0)
    layer.build([(None, 2), (None, 3)])
    # Weights 1 and 2, bias 3; their noise 0.1 and 0.2, and 0.3.
    layer.set_weights(
        [np.array(each, np.float32) for each in ([[1], [2]], [3], [[0.1], [0.2]], [0.3])]
    )
    return layer


def test_noise_is_factorised_by_inputs_and_outputs() -> None:
    # f(4) = 2, f(-9) = -3, f(0.25) = 0.5: weights 1 + 0.1·2·0.5 and 2 + 0.2·(-3)·0.5, bias 3.15.
    x, noise = np.float32([[1, 10]]), np.float32([[4, -9, 0.25]])
    np.testing.assert_allclose(noisy_layer()([x, noise]), [[1.1 + 17 + 3.15]], rtol=1e-6)
    # The same for each of several rows of one state.
    rows = noisy_layer()([np.stack([x, 2 * x], axis=1), noise])
    np.testing.assert_allclose(rows, [[[21.25], [2.2 + 34 + 3.15]]], rtol=1e-6)


def test_without_noise_a_noisy_layer_is_a_dense_one() -> None:
    x = np.float32([[1, 10], [0, 1]])
    np.testing.assert_allclose(noisy_layer()([x, np.zeros((2, 3), np.float32)]), [[24], [5]])


def test_noise_starts_as_in_the_paper() -> None:
    layer = NoisyDense(50, seed=0)
    layer.build([(None, 100), (None, 150)])
    kernel, bias, *noises = layer.get_weights()
    assert np.abs(kernel).max() <= 0.1 < 1.02 * np.abs(kernel).max()
    assert np.abs(bias).max() <= 0.1
    for noise in noises:
        np.testing.assert_allclose(noise, 0.5 / 10)


def test_noise_changes_the_values_and_each_state_has_its_own() -> None:
    network = make("nips", noisy=True)
    quiet, loud = (network(inputs(network, noise=size)) for size in (0.0, 1.0))
    assert not np.allclose(quiet, loud)
    given = inputs(network, noise=1.0)
    given["states"][1] = given["states"][0]
    first, second = network(given)
    assert not np.allclose(first, second)


def spectral_layer(kernel: np.ndarray) -> SpectralConv2D:
    layer = SpectralConv2D(kernel.shape[-1], kernel.shape[0])
    layer.build((None, 8, 8, kernel.shape[2]))
    layer.kernel.assign(kernel)
    return layer


def test_spectral_layer_has_a_largest_singular_value_of_one() -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 2, 5)).astype(np.float32)
    x = rng.normal(size=(4, 8, 8, 2)).astype(np.float32)
    largest = np.linalg.svd(kernel.reshape(-1, 5), compute_uv=False)[0]
    layer, plain = spectral_layer(kernel), spectral_layer(kernel)
    for _ in range(100):
        layer(x, training=True)
    expected = keras.ops.conv(x, kernel / largest)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-3, atol=1e-4)
    # Nothing but training moves the singular vector.
    before = plain.singular_vector.numpy().copy()
    plain(x)
    np.testing.assert_array_equal(plain.singular_vector, before)


def test_spectral_layer_does_not_see_the_size_of_its_kernel() -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 2, 5)).astype(np.float32)
    x = rng.normal(size=(4, 8, 8, 2)).astype(np.float32)
    np.testing.assert_allclose(
        spectral_layer(kernel)(x), spectral_layer(7 * kernel)(x), rtol=1e-3, atol=1e-5
    )


def test_duel_adds_the_value_to_advantages_around_zero() -> None:
    value, advantages = np.float32([[10]]), np.float32([[1, 2, 6]])
    np.testing.assert_allclose(Duel()([value, advantages]), [[8, 9, 13]])
    np.testing.assert_allclose(
        Duel()([value[..., None], advantages[..., None]]), [[[8], [9], [13]]]
    )


def test_fork_passes_values_on_and_shrinks_gradients() -> None:
    x = tf.Variable([3.0, -5.0])
    with tf.GradientTape() as tape:
        y = Fork()(x)
        total = tf.reduce_sum(y)
    np.testing.assert_allclose(y, [3, -5], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(total, x), [0.5**0.5] * 2, rtol=1e-6)


def test_embedding_is_of_cosines() -> None:
    embedded = CosineEmbedding()(np.float32([[0, 0.5, 1]])).numpy()
    assert embedded.shape == (1, 3, 64)
    np.testing.assert_allclose(embedded[0, 0], 1)
    np.testing.assert_allclose(embedded[0, 1, :4], [1, 0, -1, 0], atol=1e-5)
    np.testing.assert_allclose(embedded[0, 2, :3], [1, -1, 1], atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_compute_in_the_precision_asked_for_and_values_do_not(name: str) -> None:
    for options in ({}, {"noisy": True, "dueling": True, "fractions": True}):
        with computing_in("bfloat16"):
            network = make(name, **options)
        assert keras.config.dtype_policy().name == "float32"
        assert {weight.dtype for weight in network.weights} == {"float32"}
        kinds = {layer.name: layer.compute_dtype for layer in network.layers}
        assert {kind for layer, kind in kinds.items() if "conv2d" in layer} == {"bfloat16"}
        assert kinds["hidden"] == "bfloat16"
        assert kinds["values"] == "float32"
        assert network.outputs[0].dtype == "float32"
