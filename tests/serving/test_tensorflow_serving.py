"""TF Serving's configuration by its own protos, and a stand-in for the program where it is not.

The stand-in is a script of the same name that takes the same flags: what is tested with it is
how a server is started, waited for, explained when it fails, and stopped. Where TF Serving itself
is found it reads the configuration too.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest
import serving_models
import yaml
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from facenet_lib.errors import FacenetError
from facenet_lib.serving import tensorflow_serving as serving
from facenet_lib.serving.tensorflow_serving import (
    METRICS_PATH,
    TENSORFLOW_SERVING_IMAGE,
    BatchingParameters,
    ServedModel,
    batching_config,
    find_tensorflow_serving,
    models_config,
    monitoring_config,
    serving_messages,
    start_tensorflow_serving,
    wait_until_ready,
    write_configuration,
)


@pytest.fixture
def folder(tmp_path):
    """A model's folder with versions 1, 2 and 10, and what is none."""
    root = tmp_path / "models" / "small network"
    for version in ("1", "2", "10"):
        (root / version).mkdir(parents=True)
        (root / version / "saved_model.pb").touch()
    (root / "3").mkdir()  # empty: being copied
    (root / "notes.txt").touch()
    return root


# ------------------------------------------------------------------------------ the files


def parsed(text, message):
    return text_format.Parse(text, message)


def test_models_are_told_in_tf_servings_own_words(folder):
    models = [
        ServedModel(folder),
        ServedModel(folder, "all-of-them", "all", {"old": 2}),
        ServedModel(folder, "chosen", (10, 1), {"stable": 1, "canary": 10}),
    ]
    newest, every, chosen = parsed(
        models_config(models), ModelServerConfig()
    ).model_config_list.config
    assert [one.name for one in (newest, every, chosen)] == ["facenet", "all-of-them", "chosen"]
    for one in (newest, every, chosen):
        assert one.base_path == str(folder)
        assert one.model_platform == "tensorflow"
    assert not newest.HasField("model_version_policy")  # TF Serving's default: the latest
    assert every.model_version_policy.WhichOneof("policy_choice") == "all"
    assert dict(every.version_labels) == {"old": 2}
    assert chosen.model_version_policy.specific.versions == [1, 10]
    assert dict(chosen.version_labels) == {"stable": 1, "canary": 10}


def test_a_container_sees_each_model_by_its_name(folder):
    models = [ServedModel(folder), ServedModel(folder, "other")]
    text = models_config(models, PurePosixPath("/models"))
    found = parsed(text, ModelServerConfig()).model_config_list.config
    assert [one.base_path for one in found] == ["/models/facenet", "/models/other"]


def test_batching_and_monitoring_are_told_in_tf_servings_own_words():
    messages = serving_messages()
    wanted = BatchingParameters(48, 1500, 7, 3)
    found = parsed(batching_config(wanted), messages["BatchingParameters"]())
    assert found.max_batch_size.value == 48
    assert found.batch_timeout_micros.value == 1500
    assert found.max_enqueued_batches.value == 7
    assert found.num_batch_threads.value == 3
    at_once = parsed(batching_config(BatchingParameters()), messages["BatchingParameters"]())
    assert at_once.HasField("batch_timeout_micros")  # 0 is said, and not left to the default
    monitoring = parsed(monitoring_config(), messages["MonitoringConfig"]())
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == METRICS_PATH == "/monitoring/prometheus/metrics"


@pytest.mark.parametrize(
    ("message", "number", "field"),
    [
        # As tensorflow_serving's session_bundle_config.proto and monitoring_config.proto have it.
        ("BatchingParameters", 1, "max_batch_size"),
        ("BatchingParameters", 2, "batch_timeout_micros"),
        ("BatchingParameters", 3, "max_enqueued_batches"),
        ("BatchingParameters", 4, "num_batch_threads"),
        ("MonitoringConfig", 1, "prometheus_config"),
    ],
)
def test_the_declared_messages_have_tf_servings_numbers(message, number, field):
    descriptor = serving_messages()[message].DESCRIPTOR
    assert descriptor.full_name == f"tensorflow.serving.{message}"
    assert descriptor.fields_by_number[number].name == field


