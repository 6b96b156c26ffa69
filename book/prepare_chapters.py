"""Draw the faces and photographs and train the network that chapters use, before two want them.

``make test`` calls this first, so that the chapters can run in any order. It is what chapters 1,
6 and 10 do when they find nothing.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from lanes import LONGEST_FIRST
from user_paths import resolve_user_paths

from facenet_lib.datasets import cache_folder, check_enough_faces, open_faces, open_photographs
from facenet_lib.errors import FacenetError


def draw_pictures() -> None:
    """Draw what chapters use, with all cores, or find the faces that ``FACENET_FACES`` names."""
    check_faces()
    open_faces("drawn")  # chapter 10 needs people who are drawn, and a network of theirs
    open_photographs()


def check_faces() -> None:
    """End here, before anything is trained, where a chapter would refuse the faces."""
    try:
        folder = open_faces()
    except FacenetError as error:
        sys.exit(str(error))
    refusals = []
    for chapter in LONGEST_FIRST:
        try:
            check_enough_faces(folder, **read_needs(chapter))
        except FacenetError as error:
            refusals.append(f"{chapter}: {error}")
    if refusals:
        sys.exit("\n".join(refusals))


def read_needs(chapter: str) -> dict[str, int]:
    """What a chapter asks ``check_enough_faces`` for; nothing where it does not ask."""
    source = (Path(__file__).parent / f"{chapter}.ipynb").read_text(encoding="utf-8")
    asked = re.search(r"check_enough_faces\(folder, ([^)]*)\)", source)
    words = re.findall(r"(\w+)=(\d+)", asked[1]) if asked else []
    return {name: int(number) for name, number in words}


def train_networks() -> None:
    """Train chapter 6's network, and chapter 10's, which is the same one if the faces are drawn."""
    for faces in dict.fromkeys([os.environ.get("FACENET_FACES") or "drawn", "drawn"]):
        _train(faces)


def _train(faces: str) -> None:
    """Train as a process that may be stopped and goes on."""
    folder = open_faces(faces)
    recipe = "drawn_faces" if folder.is_drawn else "lfw_view1"
    run = cache_folder() / "runs" / folder.root.name
    run.parent.mkdir(parents=True, exist_ok=True)
    words = ["train", faces, "--config", recipe, "--out", str(run)]
    subprocess.run([sys.executable, "-m", "facenet_lib", *words], check=True)


if __name__ == "__main__":
    resolve_user_paths()
    draw_pictures()
    train_networks()
