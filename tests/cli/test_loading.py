import os
import subprocess
import sys

import pytest
from running_commands import facenet

from facenet_lib.cli.loading import name_for_other_folders

pytestmark = pytest.mark.slow  # each test trains, or needs what was trained


def test_a_folder_is_named_for_other_folders_and_an_address_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    assert name_for_other_folders("model") == str(tmp_path / "model")
    for name in ("http://localhost:8501", "nowhere"):
        assert name_for_other_folders(name) == name


def test_tensorflows_own_words_do_not_drown_the_answer(run, folder, tmp_path):
    clean = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    image = folder / "Known_1" / "Known_1_0001.jpg"
    words = ["embed", run, image, "--out", tmp_path / "x.npz"]
    quiet = facenet(*words, env=clean)
    assert quiet.stdout == f"{tmp_path / 'x.npz'}: 1 embeddings of 16 numbers\n"
    assert (quiet.returncode, quiet.stderr) == (0, "")


def test_asking_a_server_over_rest_loads_no_tensorflow(server, folder, tmp_path):
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['tensorflow', 'keras', 'matplotlib']));"
        "from facenet_lib.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    image, out = folder / "Known_1" / "Known_1_0001.jpg", tmp_path / "x.npz"
    words = ["embed", server.rest_url, image, "--out", out]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{out}: 1 embeddings of 16 numbers\n"
