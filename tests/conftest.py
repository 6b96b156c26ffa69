"""What several tests use, and which come first."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from lanes import LONGEST_FIRST

if TYPE_CHECKING:
    from facenet_lib.verification import EvaluationPairs

settings.register_profile("book", deadline=None)  # a busy machine is no fault
settings.load_profile("book")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, chapters and files of many slow tests: all end together then."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))

    def place(item: pytest.Item) -> tuple[bool, int, int]:
        is_chapter = item.path.stem in LONGEST_FIRST
        number = LONGEST_FIRST.index(item.path.stem) if is_chapter else 0
        return not is_chapter, number, -slow[item.path]

    items.sort(key=place)


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
