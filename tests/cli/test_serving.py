import contextlib
import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import urllib3
from running_commands import one_line

from facenet_lib.cli import main
from facenet_lib.cli.loading import open_embedder
from facenet_lib.model_card import CARD, read_card
from facenet_lib.recognition.fingerprint import Fingerprint, take_fingerprint
from facenet_lib.recognition.gallery import Gallery, GalleryThreshold
from facenet_lib.serving.addresses import listen
from facenet_lib.serving.batching import Batching
from facenet_lib.serving.configuration import TENSORFLOW_SERVING_IMAGE, ServedModel
from facenet_lib.serving.limits import Limits
from facenet_lib.serving.messages import json_of_bytes
from facenet_lib.serving.rest_client import RestClient

pytestmark = pytest.mark.slow  # each test trains, or needs what was trained


@contextlib.contextmanager
def serving(exported, *words):
    """The command in a process of its own, with whatever ports are free."""
    ports = ["--rest-port", "0", "--grpc-port", "0"]
    command = [sys.executable, "-m", "facenet_lib", "serve", exported, *ports, *words]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def model_of_version_1(tmp_path):
    (tmp_path / "models" / "1").mkdir(parents=True)
    (tmp_path / "models" / "1" / "saved_model.pb").touch()
    return tmp_path / "models"


def test_a_model_is_served_until_the_process_is_told_to_end(exported, folder):
    with serving(exported, "--versions", "all", "--label", "stable=1") as process:
        url = process.stdout.readline().removesuffix("/v1/models/facenet:predict\n")
        with RestClient(url, label="stable") as client:
            image = (folder / "Known_1" / "Known_1_0001.jpg").read_bytes()
            assert client.embed([image]).valid.all()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0
    assert all("facenet version 1" in line for line in errors.splitlines()), errors


def test_tf_serving_is_configured_and_run(exported, tmp_path, monkeypatch, capsys):
    words = ["serve", str(exported), "--name", "mine", "--versions", "1", "--label", "stable=1"]
    words += ["--host", "0.0.0.0", "--rest-port", "81", "--grpc-port", "80"]
    out = tmp_path / "configuration"
    rows = ["--max-batch-size", "48"]
    assert main([*words, *rows, "--image", "serving:test", "--configure", str(out)]) == 0
    assert "max_batch_size { value: 48 }" in (out / "batching.config").read_text()
    files = sorted(out.iterdir())
    assert sorted(capsys.readouterr().out.splitlines()) == list(map(str, files))
    compose = (out / "compose.yaml").read_text()
    assert all(word in compose for word in ("serving:test", "0.0.0.0:81:8501", "0.0.0.0:80:8500"))
    assert 'key: "stable"' in (out / "models.config").read_text()

    runs = []
    monkeypatch.setattr(
        "facenet_lib.serving.tensorflow_serving.run_tensorflow_serving",
        lambda models, **options: runs.append((models, options)),
    )
    model = ServedModel(exported, "mine", (1,), {"stable": 1})
    options = {"host": "0.0.0.0", "rest_port": 81, "grpc_port": 80}
    options["image"] = TENSORFLOW_SERVING_IMAGE
    assert main([*words, "--docker"]) == 0
    assert capsys.readouterr().err == ""
    assert main([*words, "--tensorflow-serving"]) == 0
    assert "listens at every address" in one_line(capsys.readouterr())
    assert runs == [([model], options | {"kind": kind}) for kind in ("docker", "binary")]


def test_several_models_are_served_each_by_its_name(exported, folder):
    models = [f"first={exported}", f"second={exported}"]
    labels = ["--versions", "latest:2", "--label", "second:stable=1"]
    with serving(*models, *labels) as process:
        addresses = [process.stdout.readline().strip() for _ in models]
        names = [address.partition("/v1/models/")[2] for address in addresses]
        assert names == ["first:predict", "second:predict"]
        image = (folder / "Known_1" / "Known_1_0001.jpg").read_bytes()
        url = addresses[0].partition("/v1/")[0]
        for name, label in (("first", None), ("second", "stable")):
            with RestClient(url, name, label=label) as client:
                assert client.embed([image]).valid.all()


