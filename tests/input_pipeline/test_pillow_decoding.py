"""Decoding without TensorFlow, against decoding with it."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from drawn_images import JPEG, PNG, TOO_LARGE, UNDECODABLE, encoded, noted, png_chunk, smooth_image
from PIL import Image

from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline import (
    Preprocessing,
    decode_each_window,
    decode_image,
    decode_window,
    decode_windows,
)
from facenet_lib.input_pipeline.pillow_decoding import cut_pixels

NOISE = np.random.default_rng(1).integers(0, 256, (48, 64), dtype=np.uint8)


def with_alpha(mode: str) -> Image.Image:
    image = smooth_image(0).convert(mode)
    image.putalpha(Image.fromarray(NOISE))
    return image


JPEGS = {
    "colour": encoded(smooth_image(0), "JPEG", quality=95),
    "progressive": encoded(smooth_image(0), "JPEG", quality=95, progressive=True),
    "grey": encoded(smooth_image(0).convert("L"), "JPEG"),
    "CMYK": encoded(smooth_image(0).convert("CMYK"), "JPEG"),
    **{
        f"held {number} {endian}": encoded(smooth_image(0), "JPEG", exif=noted(number, endian))
        for number in range(10)
        for endian in "<>"
    },
}
PNGS = {
    **{mode: encoded(smooth_image(0).convert(mode), "PNG") for mode in ("RGB", "L", "1", "P")},
    "transparent palette": encoded(smooth_image(0).convert("P"), "PNG", transparency=3),
    "transparent grey": encoded(smooth_image(0).convert("L"), "PNG", transparency=100),
    "transparent colour": encoded(smooth_image(0), "PNG", transparency=(1, 2, 3)),
    "alpha": encoded(with_alpha("RGB"), "PNG"),
    "grey alpha": encoded(with_alpha("L"), "PNG"),
    "16 bits": encoded(Image.fromarray(NOISE.astype(np.uint16) * 257 + 99), "PNG"),
    "orientation 6": encoded(smooth_image(0), "PNG", exif=noted(6)),
    "orientation 7 >": encoded(smooth_image(0), "PNG", exif=noted(7, ">")),
}
# Of a file that notes an orientation the window shows the corner that was at the top left.
PREPROCESSING = Preprocessing(40, crop_size=56, frame_size=60)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_windows_are_those_of_tensorflow(kind: str) -> None:
    files = list({"JPEG": JPEGS, "PNG": PNGS}[kind].values())
    found, valid = decode_each_window(files, PREPROCESSING)
    expected, all_valid = decode_windows(files, PREPROCESSING)
    assert valid.all() and all_valid.numpy().all()
    assert (found.dtype, found.shape) == (np.uint8, (len(files), 56, 56, 3))
    difference = np.abs(found - expected.numpy())
    # TensorFlow decodes a JPEG by a transform in fewer digits.
    assert difference.max() <= {"JPEG": 12, "PNG": 0}[kind]
    assert difference.mean() <= 2


def told(decode, file: bytes) -> str:
    with pytest.raises(FacenetError) as caught:
        decode(file)
    return str(caught.value)


@pytest.mark.slow
def test_what_is_refused_is_refused_in_the_same_words() -> None:
    files = [file for file, _ in (*UNDECODABLE.values(), *TOO_LARGE.values())]
    files += [PNG[:-1], PNG[:-12], PNG[:60] + b"?" + PNG[61:], JPEG[:200] + JPEG[-2:]]
    for file in files:
        try:
            decode_image(file)
        except FacenetError as error:
            assert told(lambda one: decode_window(one, PREPROCESSING), file) == str(error)
        else:
            decode_window(file, PREPROCESSING)
    assert not decode_each_window(files[:9], PREPROCESSING)[1].any()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged notes
def test_damaged_notes_are_read_as_tensorflow_reads_them() -> None:
    generator = np.random.default_rng(2)
    image = Image.fromarray(np.repeat(np.arange(40, dtype=np.uint8)[:, None], 56, 1))
    for number in range(60):  # within the notes, behind the header
        file = bytearray(encoded(image, "JPEG", exif=noted(6, "<>"[number % 2])))
        for place in generator.integers(24, 110, 2):
            file[place] = generator.integers(256)
        found = attempt(decode_window, file)
        expected = attempt(lambda whole, side: cut_pixels(decode_image(whole).numpy(), side), file)
        assert (found is None) == (expected is None)
        if found is not None:
            np.testing.assert_array_equal(found.any(axis=(1, 2)), expected.any(axis=(1, 2)))


def attempt(decode, file: bytearray):
    try:
        return decode(bytes(file), Preprocessing(64))
    except FacenetError:
        return None


def test_a_limit_of_pillow_is_none_of_ours(monkeypatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert decode_window(PNG, Preprocessing(8)).any()


def test_a_batch_keeps_its_order_and_marks_what_is_damaged() -> None:
    files = [encoded(Image.new("RGB", (9, 9), (n, 0, 0)), "PNG") for n in range(1, 40)]
    files[7] = b"damaged"
    windows, valid = decode_each_window(files, Preprocessing(3))
    expected = [n * (n != 8) for n in range(1, 40)]
    assert windows[:, 1, 1, 0].tolist() == expected
    assert np.flatnonzero(~valid).tolist() == [7]
    assert decode_each_window([], Preprocessing(3))[0].shape == (0, 3, 3, 3)


def test_an_end_in_the_middle_ends_nothing() -> None:
    """A text that looks like the end of a PNG is no reason to take one that is cut short."""
    text = png_chunk(b"tEXt", b"a\0b")
    whole = PNG[:33] + text + PNG[33:]
    assert Image.open(io.BytesIO(whole)).size == (64, 48)
    decode_window(whole, Preprocessing(8))
    assert "cut short" in told(lambda one: decode_window(one, Preprocessing(8)), whole[:-3])


def test_no_tensorflow_is_loaded() -> None:
    program = (
        "import sys; from facenet_lib.input_pipeline import Preprocessing, decode_window; "
        "decode_window(sys.stdin.buffer.read(), Preprocessing(8)); "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], input=PNG, check=True)
