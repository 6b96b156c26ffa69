"""What several tests use, and who shares a process when they run in two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from lanes import LANES
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from facenet_lib.verification import EvaluationPairs


class ByFileAndLane(LoadScopeScheduling):
    """Chapters use what those before them trained, and two at once would train it twice."""

    def _split_scope(self, nodeid: str) -> str:
        file = Path(nodeid.split("::")[0])
        lanes = [f"lane {number}" for number, lane in enumerate(LANES) if file.stem in lane]
        return lanes[0] if file.suffix == ".ipynb" and lanes else str(file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, chapters and slow files: both processes then end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path.suffix != ".ipynb", item.path not in slow))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFileAndLane:
    return ByFileAndLane(config, log)


@pytest.fixture(scope="session")
def toy_faces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, ...]]:
    """Four people who are easy to tell apart."""
    from toy_training import draw_people

    return draw_people(tmp_path_factory.mktemp("faces"), "Known")


@pytest.fixture(scope="session")
def toy_pairs(tmp_path_factory: pytest.TempPathFactory) -> EvaluationPairs:
    """Pairs of other people."""
    from toy_training import draw_people, write_ten_folds

    from facenet_lib.verification import EvaluationPairs

    root = tmp_path_factory.mktemp("pairs")
    write_ten_folds(root / "pairs.txt", draw_people(root, "Unknown", images=6, seed=1))
    return EvaluationPairs.from_file(root / "pairs.txt", root)


@pytest.fixture(scope="session")
def toy_run(
    tmp_path_factory: pytest.TempPathFactory,
    toy_faces: dict[str, tuple[Path, ...]],
    toy_pairs: EvaluationPairs,
) -> Path:
    """A run of the small network that nothing interrupted."""
    from toy_training import CONFIG, train

    out = tmp_path_factory.mktemp("runs") / "whole"
    assert train(CONFIG, toy_faces, out, toy_pairs, progress=False).finished
    return out
