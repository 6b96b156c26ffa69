"""What other crops do to embeddings."""

from __future__ import annotations

import numpy as np
import pytest
from pasted_faces import picture_of

from facenet_lib.alignment.crops import TEMPLATE, crop_face
from facenet_lib.alignment.faces import Box, Face
from facenet_lib.alignment.sensitivity import measure_sensitivity, vary_crop
from facenet_lib.errors import FacenetError

IMAGE = picture_of(300, 320, [(90, 60, 150)])
BOX = Box(110, 75, 215, 200)
FACE = Face(BOX, 1.0, TEMPLATE * 125 + (100, 75))


def varied(kind: str, margin: float) -> dict[tuple[str, str], np.ndarray]:
    return {
        (change, amount): crop.astype(int)
        for change, amount, crop in vary_crop(IMAGE, FACE, kind, 64, margin)
    }


def test_a_similarity_crop_hardly_sees_tilt_and_scale() -> None:
    """It follows the landmarks, which have been turned and moved with the photograph."""
    unchanged = crop_face(IMAGE, FACE, "similarity", 64, 0.2).astype(int)
    boxed = crop_face(IMAGE, FACE, "square", 64, 0.2).astype(int)
    by_landmarks, by_box = varied("similarity", 0.2), varied("square", 0.2)
    for change in (("tilt", "+20 degrees"), ("tilt", "-10 degrees"), ("photograph", "/ 2")):
        assert np.abs(by_landmarks[change] - unchanged).mean() < 6
    for degrees in ("+20", "-20"):
        assert np.abs(by_box["tilt", f"{degrees} degrees"] - boxed).mean() > 12


def test_windows_grow_in_proportion_whatever_the_margin_counts() -> None:
    square = varied("square", 0.2)["window", "x 1.25"]
    np.testing.assert_array_equal(square, crop_face(IMAGE, FACE, "square", 64, 0.5))
    reference = varied("reference", 32)["window", "x 1.25"]
    side = 125 + 32
    wider = crop_face(IMAGE, FACE, "reference", 64, 1.25 * side - 125)
    np.testing.assert_array_equal(reference, wider)
    narrow = varied("square", 0.0)["window", "x 0.8"]
    np.testing.assert_array_equal(narrow, crop_face(IMAGE, FACE, "square", 64, 0.0))


def test_sideways_and_swapped_colours_are_of_the_crop_itself() -> None:
    unchanged, changed = crop_face(IMAGE, FACE, "square", 64, 0.2), varied("square", 0.2)
    np.testing.assert_array_equal(changed["colours", "blue, green, red"], unchanged[..., ::-1])
    np.testing.assert_array_equal(np.rot90(changed["on its side", "a quarter turn"], -1), unchanged)


@pytest.mark.parametrize("landmarks", [None, FACE.landmarks])
def test_distances_are_those_of_the_embeddings(landmarks: np.ndarray | None) -> None:
    face = Face(BOX, 1.0, landmarks)

    def embed(crops):  # the mean colour, as a unit vector
        means = np.array([crop.mean(axis=(0, 1)) for crop in crops])
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    table = measure_sensitivity([(IMAGE, face), (IMAGE[:, ::-1], face)], embed, "square", 64)
    assert len({(row.kind, row.amount) for row in table}) == len(table) == 15
    assert all(row.distances.shape == (2,) for row in table)
    swapped = next(row for row in table if row.kind == "colours")
    for image, distance in zip((IMAGE, IMAGE[:, ::-1]), swapped.distances, strict=True):
        crop = crop_face(image, face, "square", 64)
        first, second = embed([crop, crop[..., ::-1]])
        assert distance == pytest.approx(np.sum((first - second) ** 2))
    middle = float(swapped.distances.mean())
    assert swapped.share_beyond(middle) == 0.5
    turned = next(row for row in table if row.kind == "on its side")
    np.testing.assert_allclose(turned.distances, 0, atol=1e-12)  # a mean knows no direction


def test_another_crop_is_refused() -> None:
    with pytest.raises(FacenetError, match="crop"):
        measure_sensitivity([(IMAGE, FACE)], np.array, "round")
