"""Photographs to crops by TensorFlow's own operations, for a graph that a server holds.

What ``facenet align`` does by Pillow and NumPy, to the same pixels; derived in chapter 10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from facenet_lib.alignment.crops import CROPS, DEFAULT_MARGINS, MOST_PIXELS_A_SIDE, place_template
from facenet_lib.alignment.mtcnn import MtcnnDetector
from facenet_lib.checks import integer_problems, number_problems, word_problems
from facenet_lib.errors import refuse
from facenet_lib.input_pipeline.decoding import decode_upright

Tensor = Any  # TensorFlow has no types


@dataclass(frozen=True)
class GraphAlignment:
    """How faces are found and cut out in a graph.

    Attributes:
        crop: ``"reference"``, ``"square"`` or ``"similarity"``, as for
            :func:`facenet_lib.alignment.crop_face`.
        margin: as that crop takes it; None stands for its usual one.
        size: side of a crop, pixels.
        most_faces: so many of a photograph at most, the surest first.

    Raises:
        FacenetError: for an unusable setting; all are told at once.

    >>> GraphAlignment("square").window_margin
    0.125
    """

    crop: str = "reference"
    margin: float | None = None
    size: int = 160
    most_faces: int = 8

    @property
    def window_margin(self) -> float:
        """The margin that is taken."""
        return DEFAULT_MARGINS[self.crop] if self.margin is None else self.margin

    def __post_init__(self) -> None:
        problems = word_problems("crop", self.crop, CROPS)
        problems += integer_problems("size", self.size, 1, MOST_PIXELS_A_SIDE)
        problems += integer_problems("most_faces", self.most_faces, 1, 1000)
        if self.margin is not None:
            problems += number_problems("margin", self.margin, "[0, inf)")
        refuse("alignment", problems)


def align_encoded(
    encoded: Tensor, detector: MtcnnDetector, alignment: GraphAlignment
) -> Mapping[str, Tensor]:
    """Find the faces of encoded photographs and cut them out.

    Photographs are decoded and searched in parallel. A damaged one, and one of more than
    ``input_pipeline.MAX_PIXELS``, is marked and costs no other. The EXIF orientation is obeyed.

    Args:
        encoded: string (n,), the bytes of n JPEG or PNG files.
        detector: finds the faces.
        alignment: how they are cut out, and how many of a photograph at most: k.

    Returns:
        ``decoded``, bool (n,): whether the photograph could be read; ``valid``, bool (n, k):
        whether there is so many a face in it; of each face ``boxes``, float32 (n, k, 4),
        ``landmarks``, float32 (n, k, 5, 2), both in pixels of the upright photograph, ``scores``,
        float32 (n, k), and ``crops``, uint8 (n, k, size, size, 3); zeros where there is none.

    >>> found = align_encoded(tf.constant([b"damaged"]), MtcnnDetector(), GraphAlignment())
    >>> found["decoded"].numpy().tolist(), found["boxes"].shape
    ([False], TensorShape([1, 8, 4]))
    """
    count = tf.shape(encoded, tf.int64)[0]
    most, size = alignment.most_faces, alignment.size
    shapes = {"boxes": (4,), "landmarks": (5, 2), "scores": (), "crops": (size, size, 3)}

    @tf.autograph.experimental.do_not_convert
    def align(row: Tensor, file: Tensor) -> dict[str, Tensor]:
        image = decode_upright(file, bounded=True, accurate=True)  # as read_photograph
        boxes, scores, landmarks = detector.detect_in_graph(image, most)
        crops, are_cut = cut_faces(image, boxes, landmarks, alignment)
        found = {"boxes": boxes, "landmarks": landmarks, "scores": scores, "crops": crops}
        found = {name: tf.boolean_mask(values, are_cut) for name, values in found.items()}
        valid = tf.sequence_mask(tf.math.count_nonzero(are_cut, dtype=tf.int32), most)
        return {"row": row, "valid": valid} | {
            name: _fill(values, most, shapes[name]) for name, values in found.items()
        }

    spare = {name: tf.zeros((most, *shape)) for name, shape in shapes.items()}
    spare["crops"] = tf.cast(spare["crops"], tf.uint8)
    spare |= {"row": count, "valid": tf.zeros(most, tf.bool)}
    aligned = (
        tf.data.Dataset.from_tensor_slices(encoded)
        .enumerate()
        .map(align, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .ignore_errors()
        .concatenate(tf.data.Dataset.from_tensors(spare))  # a batch even where all are damaged
        .batch(count + 1)
        .get_single_element()
    )
    rows = aligned.pop("row")[:-1, tf.newaxis]
    decoded = tf.scatter_nd(rows, tf.ones_like(rows[:, 0], tf.bool), count[tf.newaxis])
    return {"decoded": decoded} | {
        name: tf.ensure_shape(_in_place(rows, values[:-1], count), (None, *values.shape[1:]))
        for name, values in aligned.items()
    }


def _fill(values: Tensor, count: int, shape: tuple[int, ...]) -> Tensor:
    """Append zeros up to ``count`` rows."""
    missing = tf.zeros((count - tf.shape(values)[0], *shape), values.dtype)
    return tf.ensure_shape(tf.concat([values, missing], 0), (count, *shape))


def _in_place(rows: Tensor, values: Tensor, count: Tensor) -> Tensor:
    return tf.scatter_nd(rows, values, tf.concat([[count], tf.shape(values, tf.int64)[1:]], 0))


# Crops


def cut_faces(
    image: Tensor, boxes: Tensor, landmarks: Tensor, alignment: GraphAlignment
) -> tuple[Tensor, Tensor]:
    """Cut faces out, to the pixels that :func:`facenet_lib.alignment.crop_face` has.

    Args:
        image: uint8 (height, width, 3), RGB, upright.
        boxes: float32 (n, 4).
        landmarks: float32 (n, 5, 2).
        alignment: how.

    Returns:
        uint8 (n, size, size, 3), and bool (n,), False where a box has no pixel in the image.

    >>> faces = tf.constant([[2.0, 2.0, 8.0, 8.0]]), tf.zeros((1, 5, 2))
    >>> cut_faces(tf.zeros((9, 9, 3), tf.uint8), *faces, GraphAlignment("square", size=4))[0].shape
    TensorShape([1, 4, 4, 3])
    """
    kinds = {"reference": _cut_reference, "square": _cut_square, "similarity": _cut_similarity}
    cut, size = kinds[alignment.crop], alignment.size
    types = (tf.TensorSpec((size, size, 3), tf.uint8), tf.TensorSpec((), tf.bool))
    faces = (tf.cast(boxes, tf.float64), tf.cast(landmarks, tf.float64))
    return tf.map_fn(
        lambda face: cut(image, face[0], face[1], alignment), faces, fn_output_signature=types
    )


def _cut_reference(
    image: Tensor, box: Tensor, _: Tensor, alignment: GraphAlignment
) -> tuple[Tensor, Tensor]:
    edge = tf.cast(tf.shape(image)[1::-1], tf.float64)
    low = tf.cast(tf.maximum(box[:2] - alignment.window_margin / 2, 0.0), tf.int32)
    high = tf.cast(tf.minimum(box[2:] + alignment.window_margin / 2, edge), tf.int32)
    is_there = tf.reduce_all(low < high)
    low = tf.where(is_there, low, 0)
    high = tf.where(is_there, high, 1)
    part = tf.cast(image[low[1] : high[1], low[0] : high[0]], tf.float64)
    # As Pillow: first across, rounded to whole numbers, then down.
    across = _resize_matrix(high[0] - low[0], alignment.size)
    down = _resize_matrix(high[1] - low[1], alignment.size)
    part = _whole(tf.einsum("ijc,kj->ikc", part, across))
    return tf.cast(_whole(tf.einsum("ijc,ki->kjc", part, down)), tf.uint8), is_there


def _resize_matrix(length: Tensor, size: int) -> Tensor:
    """Pillow's bilinear filter from ``length`` pixels to ``size``, float64 (size, length).

    A pixel is the mean of those below a triangle, which is as wide as two of the coarser pixels;
    weights are multiples of 2^-22, so that sums that end in a half are rounded as Pillow does.
    """
    scale = tf.cast(length, tf.float64) / size
    reach = tf.maximum(scale, 1.0)
    middle = (tf.range(size, dtype=tf.float64)[:, tf.newaxis] + 0.5) * scale
    first = tf.floor(tf.maximum(middle - reach + 0.5, 0.0))
    last = tf.floor(tf.minimum(middle + reach + 0.5, tf.cast(length, tf.float64)))
    place = tf.cast(tf.range(length), tf.float64)
    weights = tf.maximum(1.0 - tf.abs(place - middle + 0.5) / reach, 0.0)
    weights = tf.where((place >= first) & (place < last), weights, 0.0)
    weights /= tf.reduce_sum(weights, 1, keepdims=True)
    return tf.floor(weights * 2.0**22 + 0.5) / 2.0**22


def _whole(values: Tensor) -> Tensor:
    return tf.clip_by_value(tf.floor(values + 0.5), 0.0, 255.0)


def _cut_square(
    image: Tensor, box: Tensor, _: Tensor, alignment: GraphAlignment
) -> tuple[Tensor, Tensor]:
    side = tf.reduce_max(box[2:] - box[:2])
    is_there = tf.reduce_all(box[2:] > box[:2])
    scale = alignment.size / (tf.where(is_there, side, 1.0) * (1 + alignment.window_margin))
    shift = alignment.size / 2 - scale * (box[:2] + box[2:]) / 2
    return _warp(image, scale, tf.zeros((), tf.float64), shift, alignment.size), is_there


def _cut_similarity(
    image: Tensor, _: Tensor, landmarks: Tensor, alignment: GraphAlignment
) -> tuple[Tensor, Tensor]:
    targets = tf.constant(place_template(alignment.size, alignment.window_margin))
    middle, end = tf.reduce_mean(landmarks, 0), tf.reduce_mean(targets, 0)
    points, targets = landmarks - middle, targets - end
    spread = tf.reduce_sum(points**2)
    is_there = spread > 0.0
    spread = tf.where(is_there, spread, 1.0)
    a = tf.reduce_sum(points * targets) / spread
    b = tf.reduce_sum(points[:, 0] * targets[:, 1] - points[:, 1] * targets[:, 0]) / spread
    is_there &= a**2 + b**2 > 0.0
    a = tf.where(is_there, a, 1.0)
    shift = end - tf.stack([a * middle[0] - b * middle[1], b * middle[0] + a * middle[1]])
    return _warp(image, a, b, shift, alignment.size), is_there


def _warp(image: Tensor, a: Tensor, b: Tensor, shift: Tensor, size: int) -> Tensor:
    """Move pixels by the similarity transform of ``a``, ``b`` and ``shift``, as ``crops`` does."""
    block = tf.cast(tf.maximum(1.0 / tf.sqrt(a**2 + b**2), 1.0), tf.int32)
    pixels = tf.cast(tf.cond(block > 1, lambda: _reduce(image, block), lambda: image), tf.float64)
    height, width = tf.unstack(tf.shape(pixels)[:2])
    # Where each pixel of the crop comes from: the transform backwards.
    across, down = tf.meshgrid(*[tf.range(size, dtype=tf.float64) + 0.5] * 2)
    across, down = across - shift[0], down - shift[1]
    of_block = (a**2 + b**2) * tf.cast(block, tf.float64)
    x, y = (a * across + b * down) / of_block, (a * down - b * across) / of_block
    is_inside = (x >= 0.0) & (x < tf.cast(width, x.dtype))
    is_inside &= (y >= 0.0) & (y < tf.cast(height, y.dtype))
    x, y = x - 0.5, y - 0.5
    left, top = tf.cast(tf.floor(x), tf.int32), tf.cast(tf.floor(y), tf.int32)
    to_right = (x - tf.floor(x))[..., tf.newaxis]
    to_bottom = (y - tf.floor(y))[..., tf.newaxis]

    def pixel(row: Tensor, column: Tensor) -> Tensor:
        places = tf.clip_by_value(row, 0, height - 1), tf.clip_by_value(column, 0, width - 1)
        return tf.gather_nd(pixels, tf.stack(places, -1))

    upper, lower = (
        pixel(row, left) + (pixel(row, left + 1) - pixel(row, left)) * to_right
        for row in (top, top + 1)
    )
    mixed = upper + (lower - upper) * to_bottom
    return tf.cast(tf.where(is_inside[..., tf.newaxis], mixed, 0.0), tf.uint8)


def _reduce(image: Tensor, block: Tensor) -> Tensor:
    """Average blocks of pixels, those at the right and the bottom of what is left, as Pillow."""
    sums = tf.cast(image, tf.int64)
    counts = tf.ones(tf.shape(image)[:2], tf.int64)
    for _ in range(2):  # down, and after the transposition across
        places = tf.range(tf.shape(sums)[0]) // block
        sums = tf.transpose(tf.math.segment_sum(sums, places), (1, 0, 2))
        counts = tf.transpose(tf.math.segment_sum(counts, places))
    # Pillow multiplies by a reciprocal of 24 bits, and cuts off what is left.
    reciprocal = tf.cast(2.0**24 / tf.cast(counts, tf.float32), tf.int64)[..., tf.newaxis]
    return tf.cast(((sums + counts[..., tf.newaxis] // 2) * reciprocal) // 2**24, tf.uint8)
