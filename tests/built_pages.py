"""Where the pages of ``make book`` are that tests look at."""

from __future__ import annotations

import os
from pathlib import Path

from house import PROJECT

BUILT_BOOK = Path(os.environ.get("FACENET_BOOK") or PROJECT / "_build" / "html").absolute()