@pytest.fixture
def options_of_serve(monkeypatch):
    """The models and options with which the command would serve, whatever is there and free."""
    found = []
    monkeypatch.setattr("facenet_lib.cli.serving.check_model_folders", lambda *_: None)
    monkeypatch.setattr("facenet_lib.serving.addresses.check_ports", lambda **_: None)
    monkeypatch.setattr(
        "facenet_lib.serving.server.serve",
        lambda models, **options: found.append((models, options)),
    )
    return found


def test_models_and_labels_have_names_or_not(options_of_serve, tmp_path, monkeypatch):
    for version in ("m/1", "m/3", "n/1", "n/2"):
        (tmp_path / version).mkdir(parents=True)
        (tmp_path / version / "saved_model.pb").touch()
    monkeypatch.chdir(tmp_path)
    for words, models, labels in (
        (["m"], {"facenet": Path("m")}, {}),
        (["m", "--name", "x"], {"x": Path("m")}, {}),
        (["x=m", "--label", "stable=1"], {"x": Path("m")}, {"x": {"stable": 1}}),
        (["./x=m"], {"facenet": Path("x=m")}, {}),
        (["/a=b/m"], {"facenet": Path("/a=b/m")}, {}),
        (
            ["x=m", "y=n", "--label", "y:stable=1", "--label", "y:old=2", "--label", "x:stable=3"],
            {"x": Path("m"), "y": Path("n")},
            {"y": {"stable": 1, "old": 2}, "x": {"stable": 3}},
        ),
    ):
        assert main(["serve", *words, "--versions", "all"]) == 0
        assert options_of_serve[-1][0] == models
        assert options_of_serve[-1][1]["labels"] == labels
    assert list(options_of_serve[-1][0]) == ["x", "y"]


def test_a_runtime_is_the_local_servers_alone(options_of_serve, model_of_version_1, capsys):
    for words, runtime in (([], None), (["--runtime", "openvino"], "openvino")):
        assert main(["serve", str(model_of_version_1), *words]) == 0
        assert options_of_serve[-1][1]["runtime"] == runtime
    for words, told in (
        (["--runtime", "torch"], "invalid choice: 'torch'"),
        (["--runtime", "onnx", "--docker"], "--runtime: only for the local server"),
    ):
        with pytest.raises(SystemExit):
            main(["serve", str(model_of_version_1), *words])
        assert told in capsys.readouterr().err


def test_a_label_of_a_version_that_is_not_there_is_told_at_once(options_of_serve, tmp_path, capsys):
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "saved_model.pb").touch()
    assert main(["serve", str(tmp_path), "--label", "stable=7"]) == 1
    told = "label 'stable': expected one of the versions that are served, 2, found 7"
    assert told in one_line(capsys.readouterr())
    assert not options_of_serve


def test_limits_are_named_and_their_defaults_are_told(options_of_serve, capsys):
    assert main(["serve", "m"]) == 0
    usual = options_of_serve[-1][1]
    assert (usual["batching"], usual["limits"]) == (Batching(), Limits())
    assert usual["allowed_origins"] == ()
    words = ["--max-batch-size", "500", "--max-message-bytes", "1000000000"]
    words += ["--seconds-to-send", "2.5", "--seconds-to-answer", "7"]
    words += ["--allow-origin", "https://a.example", "--allow-origin", "http://b.example"]
    assert main(["serve", "m", *words]) == 0
    named = options_of_serve[-1][1]
    assert named["batching"] == Batching(500, 500)
    assert named["limits"] == Limits(10**9, 10**9, Limits.connections, 2.5, 7, Limits.seconds_idle)
    assert named["allowed_origins"] == ["https://a.example", "http://b.example"]
    assert main(["serve", "m", "--max-batch-size", "8"]) == 0
    assert options_of_serve[-1][1]["batching"] == Batching(8)
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    for option, default in (
        ("--max-batch-size IMAGES", Batching.max_batch_size),
        ("--max-message-bytes BYTES", Limits.body_bytes),
        ("--seconds-to-send SECONDS", Limits.seconds_to_send),
        ("--seconds-to-answer SECONDS", Limits.seconds_to_answer),
    ):
        described = told.rpartition(option)[2].partition(" --")[0]
        assert float(described.split("; ")[1].split()[0]) == default


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--max-batch-size", "0"], "max_batch_size: expected an integer of at least 1, found 0"),
        (["--max-message-bytes", "0"], "body_bytes: expected a number above 0, found 0"),
        (["--seconds-to-answer", "nan"], "seconds_to_answer: expected a number above 0, found nan"),
    ],
)
def test_limits_that_cannot_be_are_told(options_of_serve, words, told, capsys):
    assert main(["serve", "m", *words]) == 1
    assert told in one_line(capsys.readouterr())


