"""The network against the reference's own numbers, and by the properties that make it one."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf1_reference
from hypothesis import given
from hypothesis import strategies as st
from tiny_networks import tiny

from facenet_lib.errors import FacenetError
from facenet_lib.network.inception_resnet import (
    MINIMUM_IMAGE_SIZE,
    floating_point_operations,
    grid_sizes,
    inception_resnet_v1,
    l2_normalize,
)
from facenet_lib.published.model_folder import assign_tf1_variables, tf1_variable_names

END_POINTS = {
    "Conv2d_4b_3x3": "Conv2d_4b_3x3.Relu",
    "Mixed_5a": "Mixed_5a",
    "Mixed_6a": "Mixed_6a",
    "Mixed_6b": "Mixed_6b",
    "Mixed_7a": "Mixed_7a",
    "Mixed_8a": "Mixed_8a",
    "Mixed_8b": "Mixed_8b",
    "PrePool": "Mixed_8b",
}
NORMALIZED = (  # the first layer, one in the middle, and the last
    "Conv2d_1a_3x3.BatchNorm",
    "Repeat_1.block17_5.Branch_1.Conv2d_0b_1x7.BatchNorm",
    "Bottleneck.BatchNorm",
)


@dataclass(frozen=True)
class Normalization:
    inputs: np.ndarray
    before: tuple[np.ndarray, np.ndarray]
    after: tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def computed() -> SimpleNamespace:
    """All that the full network with the reference's weights is asked for, computed once."""
    network = inception_resnet_v1(dropout_rate=0.0)
    assign_tf1_variables(network, tf1_reference.made_variables())
    images = tf1_reference.standardized_images()

    names = [*END_POINTS.values(), "PreLogitsFlatten"]
    outputs = [network.get_layer(name).output for name in names]
    *end_points, flattened, prelogits = keras.Model(network.input, [*outputs, network.output])(
        images, training=False
    )

    layers = [network.get_layer(name) for name in NORMALIZED]
    before = [(layer.moving_mean.numpy(), layer.moving_variance.numpy()) for layer in layers]
    probe = keras.Model(network.input, [*[layer.input for layer in layers], network.output])
    *inputs, prelogits_train = probe(images, training=True)
    after = [(layer.moving_mean.numpy(), layer.moving_variance.numpy()) for layer in layers]

    return SimpleNamespace(
        end_points={
            name: np.mean(output, axis=(1, 2))
            for name, output in zip(END_POINTS, end_points, strict=True)
        },
        pre_logits_flatten=flattened.numpy(),
        prelogits=prelogits.numpy(),
        prelogits_train=prelogits_train.numpy(),
        normalization={
            name: Normalization(values.numpy(), old, new)
            for name, values, old, new in zip(NORMALIZED, inputs, before, after, strict=True)
        },
    )


@pytest.mark.slow
def test_the_full_network_has_the_references_variables() -> None:
    network = inception_resnet_v1()  # with dropout, whose seed is no weight
    named = tf1_variable_names(network)
    assert {name: tuple(v.shape) for name, v in named.items()} == tf1_reference.variable_shapes()
    assert len(named) == len(network.weights) == 490
    assert network.count_params() == 23_497_424
    assert network.input_shape == (None, 160, 160, 3)
    assert network.output_shape == (None, 512)


