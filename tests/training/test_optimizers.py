"""The optimizers take TensorFlow 1's steps: whole, by rows, clipped, and on several replicas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import fresh_processes
import keras
import numpy as np
import pytest
import tensorflow as tf

from facenet_lib.errors import FacenetError
from facenet_lib.runs.config import OPTIMIZERS
from facenet_lib.training.optimizers import FusedOptimizer, make_optimizer

GRADIENTS = np.random.default_rng(0).standard_normal((20, 3, 4)).astype(np.float32)
# A rate that is set between steps tells sums of gradients from sums of steps.
RATES = [0.1] * 8 + [0.02] * 6 + [0.3] * 6
ADAM_EPSILON = 0.01


class Naive:
    """One number under one optimizer, in Python's own arithmetic."""

    def __init__(self, name: str, value: float) -> None:
        self.name, self.value = name, value
        self.first = {"ADAGRAD": 0.1, "RMSPROP": 1.0}.get(name, 0.0)
        self.second = 0.0

    def step(self, g: float, rate: float, number: int) -> None:
        if self.name == "ADAGRAD":
            self.first += g * g
            self.value -= rate * g / self.first**0.5
        elif self.name == "ADADELTA":
            self.first = 0.9 * self.first + 0.1 * g * g
            step = (self.second + 1e-6) ** 0.5 / (self.first + 1e-6) ** 0.5 * g
            self.second = 0.9 * self.second + 0.1 * step * step
            self.value -= rate * step
        elif self.name == "ADAM":
            self.first = 0.9 * self.first + 0.1 * g
            self.second = 0.999 * self.second + 0.001 * g * g
            corrected = rate * (1 - 0.999**number) ** 0.5 / (1 - 0.9**number)
            self.value -= corrected * self.first / (self.second**0.5 + ADAM_EPSILON)
        elif self.name == "RMSPROP":
            self.first = 0.9 * self.first + 0.1 * g * g
            self.second = 0.9 * self.second + rate * g / (self.first + 1.0) ** 0.5
            self.value -= self.second
        elif self.name == "MOM":
            self.first = 0.9 * self.first + g
            self.value -= rate * (g + 0.9 * self.first)
        else:
            raise AssertionError(self.name)


def naive_path(
    name: str, start: np.ndarray, steps: Sequence[dict[tuple[int, ...], float]]
) -> np.ndarray:
    """Values after steps, each of which has gradients for some of the places."""
    numbers = {place: Naive(name, value) for place, value in np.ndenumerate(start)}
    for number, (gradients, rate) in enumerate(zip(steps, RATES, strict=True), start=1):
        for place, gradient in gradients.items():
            numbers[place].step(gradient, rate, number)
    return np.array([number.value for number in numbers.values()]).reshape(start.shape)


def tensorflow_1(name: str, rate: Callable[[], float]) -> tf.compat.v1.train.Optimizer:
    """As facenet.train of the reference makes them."""
    train = tf.compat.v1.train
    return {
        "ADAGRAD": lambda: train.AdagradOptimizer(rate),
        "ADADELTA": lambda: train.AdadeltaOptimizer(rate, rho=0.9, epsilon=1e-6),
        "ADAM": lambda: train.AdamOptimizer(rate, beta1=0.9, beta2=0.999, epsilon=ADAM_EPSILON),
        "RMSPROP": lambda: train.RMSPropOptimizer(rate, decay=0.9, momentum=0.9, epsilon=1.0),
        "MOM": lambda: train.MomentumOptimizer(rate, 0.9, use_nesterov=True),
    }[name]()


def tensorflow_1_path(name: str, start: np.ndarray, gradients: Sequence[object]) -> np.ndarray:
    variable, rate = tf.Variable(start, dtype=tf.float32), tf.Variable(0.0)
    optimizer = tensorflow_1(name, rate.read_value)
    for gradient, current in zip(gradients, RATES, strict=True):
        rate.assign(current)
        optimizer.apply_gradients([(gradient, variable)])
    return variable.numpy()


