"""One loaded version: what is asked of it, its batches and its warm-up."""

from collections import Counter
from concurrent.futures import CancelledError

import numpy as np
import pytest
import tensorflow as tf
from served_versions import (
    IMAGES,
    SECONDS,
    embeddings,
    files,
    ready,
    refusal,
    serving,
    tensors,
    write_warm_up,
)
from serving_models import (
    NAME,
    SIDE,
    WEIGHTS,
    expected_distances,
    expected_embeddings,
    pixels,
)

from facenet_lib.errors import FacenetError
from facenet_lib.serving.batching import Batching, LoadedVersion
from facenet_lib.serving.protos import signature_map


@pytest.mark.slow
def test_every_signature_is_answered(folder):
    with ready(folder) as served:
        prediction = served.predict(NAME, files(IMAGES[:3])).result(SECONDS)
        assert (prediction.version, prediction.signature) == (1, "serving_default")
        assert prediction.outputs.keys() == {"embeddings", "valid"}
        expected = expected_embeddings(IMAGES[:3], 1)
        np.testing.assert_allclose(prediction.outputs["embeddings"], expected, atol=1e-6)
        assert prediction.outputs["valid"].tolist() == [True] * 3
        of_tensors = served.predict(NAME, tensors(IMAGES[:3]), signature="embed_tensors")
        np.testing.assert_allclose(embeddings(of_tensors), expected, atol=1e-6)
        a, b = files(IMAGES[:3])["images"], files(IMAGES[3:6])["images"]
        pairs = served.predict(NAME, {"images_a": a, "images_b": b}, signature="verify")
        np.testing.assert_allclose(
            pairs.result(SECONDS).outputs["distances"],
            expected_distances(IMAGES[:3], IMAGES[3:6], 1),
            atol=1e-6,
        )


def test_an_empty_batch_is_answered(folder):
    with ready(folder) as served:
        empty = {"images": np.empty(0, object)}
        assert embeddings(served.predict(NAME, empty)).shape == (0, WEIGHTS.shape[1])


def test_outputs_may_be_chosen(folder):
    with ready(folder) as served:
        found = served.predict(NAME, files(IMAGES[:1]), outputs=["valid"]).result(SECONDS)
        assert found.outputs.keys() == {"valid"}