@pytest.mark.parametrize("text", [models_config, batching_config, monitoring_config])
def test_every_field_is_explained(folder, text):
    arguments = {
        models_config: [[ServedModel(folder, versions=(1,), labels={"stable": 1})]],
        batching_config: [BatchingParameters()],
    }
    lines = text(*arguments.get(text, [])).splitlines()
    comments = " ".join(line for line in lines if line.startswith("#"))
    fields = {line.split()[0].rstrip(":") for line in lines if not line.startswith("#")}
    # What only holds others, or needs no words.
    fields -= {"}", "model_config_list", "config", "specific", "versions", "model_platform"}
    fields -= {"key", "value", "prometheus_config", "enable", "path"}
    assert "config_file" in comments or "parameters_file" in comments
    assert fields or text is monitoring_config
    assert [name for name in fields if f"{name}:" not in comments] == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": "a/b"}, "model name"),
        ({"name": ""}, "model name"),
        ({"versions": "newest"}, "expected 'latest', 'all' or numbers"),
        ({"versions": ()}, "at least one number"),
        ({"versions": (1, 5, 3)}, "not [3, 5]"),
        ({"labels": {"stable": 1}}, "versions that stay"),
        ({"versions": (1, 2), "labels": {"stable": 10}}, "found 10"),
        ({"versions": "all", "labels": {"stable": 3}}, "found 3"),
        ({"versions": "all", "labels": {"a:b": 1}}, "label"),
    ],
)
def test_models_that_tf_serving_would_refuse_are_refused_first(folder, options, told):
    with pytest.raises(FacenetError) as refused:
        ServedModel(folder, **options)
    assert told in str(refused.value)


def test_a_folder_without_versions_is_told(tmp_path, folder):
    with pytest.raises(FacenetError, match="with a version in it"):
        ServedModel(folder / "1")  # a version's folder is none of a model
    with pytest.raises(FacenetError, match="none: expected a model's folder"):
        ServedModel(tmp_path / "none")


def test_models_of_one_name_and_no_model_are_refused(folder):
    for models in ([], [ServedModel(folder), ServedModel(folder)]):
        with pytest.raises(FacenetError, match="different names"):
            models_config(models)


@pytest.mark.parametrize(
    "options",
    [
        {"max_batch_size": 0},
        {"batch_timeout_micros": -1},
        {"max_enqueued_batches": 0},
        {"num_batch_threads": 0},
        {"max_batch_size": 1.5},
        {"num_batch_threads": True},
    ],
)
def test_batching_that_is_none_is_refused(options):
    with pytest.raises(FacenetError, match=next(iter(options))):
        BatchingParameters(**options)


def test_a_missing_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.config.model_server_config_pb2", None)
    with pytest.raises(FacenetError, match=r"pip install 'facenet-lib\[serving\]'"):
        models_config([ServedModel(folder)])


# ------------------------------------------------------------------------------ compose


