"""The terms of the loss against their definitions, written out with loops."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import fresh_processes
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from facenet_lib.center_loss import (
    MOST_CENTER_STEP,
    CenterLoss,
    LossFactors,
    describe_overshoot,
    labels_in_range,
    prelogits_norm,
    total_loss,
)
from facenet_lib.errors import FacenetError


def naive_center_loss(
    features: np.ndarray,
    labels: np.ndarray,
    centers: np.ndarray,
    alpha: float,
    divide_by_count: bool,
) -> tuple[float, np.ndarray]:
    """Loss and new centers, one image and one number at a time."""
    squares = []
    new_centers = centers.copy()
    for feature, label in zip(features, labels, strict=True):
        count = sum(1 for other in labels if other == label)
        for j in range(len(feature)):
            squares.append((feature[j] - centers[label, j]) ** 2)
            step = (1 - alpha) * (centers[label, j] - feature[j])
            new_centers[label, j] -= step / (1 + count) if divide_by_count else step
    return sum(squares) / len(squares), new_centers


batches = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 4), min_size=n, max_size=n),
        st.integers(0, 2**32 - 1),
        st.floats(0.0, 1.0),
        st.booleans(),
    )
)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(batches)
def test_loss_and_centers_are_those_of_the_definition(batch) -> None:
    """Over three batches, with classes that occur many times, once, and never."""
    labels, seed, alpha, divide_by_count = batch
    generator = np.random.default_rng(seed)
    center_loss = CenterLoss(5, 3, alpha, divide_by_count)
    centers = np.zeros((5, 3))
    for _ in range(3):
        features = generator.standard_normal((len(labels), 3))
        expected_loss, centers = naive_center_loss(
            features, labels, centers, alpha, divide_by_count
        )
        loss = center_loss(tf.constant(features, tf.float32), tf.constant(labels))
        scale = max(1.0, np.abs(centers).max() ** 2)  # undivided updates may grow
        assert float(loss) == pytest.approx(expected_loss, rel=1e-4, abs=1e-5 * scale)
        np.testing.assert_allclose(center_loss.centers, centers, rtol=1e-4, atol=1e-5 * scale)


def test_repeated_labels_make_one_step_each_from_where_the_center_was() -> None:
    """Numbers to check by eye: two images of class 1 at 2 and 4, half a step each."""
    center_loss = CenterLoss(3, 1, alpha=0.5)
    center_loss.centers.assign([[7.0], [1.0], [9.0]])
    loss = center_loss(tf.constant([[2.0], [4.0]]), tf.constant([1, 1]))
    assert float(loss) == (1 + 9) / 2
    np.testing.assert_allclose(center_loss.centers, [[7.0], [1 + 0.5 * (1 + 3)], [9.0]])


def test_the_papers_update_divides_by_one_plus_the_count() -> None:
    center_loss = CenterLoss(3, 1, alpha=0.5, divide_by_count=True)
    center_loss.centers.assign([[7.0], [1.0], [9.0]])
    center_loss(tf.constant([[2.0], [4.0]]), tf.constant([1, 1]))
    np.testing.assert_allclose(center_loss.centers, [[7.0], [1 + 0.5 * (1 + 3) / 3], [9.0]])


def test_centers_are_zero_at_first_and_not_trainable() -> None:
    center_loss = CenterLoss(4, 2)
    np.testing.assert_array_equal(center_loss.centers, np.zeros((4, 2)))
    assert center_loss.centers.dtype == tf.float32
    assert center_loss.trainable_variables == ()
    assert [v.name for v in center_loss.variables] == [center_loss.centers.name]


def test_the_gradient_reaches_the_features_alone() -> None:
    center_loss = CenterLoss(3, 2, alpha=0.9)
    start = tf.constant([[1.0, 2.0], [0.0, -1.0], [3.0, 3.0]])
    center_loss.centers.assign(start)
    features = tf.Variable([[2.0, 2.0], [4.0, 0.0], [1.0, 1.0]])
    labels = tf.constant([0, 0, 2])
    with tf.GradientTape() as tape:
        loss = center_loss(features, labels)
    by_features, by_centers = tape.gradient(loss, [features, center_loss.centers])
    assert by_centers is None
    # The mean's derivative, against the centers before the update.
    np.testing.assert_allclose(by_features, 2 * (features - tf.gather(start, labels)) / 6)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 60),
    st.floats(0.0, 0.99),
    st.booleans(),
)
def test_the_undivided_update_diverges_above_two_and_the_divided_never(
    images: int, alpha: float, divide_by_count: bool
) -> None:
    """A center's error is multiplied by 1 - k (1 - alpha) in every step with k images."""
    step = images * (1 - alpha)
    factor = 1 - (step / (1 + images) if divide_by_count else step)
    center_loss = CenterLoss(1, 2, alpha, divide_by_count)
    features, labels = tf.fill((images, 2), 3.0), tf.zeros(images, tf.int32)
    errors = [3.0]
    for _ in range(4):
        center_loss(features, labels)
        errors.append(float(np.abs(center_loss.centers - 3.0).max()))
    for before, after in pairwise(errors):
        assert after == pytest.approx(abs(factor) * before, rel=1e-3, abs=1e-4)
    if divide_by_count or step < 1.95:
        assert errors[-1] < errors[0]
    elif step > 2.05:
        assert errors[-1] > errors[0]