@pytest.mark.slow
def test_prelogits_and_embeddings_agree_with_the_reference(computed, expected) -> None:
    assert np.abs(expected["prelogits"]).max() > 1.0  # so that 1e-4 means something
    np.testing.assert_allclose(computed.prelogits, expected["prelogits"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(
        l2_normalize(computed.prelogits), expected["embeddings"], rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("name", END_POINTS)
def test_end_points_agree_with_the_reference(name: str, computed, expected) -> None:
    np.testing.assert_allclose(
        computed.end_points[name], expected[f"mean_{name}"], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("name", ["pre_logits_flatten", "mean_PreLogitsFlatten"])
def test_pooled_features_agree_with_the_reference(name: str, computed, expected) -> None:
    np.testing.assert_allclose(computed.pre_logits_flatten, expected[name], rtol=1e-4, atol=1e-4)


def test_training_mode_agrees_with_the_reference(computed, expected) -> None:
    """Dividing by the spread of four images enlarges rounding, so less closely than above."""
    np.testing.assert_allclose(
        computed.prelogits_train, expected["prelogits_train"], rtol=0, atol=1e-3
    )


@pytest.mark.parametrize("name", NORMALIZED)
def test_a_training_pass_moves_the_averages_by_half_a_percent(name: str, computed) -> None:
    seen = computed.normalization[name]
    axes = tuple(range(seen.inputs.ndim - 1))
    batch = (seen.inputs.mean(axes, dtype="float64"), seen.inputs.var(axes, dtype="float64"))
    for before, of_batch, after in zip(seen.before, batch, seen.after, strict=True):
        assert not np.allclose(before, of_batch, rtol=0.1)
        np.testing.assert_allclose(after, 0.995 * before + 0.005 * of_batch, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("image_size", [75, 76, 96, 139, 160, 182, 299])
def test_grid_sizes_are_those_of_the_layers(image_size: int) -> None:
    network = tiny(image_size=image_size, blocks=(0, 0, 0))
    shapes = {name: network.get_layer(name).output.shape for name in grid_sizes(image_size)}
    assert {name: shape[1] for name, shape in shapes.items()} == grid_sizes(image_size)
    assert all(shape[1] == shape[2] for shape in shapes.values())


@pytest.mark.slow
def test_residual_blocks_keep_the_grid_of_their_stage() -> None:
    network, sides = tiny(image_size=160), grid_sizes(160)
    for end_point, reduction in (
        ("Mixed_5a", "Conv2d_4b_3x3"),
        ("Mixed_6b", "Mixed_6a"),
        ("Mixed_8b", "Mixed_7a"),
    ):
        assert network.get_layer(end_point).output.shape[1] == sides[reduction]


def test_the_smallest_image_leaves_one_cell_and_one_pixel_less_is_refused() -> None:
    assert MINIMUM_IMAGE_SIZE == 75
    assert tiny(image_size=75).get_layer("Mixed_8b").output.shape[1:3] == (1, 1)
    with pytest.raises(FacenetError, match=r"image_size: expected .* at least 75, found 74"):
        tiny(image_size=74)


@pytest.mark.parametrize("image_size", [-3, 0, 1, 2, 3, 7, 74])
def test_grid_sizes_of_images_that_are_too_small_end_in_nothing(image_size: int) -> None:
    sides = list(grid_sizes(image_size).values())
    assert sides[-1] == 0
    assert sides == sorted(sides, reverse=True) and min(sides) >= 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"embedding_size": 0}, "embedding_size"),
        ({"dropout_rate": 1.0}, "dropout_rate"),
        ({"dropout_rate": -0.1}, "dropout_rate"),
        ({"dropout_rate": float("nan")}, "dropout_rate"),
        ({"width": 0.0}, "width"),
        ({"width": float("nan")}, "width"),
        ({"blocks": (1, 1)}, "blocks"),
        ({"blocks": (1, -1, 1)}, "blocks"),
        ({"batch_norm_momentum": 1.0}, "batch_norm_momentum"),
        ({"precision": "float16"}, "precision: expected 'float32' or 'mixed_bfloat16'"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(arguments: dict, named: str) -> None:
    with pytest.raises(FacenetError, match=named):
        tiny(**arguments)


@pytest.mark.slow
def test_width_scales_the_channels_in_steps_of_eight() -> None:
    wide, narrow = (inception_resnet_v1(blocks=(1, 1, 1), width=width) for width in (1.0, 0.3))
    branches = [
        layer
        for layer in wide.layers
        # A residual block's way back up has the depth of its input, which is a sum of branches.
        if isinstance(layer, keras.layers.Conv2D)
        and ("block" not in layer.name.lower() or "Branch" in layer.name)
    ]
    assert len(branches) > 30
    for layer in branches:
        filters = narrow.get_layer(layer.name).filters
        assert filters % 8 == 0
        assert abs(filters - 0.3 * layer.filters) <= 4
    assert narrow.count_params() < 0.12 * wide.count_params()


@pytest.mark.parametrize("blocks", [(0, 0, 0), (2, 1, 0), (1, 3, 2)])
def test_blocks_are_counted(blocks: tuple[int, int, int]) -> None:
    names = [layer.name for layer in tiny(blocks=blocks).layers if layer.name.endswith(".Add")]
    kinds = [name.split(".")[-2].split("_")[0] for name in names]
    counts = tuple(kinds.count(kind) for kind in ("block35", "block17", "block8"))
    assert counts == blocks
    assert kinds.count("Block8") == 1


def test_the_last_block_alone_has_no_activation() -> None:
    network = tiny()
    images = tf.random.stateless_normal((2, 75, 75, 3), seed=(0, 1))
    stages = [network.get_layer(name).output for name in ("Mixed_5a", "Mixed_8a", "Mixed_8b")]
    mixed_5a, mixed_8a, mixed_8b = keras.Model(network.input, stages)(images)
    assert tf.reduce_min(mixed_5a) >= 0 and tf.reduce_min(mixed_8a) >= 0
    assert tf.reduce_min(mixed_8b) < 0


@pytest.mark.slow
def test_a_gradient_reaches_every_trainable_variable() -> None:
    keras.utils.set_random_seed(0)
    network = tiny()
    images = tf.random.stateless_normal((4, 75, 75, 3), seed=(0, 2))
    with tf.GradientTape() as tape:
        prelogits = network(images, training=True)
        loss = tf.reduce_sum(prelogits * tf.random.stateless_normal(prelogits.shape, seed=(0, 3)))
    variables = network.trainable_variables
    for variable, gradient in zip(
        variables, tape.gradient(loss, [v.value for v in variables]), strict=True
    ):
        assert gradient is not None, variable.path
        assert np.isfinite(gradient).all() and np.any(gradient != 0), variable.path


@pytest.mark.slow
def test_inference_treats_every_image_alone_and_training_does_not() -> None:
    network = tiny(dropout_rate=0.0)
    images = tf.random.stateless_normal((4, 75, 75, 3), seed=(0, 4))
    together = network(images, training=False)
    np.testing.assert_allclose(network(images[:1], training=False)[0], together[0], atol=1e-5)
    alone, beside = network(images[:2], training=True), network(images, training=True)
    assert np.abs(alone[0] - beside[0]).max() > 0.1


def test_dropout_is_active_in_training_only_and_keeps_the_mean() -> None:
    network = tiny(dropout_rate=0.4, width=0.5, blocks=(0, 0, 0))
    images = tf.random.stateless_normal((8, 75, 75, 3), seed=(0, 5))
    around = keras.Model(
        network.input, [network.get_layer(name).output for name in ("PreLogitsFlatten", "Dropout")]
    )
    pooled, dropped = around(images, training=False)
    np.testing.assert_array_equal(pooled, dropped)
    pooled, dropped = (values.numpy() for values in around(images, training=True))
    zeroed = (dropped == 0) & (pooled != 0)
    assert 0.35 < zeroed.mean() < 0.45  # of more than 7000
    np.testing.assert_allclose(dropped[~zeroed], pooled[~zeroed] / 0.6, rtol=1e-5)


@pytest.mark.slow
def test_a_small_network_learns_a_few_images_by_heart() -> None:
    keras.utils.set_random_seed(1)
    labels = tf.constant([0, 0, 1, 1, 2, 2])
    images = tf.random.stateless_normal((6, 75, 75, 3), seed=(0, 6))
    network = tiny(dropout_rate=0.0, batch_norm_momentum=0.5, blocks=(1, 0, 0))
    head = keras.layers.Dense(3)
    head.build(network.output_shape)
    optimizer = keras.optimizers.Adam(0.01)
    variables = [*network.trainable_variables, *head.trainable_variables]

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels, head(network(images, training=True))
            )
            loss = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    first, *_, last = [float(step()) for _ in range(30)]
    assert first > 0.5
    assert last < 0.1
    # The moving averages have followed: inference gives the same answers.
    assert np.array_equal(np.argmax(head(network(images, training=False)), axis=1), labels)


def test_operations_are_counted_as_by_hand() -> None:
    images = keras.Input((5, 7, 3))
    features = keras.layers.Conv2D(4, (3, 2), padding="valid")(images)  # 3 x 6 places
    features = keras.layers.GlobalAveragePooling2D()(features)
    network = keras.Model(images, keras.layers.Dense(10)(features))
    assert floating_point_operations(network) == 2 * (3 * 6 * 3 * 2 * 3 * 4 + 4 * 10)


@pytest.mark.slow
def test_mixed_precision_keeps_float32_variables_and_a_float32_head() -> None:
    before = keras.config.dtype_policy().name
    network = tiny(precision="mixed_bfloat16")
    assert keras.config.dtype_policy().name == before
    assert {weight.dtype for weight in network.weights} == {"float32"}
    assert network.get_layer("Mixed_8b").output.dtype == "bfloat16"
    assert network.get_layer("PreLogitsFlatten").output.dtype == "float32"
    assert network.output.dtype == "float32"


@given(
    st.lists(
        st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3), min_size=1, max_size=4
    )
)
def test_embeddings_are_the_prelogits_at_length_one(rows: list[list[float]]) -> None:
    prelogits = np.array(rows)
    for row, embedding in zip(prelogits, l2_normalize(tf.constant(prelogits)).numpy(), strict=True):
        squared = float(np.sum(row**2))
        np.testing.assert_allclose(embedding, row / np.sqrt(max(squared, 1e-10)), rtol=1e-12)
        if squared > 1e-10:
            assert np.linalg.norm(embedding) == pytest.approx(1.0)


def test_embeddings_next_to_zero_are_divided_by_the_epsilons_root() -> None:
    prelogits = tf.Variable([[0.0, 0.0], [3e-6, 4e-6], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        result = l2_normalize(prelogits)
    np.testing.assert_allclose(result, [[0.0, 0.0], [0.3, 0.4], [0.6, 0.8]], rtol=1e-6)
    assert np.isfinite(tape.gradient(result, prelogits)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_embeddings_keep_the_dtype_and_a_row_of_zeros(dtype: str) -> None:
    result = l2_normalize(tf.zeros((1, 4), dtype))
    assert result.dtype == dtype
    assert not np.any(result)
