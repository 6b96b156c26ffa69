"""The cascade beside the package ``mtcnn``, whose weights it has, and where that one errs."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from pasted_faces import Pixels, drawn_face, picture_of
from PIL import Image

from facenet_lib.alignment import mtcnn
from facenet_lib.alignment.boxes import intersection_over_union
from facenet_lib.alignment.faces import Box, Face
from facenet_lib.alignment.mtcnn import MtcnnDetector, suppress
from facenet_lib.errors import FacenetError

SMALL = picture_of(120, 150, [(25, 5, 100)])
PICTURES = {
    "one": picture_of(250, 250, [(40, 40, 170)]),
    "wide": picture_of(180, 420, [(10, 20, 140), (200, 30, 60), (300, 10, 100)], seed=3),
    "high": picture_of(333, 177, [(5, 5, 90), (90, 210, 80), (20, 150, 40)], seed=6),
    "crowd": picture_of(400, 500, [(x, y, 70) for x in (10, 170, 330) for y in (5, 200)], seed=9),
    "cut": picture_of(160, 160, [(-50, -10, 150), (70, 80, 150)], seed=15),
    "small": SMALL,
}


@pytest.fixture(scope="module")
def detector() -> MtcnnDetector:
    return MtcnnDetector()


@pytest.fixture(scope="module")
def package() -> Any:
    """The package, made to find the last of equal scores surer, as it does up to 16 boxes.

    Of more NumPy's unstable sort decides, by the processor's width.
    """
    import mtcnn as peer
    from mtcnn.utils import bboxes

    def sort_by_scores(rows: Pixels, scores: Pixels, ascending: bool = True) -> Pixels:
        order = np.argsort(scores, kind="stable")
        return rows[order if ascending else order[::-1]]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bboxes, "sort_by_scores", sort_by_scores)
        yield peer.MTCNN()


def found_by(package: Any, image: Pixels) -> np.ndarray:
    """Its rows: image, left, top, right, bottom, score, five x and five y."""
    found = package.detect_faces(
        image,
        fit_to_image=False,
        box_format="xyxy",
        output_type="numpy",
        threshold_onet=mtcnn.THRESHOLDS[2],
    )
    return np.reshape(found, (-1, 16))


def boxes_of(image: Pixels, **settings: Any) -> np.ndarray:
    """What another detector finds, without the seconds that compiling its graph takes."""
    boxes, _, _ = MtcnnDetector(**settings).detect_in_graph(image, 99)
    return boxes.numpy()


def assert_same_faces(faces: Sequence[Face], rows: np.ndarray, within: float) -> None:
    """Ours count from the corner of a pixel, the package's from its centre."""
    assert len(faces) == len(rows)
    for face, row in zip(faces, rows, strict=True):
        np.testing.assert_allclose(np.array(face.box) - 0.5, row[1:5], atol=within)
        np.testing.assert_allclose(face.landmarks - 0.5, row[6:].reshape(2, 5).T, atol=within)
        assert face.score == pytest.approx(row[5], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_faces_are_those_of_the_package(detector: MtcnnDetector, package: Any, name: str):
    rows = found_by(package, PICTURES[name])
    assert len(rows)
    assert_same_faces(detector.detect([PICTURES[name]])[0], rows, within=0.02)


@pytest.mark.slow
def test_faces_of_real_photographs_are_those_of_the_package(detector: MtcnnDetector, package: Any):
    if "FACENET_LFW" not in os.environ:
        pytest.skip("FACENET_LFW does not name the folder of LFW's images")
    paths = sorted(Path(os.environ["FACENET_LFW"]).glob("*/*.jpg"))
    count = int(os.environ.get("FACENET_DETECTED_IMAGES", "20"))
    for path in random.Random(0).sample(paths, count):
        image = np.asarray(Image.open(path).convert("RGB"))
        assert_same_faces(detector.detect([image])[0], found_by(package, image), within=0.02)


@pytest.mark.slow
def test_images_of_all_sizes_are_one_graph_and_do_not_touch_each_other(detector: MtcnnDetector):
    together = detector.detect(list(PICTURES.values()))
    alone = [detector.detect([image])[0] for image in PICTURES.values()]
    for faces, others in zip(together, alone, strict=True):
        assert [face.box for face in faces] == [face.box for face in others]
    assert detector._compiled.experimental_get_tracing_count() == 1


@pytest.mark.slow
def test_the_surest_face_comes_first(detector: MtcnnDetector):
    scores = [face.score for face in detector.detect([PICTURES["crowd"]])[0]]
    assert len(scores) >= 5
    assert scores == sorted(scores, reverse=True)


@pytest.mark.slow
def test_stages_end_with_the_faces(detector: MtcnnDetector):
    image = PICTURES["crowd"]
    proposed, refined, finished = detector.trace_stages(image)
    assert len(proposed) > len(refined) >= len(finished) > 0
    np.testing.assert_allclose(finished, [f.box for f in detector.detect([image])[0]], atol=1e-3)
    shrunk = MtcnnDetector(longest_side=250).trace_stages(image)
    for squares in (proposed, refined, *shrunk[:2]):
        assert squares.dtype == np.float32
        sides = squares[:, 2:] - squares[:, :2]
        np.testing.assert_allclose(sides[:, 0], sides[:, 1], atol=1e-3)
        assert (intersection_over_union(finished, squares).max(axis=1) > 0.4).all()
    with pytest.raises(FacenetError, match="image"):
        detector.trace_stages(image[..., 0])


def test_landmarks_are_left_and_right_as_seen(detector: MtcnnDetector):
    (face,) = detector.detect([SMALL])[0]
    left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_coordinates_of_a_mirror_image_are_mirrored(detector: MtcnnDetector):
    """Which those of pixels' centres would be but for one pixel; a network is no mirror itself."""
    sums = []
    for seed in range(12):
        image = np.pad(drawn_face(seed), ((20, 20), (20, 20), (0, 0)), mode="edge")
        faces = detector.detect([image])[0], detector.detect([image[:, ::-1]])[0]
        if len(faces[0]) == len(faces[1]) == 1:
            first, second = faces[0][0].landmarks, faces[1][0].landmarks[[1, 0, 2, 4, 3]]
            sums.append(np.mean(first[:, 0] + second[:, 0]) - image.shape[1])
    assert len(sums) >= 8
    assert abs(np.mean(sums)) < 0.5


@pytest.mark.parametrize(
    "size", [(1, 1), (5, 300), (11, 11), (12, 12), (19, 40), (20, 20), (40, 3)]
)
def test_an_image_too_small_for_a_face_has_none(detector: MtcnnDetector, size: tuple[int, int]):
    assert detector.detect([np.full((*size, 3), 200, np.uint8)]) == [[]]


def test_an_image_without_a_face_has_none(detector: MtcnnDetector):
    noise = np.random.default_rng(0).integers(0, 256, (200, 230, 3)).astype(np.uint8)
    assert detector.detect([np.zeros((250, 250, 3), np.uint8), noise]) == [[], []]
    assert detector.detect([]) == []


def test_what_is_no_photograph_is_refused_before_any_is_searched(detector: MtcnnDetector):
    grey, small = SMALL[..., 0], SMALL / np.float32(255)
    for wrong in (grey, small, SMALL.astype(np.uint16), np.dstack([SMALL, grey])):
        with pytest.raises(FacenetError, match=r"image 2: expected uint8 .*, RGB, found"):
            detector.detect([SMALL, wrong])


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"minimum_size": 11}, "minimum_size: expected an integer of at least 12, found 11"),
        ({"minimum_size": 20.0}, "minimum_size.*found 20.0"),
        ({"longest_side": 0}, "longest_side: .*found 0"),
        ({"thresholds": (0.6, 0.7)}, "thresholds: expected three"),
        ({"thresholds": (0.6, 0.7, 7)}, r"thresholds: expected a number in \[0, 1\], found 7"),
    ],
)
def test_other_arguments_are_refused(arguments: dict[str, Any], found: str):
    with pytest.raises(FacenetError, match=found):
        MtcnnDetector(**arguments)


