"""Run the chapters, two at a time, and keep their outputs for Jupyter Book to build from.

``make book`` calls this with the folder to keep them in, whose name depends on the library and the
pinned versions: what is kept there holds as long as a chapter's code stays the same.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from lanes import LONGEST_FIRST, TRAINS, USE_WHAT_IT_TRAINED
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from facenet_lib.datasets import open_faces

BOOK = Path(__file__).parent
SECONDS_PER_CELL = 5400
AT_A_TIME = 2


def run_chapters(outputs: Path) -> int:
    """Run all chapters whose outputs are not kept yet; return how many failed."""
    get_cache(outputs).list_cache_records()  # makes the folder, before two processes would
    open_faces()  # drawn by both cores, before two chapters want them
    waiting = list(LONGEST_FIRST)
    running: dict[Future[bool], str] = {}
    failed = 0
    with ProcessPoolExecutor(AT_A_TIME) as pool:
        while waiting or running:
            busy = {TRAINS} & {*waiting, *running.values()}
            ready = [name for name in waiting if not (busy and name in USE_WHAT_IT_TRAINED)]
            for chapter in ready[: AT_A_TIME - len(running)]:
                waiting.remove(chapter)
                running[pool.submit(run_chapter, outputs, chapter)] = chapter
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                del running[future]
                failed += not future.result()
    return failed


def run_chapter(outputs: Path, chapter: str) -> bool:
    """Run a chapter unless its outputs are kept already; say how it went."""
    path = BOOK / f"{chapter}.ipynb"
    notebook = nbformat.read(path, 4)
    cache = get_cache(outputs)
    try:
        cache.match_cache_notebook(notebook)
    except KeyError:
        pass  # not kept yet
    else:
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
        print(f"{chapter}: failed\n{error}", file=sys.stderr, flush=True)
        return False
    seconds = time.perf_counter() - began
    bundle = CacheBundleIn(notebook, str(path), data={"execution_seconds": seconds})
    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    print(f"{chapter}: {seconds:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(run_chapters(Path(sys.argv[1])))
