import numpy as np
from matplotlib.colors import to_rgb

from facenet_lib import plots


def test_feature_clusters_shows_every_point_and_center_on_a_scale_around_zero():
    generator = np.random.default_rng(0)
    labels = np.array([0, 0, 1, 1, 1])
    rows = {
        name: [(generator.normal(size=(5, 2)), 9 * generator.normal(size=(2, 2))) for _ in "ab"]
        for name in ("first", "second", "third")
    }
    figure = plots.feature_clusters(rows, labels, ["early", "late"])
    assert len(figure.axes) == 6
    shown = [snapshot for snapshots in rows.values() for snapshot in snapshots]
    for axis, (features, centers) in zip(figure.axes, shown, strict=True):
        *clusters, crosses = [line.get_xydata() for line in axis.lines]
        np.testing.assert_array_equal(np.concatenate(clusters), features)
        np.testing.assert_array_equal(crosses, centers)
        low, high = axis.get_xlim()
        assert low == -high and high > max(np.abs(features).max(), np.abs(centers).max())
    assert [axis.get_title() for axis in figure.axes[:2]] == ["early", "late"]
    on_a_phone = 360 / (72 * figure.get_figwidth())  # pixels of a point
    assert all(text.get_size() * on_a_phone >= 9 for axis in figure.axes for text in axis.texts)


def test_face_map_lays_every_image_where_its_features_are():
    images = np.zeros((3, 8, 8, 3), np.uint8)
    places = np.array([[0.0, 1.0], [5.0, -3.0], [2.0, 2.0]])
    axes = plots.face_map(images, {"before": places, "after": places * 2}, [0, 1, 1]).axes
    assert [axis.get_title() for axis in axes] == ["before", "after"]
    for axis, scale in zip(axes, (1, 2), strict=True):
        boxes = [artist for artist in axis.artists if hasattr(artist, "xy")]
        np.testing.assert_array_equal([box.xy for box in boxes], scale * places)
        frames = [to_rgb(box.patch.get_edgecolor()) for box in boxes]
        assert frames == [to_rgb(plots.COLORS[label]) for label in (0, 1, 1)]
        assert axis.get_xlim()[0] < 0 and axis.get_xlim()[1] > scale * 5


def test_center_errors_draws_lines_on_one_logarithmic_axis_with_one_legend():
    lines = {"k = 1": np.array([1.0, 0.5, 0.25]), "k = 9": np.array([1.0, 3.0, 9.0])}
    figure = plots.center_errors({"undivided": lines, "divided": lines})
    for axis in figure.axes:
        assert axis.get_yscale() == "log"
        for line, distances in zip(axis.lines, lines.values(), strict=False):
            np.testing.assert_array_equal(line.get_ydata(), distances)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["k = 1", "k = 9"]