def test_faces_below_the_minimum_size_are_not_looked_for(detector: MtcnnDetector):
    """Where the package finds none at all from 26 pixels on, in an image of this size."""
    image = picture_of(250, 250, [(10, 10, 200), (205, 205, 42)])
    assert len(detector.detect([image])[0]) == 2
    (box,) = boxes_of(image, minimum_size=60)
    assert Box(*box).width > 60
    np.testing.assert_allclose(box, detector.detect([image])[0][0].box, atol=4)


def test_a_higher_threshold_leaves_fewer_faces(detector: MtcnnDetector):
    faces = detector.detect([PICTURES["crowd"]])[0]
    threshold = (faces[1].score + faces[2].score) / 2
    strict = boxes_of(PICTURES["crowd"], thresholds=(0.6, 0.7, threshold))
    np.testing.assert_allclose(strict, [face.box for face in faces[:2]], atol=1e-3)


def test_a_large_photograph_is_shrunk_and_its_faces_are_where_they_are(detector: MtcnnDetector):
    image = PICTURES["wide"]
    large = np.repeat(np.repeat(image, 3, axis=0), 3, axis=1)
    faces = detector.detect([image])[0]
    boxes, _, landmarks = MtcnnDetector(longest_side=image.shape[1]).detect_in_graph(large, 99)
    np.testing.assert_allclose(boxes, 3 * np.array([face.box for face in faces]), atol=0.01)
    np.testing.assert_allclose(landmarks, 3 * np.array([f.landmarks for f in faces]), atol=0.01)


