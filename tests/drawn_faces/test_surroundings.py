"""The surroundings: a wall above, a floor below, darker around the feet."""

from __future__ import annotations

import dataclasses

import numpy as np
from passport_pictures import PASSPORT

from facenet_lib.drawn_faces.camera import draw_background
from facenet_lib.drawn_faces.layer import Place
from facenet_lib.drawn_faces.scene import Person, Scene
from facenet_lib.drawn_faces.surroundings import draw_surroundings

EMPTY = Scene(width=120, height=100, camera=PASSPORT, floor=60.0, people=())


def test_a_wall_is_above_the_floor() -> None:
    picture = draw_surroundings(EMPTY)
    assert picture.shape == (100, 120, 3)
    wall = draw_background(PASSPORT, 120, 100)
    np.testing.assert_allclose(picture[:57], wall[:57], atol=1e-6)
    assert np.abs(picture[63:] - wall[63:]).mean() > 0.01
    np.testing.assert_array_equal(picture, draw_surroundings(EMPTY))


def test_it_is_darker_around_the_feet_alone() -> None:
    someone = Person(0, PASSPORT, Place(60.0, 20.0, 5.0))  # with feet in row 91
    picture = draw_surroundings(dataclasses.replace(EMPTY, people=(someone,)))
    darker = draw_surroundings(EMPTY) - picture
    assert darker[91, 60].min() > 0.0
    assert darker[:57].max() < 1e-6 and darker[91, :20].max() < 1e-3
