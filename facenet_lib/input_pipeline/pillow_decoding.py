"""The bytes of an image file to the window that a network sees, without TensorFlow.

For networks that another runtime computes. What is an image, which way it stands and where the
window lies are as :mod:`facenet_lib.input_pipeline` has them everywhere else; the pixels of a JPEG
differ from TensorFlow's by rounding, because TensorFlow decodes in a faster, coarser way.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import joblib
import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline.formats import (
    PNG_START,
    explain_too_large,
    explain_undecodable,
)
from facenet_lib.input_pipeline.settings import Preprocessing

Pixels = npt.NDArray[np.uint8]


def decode_window(encoded: bytes, preprocessing: Preprocessing) -> Pixels:
    """Decode one JPEG or PNG file with Pillow and cut the window that the network sees.

    Args:
        encoded: the bytes of the file.
        preprocessing: says which window.

    Returns:
        uint8 (window_size, window_size, 3), RGB.

    Raises:
        FacenetError: where :func:`facenet_lib.input_pipeline.decode_image` does, in its words.

    >>> decode_window(b"GIF89a", Preprocessing(80))
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: image: found GIF, expected JPEG or PNG
    """
    return cut_pixels(_decode_upright(encoded), preprocessing)


def decode_each_window(
    encoded: Sequence[bytes], preprocessing: Preprocessing
) -> tuple[Pixels, npt.NDArray[np.bool_]]:
    """Decode a batch of image files as :func:`decode_window` does, several at a time.

    Args:
        encoded: the bytes of n files; n may be 0.
        preprocessing: says which window.

    Returns:
        ``windows``, uint8 (n, window_size, window_size, 3), and ``valid``, bool (n,), False where
        the file cannot be decoded, and the window black.

    >>> decode_each_window([b"damaged"], Preprocessing())[1]
    array([False])
    """
    side = preprocessing.window_size
    windows = np.zeros((len(encoded), side, side, 3), np.uint8)
    valid = np.zeros(len(encoded), bool)

    def decode(row: int) -> None:
        with contextlib.suppress(FacenetError):
            windows[row] = decode_window(encoded[row], preprocessing)
            valid[row] = True

    with ThreadPoolExecutor(joblib.cpu_count()) as threads:
        list(threads.map(decode, range(len(encoded))))
    return windows, valid


def cut_pixels(image: npt.NDArray[np.generic], preprocessing: Preprocessing) -> Pixels:
    """Cut (..., height, width, 3) to (..., window_size, window_size, 3) at the centre.

    >>> cut_pixels(np.ones((4, 9, 3), np.uint8), Preprocessing(6))[:, 2, 0].tolist()
    [0, 1, 1, 1, 1, 0]
    """
    side = preprocessing.window_size
    window = np.zeros((*image.shape[:-3], side, side, 3), image.dtype)
    taken, filled = [], []
    for size in image.shape[-3:-1]:
        frame = min(size, preprocessing.frame_size or size)
        cut = min(frame, side)
        first = (size - frame) // 2 + (frame - cut) // 2
        before = (side - cut) // 2
        taken.append(slice(first, first + cut))
        filled.append(slice(before, before + cut))
    window[..., filled[0], filled[1], :] = image[..., taken[0], taken[1], :]
    return window


def _decode_upright(encoded: bytes) -> Pixels:
    """All pixels of a file, uint8 (height, width, 3), as ``decode_image`` has them."""
    is_png = encoded.startswith(PNG_START)
    if is_png and encoded[8:16] == _PNG_HEADER:  # which is looked at before its sum is
        _refuse_too_large(int.from_bytes(encoded[20:24]), int.from_bytes(encoded[16:20]))
    try:
        # Not Image.open, which knows other formats and has a limit of pixels of its own.
        with (PngImageFile if is_png else JpegImageFile)(io.BytesIO(encoded)) as image:
            _refuse_too_large(image.height, image.width)
            pixels = _to_rgb(image)
    except FacenetError:
        raise
    except Exception as error:  # damaged files fail wherever the damage makes itself felt
        raise FacenetError(f"image: {explain_undecodable(encoded)}") from error
    if is_png and _PNG_END not in encoded:  # which Pillow does without
        raise FacenetError(f"image: {explain_undecodable(encoded)}")
    return _turn_upright(pixels, _noted_orientation(encoded))


def _refuse_too_large(height: int, width: int) -> None:
    too_large = explain_too_large(height, width)
    if too_large:
        raise FacenetError(f"image: {too_large}")


def _to_rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith("I"):  # 16 bits of grey
        high = (np.asarray(image, np.uint32) >> 8).astype(np.uint8)
        return np.repeat(high[:, :, np.newaxis], 3, axis=2)
    return np.asarray(image.convert("RGB"))


def _turn_upright(image: Pixels, orientation: int) -> Pixels:
    """Turn or mirror an image as its EXIF orientation, 1 to 8, asks."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return image


def _noted_orientation(encoded: bytes) -> int:
    """What the EXIF data of a JPEG or PNG file note, 1 to 8, and 1 where that makes no sense.

    Step by step ``orientation.read_orientation``, which TensorFlow computes; Pillow reads damaged
    notes otherwise.
    """
    content = encoded[: 1 << 18]
    beyond = bytes(16)  # so that a file cut short has an end

    def number(place: int, length: int, byte_order: Literal["big", "little"] = "big") -> int:
        place = min(max(place, 0), len(content))
        return int.from_bytes((content[place : place + length] + beyond)[:length], byte_order)

    if number(0, 2) == 0xFFD8:
        place = 2
        while number(place, 2) != 0xFFE1 or number(place + 4, 4) != int.from_bytes(b"Exif"):
            marker = number(place, 2)
            if place >= len(content) or not 0xFFC0 <= marker < 0xFFFF or marker == 0xFFDA:
                return 1
            place += 2 + number(place + 2, 2)
        header = place + 10
    else:
        place = 8
        while number(place + 4, 4) != int.from_bytes(b"eXIf"):
            if place >= len(content) or number(place + 4, 4) == int.from_bytes(b"IDAT"):
                return 1
            place += 12 + min(number(place, 4), 1 << 18)
        header = place + 8
    order: Literal["big", "little"] = "little" if number(header, 2) == 0x4949 else "big"
    directory = header + number(header + 4, 4, order)
    for entry in range(min(number(directory, 2, order), 1000)):
        if number(directory + 2 + 12 * entry, 2, order) == 0x0112:
            noted = number(directory + 2 + 12 * entry + 8, 2, order)
            return noted if 1 <= noted <= 8 else 1
    return 1


_PNG_HEADER = b"\0\0\0\rIHDR"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
