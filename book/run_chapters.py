"""Run the chapters, two at a time, and keep their outputs for Jupyter Book to build from.

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
from lanes import LONGEST_FIRST
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

BOOK = Path(__file__).parent
SECONDS_PER_CELL = 5400
AT_A_TIME = 2


def run_chapters(outputs: Path) -> int:
    """Run all chapters whose outputs are not kept yet; return how many failed."""
    get_cache(outputs).list_cache_records()  # makes the folder, before two processes would
    with ProcessPoolExecutor(AT_A_TIME) as pool:
        ended = [pool.submit(run_chapter, outputs, chapter) for chapter in LONGEST_FIRST]
        return sum(not future.result() for future in ended)


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
