"""The pipeline, against Pillow and definitions written out in numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from drawn_images import (
    JPEG,
    UNDECODABLE,
    Array,
    coordinates,
    images_under,
    pixels_of,
    run,
)
from PIL import Image

from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline import (
    Control,
    Preprocessing,
    decode_and_preprocess,
    decode_image,
    explained_errors,
    input_pipeline,
    preprocess,
    skipped_paths,
)
from facenet_lib.input_pipeline import pipeline as module
from facenet_lib.input_pipeline.preprocessing import CENTRE

# One preprocessing for all


@pytest.mark.slow
@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(image_size=32),
        Preprocessing(image_size=80),
        Preprocessing(image_size=20, crop_size=30, frame_size=40),
        Preprocessing(image_size=32, standardization="per_image"),
        Preprocessing(image_size=25, crop_size=40, standardization="per_image"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("batch_size", [1, 4, 11])
def test_inference_is_the_same_to_the_last_bit_everywhere(
    faces: list[str], preprocessing: Preprocessing, batch_size: int
) -> None:
    files = [Path(path).read_bytes() for path in faces]
    pipeline = run(input_pipeline(faces, preprocessing=preprocessing, batch_size=batch_size))
    whole = preprocess(tf.stack([decode_image(tf.constant(f)) for f in files]), preprocessing)
    images, valid = decode_and_preprocess(tf.constant(files), preprocessing)
    assert valid.numpy().all()
    np.testing.assert_array_equal(pipeline["images"], whole)
    np.testing.assert_array_equal(images, whole)


def test_batches_carry_indices_and_labels_and_keep_the_remainder(faces: list[str]) -> None:
    labels = np.arange(11)[::-1] % 3
    dataset = input_pipeline(
        [Path(path) for path in faces],
        labels,
        preprocessing=Preprocessing(image_size=8),
        batch_size=4,
    )
    assert dataset.element_spec["images"].shape.as_list() == [None, 8, 8, 3]
    batches = list(dataset.as_numpy_iterator())
    assert [len(batch["images"]) for batch in batches] == [4, 4, 3]
    assert [batch["images"].dtype for batch in batches] == [np.float32] * 3
    np.testing.assert_array_equal(run(dataset)["indices"], np.arange(11))
    np.testing.assert_array_equal(run(dataset)["labels"], labels)
    assert batches[0]["labels"].dtype == batches[0]["indices"].dtype == np.int64


def test_tuning_is_off_since_the_end_of_a_tuned_pass_waits(faces: list[str]) -> None:
    pipeline = input_pipeline(faces, preprocessing=Preprocessing(), batch_size=4)
    assert pipeline.options().autotune.enabled is False


def test_inference_needs_neither_labels_nor_controls(faces: list[str]) -> None:
    dataset = input_pipeline(faces, preprocessing=Preprocessing(image_size=8), batch_size=4)
    assert set(dataset.element_spec) == {"images", "indices"}


# Controls


def test_the_bits_are_the_reference_implementations() -> None:
    assert [(bit.name, bit.value) for bit in Control] == [
        ("RANDOM_ROTATE", 1),
        ("RANDOM_CROP", 2),
        ("RANDOM_FLIP", 4),
        ("FIXED_STANDARDIZATION", 8),
        ("FLIP", 16),
    ]


def test_forced_flip_mirrors_every_image(faces: list[str]) -> None:
    preprocessing = Preprocessing(image_size=32)
    plain = images_under(faces, preprocessing.control, preprocessing)
    mirrored = images_under(faces, preprocessing.control | Control.FLIP, preprocessing)
    np.testing.assert_array_equal(mirrored, plain[:, :, ::-1])


@pytest.mark.parametrize("forced", [Control(0), Control.FLIP])
def test_random_flip_mirrors_half_of_the_images(chart: str, forced: Control) -> None:
    preprocessing = Preprocessing(image_size=32)
    controls = preprocessing.control | Control.RANDOM_FLIP | forced
    columns = pixels_of(images_under([chart] * 400, controls, preprocessing))[..., 1]
    steps = np.unique(np.diff(columns, axis=2).reshape(400, -1), axis=1)
    assert steps.shape == (400, 1)  # whole images run one way
    assert set(steps[:, 0]) == {-1, 1}
    assert abs((steps[:, 0] == -1).sum() - 200) < 4 * 10  # four standard deviations


@pytest.mark.slow
@pytest.mark.parametrize("frame", [None, 34])
def test_random_crop_takes_every_place_of_the_frame_equally(chart: str, frame: int | None) -> None:
    side, n = 30, 3000
    preprocessing = Preprocessing(image_size=side, frame_size=frame)
    controls = preprocessing.control | Control.RANDOM_CROP
    images = pixels_of(images_under([chart] * n, controls, preprocessing))
    corners = images[:, 0, 0, :2]
    np.testing.assert_array_equal(
        images - images[:, :1, :1],
        np.broadcast_to(coordinates(side, side).astype(int), images.shape),
    )
    for axis, length in ((0, 40), (1, 50)):
        seen = length if frame is None else frame
        first = (length - seen) // 2
        places = np.arange(first, first + seen - side + 1)
        values, counts = np.unique(corners[:, axis], return_counts=True)
        np.testing.assert_array_equal(values, places)
        # Chi-square with up to 20 degrees of freedom: 45.3 is exceeded once in a thousand.
        assert ((counts - n / len(places)) ** 2 / (n / len(places))).sum() < 45.3
    assert abs(np.corrcoef(corners.T)[0, 1]) < 0.08


def test_places_round_to_the_centre_and_never_beyond_the_frame() -> None:
    choices = np.arange(1, 100_000, dtype=np.int32)
    centre = tf.cast(CENTRE[0] * tf.cast(choices, tf.float32), tf.int32).numpy()
    np.testing.assert_array_equal(centre, (choices - 1) // 2)
    largest = np.float32(1 - 2**-24)
    last = tf.cast(largest * tf.cast(choices, tf.float32), tf.int32).numpy()
    np.testing.assert_array_equal(last, choices - 1)


def test_random_rotation_is_uniform_within_ten_degrees() -> None:
    plan = module._plan(np.full(4000, Control.RANDOM_ROTATE), seed=0, first_index=0)
    angles = np.sort(plan["angle"])
    assert angles[0] >= -10
    assert angles[-1] < 10
    # Kolmogorov-Smirnov: 1.95 / sqrt(n) is exceeded once in a thousand.
    uniform = (np.arange(4000) + 0.5) / 4000
    assert np.abs((angles + 10) / 20 - uniform).max() < 1.95 / np.sqrt(4000)


@pytest.mark.parametrize("frame", [None, 56])
def test_random_rotation_turns_as_pillow_does(faces: list[str], frame: int | None) -> None:
    """Inside, where the edges do not reach; Pillow too turns counter-clockwise."""
    paths = [path for path in faces if path.endswith(".png")] * 4
    preprocessing = Preprocessing(image_size=32, frame_size=frame)
    controls = preprocessing.control | Control.RANDOM_ROTATE
    found = pixels_of(images_under(paths, controls, preprocessing, seed=3))
    angles = module._plan(np.full(len(paths), controls), seed=3, first_index=0)["angle"]
    assert np.abs(angles).max() > 5
    for path, angle, image in zip(paths, angles, found, strict=True):
        # Plane by plane in floats, as on bytes Pillow cuts the fractions off.
        planes = [plane.convert("F") for plane in Image.open(path).split()]
        turned = [plane.rotate(float(angle), Image.Resampling.BILINEAR) for plane in planes]
        reference = np.stack(turned, axis=2)[8:40, 16:48]
        np.testing.assert_allclose(image, reference, atol=0.51)


def test_rotation_leaves_no_black_corners(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), (200, 100, 50)).save(tmp_path / "even.png")
    preprocessing = Preprocessing(image_size=40)
    controls = preprocessing.control | Control.RANDOM_ROTATE
    images = images_under([str(tmp_path / "even.png")] * 8, controls, preprocessing)
    np.testing.assert_array_equal(
        np.unique(pixels_of(images).reshape(-1, 3), axis=0), [[200, 100, 50]]
    )


@pytest.mark.slow
def test_images_of_one_batch_may_have_different_controls(faces: list[str]) -> None:
    """Every row is what it would be if its control held for all."""
    preprocessing = Preprocessing(image_size=24, crop_size=30)
    paths = (faces * 3)[:32]
    mixed = images_under(paths, list(range(32)), preprocessing, seed=7)
    for row in range(0, 32, 3):
        alone = images_under(paths, Control(row), preprocessing, seed=7)
        np.testing.assert_array_equal(mixed[row], alone[row])


EVERYTHING = (
    Control.RANDOM_ROTATE
    | Control.RANDOM_CROP
    | Control.RANDOM_FLIP
    | Control.FIXED_STANDARDIZATION
)


@pytest.mark.slow
def test_augmentation_depends_on_seed_and_position_alone(faces: list[str]) -> None:
    preprocessing = Preprocessing(image_size=32)
    paths = faces * 4

    def images(first: int, seed: int = 5, batch_size: int = 7) -> Array:
        return run(
            input_pipeline(
                paths[first:],
                None,
                EVERYTHING,
                preprocessing=preprocessing,
                batch_size=batch_size,
                seed=seed,
                first_index=10**9 + first,
            )
        )["images"]

    whole = images(0)
    np.testing.assert_array_equal(images(0, batch_size=44), whole)
    np.testing.assert_array_equal(images(17), whole[17:])
    assert (images(0, seed=6) != whole).any()
    assert (whole[:11] != whole[11:22]).any(axis=(1, 2, 3)).all()  # the same faces, seen anew


# Damaged and missing files


@pytest.fixture
def damaged(faces: list[str], tmp_path: Path) -> tuple[list[str], dict[str, str]]:
    """The faces with all kinds of damage between them; what is wrong with which."""
    problems = {}
    for i, (name, (file, reason)) in enumerate(UNDECODABLE.items()):
        path = tmp_path / f"{i} {name}.jpg"
        path.write_bytes(file)
        problems[str(path)] = reason
    (tmp_path / "folder.jpg").mkdir()
    problems[str(tmp_path / "folder.jpg")] = "expected a file, found a folder"
    problems[str(tmp_path / "nowhere.jpg")] = "no such file"
    paths = [*faces[:5], *problems, *faces[5:]]
    return paths, problems


@pytest.mark.slow
def test_skipping_leaves_out_the_damaged_and_tells_which(
    damaged: tuple[list[str], dict[str, str]], faces: list[str]
) -> None:
    paths, problems = damaged
    preprocessing = Preprocessing(image_size=16)
    controls = EVERYTHING
    rest = run(
        input_pipeline(
            paths,
            range(len(paths)),
            controls,
            preprocessing=preprocessing,
            batch_size=4,
            on_error="skip",
        )
    )
    assert [paths[i] for i in rest["indices"]] == faces
    np.testing.assert_array_equal(rest["labels"], rest["indices"])
    assert skipped_paths(paths, rest["indices"]) == list(problems)
    # Those before and those after the gap are what they would be without it.
    first = images_under(paths[:5], controls, preprocessing)
    last = images_under(faces[5:], controls, preprocessing, first_index=5 + len(problems))
    np.testing.assert_array_equal(rest["images"], np.concatenate([first, last]))


def test_skipping_everything_ends_at_once(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{i}.jpg") for i in range(5)]
    dataset = input_pipeline(paths, preprocessing=Preprocessing(), batch_size=2, on_error="skip")
    assert list(dataset) == []
    assert skipped_paths(paths, []) == paths


def test_raising_names_every_damaged_file_and_why(
    damaged: tuple[list[str], dict[str, str]],
) -> None:
    paths, problems = damaged
    dataset = input_pipeline(paths, preprocessing=Preprocessing(image_size=16), batch_size=2)
    seen = 0
    with pytest.raises(FacenetError) as caught, explained_errors(paths):
        for batch in dataset:
            seen += len(batch["images"])
    assert seen == 4
    message = str(caught.value)
    assert f"{len(problems)} problems" in message
    for path, reason in problems.items():
        assert f"{path}: {reason}" in message


@pytest.mark.parametrize("place", [0, 5, 10])
def test_raising_inside_a_compiled_loop_names_the_file(
    faces: list[str], tmp_path: Path, place: int
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(JPEG[:-100])
    paths = [*faces[:place], str(bad), *faces[place:]]
    dataset = input_pipeline(paths, preprocessing=Preprocessing(image_size=16), batch_size=4)

    @tf.function
    def total() -> tf.Tensor:
        result = 0.0
        for batch in dataset:
            result += tf.reduce_sum(batch["images"])
        return result

    with (
        pytest.raises(FacenetError, match=r"bad\.jpg: the JPEG is damaged"),
        explained_errors(paths),
    ):
        total()


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_shards_are_the_parts_of_every_batch(faces: list[str], count: int) -> None:
    paths, labels = (faces * 2)[:16], np.arange(16)
    every = Control.RANDOM_ROTATE | Control.RANDOM_CROP | Control.RANDOM_FLIP
    options: dict[str, Any] = {
        "labels": labels,
        "controls": every,
        "preprocessing": Preprocessing(32),
        "batch_size": 8,
        "seed": 3,
        "first_index": 5,
    }
    whole = list(input_pipeline(paths, **options).as_numpy_iterator())
    shards = [
        list(input_pipeline(paths, **options, shard=(part, count)).as_numpy_iterator())
        for part in range(count)
    ]
    assert [len(shard) for shard in shards] == [2] * count
    for number, batch in enumerate(whole):
        for key, values in batch.items():
            parts = [shard[number][key] for shard in shards]
            np.testing.assert_array_equal(np.concatenate(parts), values)
            assert {len(part) for part in parts} == {8 // count}


def test_what_no_file_explains_is_passed_on(faces: list[str]) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="my own"), explained_errors(faces):
        raise tf.errors.InvalidArgumentError(None, None, "my own")
    with pytest.raises(tf.errors.ResourceExhaustedError), explained_errors(["nowhere.jpg"]):
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory")


# Arguments


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"paths": []}, "expected at least one path"),
        ({"paths": "face.jpg"}, "found the one 'face.jpg'"),
        ({"paths": ["a.jpg", None]}, r"paths\[1\] to be a path, found None"),
        ({"paths": ["a.jpg", "\udcff.jpg"]}, r"paths\[1\].* UTF-8.*'\\udcff.jpg'"),
        ({"paths": ["a\0.jpg", "b.jpg"]}, r"paths\[0\].* zero byte, found 'a\\x00.jpg'"),
        ({"paths": [Path("a.jpg"), Path("b\0.jpg")]}, r"paths\[1\].* zero byte"),
        ({"labels": [0]}, r"expected 2 labels, one for each path, found shape \(1,\)"),
        ({"labels": [0, -1]}, r"labels from 0, found labels\[1\] = -1"),
        ({"labels": [0, 0.5]}, "labels to be int64 integers, found float64"),
        ({"labels": [0, 2**63]}, "labels to be int64 integers"),
        ({"labels": [0, 2**70]}, "labels to be int64 integers"),
        ({"controls": [1, 2, 3]}, r"expected 2 controls, one for each path, found shape \(3,\)"),
        ({"controls": [1, 32]}, r"FLIP=16, found controls\[1\] = 32"),
        ({"controls": -1}, r"FLIP=16, found controls\[0\] = -1"),
        ({"controls": "crop"}, "controls to be int64 integers, found <U4"),
        ({"controls": [1.0, 2.0]}, "controls to be int64 integers"),
        ({"batch_size": 0}, "batch_size.*at least 1, found 0"),
        ({"batch_size": 2.0}, "batch_size.*found 2.0"),
        ({"seed": -1}, "seed: expected an integer from 0 .*, found -1"),
        ({"seed": 2**128}, f"seed: .* to {2**128 - 1}, found {2**128}"),
        ({"first_index": -1}, "first_index.*at least 0, found -1"),
        ({"on_error": "ignore"}, "'raise' or 'skip', found 'ignore'"),
        ({"shard": (2, 2)}, r"i from 0 and below count, found \(2, 2\)"),
        ({"shard": (-1, 2)}, r"found \(-1, 2\)"),
        ({"shard": (0, 3), "batch_size": 4}, "that 3 shards can share equally, found 2 images"),
        ({"shard": (0, 2), "batch_size": 4}, "whole batches .* found 2 images in batches of 4"),
        ({"batch_size": 0, "labels": [0], "controls": 64}, "3 problems"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments: dict[str, Any], found: str) -> None:
    usual: dict[str, Any] = {
        "paths": ["a.jpg", "b.jpg"],
        "preprocessing": Preprocessing(),
        "batch_size": 2,
    }
    with pytest.raises(FacenetError, match=found):
        input_pipeline(**(usual | arguments))
