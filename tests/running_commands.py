"""How tests run commands."""

import json
import re
import subprocess
import sys

from toy_training import SETTINGS

from facenet_lib.cli import main

TRAIN_WORDS = [
    word
    for name, value in SETTINGS.items()
    if name not in ("learning_rates", "random_crop", "blocks", "epoch_size", "epochs")
    for word in (f"--{name.replace('_', '-')}", str(value))
] + ["--blocks", "0", "0", "0", "--epoch-size", "20", "--epochs", "2", "--no-random-crop"]


def facenet(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "facenet_lib", *map(str, words)],
        capture_output=True,
        text=True,
        **options,
    )


def one_line(captured):
    """Nothing on standard output, and on standard error one line of ours."""
    assert captured.out == ""
    assert re.fullmatch(r"facenet: .+\n", captured.err)
    return captured.err


def evaluated(tmp_path, *words):
    out = tmp_path / "evaluated.json"
    assert main(["evaluate", *map(str, words), "--json", str(out)]) == 0
    return json.loads(out.read_text())
