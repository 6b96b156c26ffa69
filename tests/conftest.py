"""Who shares a process when the tests run in two: a file's tests, and all chapters.

The chapters use what the ones before trained, and two at once would train it twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        group = "chapters" if item.path.suffix == ".ipynb" else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))