def test_the_configuration_is_four_files_that_agree(folder, tmp_path):
    out = tmp_path / "new" / "configuration"
    models = [ServedModel(folder), ServedModel(folder, "other")]
    files = write_configuration(
        out, models, host="0.0.0.0", rest_port=81, grpc_port=80, image="tensorflow/serving:2.21.1"
    )
    assert sorted(files) == sorted(out.iterdir())
    by_name = {path.name: path.read_text() for path in files}
    assert by_name["models.config"] == models_config(models, PurePosixPath("/models"))
    assert by_name["batching.config"] == batching_config(BatchingParameters())
    assert by_name["monitoring.config"] == monitoring_config()
    (service,) = yaml.safe_load(by_name["compose.yaml"])["services"].values()
    assert service["image"] == "tensorflow/serving:2.21.1"
    assert service["ports"] == ["0.0.0.0:80:8500", "0.0.0.0:81:8501"]
    flags = dict(word.removeprefix("--").split("=") for word in service["command"])
    assert (flags["port"], flags["rest_api_port"], flags["enable_batching"]) == (
        "8500",
        "8501",
        "true",
    )
    seen = {volume["target"]: Path(volume["source"]) for volume in service["volumes"]}
    assert all(volume["read_only"] for volume in service["volumes"])
    for flag in ("model_config_file", "batching_parameters_file", "monitoring_config_file"):
        inside = PurePosixPath(flags[flag])  # what the flags name, the container sees
        assert (seen[str(inside.parent)] / inside.name).is_file()
    config = parsed(by_name["models.config"], ModelServerConfig()).model_config_list.config
    assert [seen[one.base_path] for one in config] == [folder, folder]


def test_ports_are_bound_to_this_machine_and_the_image_has_a_version_unless_told(folder, tmp_path):
    write_configuration(tmp_path / "x", [ServedModel(folder)])
    (service,) = yaml.safe_load((tmp_path / "x" / "compose.yaml").read_text())["services"].values()
    assert service["ports"] == ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"]
    assert service["image"] == TENSORFLOW_SERVING_IMAGE == "tensorflow/serving:2.21.0"


def test_an_address_of_ipv6_stands_in_brackets(folder, tmp_path):
    write_configuration(tmp_path / "x", [ServedModel(folder)], host="::1")
    (service,) = yaml.safe_load((tmp_path / "x" / "compose.yaml").read_text())["services"].values()
    assert service["ports"] == ["[::1]:8500:8500", "[::1]:8501:8501"]


def test_a_dollar_in_a_path_is_no_variable_of_compose(folder, tmp_path):
    moved = shutil.move(folder, tmp_path / "$HOME")
    write_configuration(tmp_path / "x", [ServedModel(Path(moved))])
    text = (tmp_path / "x" / "compose.yaml").read_text()
    assert f"source: {tmp_path}/$$HOME\n" in text
    assert text.count("$") == 2


def test_what_cannot_be_written_is_told(folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FacenetError, match="cannot be written"):
        write_configuration(tmp_path / "file" / "x", [ServedModel(folder)])


class StatusServer:
    """Answers a model's status; the last state is kept."""

    def __init__(self, *states: str, error: str = "", status: int = 200) -> None:
        self.states = list(states)
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                state = server.states.pop(0) if len(server.states) > 1 else server.states[0]
                told = {"version": "1", "state": state, "status": {"error_message": error}}
                data = json.dumps({"model_version_status": [told]}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *words: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._http.serve_forever, args=[0.01])
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash, which TF Serving's image has")
def test_the_health_check_asks_for_an_available_version(folder, tmp_path):
    write_configuration(tmp_path / "x", [ServedModel(folder, "other")])
    (service,) = yaml.safe_load((tmp_path / "x" / "compose.yaml").read_text())["services"].values()
    kind, *command = service["healthcheck"]["test"]
    assert kind == "CMD"
    with StatusServer("LOADING", "AVAILABLE") as server:
        command[-1] = command[-1].replace("/8501", f"/{server.port}")
        ended = [subprocess.run(command, check=False, timeout=20).returncode for _ in range(2)]
        assert server.asked == 2 * ["/v1/models/other"]
    assert ended[0] != 0
    assert ended[1] == 0
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0


# ------------------------------------------------------------------------------ readiness


def test_waiting_ends_when_a_version_is_available():
    with StatusServer("START", "LOADING", "AVAILABLE", "END") as server:
        wait_until_ready(server.url, "other", timeout=30)
        assert server.asked == 3 * ["/v1/models/other"]


