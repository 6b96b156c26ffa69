"""The fingerprint: a model is known again, and no other is taken for it."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_embedders import EMBEDDING_SIZE, ColourEmbedder

from facenet_lib.errors import FacenetError
from facenet_lib.recognition.fingerprint import (
    SAME_MODEL_BELOW,
    Fingerprint,
    draw_test_pictures,
    take_fingerprint,
)


def test_a_model_is_known_again_and_another_is_refused_by_name():
    once, again = (take_fingerprint(ColourEmbedder(), name) for name in ("one", "two"))
    assert once.embeddings.shape == (4, EMBEDDING_SIZE)
    once.check_same(again)
    other = take_fingerprint(ColourEmbedder(turned=True), "other")
    with pytest.raises(FacenetError, match="embeddings of the model one, found those of other"):
        once.check_same(other)


def test_another_embedding_size_is_another_model():
    with pytest.raises(FacenetError, match="4 and 5 numbers"):
        Fingerprint("a", np.eye(4, dtype=np.float32)).check_same(
            Fingerprint("b", np.eye(4, 5, dtype=np.float32))
        )


@pytest.mark.parametrize("picture", range(4))
def test_one_picture_that_differs_is_enough(picture):
    ours = np.eye(4, 8, dtype=np.float32)
    theirs = ours.copy()
    angle = 1.1 * np.sqrt(SAME_MODEL_BELOW)
    theirs[picture] = np.cos(angle) * ours[picture] + np.sin(angle) * np.eye(4, 8, 4)[0]
    with pytest.raises(FacenetError, match="apart"):
        Fingerprint("a", ours).check_same(Fingerprint("b", theirs))


def test_what_is_not_a_number_is_refused():
    ours = Fingerprint("a", np.eye(4, dtype=np.float32))
    with pytest.raises(FacenetError, match="apart"):
        ours.check_same(Fingerprint("b", np.full((4, 4), np.nan, np.float32)))


def test_pictures_have_everything_that_preprocessing_can_change():
    pictures = draw_test_pictures().astype(float)
    assert pictures.min() > 0 and pictures.max() < 255  # nothing is clipped
    for picture in pictures:
        assert abs(picture.mean() - 127.5) > 5 and abs(picture.std() - 128) > 20  # standardization
        assert np.abs(picture - picture[:, ::-1]).mean() > 5  # mirror images
        assert np.abs(picture - picture[..., ::-1]).mean() > 5  # BGR for RGB
        assert np.abs(picture[1:] - picture[:-1]).mean() > 1  # windows
