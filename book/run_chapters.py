"""Run the chapters, two at a time, and keep their outputs for Jupyter Book to build from.

``make book`` calls this with the folder to keep them in, whose name depends on the library, the
pinned versions and the faces: what is kept there holds as long as a chapter's code stays the same.
``make test`` asks for the chapters that are left, ``--left``: one that ran through in this very
state has been tested.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.queues import Queue
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from lanes import LONGEST_FIRST, WITHOUT_NETWORK, take_cores
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from prepare_chapters import draw_pictures, train_networks
from user_paths import resolve_user_paths

from facenet_lib.errors import FacenetError

BOOK = Path(__file__).parent
SECONDS_PER_CELL = 5400
LANES = 2


def run_chapters(outputs: Path) -> int:
    """Run all chapters whose outputs are not kept yet; return how many failed."""
    draw_pictures()
    context = multiprocessing.get_context("spawn")
    numbers = context.Queue()
    for number in range(LANES):
        numbers.put(number)
    with ProcessPoolExecutor(LANES, context, _begin_lane, (numbers,)) as pool:

        def submit(chapters: Sequence[str]) -> list[Future[bool]]:
            return [pool.submit(run_chapter, outputs, chapter) for chapter in chapters]

        trained = pool.submit(train_networks)
        ended = submit(WITHOUT_NETWORK)
        trained.result()
        ended += submit([chapter for chapter in LONGEST_FIRST if chapter not in WITHOUT_NETWORK])
        return sum(not future.result() for future in ended)


def _begin_lane(numbers: Queue[int]) -> None:
    take_cores(numbers.get(), LANES)


def chapters_left(outputs: Path) -> list[str]:
    """Chapters that did not run through yet in the state that ``outputs`` stands for."""
    return [chapter for chapter in LONGEST_FIRST if not _is_kept(outputs, read_chapter(chapter))]


def read_chapter(chapter: str) -> nbformat.NotebookNode:
    """Read a chapter's notebook."""
    return nbformat.read(BOOK / f"{chapter}.ipynb", 4)


def _is_kept(outputs: Path, notebook: nbformat.NotebookNode) -> bool:
    try:
        get_cache(outputs).match_cache_notebook(notebook)
    except KeyError:
        return False
    return True


def run_chapter(outputs: Path, chapter: str) -> bool:
    """Run a chapter unless its outputs are kept already; say how it went."""
    notebook = read_chapter(chapter)
    if _is_kept(outputs, notebook):
        print(f"{chapter}: kept", flush=True)
        return True
    began = time.perf_counter()
    try:
        client = NotebookClient(
            notebook,
            timeout=SECONDS_PER_CELL,
            resources={"metadata": {"path": str(BOOK)}},
            record_timing=False,  # stands in cells and makes them others than those asked for
        )
        client.execute()
    except CellExecutionError as error:
        found = error.evalue if error.ename == FacenetError.__name__ else error
        print(f"{chapter}: failed\n{found}", file=sys.stderr, flush=True)
        return False
    seconds = time.perf_counter() - began
    path = str(BOOK / f"{chapter}.ipynb")
    bundle = CacheBundleIn(notebook, path, data={"execution_seconds": seconds})
    get_cache(outputs).cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    print(f"{chapter}: {seconds:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    resolve_user_paths()
    folder = Path(sys.argv[1])
    get_cache(folder).list_cache_records()  # makes the folder, before two processes would
    if "--left" in sys.argv:
        print(*(f"book/{chapter}.ipynb" for chapter in chapters_left(folder)))
    else:
        sys.exit(run_chapters(folder))
