"""Glasses: before the eyes, and three kinds of them."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from passport_pictures import PLAIN, difference, face_of

from facenet_lib.drawn_faces.nuisance import GLASSES


def test_glasses_are_before_the_eyes_alone() -> None:
    changed = difference(face_of(PLAIN), face_of(PLAIN, glasses="round", glasses_colour=(0, 0, 0)))
    assert changed[36:52, 28:68].max() > 60
    assert not changed[:30].any() and not changed[60:].any()


def test_their_kinds_differ() -> None:
    pictures = [face_of(PLAIN, glasses=kind, glasses_colour=(0, 0, 0)) for kind in GLASSES]
    for first, second in itertools.combinations(pictures, 2):
        assert (difference(first, second) > 20).sum() > 10


def test_they_turn_with_the_head() -> None:
    bald = dataclasses.replace(PLAIN, hair_style="bald")
    columns = []
    for yaw in (-30.0, 30.0):
        worn = face_of(bald, yaw=yaw, glasses="square", glasses_colour=(0, 0, 0))
        columns.append(np.nonzero(difference(face_of(bald, yaw=yaw), worn) > 15)[1])
    assert columns[0].min() < columns[1].min() and columns[0].max() < columns[1].max()