def test_a_version_that_has_failed_is_told_at_once():
    with (
        StatusServer("LOADING", "END", error="no such op: Face") as server,
        pytest.raises(FacenetError, match="model facenet is not ready: 1 END no such op: Face"),
    ):
        wait_until_ready(server.url, timeout=300)


def test_what_was_seen_last_is_told_when_the_time_is_over():
    with StatusServer("LOADING") as server, pytest.raises(FacenetError, match="1 LOADING"):
        wait_until_ready(server.url, timeout=0.3)
    with pytest.raises(FacenetError, match="cannot be reached"):
        wait_until_ready(server.url, timeout=0.3)  # it has gone
    with StatusServer("X", status=404) as server, pytest.raises(FacenetError, match="404"):
        wait_until_ready(server.url, timeout=0.3)


# ------------------------------------------------------------------------------ the program


STAND_IN = """
    #!{python}
    import json, os, re, signal, sys
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from pathlib import Path

    name, words = Path(sys.argv[0]).name, sys.argv[1:]
    state = Path(os.environ["STAND_IN"])
    with (state / "calls").open("a") as calls:
        calls.write(json.dumps([name, *words]) + "\\n")
    mode = (state / "mode").read_text()
    if name == "docker" and words[0] != "run":
        failed = {{"no daemon": "version", "no image": "image", "no network": "pull"}}
        unknown = mode == "no network" and words[0] == "image"
        if failed.get(mode) == words[0] or unknown:
            sys.exit("Error: " + mode)
        sys.exit(0)

    flags = dict(word[2:].split("=", 1) for word in words if re.match("--[a-z_]+=", word))
    port, config = int(flags["rest_api_port"]), Path(flags["model_config_file"])
    if name == "docker":
        port = int(next(word for word in words if word.endswith(":8501")).split(":")[1])
        config = Path(next(re.findall("source=(.*),target=/configuration,", word)[0]
                           for word in words if "target=/configuration," in word), config.name)
    names = re.findall('name: "(.*)"', config.read_text())
    print("configured:", names, flush=True)
    if mode == "crash":
        sys.exit("F0000 no such file")
    if mode == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            (state / "asked").touch()
            told = "AVAILABLE" if len(asked) > 2 and mode != "slow" else "LOADING"
            known = self.path.rsplit("/", 1)[1] in names
            self.send_response(200 if known else 404)
            self.end_headers()
            found = {{"version": "1", "state": told}}
            self.wfile.write(json.dumps({{"model_version_status": [found]}}).encode())
            if mode == "dies later" and len(asked) > 2:
                print("out of memory", flush=True)
                os._exit(137)

        def log_message(self, *words):
            pass

    HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


class StandIn:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mode("well")

    def mode(self, mode: str) -> None:
        (self.folder / "mode").write_text(mode)

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]


def put_on_the_path(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / name
    program.write_text(textwrap.dedent(STAND_IN).format(python=sys.executable).lstrip())
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("STAND_IN", str(tmp_path))
    return StandIn(tmp_path)


@pytest.fixture
def binary(tmp_path, monkeypatch):
    return put_on_the_path("tensorflow_model_server", tmp_path, monkeypatch)


@pytest.fixture
def docker(tmp_path, monkeypatch):
    return put_on_the_path("docker", tmp_path, monkeypatch)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_program_runs_from_ready_to_the_end_of_the_block(binary, folder):
    models = [ServedModel(folder), ServedModel(folder, "other", "all")]
    with start_tensorflow_serving(models, batching=BatchingParameters(5)) as server:
        with urllib.request.urlopen(f"{server.rest_url}/v1/models/facenet") as answer:
            assert b"AVAILABLE" in answer.read()
        ((name, *words),) = binary.calls()
        flags = dict(word.removeprefix("--").split("=") for word in words)
        assert name == "tensorflow_model_server"
        assert server.rest_url == f"http://127.0.0.1:{flags['rest_api_port']}"
        assert server.grpc_address == f"127.0.0.1:{flags['port']}"
        assert flags["port"] != flags["rest_api_port"]
        assert Path(flags["model_config_file"]).read_text() == models_config(models)
        assert "value: 5" in Path(flags["batching_parameters_file"]).read_text()
        assert Path(flags["monitoring_config_file"]).read_text() == monitoring_config()
        assert "configured: ['facenet', 'other']" in server.log.read_text()
        assert is_running(server.process.pid)
    assert server.process.returncode == -signal.SIGTERM
    assert not is_running(server.process.pid)
    assert not server.log.exists()


def test_an_error_in_the_block_stops_the_server_too(binary, folder):
    with (
        pytest.raises(ZeroDivisionError),
        start_tensorflow_serving([ServedModel(folder)], rest_port=0) as server,
    ):
        raise ZeroDivisionError
    assert not is_running(server.process.pid)


def test_a_server_that_does_not_stop_is_killed(binary, folder, monkeypatch):
    monkeypatch.setattr(serving, "_STOP_SECONDS", 0.2)
    binary.mode("stubborn")
    with start_tensorflow_serving([ServedModel(folder)]) as server:
        pass
    assert server.process.returncode == -signal.SIGKILL


def test_a_server_that_fails_is_told_with_its_own_words(binary, folder):
    binary.mode("crash")
    begun = time.monotonic()
    with (
        pytest.raises(FacenetError) as refused,
        start_tensorflow_serving([ServedModel(folder)], timeout=300),
    ):
        pytest.fail("it was never ready")
    assert "ended with 1" in str(refused.value)
    assert "F0000 no such file" in str(refused.value)
    assert time.monotonic() - begun < 60


def test_a_server_that_is_never_ready_is_told_and_stopped(binary, folder, monkeypatch):
    binary.mode("slow")

    def clock() -> float:  # the time is over as soon as the server has been asked
        return 400.0 if (binary.folder / "asked").exists() else 0.0

    clocks = SimpleNamespace(monotonic=clock, sleep=time.sleep)
    monkeypatch.setattr(serving, "time", clocks)
    with (
        pytest.raises(FacenetError) as refused,
        start_tensorflow_serving([ServedModel(folder)], timeout=300),
    ):
        pytest.fail("it was never ready")
    assert "1 LOADING" in str(refused.value)
    assert "configured: ['facenet']" in str(refused.value)


def test_a_server_that_ends_later_is_told_by_waiting(binary, folder):
    binary.mode("dies later")
    with (
        start_tensorflow_serving([ServedModel(folder)]) as server,
        pytest.raises(FacenetError, match=r"ended with 137:\n(.*\n)*  out of memory"),
    ):
        server.wait()


def test_docker_is_told_by_a_list_of_words(docker, folder):
    models = [ServedModel(folder), ServedModel(folder, "other")]
    with start_tensorflow_serving(models, host="127.0.0.1", image="serving:test") as server:
        *before, run = docker.calls()
        assert [call[:3] for call in before] == [
            ["docker", "version", "--format"],
            ["docker", "image", "inspect"],
        ]
        words = run[2:]
        options, flags = (
            words[: words.index("serving:test")],
            words[words.index("serving:test") + 1 :],
        )
        rest, grpc = (server.rest_url.rpartition(":")[2], server.grpc_address.rpartition(":")[2])
        assert f"127.0.0.1:{rest}:8501" in options
        assert f"127.0.0.1:{grpc}:8500" in options
        for name in ("facenet", "other"):
            assert f"type=bind,source={folder},target=/models/{name},readonly" in options
        assert "--port=8500" in flags
        assert "--model_config_file=/configuration/models.config" in flags
        assert "configured: ['facenet', 'other']" in server.log.read_text()
    container = words[words.index("--name") + 1]
    assert docker.calls()[-1] == ["docker", "rm", "--force", container]
    assert not is_running(server.process.pid)


def test_an_image_that_is_not_here_is_fetched_first(docker, folder):
    docker.mode("no image")
    with start_tensorflow_serving([ServedModel(folder)]):
        assert [call[1] for call in docker.calls()] == ["version", "image", "pull", "run"]
        assert docker.calls()[2][-1] == TENSORFLOW_SERVING_IMAGE
    docker.mode("no network")
    with (
        pytest.raises(FacenetError, match=r"tensorflow/serving:2\.21\.0: cannot be fetched"),
        start_tensorflow_serving([ServedModel(folder)]),
    ):
        pytest.fail("there is no image")


def test_docker_mounts_no_comma(docker, tmp_path, folder):
    moved = Path(shutil.move(folder, tmp_path / "a,b"))
    with pytest.raises(FacenetError, match="comma"), start_tensorflow_serving([ServedModel(moved)]):
        pytest.fail("it cannot be mounted")


# A shell has what it runs in the background ignore Ctrl-C, and nohup the end of the terminal:
# whoever runs the tests so does not mean this process.
RUN = """
    import signal, sys
    from pathlib import Path
    from facenet_lib.serving.tensorflow_serving import ServedModel, run_tensorflow_serving
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    run_tensorflow_serving([ServedModel(Path(sys.argv[1]))], kind=sys.argv[2])
    assert "tensorflow" not in sys.modules
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("kind", ["binary", "docker"])
def test_running_ends_in_order_when_the_process_is_told_to(kind, number, request, folder):
    stand_in = request.getfixturevalue(kind)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(RUN), str(folder), kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = process.stdout.readline().removesuffix("/v1/models/facenet:predict\n")
        assert process.stdout.readline().startswith("gRPC: 127.0.0.1:")
        wait_until_ready(url, timeout=0.5)  # it is ready when it says so
        process.send_signal(number)
        said, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, said, errors) == (0, "", "")
    with pytest.raises(FacenetError, match="cannot be reached"):  # it has been stopped too
        wait_until_ready(url, timeout=0.3)
    assert kind == "binary" or stand_in.calls()[-1][:3] == ["docker", "rm", "--force"]


