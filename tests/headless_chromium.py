"""Chromium without a window and without a network, as tests start it."""

from __future__ import annotations

from pathlib import Path

import pytest
from chromium import CHROMIUM

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
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--user-data-dir={profile}",
        *options,
        address,
    ]
