import gc
import shutil
import threading
import time
import weakref
from collections import Counter
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import tensorflow as tf
from serving_models import (
    NAME,
    SIDE,
    WEIGHTS,
    add_version,
    expected_distances,
    expected_embeddings,
    pixels,
    png,
    remove_version,
    save_model,
)
from tensorflow_serving.apis import prediction_log_pb2

from facenet_lib.errors import FacenetError
from facenet_lib.serving import versions as served_models
from facenet_lib.serving.answers import VersionStatus
from facenet_lib.serving.loaded_version import WARM_UP, Batching, LoadedVersion
from facenet_lib.serving.messages import ServingError
from facenet_lib.serving.protos import signature_map
from facenet_lib.serving.versions import ServedModels

SECONDS = 300.0  # far more than anything here takes
IMAGES = np.stack([pixels(seed) for seed in range(12)])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Versions 1 and 2, ready to be served; version 2 answers twice as much."""
    folder = tmp_path_factory.mktemp("saved") / NAME
    return {version: save_model(folder, version) for version in (1, 2)}


@pytest.fixture
def folder(saved, tmp_path):
    """A folder of a model with version 1."""
    models = tmp_path / NAME
    models.mkdir()
    add_version(saved[1], models, 1)
    return models


@contextmanager
def serving(folder, **options):
    served = ServedModels({NAME: folder}, poll_seconds=0.02, **options)
    try:
        yield served
    finally:
        served.close()


@contextmanager
def ready(folder, **options):
    with serving(folder, **options) as served:
        served.wait_until_ready()
        yield served


def files(images):
    array = np.empty(len(images), object)
    array[:] = [png(image) for image in images]
    return {"images": array}


def tensors(images):
    return {"images": np.asarray(images, np.float32)}


def embeddings(future):
    return future.result(SECONDS).outputs["embeddings"]


def wait_until(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def refusal(code, function, *arguments, **options):
    with pytest.raises(ServingError) as caught:
        function(*arguments, **options)
    assert caught.value.code == code
    return str(caught.value)


# Answers


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


def test_versions_are_asked_for_by_number_and_label(folder, saved):
    add_version(saved[2], folder, 2)
    labels = {NAME: {"stable": 1, "canary": 2, "gone": 3}}
    with ready(folder, versions="all", labels=labels) as served:
        for asked, version in (
            ({}, 2),
            ({"version": 1}, 1),
            ({"version": 2}, 2),
            ({"label": "stable"}, 1),
            ({"label": "canary"}, 2),
        ):
            answer = served.predict(NAME, files(IMAGES[:1]), **asked)
            np.testing.assert_allclose(
                embeddings(answer), expected_embeddings(IMAGES[:1], version), atol=1e-6
            )
            assert answer.result().version == version
            found = served.version(NAME, **asked)
            assert (found.number, found.folder) == (version, folder / str(version))
        for asked, code in (
            ({"version": 3}, "NOT_FOUND"),
            ({"label": "gone"}, "NOT_FOUND"),
            ({"label": "unknown"}, "INVALID_ARGUMENT"),
            ({"version": 1, "label": "stable"}, "INVALID_ARGUMENT"),
        ):
            for ask in (served.version, served.status):
                refusal(code, ask, NAME, **asked)
            refusal(code, served.predict, NAME, files(IMAGES[:1]), **asked)


def test_a_model_that_is_not_there(folder):
    with ready(folder) as served:
        told = refusal("NOT_FOUND", served.predict, "other", files(IMAGES[:1]))
        assert told == "Servable not found for request: Latest(other)"
        told = refusal("NOT_FOUND", served.predict, "../x", files(IMAGES[:1]), version=3)
        assert told == "Servable not found for request: Specific(../x, 3)"
        refusal("NOT_FOUND", served.status, "other")


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


# Batches


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


# Versions


def test_a_new_version_takes_over_and_the_old_one_answers_what_waits_for_it(folder, saved, gate):
    with ready(folder) as served:
        running = served.predict(NAME, files(IMAGES[:1]))
        gate.reached.acquire()
        waiting = served.predict(NAME, files(IMAGES[:2]))
        add_version(saved[2], folder, 2)
        wait_until(lambda: VersionStatus(1, "UNLOADING") in served.status(NAME))
        assert served.status(NAME)[0] == VersionStatus(2, "AVAILABLE")
        new = served.predict(NAME, files(IMAGES[:1]))
        gate.opened.set()
        for future, images, version in (
            (running, IMAGES[:1], 1),
            (waiting, IMAGES[:2], 1),
            (new, IMAGES[:1], 2),
        ):
            assert future.result(SECONDS).version == version
            expected = expected_embeddings(images, version)
            np.testing.assert_allclose(embeddings(future), expected, atol=1e-6)
        wait_until(lambda: VersionStatus(1, "END") in served.status(NAME))
        refusal("NOT_FOUND", served.predict, NAME, files(IMAGES[:1]), version=1)
        assert served.batch_sizes(NAME) == {1: 2, 2: 1}


def test_a_version_taken_away_gives_way_to_the_one_before(folder, saved):
    add_version(saved[2], folder, 2)
    with ready(folder) as served:
        assert served.status(NAME) == [VersionStatus(2, "AVAILABLE")]
        remove_version(folder, 2)
        wait_until(lambda: VersionStatus(2, "END") in served.status(NAME))
        assert served.predict(NAME, files(IMAGES[:1])).result(SECONDS).version == 1
        remove_version(folder, 1)
        wait_until(lambda: not served.ready())
        refusal("NOT_FOUND", served.predict, NAME, files(IMAGES[:1]))
        add_version(saved[1], folder, 3)
        wait_until(served.ready)
        assert served.predict(NAME, files(IMAGES[:1])).result(SECONDS).version == 3


def test_no_request_fails_while_versions_come_and_go(folder, saved):
    stop = threading.Event()
    answered = set()

    def ask(served, images):
        while not stop.is_set():
            answer = served.predict(NAME, files(images)).result(SECONDS)
            expected = expected_embeddings(images, 1 + (answer.version - 1) % 2)
            np.testing.assert_allclose(answer.outputs["embeddings"], expected, atol=1e-6)
            answered.add(answer.version)

    with ready(folder) as served, ThreadPoolExecutor(4) as clients:
        asking = [clients.submit(ask, served, IMAGES[i : i + 2]) for i in range(4)]
        try:
            for version in range(2, 6):
                add_version(saved[1 + (version - 1) % 2], folder, version)
                wait_until(lambda version=version: version in answered)
                remove_version(folder, version - 1)
        finally:
            stop.set()
        for one in asking:
            one.result(SECONDS)
    assert answered == set(range(1, 6))


def test_a_request_that_finds_its_version_just_unloaded_goes_to_the_next(
    folder, saved, monkeypatch
):
    with ready(folder) as served:
        gone = served._models[NAME].available[1]
        add_version(saved[2], folder, 2)
        wait_until(lambda: VersionStatus(1, "END") in served.status(NAME))
        found = [gone, gone, served._models[NAME].available[2]]
        monkeypatch.setattr(served, "version", lambda *choice: found.pop(0))
        assert served.predict(NAME, files(IMAGES[:1])).result(SECONDS).version == 2
        assert not found
        del gone


def test_what_was_unloaded_is_freed(folder, saved):
    with ready(folder) as served:
        served.predict(NAME, files(IMAGES[:1])).result(SECONDS)
        version = weakref.ref(served._models[NAME].available[1])
        weights = weakref.ref(version()._model)
        add_version(saved[2], folder, 2)
        wait_until(lambda: VersionStatus(1, "END") in served.status(NAME))
        gc.collect()
        assert version() is None
        assert weights() is None


@pytest.mark.parametrize("missing", ["saved_model.pb", "variables"])
def test_a_version_is_loaded_when_its_copy_is_complete(folder, saved, missing):
    with ready(folder) as served:
        copied = folder / "2"
        shutil.copytree(saved[2], copied, ignore=shutil.ignore_patterns(missing))
        if missing == "variables":  # the program without its weights: a failure, but not for good
            wait_until(lambda: served.status(NAME)[0].state == "END")
            assert served.status(NAME)[0].error
        assert served.predict(NAME, files(IMAGES[:1])).result(SECONDS).version == 1
        source = saved[2] / missing
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copied / missing)
        wait_until(lambda: served.status(NAME)[0] == VersionStatus(2, "AVAILABLE"))


def test_a_version_that_grows_is_left_alone(folder, saved, monkeypatch):
    """Files that change between two looks are still being copied."""
    with ready(folder) as served:
        loads = []
        load = LoadedVersion.__init__

        def counted(version, number, *arguments):
            loads.append(number)
            load(version, number, *arguments)

        monkeypatch.setattr(LoadedVersion, "__init__", counted)
        real = served_models._files
        changing = threading.Event()
        changing.set()
        monkeypatch.setattr(
            served_models, "_files", lambda path: object() if changing.is_set() else real(path)
        )
        add_version(saved[2], folder, 2)
        wait_until(lambda: VersionStatus(2, "START") in served.status(NAME))
        time.sleep(0.1)  # several looks
        assert loads == []
        changing.clear()
        wait_until(lambda: VersionStatus(2, "AVAILABLE") in served.status(NAME))
        assert loads == [2]


@pytest.mark.parametrize("damaged", ["saved_model.pb", "variables/variables.index"])
def test_a_damaged_version_replaces_none_and_is_tried_once(folder, saved, caplog, damaged):
    with ready(folder) as served:
        scratch = folder.parent / "scratch"
        shutil.copytree(saved[2], scratch)
        (scratch / damaged).write_bytes(b"nonsense" * 10)
        scratch.rename(folder / "2")
        wait_until(lambda: served.status(NAME)[0].state == "END")
        time.sleep(0.1)  # several looks
        assert served.status(NAME)[0].error
        assert served.status(NAME)[1] == VersionStatus(1, "AVAILABLE")
        assert served.predict(NAME, files(IMAGES[:1])).result(SECONDS).version == 1
        refusal("NOT_FOUND", served.predict, NAME, files(IMAGES[:1]), version=2)
        assert sum("version 2 was not loaded" in line for line in caplog.messages) == 1
        assert "\n" not in "".join(caplog.messages)


def test_at_the_start_the_newest_that_can_be_loaded_answers(folder, saved, caplog):
    for version in (5, 7):
        add_version(saved[2], folder, version)
    (folder / "7" / "saved_model.pb").write_bytes(b"nonsense")
    write_warm_up(folder / "5", {"wrong": np.array([b"x"], object)})
    with ready(folder) as served:
        assert [(status.version, status.state) for status in served.status(NAME)] == [
            (7, "END"),
            (5, "END"),
            (1, "AVAILABLE"),
        ]
    of_7, of_5 = caplog.messages  # each with its own reason
    assert "version 7 was not loaded" in of_7
    assert "version 5 was not loaded" in of_5
    assert ["found wrong" in line for line in (of_7, of_5)] == [False, True]


def test_which_versions_are_served(folder, saved):
    for version in (2, 10):
        add_version(saved[2], folder, version)
    for name in ("11-part", "x", ".12", "²", "-1", str(2**63)):
        shutil.copytree(saved[1], folder / name)
    (folder / "13").mkdir()
    (folder / "14").touch()
    for versions, expected in (
        ("latest", {10}),
        ("all", {1, 2, 10}),
        ([1, 2, 99], {1, 2}),
    ):
        with ready(folder, versions=versions) as served:
            assert {status.version for status in served.status(NAME)} == expected
            assert served.predict(NAME, files(IMAGES[:1])).result().version == max(expected)


def test_a_folder_that_cannot_be_read_now_unloads_nothing(folder, monkeypatch, caplog):
    with ready(folder) as served:
        looks = []

        def fail(path):
            looks.append(path)
            raise FacenetError(f"{path}: cannot be read: Permission denied")

        monkeypatch.setattr(served_models, "complete_versions", fail)
        wait_until(lambda: len(looks) > 2)
        assert served.status(NAME) == [VersionStatus(1, "AVAILABLE")]
    (line,) = caplog.messages
    assert line == f"{folder}: cannot be read: Permission denied"


def write_warm_up(version, *requests):
    (version / WARM_UP).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(version / WARM_UP)) as writer:
        for inputs in requests:
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = "any"
            for name, array in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
            writer.write(log.SerializeToString())


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


# Beginning and end


def test_what_waits_at_the_end_is_answered_and_nothing_after(folder, gate):
    with ready(folder) as served:
        futures = [served.predict(NAME, files(IMAGES[i : i + 1])) for i in range(3)]
        closing = threading.Thread(target=served.close)
        closing.start()
        wait_until(lambda: VersionStatus(1, "UNLOADING") in served.status(NAME))
        refusal("UNAVAILABLE", served.predict, NAME, files(IMAGES[:1]))
        gate.opened.set()
        closing.join(SECONDS)
        for number, future in enumerate(futures):
            expected = expected_embeddings(IMAGES[number : number + 1], 1)
            np.testing.assert_allclose(embeddings(future), expected, atol=1e-6)


def test_models_that_cannot_be_served_are_refused(folder, tmp_path):
    (tmp_path / "file").touch()
    for models, told in (
        ({}, "at least one model"),
        ({NAME: tmp_path / "nowhere"}, "nowhere: expected the folder of a model"),
        ({NAME: tmp_path / "file"}, "file: expected the folder of a model"),
        ({NAME: folder / "1"}, f"found a version; name {folder}"),
        ({"a/b": folder}, "model name: expected letters"),
        ({"": folder}, "model name: expected letters"),
        ({"a b": folder}, "model name: expected letters"),
    ):
        with pytest.raises(FacenetError, match=r"models to serve: .*") as caught:
            ServedModels(models)
        assert told in str(caught.value)
    for versions in ("newest", [], [-1], ["1"], [True]):
        with pytest.raises(FacenetError, match="versions: expected latest, all or numbers"):
            ServedModels({NAME: folder}, versions=versions)
    with pytest.raises(FacenetError, match="labels: expected names of models, found 'other'"):
        ServedModels({NAME: folder}, labels={"other": {"stable": 1}})


def test_a_folder_without_versions_is_told_when_one_waits_for_it(tmp_path):
    with (
        serving(tmp_path) as served,
        pytest.raises(FacenetError, match="expected numbered folders"),
    ):
        served.wait_until_ready()


@pytest.mark.parametrize(("numbers", "told"), [((0, 8), "max_batch_size"), ((8, 7), "max_waiting")])
def test_batching_that_cannot_be_is_refused(numbers, told):
    with pytest.raises(FacenetError, match=told):
        Batching(*numbers)
