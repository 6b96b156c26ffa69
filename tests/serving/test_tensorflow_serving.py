"""How TF Serving is run, with a stand-in for the program where it is not.

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
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
import serving_models
from status_server import StatusServer

from facenet_lib.errors import FacenetError
from facenet_lib.serving import tensorflow_serving as serving
from facenet_lib.serving.answers import METRICS_PATH
from facenet_lib.serving.configuration import (
    TENSORFLOW_SERVING_IMAGE,
    BatchingParameters,
    ServedModel,
    models_config,
    monitoring_config,
)
from facenet_lib.serving.tensorflow_serving import (
    find_tensorflow_serving,
    start_tensorflow_serving,
    wait_until_ready,
)

# ------------------------------------------------------------------------------ readiness


def test_waiting_ends_when_a_version_is_available():
    with StatusServer("START", "LOADING", "AVAILABLE", "END") as server:
        wait_until_ready(server.url, "other", timeout=300)
        assert server.asked == 3 * ["/v1/models/other"]


def test_a_version_that_has_failed_is_told_at_once():
    with (
        StatusServer("LOADING", "END", error="no such op: Face") as server,
        pytest.raises(FacenetError, match="model facenet is not ready: 1 END no such op: Face"),
    ):
        wait_until_ready(server.url, timeout=300)


@pytest.mark.slow
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
    if os.name == "nt":
        pytest.skip("a script is no program on this system")
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


def test_the_program_runs_from_ready_to_the_end_of_the_block(binary, model_folder):
    models = [ServedModel(model_folder), ServedModel(model_folder, "other", "all")]
    with start_tensorflow_serving(models, batching=BatchingParameters(5)) as server:
        with urllib.request.urlopen(f"{server.rest_url}/v1/models/facenet") as answer:
            assert b"AVAILABLE" in answer.read()
        ((name, *words),) = binary.calls()
        flags = dict(word.removeprefix("--").split("=") for word in words)
        assert name == "tensorflow_model_server"
        assert server.rest_url == f"http://127.0.0.1:{flags['rest_api_port']}"
        assert server.grpc_address == f"127.0.0.1:{flags['port']}"
        assert flags["port"] != flags["rest_api_port"]
        assert Path(flags["model_config_file"]).read_text("utf-8") == models_config(models)
        assert "value: 5" in Path(flags["batching_parameters_file"]).read_text("utf-8")
        assert Path(flags["monitoring_config_file"]).read_text("utf-8") == monitoring_config()
        assert "configured: ['facenet', 'other']" in server.log.read_text()
        assert is_running(server.process.pid)
    assert server.process.returncode == -signal.SIGTERM
    assert not is_running(server.process.pid)
    assert not server.log.exists()


def test_an_error_in_the_block_stops_the_server_too(binary, model_folder):
    with (
        pytest.raises(ZeroDivisionError),
        start_tensorflow_serving([ServedModel(model_folder)], rest_port=0) as server,
    ):
        raise ZeroDivisionError
    assert not is_running(server.process.pid)


def test_a_server_that_does_not_stop_is_killed(binary, model_folder, monkeypatch):
    monkeypatch.setattr(serving, "_STOP_SECONDS", 0.2)
    binary.mode("stubborn")
    with start_tensorflow_serving([ServedModel(model_folder)]) as server:
        pass
    assert server.process.returncode == -signal.SIGKILL


def test_a_server_that_fails_is_told_with_its_own_words(binary, model_folder):
    binary.mode("crash")
    begun = time.monotonic()
    with (
        pytest.raises(FacenetError) as refused,
        start_tensorflow_serving([ServedModel(model_folder)], timeout=3000),
    ):
        pytest.fail("it was never ready")
    assert "ended with 1" in str(refused.value)
    assert "F0000 no such file" in str(refused.value)
    assert time.monotonic() - begun < 300  # it does not wait until the time is over


def test_a_server_that_is_never_ready_is_told_and_stopped(binary, model_folder, monkeypatch):
    binary.mode("slow")

    def clock() -> float:  # the time is over as soon as the server has been asked
        return 400.0 if (binary.folder / "asked").exists() else 0.0

    clocks = SimpleNamespace(monotonic=clock, sleep=time.sleep)
    monkeypatch.setattr(serving, "time", clocks)
    with (
        pytest.raises(FacenetError) as refused,
        start_tensorflow_serving([ServedModel(model_folder)], timeout=300),
    ):
        pytest.fail("it was never ready")
    assert "1 LOADING" in str(refused.value)
    assert "configured: ['facenet']" in str(refused.value)


def test_a_server_that_ends_later_is_told_by_waiting(binary, model_folder):
    binary.mode("dies later")
    with (
        start_tensorflow_serving([ServedModel(model_folder)]) as server,
        pytest.raises(FacenetError, match=r"ended with 137:\n(.*\n)*  out of memory"),
    ):
        server.wait()


@pytest.mark.slow
def test_docker_is_told_by_a_list_of_words(docker, model_folder):
    models = [ServedModel(model_folder), ServedModel(model_folder, "other")]
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
            assert f"type=bind,source={model_folder},target=/models/{name},readonly" in options
        assert "--port=8500" in flags
        assert "--model_config_file=/configuration/models.config" in flags
        assert "configured: ['facenet', 'other']" in server.log.read_text()
    container = words[words.index("--name") + 1]
    assert docker.calls()[-1] == ["docker", "rm", "--force", container]
    assert not is_running(server.process.pid)


@pytest.mark.slow
def test_an_image_that_is_not_here_is_fetched_first(docker, model_folder):
    docker.mode("no image")
    with start_tensorflow_serving([ServedModel(model_folder)]):
        assert [call[1] for call in docker.calls()] == ["version", "image", "pull", "run"]
        assert docker.calls()[2][-1] == TENSORFLOW_SERVING_IMAGE
    docker.mode("no network")
    with (
        pytest.raises(FacenetError, match=r"tensorflow/serving:2\.21\.0: cannot be fetched"),
        start_tensorflow_serving([ServedModel(model_folder)]),
    ):
        pytest.fail("there is no image")


def test_docker_mounts_no_comma(docker, tmp_path, model_folder):
    moved = Path(shutil.move(model_folder, tmp_path / "a,b"))
    with pytest.raises(FacenetError, match="comma"), start_tensorflow_serving([ServedModel(moved)]):
        pytest.fail("it cannot be mounted")


# A shell has what it runs in the background ignore Ctrl-C, and nohup the end of the terminal:
# whoever runs the tests so does not mean this process.
RUN = """
    import signal, sys
    from pathlib import Path
    from facenet_lib.serving import ServedModel, run_tensorflow_serving
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    run_tensorflow_serving([ServedModel(Path(sys.argv[1]))], kind=sys.argv[2])
    assert "tensorflow" not in sys.modules
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP"])
@pytest.mark.parametrize("kind", ["binary", "docker"])
def test_running_ends_in_order_when_the_process_is_told_to(kind, number, request, model_folder):
    stand_in = request.getfixturevalue(kind)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(RUN), str(model_folder), kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = process.stdout.readline().removesuffix("/v1/models/facenet:predict\n")
        assert process.stdout.readline().startswith("gRPC: 127.0.0.1:")
        wait_until_ready(url, timeout=300)
        process.send_signal(signal.Signals[number])
        said, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert (process.returncode, said, errors) == (0, "", "")
    with pytest.raises(FacenetError, match="cannot be reached"):  # it has been stopped too
        wait_until_ready(url, timeout=0.3)
    assert kind == "binary" or stand_in.calls()[-1][:3] == ["docker", "rm", "--force"]


def test_what_there_is_is_found_and_what_is_missing_is_said(tmp_path, monkeypatch, model_folder):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FacenetError, match=r"no tensorflow_model_server .* no docker on the PATH"):
        find_tensorflow_serving()
    with (
        pytest.raises(FacenetError, match="no TF Serving here"),
        start_tensorflow_serving([ServedModel(model_folder)]),
    ):
        pytest.fail("there is no TF Serving")
    with (
        pytest.raises(FacenetError, match="tensorflow_model_server: cannot be started"),
        start_tensorflow_serving([ServedModel(model_folder)], kind="binary"),
    ):
        pytest.fail("there is no program")
    with (
        pytest.raises(FacenetError, match="no docker on the PATH"),
        start_tensorflow_serving([ServedModel(model_folder)], kind="docker"),
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
