"""Seeds: the same one always draws the same, whatever was drawn before."""

from __future__ import annotations

import numpy as np
import pytest
from passport_pictures import SIZE

from facenet_lib.drawn_faces import draw_identity, draw_nuisance, render_face
from facenet_lib.drawn_faces.head import build_head
from facenet_lib.errors import FacenetError


def test_a_seed_always_draws_the_same() -> None:
    for seed in (0, 7, (3, 1, 4), np.random.SeedSequence(5, spawn_key=(1, 2))):
        assert draw_identity(seed) == draw_identity(seed)
        assert draw_nuisance(seed) == draw_nuisance(seed)
    assert draw_identity(1) != draw_identity(2)
    assert draw_nuisance(1) != draw_nuisance(2)


def test_numpys_global_state_plays_no_part() -> None:
    pictures = []
    for state in (1, 2):
        np.random.seed(state)  # noqa: NPY002
        build_head.cache_clear()
        pictures.append(render_face(draw_identity(3), draw_nuisance(4), SIZE))
    np.testing.assert_array_equal(*pictures)


@pytest.mark.parametrize("seed", [-1, 1.5, "one", (1, -2)])
def test_what_is_no_seed_is_refused(seed: object) -> None:
    for draw in (draw_identity, draw_nuisance):
        with pytest.raises(FacenetError, match="seed"):
            draw(seed)
