"""Chromium without a window and without a network, as tests start it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chromium import CHROMIUM

OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"

in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")


def chromium_command(address: str, profile: Path, *options: str) -> list[str]:
    """The words that open an address, which may be on this machine only."""
    return [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",  # which root, and on some systems everybody, cannot have
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        OFFLINE,
        f"--user-data-dir={profile}",
        *options,
        address,
    ]


@contextmanager
def open_browser() -> Iterator[Any]:
    """One browser of Playwright for many pages."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--disable-gpu", OFFLINE], chromium_sandbox=False
        )
        yield browser
        browser.close()
