"""The heads against numpy, and the sampled softmax against the full one, draw by draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations
from math import comb

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from facenet_lib.center_loss import CenterLoss, LossFactors, LossTerms, total_loss
from facenet_lib.errors import FacenetError
from facenet_lib.softmax_heads import SoftmaxHead

NO_SEED = tf.zeros(3, tf.int64)


def seed(step: int, replica: int = 0) -> tf.Tensor:
    return tf.constant([7, step, replica], tf.int64)


def head_of(kernel: np.ndarray, bias: np.ndarray | None = None, **arguments: float) -> SoftmaxHead:
    head = SoftmaxHead(*kernel.shape, **arguments)
    head.build()
    head.kernel.assign(kernel)
    if bias is not None:
        head.bias.assign(bias)
    return head


def made(
    classes: int, size: int, images: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    kernel = generator.standard_normal((classes, size)).astype(np.float32)
    bias = generator.standard_normal(classes).astype(np.float32)
    return kernel, bias, generator.standard_normal((images, size)).astype(np.float32)


def test_the_reference_head_is_a_matrix_and_a_bias() -> None:
    kernel, bias, prelogits = made(7, 3, 4)
    head = head_of(kernel, bias)
    labels = tf.constant([6, 0, 6, 2])
    output = head(tf.constant(prelogits), labels, NO_SEED)
    np.testing.assert_allclose(output.logits, prelogits @ kernel.T + bias, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(output.targets, labels)
    assert len(output.kernels) == 1 and output.kernels[0] is head.kernel


@pytest.mark.parametrize("scale", [0.0, 16.0])
def test_variables_at_first(scale: float) -> None:
    head = SoftmaxHead(400, 200, scale=scale)
    head.build()
    assert [variable.name for variable in head.trainable_variables] == (
        ["kernel"] if scale else ["kernel", "bias"]
    )
    kernel, limit = head.kernel.numpy(), np.sqrt(6 / 600)
    assert kernel.dtype == np.float32
    assert 0.99 * limit < abs(kernel).max() <= limit
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)
    if not scale:
        np.testing.assert_array_equal(head.bias, np.zeros(400))


@pytest.mark.parametrize("margin", [0.0, 0.35])
def test_cosine_logits_have_the_margin_at_the_own_identity(margin: float) -> None:
    kernel, _, prelogits = made(5, 3, 4)
    labels = [4, 0, 4, 1]
    expected = np.empty((4, 5))
    for i, image in enumerate(prelogits):
        for c, row in enumerate(kernel):
            cosine = image @ row / np.sqrt(image @ image) / np.sqrt(row @ row)
            expected[i, c] = 30 * (cosine - margin * (labels[i] == c))
    head = head_of(kernel, scale=30.0, margin=margin)
    output = head(tf.constant(prelogits), tf.constant(labels), NO_SEED)
    np.testing.assert_allclose(output.logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sampled", [0, 2])
def test_rows_of_zeros_have_finite_cosines_and_gradients(sampled: int) -> None:
    head = head_of(np.zeros((6, 3)), scale=30.0, margin=0.3, sampled_identities=sampled)
    prelogits = tf.Variable(tf.zeros((2, 3)))
    with tf.GradientTape() as tape:
        logits, targets, _ = head(prelogits, tf.constant([1, 4]), seed(0))
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)
        loss = tf.reduce_sum(losses)
    assert np.isfinite(logits).all()
    for gradient in tape.gradient(loss, [prelogits, head.kernel]):
        assert np.isfinite(tf.convert_to_tensor(gradient)).all()


@pytest.mark.parametrize("sampled", [0, 2])
def test_bfloat16_prelogits_have_float32_logits(sampled: int) -> None:
    kernel, bias, prelogits = made(7, 3, 4)
    head = head_of(kernel, bias, sampled_identities=sampled)
    output = head(tf.constant(prelogits, tf.bfloat16), tf.constant([6, 0, 6, 2]), seed(1))
    assert output.logits.dtype == output.kernels[0].dtype == tf.float32


# The sampled softmax


def drawn(head: SoftmaxHead, labels: list[int], at: tf.Tensor) -> tuple[list[int], np.ndarray]:
    """The identities of the columns, and how many each stands for.

    They show in the head itself: its logits for prelogits of 1 are the numbers of the
    identities, apart from the logarithms; its weight decay has the square roots.
    """
    prelogits = tf.ones((len(labels), 2)) * [[1.0, 0.0]]
    output = head(prelogits, tf.constant(labels), at)
    counts = output.kernels[0].numpy()[:, 1] ** 2  # the second feature of every row is 1
    identities = output.logits.numpy() - np.log(counts)
    np.testing.assert_allclose(identities, np.round(identities), atol=1e-3)
    np.testing.assert_array_equal(np.round(identities), np.round(identities)[[0] * len(labels)])
    return np.round(identities[0]).astype(int).tolist(), counts


def numbered_head(classes: int, sampled: int) -> SoftmaxHead:
    kernel = np.stack([np.arange(classes), np.ones(classes)], axis=1)
    return head_of(kernel, sampled_identities=sampled)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.data())
def test_columns_are_the_batchs_identities_and_others(data: st.DataObject) -> None:
    classes = data.draw(st.integers(2, 12) | st.integers(2, 1000))
    labels = data.draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=24))
    sampled = data.draw(st.integers(1, classes - 1))
    step = data.draw(st.integers(0, 2**40))
    head = numbered_head(classes, sampled)
    columns, counts = drawn(head, labels, seed(step))
    own = sorted(set(labels))
    others = columns[len(own) :]
    assert columns[: len(own)] == own
    assert not set(others) & set(own) and set(others) <= set(range(classes))
    remaining = classes - len(own)
    assert len(others) == len(set(others)) == min(sampled, remaining)
    np.testing.assert_allclose(counts[: len(own)], 1.0)
    np.testing.assert_allclose(counts[len(own) :], remaining / max(len(others), 1), rtol=1e-5)
    targets = head(tf.ones((len(labels), 2)), tf.constant(labels), seed(step)).targets
    assert [columns[target] for target in targets.numpy()] == labels


def test_the_seed_decides_what_is_drawn() -> None:
    head = numbered_head(500, 20)
    labels = [3, 444]
    first, _ = drawn(head, labels, seed(5))
    assert drawn(head, labels, seed(5))[0] == first
    assert drawn(numbered_head(500, 20), labels, seed(5))[0] == first
    others = [seed(6), seed(5, replica=1), tf.constant([8, 5, 0], tf.int64), seed(0, replica=5)]
    for other in others:
        assert len(set(drawn(head, labels, other)[0]) & set(first)) < 12


@pytest.mark.slow
def test_every_set_of_others_is_as_likely_as_any() -> None:
    """In steps that follow each other, under one seed of the run."""
    classes, sampled, labels = 9, 3, [2, 5, 2]
    steps = np.int64(10_000)
    others = [c for c in range(classes) if c not in labels]
    head = numbered_head(classes, sampled)

    @tf.function
    def draw(step: tf.Tensor) -> tf.Tensor:
        at = tf.stack([tf.constant(7, tf.int64), step, tf.constant(0, tf.int64)])
        return head(tf.ones((3, 2)) * [[1.0, 0.0]], tf.constant(labels), at).logits[0, 2:]

    logits = tf.function(partial(tf.map_fn, draw))(tf.range(steps), fn_output_signature=tf.float32)
    columns = np.sort(np.round(logits - np.log(len(others) / sampled)).astype(int), axis=1)
    times: dict[tuple[int, ...], int] = dict.fromkeys(combinations(others, sampled), 0)
    for row in columns.tolist():
        times[tuple(row)] += 1
    expected = steps / len(times)
    chi_squared = sum((count - expected) ** 2 / expected for count in times.values())
    freedom = len(times) - 1
    assert chi_squared < freedom + 5 * np.sqrt(2 * freedom)


def every_draw(
    head: SoftmaxHead, compute: Callable[[tf.Tensor], object], labels: list[int]
) -> Iterator[object]:
    """``compute(seed)`` for one seed of each of the sets that can be drawn."""
    own = len(set(labels))
    numbered = numbered_head(head.num_classes, head.sampled_identities)
    seen: set[frozenset[int]] = set()
    step = 0
    while len(seen) < comb(head.num_classes - own, head.sampled_identities):
        identities = frozenset(drawn(numbered, labels, seed(step))[0])
        if identities not in seen:
            seen.add(identities)
            yield compute(seed(step))
        step += 1


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.0, 4.0])
@pytest.mark.parametrize("sampled", [1, 2, 4])
def test_on_average_over_all_draws_sum_and_weight_decay_are_the_full_ones(
    sampled: int, scale: float
) -> None:
    """Exactly: the sum under the softmax, half the squares of the kernel, and their gradients."""
    kernel, bias, prelogits = made(7, 3, 3)
    bias = None if scale else bias
    labels = [5, 1, 5]

    def compute(head: SoftmaxHead, at: tf.Tensor) -> list[np.ndarray]:
        images = tf.Variable(prelogits)
        with tf.GradientTape(persistent=True) as tape:
            logits, _, kernels = head(images, tf.constant(labels), at)
            sums = tf.reduce_sum(tf.exp(logits), axis=1)
            decay = tf.nn.l2_loss(kernels[0])
        by_sums = tape.gradient(sums, [images, *head.trainable_variables])
        by_decay = tape.gradient(decay, head.kernel)
        return [np.asarray(tf.convert_to_tensor(x)) for x in (sums, decay, *by_sums, by_decay)]

    full = compute(head_of(kernel, bias, scale=scale, margin=0.2 if scale else 0.0), NO_SEED)
    head = head_of(
        kernel, bias, scale=scale, margin=0.2 if scale else 0.0, sampled_identities=sampled
    )
    draws = list(every_draw(head, partial(compute, head), labels))
    assert len(draws) == comb(5, sampled)
    for values, expected in zip(zip(*draws, strict=True), full, strict=True):
        assert np.ptp(np.stack(values), axis=0).max() > 1e-3  # no draw alone is the full one
        np.testing.assert_allclose(np.mean(values, axis=0), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_loss_is_on_average_too_small_and_the_less_so_the_more_are_drawn() -> None:
    kernel, bias, prelogits = made(7, 3, 3)
    labels = [5, 1, 5]

    def cross_entropy(head: SoftmaxHead, at: tf.Tensor) -> float:
        logits, targets, _ = head(tf.constant(prelogits), tf.constant(labels), at)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)
        return float(tf.reduce_mean(losses))

    averages = []
    for sampled in (1, 2, 3, 4, 5):
        head = head_of(kernel, bias, sampled_identities=sampled)
        averages.append(np.mean(list(every_draw(head, partial(cross_entropy, head), labels))))
    full = cross_entropy(head_of(kernel, bias), NO_SEED)
    assert averages == sorted(averages)
    assert averages[3] < full - 1e-3
    assert averages[4] == pytest.approx(full, rel=1e-5)


def loss_and_gradients(head: SoftmaxHead, prelogits: np.ndarray, labels: list[int]) -> list:
    images, factors = tf.Variable(prelogits), LossFactors(weight_decay=0.1)
    with tf.GradientTape() as tape:
        logits, targets, kernels = head(images, tf.constant(labels), seed(3))
        terms: LossTerms = total_loss(
            logits,
            images,
            tf.constant(labels),
            kernels,
            CenterLoss(*head.kernel.shape),
            factors,
            targets=targets,
        )
    gradients = tape.gradient(terms.total, [images, *head.trainable_variables])
    return [*terms, *(tf.convert_to_tensor(gradient) for gradient in gradients)]


@pytest.mark.parametrize("arguments", [{}, {"scale": 8.0, "margin": 0.2}])
@pytest.mark.parametrize("labels", [[5, 1, 5], [0, 1, 2, 3, 4, 5, 6], [6]])
def test_with_all_others_drawn_loss_and_gradients_are_the_full_ones(
    labels: list[int], arguments: dict
) -> None:
    kernel, bias, prelogits = made(7, 3, len(labels))
    bias = None if arguments else bias
    full = loss_and_gradients(head_of(kernel, bias, **arguments), prelogits, labels)
    head = head_of(kernel, bias, sampled_identities=6, **arguments)
    for found, expected in zip(loss_and_gradients(head, prelogits, labels), full, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("sampled", [7, 8, 1000])
def test_as_many_as_there_are_identities_means_all(sampled: int) -> None:
    kernel, bias, prelogits = made(7, 3, 2)
    output = head_of(kernel, bias, sampled_identities=sampled)(
        tf.constant(prelogits), tf.constant([1, 2]), NO_SEED
    )
    np.testing.assert_allclose(output.logits, prelogits @ kernel.T + bias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("arguments", [{}, {"scale": 8.0, "margin": 0.2}])
def test_gradients_have_the_drawn_rows_alone(arguments: dict) -> None:
    kernel, bias, prelogits = made(50, 3, 4)
    labels = [40, 2, 40, 9]
    head = head_of(kernel, None if arguments else bias, sampled_identities=6, **arguments)
    identities, _ = drawn(numbered_head(50, 6), labels, seed(3))
    with tf.GradientTape() as tape:
        logits, targets, kernels = head(tf.constant(prelogits), tf.constant(labels), seed(3))
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)
        loss = tf.reduce_mean(losses) + tf.nn.l2_loss(kernels[0])
    for gradient in tape.gradient(loss, head.trainable_variables):
        assert isinstance(gradient, tf.IndexedSlices)
        assert gradient.indices.numpy().tolist() == identities  # every row once


@pytest.mark.parametrize("arguments", [{}, {"scale": 8.0, "margin": 0.2}])
def test_nothing_of_the_number_of_identities_is_computed(arguments: dict) -> None:
    head = SoftmaxHead(1013, 3, sampled_identities=6, **arguments)
    head.build()

    @tf.function
    def step(prelogits: tf.Tensor, labels: tf.Tensor, at: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(prelogits)
            logits, targets, kernels = head(prelogits, labels, at)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)
            loss = tf.reduce_mean(losses) + tf.nn.l2_loss(kernels[0])
        gradients = tape.gradient(loss, [prelogits, *head.trainable_variables])
        return [g.values if isinstance(g, tf.IndexedSlices) else g for g in gradients]

    graph = step.get_concrete_function(tf.ones((4, 3)), tf.constant([1, 2, 3, 1]), seed(0)).graph
    tensors = [tensor for operation in graph.get_operations() for tensor in operation.outputs]
    assert not [t for t in tensors if t.shape.rank and 1013 in t.shape.as_list()]
    assert "ReadVariableOp" not in {operation.type for operation in graph.get_operations()}


@pytest.mark.parametrize("sampled", [0, 4])
def test_it_is_the_same_in_a_compiled_step_with_any_batch_size(sampled: int) -> None:
    kernel, bias, prelogits = made(20, 3, 9)
    head = head_of(kernel, bias, sampled_identities=sampled)
    labels = np.random.default_rng(1).integers(0, 20, 9)
    signature = [
        tf.TensorSpec((None, 3)),
        tf.TensorSpec((None,), tf.int64),
        tf.TensorSpec((3,), tf.int64),
    ]
    compiled = tf.function(lambda *arguments: head(*arguments), input_signature=signature)
    for size in (1, 9, 4):
        arguments = tf.constant(prelogits[:size]), tf.constant(labels[:size]), seed(size)
        for found, expected in zip(compiled(*arguments), head(*arguments), strict=True):
            found, expected = (x[0] if isinstance(x, list) else x for x in (found, expected))
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sampled", [0, 2])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_labels_may_be_of_any_integer_dtype(dtype: str, sampled: int) -> None:
    kernel, bias, prelogits = made(300, 3, 2)
    head = head_of(kernel, bias, sampled_identities=sampled)
    output = head(tf.constant(prelogits), tf.constant([250, 3], dtype), NO_SEED)
    own = tf.gather(output.logits, output.targets, axis=1, batch_dims=1)
    expected = (prelogits * kernel[[250, 3]]).sum(axis=1) + bias[[250, 3]]
    np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("sampled", [0, 2])
@pytest.mark.parametrize("labels", [[0, 7], [-1, 0], [0, 2**20]])
def test_a_label_out_of_range_is_refused(labels: list[int], sampled: int, compiled: bool) -> None:
    head = SoftmaxHead(7, 2, sampled_identities=sampled)
    head.build()
    signature = [tf.TensorSpec((None, 2)), tf.TensorSpec((None,), tf.int32)]
    step = lambda prelogits, labels: head(prelogits, labels, NO_SEED).logits  # noqa: E731
    step = tf.function(step, input_signature=signature) if compiled else step
    with pytest.raises(tf.errors.InvalidArgumentError, match="below the number of classes, 7"):
        step(tf.ones((2, 2)), tf.constant(labels))


@pytest.mark.parametrize(
    ("prelogits", "labels", "at", "told"),
    [
        (tf.ones((2, 3)), [0, 1], NO_SEED, r"prelogits: .* \(2, 2\), found .* \(2, 3\)"),
        (tf.ones((1, 2)), [0, 1], NO_SEED, r"prelogits: .* \(2, 2\), found .* \(1, 2\)"),
        (tf.ones((2, 2)), [[0], [1]], NO_SEED, r"labels: .* \(n,\), found .* \(2, 1\)"),
        (tf.ones((2, 2)), [0.0, 1.0], NO_SEED, "labels: expected integers .* found float32"),
        (tf.ones((2, 2)), [0, 1], tf.zeros(3), r"seed: expected integers .*\(3,\), found float32"),
        (tf.ones((2, 2)), [0, 1], None, "seed: expected 3 integers .* found none"),
        (
            tf.ones((2, 2)),
            [0, 1],
            tf.zeros(2, tf.int32),
            r"seed: .*\(3,\), found int32 of shape \(2,\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    prelogits: tf.Tensor, labels: list, at: tf.Tensor, told: str
) -> None:
    with pytest.raises(FacenetError, match=told):
        SoftmaxHead(4, 2, sampled_identities=2)(prelogits, tf.constant(labels), at)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"num_classes": 1}, "num_classes: .* at least 2, found 1"),
        ({"embedding_size": 0}, "embedding_size: .* at least 1, found 0"),
        ({"scale": -1.0}, "scale: expected a number in .* found -1"),
        ({"scale": float("inf")}, "scale: .* found inf"),
        ({"scale": float("nan")}, "scale: .* found nan"),
        ({"scale": 1.0, "margin": -0.1}, "margin: expected a number in .* found -0.1"),
        ({"scale": 1.0, "margin": 1.0}, "margin: expected a number in .* found 1"),
        ({"margin": 0.1}, "which need a scale"),
        ({"sampled_identities": -1}, "at least 0, found -1"),
        ({"num_classes": 1, "embedding_size": 0}, "2 problems"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict, told: str) -> None:
    with pytest.raises(FacenetError, match=told):
        SoftmaxHead(**({"num_classes": 4, "embedding_size": 2} | arguments))


def test_all_logits_know_no_margin_and_no_sample() -> None:
    prelogits = tf.random.stateless_normal((3, 4), seed=(0, 1))
    for scale, margin in ((0.0, 0.0), (16.0, 0.3)):
        head = SoftmaxHead(10, 4, scale=scale, margin=margin, sampled_identities=2)
        head.build()
        rows, kernel = prelogits.numpy(), head.kernel.numpy()
        if scale:
            rows = scale * rows / np.linalg.norm(rows, axis=1, keepdims=True)
            kernel = kernel / np.linalg.norm(kernel, axis=1, keepdims=True)
        np.testing.assert_allclose(
            head.all_logits(prelogits), rows @ kernel.T, rtol=1e-4, atol=1e-5
        )