@pytest.mark.parametrize("wrong", ["folder", "version", "port", "ports"])
def test_what_can_be_told_at_once_is_told_before_tensorflow_is_loaded(
    model_of_version_1, wrong, monkeypatch, capsys
):
    monkeypatch.setattr("facenet_lib.cli.serving.load_tensorflow", lambda: pytest.fail("loaded"))
    with listen("127.0.0.1", 0) as listening:
        taken = str(listening.getsockname()[1])
        words, told = {
            "folder": (["nowhere"], "nowhere: expected the folder of a model, found nothing there"),
            "version": (
                [str(model_of_version_1), "--versions", "7"],
                f"{model_of_version_1}: versions: expected some of 1, found 7",
            ),
            "port": (
                [str(model_of_version_1), "--grpc-port", taken],
                f"127.0.0.1:{taken}: cannot be listened at: ",
            ),
            "ports": (
                [str(model_of_version_1), "--rest-port", "80", "--grpc-port", "80"],
                "ports: expected one for REST and another for gRPC, found 80",
            ),
        }[wrong]
        assert main(["serve", "--rest-port", "0", "--grpc-port", "0", *words]) == 1
    assert one_line(capsys.readouterr()).startswith(f"facenet: {told}")


# With a gallery


@pytest.fixture(scope="module")
def known(exported, folder):
    """A gallery of two people of the folder, and a photograph of each beside those in it."""
    people = {name: sorted((folder / name).iterdir()) for name in ("Known_1", "Known_2")}
    with open_embedder(str(exported)) as embedder:
        gallery = Gallery(take_fingerprint(embedder, str(exported)))
        for name, paths in people.items():
            gallery.enroll(name, embedder.embed(paths[:1]), [paths[0].name])
    return gallery, {name: paths[0] for name, paths in people.items()}


@pytest.fixture
def gallery(known, tmp_path):
    """The gallery's file, in a folder of the test's own."""
    known[0].save(tmp_path / "people.npz")
    return tmp_path / "people.npz"


@pytest.fixture
def served(monkeypatch):
    """What the command would serve."""
    found = []
    monkeypatch.setattr(
        "facenet_lib.serving.server.serve",
        lambda models, naming=None, **options: found.append(naming),
    )
    monkeypatch.setattr("facenet_lib.serving.addresses.check_ports", lambda **ports: None)
    return found


def test_a_gallery_is_served_beside_the_model(exported, known, gallery):
    with serving(exported, "--gallery", gallery, "--threshold", "0.001") as process:
        process.stdout.readline()
        url = process.stdout.readline().strip()
        assert url.endswith("/v1/models/facenet:identify")
        files = [json_of_bytes(path.read_bytes()) for path in known[1].values()]
        with urllib3.PoolManager(retries=False, timeout=300) as pool:
            answer = pool.request("POST", url, body=json.dumps({"photographs": files})).json()
    assert answer["threshold"] == 0.001
    named = [face["name"] for photograph in answer["photographs"] for face in photograph["faces"]]
    assert named == list(known[1])


def test_a_gallery_of_another_model_is_refused_by_name(exported, known, gallery):
    gallery_of_another = Gallery(Fingerprint("another", -known[0].fingerprint.embeddings))
    gallery_of_another.enroll("Ann", known[0].embeddings[:1], ["1.jpg"])
    gallery_of_another.save(gallery)
    with serving(exported, "--gallery", gallery, "--threshold", "1") as process:
        printed, errors = process.communicate(timeout=300)
        assert process.returncode == 1
    assert printed == ""
    last = errors.splitlines()[-1]
    assert f"{gallery}: expected embeddings of the model another, found those of" in last
    assert "Traceback" not in errors