def test_what_there_is_is_found_and_what_is_missing_is_said(tmp_path, monkeypatch, folder):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FacenetError, match=r"no tensorflow_model_server .* no docker on the PATH"):
        find_tensorflow_serving()
    with (
        pytest.raises(FacenetError, match="no TF Serving here"),
        start_tensorflow_serving([ServedModel(folder)]),
    ):
        pytest.fail("there is no TF Serving")
    with (
        pytest.raises(FacenetError, match="tensorflow_model_server: cannot be started"),
        start_tensorflow_serving([ServedModel(folder)], kind="binary"),
    ):
        pytest.fail("there is no program")
    with (
        pytest.raises(FacenetError, match="no docker on the PATH"),
        start_tensorflow_serving([ServedModel(folder)], kind="docker"),
    ):
        pytest.fail("there is no docker")
    docker = put_on_the_path("docker", tmp_path, monkeypatch)
    assert find_tensorflow_serving() == "docker"
    docker.mode("no daemon")
    with pytest.raises(FacenetError, match="docker has no daemon: Error: no daemon"):
        find_tensorflow_serving()
    shutil.copy(tmp_path / "programs/docker", tmp_path / "programs/tensorflow_model_server")
    assert find_tensorflow_serving() == "binary"


def test_tf_serving_itself_takes_the_configuration(tmp_path):
    try:
        kind = find_tensorflow_serving()
    except FacenetError as why:
        pytest.skip(str(why))
    models = tmp_path / "tiny"
    serving_models.save_model(models, 1)
    served = ServedModel(models, "tiny", (1,), {"stable": 1})
    with start_tensorflow_serving([served], kind=kind) as server:
        for path in ("/v1/models/tiny/labels/stable", METRICS_PATH):
            with urllib.request.urlopen(server.rest_url + path) as answer:
                assert answer.status == 200