def test_suppression_is_that_of_its_definition():
    generator = np.random.default_rng(0)
    boxes = generator.uniform(0, 40, (120, 4)).astype(np.float32)
    boxes[:, 2:] = boxes[:, :2] + 1 + boxes[:, 2:] / 2
    scores = generator.integers(0, 50, 120).astype(np.float32)
    for of_smaller in (False, True):
        kept = suppress(boxes, scores, 0.4, of_smaller).numpy().tolist()
        assert kept == suppressed(boxes, scores, 0.4, of_smaller)
    assert suppress(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.4).shape == (0,)


def suppressed(boxes: np.ndarray, scores: np.ndarray, most: float, of_smaller: bool) -> list[int]:
    def overlap(a: np.ndarray, b: np.ndarray) -> float:
        width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
        height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        first, second = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
        shared = width * height
        return shared / (min(first, second) if of_smaller else first + second - shared)

    order = sorted(range(len(boxes)), key=lambda place: (-scores[place], -place))
    return [
        place
        for rank, place in enumerate(order)
        if all(overlap(boxes[place], boxes[surer]) <= most for surer in order[:rank])
    ]


def test_of_too_many_boxes_the_surest_are_compared(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mtcnn, "MOST_BOXES", 2)
    apart = np.array([[0, 0, 1, 1], [2, 0, 3, 1], [4, 0, 5, 1]], np.float32)
    assert suppress(apart, np.float32([0.2, 0.9, 0.5]), 0.5).numpy().tolist() == [1, 2]


@pytest.mark.slow
def test_an_exported_graph_finds_the_same_faces(detector: MtcnnDetector, tmp_path: Path):
    module = tf.Module()
    module.find = tf.function(
        lambda image: detector.detect_in_graph(image, 2),
        input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)],
        autograph=False,  # nothing of it needs Python's loops to be rewritten
    )
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for image in (*PICTURES.values(), np.zeros((9, 9, 3), np.uint8)):
        boxes, scores, landmarks = loaded.find(image)
        faces = detector.detect([image])[0][:2]
        assert boxes.shape == (len(faces), 4) and scores.shape == (len(faces),)
        assert landmarks.shape == (len(faces), 5, 2)
        if faces:
            np.testing.assert_allclose(boxes, [face.box for face in faces], atol=1e-3)
            np.testing.assert_allclose(landmarks, [f.landmarks for f in faces], atol=1e-3)
    graph = loaded.find.concrete_functions[0].graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    assert not {node.op for node in nodes if "Py" in node.op or "Variable" in node.op}


@pytest.mark.slow
def test_a_graph_searches_photographs_of_several_sizes(detector: MtcnnDetector):
    """As a server's graph does: encoded photographs, one after the other."""
    encoded = [tf.io.encode_png(image).numpy() for image in (SMALL, PICTURES["high"])]

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def count_and_best(photographs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        def find(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            boxes, scores, _ = detector.detect_in_graph(tf.io.decode_png(data, channels=3), 9)
            return tf.shape(scores)[0], tf.pad(boxes, [(0, 1), (0, 0)])[0]

        types = (tf.TensorSpec((), tf.int32), tf.TensorSpec((4,), tf.float32))
        return tf.map_fn(find, photographs, fn_output_signature=types)

    counts, best = count_and_best(encoded)
    faces = detector.detect([SMALL, PICTURES["high"]])
    assert counts.numpy().tolist() == [len(found) for found in faces]
    np.testing.assert_allclose(best, [found[0].box for found in faces], atol=1e-3)
