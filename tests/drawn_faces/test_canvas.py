"""The canvas: what is nearer hides what is farther, and a pixel is the mean of its samples."""

from __future__ import annotations

import numpy as np
from passport_pictures import PASSPORT

from facenet_lib.drawn_faces.canvas import frame_head


def test_a_pixel_is_the_mean_of_its_samples() -> None:
    canvas = frame_head(PASSPORT, 64)
    samples = np.array([0, 1, 128, 2])  # all four of the first pixel, one of the second
    colour = np.arange(12, dtype=np.float32).reshape(3, 4)
    canvas.paint(samples, np.zeros(4, np.float32), colour)
    pixels, coverage = canvas.pixels()
    assert pixels.shape == (64, 64, 3) and coverage.shape == (64, 64, 1)
    np.testing.assert_allclose(pixels[0, 0], colour[:, :3].sum(axis=1) / 4)
    np.testing.assert_allclose(pixels[0, 1], colour[:, 3] / 4)
    np.testing.assert_allclose(coverage[0, :3, 0], (0.75, 0.25, 0.0))


def test_what_is_nearer_hides_what_is_farther() -> None:
    canvas = frame_head(PASSPORT, 64)
    samples = np.array([5, 6])
    canvas.paint(samples, np.array([1.0, 3.0], np.float32), np.zeros((3, 2), np.float32))
    np.testing.assert_array_equal(canvas.visible(samples, np.array([2.0, 2.0])), [True, False])


def test_the_rectangle_around_the_middle() -> None:
    canvas = frame_head(PASSPORT, 64)
    samples, x, y = canvas.inside(0.1, 0.2, 0.3, 0.25)
    assert np.abs(x - 0.1).max() <= 0.3 and np.abs(y - 0.2).max() <= 0.25
    rows, columns = np.divmod(samples, canvas.width)
    np.testing.assert_array_equal(canvas.across[columns], x)
    np.testing.assert_array_equal(canvas.up[rows], y)
    assert (np.diff(canvas.up) < 0).all()  # the first row is the highest
    share = samples.size / canvas.width**2
    assert abs(share - 0.6 * 0.5 / 2.7**2) < 0.005


def test_tinting_changes_no_height() -> None:
    canvas = frame_head(PASSPORT, 64)
    canvas.tint(np.array([3]), np.array([1.0, 0.5, 0.0], np.float32), np.array([0.5]))
    np.testing.assert_allclose(canvas.colour[:, 3], (0.5, 0.25, 0.0))
    assert canvas.height[3] == -np.inf
