import signal
import subprocess
import sys

import pytest
from running_commands import one_line

from facenet_lib.cli import main
from facenet_lib.serving.configuration import TENSORFLOW_SERVING_IMAGE, ServedModel
from facenet_lib.serving.rest_client import RestClient

pytestmark = pytest.mark.slow  # each test trains, or needs what was trained


def test_a_model_is_served_until_the_process_is_told_to_end(exported, folder, tmp_path):
    words = ["serve", exported, "--rest-port", "0", "--grpc-port", "0", "--versions", "all"]
    process = subprocess.Popen(
        [sys.executable, "-m", "facenet_lib", *words, "--label", "stable=1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = process.stdout.readline().removesuffix("/v1/models/facenet:predict\n")
        with RestClient(url, label="stable") as client:
            image = (folder / "Known_1" / "Known_1_0001.jpg").read_bytes()
            assert client.embed([image]).valid.all()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0
    assert all("facenet version 1" in line for line in errors.splitlines()), errors


def test_tf_serving_is_configured_and_run(exported, tmp_path, monkeypatch, capsys):
    words = ["serve", str(exported), "--name", "mine", "--versions", "1", "--label", "stable=1"]
    words += ["--host", "0.0.0.0", "--rest-port", "81", "--grpc-port", "80"]
    out = tmp_path / "configuration"
    assert main([*words, "--image", "serving:test", "--configure", str(out)]) == 0
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
