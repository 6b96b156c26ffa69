"""Splitting: what is held out depends on the seed alone, and pairs are drawn as LFW's are."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_people import images_of, people

from facenet_lib.errors import FacenetError
from facenet_lib.splitting import draw_pairs, split_faces
from facenet_lib.verification import evaluate

# split_faces ------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=8),
    percent=st.integers(1, 99),
    minimum=st.integers(1, 5),
    seed=st.integers(0, 2**32),
)
def test_of_every_person_the_part_is_held_out_rounded_up(counts, percent, minimum, seed) -> None:
    faces, part = people(*counts), percent / 100
    held = [math.ceil(Fraction(percent, 100) * count) for count in counts]
    held = [h if count - h >= minimum else 0 for h, count in zip(held, counts, strict=True)]
    if not any(held):
        with pytest.raises(FacenetError, match=r"nothing is left to (train|validate) on"):
            split_faces(faces, part, "images", seed, minimum)
        return
    training, validation = split_faces(faces, part, "images", seed, minimum)
    assert [len(validation.get(name, ())) for name in faces] == held
    assert [len(training.get(name, ())) for name in faces] == [
        count - h for count, h in zip(counts, held, strict=True)
    ]
    for name, paths in faces.items():
        both = training.get(name, ()) + validation.get(name, ())
        assert sorted(both) == sorted(paths)
        assert all(side[name] for side in (training, validation) if name in side)


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=30),
    percent=st.integers(1, 99),
    seed=st.integers(0, 2**32),
)
def test_whole_people_are_held_out(counts, percent, seed) -> None:
    faces = people(*counts)
    there = sum(count > 0 for count in counts)
    held = math.ceil(Fraction(percent, 100) * there)
    if held in (0, there):
        with pytest.raises(FacenetError, match=r"split by identities: nothing is left to .* on"):
            split_faces(faces, percent / 100, "identities", seed)
        return
    training, validation = split_faces(faces, percent / 100, "identities", seed)
    assert (len(training), len(validation)) == (there - held, held)
    assert not training.keys() & validation.keys()
    assert training | validation == {name: paths for name, paths in faces.items() if paths}


@pytest.mark.parametrize("by", ["images", "identities"])
def test_a_split_depends_on_the_seed_and_not_on_any_order(by) -> None:
    faces = people(*range(1, 20))
    first = split_faces(faces, 0.3, by, 0)
    assert split_faces(faces, 0.3, by, 0) == first
    assert split_faces(faces, 0.3, by, 1) != first
    backwards = {name: paths[::-1] for name, paths in reversed(faces.items())}
    for side, again in zip(first, split_faces(backwards, 0.3, by, 0), strict=True):
        assert list(side) == [name for name in faces if name in side]
        assert list(again) == list(reversed(side))
        assert {name: paths[::-1] for name, paths in again.items()} == side


def test_every_image_and_everyone_has_the_same_chance_to_be_held_out() -> None:
    faces, seeds = people(4, 4, 4, 4, 4, 4), 2000
    for by in ("images", "identities"):
        held = Counter(
            path
            for seed in range(seeds)
            for path in images_of(split_faces(faces, 0.5, by, seed)[1])
        )
        for path in images_of(faces):
            assert abs(held[path] - seeds / 2) < 5 * math.sqrt(seeds / 4), (by, path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"part": 0}, "part to hold out: expected a number between 0 and 1, found 0"),
        ({"part": 1.0}, "part to hold out"),
        ({"part": -0.1}, "part to hold out"),
        ({"part": float("nan")}, "part to hold out"),
        ({"by": "faces"}, "split by: expected 'images' or 'identities', found 'faces'"),
        ({"seed": -1}, "seed: expected an integer of at least 0, found -1"),
        ({"seed": 0.5}, "seed"),
        ({"minimum_training_images": 0}, "minimum of training images: .* at least 1, found 0"),
        ({"minimum_training_images": True}, "minimum of training images"),
    ],
)
def test_splits_that_are_none(change, told) -> None:
    arguments = {"part": 0.5, "by": "images", "seed": 0, "minimum_training_images": 1}
    with pytest.raises(FacenetError, match=told):
        split_faces(people(4, 4), **(arguments | change))


def test_a_side_without_anybody_is_told_with_the_numbers() -> None:
    with pytest.raises(FacenetError) as caught:
        split_faces(people(1, 1, 1), 0.1, "images", 0)
    assert str(caught.value) == (
        "split by images: nothing is left to validate on when 0.1 is held out of 3 people with 3 "
        "images"
    )
    for one in (people(5), {}):
        with pytest.raises(FacenetError, match="left to train on"):
            split_faces(one, 0.1, "identities", 0)


# draw_pairs -------------------------------------------------------------------------------------


def drawn_folds(faces, *arguments, **options):
    """The pairs of every fold, same and different, each as a set of two images."""
    paths, issame, folds = draw_pairs(faces, *arguments, **options)
    owner = {str(path): name for name, images in faces.items() for path in images}
    assert len(paths) == 2 * len(issame) == 2 * len(folds)
    assert issame.dtype == np.bool_
    assert folds.dtype == np.int64
    pairs = [frozenset(paths[row : row + 2]) for row in range(0, len(paths), 2)]
    assert len(set(pairs)) == len(pairs)
    names = [{owner[path] for path in pair} for pair in pairs]
    assert [len(pair) for pair in pairs] == [2] * len(pairs)
    assert [len(who) == 1 for who in names] == issame.tolist()
    return [
        {same: [names[i] for i in np.flatnonzero((folds == fold) & (issame == same))]
         for same in (True, False)}
        for fold in range(folds.max() + 1)
    ]  # fmt: skip


def who(fold) -> set[str]:
    return set().union(*fold[True], *fold[False])


@pytest.mark.slow
@settings(deadline=None)
@given(
    counts=st.lists(st.integers(1, 9), min_size=20, max_size=60),
    wanted=st.integers(1, 40),
    folds=st.integers(2, 10),
    seed=st.integers(0, 2**32),
)
def test_folds_are_equal_and_share_nobody_where_there_are_people_enough(
    counts, wanted, folds, seed
) -> None:
    faces = people(*counts, *[2] * folds)
    found = drawn_folds(faces, wanted, folds, seed)
    assert len(found) == folds
    sizes = {len(fold[same]) for fold in found for same in (True, False)}
    assert len(sizes) == 1
    assert 1 <= max(sizes) <= wanted
    everyone = [name for fold in found for name in who(fold)]
    assert len(everyone) == len(set(everyone))


def test_as_many_pairs_as_wanted_or_as_there_are() -> None:
    assert [len(fold[True]) for fold in drawn_folds(people(*[4] * 20), 5)] == [5] * 10
    # Two people with two images in each fold: two same pairs, four different ones.
    found = drawn_folds(people(*[2] * 20), 300)
    assert {(len(fold[True]), len(fold[False])) for fold in found} == {(2, 2)}
    # Of two with nine images each in each fold: 72 same, 81 different.
    assert {len(fold[False]) for fold in drawn_folds(people(*[9] * 20), 300)} == {72}


def test_people_with_many_images_are_spread_over_the_folds() -> None:
    """Otherwise one poor fold would leave few pairs to all of them."""
    found = drawn_folds(people(*[20] * 10, *[2] * 40), 300, seed=3)
    same, different = 20 * 19 // 2 + 4, 4 * 20 * 2 + 6 * 2 * 2
    assert [len(fold[True]) for fold in found] == [min(same, different)] * 10


@pytest.mark.parametrize("counts", [(5,) * 4, (9, 1, 1, 1), (3, 3, 3, 3, 3, 3, 3), (2,) * 19])
def test_few_people_share_the_pairs_that_there_are(counts) -> None:
    faces = people(*counts)
    same = sum(math.comb(count, 2) for count in counts)
    different = math.comb(sum(counts), 2) - same
    found = drawn_folds(faces, 300)
    assert sum(len(fold[True]) for fold in found) == min(same, different)
    assert sum(len(fold[False]) for fold in found) == min(same, different)
    for kind in (True, False):
        sizes = [len(fold[kind]) for fold in found]
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= 1
    some = drawn_folds(faces, 1)
    assert {len(fold[kind]) for fold in some for kind in (True, False)} == {1}


def test_someone_with_one_image_is_in_different_pairs_only() -> None:
    faces = people(*[3] * 10, *[1] * 10)
    found = drawn_folds(faces, 300)
    alone = {name for name, paths in faces.items() if len(paths) == 1}
    assert {len(fold[True]) for fold in found} == {3}
    assert not any(alone & names for fold in found for names in fold[True])
    assert any(alone & names for fold in found for names in fold[False])


def test_pairs_depend_on_the_seed_and_not_on_any_order() -> None:
    faces = people(*range(1, 30))
    first = draw_pairs(faces, 7, seed=1)
    backwards = {name: paths[::-1] for name, paths in reversed(faces.items())}
    for again in (draw_pairs(faces, 7, seed=1), draw_pairs(backwards, 7, seed=1)):
        assert again[0] == first[0]
        np.testing.assert_array_equal(again[1], first[1])
        np.testing.assert_array_equal(again[2], first[2])
    assert draw_pairs(faces, 7, seed=2)[0] != first[0]


@pytest.mark.parametrize(
    ("counts", "same", "different"),
    [((), 0, 0), ((9,), 36, 0), ((1,) * 30, 0, 435), ((2,) * 9, 9, 144), ((4, 1), 6, 4)],
)
def test_folds_that_cannot_be_filled(counts, same, different) -> None:
    with pytest.raises(FacenetError) as caught:
        draw_pairs(people(*counts), 5)
    assert str(caught.value) == (
        "pairs to draw: expected at least one same and one different pair for each of 10 folds, "
        f"found {same} same and {different} different pairs of {len(counts)} people"
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [({"pairs_per_fold": 0}, "pairs per fold"), ({"folds": 1}, "folds"), ({"seed": -1}, "seed")],
)
def test_drawing_that_is_none(change, told) -> None:
    with pytest.raises(FacenetError, match=told):
        draw_pairs(people(*[3] * 30), **({"pairs_per_fold": 3} | change))


@pytest.mark.parametrize("counts", [(4,) * 30, (3,) * 6])
def test_drawn_pairs_are_what_verification_takes(counts) -> None:
    """Embeddings that name the person: every pair is told apart."""
    faces = people(*counts)
    paths, issame, folds = draw_pairs(faces, 4)
    identity = {str(path): row for row, images in enumerate(faces.values()) for path in images}
    embeddings = np.eye(len(faces))[[identity[path] for path in paths]]
    result = evaluate(embeddings, issame, folds=folds)
    assert result.accuracy == 1.0
    assert len(result.fold_accuracies) == 10
