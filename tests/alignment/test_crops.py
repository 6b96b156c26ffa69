"""Crops: each beside its arithmetic done another way, and beside what one sees."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy
from numpy.typing import NDArray

from facenet_lib.alignment.crops import (
    CROPS,
    DEFAULT_MARGINS,
    TEMPLATE,
    crop_face,
    crop_reference,
    crop_similarity,
    crop_square,
    place_template,
    similarity_transform,
)
from facenet_lib.alignment.faces import Box, Face, Image
from facenet_lib.errors import FacenetError

HEIGHT, WIDTH = 120, 150


def noise(height: int = HEIGHT, width: int = WIDTH) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def smooth(height: int = HEIGHT, width: int = WIDTH) -> Image:
    """Without detail finer than some ten pixels; different in all directions and colours."""
    y, x = np.mgrid[:height, :width] + 0.5
    waves = [np.sin(x / 13 + y / 29), np.cos(x / 37 - y / 17), np.sin(x / 23) * np.cos(y / 19)]
    return np.rint(127.5 + 120 * np.stack(waves, axis=2)).astype(np.uint8)


def turned_face(x: float, y: float, side: float, degrees: float = 0.0) -> Face:
    """A face whose landmarks lie as the template's, around (x, y)."""
    turn = np.radians(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    landmarks = (TEMPLATE - 0.5) * side @ rotation.T + [x, y]
    return Face(Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2), 0.9, landmarks)


# The reference's rule


def reference_crops(image: Image, det: NDArray[np.float64], size: int, margin: int) -> list[Image]:
    """The arithmetic of align_dataset_mtcnn.py, in arrays as there, and the filter by hand.

    Rows first or columns first, which differ by what is rounded between: releases of Pillow do.
    """
    img_size = np.asarray(image.shape)[0:2]
    bb = np.zeros(4, dtype=np.int32)
    bb[0] = np.maximum(det[0] - margin / 2, 0)
    bb[1] = np.maximum(det[1] - margin / 2, 0)
    bb[2] = np.minimum(det[2] + margin / 2, img_size[1])
    bb[3] = np.minimum(det[3] + margin / 2, img_size[0])
    cropped = image[bb[1] : bb[3], bb[0] : bb[2], :]
    orders = [(0, 1), (1, 0)]
    return [triangle_filter(triangle_filter(cropped, size, a), size, b) for a, b in orders]


def triangle_filter(image: Image, size: int, axis: int) -> Image:
    """Resize an axis, each place a mean of those it covers, as Pillow's BILINEAR."""
    length = image.shape[axis]
    scale = length / size
    centres = (np.arange(size)[:, None] + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(length) + 0.5 - centres) / max(scale, 1.0))
    weights /= weights.sum(axis=1, keepdims=True)
    whole = np.floor(weights * 2**22 + 0.5).astype(np.int64)  # Pillow computes in integers
    mixed = np.tensordot(whole, image.astype(np.int64), axes=(1, axis))
    return np.moveaxis((mixed + 2**21) >> 22, 0, axis).clip(0, 255).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    left=st.floats(-30, 100),
    top=st.floats(-30, 80),
    width=st.floats(20, 140),
    height=st.floats(20, 140),
    size=st.sampled_from([17, 32, 160]),
    margin=st.sampled_from([0, 1, 32, 44]),
)
def test_the_reference_crop_is_that_of_the_reference(
    left: float, top: float, width: float, height: float, size: int, margin: int
) -> None:
    image, box = noise(), Box(left, top, left + width, top + height)
    if box.right + margin / 2 < 2 or box.bottom + margin / 2 < 2:
        return
    crop = crop_reference(image, Face(box, 0.9), size, margin)
    expected = reference_crops(image, np.array(box), size, margin)
    assert any(np.array_equal(crop, each) for each in expected)


def test_the_margin_is_in_pixels_of_the_photograph() -> None:
    image = noise()
    crop = crop_reference(image, Face(Box(40.9, 30.2, 70.7, 60.4), 0.9), size=40, margin=10)
    part = PIL.Image.fromarray(image[25:65, 35:75])  # 40.9 - 5 is 35.9, of which 35 is left
    assert np.array_equal(crop, np.asarray(part))


