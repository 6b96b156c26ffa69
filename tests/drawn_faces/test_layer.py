"""One person of a photograph: the same wherever they stand, and their box around their face."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from passport_pictures import PASSPORT, PLAIN, difference

from facenet_lib.drawn_faces import draw_identity, draw_nuisance, render_face
from facenet_lib.drawn_faces.camera import draw_background, take_photograph
from facenet_lib.drawn_faces.layer import Layer, Place, draw_layer
from facenet_lib.drawn_faces.photographs import compose_layer

FRAME = 300


def layer_at(place: Place, **circumstances: float) -> Layer:
    nuisance = dataclasses.replace(PASSPORT, **circumstances)
    return draw_layer(PLAIN, nuisance, place, FRAME, FRAME)


def test_a_layer_holds_colour_only_where_it_covers() -> None:
    layer = layer_at(Place(150.0, 100.0, 40.0))
    assert layer.colour.shape == (*layer.face.shape, 3)
    assert layer.coverage.shape == (*layer.face.shape, 1)
    assert layer.coverage.min() == 0.0 and layer.coverage.max() == 1.0
    assert not layer.colour[layer.coverage[..., 0] == 0.0].any()
    assert (layer.face <= layer.coverage[..., 0]).all()


def test_the_box_and_the_landmarks_grow_with_the_person() -> None:
    small, large = (layer_at(Place(150.0, 120.0, unit)) for unit in (30.0, 60.0))
    middle = np.array([150.0, 120.0])
    np.testing.assert_allclose(large.landmarks - middle, 2 * (small.landmarks - middle), atol=1e-9)
    corners = [np.reshape(layer.box, (2, 2)) - middle for layer in (small, large)]
    np.testing.assert_allclose(corners[1], 2 * corners[0], atol=2.0)


def test_a_person_who_moves_takes_all_along() -> None:
    here, there = layer_at(Place(100.25, 90.0, 40.0)), layer_at(Place(131.25, 97.0, 40.0))
    np.testing.assert_allclose(there.landmarks - here.landmarks, np.tile((31.0, 7.0), (5, 1)))
    assert np.subtract(there.box, here.box).tolist() == [31.0, 7.0, 31.0, 7.0]


@pytest.mark.parametrize("place", [Place(-10.0, 90.0, 40.0), Place(290.0, 5.0, 40.0)])
def test_the_edge_of_the_photograph_changes_nothing_inside(place: Place) -> None:
    cut = layer_at(place)
    whole = layer_at(Place(place.x + 100.0, place.y + 60.0, place.unit))
    np.testing.assert_allclose(np.subtract(whole.box, cut.box), (100.0, 60.0, 100.0, 60.0))
    rows, columns = cut.face.shape
    top, left = cut.top + 60 - whole.top, cut.left + 100 - whole.left
    same = whole.colour[max(top, 0) : top + rows, max(left, 0) : left + columns]
    ours = cut.colour[max(-top, 0) :, max(-left, 0) :][: same.shape[0], : same.shape[1]]
    same = same[: ours.shape[0], : ours.shape[1]]
    assert ours.size and np.abs(ours - same).mean() < 2e-3


def test_the_box_goes_from_the_hairline_to_the_chin_and_from_cheek_to_cheek() -> None:
    left, top, right, bottom = np.divide(
        np.subtract(layer_at(Place(150.0, 150.0, 60.0)).box, 150.0), 60.0
    )
    assert -0.75 < left < -PLAIN.face_width < PLAIN.face_width < right < 0.75
    assert -PLAIN.hairline - 0.1 < top < -PLAIN.hairline + 0.05
    assert 0.85 < bottom < 1.1


def test_a_fringe_a_beard_and_long_hair_move_no_chin_or_hairline() -> None:
    plain = layer_at(Place(150.0, 150.0, 60.0)).box
    for change in ({"hair_style": "fringe"}, {"beard": "full"}, {"hair_style": "long"}):
        other = dataclasses.replace(PLAIN, **change)
        box = draw_layer(other, PASSPORT, Place(150.0, 150.0, 60.0), FRAME, FRAME).box
        np.testing.assert_allclose(box, plain, atol=0.12 * 60)


@pytest.mark.parametrize("seed", range(4))
def test_a_layer_shows_what_a_picture_of_one_face_shows(seed: int) -> None:
    """The two lay out their samples by different arithmetic; all else is one program."""
    size, identity, how = 96, draw_identity(seed), draw_nuisance(seed)
    unit = size * how.scale / 2.7
    x = size * (0.5 + how.shift_x / 2.7)
    y = size * (0.5 - how.shift_y / 2.7) + 0.05 * unit
    layer = draw_layer(identity, how, Place(x, y, unit), size, size)
    picture, unhidden = np.zeros((size, size, 3), np.float32), np.ones((size, size, 1), np.float32)
    compose_layer(picture, unhidden, layer)
    picture += unhidden * draw_background(how, size, size)
    different = difference(take_photograph(picture, how), render_face(identity, how, size))
    assert (different > 2).mean() < 1e-3


@pytest.mark.parametrize("seed", range(6))
def test_landmarks_lie_in_the_box_in_their_order(seed: int) -> None:
    nuisance = dataclasses.replace(draw_nuisance(seed), roll=0.0)
    layer = draw_layer(draw_identity(seed), nuisance, Place(150.0, 100.0, 50.0), FRAME, FRAME)
    left, top, right, bottom = layer.box
    x, y = layer.landmarks.T
    assert (left < x).all() and (x < right).all() and (top < y).all() and (y < bottom).all()
    assert x[0] < x[1] and x[3] < x[4]
    assert y[:2].max() < y[2] < y[3:].min()


def test_a_body_is_below_the_head_down_to_its_shoes() -> None:
    layer = layer_at(Place(150.0, 30.0, 18.0))
    share = layer.coverage[..., 0].sum(axis=1) / 18.0  # head units covered in each row
    row = (np.arange(share.size) + 0.5 + layer.top - 30.0) / 18.0
    assert (share[(row > -0.9) & (row < 14.0)] > 0.3).all()
    assert 2.5 < share[(row > 2.0) & (row < 6.0)].max() < 4.5
    assert not share[row > 14.6].any()
