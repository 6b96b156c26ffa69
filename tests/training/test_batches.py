"""What a run trains on: which faces, in which order, in which batches."""

import numpy as np
import pytest
from toy_training import (
    changed,
    train,
)

from facenet_lib.errors import FacenetError
from facenet_lib.filtering import write_distances
from facenet_lib.training.batches import prepare_faces


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
    kept, held_out = prepare_faces(config, faces)
    assert not held_out
    assert sum(len(paths) for paths in kept.values()) == 24
    assert list(kept) == list(faces)[:3]  # the last person's are the furthest
