"""MTCNN: faces and five landmarks by a cascade of three networks, as one TensorFlow graph.

A small network looks at every place of an image at many sizes and proposes boxes, a larger one
looks again at what is left, and a third, which looks closest, says where eyes, nose and mouth
are. Each rejects most of what comes to it, so that the slow networks see little. Derived in
chapter 10.

Source: Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional
Networks", 2016 (arXiv:1604.02878). Boxes and landmarks are those of the package ``mtcnn`` 1.0.0,
whose weights these are, and its conventions with them: the weights were trained in MATLAB, which
counts pixels from 1 and stores images column by column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from facenet_lib import __version__
from facenet_lib.alignment.faces import Box, Face, Image, check_image
from facenet_lib.alignment.mtcnn_weights import PACKAGE_VERSION, Weights, read_mtcnn_weights
from facenet_lib.checks import integer_problems, number_problems
from facenet_lib.errors import refuse

Tensor = Any  # TensorFlow has no types

WINDOW = 12
"""Side of the window that the first network looks at, in pixels of a level of the pyramid."""
STRIDE = 2
"""From one such window to the next."""
FACTOR = 0.709
"""From the side of a level to that of the next, which so has half the pixels."""
THRESHOLDS = (0.6, 0.7, 0.7)
"""What a box must score with each network to stay."""
MOST_BOXES = 3000
"""Of more boxes at once only the surest are compared, each with each: 9 million pairs."""


class MtcnnDetector:
    """Finds faces with MTCNN: a face detector, and the part of a graph that does the same.

    Args:
        minimum_size: side of the smallest face to be found, pixels, at least 12. Smaller is
            slower: half the size has four times the places to look at.
        thresholds: what a box must score with the first, second and third network to stay, 0 to 1.
        longest_side: a larger image is shrunk to it before anything else, so that a large one
            takes no more time and memory; ``minimum_size`` then counts pixels of what it became.

    Raises:
        FacenetError: for an argument out of range, or when the package that has the weights is
            not installed.

    >>> boxes, _, _ = MtcnnDetector().detect_in_graph(np.zeros((40, 50, 3), np.uint8), max_faces=1)
    >>> boxes.shape
    TensorShape([0, 4])
    """

    name = "mtcnn"
    version = f"mtcnn {PACKAGE_VERSION}, facenet-lib {__version__}"

    def __init__(
        self,
        minimum_size: int = 20,
        thresholds: tuple[float, float, float] = THRESHOLDS,
        longest_side: int = 1000,
    ) -> None:
        problems = integer_problems("minimum_size", minimum_size, at_least=WINDOW)
        problems += integer_problems("longest_side", longest_side, at_least=WINDOW)
        if len(thresholds) != 3:
            problems.append(f"thresholds: expected three, found {thresholds!r}")
        problems += [p for t in thresholds for p in number_problems("thresholds", t, "[0, 1]")]
        refuse("detector", problems)
        self._weights = read_mtcnn_weights()
        self._minimum_size = minimum_size
        self._thresholds = thresholds
        self._longest_side = longest_side
        # One graph for images of any size: the networks' calls from Python take longer than their
        # arithmetic. Batches would gain 1 of 16 ms at 250 pixels, and need images of one size.
        self._compiled = tf.function(
            self.detect_in_graph,
            input_signature=[
                tf.TensorSpec((None, None, 3), tf.uint8),
                tf.TensorSpec((), tf.int32),
            ],
        )

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        """Find the faces of images, which may differ in size; the surest first.

        Args:
            images: each uint8 (height, width, 3), RGB, upright.

        Returns:
            For each image its faces, none where nothing was found.

        Raises:
            FacenetError: for an image of another kind or shape.
        """
        for number, image in enumerate(images, start=1):
            check_image(f"image {number}", image)
        return [self._faces(image) for image in images]

    def detect_in_graph(
        self, image: Tensor, max_faces: Tensor | int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Find the faces of one image with TensorFlow's own operations only.

        What :meth:`detect` runs; in a graph that is exported it needs neither Python nor a
        variable.

        Args:
            image: uint8 (height, width, 3), RGB, of any size.
            max_faces: int32, at most so many are wanted.

        Returns:
            The surest first, pixels of the image: boxes float32 (n, 4), left, top, right and
            bottom; scores float32 (n,); landmarks float32 (n, 5, 2).
        """
        stages, scores, landmarks = self._search(image)
        return stages[-1][:max_faces], scores[:max_faces], landmarks[:max_faces]

    def trace_stages(
        self, image: Image
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Show what each of the three networks leaves of an image, for chapter 10 and the curious.

        Not compiled: for a single look that takes longer.

        Args:
            image: uint8 (height, width, 3), RGB, upright.

        Returns:
            Boxes float32 (n, 4), left, top, right and bottom, the surest first, pixels of the
            image: after the first and the second network squares, as the next one sees them;
            after the third the faces.

        Raises:
            FacenetError: for an image of another kind or shape.
        """
        check_image("image", image)
        proposed, refined, finished = (boxes.numpy() for boxes in self._search(image)[0])
        return proposed, refined, finished

    def _search(self, image: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Return the boxes after each network, and scores and landmarks of the last."""
        small, ratio = _shrink(image, self._longest_side)
        pixels = (small - 127.5) / 128.0
        proposed = self._propose(pixels)
        refined = self._refine(pixels, proposed)
        finished, scores, landmarks = self._finish(pixels, refined)
        # The networks' coordinates are those of pixels' centres: measured on mirror images, the
        # landmarks and their mirrored ones add up to the width less one.
        to_image = tf.tile(ratio, [2])
        stages = [(boxes + 0.5) * to_image for boxes in (proposed, refined, finished)]
        return stages, scores, (landmarks + 0.5) * ratio

    def _faces(self, image: Image) -> list[Face]:
        boxes, scores, landmarks = self._compiled(image, np.iinfo(np.int32).max)
        return [
            Face(Box(*box), score, points)
            for box, score, points in zip(
                boxes.numpy().tolist(), scores.numpy().tolist(), landmarks.numpy(), strict=True
            )
        ]

    def _propose(self, image: Tensor) -> Tensor:
        """Search an image at all sizes; return square boxes (n, 4)."""
        size = tf.cast(tf.shape(image)[:2], tf.float64)

        def search(scale: Tensor, boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            level = tf.image.resize(image[None], tf.cast(size * scale, tf.int32), "area")
            offsets, level_scores = propose_faces(self._weights.proposal, level)
            found, sureness = _windows(offsets[0], level_scores[0], self._thresholds[0], scale)
            kept = suppress(found, sureness, 0.5)
            return (
                scale * FACTOR,
                tf.concat([boxes, tf.gather(found, kept)], 0),
                tf.concat([scores, tf.gather(sureness, kept)], 0),
            )

        # The first level shows the smallest face as large as a window, the last is as small as a
        # window is. In double precision, so that a level's size is not cut off by a rounding.
        _, boxes, scores = tf.while_loop(
            lambda scale, *_: tf.reduce_min(size) * scale >= WINDOW,
            search,
            (tf.constant(WINDOW / self._minimum_size, tf.float64), tf.zeros((0, 4)), tf.zeros(0)),
            (tf.TensorShape(()), tf.TensorShape((None, 4)), tf.TensorShape((None,))),
        )
        return _square(tf.gather(boxes, suppress(boxes, scores, 0.7)))

    def _refine(self, image: Tensor, boxes: Tensor) -> Tensor:
        """Look again at square boxes (n, 4); return those that stay, moved, square."""
        offsets, scores = _look(refine_faces, self._weights.refinement, image, boxes, 24)
        stay = tf.where(scores > self._thresholds[1])[:, 0]
        boxes, scores = tf.gather(_move(boxes, offsets), stay), tf.gather(scores, stay)
        return _square(tf.gather(boxes, suppress(boxes, scores, 0.7)))

    def _finish(self, image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Judge square boxes (n, 4); return boxes, scores and landmarks, the surest first."""
        offsets, points, scores = _look(describe_faces, self._weights.output, image, boxes, 48)
        # Five x, then five y, as fractions of the box; less one because MATLAB counts from one.
        points = tf.transpose(tf.reshape(points, (-1, 2, 5)), (0, 2, 1))
        landmarks = boxes[:, None, :2] + points * _sides(boxes)[:, None] - 1.0
        boxes = _move(boxes, offsets)
        stay = tf.where(scores > self._thresholds[2])[:, 0]
        found = [tf.gather(values, stay) for values in (boxes, scores, landmarks)]
        # A small box inside a larger one shares little with it, but all of its own: it goes.
        kept = suppress(found[0], found[1], 0.7, of_smaller=True)
        boxes, scores, landmarks = (tf.gather(values, kept) for values in found)
        return boxes, scores, landmarks


def propose_faces(weights: Weights, images: Tensor) -> tuple[Tensor, Tensor]:
    """Look at every second window of 12 pixels: the proposal network, P-Net.

    Args:
        weights: the network's.
        images: float32 (b, height, width, 3), from -1 to 1, at least 12 pixels high and wide.

    Returns:
        How far the edges of each window are to be moved, as a fraction of its side, float32
        (b, rows, columns, 4); the probability of a face in it, float32 (b, rows, columns).

    >>> weights = read_mtcnn_weights().proposal
    >>> _, probabilities = propose_faces(weights, tf.zeros((1, 12, 16, 3)))
    >>> probabilities.shape, bool(tf.reduce_all(probabilities < 0.6))
    (TensorShape([1, 1, 3]), True)
    """
    layers = iter(weights)
    x = tf.nn.max_pool2d(_convolve(images, layers), 2, 2, "SAME")
    x = _convolve(_convolve(x, layers), layers)
    offsets = tf.nn.conv2d(x, next(layers), 1, "VALID") + next(layers)
    return offsets, _probability(tf.nn.conv2d(x, next(layers), 1, "VALID") + next(layers))


def refine_faces(weights: Weights, crops: Tensor) -> tuple[Tensor, Tensor]:
    """Look again at what was proposed: the refinement network, R-Net.

    Args:
        weights: the network's.
        crops: float32 (n, 24, 24, 3), from -1 to 1.

    Returns:
        How far the edges of the box are to be moved, float32 (n, 4); the probability of a face,
        float32 (n,).
    """
    layers = iter(weights)
    x = tf.nn.max_pool2d(_convolve(crops, layers), 3, 2, "SAME")
    x = tf.nn.max_pool2d(_convolve(x, layers), 3, 2, "VALID")
    x = _connect(_column_by_column(_convolve(x, layers)), layers)
    x = _prelu(x, next(layers))
    return _connect(x, layers), _probability(_connect(x, layers))


def describe_faces(weights: Weights, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Judge what is left and find its landmarks: the output network, O-Net.

    Args:
        weights: the network's.
        crops: float32 (n, 48, 48, 3), from -1 to 1.

    Returns:
        How far the edges of the box are to be moved, float32 (n, 4); x of the five landmarks and
        then y, as fractions of the box, float32 (n, 10); the probability of a face, float32 (n,).
    """
    layers = iter(weights)
    x = tf.nn.max_pool2d(_convolve(crops, layers), 3, 2, "SAME")
    x = tf.nn.max_pool2d(_convolve(x, layers), 3, 2, "VALID")
    x = tf.nn.max_pool2d(_convolve(x, layers), 2, 2, "SAME")
    x = _connect(_column_by_column(_convolve(x, layers)), layers)
    x = _prelu(x, next(layers))
    return _connect(x, layers), _connect(x, layers), _probability(_connect(x, layers))


def suppress(
    boxes: Tensor, scores: Tensor, most_overlap: float, of_smaller: bool = False
) -> Tensor:
    """Keep of boxes on one thing the surest.

    Removed is what a surer box overlaps too far, even where the surer one is removed itself, as
    the package ``mtcnn`` has it: ``tf.image.non_max_suppression`` would keep a few more boxes, of
    which others then win, up to 7 pixels away in an image of LFW, and find no more faces. Of equal
    scores, which occur because they are rounded to 1, the last counts as surer, for the same
    reason.

    Args:
        boxes: float32 (n, 4): left, top, right, bottom.
        scores: float32 (n,).
        most_overlap: the largest overlap with a surer box, 0 to 1.
        of_smaller: the overlap is shared area over that of the smaller box, not of the union.

    Returns:
        int32 places of those that stay, the surest first.
    """
    order = tf.argsort(scores, stable=True)[::-1][:MOST_BOXES]
    boxes = tf.gather(boxes, order)
    areas = tf.reduce_prod(boxes[:, 2:] - boxes[:, :2], -1)
    low = tf.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = tf.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = tf.reduce_prod(tf.maximum(high - low, 0.0), -1)
    smaller = tf.minimum(areas[:, None], areas[None])
    whole = smaller if of_smaller else areas[:, None] + areas[None] - shared
    overlap = tf.math.divide_no_nan(shared, whole)
    with_surer = tf.linalg.band_part(overlap, 0, -1) - tf.linalg.band_part(overlap, 0, 0)
    return tf.boolean_mask(order, tf.reduce_max(with_surer, 0) <= most_overlap)


def _shrink(image: Tensor, longest_side: int) -> tuple[Tensor, Tensor]:
    """Return an image of no longer side, float32, and by what its x and y are to be multiplied."""
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = longest_side / tf.reduce_max(size)
    pixels = tf.cast(image, tf.float32)
    small = tf.cond(
        scale < 1.0,
        lambda: tf.image.resize(
            pixels, tf.cast(tf.maximum(tf.round(size * scale), 1.0), tf.int32), "area"
        ),
        lambda: pixels,
    )
    return small, (size / tf.cast(tf.shape(small)[:2], tf.float32))[::-1]


def _windows(
    offsets: Tensor, scores: Tensor, threshold: float, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the boxes of a level's windows that score enough, in the image, and their scores."""
    places = tf.where(scores > threshold)
    corner = tf.cast(places[:, ::-1] * STRIDE, tf.float32)  # row and column to x and y
    # From the first pixel to the last, counted from one: a window of 12 is 11 wide.
    boxes = tf.concat([corner + 1.0, corner + WINDOW], 1)
    boxes += tf.gather_nd(offsets, places) * (WINDOW - 1.0)
    return boxes / tf.cast(scale, tf.float32), tf.gather_nd(scores, places)


def _square(boxes: Tensor) -> Tensor:
    """Widen the shorter sides of boxes (n, 4) about their middles: the networks see squares."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2.0
    half = tf.reduce_max(boxes[:, 2:] - boxes[:, :2], 1, keepdims=True) / 2.0
    return tf.concat([middle - half, middle + half], 1)


def _look(
    network: Callable[[Weights, Tensor], tuple[Tensor, ...]],
    weights: Weights,
    image: Tensor,
    boxes: Tensor,
    size: int,
) -> tuple[Tensor, ...]:
    """Cut boxes (n, 4) out, resize them to ``size`` and give them to a network."""
    height, width = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))
    left, top, right, bottom = tf.unstack(boxes, axis=1)
    fractions = tf.stack([top / height, left / width, bottom / height, right / width], 1)
    of_image = tf.zeros_like(left, tf.int32)
    # Grey, which is 0, is what lies outside the image.
    crops = tf.image.crop_and_resize(image[None], fractions, of_image, (size, size))
    # A convolution of no image at all fails (oneDNN's, in TensorFlow 2.21): it gets a grey one.
    count = tf.shape(boxes)[0]
    grey = tf.zeros((tf.cast(count == 0, tf.int32), size, size, 3))
    return tuple(values[:count] for values in network(weights, tf.concat([crops, grey], 0)))


def _move(boxes: Tensor, offsets: Tensor) -> Tensor:
    """Move the edges of boxes (n, 4) by fractions (n, 4) of their sides."""
    return boxes + offsets * tf.tile(_sides(boxes), (1, 2))


def _sides(boxes: Tensor) -> Tensor:
    """Width and height (n, 2), pixels counted from the first to the last: hence one more."""
    return boxes[:, 2:] - boxes[:, :2] + 1.0


def _convolve(x: Tensor, layers: Iterator[Any]) -> Tensor:
    kernel, bias, slope = next(layers), next(layers), next(layers)
    return _prelu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "VALID"), bias), slope)


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    """Leave what is positive as it is, and multiply the rest with each channel's slope."""
    return tf.maximum(x, 0.0) + slope * tf.minimum(x, 0.0)


def _connect(x: Tensor, layers: Iterator[Any]) -> Tensor:
    return x @ next(layers) + next(layers)


def _column_by_column(x: Tensor) -> Tensor:
    """Write (n, height, width, channels) as rows of numbers, as MATLAB's images lie in memory."""
    return tf.reshape(tf.transpose(x, (0, 2, 1, 3)), (-1, np.prod(x.shape[1:])))


def _probability(logits: Tensor) -> Tensor:
    """The second of two classes: a face."""
    return tf.nn.softmax(logits)[..., 1]
