"""Loading by TF 1 names is all or nothing, and says everything that is wrong at once.

That the names and shapes are the reference's, and its numbers, is proved in test_network.py.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tf1_reference

from facenet_lib.errors import FacenetError
from facenet_lib.network import inception_resnet_v1
from facenet_lib.pretrained import assign_tf1_variables, tf1_variable_names

FIRST = "InceptionResnetV1/Conv2d_1a_3x3"
BLOCK = "InceptionResnetV1/Repeat/block35_1/Conv2d_1x1"


@pytest.fixture(scope="module")
def network() -> keras.Model:
    # With dropout, whose seed is a variable too but nothing that a checkpoint holds.
    return inception_resnet_v1(75, embedding_size=8, width=0.1, blocks=(1, 1, 1))


@pytest.fixture
def mapping(network: keras.Model) -> dict[str, np.ndarray]:
    """New values for every variable, made by the reference's rule."""
    return {
        name: tf1_reference.made_variable(name, tuple(variable.shape))
        for name, variable in tf1_variable_names(network).items()
    }


def values(network: keras.Model) -> list[np.ndarray]:
    return [variable.numpy() for variable in network.weights]


def test_every_weight_has_one_name_of_the_reference(network: keras.Model) -> None:
    named = tf1_variable_names(network)
    assert {id(v) for v in named.values()} == {id(v) for v in network.weights}
    assert len(named) == len(network.weights)
    assert named.keys() <= tf1_reference.variable_shapes().keys()


def test_every_variable_takes_its_own_value(network: keras.Model, mapping: dict) -> None:
    shuffled = dict(sorted(mapping.items()))  # the mapping's order does not matter
    assign_tf1_variables(network, shuffled)
    for name, variable in tf1_variable_names(network).items():
        np.testing.assert_array_equal(variable.numpy(), mapping[name])
    normalization = network.get_layer("Conv2d_1a_3x3.BatchNorm")
    np.testing.assert_array_equal(
        normalization.moving_variance, mapping[f"{FIRST}/BatchNorm/moving_variance"]
    )
    assert network.get_layer("Repeat.block35_1.Conv2d_1x1").bias.path.endswith("bias")


def test_the_networks_outputs_are_those_of_the_loaded_weights(
    network: keras.Model, mapping: dict
) -> None:
    images = np.random.default_rng(0).standard_normal((2, 75, 75, 3)).astype("float32")
    assign_tf1_variables(network, mapping)
    before = network(images, training=False).numpy()
    twin = inception_resnet_v1(75, embedding_size=8, width=0.1, blocks=(1, 1, 1))
    assert np.abs(twin(images, training=False) - before).max() > 1e-3
    assign_tf1_variables(twin, mapping)
    np.testing.assert_allclose(twin(images, training=False), before, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32"])
def test_any_real_dtype_is_cast_to_the_variables(
    dtype: str, network: keras.Model, mapping: dict
) -> None:
    cast = {name: (8 * value).astype(dtype) for name, value in mapping.items()}
    assign_tf1_variables(network, cast)
    for name, variable in tf1_variable_names(network).items():
        assert variable.dtype == "float32"
        np.testing.assert_array_equal(variable.numpy(), cast[name].astype("float32"))


def remove(mapping: dict) -> None:
    del mapping[f"{FIRST}/BatchNorm/beta"]


def add(mapping: dict) -> None:
    mapping["InceptionResnetV1/Logits/weights"] = np.zeros((8, 3))


def reshape(mapping: dict) -> None:
    mapping[f"{FIRST}/weights"] = np.zeros((3, 3, 3, 9))


def spoil(mapping: dict) -> None:
    mapping[f"{BLOCK}/biases"][1] = np.nan


def overflow(mapping: dict) -> None:
    mapping[f"{BLOCK}/weights"] = np.full(mapping[f"{BLOCK}/weights"].shape, 1e300)


def mistype(mapping: dict) -> None:
    mapping[f"{FIRST}/BatchNorm/moving_mean"] = np.array(["a"] * 8)


MISTAKES = {
    remove: f"{FIRST}/BatchNorm/beta: missing",
    add: "InceptionResnetV1/Logits/weights: not part of the network",
    reshape: f"{FIRST}/weights: expected shape (3, 3, 3, 8), found (3, 3, 3, 9)",
    spoil: f"{BLOCK}/biases: holds NaN, infinity or a number beyond float32",
    overflow: f"{BLOCK}/weights: holds NaN, infinity or a number beyond float32",
    mistype: f"{FIRST}/BatchNorm/moving_mean: expected real numbers, found dtype <U1",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_mistake_is_named_and_nothing_changes(
    mistake: Callable[[dict], None], network: keras.Model, mapping: dict
) -> None:
    before = values(network)
    mistake(mapping)
    with pytest.raises(FacenetError) as raised:
        assign_tf1_variables(network, mapping)
    assert str(raised.value) == f"TF 1 variables: {MISTAKES[mistake]}"
    for old, new in zip(before, values(network), strict=True):
        np.testing.assert_array_equal(old, new)


def test_all_mistakes_are_told_at_once_and_nothing_changes(
    network: keras.Model, mapping: dict
) -> None:
    before = values(network)
    for mistake in MISTAKES:
        mistake(mapping)
    with pytest.raises(FacenetError) as raised:
        assign_tf1_variables(network, mapping)
    heading, *told = str(raised.value).splitlines()
    assert heading == f"TF 1 variables: {len(MISTAKES)} problems"
    assert {line.strip() for line in told} == set(MISTAKES.values())
    for old, new in zip(before, values(network), strict=True):
        np.testing.assert_array_equal(old, new)
