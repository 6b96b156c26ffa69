from __future__ import annotations

import pytest
from drawn_images import coordinates, encoded, smooth_image
from PIL import Image


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Eleven JPEG and PNG files of one size."""
    folder = tmp_path_factory.mktemp("faces")
    paths = []
    for i in range(11):
        kind = "png" if i % 4 == 3 else "jpeg"
        path = folder / f"{i}.{kind}"
        path.write_bytes(encoded(smooth_image(i), kind))
        paths.append(str(path))
    return paths


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("chart") / "chart.png"
    Image.fromarray(coordinates(40, 50)).save(path)
    return str(path)