def test_the_threshold_is_what_is_named_then_the_gallery_s_then_the_card_s(
    exported, gallery, known, served, capsys
):
    serve = ["serve", str(exported), "--gallery", str(gallery)]
    of_pairs = read_card(exported / "1").threshold
    assert main([*serve, "--threshold", "0.25"]) == 0
    assert capsys.readouterr().err == ""
    assert main(serve) == 0
    assert f"{of_pairs:.3f} is the model's threshold for pairs" in one_line(capsys.readouterr())
    held = Gallery.load(gallery)
    held.enroll("Stranger", -held.embeddings[:1], ["1.jpg"])
    held.threshold = GalleryThreshold(0.75, 0.01, people=1, by="mean")
    held.save(gallery)
    assert main(serve) == 0
    assert "chosen for 1 people; among 3" in one_line(capsys.readouterr())
    assert main([*serve, "--threshold", "0.25"]) == 0
    found = [(naming.threshold, naming.by) for naming in served]
    expected = [(0.25, "nearest"), (of_pairs, "nearest"), (0.75, "mean"), (0.25, "nearest")]
    assert found == expected
    assert served[0].people == 2


def test_the_card_is_that_of_the_version_that_answers(exported, gallery, tmp_path, served):
    models = tmp_path / "models"
    for version, threshold in ((1, 0.5), (2, 0.75)):
        (models / str(version)).mkdir(parents=True)
        (models / str(version) / "saved_model.pb").touch()
        path = models / str(version) / CARD
        path.parent.mkdir()
        card = dataclasses.replace(read_card(exported / "1"), threshold=threshold)
        path.write_text(card.to_json(), encoding="utf-8")
    for words in ([], ["--versions", "1"], ["--versions", "all"]):
        assert main(["serve", str(models), "--gallery", str(gallery), *words]) == 0
    assert [naming.threshold for naming in served] == [0.75, 0.5, 0.75]


def test_a_threshold_that_nobody_knows_is_told(exported, gallery, tmp_path, served, capsys):
    assert main(["serve", str(tmp_path), "--gallery", str(gallery)]) == 1
    assert "no threshold is known; name --threshold, or choose one" in one_line(capsys.readouterr())


def test_galleries_that_are_none_are_refused(exported, gallery, known, served, capsys):
    serve = ["serve", str(exported), "--threshold", "1", "--gallery"]
    assert main([*serve, str(gallery.parent / "nowhere.npz")]) == 1
    assert "expected a gallery that 'facenet enroll' wrote" in one_line(capsys.readouterr())
    Gallery(known[0].fingerprint).save(gallery)
    assert main([*serve, str(gallery)]) == 1
    assert f"{gallery}: expected a gallery of people" in one_line(capsys.readouterr())
    assert not served


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--gallery", "people.npz", "--docker"], "--gallery: TF Serving names nobody"),
        (["--gallery", "people.npz", "--tensorflow-serving"], "--gallery: TF Serving names nobody"),
        (["--gallery", "people.npz", "--configure", "out"], "--gallery: TF Serving names nobody"),
        (["--threshold", "0.5"], "--threshold: only with --gallery"),
        (["other"], "expected NAME=MODEL for each of several, found models/facenet"),
        (["--docker", "--allow-origin", "*"], "--allow-origin: only for the local server"),
        (["--docker", "--seconds-to-send", "1"], "--seconds-to-send: only for the local server"),
        (["--label", "a=1", "--label", "a=2"], "--label: expected different labels"),
        (["--label", "x:a=1"], "--label: expected the name of a model, found x"),
        (["--label", "a"], "expected LABEL=VERSION"),
        (["--versions", "latest:0"], "expected latest, latest:N, all, or numbers"),
    ],
)
def test_what_does_not_go_together_is_told(words, told, capsys):
    with pytest.raises(SystemExit):
        main(["serve", "models/facenet", *words])
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["x=m", "x=n"], "expected different names, found x twice"),
        (["x=m", "--name", "y"], "--name: expected a MODEL without a name, found x=m"),
        (["x=m", "y=n", "--label", "a=1"], "--label: expected NAME:a=1 with several models"),
        (["x=m", "y=n", "--gallery", "g.npz"], "--gallery: expected one model beside it"),
    ],
)
def test_what_does_not_go_with_several_models_is_told(words, told, capsys):
    with pytest.raises(SystemExit):
        main(["serve", *words])
    assert told in capsys.readouterr().err
