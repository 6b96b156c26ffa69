"""Every benchmark adds its rows to one report, printed and written when all are done."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_report import Report, processor

JSON = Path(__file__).parents[2] / "_build" / "bench.json"
_REPORT = pytest.StashKey[Report]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_REPORT] = Report()


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Report:
    return request.config.stash[_REPORT]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    report = config.stash[_REPORT]
    if not (report.rows or report.figures):
        return
    report.write(JSON)
    about = processor()
    having = ", ".join(name for name, there in about.get("flags", {}).items() if there)
    terminalreporter.section("benchmarks")
    terminalreporter.write_line(f"{about['model']}, {about['cores']} cores, {having}\n")
    terminalreporter.write_line(report.text())
    terminalreporter.write_line(f"\nwritten to {JSON}")
