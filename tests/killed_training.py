"""Trains one run that is killed ten times, and the same run left alone. A program of its own.

    python killed_training.py FACES OUT

Every start of training is a fork of this process, which has loaded TensorFlow but computed
nothing with it, so that ten starts do not load it ten times. A killed child had up to a quarter
of a second from its first step on; the next child goes on from what it left.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import keras
from toy_training import SETTINGS, train

from facenet_lib import runs
from facenet_lib.datasets import read_faces

KILLS = 10
STEPS = 240
LONGEST = 0.25  # seconds from the first step to the kill
MOST = STEPS // (KILLS + 1)  # steps before it waits to be killed, so that no start comes to the end

CONFIG = runs.TrainingConfig(
    **SETTINGS
    | {
        "epoch_size": 24,
        "epochs": STEPS // 24,
        "checkpoint_every": 2,
        "ema_decay": 0.99,
        "sampled_identities": 2,
        "histograms_every": 3,
        "validation_part": 0.25,
        "validate_every": 2,
    }
)


class TellSteps(keras.callbacks.Callback):
    """Writes a byte when a step has been made, and makes no more than so many."""

    def __init__(self, pipe: int, most: int) -> None:
        super().__init__()
        self.pipe = pipe
        self.left = most

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        os.write(self.pipe, b".")
        self.left -= 1
        if self.left == 0:
            signal.pause()


def start(faces: dict, out: Path, most: int = STEPS + 1) -> tuple[int, int]:
    """Train in a child; return its number and a pipe on which each of its steps is a byte."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            train(CONFIG, faces, out, progress=False, callbacks=[TellSteps(writing, most)])
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    os.close(writing)
    return child, reading


def finish(child: int, reading: int) -> int:
    while os.read(reading, 4096):
        pass
    os.close(reading)
    return os.waitpid(child, 0)[1]


def main() -> None:
    """Kill, go on, kill ...; then let both runs come to their end."""
    faces, out = read_faces(sys.argv[1]), Path(sys.argv[2])
    moments = random.Random(0)
    for _ in range(KILLS):
        child, reading = start(faces, out / "killed", MOST)
        os.read(reading, 1)
        time.sleep(moments.uniform(0, LONGEST))
        os.kill(child, signal.SIGKILL)
        status = finish(child, reading)
        if not os.WIFSIGNALED(status):
            sys.exit(f"a child ended by itself, with {status}, before it was killed")
        kept = sorted((out / "killed" / "checkpoints").glob("*.npz"))
        print("killed after checkpoint", kept[-1].stem if kept else None, flush=True)
    for name in ("killed", "alone"):
        if finish(*start(faces, out / name)) != 0:
            sys.exit(f"{name}: did not end well")


if __name__ == "__main__":
    main()
