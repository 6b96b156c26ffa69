"""Image files to embeddings, against the definition."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from toy_training import (
    SIZE,
    load_run,
)

from facenet_lib.embedding import embed_files, embed_images, encoded_batches, unique_files
from facenet_lib.errors import FacenetError
from facenet_lib.input_pipeline import Preprocessing, decode_image, input_pipeline
from facenet_lib.verification import evaluate_pairs


def test_embeddings_are_those_of_the_definition(toy_run, toy_faces):
    loaded = load_run(toy_run)
    assert loaded.identities == tuple(toy_faces)
    assert loaded.step == 18
    paths = [str(toy_faces[name][number]) for name, number in (("Known_2", 1), ("Known_0", 5))]
    pixels = np.stack([np.asarray(Image.open(path)) for path in paths]).astype(np.float32)
    start = (80 - SIZE) // 2
    window = pixels[:, start : start + SIZE, start : start + SIZE]
    prelogits = loaded.network((window - 127.5) / 128.0, training=False).numpy()
    expected = prelogits / np.linalg.norm(prelogits, axis=1, keepdims=True)
    found = embed_images(loaded.network, paths, loaded.preprocessing)
    assert found.dtype == np.float32
    # Pillow's and TensorFlow's JPEG decoders may differ by a grey level.
    np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.slow
def test_embeddings_come_in_the_order_of_the_paths_however_often_and_batched(toy_run, toy_faces):
    loaded = load_run(toy_run)
    paths = [str(path) for path in toy_faces["Known_3"][::-1]]
    once = embed_images(loaded.network, paths, loaded.preprocessing)
    again = embed_images(loaded.network, [*paths, *paths[:2]], loaded.preprocessing, batch_size=3)
    np.testing.assert_allclose(again, np.concatenate([once, once[:2]]), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(once, axis=1), 1, atol=1e-6)
    assert embed_images(loaded.network, [], loaded.preprocessing).shape == (0, 16)


def test_an_image_that_cannot_be_embedded_is_named(toy_run, tmp_path):
    loaded = load_run(toy_run)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"GIF89a")
    with pytest.raises(FacenetError, match=r"bad\.jpg.*GIF"):
        embed_images(loaded.network, [str(bad)], loaded.preprocessing)


def test_the_last_evaluation_is_that_of_the_saved_network(toy_run, toy_pairs):
    loaded = load_run(toy_run)
    result = evaluate_pairs(
        lambda paths: embed_images(loaded.network, paths, loaded.preprocessing), toy_pairs
    )
    for name in ("accuracy", "area_under_curve", "equal_error_rate"):
        assert getattr(result, name) == pytest.approx(loaded.evaluation[name], rel=1e-6)


def pixels_of(path):
    return decode_image(Path(path).read_bytes()).numpy()


@pytest.mark.parametrize("crop", [60, SIZE])  # an even and an odd rest of the 80 pixels
def test_right_of_an_embedding_stands_that_of_the_mirror_image(toy_run, toy_faces, crop):
    loaded = load_run(toy_run)
    paths = [str(path) for path in toy_faces["Known_1"][:3]]
    preprocessing = Preprocessing(SIZE, crop, 70 if crop == 60 else None)
    start = (80 - crop) // 2
    windows = [
        np.fliplr(pixels_of(path)[start : start + crop, start : start + crop]) for path in paths
    ]
    images = tf.image.resize(np.float32(windows), (SIZE, SIZE), antialias=True)
    prelogits = loaded.network((images - 127.5) / 128.0, training=False).numpy()
    mirrored = prelogits / np.linalg.norm(prelogits, axis=1, keepdims=True)

    found = embed_images(loaded.network, paths, preprocessing, flip=True)
    assert found.shape == (3, 32)
    np.testing.assert_allclose(
        found[:, :16], embed_images(loaded.network, paths, preprocessing), atol=1e-6
    )
    np.testing.assert_allclose(found[:, 16:], mirrored, atol=1e-5)
    assert np.abs(found[:, :16] - found[:, 16:]).max() > 0.01
    assert embed_images(loaded.network, [], preprocessing, flip=True).shape == (0, 32)


def test_mirror_images_are_those_of_mirrored_files(toy_run, toy_faces, tmp_path):
    loaded = load_run(toy_run)
    preprocessing = Preprocessing(SIZE, 60, None, "per_image")
    path = toy_faces["Known_2"][0]
    Image.fromarray(np.fliplr(pixels_of(path))).save(tmp_path / "mirrored.png")
    found = embed_images(loaded.network, [str(path)], preprocessing, flip=True)
    expected = embed_images(loaded.network, [str(tmp_path / "mirrored.png")], preprocessing)
    np.testing.assert_allclose(found[:, 16:], expected, atol=1e-5)


def test_every_image_is_read_once_for_all_its_places_and_both_orientations(
    toy_run, toy_faces, monkeypatch
):
    read = []

    def counted(paths, **options):
        read.extend(paths)
        return input_pipeline(paths, **options)

    monkeypatch.setattr("facenet_lib.input_pipeline.pipeline.input_pipeline", counted)
    loaded = load_run(toy_run)
    images = [str(path) for path in toy_faces["Known_3"]]
    embed_images(loaded.network, images * 3, loaded.preprocessing, batch_size=5, flip=True)
    assert sorted(read) == sorted(images)


def test_one_path_is_not_taken_for_many(toy_run, toy_faces):
    loaded = load_run(toy_run)
    for path in (toy_faces["Known_0"][0], str(toy_faces["Known_0"][0])):
        with pytest.raises(FacenetError, match="expected paths to be a sequence of files"):
            embed_images(loaded.network, path, loaded.preprocessing)
    files, rows = unique_files(["b", Path("a"), "b"])
    assert (files, rows.tolist()) == (["a", "b"], [1, 0, 1])


def encoded(*answers):
    """A model that decodes images itself, with these answers; and the images that it was given."""
    given, rest = [], list(answers)

    def ask(images):
        given.append(images)
        return rest.pop(0)

    return encoded_batches(ask, lambda image: f"{len(image)} bytes"), given


def test_files_are_read_once_and_a_batch_at_a_time(tmp_path):
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode())
    a, b, c = (tmp_path / name for name in "abc")
    compute_batches, given = encoded(
        (np.array([[1.0], [2.0]]), [True, True]), (np.array([[3.0]]), [True])
    )
    found = embed_files([c, str(a), b, c], 2, 1, compute_batches)
    assert found.dtype == np.float32
    assert found.ravel().tolist() == [3, 1, 2, 3]
    assert given == [[b"a", b"b"], [b"c"]]


def test_all_files_of_a_batch_that_are_not_valid_are_named(tmp_path):
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode())
    compute_batches, given = encoded((np.zeros((3, 1)), [False, True, False]))
    with pytest.raises(FacenetError, match="2 problems") as caught:
        embed_files([tmp_path / name for name in "abc"], 3, 1, compute_batches)
    assert f"{tmp_path / 'a'}: 1 bytes" in str(caught.value)
    assert f"{tmp_path / 'c'}: 1 bytes" in str(caught.value)
    with pytest.raises(FacenetError, match="none: cannot be read: No such file"):
        embed_files([tmp_path / "none"], 1, 1, compute_batches)
    assert len(given) == 1


def test_files_whose_embeddings_are_not_finite_are_named():
    batches = iter([np.ones((2, 3)), np.array([[1, np.nan, 0], [np.inf, 0, 0]])])
    with pytest.raises(FacenetError, match="not finite numbers: 2 problems") as caught:
        embed_files(["a", "b", "c", "d"], 2, 3, lambda files, batch_size: batches)
    assert str(caught.value).split()[-2:] == ["c", "d"]


def test_no_files_are_no_work():
    assert embed_files([], 5, 7, lambda files, batch_size: 1 / 0).shape == (0, 7)
    for batch_size in (0, 2.5, "8"):
        with pytest.raises(FacenetError, match="batch_size: expected an integer of at least 1"):
            embed_files([], batch_size, 7, lambda files, batch_size: 1 / 0)
