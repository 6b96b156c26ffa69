"""What a run trains on: which faces, in which order, in which batches."""

import dataclasses

import numpy as np
import pytest
from toy_training import CONFIG, changed, train

from facenet_lib.errors import FacenetError
from facenet_lib.filtering import write_distances
from facenet_lib.index_queue import IndexQueue, PeopleQueue, image_and_label_lists
from facenet_lib.input_pipeline import Control, input_pipeline
from facenet_lib.models import preprocessing_of
from facenet_lib.training.batches import (
    augmentation_of,
    prepare_faces,
    sampler_of,
    training_batches,
)


def test_a_classifier_needs_two_people(tmp_path, faces):
    few = {"Known_0": faces["Known_0"], "Known_1": faces["Known_1"][:2]}
    with pytest.raises(FacenetError, match="at least 2 people with 3 or more images, found 1"):
        train(changed(minimum_images=3), few, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_images_far_from_their_persons_mean_are_left_out(tmp_path, faces):
    distances = np.arange(32.0)
    write_distances(tmp_path / "far.csv", faces, distances)
    config = changed(
        filter_distances=str(tmp_path / "far.csv"), filter_percentile=75.0, minimum_images=3
    )
    prepared = prepare_faces(config, faces)
    kept = prepared.training
    assert not prepared.held_out
    assert sum(len(paths) for paths in kept.values()) == 24
    assert list(kept) == list(faces)[:3]  # the last person's are the furthest


LABELS = [0, 0, 0, 0, 1, 1, 1, 1, 1]


def test_triplets_are_drawn_from_batches_of_people_and_the_others_from_the_index_queue():
    queue = sampler_of(changed(seed=3), LABELS)
    np.testing.assert_array_equal(queue.peek_many(20), IndexQueue(9, 3).peek_many(20))
    people = sampler_of(changed(loss="triplet", seed=3), LABELS)
    expected = PeopleQueue(LABELS, people_per_batch=2, images_per_person=4, seed=3)
    np.testing.assert_array_equal(people.peek_many(20), expected.peek_many(20))
    with pytest.raises(
        FacenetError,
        match=r"^batch_size: 16, with 4 images_per_person, needs at least 4 people with two ",
    ):
        sampler_of(changed(loss="triplet", batch_size=16), LABELS)


@pytest.mark.parametrize("name", ["random_rotate", "random_crop", "random_flip"])
def test_each_augmentation_is_a_bit(name):
    none = changed(random_rotate=False, random_crop=False, random_flip=False)
    control = augmentation_of(dataclasses.replace(none, **{name: True}))
    assert control == preprocessing_of(none).control | Control[name.upper()]
    assert augmentation_of(none) == preprocessing_of(none).control


def test_batches_are_those_of_the_pipeline_from_a_place_in_the_run(faces):
    paths, labels = image_and_label_lists(faces)
    found = list(training_batches(CONFIG, paths[:16], labels[:16], first_index=40))
    expected = input_pipeline(
        paths[:16],
        labels=labels[:16],
        controls=augmentation_of(CONFIG),
        preprocessing=preprocessing_of(CONFIG),
        batch_size=CONFIG.batch_size,
        seed=CONFIG.seed,
        first_index=40,
    )
    for batch, wanted in zip(found, expected, strict=True):
        for name, value in wanted.items():
            np.testing.assert_array_equal(batch[name], value, err_msg=name)


def test_what_is_not_trained_on_is_told_with_the_reason(tmp_path, faces):
    few = {name: paths[: number + 1] for number, (name, paths) in enumerate(faces.items())}
    prepared = prepare_faces(changed(loss="triplet"), few)
    assert [str(told) for told in prepared.left_out] == [
        "left out people with fewer than 2 images: 1 (Known_0)"
    ]
    assert str(prepared) == "training on 3 people with 9 images"

    write_distances(tmp_path / "far.csv", few, np.arange(10.0))
    filtered = changed(
        filter_distances=str(tmp_path / "far.csv"),
        filter_percentile=75.0,
        minimum_images=2,
        validation_part=0.1,
    )
    prepared = prepare_faces(filtered, few)
    assert [str(told) for told in prepared.left_out] == [
        "left out images beyond percentile 75 of the distances: 3 "
        "(Known_3/Known_3_0002.jpg, Known_3/Known_3_0003.jpg, Known_3/Known_3_0004.jpg)",
        "left out people with fewer than 2 images: 2 (Known_0, Known_3)",
    ]
    assert (
        str(prepared) == "training on 2 people with 4 images, validating on 1 person with 1 image"
    )
    assert prepare_faces(CONFIG, faces).left_out == ()
