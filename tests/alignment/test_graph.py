"""Photographs to crops in a graph, beside Pillow and NumPy."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from drawn_images import noted
from pasted_faces import Pixels, picture_of
from PIL import Image

from facenet_lib.alignment.crops import CROPS, crop_face
from facenet_lib.alignment.faces import Box, Face
from facenet_lib.alignment.graph import (
    GraphAlignment,
    align_encoded,
    cut_faces,
)
from facenet_lib.alignment.mtcnn import MtcnnDetector
from facenet_lib.alignment.photographs import read_photograph
from facenet_lib.errors import FacenetError


def encoded(image: Pixels, kind: str = "PNG", **settings: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **settings)
    return file.getvalue()


@pytest.fixture(scope="module")
def photograph() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (331, 407, 3), dtype=np.uint8)


def random_faces(count: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and landmarks of all sizes and turns, some of them partly outside."""
    generator = np.random.default_rng(1)
    height, width = size
    middle = generator.uniform((0, 0), (width, height), (count, 2))
    sides = generator.uniform(8, 400, (count, 1)) * generator.uniform(0.7, 1.3, (count, 2))
    boxes = np.concatenate([middle - sides / 2, middle + sides / 2], 1).astype(np.float32)
    points = generator.normal(middle[:, None], sides[:, None] / 4, (count, 5, 2))
    return boxes, points.astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("margin", [None, 0.0, 0.7])
@pytest.mark.parametrize("kind", CROPS)
def test_crops_are_those_of_pillow(photograph: Pixels, kind: str, margin: float | None) -> None:
    size = 61
    alignment = GraphAlignment(kind, margin, size)
    boxes, landmarks = random_faces(60, photograph.shape[:2])
    crops, are_cut = cut_faces(tf.constant(photograph), boxes, landmarks, alignment)
    compared = 0
    for box, points, crop, is_cut in zip(
        boxes.tolist(), landmarks, crops.numpy(), are_cut.numpy(), strict=True
    ):
        face = Face(Box(*box), 1.0, points)
        try:
            expected = crop_face(photograph, face, kind, size, margin)
        except FacenetError:
            assert not is_cut
            continue
        assert is_cut
        compared += 1
        if kind == "reference":
            np.testing.assert_array_equal(crop, expected)
            continue
        # Where a mixture comes to lie on a whole number, its last bit decides.
        difference = np.abs(crop.astype(int) - expected)
        assert difference.max() <= 1 and np.mean(difference > 0) < 1e-3
    assert compared > 50


@pytest.mark.slow
def test_a_box_outside_or_without_an_area_is_not_cut(photograph: Pixels) -> None:
    boxes = np.array([[-50, -50, -20, -20], [500, 10, 600, 90], [30, 30, 30, 60]], np.float32)
    nowhere = np.zeros((3, 5, 2), np.float32)
    for kind, expected in (
        ("reference", [False, False, True]),
        ("square", [True, True, False]),
        ("similarity", [False] * 3),
    ):
        image = tf.constant(photograph)
        _, are_cut = cut_faces(image, boxes, nowhere, GraphAlignment(kind, 8.0))
        assert are_cut.numpy().tolist() == expected


@pytest.fixture(scope="module")
def detector() -> MtcnnDetector:
    return MtcnnDetector()


@pytest.mark.slow
def test_photographs_of_a_batch_as_one_by_one(tmp_path, detector: MtcnnDetector) -> None:
    crowd = picture_of(400, 500, [(x, y, 70) for x in (10, 170, 330) for y in (5, 200)], seed=9)
    lying = np.ascontiguousarray(np.rot90(picture_of(250, 250, [(40, 40, 170)])))
    files = [
        encoded(crowd),
        b"damaged",
        encoded(lying, "JPEG", exif=noted(6), quality=95),
        encoded(np.full((60, 90, 3), 200, np.uint8)),
    ]
    alignment = GraphAlignment("similarity", 0.2, 64, most_faces=4)
    found = align_encoded(tf.constant(files), detector, alignment)
    assert found["decoded"].numpy().tolist() == [True, False, True, True]
    assert found["valid"].numpy().sum(axis=1).tolist() == [4, 0, 1, 0]
    assert {name: tuple(values.shape) for name, values in found.items()} == {
        "decoded": (4,),
        "valid": (4, 4),
        "boxes": (4, 4, 4),
        "landmarks": (4, 4, 5, 2),
        "scores": (4, 4),
        "crops": (4, 4, 64, 64, 3),
    }
    for row in (0, 2):
        (tmp_path / "file").write_bytes(files[row])
        image = read_photograph(tmp_path / "file")
        for number, face in enumerate(detector.detect([image])[0][:4]):
            np.testing.assert_allclose(found["boxes"][row, number], face.box, atol=1e-3)
            np.testing.assert_allclose(found["landmarks"][row, number], face.landmarks, atol=1e-3)
            expected = crop_face(image, face, "similarity", 64, 0.2).astype(int)
            assert np.abs(found["crops"][row, number].numpy() - expected).max() <= 1
    none = align_encoded(tf.constant([], tf.string), detector, alignment)
    assert none["crops"].shape == (0, 4, 64, 64, 3)


def test_all_unusable_settings_are_told_at_once() -> None:
    with pytest.raises(FacenetError) as caught:
        GraphAlignment("round", -1.0, 0, 0)
    for name in ("crop", "margin", "size", "most_faces"):
        assert name in str(caught.value)
