from __future__ import annotations

import numpy as np
import pytest
import tf1_reference


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    return tf1_reference.expected_outputs()
