"""A picture: of the size asked for, of one person, and of a head that has three dimensions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from passport_pictures import PASSPORT, PLAIN, SIZE, difference, face_of

from facenet_lib.drawn_faces import Identity, Nuisance, draw_identity, draw_nuisance, render_face
from facenet_lib.drawn_faces import render as rendering
from facenet_lib.drawn_faces.head import build_head
from facenet_lib.drawn_faces.nuisance import NUISANCE_RANGES
from facenet_lib.errors import FacenetError

# One picture ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, 97, 160])
def test_pictures_have_the_size_asked_for(size: int) -> None:
    picture = render_face(PLAIN, PASSPORT, size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("size", [0, 63, -160, 160.0, "160", True, None])
def test_impossible_sizes_are_refused(size: object) -> None:
    with pytest.raises(FacenetError, match="size: expected an integer of at least 64"):
        render_face(PLAIN, PASSPORT, size)


def test_the_same_picture_twice_is_the_same_to_the_last_bit() -> None:
    identity, nuisance = draw_identity(11), draw_nuisance(12)
    first = render_face(identity, nuisance, SIZE)
    build_head.cache_clear()
    np.testing.assert_array_equal(first, render_face(identity, nuisance, SIZE))


@pytest.mark.slow
def test_pictures_of_one_person_differ_and_so_do_people_in_the_same_circumstances() -> None:
    for seed in range(4):
        person, other = draw_identity(seed), draw_identity(seed + 100)
        here, there = draw_nuisance(seed), draw_nuisance(seed + 100)
        picture = render_face(person, here, SIZE)
        assert difference(picture, render_face(person, there, SIZE)).mean() > 5
        assert difference(picture, render_face(other, here, SIZE)).mean() > 2


# Three dimensions -----------------------------------------------------------------------------


def find_mole(mole: tuple[float, float, float], yaw: float) -> float:
    """Column (pixels) of the middle of a mole."""
    marked = dataclasses.replace(PLAIN, moles=(mole,))
    shown = difference(face_of(marked, yaw=yaw), face_of(PLAIN, yaw=yaw)).astype(float)
    assert shown.max() > 20
    shown[shown < 10] = 0
    return float((shown.sum(axis=0) * np.arange(SIZE)).sum() / shown.sum())


def test_what_sticks_out_moves_farther_when_the_head_turns() -> None:
    """A point (x, z) moves to x cos(yaw) + z sin(yaw): the nose is nearer than the cheek."""
    yaw = 15.0
    nose, cheek = (0.0, -0.25, 0.03), (-0.42, -0.3, 0.03)
    unit = SIZE / 2.7  # pixels
    depths = []
    for mole in (nose, cheek):
        before, after = (find_mole(mole, angle) / unit for angle in (0.0, yaw))
        middle = (SIZE - 1) / 2 / unit
        turned = np.radians(yaw)
        depths.append(((after - middle) - (before - middle) * np.cos(turned)) / np.sin(turned))
    assert 0.85 < depths[0] < 1.2
    assert 0.3 < depths[1] < 0.75


def test_turning_left_is_the_mirror_image_of_turning_right() -> None:
    symmetric = dataclasses.replace(PLAIN, hair_part=0.0)
    plain = {"background_seed": 0, "pitch": 5.0}
    right = face_of(symmetric, yaw=25.0, **plain)
    left = face_of(symmetric, yaw=-25.0, **plain)
    inside = (slice(20, 80), slice(30, 66))  # the face; the background is no mirror image
    mirrored = difference(right, left[:, ::-1])[inside].mean()
    same = difference(right, left)[inside].mean()
    assert mirrored < 4 < same / 2


def heads_seen(identity: Identity, nuisance: Nuisance) -> np.ndarray:
    """(h, w) where the picture does not depend on what is behind."""
    bare = dataclasses.replace(nuisance, blur=0.0, noise=0.0, exposure=0.0, contrast=1.0)
    black, white = (
        render_face(identity, dataclasses.replace(bare, background_seed=seed), SIZE)
        for seed in (1, 2)
    )
    return difference(black, white) == 0


@pytest.mark.slow
def test_no_head_leaves_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_colour(nuisance: Nuisance, width: int, height: int) -> np.ndarray:
        return np.full((height, width, 3), 0.1 * nuisance.background_seed, np.float32)

    monkeypatch.setattr(rendering, "draw_background", one_colour)
    for seed in range(24):
        corner = np.random.default_rng(seed)
        extreme = {
            name: float(NUISANCE_RANGES[name][int(corner.integers(2))])
            for name in ("yaw", "pitch", "roll", "scale", "shift_x", "shift_y")
        }
        seen = heads_seen(draw_identity(seed), dataclasses.replace(PASSPORT, **extreme))
        assert 0.2 < seen.mean() < 0.8
        above_shoulders = seen[: SIZE * 2 // 3]
        assert not above_shoulders[:, [0, -1]].any(), seed
        assert seen[0].mean() < 0.3, seed  # high hair may touch the upper edge