def our_path(
    name: str,
    start: np.ndarray,
    gradients: Sequence[object],
    compiled: bool = True,
    clip: float | None = None,
) -> np.ndarray:
    variable = keras.Variable(start, dtype="float32")
    optimizer = make_optimizer(name, 1.0, ADAM_EPSILON, clip)
    optimizer.build([variable])

    def step(gradient: object) -> None:
        optimizer.apply([gradient], [variable])

    step = tf.function(step, reduce_retracing=True) if compiled else step
    for gradient, rate in zip(gradients, RATES, strict=True):
        optimizer.learning_rate = rate
        step(gradient)
    return variable.numpy()


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_moves_as_its_definition_and_as_tensorflow_1(name: str, compiled: bool) -> None:
    start = np.ones((3, 4))
    dense = [tf.constant(gradient) for gradient in GRADIENTS]
    ours = our_path(name, start, dense, compiled)
    expected = naive_path(name, start, [dict(np.ndenumerate(g.astype(float))) for g in GRADIENTS])
    assert abs(ours - 1).max() > 1e-3  # ADADELTA's steps are small at first
    np.testing.assert_allclose(ours - start, expected - start, rtol=1e-4, atol=1e-5)
    theirs = tensorflow_1_path(name, start, dense)
    np.testing.assert_allclose(ours - start, theirs - start, rtol=1e-4, atol=1e-5)


ROWS = 7


def some_rows(seed: int, width: tuple[int, ...] = (2,)) -> list[tf.IndexedSlices]:
    """Twenty gradients of some rows of seven, some of them named twice or thrice."""
    generator = np.random.default_rng(seed)
    gradients = []
    for _ in RATES:
        indices = generator.integers(0, ROWS - 2, generator.integers(1, 6))
        values = generator.standard_normal((len(indices), *width)).astype(np.float32)
        gradients.append(
            tf.IndexedSlices(tf.constant(values), tf.constant(indices), tf.constant([ROWS, *width]))
        )
    assert any(len(set(g.indices.numpy())) < len(g.indices) for g in gradients)
    return gradients


