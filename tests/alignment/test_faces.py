"""What a face is, and what is no photograph."""

from __future__ import annotations

import numpy as np
import pytest

from facenet_lib.alignment.faces import Box, check_image
from facenet_lib.errors import FacenetError


def test_a_box_knows_its_size_and_middle():
    box = Box(10, 20, 50, 80)
    assert (box.width, box.height, box.centre) == (40, 60, (30, 50))


def test_a_photograph_of_any_size_and_layout_is_taken():
    check_image("image", np.zeros((1, 1, 3), np.uint8))
    check_image("image", np.zeros((5, 9, 3), np.uint8)[:, ::-2])


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (np.zeros((250, 250), np.uint8), r"found uint8 of shape \(250, 250\)"),
        (np.zeros((250, 250, 1), np.uint8), r"found uint8 of shape \(250, 250, 1\)"),
        (np.zeros((250, 250, 4), np.uint8), r"found uint8 of shape \(250, 250, 4\)"),
        (np.zeros((1, 250, 250, 3), np.uint8), r"found uint8 of shape \(1, 250, 250, 3\)"),
        (np.zeros((250, 250, 3), np.float32), "found float32 of shape"),
        (np.zeros((250, 250, 3), np.uint16), "found uint16 of shape"),
        (np.zeros((0, 250, 3), np.uint8), r"found uint8 of shape \(0, 250, 3\)"),
        ("photograph.jpg", "found a str"),
        (None, "found a NoneType"),
    ],
)
def test_anything_else_is_refused(image: object, found: str):
    with pytest.raises(FacenetError, match=rf"image 3: expected uint8 .*{found}"):
        check_image("image 3", image)
