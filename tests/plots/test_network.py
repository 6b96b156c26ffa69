import numpy as np

from facenet_lib import plots


def test_network_stages_writes_shapes_and_parameters_beside_the_bars():
    figure = plots.network_stages(["in", "conv", "out"], [9, 4, 1], [3, 8, 5], [0, 3000000, 40])
    funnel, bars = figure.axes
    assert [bar.get_width() for bar in funnel.patches] == [6, 4, 2]
    assert [text.get_text() for text in funnel.texts] == ["9 x 9 x 3", "4 x 4 x 8", "5"]
    assert [text.get_text() for text in bars.texts] == ["3.00", "0.00"]
    assert funnel.get_ylim()[0] > funnel.get_ylim()[1]  # from the input down


def test_rates_are_bars_with_their_limit_marked():
    (axis,) = plots.rates_and_limits({"slow": (20.0, 80.0), "fast": (60.0, 80.0)}, "images").axes
    assert [bar.get_width() for bar in axis.patches] == [20.0, 60.0]
    assert [text.get_text() for text in axis.texts] == [" 20 (25%)", " 60 (75%)"]
    (marks,) = axis.collections
    assert [segment[0][0] for segment in marks.get_segments()] == [80.0, 80.0]
    assert axis.get_xlim()[1] > 80


def test_a_bar_that_is_longer_than_its_limit_is_shown_whole():
    (axis,) = plots.rates_and_limits({"slow": (20.0, 30.0), "fast": (60.0, 50.0)}, "images").axes
    assert axis.get_xlim()[1] > 60


def test_unit_circle_joins_each_vector_to_its_embedding():
    prelogits = np.array([[3.0, 4.0], [0.0, -2.0]])
    embeddings = np.array([[0.6, 0.8], [0.0, -1.0]])
    (axis,) = plots.unit_circle(prelogits, embeddings, [0, 7]).axes
    drawn = [line.get_xydata() for line in axis.lines]
    for start, end in zip(prelogits, embeddings, strict=True):
        assert any(np.array_equal(data, [start, end]) for data in drawn)
    assert axis.patches[0].get_radius() == 1


def test_similarity_matrices_share_one_scale_and_part_the_people():
    one, other = np.eye(6), np.full((6, 6), -0.5)
    figure = plots.similarity_matrices({"a": one, "b": other}, ["Ann_Lee", "Bob", "Cy"], 2)
    left, right = figure.axes[:2]
    assert left.images[0].get_clim() == right.images[0].get_clim() == (-0.5, 1.0)
    assert [label.get_text() for label in left.get_yticklabels()] == ["Ann Lee", "Bob", "Cy"]
    assert sorted({line.get_ydata()[0] for line in left.lines} - {0, 1}) == [1.5, 3.5]
