"""Triplets and their loss against the definitions, written out with loops."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from facenet_lib import triplet_loss as module
from facenet_lib.errors import FacenetError
from facenet_lib.triplet_loss import (
    COLLAPSED_SPREAD,
    explain_collapse,
    select_triplets,
    spread,
    triplet_loss,
)

RANDOM_NEGATIVES = ["margin_violating", "semi_hard"]
SELECTIONS = [*RANDOM_NEGATIVES, "batch_hard"]


# Selection


def naive_distances(embeddings: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances of all rows, from their differences."""
    wide = embeddings.astype(np.float64)
    return np.sum((wide[:, np.newaxis] - wide[np.newaxis]) ** 2, axis=2)


def naive_allowed(
    embeddings: np.ndarray, labels: np.ndarray, margin: float, selection: str
) -> dict[tuple[int, int], set[int]]:
    """The negatives that each pair of anchor and positive may take; the reference's loops."""
    d = naive_distances(embeddings)
    allowed = {}
    for a in range(len(labels)):
        for p in range(a + 1, len(labels)):
            if labels[a] != labels[p]:
                continue
            allowed[a, p] = {
                n
                for n in range(len(labels))
                if labels[n] != labels[a]
                and d[a, n] - d[a, p] < margin
                and (selection == "margin_violating" or d[a, p] < d[a, n])
            }
    return allowed


def naive_batch_hard(embeddings: np.ndarray, labels: np.ndarray) -> list[tuple[int, int, int]]:
    d = naive_distances(embeddings)
    triplets = []
    for a in range(len(labels)):
        positives = [p for p in range(len(labels)) if labels[p] == labels[a] and p != a]
        negatives = [n for n in range(len(labels)) if labels[n] != labels[a]]
        if positives and negatives:  # max and min return the first of equal ones
            triplets.append(
                (a, max(positives, key=lambda p: d[a, p]), min(negatives, key=lambda n: d[a, n]))
            )
    return triplets


def check_triplets(triplets: np.ndarray, allowed: dict[tuple[int, int], set[int]]) -> None:
    """Every pair with an allowed negative has one triplet, with such a negative; no other has."""
    assert triplets.dtype == np.int64
    assert triplets.shape == (len(triplets), 3)
    pairs = [(int(a), int(p)) for a, p, _ in triplets]
    assert sorted(pairs) == sorted(pair for pair, negatives in allowed.items() if negatives)
    for pair, n in zip(pairs, triplets[:, 2].tolist(), strict=True):
        assert n in allowed[pair]


