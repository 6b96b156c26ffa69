"""The local server with a gallery: who is named, and what is refused."""

from __future__ import annotations

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from asking_servers import ask, wait_until
from naming_models import (
    COLOURS,
    GREY,
    SETTINGS,
    SIDE,
    STRANGER,
    THRESHOLD,
    distance,
    embedding,
    gallery_of,
    photograph,
    save_model,
)
from serving_models import b64

from facenet_lib.alignment.manifest import AlignmentSettings
from facenet_lib.errors import FacenetError
from facenet_lib.recognition.gallery import Gallery
from facenet_lib.serving import naming as naming_module
from facenet_lib.serving.batching import Batching
from facenet_lib.serving.limits import Limits
from facenet_lib.serving.naming import Naming
from facenet_lib.serving.server import LocalServer

IDENTIFY = "/v1/models/colours:identify"
PREDICT = "/v1/models/colours:predict"
DAMAGED = b"\xff\xd8\xff\xe0 the start of a JPEG, and no more"
ANN, BEA, CELIA = COLOURS.values()
NEAR_ANN = (240, 70, 60)


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """A model that takes crops, version 1, and one after it that is another model."""
    folder = tmp_path_factory.mktemp("crops")
    save_model(folder / "colours" / "1", finds_faces=False)
    save_model(folder / "other" / "2", finds_faces=False, turned=True)
    return folder / "colours"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A model that finds faces itself."""
    folder = tmp_path_factory.mktemp("whole") / "colours"
    save_model(folder / "1", finds_faces=True)
    return folder


def serving(folder, gallery=None, **options):
    naming = Naming(gallery or gallery_of(), THRESHOLD, "people.npz")
    return LocalServer({"colours": folder}, naming=naming, **options)


@pytest.fixture(scope="module")
def server(crops):
    with serving(crops) as running:
        yield running


@pytest.fixture(scope="module")
def finder(whole):
    gallery = gallery_of()
    gallery.alignment = SETTINGS
    with serving(whole, gallery) as running:
        yield running


def body(*photographs):
    return json.dumps({"photographs": [b64(file) for file in photographs]}).encode()


def identified(server, *photographs, path=IDENTIFY):
    answer = ask(server, path, body(*photographs))
    assert answer.status == 200, answer.json()
    assert answer.json()["threshold"] == THRESHOLD
    return answer.json()["photographs"]


def refusal(server, content, path=IDENTIFY):
    answer = ask(server, path, content)
    (error,) = answer.json().values()
    return answer.status, error


# Who is named


def test_crops_are_named_or_nobodys(server):
    near, stranger, other = identified(
        server, photograph(NEAR_ANN), photograph(STRANGER), photograph(CELIA)
    )
    assert near["decoded"]
    (face,) = near["faces"]
    assert face.pop("box") is None
    expected = {name: distance(NEAR_ANN, colour) for name, colour in COLOURS.items()}
    first, second = sorted(expected, key=expected.get)[:2]
    assert (face["name"], face["nearest"], face["runner_up"]) == ("Ann", first, second)
    assert face["distance"] == pytest.approx(expected[first], abs=1e-5)
    assert face["runner_up_distance"] == pytest.approx(expected[second], abs=1e-5)
    (nobody,) = stranger["faces"]
    assert nobody["name"] is None
    assert nobody["distance"] > THRESHOLD
    assert [face["name"] for face in other["faces"]] == ["C\u00e9lia"]


def test_every_face_of_a_photograph_is_named_where_it_is(finder):
    both, right, none = identified(
        finder, photograph(BEA, STRANGER), photograph(GREY, ANN), photograph(GREY, GREY)
    )
    assert [(face["name"], face["box"]) for face in both["faces"]] == [
        ("Bea", [0, 0, SIDE, SIDE]),
        (None, [SIDE, 0, 2 * SIDE, SIDE]),
    ]
    assert [(face["name"], face["box"][0]) for face in right["faces"]] == [("Ann", SIDE)]
    assert none == {"decoded": True, "faces": []}


def test_a_damaged_photograph_costs_no_other_its_name(server, finder):
    for running in (server, finder):
        damaged, whole = identified(running, DAMAGED, photograph(ANN, ANN))
        assert damaged == {"decoded": False, "faces": []}
        assert whole["decoded"] and {face["name"] for face in whole["faces"]} == {"Ann"}
        assert identified(running, DAMAGED) == [{"decoded": False, "faces": []}]


@pytest.mark.slow
def test_one_person_alone_has_no_runner_up(crops):
    with serving(crops, gallery_of(Ann=ANN)) as running:
        (answer,) = identified(running, photograph(ANN))
    (face,) = answer["faces"]
    assert (face["name"], face["runner_up"], face["runner_up_distance"]) == ("Ann", None, None)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["nearest", "mean"])
def test_distances_are_taken_to_the_nearest_photograph_or_to_the_mean(crops, by):
    gallery = gallery_of(Ann=ANN)
    gallery.enroll("Ann", [embedding(CELIA)], ["2.png"])
    naming = Naming(gallery, THRESHOLD, "people.npz", by)
    with LocalServer({"colours": crops}, naming=naming) as running:
        (answer,) = identified(running, photograph(ANN))
    mean = embedding(ANN) + embedding(CELIA)
    mean /= np.linalg.norm(mean)
    expected = 0 if by == "nearest" else np.square(mean - embedding(ANN)).sum()
    assert answer["faces"][0]["distance"] == pytest.approx(expected, abs=1e-5)
    assert (answer["faces"][0]["name"] == "Ann") == (by == "nearest")


def test_requests_that_wait_together_are_each_answered_their_own(server):
    people = list(COLOURS.items()) * 8
    with ThreadPoolExecutor(8) as clients:
        asked = [clients.submit(identified, server, photograph(colour)) for _, colour in people]
    for (name, _), answer in zip(people, asked, strict=True):
        assert answer.result()[0]["faces"][0]["name"] == name


def test_the_usual_requests_are_answered_beside_it(server):
    content = json.dumps({"instances": [b64(photograph(ANN))]}).encode()
    (row,) = ask(server, PREDICT, content).json()["predictions"]
    assert row["valid"] and len(row["embeddings"]) == 3


def test_names_are_looked_for_where_batches_are_computed(server, monkeypatch):
    threads = []
    identify = naming_module.identify

    def noted(*arguments):
        threads.append(threading.current_thread().name)
        return identify(*arguments)

    monkeypatch.setattr(naming_module, "identify", noted)
    identified(server, photograph(ANN))
    assert threads == ["version-1"]


# What is refused


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "expected the key 'photographs' alone, found none"),
        ({"instances": []}, "expected the key 'photographs' alone, found 'instances'"),
        ({"photographs": [], "threshold": 4}, "alone, found 'photographs', 'threshold'"),
        ({"photographs": []}, "photographs: expected a list of at least one file, found none"),
        ({"photographs": {"b64": "AA=="}}, "a list of at least one file, found an object"),
        ({"photographs": [7]}, 'photographs: expected files as {"b64": TEXT}, found a number'),
        ({"photographs": [["AA=="]]}, "found a list"),
        ({"photographs": [{"b64": "\u00e4"}]}, "found "),
        ({"photographs": [{"b64": "A"}]}, "text that is no base64"),
        ([], "JSON Value: is not an object, but a list"),
    ],
)
def test_requests_of_another_form_are_told(server, document, words):
    status, error = refusal(server, json.dumps(document).encode())
    assert status == 400
    assert words in error


def test_what_is_no_json_is_told(server):
    assert refusal(server, b"{") == (400, refusal(server, b"{", PREDICT)[1])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models/colours/versions/1:identify", 200),
        ("/v1/models/colours/versions/7:identify", 404),
        ("/v1/models/nobody:identify", 404),
        ("/v1/models/colours/labels/stable:identify", 400),
    ],
)
def test_a_version_may_be_named(server, path, status):
    assert ask(server, path, body(photograph(ANN))).status == status


def test_it_is_asked_by_post_alone(server):
    assert ask(server, IDENTIFY).status == 400


@pytest.mark.slow
def test_without_a_gallery_nobody_is_named(crops):
    with LocalServer({"colours": crops}) as running:
        status, error = refusal(running, body(photograph(ANN)))
        about = ask(running, "/page/model").json()
    assert status == 404
    assert "started without a gallery" in error and "--gallery GALLERY" in error
    assert "gallery" not in about


@pytest.mark.slow
def test_the_limits_of_the_server_hold(crops):
    limits = Limits(body_bytes=20_000)
    with serving(crops, limits=limits, batching=Batching(max_batch_size=4)) as running:
        assert len(identified(running, *[photograph(ANN)] * 4)) == 4
        status, error = refusal(running, body(*[photograph(ANN)] * 5))
        assert status == 400 and "larger than maximum input batch size 4" in error
        assert refusal(running, body(photograph(ANN)) + b" " * 20_000)[0] == 413


@pytest.mark.slow
def test_a_full_queue_and_too_long_a_wait_are_told(crops, gate):
    limits, batching = Limits(seconds_to_answer=0.3), Batching(max_batch_size=1, max_waiting=1)
    gate.opened.set()  # for the fingerprint
    with serving(crops, limits=limits, batching=batching) as running:
        gate.opened.clear()
        assert refusal(running, body(photograph(ANN))) == (504, "not answered in time")
        wait_until(lambda: running.models.rows_waiting("colours") == 0)  # it is under way
        waiting = running.models.predict("colours", {"images": np.array([b""], object)})
        status, error = refusal(running, body(photograph(ANN)))
        assert status == 503 and "queue is full" in error
        gate.opened.set()
        assert not waiting.result().outputs["valid"][0]


def test_a_failure_of_the_gallery_is_the_request_s_alone(server, monkeypatch):
    def fail(*arguments):
        raise MemoryError("too large")

    monkeypatch.setattr(naming_module, "identify", fail)
    assert refusal(server, body(photograph(ANN))) == (500, "MemoryError: too large")
    monkeypatch.undo()
    assert identified(server, photograph(ANN))[0]["faces"][0]["name"] == "Ann"


# Galleries that do not fit


def entering(folder, gallery):
    before = threading.active_count()
    server = serving(folder, gallery)
    with pytest.raises(FacenetError) as caught:
        server.__enter__()
    wait_until(lambda: threading.active_count() <= before)
    assert server._rest._listening.fileno() == -1  # closed, and nobody was answered
    return str(caught.value)


@pytest.mark.slow
def test_a_gallery_of_another_model_is_refused_before_anybody_is_answered(crops):
    told = entering(crops, gallery_of(turned=True))
    assert told.startswith("people.npz: expected embeddings of the model colours, found those of")
    assert str(crops / "1") in told and "is another one" in told


@pytest.mark.slow
def test_one_of_another_embedding_size_is_too(crops):
    gallery = gallery_of()
    pictures = np.eye(4, dtype=np.float32)
    other = Gallery(type(gallery.fingerprint)("others", pictures))
    other.enroll("Ann", pictures[:1], ["1.png"])
    assert "4 and 3 numbers" in entering(crops, other)


@pytest.mark.slow
def test_faces_cut_out_otherwise_are_refused(whole, crops):
    gallery = gallery_of()
    gallery.alignment = AlignmentSettings("all", "reference", SIDE, 32.0, "halves", "1")
    told = entering(whole, gallery)
    assert "crop: expected reference, as in the gallery, found square" in told
    assert "margin: expected 32.0, as in the gallery, found 0.125" in told
    assert "size" not in told.replace(str(whole), "")
    with serving(crops, gallery) as running:  # which is given them cut out
        assert identified(running, photograph(ANN))[0]["faces"][0]["name"] == "Ann"


def test_a_gallery_without_people_and_a_threshold_that_is_none_are_refused():
    empty = Gallery(gallery_of().fingerprint)
    with pytest.raises(FacenetError, match=r"people\.npz: expected a gallery of people, found it"):
        Naming(empty, THRESHOLD, "people.npz")
    for threshold in (0.0, -1.0, float("nan")):
        with pytest.raises(FacenetError, match="threshold: expected a number in"):
            Naming(gallery_of(), threshold, "people.npz")


def test_one_model_alone_is_served_with_a_gallery(crops):
    naming = Naming(gallery_of(), THRESHOLD, "people.npz")
    with pytest.raises(FacenetError, match="a gallery: expected one model beside it, found 2"):
        LocalServer({"a": crops, "b": crops}, naming=naming)


@pytest.mark.slow
def test_another_model_that_is_rolled_in_names_nobody_and_the_rest_goes_on(tmp_path, crops, caplog):
    folder = tmp_path / "colours"
    save_model(folder / "1", finds_faces=False)
    caplog.set_level(logging.WARNING)
    with serving(folder, poll_seconds=0.02) as running:
        assert identified(running, photograph(ANN))[0]["faces"][0]["name"] == "Ann"
        save_model(folder / "2", finds_faces=False, turned=True)
        wait_until(lambda: running.models.version("colours").number == 2)
        status, error = refusal(running, body(photograph(ANN)))
        assert status == 400
        assert error.startswith("version 2 is another model than the gallery was made with")
        assert str(tmp_path) not in error  # folders are nothing for clients
        assert any("version 2 names nobody" in line for line in caplog.messages)
        content = json.dumps({"instances": [b64(photograph(ANN))]}).encode()
        assert ask(running, PREDICT, content).status == 200
        save_model(folder / "3", finds_faces=False)
        wait_until(lambda: running.models.version("colours").number == 3)
        assert identified(running, photograph(ANN))[0]["faces"][0]["name"] == "Ann"


@pytest.mark.slow
def test_of_several_versions_each_is_judged_by_itself(tmp_path):
    folder = tmp_path / "colours"
    save_model(folder / "1", finds_faces=False, turned=True)
    save_model(folder / "2", finds_faces=False)
    with serving(folder, versions="all") as running:
        assert identified(running, photograph(BEA))[0]["faces"][0]["name"] == "Bea"
        path = "/v1/models/colours/versions/1:identify"
        assert refusal(running, body(photograph(BEA)), path)[0] == 400


@pytest.mark.slow
def test_a_version_whose_fingerprint_cannot_be_taken_is_told(crops, monkeypatch):
    def fail(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr(naming_module, "take_fingerprint", fail)
    assert entering(crops, gallery_of()) == "people.npz: OSError: no space left on device"


# What is told, and what is not


def test_the_page_is_told_of_the_gallery(server):
    about = ask(server, "/page/model").json()
    assert about["gallery"] == {"people": 3, "threshold": THRESHOLD}


@pytest.mark.slow
def test_requests_are_counted_and_the_fingerprint_is_not(crops):
    with serving(crops) as running:
        assert not running.models.batch_sizes("colours")
        identified(running, photograph(ANN))
        assert running.models.batch_sizes("colours") == {1: 1}
        metrics = ask(running, "/monitoring/prometheus/metrics").data.decode()
    assert 'API="identify"' in metrics


def test_nothing_of_a_photograph_is_logged(server, caplog):
    caplog.set_level(logging.DEBUG, "facenet_lib")
    identified(server, photograph(ANN), photograph(STRANGER), DAMAGED)
    assert not [record for record in caplog.records if record.name.startswith("facenet_lib")]
