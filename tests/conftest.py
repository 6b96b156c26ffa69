"""Who shares a process when the tests run in two: a file's tests, and all chapters."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling


class ByFileAndBook(LoadScopeScheduling):
    """The chapters use what the ones before trained, and two at once would train it twice."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return "the book" if file.endswith(".ipynb") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFileAndBook:
    return ByFileAndBook(config, log)