@settings(deadline=None, max_examples=60)
@given(batches)
def test_the_largest_step_is_how_far_a_center_moves_at_most(batch) -> None:
    """Measured: every image is at 1 and every center at 0, so that a center's step is its value."""
    labels, _, alpha, divide_by_count = batch
    center_loss = CenterLoss(5, 2, alpha, divide_by_count)
    step = center_loss.largest_step(tf.constant(labels))
    assert step.dtype == tf.float32 and step.shape == ()
    center_loss(tf.ones((len(labels), 2)), tf.constant(labels))
    assert float(step) == pytest.approx(float(np.max(center_loss.centers)), rel=1e-5, abs=1e-6)


def test_the_largest_step_of_no_images_is_none() -> None:
    for divide_by_count in (False, True):
        center_loss = CenterLoss(5, 2, 0.5, divide_by_count)
        assert float(center_loss.largest_step(tf.zeros(0, tf.int64))) == 0.0


@pytest.mark.parametrize("images", [39, 41])
def test_a_center_diverges_when_its_step_is_above_the_most(images: int) -> None:
    center_loss = CenterLoss(1, 2, alpha=0.95)
    features, labels = tf.fill((images, 2), 3.0), tf.zeros(images, tf.int32)
    for _ in range(50):
        center_loss(features, labels)
    further = np.abs(center_loss.centers - 3.0).max() > 3.0
    assert further == (float(center_loss.largest_step(labels)) > MOST_CENTER_STEP)


def test_what_is_told_of_an_overshoot_names_the_step_and_the_ways_out() -> None:
    told = describe_overshoot(2.25)
    for words in ("2.25 times", "beyond 2", "Divide", "alpha", "fewer images"):
        assert words in told