def unit_vectors(rng: np.random.Generator, rows: int, features: int) -> np.ndarray:
    vectors = rng.standard_normal((rows, features))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def with_copies(rng: np.random.Generator, rows: int, features: int) -> np.ndarray:
    """Unit vectors of which many stand there more than once."""
    few = unit_vectors(rng, max(1, rows // 2), features)
    return few[rng.integers(0, len(few), rows)]


def on_a_lattice(rng: np.random.Generator, rows: int, features: int) -> np.ndarray:
    """Multiples of 1/2: many distances are equal, and float64 holds them exactly."""
    return (rng.integers(-2, 3, (rows, features)) / 2).astype(np.float32)


def nearly_alike(rng: np.random.Generator, rows: int, features: int) -> np.ndarray:
    """One vector, and the float32 numbers next to it."""
    one = unit_vectors(rng, 1, features)
    return one + np.spacing(one) * rng.integers(-2, 3, (rows, features)).astype(np.float32)


BATCHES = st.tuples(
    st.sampled_from([unit_vectors, with_copies, on_a_lattice, nearly_alike]),
    st.lists(st.integers(-2, 3), min_size=1, max_size=24),
    st.integers(1, 6),
    st.sampled_from([0.25, 0.5, 1.0, 3.0, 0.2, 1e-14, 1e9]),
    st.integers(0, 2**32 - 1),
)


@pytest.mark.parametrize("selection", RANDOM_NEGATIVES)
@settings(deadline=None, max_examples=150)
@given(batch=BATCHES)
def test_triplets_are_those_of_the_definition(selection: str, batch) -> None:
    make, labels, features, margin, seed = batch
    labels = np.array(labels)
    embeddings = make(np.random.default_rng(seed), len(labels), features)
    triplets = select_triplets(embeddings, labels, margin, selection, seed)
    check_triplets(triplets, naive_allowed(embeddings, labels, margin, selection))


@settings(deadline=None, max_examples=150)
@given(batch=BATCHES)
def test_batch_hard_is_the_furthest_positive_and_the_nearest_negative(batch) -> None:
    make, labels, features, margin, seed = batch
    labels = np.array(labels)
    embeddings = make(np.random.default_rng(seed), len(labels), features)
    triplets = select_triplets(embeddings, labels, margin, "batch_hard", seed)
    assert triplets.shape == (len(triplets), 3)
    found = sorted(tuple(row) for row in triplets.tolist())
    assert found == naive_batch_hard(embeddings, labels)


@pytest.mark.slow
@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0, 30.0])
@pytest.mark.parametrize("selection", SELECTIONS)
def test_larger_batches_of_every_difficulty(selection: str, noise: float, shuffled: bool) -> None:
    """From people far apart to no people at all, some with one image; 32 features, float32."""
    rng = np.random.default_rng(5)
    labels = np.repeat(np.arange(9), [1, 30, 2, 17, 1, 25, 8, 40, 16])
    centers = unit_vectors(rng, 9, 32)
    embeddings = centers[labels] + noise * unit_vectors(rng, len(labels), 32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    embeddings[40:60] = embeddings[20:40]  # some are alike, within people and across
    if shuffled:
        labels = rng.permutation(labels)
    triplets = select_triplets(embeddings, labels, 0.2, selection, 1)
    if selection == "batch_hard":
        found = sorted(tuple(row) for row in triplets.tolist())
        assert found == naive_batch_hard(embeddings, labels)
    else:
        check_triplets(triplets, naive_allowed(embeddings, labels, 0.2, selection))


@pytest.mark.slow
@pytest.mark.parametrize("narrowings", [0, 1, 3])
@pytest.mark.parametrize(("selection", "margin"), [("margin_violating", 0.4), ("semi_hard", 0.7)])
def test_every_allowed_negative_is_equally_likely(
    selection: str, margin: float, narrowings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether they are found by listing alone, or by proposals with a list for what is left."""
    monkeypatch.setattr(module, "_NARROWINGS", narrowings)
    monkeypatch.setattr(module, "_PROPOSALS", 2)
    rng = np.random.default_rng(3)
    labels = rng.permutation(np.repeat([0, 1, 2, 3], [6, 4, 7, 1]))
    embeddings = unit_vectors(rng, 18, 3)
    allowed = naive_allowed(embeddings, labels, margin, selection)
    sizes = sorted({len(negatives) for negatives in allowed.values()})
    assert sizes[0] == 0  # few and many are there
    assert 1 in sizes
    assert sizes[-1] >= 6
    seeds = 1200
    drawn = [select_triplets(embeddings, labels, margin, selection, seed) for seed in range(seeds)]
    counts = Counter(tuple(row) for row in np.concatenate(drawn).tolist())
    statistic, freedom = 0.0, 0
    for pair, negatives in allowed.items():
        for n in negatives:
            expected = seeds / len(negatives)
            statistic += (counts[*pair, n] - expected) ** 2 / expected
        freedom += max(0, len(negatives) - 1)
    assert abs(statistic - freedom) < 5 * np.sqrt(2 * freedom)


@pytest.mark.slow
def test_the_pairs_of_one_anchor_draw_independently() -> None:
    """All eight negatives are allowed: both pairs take the same one in an eighth of the draws."""
    rng = np.random.default_rng(0)
    embeddings, labels = unit_vectors(rng, 11, 4), np.array([0] * 3 + [1] * 8)
    both = np.array(
        [
            select_triplets(embeddings, labels, 9.0, "margin_violating", seed)[:2, 2]
            for seed in range(1600)
        ]
    )
    table = np.zeros((8, 8))
    np.add.at(table, tuple(both.T - 3), 1)
    assert abs(((table - 25) ** 2 / 25).sum() - 63) < 5 * np.sqrt(2 * 63)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_equal_seeds_give_equal_triplets(selection: str) -> None:
    rng = np.random.default_rng(0)
    embeddings, labels = unit_vectors(rng, 40, 8), np.repeat(np.arange(5), 8)

    def select(seed: int | tuple[int, ...]) -> np.ndarray:
        return select_triplets(embeddings, labels, 0.5, selection, seed)

    np.testing.assert_array_equal(select(3), select(3))
    np.testing.assert_array_equal(select((3, 9)), select((3, 9)))
    alike = selection == "batch_hard"
    assert np.array_equal(select(3), select(4)) == alike
    assert np.array_equal(select((3, 9)), select((3, 8))) == alike


def test_order_is_by_label_then_anchor_then_positive() -> None:
    embeddings = unit_vectors(np.random.default_rng(0), 8, 2)
    triplets = select_triplets(embeddings, [1, 0, 1, 0, 1, 0, 0, 1], 9.0, "margin_violating", 0)
    of_0 = [[1, 3], [1, 5], [1, 6], [3, 5], [3, 6], [5, 6]]
    of_1 = [[0, 2], [0, 4], [0, 7], [2, 4], [2, 7], [4, 7]]
    assert triplets[:, :2].tolist() == of_0 + of_1


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("labels", [[0], [4, 4, 4], [0, 1, 2]])
def test_without_positives_or_negatives_there_is_no_triplet(
    selection: str, labels: list[int]
) -> None:
    embeddings = unit_vectors(np.random.default_rng(0), len(labels), 4)
    triplets = select_triplets(embeddings, labels, 0.2, selection, 0)
    assert triplets.shape == (0, 3)
    assert triplets.dtype == np.int64


@pytest.mark.parametrize("selection", SELECTIONS)
def test_how_the_numbers_lie_in_memory_changes_nothing(selection: str) -> None:
    rng = np.random.default_rng(0)
    embeddings, labels = on_a_lattice(rng, 30, 6), rng.integers(0, 5, 30)
    expected = select_triplets(embeddings, labels, 0.5, selection, 0)
    twice = np.repeat(np.repeat(embeddings, 2, axis=0), 2, axis=1)[::2, ::2]
    for same in (
        np.asfortranarray(embeddings),
        twice,
        embeddings.astype(np.float16),
        embeddings.astype(np.float64),
        embeddings.tolist(),
        tf.constant(embeddings),
    ):
        found = select_triplets(same, labels.astype(np.uint8), 0.5, selection, 0)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("rows", [50, 100, 151])
def test_equal_embeddings_are_equally_far(rows: int) -> None:
    """A matrix product rounds equal rows differently; zeros of both signs are equal besides."""
    rng = np.random.default_rng(rows)
    embeddings = with_copies(rng, rows, 128)
    embeddings[:, 0] = np.where(np.arange(rows) % 3, -0.0, 0.0)
    labels = rng.integers(0, 4, rows)
    # No two different distances are as close as this: what is further is further by more.
    assert len(select_triplets(embeddings, labels, 1e-9, "semi_hard", 0)) == 0
    found = select_triplets(embeddings, labels, 1e-9, "batch_hard", 0)
    assert sorted(map(tuple, found.tolist())) == naive_batch_hard(embeddings, labels)


@pytest.mark.parametrize("selection", RANDOM_NEGATIVES)
def test_distances_of_a_collapsed_batch_are_still_told_apart(selection: str) -> None:
    """They are of the order of 1e-18 between vectors of length one."""
    rng = np.random.default_rng(0)
    embeddings = 0.25 + 2.0**-30 * rng.integers(-2, 3, (40, 16))
    labels, margin = rng.integers(0, 5, 40), 2.0**-57
    allowed = naive_allowed(embeddings, labels, margin, selection)
    assert 0 < sum(map(bool, allowed.values())) < len(allowed)
    check_triplets(select_triplets(embeddings, labels, margin, selection, 0), allowed)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"embeddings": np.zeros(4)}, r"embeddings: .* \(n, features\), found float64 of shape"),
        ({"embeddings": np.zeros((4, 0))}, "embeddings: expected floating point numbers"),
        ({"embeddings": np.zeros((0, 3)), "labels": []}, "embeddings: expected floating point"),
        ({"embeddings": np.zeros((4, 2), int)}, "embeddings: .* found int64"),
        ({"embeddings": [[1.0], [1.0, 2.0]]}, "embeddings: expected rows of one length"),
        ({"embeddings": [[0.0], [np.nan], [1.0], [1.0]]}, "embeddings: row 1: .* found nan"),
        ({"embeddings": [[0.0], [1.0], [np.inf], [1.0]]}, "embeddings: row 2: .* found inf"),
        ({"embeddings": [[0.0], [1.0], [1.0], [-1e200]]}, r"embeddings: row 3: .* found 1e\+200"),
        ({"labels": [0, 0, 1]}, r"labels: expected integers of shape \(4,\), found .* \(3,\)"),
        ({"labels": [0.0, 0.0, 1.0, 1.0]}, "labels: expected integers .* found float64"),
        ({"labels": [[0], [0], [1], [1]]}, r"labels: .* found int64 of shape \(4, 1\)"),
        ({"margin": 0.0}, r"margin: expected a number in \(0, inf\), found 0.0"),
        ({"margin": -0.2}, "margin: .* found -0.2"),
        ({"margin": float("nan")}, "margin: .* found nan"),
        ({"margin": float("inf")}, "margin: .* found inf"),
        ({"margin": "0.2"}, "margin: .* found '0.2'"),
        ({"selection": "hard"}, "'margin_violating' or 'semi_hard' or 'batch_hard', found 'hard'"),
        ({"seed": -1}, "seed: expected an integer of at least 0, found -1"),
        ({"seed": (1, 2.5)}, "seed: .* found 2.5"),
        ({"seed": None}, "seed: .* found None"),
    ],
)
def test_bad_arguments_of_the_selection_are_refused(changed: dict, words: str) -> None:
    arguments = {
        "embeddings": [[0.0], [1.0], [0.5], [2.0]],
        "labels": [0, 0, 1, 1],
        "margin": 0.2,
        "selection": "margin_violating",
        "seed": 0,
    }
    assert len(select_triplets(**arguments))
    with pytest.raises(FacenetError, match=words):
        select_triplets(**(arguments | changed))


# The loss


def naive_triplet_loss(
    embeddings: np.ndarray, triplets: np.ndarray, margin: float
) -> tuple[float, float, np.ndarray]:
    """Loss, active fraction and gradient, one triplet at a time."""
    losses = []
    gradient = np.zeros(embeddings.shape)
    for a, p, n in triplets:
        anchor, positive, negative = embeddings[[a, p, n]].astype(np.float64)
        nearer = np.sum((anchor - positive) ** 2)
        loss = nearer - np.sum((anchor - negative) ** 2) + margin
        losses.append(max(0.0, loss))
        if loss > 0:
            gradient[a] += 2 * (negative - positive) / len(triplets)
            gradient[p] += 2 * (positive - anchor) / len(triplets)
            gradient[n] += 2 * (anchor - negative) / len(triplets)
    return float(np.mean(losses)), float(np.mean(np.array(losses) > 0)), gradient


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.integers(3, 12), st.integers(1, 8), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_loss_and_gradient_are_those_of_the_definition(
    n: int, features: int, count: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    embeddings = unit_vectors(rng, n, features)
    triplets = rng.integers(0, n, (count, 3))  # a row may stand in several, and twice in one
    expected_loss, expected_active, expected_gradient = naive_triplet_loss(
        embeddings, triplets, 0.3
    )
    variable = tf.Variable(embeddings)
    with tf.GradientTape() as tape:
        loss, active_fraction = triplet_loss(variable, tf.constant(triplets), 0.3)
    assert loss.dtype == active_fraction.dtype == tf.float32
    assert float(loss) == pytest.approx(expected_loss, rel=1e-5, abs=1e-6)
    assert float(active_fraction) == pytest.approx(expected_active)
    gradient = tf.convert_to_tensor(tape.gradient(loss, variable))
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-5)


def test_numbers_to_check_by_eye() -> None:
    """0 against 1 and 2: 1 - 4 + 0.5 is below 0; the other way round 4 - 1 + 0.5 is the loss."""
    embeddings = tf.constant([[0.0], [1.0], [2.0]])
    assert [float(x) for x in triplet_loss(embeddings, [[0, 1, 2]], 0.5)] == [0.0, 0.0]
    assert [float(x) for x in triplet_loss(embeddings, [[0, 2, 1]], 0.5)] == [3.5, 1.0]
    both = triplet_loss(embeddings, [[0, 1, 2], [0, 2, 1]], 0.5)
    assert [float(x) for x in both] == [1.75, 0.5]


def test_the_selected_triplets_are_the_active_ones() -> None:
    """Whatever violates the margin has a loss, so that no selected triplet is without gradient."""
    rng = np.random.default_rng(0)
    embeddings, labels = unit_vectors(rng, 40, 8), np.repeat(np.arange(5), 8)
    for selection in RANDOM_NEGATIVES:
        triplets = select_triplets(embeddings, labels, 0.2, selection, 0)
        assert float(triplet_loss(tf.constant(embeddings), triplets, 0.2).active_fraction) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True])
def test_without_triplets_loss_and_gradient_are_zero(compiled: bool) -> None:
    def with_gradient(embeddings: tf.Tensor, triplets: tf.Tensor) -> tuple[tf.Tensor, ...]:
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            loss, active_fraction = triplet_loss(embeddings, triplets, 0.2)
        return loss, active_fraction, tf.convert_to_tensor(tape.gradient(loss, embeddings))

    call = tf.function(with_gradient) if compiled else with_gradient
    embeddings = tf.constant(unit_vectors(np.random.default_rng(0), 5, 4))
    loss, active_fraction, gradient = call(embeddings, tf.zeros((0, 3), tf.int64))
    assert float(loss) == 0.0
    assert float(active_fraction) == 0.0
    np.testing.assert_array_equal(gradient, np.zeros((5, 4)))


def test_one_compiled_step_serves_any_number_of_rows_and_triplets() -> None:
    signature = [tf.TensorSpec((None, 4)), tf.TensorSpec((None, 3), tf.int64)]
    compiled = tf.function(lambda e, t: triplet_loss(e, t, 0.2), input_signature=signature)
    rng = np.random.default_rng(0)
    for n, count in ((3, 1), (8, 20), (5, 0)):
        embeddings = tf.constant(unit_vectors(rng, n, 4))
        triplets = tf.constant(rng.integers(0, n, (count, 3)))
        for found, expected in zip(
            compiled(embeddings, triplets), triplet_loss(embeddings, triplets, 0.2), strict=True
        ):
            assert float(found) == pytest.approx(float(expected))


def test_half_precision_embeddings_have_a_float32_loss() -> None:
    embeddings = tf.cast(unit_vectors(np.random.default_rng(0), 3, 4), tf.bfloat16)
    loss, _ = triplet_loss(embeddings, [[0, 1, 2]], 0.2)
    expected, _ = triplet_loss(tf.cast(embeddings, tf.float32), [[0, 1, 2]], 0.2)
    assert loss.dtype == tf.float32
    assert float(loss) == float(expected)


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("triplet", [[0, 1, 3], [-1, 1, 2]])
def test_a_triplet_of_rows_that_are_not_there_is_refused(
    triplet: list[int], compiled: bool
) -> None:
    call = tf.function(triplet_loss) if compiled else triplet_loss
    with pytest.raises(tf.errors.InvalidArgumentError, match="below the number of embeddings"):
        call(tf.zeros((3, 2)), tf.constant([[0, 1, 2], triplet]), 0.2)


@pytest.mark.parametrize(
    ("embeddings", "triplets", "margin", "words"),
    [
        (
            np.zeros(3, np.float32),
            [[0, 1, 2]],
            0.2,
            r"embeddings: .* found float32 of shape \(3,\)",
        ),
        (np.zeros((3, 2), np.float32), [0, 1, 2], 0.2, r"triplets: .* found int32 of shape \(3,\)"),
        (
            np.zeros((3, 2), np.float32),
            [[0, 1]],
            0.2,
            r"triplets: .* found int32 of shape \(1, 2\)",
        ),
        (np.zeros((3, 2), np.int32), [[0, 1, 2]], 0.2, "embeddings: .* found int32"),
        (np.zeros((3, 2), np.float32), [[0.0, 1.0, 2.0]], 0.2, "triplets: .* found float32"),
        (np.zeros((3, 2), np.float32), [[0, 1, 2]], 0.0, "margin: .* found 0.0"),
    ],
)
def test_bad_arguments_of_the_loss_are_refused(embeddings, triplets, margin, words: str) -> None:
    with pytest.raises(FacenetError, match=words):
        triplet_loss(embeddings, triplets, margin)


# Collapse


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 20), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_spread_is_one_minus_the_squared_mean_and_half_the_mean_distance(
    n: int, features: int, seed: int
) -> None:
    embeddings = unit_vectors(np.random.default_rng(seed), n, features)
    found = float(spread(tf.constant(embeddings)))
    length = np.linalg.norm(embeddings.astype(np.float64).mean(axis=0))
    assert found == pytest.approx(1 - length**2, abs=1e-6)
    assert found == pytest.approx(naive_distances(embeddings).mean() / 2, abs=1e-6)


def test_a_small_spread_is_not_lost_to_rounding() -> None:
    offset = np.zeros((64, 8), np.float32)
    offset[:, 1] = np.where(np.arange(64) % 2, 1e-5, -1e-5)
    embeddings = np.eye(1, 8, dtype=np.float32) + offset
    assert float(spread(tf.constant(embeddings))) == pytest.approx(1e-10, rel=1e-4)
    assert float(spread(tf.ones((5, 3)))) == 0.0


def test_spread_is_the_same_in_a_compiled_step() -> None:
    compiled = tf.function(spread, input_signature=[tf.TensorSpec((None, 4))])
    for n in (1, 6):
        embeddings = tf.constant(unit_vectors(np.random.default_rng(n), n, 4))
        assert float(compiled(embeddings)) == pytest.approx(float(spread(embeddings)))
    assert spread(tf.zeros((2, 2), tf.bfloat16)).dtype == tf.float32


@pytest.mark.parametrize("people", [3, 10, 45])
def test_people_who_are_a_margin_apart_have_not_collapsed(people: int) -> None:
    """Each person at one point, all points equally far apart: the least that the margin asks."""
    margin = 0.2
    corners = np.eye(people) * np.sqrt(margin / 2)
    points = np.concatenate([corners, np.full((people, 1), np.sqrt(1 - margin / 2))], axis=1)
    embeddings = np.repeat(points, 4, axis=0).astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-6)
    assert float(spread(tf.constant(embeddings))) > COLLAPSED_SPREAD
    # Half as far apart, squared, is below for any number of people.
    centre = embeddings.mean(axis=0)
    nearer = centre + (embeddings - centre) * np.sqrt(0.5)
    assert float(spread(tf.constant(nearer))) < COLLAPSED_SPREAD


def test_a_collapsed_batch_stands_at_the_margin() -> None:
    embeddings = tf.ones((12, 4)) / 2
    labels = np.repeat(np.arange(3), 4)
    triplets = select_triplets(embeddings.numpy(), labels, 0.2, "margin_violating", 0)
    assert len(triplets) == 18  # every pair: any negative violates the margin
    assert float(triplet_loss(embeddings, triplets, 0.2).loss) == pytest.approx(0.2)
    assert float(spread(embeddings)) < COLLAPSED_SPREAD


@pytest.mark.parametrize("bad", [np.zeros(3, np.float32), np.zeros((3, 2), np.int32)])
def test_what_has_no_spread_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(FacenetError, match="embeddings: expected floating point numbers of shape"):
        spread(bad)


def test_the_explanation_says_what_was_seen_and_what_helps() -> None:
    text = explain_collapse(0.0123, margin=0.35, steps=17)
    for word in ("17 steps", f"{COLLAPSED_SPREAD:g}", "0.012", "0.35", *SELECTIONS):
        assert word in text
    assert "lower learning rate" in text
