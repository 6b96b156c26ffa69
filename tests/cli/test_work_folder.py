"""The work folder: found again by the same command, and open to nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_another_process_finds_what_a_stopped_one_left(tmp_path):
    program = """
import argparse, contextlib, pathlib, sys
from facenet_lib.cli import facenet
from facenet_lib.cli.work_folder import find_work, open_work_folder
options = facenet.make_parser().parse_args(sys.argv[1:])
with contextlib.suppress(KeyboardInterrupt), open_work_folder(options, {}) as folder:
    print(*find_work(options.gallery))
    (folder / "a_face.png").touch()
    raise KeyboardInterrupt
"""
    words = [sys.executable, "-c", program, "enroll", tmp_path / "people.npz", tmp_path]
    environment = {**os.environ, "FACENET_CACHE": str(tmp_path / "cache")}
    folders = {
        subprocess.run(words, env=environment, check=True, capture_output=True).stdout
        for _ in range(2)
    }
    (folder,) = folders
    assert Path(folder.decode().strip()).stat().st_mode & 0o077 == 0
