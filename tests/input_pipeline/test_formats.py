"""Which bytes are an image for us, without decoding them."""

from __future__ import annotations

import pytest
from drawn_images import UNDECODABLE

from facenet_lib.input_pipeline.formats import MAX_PIXELS, explain_too_large, explain_undecodable


@pytest.mark.parametrize(("file", "reason"), UNDECODABLE.values(), ids=UNDECODABLE)
def test_what_is_no_image_is_told_by_its_first_bytes(file: bytes, reason: str) -> None:
    assert reason in explain_undecodable(file)


def test_more_pixels_than_are_taken_are_told() -> None:
    assert explain_too_large(1, MAX_PIXELS) is None
    assert explain_too_large(2, MAX_PIXELS) == (
        "expected at most 25,000,000 pixels, found 2 x 25,000,000"
    )
