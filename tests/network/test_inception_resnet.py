"""The network against the reference's own numbers, and by the properties that make it one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf1_reference
from hypothesis import given
from hypothesis import strategies as st

from facenet_lib.errors import FacenetError
from facenet_lib.network.inception_resnet import (
    MINIMUM_IMAGE_SIZE,
    FusedBatchNormalization,
    floating_point_operations,
    fold_batch_norm,
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


def tiny(**arguments) -> keras.Model:
    """The smallest network of the same architecture."""
    defaults = {"image_size": 75, "embedding_size": 8, "width": 0.1, "blocks": (1, 1, 1)}
    return inception_resnet_v1(**{**defaults, **arguments})


@dataclass(frozen=True)
class Normalization:
    inputs: np.ndarray
    before: tuple[np.ndarray, np.ndarray]
    after: tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    return tf1_reference.expected_outputs()


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


def test_the_full_network_has_the_references_variables() -> None:
    network = inception_resnet_v1()  # with dropout, whose seed is no weight
    named = tf1_variable_names(network)
    assert {name: tuple(v.shape) for name, v in named.items()} == tf1_reference.variable_shapes()
    assert len(named) == len(network.weights) == 490
    assert network.count_params() == 23_497_424
    assert network.input_shape == (None, 160, 160, 3)
    assert network.output_shape == (None, 512)


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


@pytest.mark.parametrize("image_size", [75, 76, 96, 139, 160, 182, 299])
def test_grid_sizes_are_those_of_the_layers(image_size: int) -> None:
    network = tiny(image_size=image_size, blocks=(0, 0, 0))
    shapes = {name: network.get_layer(name).output.shape for name in grid_sizes(image_size)}
    assert {name: shape[1] for name, shape in shapes.items()} == grid_sizes(image_size)
    assert all(shape[1] == shape[2] for shape in shapes.values())


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
    with pytest.raises(FacenetError, match=r"image_size 74 .* at least 75 pixels"):
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
        ({"precision": "float16"}, "precision must be one of float32, mixed_bfloat16"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(arguments: dict, named: str) -> None:
    with pytest.raises(FacenetError, match=named):
        tiny(**arguments)


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


def test_fused_batch_norm_survives_being_saved(tmp_path) -> None:
    network = tiny()
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    images = tf.random.stateless_normal((2, 75, 75, 3), seed=(0, 7))
    np.testing.assert_array_equal(loaded(images), network(images))


def test_folding_keeps_what_the_reference_computes(expected) -> None:
    network = inception_resnet_v1()
    assign_tf1_variables(network, tf1_reference.made_variables())
    images = tf1_reference.standardized_images()
    folded = fold_batch_norm(network)
    prelogits = folded(images, training=False)
    np.testing.assert_allclose(prelogits, expected["prelogits"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(l2_normalize(prelogits), expected["embeddings"], rtol=0, atol=1e-5)
    rounded = fold_batch_norm(network, "bfloat16")(images, training=False)
    assert rounded.dtype == tf.float32
    # Eight bits of mantissa: the angle to the exact embedding stays below two degrees.
    cosines = np.sum(l2_normalize(rounded).numpy() * expected["embeddings"], axis=1)
    assert cosines.min() > 0.9994
    assert np.abs(rounded - prelogits).max() > 1e-3  # it was in fact computed in less precision


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_folding_leaves_convolutions_and_drops_the_rest(precision: str) -> None:
    network = tiny(precision=precision)
    for layer in network.layers:
        if isinstance(layer, FusedBatchNormalization):
            values = np.random.default_rng(2).uniform(0.1, 3.0, layer.moving_variance.shape)
            layer.moving_variance.assign(values)
    folded = fold_batch_norm(network)
    dropped = (keras.layers.BatchNormalization, keras.layers.Rescaling, keras.layers.Dropout)
    assert not any(isinstance(layer, dropped) for layer in folded.layers)
    assert {layer.name for layer in folded.layers} < {layer.name for layer in network.layers}
    images = tf.random.stateless_normal((3, 75, 75, 3), seed=(0, 8))
    exact = tiny()  # in float32, whatever the precision of the training was
    exact.set_weights(network.get_weights())
    np.testing.assert_allclose(folded(images), exact(images), rtol=1e-3, atol=1e-4)
    assert (precision == "float32") == np.allclose(network(images), exact(images), atol=1e-4)
    assert all(weight.dtype == "float32" for weight in folded.weights)
    assert all(
        weight.dtype == ("float32" if "Bottleneck" in weight.path else "bfloat16")
        for weight in fold_batch_norm(network, "bfloat16").weights
    )
    with pytest.raises(FacenetError, match="found 'int8'"):
        fold_batch_norm(network, "int8")


def test_folding_refuses_what_has_no_kernel_before_it_or_another_reader() -> None:
    images = keras.Input((4, 4, 3))
    lonely = keras.layers.BatchNormalization(name="lonely")(images)
    with pytest.raises(FacenetError, match="lonely cannot be folded"):
        fold_batch_norm(keras.Model(images, lonely))
    features = keras.layers.Conv2D(2, 1)(images)
    halves = keras.layers.Rescaling(0.5, name="halves")(features)
    with pytest.raises(FacenetError, match="halves cannot be folded"):
        fold_batch_norm(keras.Model(images, keras.layers.Add()([features, halves])))
    with pytest.raises(FacenetError, match="halves cannot be folded"):
        fold_batch_norm(keras.Model(images, [features, halves]))
    rectified = keras.layers.Conv2D(2, 1, activation="relu")(images)
    after = keras.layers.BatchNormalization(name="after")(rectified)
    with pytest.raises(FacenetError, match="after cannot be folded"):
        fold_batch_norm(keras.Model(images, after))
    depthwise = keras.layers.DepthwiseConv2D(1, name="depthwise")(images)
    with pytest.raises(FacenetError, match="depthwise cannot be folded: a DepthwiseConv2D"):
        fold_batch_norm(keras.Model(images, depthwise))


def test_folding_knows_gamma_and_offsets() -> None:
    images = keras.Input((4, 4, 3))
    features = keras.layers.Conv2D(2, 3, name="conv")(images)
    features = keras.layers.BatchNormalization(name="norm")(features)
    network = keras.Model(images, keras.layers.Rescaling(0.5, offset=2.0)(features))
    generator = np.random.default_rng(3)
    network.set_weights([generator.uniform(0.5, 2.0, w.shape) for w in network.weights])
    inputs = generator.normal(size=(2, 4, 4, 3)).astype(np.float32)
    folded = fold_batch_norm(network)
    assert len(folded.layers) == 2
    np.testing.assert_allclose(folded(inputs), network(inputs), rtol=1e-5, atol=1e-5)


def test_operations_are_counted_as_by_hand() -> None:
    images = keras.Input((5, 7, 3))
    features = keras.layers.Conv2D(4, (3, 2), padding="valid")(images)  # 3 x 6 places
    features = keras.layers.GlobalAveragePooling2D()(features)
    network = keras.Model(images, keras.layers.Dense(10)(features))
    assert floating_point_operations(network) == 2 * (3 * 6 * 3 * 2 * 3 * 4 + 4 * 10)


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


# Several replicas


REPLICAS = """
import keras, numpy as np, sys, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from facenet_lib.network.inception_resnet import FusedBatchNormalization, GlobalBatchDropout

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
    command = [sys.executable, "-c", REPLICAS, *files, str(scale), dtype]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
