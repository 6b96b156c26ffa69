"""Draw the faces and photographs and train the network that chapters use, before two want them.

``make test`` calls this first, so that the chapters can run in any order. It is what chapters 1,
6 and 10 do when they find nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys

from facenet_lib.datasets import cache_folder, open_faces, open_photographs


def draw_pictures() -> None:
    """Draw what chapters use, with all cores, or find the faces that ``FACENET_FACES`` names."""
    open_faces()
    open_faces("drawn")  # chapter 10 needs people who are drawn, and a network of theirs
    open_photographs()


def train_networks() -> None:
    """Train chapter 6's network, and chapter 10's, which is the same one if the faces are drawn."""
    for faces in dict.fromkeys([os.environ.get("FACENET_FACES") or "drawn", "drawn"]):
        _train(faces)


def _train(faces: str) -> None:
    """Train as a process that may be stopped and goes on."""
    folder = open_faces(faces)
    is_drawn = (folder.root / "drawn_faces.json").is_file()
    recipe = "drawn_faces" if is_drawn else "lfw_view1"
    run = cache_folder() / "runs" / folder.root.name
    run.parent.mkdir(parents=True, exist_ok=True)
    words = ["train", faces, "--config", recipe, "--out", str(run)]
    subprocess.run([sys.executable, "-m", "facenet_lib", *words], check=True)


if __name__ == "__main__":
    draw_pictures()
    train_networks()
