"""The style is checked by what it promises: contrast on both pages, and colours kept apart."""

import io
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from facenet_lib import plots
from facenet_lib.plots.book_style import make_figure

WHITE = (1.0, 1.0, 1.0)


DARK_PAGES = ("#121212", "#14181e")


# Machado, Oliveira and Fernandes (2009), severity 1.0, applied to linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def linear(color) -> np.ndarray:
    value = np.asarray(to_rgb(color))
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(one, other) -> float:
    """The contrast ratio of the Web Content Accessibility Guidelines 2.2."""
    levels = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (levels[1] + 0.05) / (levels[0] + 0.05)


def lab(rgb_linear: np.ndarray) -> np.ndarray:
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ np.clip(rgb_linear, 0, 1) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("page", [WHITE, *DARK_PAGES])
def test_text_and_colors_read_on_white_and_on_dark_pages(page):
    assert contrast(plots.GREY, page) >= 4.0
    for color in plots.COLORS:
        assert contrast(color, page) >= 3.0, color


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_colors_stay_apart_whoever_looks(deficiency):
    seen = [lab(DEFICIENCIES[deficiency] @ linear(color)) for color in plots.COLORS]
    for (i, one), (j, other) in combinations(enumerate(seen), 2):
        difference = float(np.linalg.norm(one - other))
        assert difference > 15, (plots.COLORS[i], plots.COLORS[j], difference)


def test_saved_figures_are_transparent_where_nothing_is_drawn():
    figure, axis = plt.subplots()
    axis.plot([0, 1], [0, 1])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    pixels = np.asarray(Image.open(buffer).convert("RGBA"))
    assert np.mean(pixels[..., 3] == 0) > 0.8
    assert pixels[..., 3].max() == 255


def test_all_that_is_written_is_grey_and_the_box_is_open():
    figure, axis = plt.subplots()
    axis.set(xlabel="x", ylabel="y", title="title")
    figure.canvas.draw()
    texts = [axis.xaxis.label, axis.yaxis.label, axis.title, *axis.get_xticklabels()]
    assert {to_rgb(text.get_color()) for text in texts} == {to_rgb(plots.GREY)}
    assert not axis.spines["top"].get_visible()
    assert not axis.spines["right"].get_visible()


def test_a_figure_is_taken_from_pyplot_but_can_be_drawn():
    figure, axis = make_figure(2.0)
    axis.plot([0, 1])
    assert plt.get_fignums() == []
    figure.canvas.draw()
