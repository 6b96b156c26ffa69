"""The fused Adam takes Keras' own steps, alone, clipped, and under several replicas."""

from __future__ import annotations

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from facenet_lib.errors import FacenetError
from facenet_lib.optimizers import FusedAdam

GRADIENTS = np.random.default_rng(0).standard_normal((20, 3, 4)).astype(np.float32)


def path(optimizer: keras.optimizers.Optimizer, compiled: bool = True) -> list[np.ndarray]:
    """A variable, its averages and the step's number, as 20 gradients move them."""
    matrix, vector = keras.Variable(tf.ones((3, 4))), keras.Variable(tf.ones(4))
    optimizer.build([matrix, vector])

    def step(gradient: tf.Tensor) -> None:
        optimizer.apply([gradient, gradient[0]], [matrix, vector])

    step = tf.function(step) if compiled else step
    for gradient in GRADIENTS:
        step(tf.constant(gradient))
    return [matrix.numpy(), vector.numpy(), *(np.asarray(v) for v in optimizer.variables)]


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 0.1},
        {"learning_rate": 0.05, "epsilon": 0.1},
        {"learning_rate": 0.1, "beta_1": 0.5, "beta_2": 0.9, "global_clipnorm": 0.3},
    ],
)
def test_it_moves_as_keras_own(settings: dict, compiled: bool) -> None:
    ours = path(FusedAdam(**settings), compiled)
    kerass = path(keras.optimizers.Adam(**settings), compiled)
    assert abs(ours[0] - 1).max() > 0.05  # it moved at all
    for found, expected in zip(ours, kerass, strict=True):
        # 1 - 0.999 in float32 is 0.00100005, which both round in places of their own.
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_learning_rate_can_be_set_between_steps() -> None:
    optimizer, variable = FusedAdam(0.1), keras.Variable(1.0)
    optimizer.build([variable])
    optimizer.learning_rate = 0.0
    optimizer.apply([tf.constant(1.0)], [variable])
    assert float(variable) == 1.0
    optimizer.learning_rate = 0.5
    optimizer.apply([tf.constant(1.0)], [variable])
    assert float(variable) == pytest.approx(0.5, abs=1e-3)


def test_it_is_one_operation_a_variable() -> None:
    optimizer = FusedAdam()
    variables = [keras.Variable(tf.ones(5)) for _ in range(4)]
    optimizer.build(variables)

    @tf.function
    def step() -> None:
        optimizer.apply([tf.ones(5)] * 4, variables)

    kinds = [operation.type for operation in step.get_concrete_function().graph.get_operations()]
    assert kinds.count("ResourceApplyAdam") == 4
    assert not {"Sqrt", "Square", "RealDiv"} & set(kinds)


TWO_REPLICAS = """
import numpy as np
import tensorflow as tf
halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
import keras
from facenet_lib.optimizers import FusedAdam

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    variable, optimizer = keras.Variable(tf.ones(3)), FusedAdam(0.1)
    optimizer.build([variable])

def apply():
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    optimizer.apply([tf.cast(replica + 1, tf.float32) * tf.ones(3)], [variable])

tf.function(lambda: strategy.run(apply))()
momentums = optimizer.variables[2].value.values
assert len(momentums) == 2
for momentum in momentums:
    np.testing.assert_allclose(momentum.numpy(), 0.1 * (1 + 2), rtol=1e-6)
for part in variable.value.values:
    np.testing.assert_allclose(part.numpy(), 0.9, rtol=1e-5)
"""


def test_replicas_add_up_their_gradients() -> None:
    """In a process of its own, since devices can be divided only before TensorFlow begins."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", TWO_REPLICAS], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_amsgrad_is_refused() -> None:
    with pytest.raises(FacenetError, match="no amsgrad"):
        FusedAdam(amsgrad=True).build([keras.Variable(tf.ones(1))])