@pytest.mark.slow
@pytest.mark.parametrize("divide_by_count", [False, True])
def test_it_is_the_same_in_a_compiled_step_with_any_batch_size(divide_by_count: bool) -> None:
    eager, compiled = (CenterLoss(4, 2, 0.9, divide_by_count) for _ in range(2))
    signature = [tf.TensorSpec((None, 2)), tf.TensorSpec((None,), tf.int64)]
    step = tf.function(compiled, input_signature=signature)
    generator = np.random.default_rng(3)
    for size in (1, 5, 3):
        features = tf.constant(generator.standard_normal((size, 2)), tf.float32)
        labels = tf.constant(generator.integers(0, 4, size))
        assert float(step(features, labels)) == pytest.approx(float(eager(features, labels)))
        np.testing.assert_allclose(compiled.centers, eager.centers, rtol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("labels", [[0, 3], [-1, 0], [0, 2**20]])
def test_a_label_without_a_center_is_refused_and_moves_nothing(
    labels: list[int], compiled: bool
) -> None:
    center_loss = CenterLoss(3, 2)
    step = tf.function(center_loss) if compiled else center_loss
    with pytest.raises(tf.errors.InvalidArgumentError, match="below the number of classes, 3"):
        step(tf.ones((2, 2)), tf.constant(labels))
    np.testing.assert_array_equal(center_loss.centers, np.zeros((3, 2)))


def test_labels_come_back_when_all_are_in_range() -> None:
    labels = labels_in_range(tf.constant([[0, 255], [7, 299]], tf.int32), 300)
    assert labels.dtype == tf.int64
    np.testing.assert_array_equal(labels, [[0, 255], [7, 299]])
    for wrong in (-1, 300):
        with pytest.raises(tf.errors.InvalidArgumentError, match="number of classes, 300"):
            labels_in_range(tf.constant([0, wrong]), 300)


@pytest.mark.parametrize("divide_by_count", [False, True])
def test_nothing_of_the_number_of_classes_is_computed(divide_by_count: bool) -> None:
    center_loss = CenterLoss(1013, 3, 0.9, divide_by_count)

    @tf.function
    def step(features: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(features)
            loss = center_loss(features, labels)
        return tape.gradient(loss, features)

    operations = step.get_concrete_function(tf.ones((2, 3)), tf.constant([9, 9])).graph
    tensors = [t for operation in operations.get_operations() for t in operation.outputs]
    assert not [t for t in tensors if t.shape.rank and 1013 in t.shape.as_list()]
    # A read of the variable would copy it, because its rows are written.
    assert "ReadVariableOp" not in {operation.type for operation in operations.get_operations()}


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_labels_may_be_of_any_integer_dtype(dtype: str) -> None:
    center_loss = CenterLoss(300, 1, alpha=0.0)  # 300 is 44 in a uint8
    center_loss(tf.constant([[5.0], [6.0]]), tf.constant([250, 3], dtype))
    assert center_loss.centers[250, 0] == 5.0 and center_loss.centers[3, 0] == 6.0


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_the_loss_has_the_features_dtype_and_the_centers_stay_float32(dtype: str) -> None:
    center_loss = CenterLoss(2, 2, alpha=0.5)
    loss = center_loss(tf.constant([[2.0, 4.0]], dtype), tf.constant([1]))
    assert loss.dtype == dtype and float(loss) == 10.0
    assert center_loss.centers.dtype == tf.float32
    np.testing.assert_array_equal(center_loss.centers, [[0.0, 0.0], [1.0, 2.0]])


@pytest.mark.parametrize(
    ("features", "labels", "told"),
    [
        (np.ones((2, 3), "float32"), [0, 1], r"features: .* \(2, 2\), found .* \(2, 3\)"),
        (np.ones((1, 2), "float32"), [0, 1], r"features: .* \(2, 2\), found .* \(1, 2\)"),
        (np.ones((2, 2), "float32"), [0], r"features: .* \(1, 2\), found .* \(2, 2\)"),
        (np.ones((2, 2), "float32"), [[0], [1]], r"labels: .* \(n,\), found .* \(2, 1\)"),
        (np.ones((2, 2), "float32"), [0.0, 1.0], "labels: expected integers .* found float32"),
        (np.ones((2, 2), "int32"), [0, 1], "features: expected floating point .* found int32"),
    ],
)
def test_what_does_not_fit_is_refused(features: np.ndarray, labels: list, told: str) -> None:
    center_loss = CenterLoss(2, 2)
    with pytest.raises(FacenetError, match=told):
        center_loss(features, labels)
    np.testing.assert_array_equal(center_loss.centers, np.zeros((2, 2)))


@pytest.mark.parametrize(
    "arguments", [(0, 2), (2, 0), (2, 2, -0.1), (2, 2, 1.1), (2, 2, float("nan"))]
)
def test_arguments_out_of_range_are_refused(arguments: tuple) -> None:
    with pytest.raises(
        FacenetError, match=r"expected (an integer of at least 1|a number in \[0, 1\]), found"
    ):
        CenterLoss(*arguments)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
def test_prelogits_norm_is_the_mean_p_norm(p: float) -> None:
    prelogits = np.random.default_rng(4).standard_normal((5, 7))
    norms = [sum((abs(x) + 1e-4) ** p for x in row) ** (1 / p) for row in prelogits]
    assert float(prelogits_norm(tf.constant(prelogits), p)) == pytest.approx(np.mean(norms))


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_prelogits_norm_at_zero_has_a_finite_gradient(p: float) -> None:
    prelogits = tf.Variable(tf.zeros((2, 3)))
    with tf.GradientTape() as tape:
        norm = prelogits_norm(prelogits, p)
    assert float(norm) == pytest.approx(1e-4 * 3 ** (1 / p), rel=1e-5)
    assert np.isfinite(tape.gradient(norm, prelogits)).all()


@pytest.mark.parametrize("p", [0.0, 0.5, -1.0, float("nan")])
def test_an_order_below_one_is_refused(p: float) -> None:
    with pytest.raises(FacenetError, match=r"p: expected a number in \[1, inf\), found"):
        prelogits_norm(tf.zeros((1, 2)), p)


@pytest.mark.parametrize(
    "factors",
    [
        LossFactors(),
        LossFactors(center_loss=0.5, prelogits_norm=0.25, weight_decay=0.125),
        LossFactors(prelogits_norm=2.0, prelogits_norm_p=2.0),
    ],
)
def test_the_total_is_the_sum_by_hand(factors: LossFactors) -> None:
    generator = np.random.default_rng(5)
    prelogits, weights = generator.standard_normal((4, 3)), generator.standard_normal((3, 5))
    logits, labels = prelogits @ weights, np.array([4, 0, 4, 2])
    kernels = [weights, generator.standard_normal((2, 2, 3, 1))]

    exponentials = np.exp(logits)
    probabilities = exponentials[range(4), labels] / exponentials.sum(axis=1)
    cross_entropy = -np.log(probabilities).mean()
    norm_p = factors.prelogits_norm_p
    norm = (((np.abs(prelogits) + 1e-4) ** norm_p).sum(axis=1) ** (1 / norm_p)).mean()
    decay = sum((kernel**2).sum() / 2 for kernel in kernels)
    center, centers = naive_center_loss(prelogits, labels, np.zeros((5, 3)), 0.9, False)
    total = (
        cross_entropy
        + factors.center_loss * center
        + factors.prelogits_norm * norm
        + factors.weight_decay * decay
    )

    center_loss = CenterLoss(5, 3, alpha=0.9)
    variables = [keras.Variable(kernel, dtype="float32") for kernel in kernels]
    terms = total_loss(
        tf.constant(logits),
        tf.constant(prelogits),
        tf.constant(labels),
        variables,
        center_loss,
        factors,
    )
    assert all(term.dtype == tf.float32 and term.shape == () for term in terms)
    expected = (total, cross_entropy, center, norm, decay)
    np.testing.assert_allclose([float(term) for term in terms], expected, rtol=1e-5)
    # Even with the factor 0 the centers follow, so that the term can be watched.
    np.testing.assert_allclose(center_loss.centers, centers, rtol=1e-5)


def test_no_kernels_mean_no_weight_decay() -> None:
    terms = total_loss(
        tf.zeros((2, 3)),
        tf.zeros((2, 4)),
        tf.constant([0, 1]),
        [],
        CenterLoss(3, 4),
        LossFactors(weight_decay=1.0),
    )
    assert float(terms.weight_decay) == 0.0
    assert float(terms.total) == pytest.approx(np.log(3))


def test_the_total_pulls_on_kernels_and_prelogits() -> None:
    prelogits = tf.Variable([[1.0, 2.0], [3.0, -1.0]])
    kernel = keras.Variable(np.eye(2), dtype="float32")
    factors = LossFactors(center_loss=1.0, prelogits_norm=1.0, weight_decay=0.5)
    center_loss = CenterLoss(2, 2)
    with tf.GradientTape() as tape:
        logits = tf.stop_gradient(prelogits @ kernel.value)  # the other terms alone
        total = total_loss(logits, prelogits, tf.constant([0, 1]), [kernel], center_loss, factors)
    by_prelogits, by_kernel = tape.gradient(total.total, [prelogits, kernel.value])
    # 2 (x - 0) / 4 of the center loss, sign(x) / 2 of the norm.
    np.testing.assert_allclose(by_prelogits, [[1.0, 1.5], [2.0, -1.0]])
    np.testing.assert_allclose(by_kernel, 0.5 * np.eye(2))


def test_targets_are_the_columns_of_the_identities() -> None:
    """The centers go by the labels in any case."""
    logits = np.random.default_rng(6).standard_normal((2, 3)).astype(np.float32)
    prelogits, labels, targets = tf.ones((2, 4)), tf.constant([7, 9]), tf.constant([0, 2])
    center_loss = CenterLoss(10, 4, alpha=0.0)
    terms = total_loss(
        tf.constant(logits), prelogits, labels, [], center_loss, LossFactors(), targets=targets
    )
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(probabilities[[0, 1], [0, 2]]).mean()
    assert float(terms.cross_entropy) == pytest.approx(expected, rel=1e-5)
    assert np.flatnonzero(center_loss.centers[:, 0]).tolist() == [7, 9]


TWO_REPLICAS = """
import numpy as np
import tensorflow as tf

halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
from facenet_lib.center_loss import CenterLoss

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
generator = np.random.default_rng(0)
for divide_by_count in (False, True):
    alone = CenterLoss(5, 3, 0.8, divide_by_count)
    with strategy.scope():
        mirrored = CenterLoss(5, 3, 0.8, divide_by_count)

    def of_replica(features, labels):
        with tf.GradientTape() as tape:
            tape.watch(features)
            loss = mirrored(features, labels)
        return loss, tape.gradient(loss, features), mirrored.largest_step(labels)

    step = tf.function(lambda *batch: strategy.run(of_replica, batch), reduce_retracing=True)
    # Shares of one size, of two sizes as a last batch has them, and one without images.
    for shares in ((4, 4), (3, 1), (2, 0)):
        features = [generator.standard_normal((n, 3)).astype(np.float32) for n in shares]
        labels = [generator.integers(0, 3, n) for n in shares]
        before = alone.centers.numpy()
        all_labels = np.concatenate(labels)
        alone(tf.constant(np.concatenate(features)), tf.constant(all_labels))
        per_replica = [
            strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(parts[context.replica_id_in_sync_group])
            )
            for parts in (features, labels)
        ]
        losses, gradients, steps = map(strategy.experimental_local_results, step(*per_replica))
        for replica in range(2):
            # The loss is that of its own images, and so is its gradient.
            difference = features[replica] - before[labels[replica]]
            if len(difference):
                np.testing.assert_allclose(losses[replica], (difference**2).mean(), rtol=1e-5)
                expected = 2 * difference / difference.size
                np.testing.assert_allclose(gradients[replica], expected, rtol=1e-5, atol=1e-6)
            assert float(steps[replica]) == float(alone.largest_step(tf.constant(all_labels)))
            np.testing.assert_allclose(
                mirrored.centers.values[replica].numpy(), alone.centers.numpy(), rtol=1e-5
            )
    assert abs(alone.centers.numpy()).max() > 0.1
"""


@pytest.mark.slow
def test_replicas_move_the_centers_as_one_process_with_the_global_batch(tmp_path: Path) -> None:
    """In a process of its own, since devices can be divided only before TensorFlow begins."""
    fresh_processes.run(TWO_REPLICAS, log=tmp_path / "log")
