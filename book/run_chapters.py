"""Run the chapters in two lanes, and keep their outputs for Jupyter Book to build from.

``make book`` calls this with the folder to keep them in, whose name depends on the library and the
pinned versions: what is kept there holds as long as a chapter's code stays the same.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from lanes import LANES
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from facenet_lib.datasets import open_faces

BOOK = Path(__file__).parent
SECONDS_PER_CELL = 5400


def run_lane(outputs: Path, chapters: tuple[str, ...]) -> list[str]:
    """Run chapters one after the other; return the names of those that failed."""
    return [chapter for chapter in chapters if not run_chapter(outputs, chapter)]


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
    where = {"metadata": {"path": str(BOOK)}}
    try:
        client = NotebookClient(
            notebook,
            timeout=SECONDS_PER_CELL,
            resources=where,
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


def main(outputs: Path) -> int:
    """Run both lanes; return how many chapters failed."""
    get_cache(outputs).list_cache_records()  # makes its folder, before two lanes would
    open_faces()  # drawn by both cores, before two chapters want them
    with ProcessPoolExecutor(len(LANES)) as pool:
        failed = list(pool.map(run_lane, [outputs] * len(LANES), LANES))
    return sum(map(len, failed))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