def summed(gradient: tf.IndexedSlices) -> dict[tuple[int, ...], float]:
    """Place to gradient, in the rows that the gradient has."""
    places: dict[tuple[int, ...], float] = {}
    for index, row in zip(gradient.indices.numpy(), gradient.values.numpy(), strict=True):
        for place, value in np.ndenumerate(row):
            key = (int(index), *place)
            places[key] = places.get(key, 0.0) + float(value)
    return places


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("width", [(2,), ()], ids=["matrix", "vector"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_of_some_rows_it_moves_these_alone(
    name: str, width: tuple[int, ...], compiled: bool
) -> None:
    start = np.linspace(-1, 1, ROWS * 2).reshape(ROWS, 2)[..., : len(width) * 2 or 1]
    start = start.reshape(ROWS, *width)
    gradients = some_rows(1, width)
    ours = our_path(name, start, gradients, compiled)
    expected = naive_path(name, start, [summed(gradient) for gradient in gradients])
    np.testing.assert_allclose(ours - start, expected - start, rtol=1e-4, atol=1e-5)
    if name != "ADAM":  # TensorFlow 1's lets the momentum of all rows decay and move them
        theirs = tensorflow_1_path(name, start, gradients)
        np.testing.assert_allclose(ours - start, theirs - start, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rows_that_do_not_come_up_keep_every_bit(name: str) -> None:
    generator = np.random.default_rng(2)
    variable = keras.Variable(generator.standard_normal((5, 3)), dtype="float32")
    optimizer = make_optimizer(name, 0.1, global_clipnorm=0.5)
    optimizer.build([variable])
    # Slots that a decay would be seen in.
    optimizer.apply([tf.constant(generator.standard_normal((5, 3)), tf.float32)], [variable])
    of_rows = [variable, *(slot for slot in optimizer.variables if slot.shape == (5, 3))]
    before = [each.numpy() for each in of_rows]
    rows = tf.constant(generator.standard_normal((3, 3)), tf.float32)
    optimizer.apply([tf.IndexedSlices(rows, [3, 1, 3], [5, 3])], [variable])
    assert len(before) == {"ADAGRAD": 2, "MOM": 2}.get(name, 3)
    for old, new in zip(before, of_rows, strict=True):
        changed = (old != new.numpy()).any(axis=1)
        np.testing.assert_array_equal(changed, [False, True, False, True, False])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_nothing_of_the_matrix_size_is_computed_for_some_rows(name: str) -> None:
    variable, small = keras.Variable(tf.ones((1013, 2))), keras.Variable(tf.ones(3))
    optimizer = make_optimizer(name, 0.1, global_clipnorm=1.0)
    optimizer.build([variable, small])

    @tf.function
    def step() -> None:
        rows = tf.IndexedSlices(tf.ones((4, 2)), tf.constant([9, 3, 9, 0]), tf.constant([1013, 2]))
        optimizer.apply([rows, tf.ones(3)], [variable, small])

    step()
    operations = step.get_concrete_function().graph.get_operations()
    tensors = [tensor for operation in operations for tensor in operation.outputs]
    assert not [t for t in tensors if t.shape.rank and 1013 in t.shape.as_list()]


def naive_clip(gradients: list[dict], largest: float) -> list[dict]:
    norm = sum(value**2 for gradient in gradients for value in gradient.values()) ** 0.5
    factor = min(1.0, largest / norm)
    return [{place: value * factor for place, value in g.items()} for g in gradients]


def test_the_global_norm_counts_a_repeated_row_with_its_sum() -> None:
    """Numbers to check by eye: rows 3 and -3 cancel out, and (0, 4) with 3 has the norm 5."""
    matrix, vector = keras.Variable(tf.zeros((4, 2))), keras.Variable(tf.zeros(1))
    optimizer = make_optimizer("MOM", 1.0, global_clipnorm=0.5)
    optimizer.build([matrix, vector])
    rows = tf.IndexedSlices(tf.constant([[3.0, 1.0], [-3.0, 3.0]]), [2, 2], [4, 2])
    optimizer.apply([rows, tf.constant([3.0])], [matrix, vector])
    np.testing.assert_allclose(matrix[2], [0.0, -1.9 * 0.4], rtol=1e-6)
    np.testing.assert_allclose(vector, [-1.9 * 0.3], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_clipped_gradients_of_rows_move_as_their_definition(name: str, dtype: str) -> None:
    start = np.zeros((ROWS, 2))
    gradients = [
        tf.IndexedSlices(tf.cast(g.values, dtype), g.indices, g.dense_shape) for g in some_rows(3)
    ]
    steps = [summed(tf.IndexedSlices(tf.cast(g.values, tf.float32), g.indices)) for g in gradients]
    largest = 1.5
    norms = [sum(value**2 for value in step.values()) ** 0.5 for step in steps]
    assert min(norms) < largest < max(norms)
    expected = naive_path(name, start, [naive_clip([step], largest)[0] for step in steps])
    ours = our_path(name, start, gradients, clip=largest)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_bfloat16_gradients_move_float32_variables(name: str, clip: float | None) -> None:
    start, gradients = np.ones((3, 4)), [tf.cast(g, tf.bfloat16) for g in GRADIENTS]
    ours = our_path(name, start, gradients, clip=clip)
    same = our_path(name, start, [tf.cast(g, tf.float32) for g in gradients], clip=clip)
    np.testing.assert_array_equal(ours, same)
    assert ours.dtype == np.float32


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_that_are_not_finite_stay_so_when_clipped(name: str) -> None:
    """A run that diverges must be seen, not clipped into something that looks well."""
    variable = keras.Variable(tf.ones(2))
    optimizer = make_optimizer(name, 0.1, global_clipnorm=1.0)
    optimizer.apply([tf.constant([np.inf, 1.0])], [variable])
    assert np.isnan(variable.numpy()).all()


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    ("learning_rate", "settings", "clip"),
    [
        (0.1, {"epsilon": 1e-7}, None),
        (0.05, {"epsilon": 0.1}, None),
        (0.1, {"beta1": 0.5, "beta2": 0.9, "epsilon": 1e-7}, 0.3),
    ],
)
def test_adam_moves_as_keras_own_and_remembers_the_same(
    learning_rate: float, settings: dict[str, float], clip: float | None, compiled: bool
) -> None:
    def path(optimizer: keras.optimizers.Optimizer) -> list[np.ndarray]:
        matrix, vector = keras.Variable(tf.ones((3, 4))), keras.Variable(tf.ones(4))
        optimizer.build([matrix, vector])

        def step(gradient: tf.Tensor) -> None:
            optimizer.apply([gradient, gradient[0]], [matrix, vector])

        step = tf.function(step) if compiled else step
        for gradient in GRADIENTS:
            step(tf.constant(gradient))
        return [matrix.numpy(), vector.numpy(), *(np.asarray(v) for v in optimizer.variables)]

    ours = path(FusedOptimizer("ADAM", learning_rate, settings, clip))
    kerass = path(
        keras.optimizers.Adam(
            learning_rate,
            settings.get("beta1", 0.9),
            settings.get("beta2", 0.999),
            settings["epsilon"],
            global_clipnorm=clip,
        )
    )
    assert abs(ours[0] - 1).max() > 0.05  # it moved at all
    for found, expected in zip(ours, kerass, strict=True):
        # 1 - 0.999 in float32 is 0.00100005, which both round in places of their own.
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_learning_rate_can_be_set_between_compiled_steps(name: str) -> None:
    optimizer, variable = make_optimizer(name, 0.0), keras.Variable(1.0)
    optimizer.build([variable])
    step = tf.function(lambda: optimizer.apply([tf.constant(1.0)], [variable]))
    step()
    assert float(variable) == 1.0
    optimizer.learning_rate = 0.5
    step()
    assert float(variable) < 1.0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_another_optimizer_goes_on_from_its_variables(name: str) -> None:
    """What a checkpoint keeps is all there is."""

    def step(optimizer: keras.optimizers.Optimizer, variable: keras.Variable, seed: int) -> None:
        generator = np.random.default_rng(seed)
        rows = tf.constant(generator.standard_normal((2, 3)), tf.float32)
        optimizer.apply([tf.IndexedSlices(rows, [seed % 2, 2], [4, 3])], [variable])
        optimizer.apply([tf.constant(generator.standard_normal((4, 3)), tf.float32)], [variable])

    first, second = keras.Variable(tf.ones((4, 3))), keras.Variable(tf.zeros((4, 3)))
    run, resumed = make_optimizer(name, 0.1), make_optimizer(name, 0.7)
    run.build([first])
    resumed.build([second])
    for seed in range(3):
        step(run, first, seed)
    second.assign(first)
    for variable, saved in zip(resumed.variables, run.variables, strict=True):
        variable.assign(saved)
    step(run, first, 3)
    step(resumed, second, 3)
    np.testing.assert_array_equal(first, second)


OPERATIONS = {
    "ADAGRAD": "ResourceApplyAdagradV2",
    "ADADELTA": "ResourceApplyAdadelta",
    "ADAM": "ResourceApplyAdam",
    "RMSPROP": "ResourceApplyRMSProp",
    "MOM": "ResourceApplyMomentum",
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_is_one_operation_a_variable(name: str) -> None:
    optimizer = make_optimizer(name, 0.1)
    variables = [keras.Variable(tf.ones(5)) for _ in range(4)]
    optimizer.build(variables)

    @tf.function
    def step() -> None:
        optimizer.apply([tf.ones(5)] * 4, variables)

    kinds = [operation.type for operation in step.get_concrete_function().graph.get_operations()]
    assert kinds.count(OPERATIONS[name]) == 4
    assert kinds.count("AssignVariableOp") == 1  # the number of the step
    assert not {"Sqrt", "Square", "RealDiv"} & set(kinds)


TWO_REPLICAS = """
import keras
import numpy as np
import tensorflow as tf

halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
from facenet_lib.training.optimizers import make_optimizer
from facenet_lib.runs.config import OPTIMIZERS


def gradients(replica):
    '''Two rows of the first replica, three of the second; one of them is in both.'''
    rows = 2 + replica
    values = tf.cast(replica + 1, tf.float32) * tf.ones([rows, 2])
    indices = tf.range(4)[1 - replica:3]
    dense = tf.cast(replica + 1, tf.float32) * tf.ones(3)
    return dense, tf.IndexedSlices(values, indices, tf.constant([4, 2]))


def both(optimizer, variables):
    (a, rows_a), (b, rows_b) = gradients(tf.constant(0)), gradients(tf.constant(1))
    values = tf.concat([rows_a.values, rows_b.values], 0)
    indices = tf.concat([rows_a.indices, rows_b.indices], 0)
    optimizer.apply([a + b, tf.IndexedSlices(values, indices, [4, 2])], variables)


strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for name in OPTIMIZERS:
    with strategy.scope():
        variables = [keras.Variable(tf.ones(3)), keras.Variable(tf.ones((4, 2)))]
        optimizer = make_optimizer(name, 0.1)
        optimizer.build(variables)

    def apply():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        optimizer.apply(gradients(replica), variables)

    alone = [keras.Variable(tf.ones(3)), keras.Variable(tf.ones((4, 2)))]
    alone_optimizer = make_optimizer(name, 0.1)
    alone_optimizer.build(alone)
    step = tf.function(lambda: strategy.run(apply))
    for rate in (0.1, 0.3):
        optimizer.learning_rate = alone_optimizer.learning_rate = rate
        step()
        both(alone_optimizer, alone)
    pairs = [*zip(variables, alone), *zip(optimizer.variables, alone_optimizer.variables)]
    moved = abs(alone[1].numpy() - 1).min(axis=1)
    assert (moved[:3] > 1e-4).all() and moved[3] == 0, name
    for mirrored, single in pairs:
        assert len(mirrored.value.values) == 2
        for part in mirrored.value.values:
            np.testing.assert_allclose(part.numpy(), single.numpy(), rtol=1e-5, err_msg=name)
"""


@pytest.mark.slow
def test_replicas_add_up_their_gradients(tmp_path: Path) -> None:
    """In a process of its own, since devices can be divided only before TensorFlow begins."""
    fresh_processes.run(TWO_REPLICAS, log=tmp_path / "log")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_keras_can_write_it_down_and_make_it_again(name: str) -> None:
    optimizer = make_optimizer(name, 0.25, global_clipnorm=2.0)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()


@pytest.mark.parametrize("name", ["adam", "SGD", ""])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(FacenetError, match=rf"ADAGRAD, .*, MOM, found '{name}'"):
        make_optimizer(name, 0.1)


@pytest.mark.parametrize("setting", ["amsgrad", "centered", "momentum"])
def test_what_an_operation_does_not_know_is_refused(setting: str) -> None:
    with pytest.raises(FacenetError, match=f"ADAM has beta1, beta2, epsilon, found '{setting}'"):
        FusedOptimizer("ADAM", settings={setting: True})


# What a checkpoint of an older release calls them, in this order.
SLOTS = {
    "ADAGRAD": ["kernel_accumulator", "bias_accumulator"],
    "ADADELTA": [
        "kernel_accumulated_grad",
        "kernel_accumulated_delta_var",
        "bias_accumulated_grad",
        "bias_accumulated_delta_var",
    ],
    "ADAM": ["kernel_momentum", "kernel_velocity", "bias_momentum", "bias_velocity"],
    "RMSPROP": ["kernel_squares", "bias_squares", "kernel_steps", "bias_steps"],
    "MOM": ["kernel_momentum", "bias_momentum"],
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_its_variables_keep_the_names_and_the_order_of_older_checkpoints(name: str) -> None:
    optimizer = make_optimizer(name, 0.1)
    kernel, bias = (keras.Variable(tf.ones(2), name=name) for name in ("kernel", "bias"))
    optimizer.build([kernel, bias])
    found = [variable.name for variable in optimizer.variables]
    assert found == ["iteration", "learning_rate", *SLOTS[name]]


def test_a_variable_without_a_gradient_stays_as_it_is():
    one, other = keras.Variable(1.0), keras.Variable(1.0)
    optimizer = make_optimizer("ADAM", learning_rate=0.1, adam_epsilon=1e-7)
    optimizer.apply([tf.constant(1.0), None], [one, other])
    optimizer.apply([tf.constant(1.0), None])  # the variables are known from here on
    assert float(one) < 0.9
    assert float(other) == 1.0
    with pytest.raises(FacenetError, match="expected gradients, found none for any variable"):
        optimizer.apply([None, None])
