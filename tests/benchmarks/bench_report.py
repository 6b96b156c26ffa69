"""What the benchmarks measured: rows of one table, figures below it, and both as JSON."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import sys
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

PAIRS = int(os.environ.get("FACENET_BENCH_PAIRS", "9"))
"""Rounds of those that are compared; 7 or more for figures to tell others."""
WITHOUT_PEER = "no peer: set FACENET_PEERS"
_COLUMNS = "{:56}{:>20}{:>28}{:>22}{:>8}{:>10}"
_HEADINGS = ("what", "ours", "peer, or without", "ratio", "floor", "of floor")
_LIBRARIES = ("tensorflow", "keras", "numpy", "pillow")
_SETTINGS = ("FACENET_", "TF_ENABLE_", "TF_NUM_", "TF_XLA_", "ONEDNN_", "OMP_", "MALLOC_", "GLIBC_")


@dataclass(frozen=True)
class Spread:
    """A quantity, measured several times."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Lower and upper quartile; of fewer than two values, the value itself."""
        if len(self.values) < 2:
            return self.median, self.median
        lower, _, upper = statistics.quantiles(self.values, n=4, method="inclusive")
        return lower, upper

    def divided_by(self, other: Spread) -> Spread:
        """Round by round; a single value of the other stands for all rounds."""
        others = other.values
        if len(others) == 1:
            others *= len(self.values)
        pairs = zip(self.values, others, strict=True)
        return Spread(tuple(mine / its for mine, its in pairs))

    def __str__(self) -> str:
        if len(self.values) == 1:
            return number(self.median)
        lower, upper = self.quartiles
        return f"{number(self.median)} [{number(lower)}..{number(upper)}]"

    def to_dict(self) -> dict[str, Any]:
        return {"median": self.median, "quartiles": self.quartiles, "values": self.values}


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        section: the heading it stands under, with the unit of its rates.
        what: what was measured.
        ours: our rates, one a round.
        other: in the same rounds, the peer's rates, or ours without what the row shows, or what
            the section names; a single one stands for all rounds; None where there is none.
        floor: the highest rates that the processor's matrix products allowed in the same rounds;
            None where they do not say. (A floor of the time is a ceiling of the rate.)
        note: stands in place of the missing other.
    """

    section: str
    what: str
    ours: Spread
    other: Spread | None = None
    floor: Spread | None = None
    note: str = ""

    @property
    def ratio(self) -> Spread | None:
        """Ours divided by the other, round by round."""
        return self.ours.divided_by(self.other) if self.other else None

    @property
    def share(self) -> Spread | None:
        """Ours divided by the floor, round by round."""
        return self.ours.divided_by(self.floor) if self.floor else None

    def __str__(self) -> str:
        other = self.note if self.other is None else str(self.other)
        ratio = f"x{self.ratio}" if self.ratio else ""
        floor = number(self.floor.median) if self.floor else ""
        share = f"{self.share.median:.0%}" if self.share else ""
        return _COLUMNS.format(self.what, str(self.ours), other, ratio, floor, share).rstrip()

    def to_dict(self) -> dict[str, Any]:
        spreads = {
            "ours": self.ours,
            "other": self.other,
            "ratio": self.ratio,
            "floor": self.floor,
            "of floor": self.share,
        }
        told = {name: spread.to_dict() if spread else None for name, spread in spreads.items()}
        return {"section": self.section, "what": self.what, **told}


@dataclass(frozen=True)
class Figure:
    """One line below the table: a number that is no rate, or a text."""

    section: str
    what: str
    value: float | str
    unit: str = ""

    def __str__(self) -> str:
        value = self.value if isinstance(self.value, str) else number(self.value)
        return f"{self.what:60} {value} {self.unit}".rstrip()


@dataclass
class Report:
    """Collects what the benchmarks of one run found."""

    rows: list[Row] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def add(self, *found: Row | Figure) -> None:
        """Keep rows and figures, and show them at once: the whole takes a quarter of an hour."""
        for one in found:
            (self.rows if isinstance(one, Row) else self.figures).append(one)
            print(f"\n{one}", end="", flush=True)

    def text(self) -> str:
        lines = [_COLUMNS.format(*_HEADINGS), _COLUMNS.format("", *["[quartiles]"] * 3, "", "")]
        for found in (self.rows, self.figures):
            in_order = sorted(found, key=lambda one: _first(found, one.section))
            for section, members in groupby(in_order, key=lambda one: one.section):
                lines += ["", section, *(f"  {one}" for one in members)]
        return "\n".join(line.rstrip() for line in lines)

    def write(self, path: Path) -> None:
        libraries = {name: importlib.metadata.version(name) for name in _LIBRARIES}
        contents = {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "settings": {"pairs": PAIRS, **_settings()},
            "versions": {"python": platform.python_version(), **libraries, **self.versions},
            "processor": processor(),
            "rows": [row.to_dict() for row in self.rows],
            "figures": [dataclasses.asdict(figure) for figure in self.figures],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(contents, indent=2) + "\n", encoding="utf-8")


def _settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_SETTINGS)}


def _first(found: list[Any], section: str) -> int:
    return next(i for i, one in enumerate(found) if one.section == section)


def number(value: float) -> str:
    """Three digits or more, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def processor() -> dict[str, Any]:
    """Model, number of cores, and whether it has instructions for bfloat16, where Linux tells."""
    about: dict[str, Any] = {"model": platform.processor(), "cores": os.cpu_count()}
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        told = {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in lines)}
        flags = told.get("flags", "").split()
        about["model"] = told.get("model name", about["model"])
        about["flags"] = {name: name in flags for name in ("avx512f", "avx512_bf16", "amx_bf16")}
    return about
