"""How a camera was held: what a file notes of it, and its image turned upright.

Derived in chapter 3, "Input pipeline".
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorflow as tf

Tensor = Any  # TensorFlow has no types


def turn_upright(image: Tensor, orientation: Tensor) -> Tensor:
    """Turn or mirror an image as its EXIF orientation asks.

    Args:
        image: (height, width, 3).
        orientation: int32, 1 to 8: what ``read_orientation`` returned.

    Returns:
        (height, width, 3), or (width, height, 3) for an orientation above 4.

    Source: CIPA DC-008, "Exif", section 4.6.4.

    >>> turn_upright(tf.zeros((2, 3, 3)), tf.constant(6)).shape
    TensorShape([3, 2, 3])
    """
    turns: list[Callable[[], Tensor]] = [
        lambda: image,
        lambda: image[:, ::-1],
        lambda: image[::-1, ::-1],
        lambda: image[::-1],
        lambda: tf.transpose(image, (1, 0, 2)),
        lambda: tf.transpose(image[::-1], (1, 0, 2)),
        lambda: tf.transpose(image[::-1, ::-1], (1, 0, 2)),
        lambda: tf.transpose(image[:, ::-1], (1, 0, 2)),
    ]
    return tf.switch_case(orientation - 1, turns)


def read_orientation(encoded: Tensor) -> Tensor:
    """Read the orientation that the EXIF data of a JPEG or PNG file note.

    Of a PNG, the data are looked for before its pixels.

    Args:
        encoded: scalar string, the bytes of one file.

    Returns:
        int32, 1 to 8, and 1 (upright) where none is noted, or nothing that makes sense.

    Source: CIPA DC-008, "Exif", sections 4.5 and 4.6; the PNG specification, section 11.3.4.5.

    >>> int(read_orientation(tf.constant(b"no photograph")))
    1
    """
    # EXIF data are the first or second segment of a JPEG; a segment has at most 65,535 bytes.
    content = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, 0, 1 << 18), tf.uint8), tf.int32)
    content = tf.concat([content, tf.zeros(_BEYOND, tf.int32)], 0)
    header, is_there = tf.cond(
        _number(content, 0, 2) == _START_OF_IMAGE,
        lambda: _find_in_jpeg(content),
        lambda: _find_in_png(content),
    )
    is_little = _number(content, header, 2) == _LITTLE_ENDIAN
    directory = header + _number(content, header + 4, 4, is_little)
    entries = tf.minimum(_number(content, directory, 2, is_little), _MOST_ENTRIES)

    def is_other(entry: Tensor) -> Tensor:
        tag = _number(content, directory + 2 + 12 * entry, 2, is_little)
        return (entry < entries) & (tag != _ORIENTATION)

    entry = tf.while_loop(is_other, lambda entry: (entry + 1,), (tf.constant(0),))[0]
    noted = _number(content, directory + 2 + 12 * entry + 8, 2, is_little)
    is_there &= (entry < entries) & (noted >= 1) & (noted <= 8)
    return tf.where(is_there, noted, 1)


def _find_in_jpeg(content: Tensor) -> tuple[Tensor, Tensor]:
    """The place of the EXIF data in a JPEG, and whether there are any."""

    def is_exif(place: Tensor) -> Tensor:
        return (_number(content, place, 2) == _APP1) & (_number(content, place + 4, 4) == _EXIF)

    def is_before_exif(place: Tensor) -> Tensor:
        marker = _number(content, place, 2)
        is_segment = (marker >= 0xFFC0) & (marker < 0xFFFF) & (marker != _START_OF_SCAN)
        return (place < tf.size(content) - _BEYOND) & is_segment & ~is_exif(place)

    def after(place: Tensor) -> tuple[Tensor]:
        return (place + 2 + _number(content, place + 2, 2),)

    place = tf.while_loop(is_before_exif, after, (tf.constant(2),))[0]
    return place + 10, is_exif(place)  # after the marker, the length and "Exif\0\0"


def _find_in_png(content: Tensor) -> tuple[Tensor, Tensor]:
    """The place of the EXIF data in a PNG, and whether there are any before its pixels."""

    def is_before_exif(place: Tensor) -> Tensor:
        name = _number(content, place + 4, 4)
        is_in_file = place < tf.size(content) - _BEYOND
        return is_in_file & (name != _EXIF_CHUNK) & (name != _PIXELS_CHUNK)

    def after(place: Tensor) -> tuple[Tensor]:
        return (place + 12 + tf.clip_by_value(_number(content, place, 4), 0, 1 << 18),)

    place = tf.while_loop(is_before_exif, after, (tf.constant(8),))[0]
    return place + 8, _number(content, place + 4, 4) == _EXIF_CHUNK


def _number(
    content: Tensor, place: Tensor | int, length: int, is_little: Tensor | bool = False
) -> Tensor:
    """A number of so many bytes; of the zeros at the end where damaged notes point elsewhere."""
    place = tf.clip_by_value(place, 0, tf.size(content) - _BEYOND)
    powers = 256 ** np.arange(length)
    taken = content[place : place + length]
    return tf.where(
        is_little, tf.reduce_sum(taken * powers), tf.reduce_sum(taken * powers[::-1].copy())
    )


_BEYOND = 16  # zeros behind a file's content, so that one cut short has an end
_START_OF_IMAGE, _START_OF_SCAN, _APP1 = 0xFFD8, 0xFFDA, 0xFFE1
_EXIF, _LITTLE_ENDIAN = int.from_bytes(b"Exif"), int.from_bytes(b"II")
_EXIF_CHUNK, _PIXELS_CHUNK = int.from_bytes(b"eXIf"), int.from_bytes(b"IDAT")
_ORIENTATION = 0x0112
_MOST_ENTRIES = 1000


def is_surely_upright(encoded: Tensor) -> Tensor:
    """Tell inside a graph, by a look at its first bytes, a file that notes no orientation.

    Such are most files: JPEGs with a JFIF header and the tables for decoding right after it, and
    PNGs with pixels right after their header. Of all others, ``read_orientation`` knows.

    Args:
        encoded: scalar string, the bytes of a whole JPEG or PNG file.

    Returns:
        bool.

    >>> bool(is_surely_upright(tf.io.encode_png(tf.zeros((1, 1, 3), tf.uint8))))
    True
    """
    places = [place for place, _ in _PLAIN_JPEG + _PLAIN_PNG]
    expected = [content for _, content in _PLAIN_JPEG + _PLAIN_PNG]
    found = tf.strings.substr(encoded, places, [len(content) for content in expected])
    jpeg, tables, png, pixels = tf.unstack(found == tf.constant(expected))
    return (jpeg & tables) | (png & pixels)


def are_surely_upright(paths: Sequence[str]) -> bool:
    """Tell whether ``is_surely_upright`` holds of all files that are JPEG or PNG.

    Their first bytes are read by several threads, as a file may be far away.

    Args:
        paths: files; those that are not there, or something else, are no matter.

    >>> are_surely_upright(["nowhere.jpg"])
    True
    """
    shares = [paths[first::_READERS] for first in range(min(_READERS, len(paths)))]
    with ThreadPoolExecutor(_READERS) as readers:
        return all(readers.map(lambda share: all(map(_starts_plainly, share)), shares))


def _starts_plainly(path: str) -> bool:
    try:
        # Without Python's file objects, which take twice as long.
        file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError:  # which is told when the file is decoded
        return True
    try:
        start = os.read(file, _LOOKED_AT)
    except OSError:
        return True
    finally:
        os.close(file)
    return not _MAY_LIE.match(start)


# A place in a file, and what is there.
_PLAIN_JPEG = ((0, b"\xff\xd8\xff\xe0\0\x10"), (20, b"\xff\xdb"))
_PLAIN_PNG = ((0, b"\x89PNG"), (37, b"IDAT"))
# A JPEG or PNG that is not so; whatever else a file is, is told when it is decoded.
_MAY_LIE = re.compile(
    rb"\xff\xd8\xff(?!\xe0\0\x10.{14}\xff\xdb) | \x89PNG(?!.{33}IDAT)", re.DOTALL | re.VERBOSE
)
_LOOKED_AT = 48  # bytes
_READERS = 8
