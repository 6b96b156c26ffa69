"""What a run minimizes, against its parts put together by hand."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy_training import SETTINGS, SIZE, toy_network

from facenet_lib.center_loss import MOST_CENTER_STEP
from facenet_lib.network.inception_resnet import l2_normalize
from facenet_lib.runs.config import TrainingConfig
from facenet_lib.training.objectives import (
    COLLAPSED_STEPS,
    Check,
    SoftmaxObjective,
    TripletObjective,
    objective_of,
)
from facenet_lib.triplet_loss import COLLAPSED_SPREAD

CONFIG = TrainingConfig(**SETTINGS | {"dropout_rate": 0.0, "weight_decay": 1e-3})
TRIPLETS = dataclasses.replace(CONFIG, loss="triplet", images_per_person=4)
STEP = tf.constant(3, tf.int64)


@pytest.fixture
def network():
    keras.utils.set_random_seed(0)
    return toy_network(CONFIG)


@pytest.fixture
def batch():
    images = tf.random.stateless_normal((8, SIZE, SIZE, 3), seed=(0, 1))
    return {"images": images, "labels": tf.constant([0, 0, 0, 0, 2, 2, 2, 2], tf.int64)}


def half_squares(variables):
    return sum(np.sum(np.square(np.asarray(variable, np.float64))) / 2 for variable in variables)


def kernels(network):
    return [variable for variable in network.trainable_variables if variable.name == "kernel"]


def test_settings_choose_the_objective(network):
    assert isinstance(objective_of(CONFIG, network, 3), SoftmaxObjective)
    assert isinstance(objective_of(TRIPLETS, network, 3), TripletObjective)


def test_the_softmax_objective_is_the_sum_of_its_terms(network, batch):
    objective = objective_of(CONFIG, network, 3)
    total, prelogits, values = objective.compute(network, batch, STEP)
    values = {name: float(value) for name, value in values.items()}
    assert set(values) == {*objective.columns, *objective.checked}
    kernel, bias = (np.asarray(variable, np.float64) for variable in objective.head.variables)
    logits = prelogits.numpy() @ kernel.T + bias
    right = logits[np.arange(8), batch["labels"]]
    entropy = np.mean(np.log(np.exp(logits).sum(axis=1)) - right)
    assert values["cross_entropy"] == pytest.approx(entropy, rel=1e-5)
    assert values["accuracy"] == np.mean(logits.argmax(axis=1) == batch["labels"])
    decay = half_squares([*kernels(network), objective.head.kernel])
    assert values["weight_decay"] == pytest.approx(decay, rel=1e-5)
    assert float(total) == values["total"]
    assert values["total"] == pytest.approx(
        entropy
        + CONFIG.center_loss_factor * values["center_loss"]
        + CONFIG.prelogits_norm_factor * values["prelogits_norm"]
        + CONFIG.weight_decay * decay,
        rel=1e-5,
    )
    # Four images of a person each move its center by one minus alpha.
    assert values["center_step"] == pytest.approx(4 * (1 - CONFIG.center_loss_alpha))
    assert np.any(objective.center_loss.centers[0] != 0)


def test_sampled_identities_follow_from_seed_and_step(network, batch):
    config = dataclasses.replace(CONFIG, sampled_identities=2)
    objective = objective_of(config, network, 1000)

    def entropy(step):
        computed = objective.compute(network, batch, tf.constant(step, tf.int64))
        return float(computed.values["cross_entropy"])

    assert entropy(3) == entropy(3)
    assert len({entropy(step) for step in range(5)}) > 1


def test_validation_is_in_inference_mode_and_moves_nothing(network, batch):
    objective = objective_of(CONFIG, network, 3)
    before = [np.asarray(v) for v in [*network.variables, objective.center_loss.centers]]
    entropies, right = objective.validate(network, batch)
    logits, *_ = objective.head(
        network(batch["images"], training=False), batch["labels"], tf.zeros(3, tf.int64)
    )
    expected = tf.nn.sparse_softmax_cross_entropy_with_logits(batch["labels"], logits)
    np.testing.assert_allclose(entropies, expected, rtol=1e-6)
    np.testing.assert_array_equal(right, tf.argmax(logits, axis=1) == batch["labels"])
    after = [*network.variables, objective.center_loss.centers]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def test_triplets_are_mined_in_inference_mode_and_computed_in_training_mode(
    network, batch, monkeypatch
):
    objective = objective_of(TRIPLETS, network, 3)
    mined = {}
    chosen = np.array([[0, 1, 4], [5, 6, 2]])

    def select(embeddings, labels, step):
        mined.update(embeddings=embeddings, labels=labels, step=step)
        return chosen

    monkeypatch.setattr(objective, "_select", select)
    inference = l2_normalize(network(batch["images"], training=False)).numpy()
    total, prelogits, values = objective.compute(network, batch, STEP)
    np.testing.assert_array_equal(mined["embeddings"], inference)
    np.testing.assert_array_equal(mined["labels"], batch["labels"])
    assert mined["step"] == 3
    computed = l2_normalize(prelogits).numpy().astype(np.float64)
    assert not np.allclose(computed, inference)  # batch statistics are not the moving ones
    anchor, positive, negative = (computed[column] for column in chosen.T)
    to_positive, to_negative = (
        np.square(anchor - other).sum(axis=1) for other in (positive, negative)
    )
    losses = np.maximum(0, to_positive - to_negative + TRIPLETS.triplet_margin)
    values = {name: float(value) for name, value in values.items()}
    assert tuple(values) == objective.columns
    assert values["triplet_loss"] == pytest.approx(losses.mean(), rel=1e-4)
    assert values["active_fraction"] == np.mean(losses > 0)
    assert values["triplets"] == 2
    decay = half_squares(kernels(network))
    assert values["weight_decay"] == pytest.approx(decay, rel=1e-5)
    assert (
        values["total"]
        == float(total)
        == pytest.approx(
            losses.mean()
            + TRIPLETS.prelogits_norm_factor * values["prelogits_norm"]
            + TRIPLETS.weight_decay * decay,
            rel=1e-4,
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize("selection", ["margin_violating", "semi_hard", "batch_hard"])
def test_a_triplet_step_compiles_and_has_gradients(network, batch, selection):
    config = dataclasses.replace(TRIPLETS, triplet_selection=selection)
    objective = objective_of(config, network, 3)

    @tf.function
    def step(batch):
        with tf.GradientTape() as tape:
            total, *_ = objective.compute(network, batch, STEP)
        return tape.gradient(total, network.trainable_variables)

    gradients = step(batch)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert any(np.any(np.abs(gradient) > 1e-6) for gradient in gradients)


def test_an_overshooting_center_is_warned_of_once(network):
    objective = objective_of(CONFIG, network, 3)
    assert objective.check({"center_step": MOST_CENTER_STEP}) == Check()
    first, second = (objective.check({"center_step": 4.0}) for _ in range(2))
    assert "center moves 4 times" in first.warning
    assert not (first.failure or first.is_doubtful)
    assert second == Check()


def test_a_collapse_is_doubtful_at_first_and_a_failure_if_it_lasts(network):
    objective = objective_of(TRIPLETS, network, 3)
    small, large = {"spread": COLLAPSED_SPREAD / 2}, {"spread": COLLAPSED_SPREAD}
    for _ in range(COLLAPSED_STEPS - 1):
        assert objective.check(small) == Check(is_doubtful=True)
    assert objective.check(large) == Check()  # the steps are those in a row
    assert objective.check({"spread": float("nan")}) == Check()  # the total tells of it
    for _ in range(COLLAPSED_STEPS - 1):
        assert not objective.check(small).failure
    failed = objective.check(small)
    assert f"for {COLLAPSED_STEPS} steps" in failed.failure
    assert failed.is_doubtful


def test_triplets_have_no_figures_of_images_held_out(network, batch):
    objective = objective_of(TRIPLETS, network, 3)
    assert objective.validate(network, batch) == objective.validation_columns == ()