def test_a_margin_ends_where_the_photograph_ends() -> None:
    image = noise()
    crop = crop_reference(image, Face(Box(0, 0, WIDTH, HEIGHT), 0.9), size=32, margin=50)
    whole = PIL.Image.fromarray(image).resize((32, 32), PIL.Image.Resampling.BILINEAR)
    assert np.array_equal(crop, np.asarray(whole))


# Square


@pytest.mark.parametrize("shape", [(40, 30), (30, 40)])
def test_a_square_window_is_the_longer_side_and_its_margin(shape: tuple[int, int]) -> None:
    image, (width, height) = noise(), shape
    box = Box(70 - width / 2, 60 - height / 2, 70 + width / 2, 60 + height / 2)
    crop = crop_square(image, Face(box, 0.9), size=50, margin=0.25)  # 40 and a quarter of it
    assert np.array_equal(crop, image[35:85, 45:95])


def test_outside_the_photograph_it_is_black() -> None:
    image = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    crop = crop_square(image, Face(Box(-20, -20, 20, 20), 0.9), size=40, margin=0.0)
    assert (crop[20:, 20:] == 200).all()
    assert (crop[:20] == 0).all()
    assert (crop[:, :20] == 0).all()


def test_a_photograph_of_another_size_gives_the_same_square() -> None:
    image, face = smooth(), Face(Box(40, 30, 90, 95), 0.9)
    larger = image.repeat(2, axis=0).repeat(2, axis=1)
    twice = Face(Box(80, 60, 180, 190), 0.9)
    difference = crop_square(image, face, 24).astype(int) - crop_square(larger, twice, 24)
    assert np.abs(difference).max() <= 6
    fixed = crop_reference(image, face, 24).astype(int) - crop_reference(larger, twice, 24)
    assert np.abs(fixed).max() > 30  # which the reference's margin does not


# Similarity

points = hypothesis_numpy.arrays(np.float64, (5, 2), elements=st.floats(-100, 100))


@settings(deadline=None)
@given(points, points)
def test_the_transform_is_that_of_least_squares(
    start: NDArray[np.float64], end: NDArray[np.float64]
) -> None:
    """Beside the linear equations a x - b y + c = u, b x + a y + d = v, solved by LAPACK."""
    if np.ptp(start, axis=0).max() < 1:
        return
    x, y = start.T
    ones, zeros = np.ones(5), np.zeros(5)
    rows = np.concatenate([np.stack([x, -y, ones, zeros], 1), np.stack([y, x, zeros, ones], 1)])
    a, b, c, d = np.linalg.lstsq(rows, np.concatenate([end[:, 0], end[:, 1]]))[0]
    found = similarity_transform(start, end)
    assert np.abs(found - [[a, -b, c], [b, a, d]]).max() < 1e-6


@settings(deadline=None)
@given(points, points)
def test_the_transform_is_that_of_umeyama(
    start: NDArray[np.float64], end: NDArray[np.float64]
) -> None:
    """Beside the article's singular value decomposition, its sign kept from a mirror image."""
    mean, target = start.mean(axis=0), end.mean(axis=0)
    covariance = (end - target).T @ (start - mean) / len(start)
    left, values, right = np.linalg.svd(covariance)
    sign = np.array([1.0, np.linalg.det(left) * np.linalg.det(right)])
    if np.ptp(start, axis=0).max() < 1 or values @ sign < 1e-6:
        return  # no place or no turn is better than others
    rotation = left * sign @ right
    scale = values @ sign / np.square(start - mean).sum(axis=1).mean()
    found = similarity_transform(start, end)
    assert found[:, :2] == pytest.approx(scale * rotation, abs=1e-6)
    assert found[:, 2] == pytest.approx(target - scale * rotation @ mean, abs=1e-4)


