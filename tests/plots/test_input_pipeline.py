import matplotlib.pyplot as plt
import numpy as np
import pytest

from facenet_lib import plots
from facenet_lib.errors import FacenetError


def test_image_grid_places_every_image_under_its_name():
    images = [np.full((8, 8, 3), value, np.uint8) for value in (0, 100, 200, 50, 25)]
    names = ["Ann_Lee", "Bob", "Cy", "Di", "Ed"]
    figure = plots.image_grid(images, names, columns=3)
    assert plt.get_fignums() == []
    assert len(figure.axes) == 6  # two rows of three, the last place empty
    shown = [axis.get_images()[0].get_array() for axis in figure.axes if axis.get_images()]
    assert len(shown) == 5
    for drawn, given in zip(shown, images, strict=True):
        np.testing.assert_array_equal(drawn, given)
    written = [axis.texts[0].get_text() for axis in figure.axes if axis.texts]
    assert written == ["Ann Lee", "Bob", "Cy", "Di", "Ed"]


@pytest.mark.parametrize("top", [255, 1.0])
def test_image_grid_does_not_stretch_the_range_of_grey_images(top):
    grey = np.full((4, 4), top, np.uint8 if top == 255 else np.float32) * np.asarray(0.5)
    image = grey.astype(np.uint8) if top == 255 else grey
    drawn = plots.image_grid([image]).axes[0].get_images()[0]
    assert drawn.get_clim() == (0, top)


def test_image_grid_makes_no_row_wider_than_there_are_images():
    assert len(plots.image_grid(np.zeros((2, 4, 4, 3), np.uint8), columns=6).axes) == 2


def test_image_grid_refuses_nothing_and_wrong_titles():
    with pytest.raises(FacenetError, match="no images"):
        plots.image_grid([])
    with pytest.raises(FacenetError, match="2 images but 1 titles"):
        plots.image_grid(np.zeros((2, 4, 4, 3), np.uint8), ["one"])


def test_pixel_tables_write_integers_whole_and_floats_with_two_digits():
    tables = {"bytes": np.array([[0, 255]], np.uint8), "floats": np.array([[-0.996, -0.001, 0.5]])}
    figure = plots.pixel_tables(tables, columns=2)
    written = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    assert written == [["0", "255"], ["-1.00", "0.00", "0.50"]]
    colors = [text.get_color() for text in figure.axes[0].texts]
    assert colors == ["white", "black"]  # readable on its own grey


def test_value_distributions_share_one_axis_and_count_every_value():
    rng = np.random.default_rng(0)
    panels = {
        "fixed": {"dark": rng.uniform(-1, 0, (8, 8)), "bright": rng.uniform(0, 1, (8, 8))},
        "per image": {"dark": rng.normal(size=(8, 8)), "bright": rng.normal(size=(8, 8))},
    }
    figure = plots.value_distributions(panels)
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    for axis in figure.axes:
        for stairs in axis.patches:
            assert stairs.get_data().values.sum() == pytest.approx(1.0)