def test_signatures_are_told_as_the_file_has_them(folder):
    with ready(folder) as served:
        version = served.version(NAME)
        signatures = signature_map(version)
        loaded = tf.saved_model.load(str(folder / "1")).signatures
        assert loaded.keys() <= signatures.signature_def.keys()
        for name, function in loaded.items():
            described = signatures.signature_def[name]
            assert described.outputs.keys() == function.structured_outputs.keys()
            for key, spec in function.structured_input_signature[1].items():
                assert described.inputs[key].dtype == spec.dtype.as_datatype_enum
                found = version.signature(name).inputs[key]
                assert (found.dtype, found.shape.as_list()) == (spec.dtype, spec.shape.as_list())
        refusal("FAILED_PRECONDITION", version.signature, "unknown")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("inputs", "options", "told"),
    [
        ({}, {}, "found none"),
        ({"image": np.array([b"x"], object)}, {}, "expected the inputs images, found image"),
        ({**files(IMAGES[:1]), "other": np.zeros(1)}, {}, "found images, other"),
        ({"images": np.zeros(1, np.float32)}, {}, "expected string, found float32"),
        ({"images": np.array([[b"x"]], object)}, {}, "expected shape (None,), found (1, 1)"),
        ({"images": np.array(b"x", object)}, {}, "expected shape"),
        (tensors(IMAGES[:1, :, :, :2]), {"signature": "embed_tensors"}, "expected shape"),
        (files(IMAGES), {"signature": "embed_tensors"}, "expected float32, found string"),
        ({"images": IMAGES[:1]}, {"signature": "embed_tensors"}, "found uint8"),
        (files(IMAGES[:9]), {}, "Task size 9 is larger than maximum input batch size 8"),
        (files(IMAGES[:1]), {"outputs": ["x"]}, "alias not found in signature: x"),
        (files(IMAGES[:1]), {"outputs": ["valid"] * 2}, "duplicate"),
        (
            {
                "images_a": files(IMAGES[:1])["images"],
                "images_b": files(IMAGES[:2])["images"],
            },
            {"signature": "verify"},
            "as many rows",
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused_before_they_wait(folder, inputs, options, told):
    with ready(folder, batching=Batching(8)) as served:
        assert told in refusal("INVALID_ARGUMENT", served.predict, NAME, inputs, **options)
        refusal("FAILED_PRECONDITION", served.predict, NAME, inputs, signature="unknown")
        assert not served.batch_sizes(NAME)
        assert served.rows_waiting(NAME) == 0


def test_batches_may_be_counted_while_new_ones_come(folder):
    class Growing(Counter):
        def items(self):
            for item in super().items():
                self[len(self) + 100] += 1  # a batch of a new size
                yield item

    with ready(folder) as served:
        version = served._models[NAME].available[1]
        version.batch_sizes = Growing({1: 3})
        assert served.batch_sizes(NAME) == {1: 3}
        version.batch_sizes = Counter()


@pytest.mark.slow
def test_what_waits_becomes_one_batch(folder, gate):
    with ready(folder) as served:
        first = served.predict(NAME, files(IMAGES[:1]))
        gate.reached.acquire()
        rows = [1, 2, 0, 3, 1]
        starts = np.cumsum([0, *rows[:-1]])
        waiting = [
            served.predict(NAME, files(IMAGES[start : start + count]))
            for start, count in zip(starts, rows, strict=True)
        ]
        assert served.rows_waiting(NAME) == sum(rows)
        gate.opened.set()
        for start, count, future in zip(starts, rows, waiting, strict=True):
            expected = expected_embeddings(IMAGES[start : start + count], 1)
            np.testing.assert_allclose(embeddings(future), expected, atol=1e-6)
        first.result(SECONDS)
        assert served.batch_sizes(NAME) == {1: 1, sum(rows): 1}
        assert served.rows_waiting(NAME) == 0


@pytest.mark.slow
def test_a_batch_is_not_larger_than_allowed(folder, gate):
    with ready(folder, batching=Batching(max_batch_size=4)) as served:
        futures = [served.predict(NAME, files(IMAGES[:1]))]
        gate.reached.acquire()
        futures += [served.predict(NAME, files(IMAGES[:3])) for _ in range(2)]
        futures += [served.predict(NAME, files(IMAGES[:1])) for _ in range(3)]
        gate.opened.set()
        for future in futures:
            future.result(SECONDS)
        assert served.batch_sizes(NAME) == {1: 2, 4: 2}


@pytest.mark.slow
def test_only_what_can_be_concatenated_shares_a_batch(folder, gate):
    large = np.stack([pixels(seed, SIDE + 4) for seed in range(2)])
    with ready(folder) as served:
        futures = [served.predict(NAME, files(IMAGES[:1]))]
        gate.reached.acquire()
        for _ in range(2):
            futures += [
                served.predict(NAME, files(IMAGES[:1])),
                served.predict(NAME, tensors(IMAGES[:2]), signature="embed_tensors"),
                served.predict(NAME, tensors(large), signature="embed_tensors"),
            ]
        gate.opened.set()
        kinds = [IMAGES[:1], *[IMAGES[:1], IMAGES[:2], large] * 2]
        for images, future in zip(kinds, futures, strict=True):
            np.testing.assert_allclose(
                embeddings(future), expected_embeddings(images, 1), atol=1e-6
            )
        assert served.batch_sizes(NAME) == {1: 1, 2: 1, 4: 2}


@pytest.mark.slow
def test_too_many_that_wait_are_refused_for_now(folder, gate):
    with ready(folder, batching=Batching(max_batch_size=2, max_waiting=4)) as served:
        running = served.predict(NAME, files(IMAGES[:2]))
        gate.reached.acquire()
        waiting = [served.predict(NAME, files(IMAGES[:2])) for _ in range(2)]
        assert "queue is full" in refusal("UNAVAILABLE", served.predict, NAME, files(IMAGES[:1]))
        assert waiting[0].cancel()  # its place is free again
        last = served.predict(NAME, files(IMAGES[2:4]))
        refusal("UNAVAILABLE", served.predict, NAME, files(IMAGES[:1]))
        gate.opened.set()
        for future in (running, waiting[1], last):
            future.result(SECONDS)
        with pytest.raises(CancelledError):
            waiting[0].result()
        assert served.batch_sizes(NAME) == {2: 3}


def save_demanding_model(folder):
    """A model that computes roots of numbers, and fails for a batch with one below 0."""

    class Roots(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def root(self, x):
            with tf.control_dependencies([tf.debugging.assert_non_negative(x)]):
                return {"root": tf.sqrt(x)}

        @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
        def of_one(self, x):
            return {"root": tf.sqrt(x)}

    module = Roots()
    signatures = {"serving_default": module.root, "of_one": module.of_one}
    tf.saved_model.save(module, str(folder / "1"), signatures=signatures)


def test_a_request_at_which_the_model_fails_costs_its_batch_nothing(tmp_path, gate):
    save_demanding_model(tmp_path)
    with ready(tmp_path) as served:
        futures = [served.predict(NAME, {"x": np.float32([1])})]
        gate.reached.acquire()
        futures += [served.predict(NAME, {"x": np.float32([x])}) for x in (4, -1, 9)]
        gate.opened.set()
        roots = [future.result(SECONDS).outputs["root"] for future in (*futures[:2], futures[3])]
        np.testing.assert_allclose(roots, [[1], [2], [3]])
        told = refusal("INVALID_ARGUMENT", futures[2].result, SECONDS)
        assert "\n" not in told
        assert served.predict(NAME, {"x": np.float32([16])}).result(SECONDS)


def test_a_signature_without_rows_is_computed_one_request_at_a_time(tmp_path, gate):
    save_demanding_model(tmp_path)
    with ready(tmp_path) as served:
        futures = [
            served.predict(NAME, {"x": np.array(x, np.float32)}, signature="of_one")
            for x in (1, 4, 9)
        ]
        gate.opened.set()
        assert [float(one.result(SECONDS).outputs["root"]) for one in futures] == [1, 2, 3]
        assert served.batch_sizes(NAME) == {1: 3}


@pytest.mark.slow
def test_warm_up_requests_are_played_before_a_version_answers(folder, monkeypatch):
    write_warm_up(folder / "1", files(IMAGES[:1]), files(IMAGES[:3]))
    played = []
    compute = LoadedVersion._compute

    def counted(version, batch):
        played.append(sum(one.rows for one in batch))
        return compute(version, batch)

    monkeypatch.setattr(LoadedVersion, "_compute", counted)
    with ready(folder) as served:
        assert played == [1, 3]
        assert not served.batch_sizes(NAME)


@pytest.mark.slow
def test_a_warm_up_request_may_have_more_rows_than_a_clients(folder):
    write_warm_up(folder / "1", files(IMAGES[:2]))
    with serving(folder, batching=Batching(max_batch_size=1)) as served:
        served.wait_until_ready()


def test_a_warm_up_request_that_fails_stops_its_version(folder):
    write_warm_up(folder / "1", {"wrong": np.array([b"x"], object)})
    with serving(folder) as served:
        with pytest.raises(FacenetError, match="expected the inputs images, found wrong"):
            served.wait_until_ready()
        assert served.status(NAME)[0].state == "END"


@pytest.mark.parametrize(("numbers", "told"), [((0, 8), "max_batch_size"), ((8, 7), "max_waiting")])
def test_batching_that_cannot_be_is_refused(numbers, told):
    with pytest.raises(FacenetError, match=told):
        Batching(*numbers)
