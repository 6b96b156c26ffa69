"""Aligns an album and is killed many times on the way. A program of its own.

    python killed_alignment.py PHOTOS OUT

Every start is a fork of this process, so that many starts load the library once. A child is killed
at once, or up to a sixteenth of a second after it noted a photograph; the next goes on from what
it left. Prints, after each kill, how many photographs were noted.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import PIL.Image
from made_up_detectors import make_slow_detector

from facenet_lib.alignment import align_photographs
from facenet_lib.alignment.journal import AlignmentJournal
from facenet_lib.alignment.manifest import FaceRow, manifest_lines

KILLS = 12
LONGEST = 0.0625  # seconds from a row to a kill
HEADER = len(manifest_lines([], header=True))


def align(photographs: Path, out: Path) -> None:
    align_photographs(
        photographs, out, make_slow_detector, rule="all", size=40, workers=1, progress=False
    )


def noted(out: Path) -> dict[str, list[FaceRow]]:
    """The photographs that are noted, with crops that are whole."""
    with AlignmentJournal(out) as journal:
        for rows in journal.rows.values():
            for row in rows:
                if row.crop:
                    with PIL.Image.open(out / row.crop) as picture:
                        picture.load()
        return journal.rows


def journal_size(out: Path) -> int:
    journal = out / "faces.journal"
    return journal.stat().st_size if journal.exists() else 0


def main(photographs: Path, out: Path) -> None:
    moments = random.Random(0)
    for number in range(KILLS):
        before = journal_size(out)
        child = os.fork()
        if child == 0:
            align(photographs, out)
            os._exit(0)
        while number > 2 and journal_size(out) <= max(before, HEADER):
            if os.waitpid(child, os.WNOHANG)[0]:
                sys.exit("it came to its end before it could be killed")
            time.sleep(0.001)
        time.sleep(moments.uniform(0, LONGEST))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print(len(noted(out)) if out.exists() else 0, flush=True)
    align(photographs, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
