"""Decoding, against Pillow."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from drawn_images import (
    BIT_ERROR,
    PNG,
    TOO_LARGE,
    UNDECODABLE,
    encoded,
    grey_png,
    png_chunk,
    smooth_image,
)
from PIL import Image

from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline import (
    Preprocessing,
    decode_and_preprocess,
    decode_image,
)


def with_alpha(mode: str) -> Image.Image:
    image = smooth_image(0).convert(mode)
    noise = np.random.default_rng(1).integers(0, 256, (48, 64), dtype=np.uint8)
    image.putalpha(Image.fromarray(noise))
    return image


@pytest.mark.parametrize(
    ("kind", "image", "options", "tolerance"),
    [
        ("JPEG", smooth_image(0), {"subsampling": 0}, 1),
        ("JPEG", smooth_image(0).convert("L"), {}, 1),
        ("JPEG", smooth_image(0).convert("CMYK"), {"subsampling": 0}, 2),
        ("JPEG", smooth_image(0), {"subsampling": 0, "progressive": True}, 1),
        ("PNG", smooth_image(0), {}, 0),
        ("PNG", smooth_image(0).convert("L"), {}, 0),
        ("PNG", smooth_image(0).convert("1"), {}, 0),
        ("PNG", smooth_image(0).convert("P"), {}, 0),
        ("PNG", smooth_image(0).convert("P"), {"transparency": 3}, 0),
        ("PNG", smooth_image(0).convert("L"), {"transparency": 100}, 0),
        ("PNG", with_alpha("RGB"), {}, 0),
        ("PNG", with_alpha("L"), {}, 0),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else None,
)
def test_decodes_to_rgb_as_pillow_does(
    kind: str, image: Image.Image, options: dict[str, Any], tolerance: int
) -> None:
    file = encoded(image, kind, **options)
    reference = np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).astype(int)
    decoded = decode_image(tf.constant(file)).numpy()
    assert decoded.dtype == np.uint8
    # TensorFlow's default is libjpeg's fast integer transform, which strays a little further.
    stray = 8 * tolerance if kind == "JPEG" else 0
    difference = np.abs(decoded - reference)
    assert difference.max() <= max(tolerance, stray)
    assert difference.mean() <= tolerance


def test_of_16_bit_samples_the_high_byte_is_kept() -> None:
    samples = np.random.default_rng(0).integers(0, 2**16, (9, 7)).astype(np.uint16)
    decoded = decode_image(tf.constant(encoded(Image.fromarray(samples), "PNG"))).numpy()
    np.testing.assert_array_equal(decoded, np.repeat(samples[..., None] >> 8, 3, axis=2))


@pytest.mark.slow
@pytest.mark.parametrize(("file", "reason"), UNDECODABLE.values(), ids=UNDECODABLE)
def test_what_is_no_whole_jpeg_or_png_is_refused_by_name(file: bytes, reason: str) -> None:
    with pytest.raises(FacenetError) as caught:
        decode_image(tf.constant(file))
    assert reason in str(caught.value)
    with pytest.raises(tf.errors.InvalidArgumentError):
        tf.function(decode_image)(tf.constant(file))


@pytest.mark.parametrize(("file", "found"), TOO_LARGE.values(), ids=TOO_LARGE)
def test_more_pixels_than_are_taken_are_refused_by_the_header(file: bytes, found: str) -> None:
    with pytest.raises(FacenetError) as caught:
        decode_image(file)
    assert str(caught.value) == f"image: expected at most 25,000,000 pixels, {found}"
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected fewer pixels"):
        tf.function(decode_image)(tf.constant(file))


def test_the_most_pixels_that_are_taken_are_decoded() -> None:
    assert decode_image(grey_png(5000, 5000)).shape == (5000, 5000, 3)
    one_less = encoded(Image.new("L", (4999, 5001)), "JPEG")
    assert decode_image(one_less).shape == (5001, 4999, 3)


def test_a_size_that_is_no_header_s_is_not_believed() -> None:
    """Decoders pass over an unknown chunk, whose first bytes lie where a header's size would."""
    decoy = png_chunk(b"abCd", struct.pack(">II", 1, 1) + bytes(5))
    large = grey_png(10_000, 10_000)
    for file in (PNG, large):
        hidden = file[:8] + decoy + file[8:]
        if file is PNG:
            assert tf.io.decode_png(hidden).shape == (48, 64, 3)  # nothing else refuses it
        _, valid = decode_and_preprocess(tf.constant([hidden]), Preprocessing(16))
        assert not valid.numpy().any()


@pytest.mark.slow
def test_large_images_do_not_pile_up_in_memory() -> None:
    """Of forty, which would be 3 GB, no more are whole at once than there are processors."""
    large = encoded(Image.new("L", (5000, 5000)), "JPEG")
    peak = "/proc/self/status"
    if not Path(peak).exists():
        pytest.skip("only Linux tells a process its peak")

    def megabytes(name: str) -> int:
        lines = Path(peak).read_text("utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) // 1024

    before = megabytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    _, valid = decode_and_preprocess(tf.constant([large] * 40), Preprocessing(16))
    assert valid.numpy().all()
    # A processor's own image, and as much again for what decoding and the allocator add.
    assert megabytes("VmHWM") - before < 150 * len(os.sched_getaffinity(0)) + 100


def test_the_bytes_of_a_file_need_not_be_a_tensor() -> None:
    np.testing.assert_array_equal(decode_image(PNG), decode_image(tf.constant(PNG)))
    with pytest.raises(FacenetError, match="the PNG is damaged"):
        decode_image(BIT_ERROR)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([PNG, PNG], r"a scalar string, found string of shape \(2,\)"),
        (np.zeros((4, 4, 3), np.uint8), r"a scalar string, found uint8 of shape \(4, 4, 3\)"),
        (None, "expected the bytes of one file, found NoneType"),
    ],
)
def test_what_is_not_the_bytes_of_one_file_is_refused(value: Any, found: str) -> None:
    with pytest.raises(FacenetError, match=found):
        decode_image(value)
