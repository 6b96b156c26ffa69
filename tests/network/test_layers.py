"""The layers against Keras' own, in one process and in several replicas."""

from __future__ import annotations

from pathlib import Path

import fresh_processes
import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_networks import tiny

from facenet_lib.network.layers import FusedBatchNormalization


def batch_norms(
    shape, **arguments
) -> tuple[FusedBatchNormalization, keras.layers.BatchNormalization]:
    """Ours and Keras' own, with equal weights that are not the first ones."""
    layers = (
        FusedBatchNormalization(**arguments),
        keras.layers.BatchNormalization(**arguments),
    )
    for layer in layers:
        layer.build(shape)
        generator = np.random.default_rng(0)
        layer.set_weights([generator.uniform(0.5, 2.0, w.shape) for w in layer.weights])
    return layers


def normalized(layer, inputs: np.ndarray, training: bool) -> list[np.ndarray]:
    """Outputs, gradients to inputs and trainable weights, and the moving statistics after."""
    inputs = tf.constant(inputs, tf.float32)
    weights = [variable.value for variable in layer.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=training)
        loss = tf.reduce_sum(outputs**2 * tf.random.stateless_uniform(outputs.shape, (1, 2)))
    gradients = tape.gradient(loss, [inputs, *weights])
    return [a.numpy() for a in (outputs, *gradients, layer.moving_mean, layer.moving_variance)]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (8, 6), (1, 2, 1, 6), (1, 6)])
def test_fused_batch_norm_is_keras_own(
    shape: tuple[int, ...], scale: bool, trainable: bool, training: bool
) -> None:
    ours, kerass = batch_norms(shape, scale=scale, momentum=0.9, epsilon=1e-3)
    ours.trainable = kerass.trainable = trainable
    inputs = np.random.default_rng(1).normal(2.0, 3.0, shape)
    before = kerass.moving_mean.numpy()
    found, expected = (normalized(layer, inputs, training) for layer in (ours, kerass))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)
    assert np.array_equal(ours.moving_mean, before) == (not (training and trainable))


def test_fused_batch_norm_takes_bfloat16_and_keeps_float32_statistics() -> None:
    ours, kerass = batch_norms((4, 5, 5, 6), scale=False, momentum=0.9, epsilon=1e-3)
    inputs = np.random.default_rng(4).normal(2.0, 3.0, (4, 5, 5, 6))
    rounded = tf.cast(inputs, tf.bfloat16)
    half = FusedBatchNormalization(scale=False, momentum=0.9, epsilon=1e-3, dtype="mixed_bfloat16")
    half.build((4, 5, 5, 6))
    half.set_weights(ours.get_weights())
    outputs = half(rounded, training=True)
    assert outputs.dtype == tf.bfloat16
    exact = kerass(tf.cast(rounded, tf.float32), training=True)
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), exact, rtol=0.01, atol=0.01)
    for found, expected in zip(half.weights, kerass.weights, strict=True):
        assert found.dtype == "float32"
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-4)


@pytest.mark.slow
def test_fused_batch_norm_survives_being_saved(tmp_path) -> None:
    network = tiny()
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    images = tf.random.stateless_normal((2, 75, 75, 3), seed=(0, 7))
    np.testing.assert_array_equal(loaded(images), network(images))


# Several replicas


REPLICAS = """
import keras, numpy as np, sys, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from facenet_lib.network.layers import FusedBatchNormalization, GlobalBatchDropout

inputs, weights = (np.load(path) for path in sys.argv[1:3])
scale, dtype = sys.argv[3] == "True", sys.argv[4]

def layers():
    keras.utils.set_random_seed(1)
    pair = (
        FusedBatchNormalization(momentum=0.9, scale=scale, dtype=dtype),
        GlobalBatchDropout(0.4, dtype=dtype),
    )
    for layer in pair:
        layer.build((None, *inputs.shape[1:]))
    return pair

def computed(normalize, drop, x, w):
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = normalize(x, training=True)
        kept = drop(outputs, training=True)
        loss = tf.reduce_sum(tf.cast(kept, tf.float32) * w)
    variables = [variable.value for variable in normalize.trainable_variables]
    by_inputs, *by_variables = tape.gradient(loss, [x, *variables])
    return [tf.cast(v, tf.float32) for v in (outputs, kept, by_inputs)], by_variables

def statistics(layer):
    return [np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)]

one = layers()
rows, sums = computed(*one, tf.cast(inputs, dtype.removeprefix("mixed_")), tf.constant(weights))
expected = [v.numpy() for v in (*rows, *sums)] + statistics(one[0])

strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
with strategy.scope():
    two = layers()
parts = strategy.experimental_distribute_values_from_function(
    lambda context: tuple(
        tf.constant(np.split(array, 2)[context.replica_id_in_sync_group])
        for array in (inputs, weights)
    )
)

@tf.function
def run(parts):
    cast = dtype.removeprefix("mixed_")
    return strategy.run(lambda xw: computed(*two, tf.cast(xw[0], cast), xw[1]), args=(parts,))

rows, sums = run(parts)
local = lambda value: [part.numpy() for part in strategy.experimental_local_results(value)]
found = [np.concatenate(local(v)) for v in rows] + [sum(local(v)) for v in sums]
found += statistics(two[0])
for number, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
    tolerance = 1e-5 if dtype == "float32" else 2e-2
    size = np.abs(theirs).max()
    np.testing.assert_allclose(ours / size, theirs / size, atol=tolerance, err_msg=str(number))
assert 0.2 < (found[1] == 0).mean() < 0.6
assert not np.array_equal(found[1][: len(inputs) // 2] == 0, found[1][len(inputs) // 2 :] == 0)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "scale", "dtype"),
    [
        ((8, 3, 3, 4), False, "float32"),
        ((8, 3, 3, 4), True, "mixed_bfloat16"),
        ((8, 50), True, "float32"),
    ],
)
def test_replicas_normalize_and_drop_as_one_process_would(
    tmp_path: Path, shape: tuple[int, ...], scale: bool, dtype: str
) -> None:
    """Outputs, gradients and moving statistics; replicas with quite different images."""
    rng = np.random.default_rng(0)
    inputs = 5 + 3 * rng.standard_normal(shape)
    inputs[4:] += 4
    for name, array in (("inputs", inputs), ("weights", rng.standard_normal(shape))):
        np.save(tmp_path / f"{name}.npy", array.astype(np.float32))
    files = [str(tmp_path / f"{name}.npy") for name in ("inputs", "weights")]
    fresh_processes.run(REPLICAS, *files, scale, dtype, log=tmp_path / "log")
