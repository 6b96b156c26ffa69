"""Drawn photographs: the same from any number of workers, and true about their faces."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facenet_lib.drawn_faces import (
    DrawnFace,
    DrawnPhotograph,
    DrawnPhotographs,
    person_name,
    read_photograph_faces,
    render_photograph,
    write_photographs,
)
from facenet_lib.drawn_faces.layer import Layer
from facenet_lib.drawn_faces.photographs import compose_layer
from facenet_lib.errors import FacenetError

SOME, SEED = range(240, 250), 36  # of which the first two photographs are quickly drawn


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def expect_equal(first: DrawnFace, second: DrawnFace) -> None:
    assert first.name == second.name
    np.testing.assert_allclose(first.box, second.box, atol=6e-4)
    np.testing.assert_allclose(first.landmarks, second.landmarks, atol=6e-4)
    assert first.hidden == pytest.approx(second.hidden, abs=6e-4)
    assert first.yaw == pytest.approx(second.yaw, abs=6e-4)


# What is hidden ---------------------------------------------------------------------------------


def square(left: int, top: int, side: int = 10, coverage: float = 1.0) -> Layer:
    """A person who is a white square, all of it face."""
    share = np.full((side, side), coverage, np.float32)
    return Layer(
        left=left,
        top=top,
        colour=share[..., None].repeat(3, axis=2),
        coverage=share[..., None],
        face=np.ones((side, side), np.float32),
        box=(left, top, left + side, top + side),
        landmarks=np.zeros((5, 2)),
    )


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([square(5, 5)], [0.0]),
        ([square(-5, 5)], [0.5]),
        ([square(25, 25)], [0.75]),
        ([square(30, 5)], [1.0]),
        ([square(-40, -40)], [1.0]),
        ([square(5, 5), square(10, 5)], [0.0, 0.5]),
        ([square(5, 5), square(5, 5, 5)], [0.0, 1.0]),
        ([square(5, 5, coverage=0.5), square(5, 5)], [0.0, 0.5]),
        ([square(5, 5), square(8, 5), square(10, 5)], [0.0, 0.7, 0.8]),
        ([square(5, 5), square(-5, 10)], [0.0, 0.5]),
    ],
)
def test_what_the_edge_and_nearer_people_hide(layers: Sequence[Layer], expected: object) -> None:
    picture, unhidden = np.zeros((30, 30, 3), np.float32), np.ones((30, 30, 1), np.float32)
    hidden = [compose_layer(picture, unhidden, layer) for layer in layers]
    np.testing.assert_allclose(hidden, expected, atol=1e-6)
    np.testing.assert_allclose(picture, (1.0 - unhidden).repeat(3, axis=2), atol=1e-6)


# In memory --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_same_photograph_twice_is_the_same_to_the_last_bit() -> None:
    first, again = (render_photograph(0, SOME, seed=SEED) for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    assert first.image.dtype == np.uint8
    for face, same in zip(first.faces, again.faces, strict=True):
        assert face.box == same.box and face.hidden == same.hidden
        np.testing.assert_array_equal(face.landmarks, same.landmarks)


@pytest.mark.slow
def test_the_named_person_is_the_most_central_one() -> None:
    accompanied = 0
    for subject in range(6):
        for index in range(2):
            drawn = render_photograph(index, range(30), seed=5, subject=subject)
            height, width = drawn.image.shape[:2]

            def offset(face: DrawnFace, width: int = width, height: int = height) -> float:
                left, top, right, bottom = face.box
                return math.hypot((left + right - width) / 2, (top + bottom - height) / 2)

            nearest = min(drawn.faces, key=offset)
            assert nearest.name == person_name(subject, 5)
            assert nearest.hidden < 0.2
            accompanied += len(drawn.faces) > 1
    assert accompanied >= 4


# Folders ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> DrawnPhotographs:
    root = tmp_path_factory.mktemp("photographs") / "new" / "folder"
    return write_photographs(root, 2, SOME, seed=SEED, workers=1, progress=False)


@pytest.mark.slow
def test_a_folder_holds_photographs_and_where_their_faces_are(drawn: DrawnPhotographs) -> None:
    assert (drawn.photographs, drawn.photographs_drawn) == (2, 2)
    assert sorted(path.name for path in drawn.root.iterdir()) == [
        *("drawn_photographs.json", "faces.csv", "photograph_0001.jpg", "photograph_0002.jpg")
    ]
    faces = read_photograph_faces(drawn.root)
    assert list(faces) == ["photograph_0001.jpg", "photograph_0002.jpg"]
    assert drawn.faces == sum(map(len, faces.values()))
    for index, (name, people) in enumerate(faces.items()):
        rendered = render_photograph(index, SOME, seed=SEED)
        with Image.open(drawn.root / name) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
            difference = np.abs(np.asarray(image, float) - rendered.image).mean()
        assert difference < 6
        assert {face.name for face in people} <= {person_name(who, SEED) for who in SOME}
        for face, truth in zip(people, rendered.faces, strict=True):
            expect_equal(face, truth)


@pytest.mark.slow
def test_the_bytes_depend_neither_on_the_workers_nor_on_the_count(
    drawn: DrawnPhotographs, tmp_path: Path
) -> None:
    write_photographs(tmp_path / "two", 2, SOME, seed=SEED, workers=2, progress=False)
    assert contents(tmp_path / "two") == contents(drawn.root)
    more = write_photographs(tmp_path / "more", 3, SOME, seed=SEED, workers=2, progress=False)
    for name in ("photograph_0001.jpg", "photograph_0002.jpg"):
        assert (more.root / name).read_bytes() == (drawn.root / name).read_bytes()


@pytest.mark.slow
def test_an_interrupted_call_is_finished_by_the_next(
    drawn: DrawnPhotographs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Image.Image.save

    def save_one(image: Image.Image, *args: object, **options: object) -> None:
        if list(tmp_path.rglob("*.jpg")):
            raise KeyboardInterrupt
        save(image, *args, **options)

    arguments = {"seed": SEED, "workers": 1, "progress": False}
    monkeypatch.setattr(Image.Image, "save", save_one)
    with pytest.raises(KeyboardInterrupt):
        write_photographs(tmp_path, 2, SOME, **arguments)
    monkeypatch.undo()
    assert len(list(tmp_path.rglob("*.jpg"))) == 1
    assert not (tmp_path / "faces.csv").exists()
    (tmp_path / ".half.jpg.99.part").write_bytes(b"left by a call that was killed")
    assert write_photographs(tmp_path, 2, SOME, **arguments).photographs_drawn == 1
    assert contents(tmp_path) == contents(drawn.root)
    assert write_photographs(tmp_path, 2, SOME, **arguments).photographs_drawn == 0
    assert contents(tmp_path) == contents(drawn.root)


@pytest.mark.slow
def test_an_album_has_a_folder_for_each_person(tmp_path: Path) -> None:
    drawn = write_photographs(tmp_path, 1, range(3, 6), per_person=True, progress=False)
    names = [person_name(index) for index in range(3, 6)]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == sorted(names)
    faces = read_photograph_faces(tmp_path)
    assert list(faces) == [f"{name}/{name}_0001.jpg" for name in names]
    assert drawn.photographs == 3
    for name, people in zip(names, faces.values(), strict=True):
        assert (tmp_path / name / f"{name}_0001.jpg").is_file()
        assert name in {face.name for face in people}


def test_other_arguments_do_not_touch_a_folder_drawn_before(drawn: DrawnPhotographs) -> None:
    before = contents(drawn.root)
    with pytest.raises(FacenetError) as caught:
        write_photographs(drawn.root, 3, range(240, 251), seed=2, progress=False)
    for told in (
        "seed: expected 2, found 36",
        "photographs: expected 3",
        "last_identity: expected",
    ):
        assert told in str(caught.value)
    assert contents(drawn.root) == before


def test_a_folder_with_strangers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(FacenetError, match=r"empty folder.*'holiday.jpg'"):
        write_photographs(tmp_path, 2, SOME, progress=False)
    assert contents(tmp_path) == {"holiday.jpg": b"mine"}


@pytest.mark.parametrize("other", [b"", b"no photograph"])
def test_another_file_in_place_of_a_photograph_is_named(
    drawn: DrawnPhotographs, tmp_path: Path, other: bytes
) -> None:
    for name, content in contents(drawn.root).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "photograph_0002.jpg").write_bytes(other)
    with pytest.raises(FacenetError, match=r"photograph_0002.jpg: expected a photograph drawn"):
        write_photographs(tmp_path, 2, SOME, seed=SEED, progress=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "photographs: expected an integer from 1 to 9999, found 0"),
        ({"count": 10_000}, "photographs"),
        ({"count": 2.0}, "photographs"),
        ({"seed": -1}, "seed"),
        ({"workers": 0}, "workers"),
        ({"identities": 5}, "identities: expected a range"),
        ({"identities": range(5, 5)}, "identities: expected a range"),
        ({"identities": range(0, 9, 2)}, "identities: expected a range"),
        ({"identities": range(-1, 5)}, "identities: the first: expected an integer of at least 0"),
        ({"identities": range(200_000)}, "person: expected an integer from 0 to"),
    ],
)
def test_impossible_arguments_are_refused_before_anything_is_written(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    arguments = {"count": 2, "identities": SOME, **change}
    with pytest.raises(FacenetError, match=message):
        write_photographs(tmp_path / "photographs", **arguments, progress=False)
    assert not (tmp_path / "photographs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"index": -1}, "index"),
        ({"index": 1.5}, "index"),
        ({"seed": "one"}, "seed"),
        ({"subject": -1}, "subject"),
        ({"identities": (1, 2)}, "identities"),
    ],
)
def test_impossible_photographs_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(FacenetError, match=message):
        render_photograph(**{"index": 0, "identities": SOME, **arguments})


# Independent witnesses --------------------------------------------------------------------------

Found = tuple[tuple[float, float, float, float], np.ndarray]  # box and (5, 2) landmarks


def detect_with_yunet(images: Sequence[np.ndarray]) -> list[list[Found]]:
    cv2 = pytest.importorskip("cv2")
    weights = os.environ.get("FACENET_YUNET")
    if weights is None:
        pytest.skip("FACENET_YUNET names no file of YuNet's weights")
    detector = cv2.FaceDetectorYN.create(weights, "", (320, 320), 0.7)
    answers = []
    for image in images:
        detector.setInputSize(image.shape[1::-1])
        _, rows = detector.detect(np.ascontiguousarray(image[..., ::-1]))
        answers.append(
            [
                ((row[0], row[1], row[0] + row[2], row[1] + row[3]), row[4:14].reshape(5, 2))
                for row in ([] if rows is None else rows)
            ]
        )
    return answers


def detect_with_mtcnn(images: Sequence[np.ndarray]) -> list[list[Found]]:
    mtcnn = pytest.importorskip("mtcnn")
    detector = mtcnn.MTCNN()
    names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    answers = []
    for image in images:
        found = detector.detect_faces(image, box_format="xyxy")
        answers.append(
            [
                (tuple(face["box"]), np.array([face["keypoints"][name] for name in names], float))
                for face in found
            ]
        )
    return answers


def overlap(first: Sequence[float], second: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    sides = [
        max(0.0, min(first[axis + 2], second[axis + 2]) - max(first[axis], second[axis]))
        for axis in (0, 1)
    ]
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return sides[0] * sides[1] / (sum(areas) - sides[0] * sides[1])


@pytest.fixture(scope="module")
def photographs() -> list[DrawnPhotograph]:
    return [render_photograph(index, range(60), seed=11) for index in range(14)]


@pytest.mark.slow
@pytest.mark.parametrize("detect", [detect_with_yunet, detect_with_mtcnn])
def test_detectors_of_real_faces_agree_with_the_truth(detect, photographs) -> None:  # type: ignore[no-untyped-def]
    wanted, errors = 0, []
    for drawn, found in zip(
        photographs, detect([drawn.image for drawn in photographs]), strict=True
    ):
        for face in drawn.faces:
            large = face.box[3] - face.box[1] > 40
            if not large or face.hidden > 0.05 or abs(face.yaw) > 25 or abs(face.roll) > 15:
                continue
            wanted += 1
            box, landmarks = max(found, key=lambda f: overlap(f[0], face.box), default=(None, None))
            if box is not None and overlap(box, face.box) >= 0.5:
                eyes = np.linalg.norm(face.landmarks[1] - face.landmarks[0])
                errors.append(np.linalg.norm(landmarks - face.landmarks, axis=1) / eyes)
    assert wanted > 20
    assert len(errors) > 0.8 * wanted
    assert (np.median(errors, axis=0) < 0.2).all()
