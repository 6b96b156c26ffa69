"""Faces to names: the nearest person below the threshold, or nobody."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facenet_lib.errors import FacenetError
from facenet_lib.recognition.fingerprint import Fingerprint
from facenet_lib.recognition.gallery import Gallery
from facenet_lib.recognition.identification import identify


def on_circle(*degrees: float):
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def circle(**people: float) -> Gallery:
    gallery = Gallery(Fingerprint("circle", np.eye(4, 2, dtype=np.float32)))
    for name, degrees in people.items():
        gallery.enroll(name, on_circle(degrees), ["1"])
    return gallery


@given(face=st.floats(0, 360), threshold=st.floats(0.01, 4))
def test_a_face_gets_the_nearest_name_or_none(face, threshold):
    people = {"Ann": 10.0, "Bea": 100.0, "Cid": 190.0}
    (found,) = identify(circle(**people), on_circle(face), threshold)
    apart = {name: 2 - 2 * np.cos(np.radians(face - there)) for name, there in people.items()}
    first, second = sorted(apart, key=lambda name: apart[name])[:2]
    assert found.distance == pytest.approx(apart[first], abs=1e-5)
    assert found.runner_up_distance == pytest.approx(apart[second], abs=1e-5)
    if apart[second] - apart[first] > 1e-4:
        assert (found.nearest, found.runner_up) == (first, second)
    if abs(apart[first] - threshold) > 1e-4:
        assert found.name == (found.nearest if apart[first] < threshold else None)


def test_a_face_at_the_threshold_is_nobodys():
    (found,) = identify(circle(Ann=0), on_circle(180), threshold=4)
    assert found.distance == 4 and found.name is None and found.nearest == "Ann"


def test_one_person_has_no_runner_up():
    (found,) = identify(circle(Ann=0), on_circle(0), threshold=1)
    assert (found.name, found.runner_up, found.runner_up_distance) == ("Ann", None, None)


@pytest.mark.parametrize("threshold", [0, -1, float("nan"), float("inf"), "high"])
def test_a_threshold_that_is_none_is_refused(threshold):
    with pytest.raises(FacenetError, match="threshold: expected a number"):
        identify(circle(Ann=0), on_circle(0), threshold)