def test_a_mirror_image_is_no_turn() -> None:
    found = similarity_transform(TEMPLATE, TEMPLATE * [-1, 1])
    assert np.linalg.det(found[:, :2]) >= 0


@settings(max_examples=40, deadline=None)
@given(
    degrees=st.floats(-180, 180), side=st.floats(15, 100), x=st.floats(0, 150), y=st.floats(0, 120)
)
def test_every_pixel_is_mixed_of_the_four_around_where_it_comes_from(
    degrees: float, side: float, x: float, y: float
) -> None:
    image, face, size = noise(), turned_face(x, y, side, degrees), 60
    crop = crop_similarity(image, face, size, margin=0.125)
    assert face.landmarks is not None
    transform = similarity_transform(face.landmarks, place_template(size, 0.125))
    if math.hypot(*transform[:, 0]) <= 0.5:
        return  # which is shrunk first
    expected, is_inside = mixed(image, transform, size)
    assert np.abs(crop.astype(int) - expected)[is_inside].max(initial=0) < 1.001  # rounding


def mixed(
    image: NDArray[Any], transform: NDArray[np.float64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Bilinear interpolation between the middles of pixels; where it needs nothing outside."""
    rows, columns = np.mgrid[:size, :size] + 0.5
    x, y = np.linalg.solve(
        transform[:, :2], np.stack([columns.ravel(), rows.ravel()]) - transform[:, 2:]
    )
    x, y = x - 0.5, y - 0.5  # the middle of the first pixel is its half
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    height, width = image.shape[:2]
    is_inside = (left >= 0) & (top >= 0) & (left < width - 1) & (top < height - 1)
    left, top = left.clip(0, width - 2), top.clip(0, height - 2)
    right_part, lower_part = (x - left)[:, None], (y - top)[:, None]
    upper = image[top, left] * (1 - right_part) + image[top, left + 1] * right_part
    lower = image[top + 1, left] * (1 - right_part) + image[top + 1, left + 1] * right_part
    values = upper * (1 - lower_part) + lower * lower_part
    return values.reshape(size, size, 3), is_inside.reshape(size, size)


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("side", [30.0, 110.0])
def test_a_turned_photograph_gives_the_same_crop(quarters: int, side: float) -> None:
    image, face = smooth(HEIGHT, HEIGHT), turned_face(63.2, 57.9, side, degrees=11)
    assert face.landmarks is not None
    x, y = face.landmarks.T
    for _ in range(quarters):
        x, y = y, HEIGHT - x  # anticlockwise
    turned = Face(face.box, 0.9, np.stack([x, y], axis=1))
    crop = crop_similarity(np.rot90(image, quarters), turned, size=32)
    assert np.abs(crop.astype(int) - crop_similarity(image, face, size=32)).max() <= 1


@pytest.mark.parametrize("degrees", [0, 20, -75, 180])
def test_marks_at_the_landmarks_come_to_lie_on_the_template(degrees: float) -> None:
    face, size = turned_face(75.3, 61.8, 55, degrees), 80
    assert face.landmarks is not None
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    for landmark, place in zip(face.landmarks, place_template(size), strict=True):
        mark = 255 * np.exp(-((x - landmark[0]) ** 2 + (y - landmark[1]) ** 2) / 8)
        image = np.repeat(np.rint(mark).astype(np.uint8)[..., None], 3, axis=2)
        weights = crop_similarity(image, face, size)[..., 0].astype(np.float64)
        rows, columns = np.mgrid[:size, :size] + 0.5
        middle = np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()
        assert middle == pytest.approx(place, abs=0.05)


@pytest.mark.parametrize("crop", [crop_similarity, crop_square])
def test_a_face_much_larger_than_its_crop_is_averaged(crop: Callable[..., Image]) -> None:
    """Each pixel of the crop comes from some 400 of the photograph."""
    image = noise(1100, 1000)
    face = turned_face(500.0, 550.0, 600.0, degrees=7)
    shrunk = crop(image, face, size=32)
    assert shrunk.std() < image.std() / 8  # of one pixel of noise it would be as large
    ramp = np.repeat(np.linspace(0, 255, 1000)[None, :, None], 3, axis=2).repeat(1100, axis=0)
    ramp = np.rint(ramp).astype(np.uint8)
    assert face.landmarks is not None
    transform = similarity_transform(face.landmarks, place_template(32))
    if crop is crop_similarity:
        expected, _ = mixed(ramp, transform, 32)
        assert np.abs(crop(ramp, face, size=32) - expected).max() < 1.5  # no shift by the shrinking


def test_the_template_is_that_of_a_frontal_face() -> None:
    left_eye, right_eye, nose, left_mouth, right_mouth = TEMPLATE
    mirrored = (TEMPLATE * [-1, 1] + [1, 0])[[1, 0, 2, 4, 3]]
    assert mirrored == pytest.approx(TEMPLATE)
    assert left_eye[1] < nose[1] < left_mouth[1] == right_mouth[1]
    assert 0 < left_eye[0] < left_mouth[0] < nose[0] < right_mouth[0] < right_eye[0] < 1
    wider = place_template(100, margin=1.0)
    assert wider == pytest.approx((TEMPLATE - 0.5) * 50 + 50)


# All of them


@pytest.mark.parametrize("kind", CROPS)
def test_a_crop_is_chosen_by_its_name(kind: str) -> None:
    image, face = noise(), turned_face(70, 60, 50)
    crop = {"reference": crop_reference, "square": crop_square, "similarity": crop_similarity}
    usual = crop_face(image, face, kind, 20)
    assert usual.dtype == np.uint8
    assert usual.shape == (20, 20, 3)
    assert np.array_equal(usual, crop[kind](image, face, 20, DEFAULT_MARGINS[kind]))
    assert np.array_equal(usual, crop[kind](image, face, 20))
    assert np.array_equal(crop_face(image, face, kind, 20, 0.0), crop[kind](image, face, 20, 0.0))


BAD_FACES = {
    "a box without an area": Face(Box(5, 5, 5, 9), 0.9),
    "a box outside": Face(Box(-90, 5, -50, 9), 0.9),
    "a box of no numbers": Face(Box(math.nan, 5, 9, 9), 0.9),
    "no landmarks": Face(Box(5, 5, 9, 9), 0.9),
    "landmarks in one place": Face(Box(5, 5, 9, 9), 0.9, np.full((5, 2), 7.0)),
    "landmarks of no numbers": Face(Box(5, 5, 9, 9), 0.9, np.full((5, 2), np.inf)),
}


@pytest.mark.parametrize(
    ("kind", "face"),
    [
        ("reference", "a box without an area"),
        ("reference", "a box outside"),
        ("reference", "a box of no numbers"),
        ("square", "a box without an area"),
        ("square", "a box of no numbers"),
        ("similarity", "no landmarks"),
        ("similarity", "landmarks in one place"),
        ("similarity", "landmarks of no numbers"),
    ],
)
def test_what_cannot_be_cut_out_is_refused(kind: str, face: str) -> None:
    margin = 0.0
    with pytest.raises(FacenetError, match=r"^(crop|similarity|points): expected"):
        crop_face(noise(), BAD_FACES[face], kind, 20, margin)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "round"}, "kind: expected 'reference' or 'square' or 'similarity'"),
        ({"size": 0}, "size: expected an integer from 1 to 10000, found 0"),
        ({"size": 20_000}, "size"),
        ({"margin": -1.0}, r"margin: expected a number in \[0, inf\)"),
        ({"margin": math.nan}, "margin"),
        ({"image": np.zeros((9, 9), np.uint8)}, "image: expected uint8"),
        ({"image": np.zeros((9, 9, 3), np.float32)}, "image: expected uint8"),
    ],
)
def test_unusable_arguments_are_refused(change: dict[str, object], told: str) -> None:
    arguments = {"image": noise(), "face": turned_face(70, 60, 50), "kind": "square", "size": 20}
    with pytest.raises(FacenetError, match=told):
        crop_face(**{**arguments, **change})  # type: ignore[arg-type]
