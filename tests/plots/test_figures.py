"""The style is checked by what it promises: contrast on both pages, and colours kept apart."""

from __future__ import annotations

import io
from itertools import combinations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from PIL import Image

from facenet_lib import plots
from facenet_lib.errors import FacenetError
from facenet_lib.verification import evaluate

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


@pytest.fixture(autouse=True)
def book_style():
    with mpl.rc_context():
        plots.style()
        yield
    plt.close("all")


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


def test_finish_takes_the_figure_from_pyplot_but_keeps_it_drawable():
    figure, axis = plt.subplots()
    axis.plot([0, 1])
    assert plots._finish(figure) is figure
    assert plt.get_fignums() == []
    figure.canvas.draw()


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


def test_index_stream_writes_every_index_and_marks_passes_and_epochs():
    streams = {"small": (np.array([2, 0, 1, 1, 2, 0]), 2), "large": (np.array([0, 2, 1, 2]), 4)}
    figure = plots.index_stream(streams, range_size=3)
    small, large = ([text.get_text() for text in axis.texts] for axis in figure.axes)
    assert small[:6] == ["2", "0", "1", "1", "2", "0"]
    assert small[6:] == ["pass 1", "pass 2", "epoch 1", "epoch 2", "epoch 3"]
    assert large == ["0", "2", "1", "2", "pass 1", "pass 2 ...", "epoch 1"]
    cells = [to_rgb(patch.get_facecolor()) for patch in figure.axes[0].patches]
    assert cells == [to_rgb(plots.COLORS[index]) for index in streams["small"][0]]


def test_shuffle_orders_draws_every_position_in_its_turn():
    order = np.array([3, 1, 0, 2])
    figure = plots.shuffle_orders({"a": order, "b": order[::-1]})
    drawn = [axis.lines[0].get_ydata() for axis in figure.axes]
    np.testing.assert_array_equal(drawn, [order, order[::-1]])


def test_outcome_counts_draws_the_counts_beside_the_expected_one():
    figure = plots.outcome_counts({"a": np.array([9, 11]), "b": np.array([10, 12])}, "xy", 10)
    axis = figure.axes[0]
    expected, *samples = [list(line.get_ydata()) for line in axis.lines]
    assert expected == [10, 10]
    assert samples == [[9, 11], [10, 12]]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["x", "y"]
    nearest = [np.round(line.get_xdata()) for line in axis.lines[1:]]
    np.testing.assert_array_equal(nearest, [[0, 1], [0, 1]])


def test_times_seen_stacks_shares_that_add_up_to_all_images():
    table = np.array([[0, 1, 0, 1], [1, 1, 2, 7]])
    figure = plots.times_seen({"queue": table})
    bars = np.array([[bar.get_height() for bar in bars] for bars in figure.axes[0].containers])
    np.testing.assert_allclose(bars.sum(axis=0), 1)
    np.testing.assert_allclose(bars[:, 0], [0.5, 0.5, 0, 0, 0])
    np.testing.assert_allclose(bars[:, 1], [0, 0.5, 0.25, 0, 0.25])


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


def test_training_curves_average_the_steps_and_mark_changes_of_the_rate():
    steps = np.arange(1, 31)
    metrics = {
        "step": steps.astype(float),
        "total": np.full(30, 3.0),
        "cross_entropy": np.linspace(3, 1, 30),
        "weight_decay": np.full(30, 100.0),
        "center_loss": np.full(30, 100.0),
        "accuracy": np.linspace(0, 1, 30),
        "learning_rate": np.where(steps <= 20, 1e-2, 1e-3),
    }
    evaluations = {"step": np.array([15.0, 30.0]), "accuracy": np.array([0.6, 0.8])}
    factors = {"cross_entropy": 1.0, "center_loss": 0.0, "weight_decay": 0.5}
    figure = plots.training_curves(metrics, evaluations, factors, {"pixels": 0.55}, window=10)
    losses, rates = figure.axes
    lines = {line.get_label(): line for line in losses.lines}
    assert not any("center" in label for label in lines)
    np.testing.assert_allclose(lines["weight decay x 0.5"].get_ydata(), 50.0)
    first = lines["cross entropy x 1"]
    assert first.get_xdata()[0] == 10
    np.testing.assert_allclose(first.get_ydata()[0], metrics["cross_entropy"][:10].mean())
    assert 20 in [line.get_xdata()[0] for line in losses.lines]
    assert [text.get_text().strip() for text in losses.texts] == ["0.01", "0.001"]
    np.testing.assert_array_equal(rates.lines[1].get_ydata(), [0.6, 0.8])
    assert set(rates.lines[2].get_ydata()) == {0.55}


STEPS, EPOCH = 120, 30


def softmax_tables():
    """The tables of a run of four epochs, with numbers that are easy to find again."""
    step = np.arange(1.0, STEPS + 1)
    metrics = {
        "epoch": np.floor((step - 1) / EPOCH),
        "step": step,
        "learning_rate": np.where(step <= 60, 0.05, 0.0005),
        "total": 1 + 100 / step,
        "cross_entropy": 100 / step,
        "center_loss": np.zeros(STEPS),
        "prelogits_norm": 50 + step,
        "weight_decay": 900 - step,
        "accuracy": step / STEPS,
        "images_per_second": 200 + step % 7,
    }
    ends = np.array([30.0, 60, 90, 120])
    evaluations = {
        "epoch": ends / EPOCH,
        "step": ends,
        "minutes": ends / 60,
        "accuracy": np.array([0.6, 0.7, 0.8, 0.85]),
        "standard_error": np.array([0.02, 0.01, 0.01, 0.01]),
        "validation_rate": np.array([0.1, 0.2, 0.3, 0.4]),
    }
    validations = {
        "epoch": ends[1::2] / EPOCH,
        "step": ends[1::2],
        "minutes": ends[1::2] / 60,
        "cross_entropy": np.array([3.0, 2.0]),
        "accuracy": np.array([0.3, 0.5]),
    }
    counts = np.zeros((4, 50), np.int64)
    counts[:, 0], counts[:2, 7] = 90, 30
    prelogits = (np.array([0, 1, 2, 3]), np.linspace(0, 10, 51), counts)
    return metrics, evaluations, validations, prelogits


def triplet_tables():
    metrics, evaluations, _, prelogits = softmax_tables()
    step = metrics["step"]
    named = {
        **{name: metrics[name] for name in ("epoch", "step", "learning_rate", "total")},
        "triplet_loss": 0.2 / np.sqrt(step),
        "active_fraction": 1 / step,
        "triplets": 60 - step / 4,
        "spread": step / STEPS - 0.5,
        **{name: metrics[name] for name in ("prelogits_norm", "weight_decay")},
        "images_per_second": metrics["images_per_second"],
    }
    return named, evaluations, None, prelogits


def tables_of_people_held_out():
    metrics, evaluations, _, prelogits = softmax_tables()
    return metrics, evaluations, evaluations, prelogits


def strips(figure):
    return {axis.get_title(loc="left"): axis for axis in figure.axes}


def averaged(values, window):
    """The mean of every ``window`` neighbours, one after the other."""
    return [np.mean(values[i : i + window]) for i in range(len(values) - window + 1)]


def test_run_report_has_a_strip_for_all_that_a_softmax_run_measured():
    metrics, evaluations, validations, prelogits = softmax_tables()
    found = strips(plots.run_report(metrics, evaluations, validations, prelogits))
    assert list(found) == [
        *("loss", "penalties", "learning rate", "accuracy", "images per second"),
        *("accuracy on pairs", "validation rate on pairs", "absolute prelogits"),
    ]
    labels = {title: [line.get_label() for line in found[title].lines] for title in found}
    # The center loss, which is not computed, stands in the table as zeros.
    assert labels["loss"] == ["total", "cross entropy", "cross entropy, validation"]
    assert labels["penalties"] == ["prelogits norm", "weight decay"]
    assert labels["accuracy"] == ["training", "validation"]
    total, entropy, held_out = found["loss"].lines
    assert to_rgb(total.get_color()) == to_rgb(plots.GREY)
    np.testing.assert_allclose(entropy.get_ydata(), averaged(metrics["cross_entropy"], 2))
    np.testing.assert_array_equal(entropy.get_xdata(), metrics["step"][1:])
    assert held_out.get_color() == entropy.get_color()
    np.testing.assert_array_equal(held_out.get_xydata(), [[60, 3.0], [120, 2.0]])
    np.testing.assert_array_equal(found["accuracy"].lines[1].get_ydata(), [0.3, 0.5])
    (rate,) = found["learning rate"].lines
    np.testing.assert_array_equal(rate.get_ydata(), metrics["learning_rate"])
    np.testing.assert_array_equal(
        found["validation rate on pairs"].lines[0].get_ydata(), evaluations["validation_rate"]
    )
    band = found["accuracy on pairs"].collections[0].get_paths()[0].vertices
    np.testing.assert_allclose([band[:, 1].min(), band[:, 1].max()], [0.58, 0.86])
    scales = {title: axis.get_yscale() for title, axis in found.items()}
    logarithmic = {title for title, scale in scales.items() if scale == "log"}
    assert logarithmic == {"loss", "penalties", "learning rate"}


def test_run_report_draws_an_epochs_prelogits_over_its_steps():
    metrics, _, _, prelogits = softmax_tables()
    axis = strips(plots.run_report(metrics, prelogits=prelogits))["absolute prelogits"]
    (mesh,) = axis.collections
    corners = mesh.get_coordinates()
    np.testing.assert_array_equal(corners[0, :, 0], [0, 30, 60, 90, 120])
    np.testing.assert_allclose(corners[:, 0, 1], prelogits[1])
    shares = mesh.get_array()
    assert shares.shape == (50, 4)
    np.testing.assert_allclose(shares[0], [0.75, 0.75, 1.0, 1.0])
    np.testing.assert_allclose(shares[7, :2], 0.25)
    assert shares.mask.sum() == 50 * 4 - 6
    assert axis.get_ylim() == pytest.approx((0, 1.6))  # up to the highest that is counted


def test_run_report_takes_the_terms_of_a_triplet_run_from_its_columns():
    metrics, evaluations, _, prelogits = triplet_tables()
    found = strips(plots.run_report(metrics, evaluations, None, prelogits))
    assert list(found) == [
        *("loss", "penalties", "learning rate", "active fraction", "triplets", "spread"),
        *("images per second", "accuracy on pairs", "validation rate on pairs"),
        "absolute prelogits",
    ]
    assert [line.get_label() for line in found["loss"].lines] == ["total", "triplet loss"]
    for title, name in (("active fraction", "active_fraction"), ("spread", "spread")):
        (line,) = found[title].lines
        np.testing.assert_allclose(line.get_ydata(), averaged(metrics[name], 2))
        assert found[title].get_yscale() == "linear"
        assert found[title].get_legend() is None
    assert found["active fraction"].get_ylim()[0] == 0
    assert found["spread"].get_ylim()[0] < -0.45  # nothing below zero is cut off


def test_run_report_draws_validations_of_people_held_out_beside_the_evaluations():
    """Their accuracy is one of pairs, and not that of naming training images."""
    metrics, evaluations, *_ = softmax_tables()
    held_out = evaluations | {"accuracy": evaluations["accuracy"] - 0.05}
    found = strips(plots.run_report(metrics, evaluations, held_out))
    assert len(found["accuracy"].lines) == 1
    for column in ("accuracy", "validation rate"):
        evaluated, validated = found[f"{column} on pairs"].lines
        labels = (evaluated.get_label(), validated.get_label())
        assert labels == ("evaluation", "people held out")
        name = column.replace(" ", "_")
        np.testing.assert_array_equal(evaluated.get_ydata(), evaluations[name])
        np.testing.assert_array_equal(validated.get_ydata(), held_out[name])
    alone = strips(plots.run_report(metrics, None, held_out))["accuracy on pairs"]
    np.testing.assert_array_equal(alone.lines[0].get_ydata(), held_out["accuracy"])


def test_run_report_leaves_out_what_is_not_there():
    metrics, evaluations, validations, prelogits = softmax_tables()
    begun = {name: column[:1] for name, column in metrics.items()}
    empty = [{name: column[:0] for name, column in t.items()} for t in (evaluations, validations)]
    nothing = (prelogits[0][:0], prelogits[1], prelogits[2][:0])
    for rest in ((), (*empty, nothing)):
        found = strips(plots.run_report(begun, *rest))
        assert list(found)[-1] == "images per second"
        assert [line.get_label() for line in found["loss"].lines] == ["total", "cross entropy"]
        assert found["loss"].lines[1].get_ydata().tolist() == [100.0]
    with pytest.raises(FacenetError, match="run_report: expected the metrics of at least one step"):
        plots.run_report({name: column[:0] for name, column in metrics.items()})


@pytest.mark.parametrize(("rows", "ended"), [(120, [1, 2, 3, 4]), (119, [1, 2, 3]), (40, [1])])
def test_run_report_says_which_epochs_were_made(rows, ended):
    metrics = {name: column[:rows] for name, column in softmax_tables()[0].items()}
    lowest = plots.run_report(metrics).axes[4]
    (below,) = lowest.child_axes
    np.testing.assert_array_equal(below.get_xticks(), [EPOCH * epoch for epoch in ended])
    assert [label.get_text() for label in below.get_xticklabels()] == [str(e) for e in ended]
    assert lowest.get_xlabel() == "step"


def test_run_report_of_many_epochs_marks_some():
    metrics, *_ = softmax_tables()
    many = {name: np.tile(column, 10) for name, column in metrics.items()}
    many["step"] = np.arange(1.0, 1201)
    many["epoch"] = np.floor(np.arange(1200) / 5)
    (below,) = plots.run_report(many).axes[4].child_axes
    assert [label.get_text() for label in below.get_xticklabels()] == ["50", "100", "150", "200"]
    np.testing.assert_array_equal(below.get_xticks(), [250, 500, 750, 1000])


def written_texts(figure):
    """All texts that are seen, with the box of each in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    beyond = set()  # labels of ticks that are not drawn, as they lie outside of what is shown
    for axis in figure.findobj(mpl.axis.Axis):
        low, high = sorted(axis.get_view_interval())
        ticks = [tick for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]
        beyond |= {label for tick in ticks for label in (tick.label1, tick.label2)}
    texts = [
        text
        for text in figure.findobj(mpl.text.Text)
        if text.get_visible() and text.get_text().strip() and text not in beyond
    ]
    return [(text, text.get_window_extent(canvas.get_renderer())) for text in texts]


@pytest.mark.parametrize("tables", [softmax_tables, triplet_tables, tables_of_people_held_out])
def test_a_run_report_can_be_read_on_a_phone(tables):
    figure = plots.run_report(*tables())
    texts = written_texts(figure)
    assert len(texts) > 30
    scale = 360 / figure.bbox.width
    for text, box in texts:
        assert to_rgb(text.get_color()) == to_rgb(plots.GREY)
        assert text.get_size() / 72 * figure.dpi * scale >= 9, text.get_text()
        assert box.x0 > -1 and box.x1 < figure.bbox.width + 1, text.get_text()
    for (one, box), (other, beside) in combinations(texts, 2):
        assert not box.padded(-2).overlaps(beside.padded(-2)), (one.get_text(), other.get_text())
    for axis in figure.axes:  # nothing is written on what is drawn
        covering = [text.get_text() for text, box in texts if box.padded(-2).overlaps(axis.bbox)]
        assert not covering


def test_run_comparison_draws_one_column_of_each_table():
    metrics, _, validations, _ = softmax_tables()
    (axis,) = plots.run_comparison({"seen": metrics, "held out": validations}, "accuracy").axes
    seen, held_out = axis.lines
    np.testing.assert_allclose(seen.get_ydata(), averaged(metrics["accuracy"], 2))
    np.testing.assert_array_equal(held_out.get_xydata(), [[60, 0.3], [120, 0.5]])
    assert (seen.get_marker(), held_out.get_marker()) == ("None", "o")
    assert [line.get_label() for line in axis.lines] == ["seen", "held out"]
    assert axis.get_yscale() == "linear"
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("step", "accuracy")


def test_run_comparison_shows_a_bad_run_and_a_good_one_on_one_axis():
    metrics, evaluations, *_ = softmax_tables()
    worse = metrics | {"total": np.exp(metrics["step"] / 10)}
    (axis,) = plots.run_comparison({"good": metrics, "bad": worse}, "total").axes
    assert axis.get_yscale() == "log"
    runs = {"one": evaluations, "other": evaluations}
    (axis,) = plots.run_comparison(runs, "validation_rate", against="minutes").axes
    np.testing.assert_array_equal(axis.lines[0].get_xdata(), evaluations["minutes"])
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("minutes", "validation rate")


def test_run_comparison_names_the_tables_that_lack_a_column():
    metrics, evaluations, *_ = softmax_tables()
    with pytest.raises(FacenetError) as caught:
        plots.run_comparison({"a": metrics, "b": evaluations, "c": {}}, "total", against="minutes")
    assert [line.strip() for line in str(caught.value).splitlines()[1:]] == [
        "a: expected a table with minutes",
        "b: expected a table with total",
        "c: expected a table with total",
        "c: expected a table with minutes",
    ]


ACCURACIES = {"softmax": [0.86, 0.88, 0.87], "triplet loss": [0.80, 0.84]}


def test_loss_comparison_has_a_row_for_each_loss_and_a_dot_for_each_run():
    (axis,) = plots.loss_comparison(ACCURACIES).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == list(ACCURACIES)
    assert [text.get_text() for text in axis.texts] == ["0.870", "0.820"]
    lines = [line.get_xydata() for line in axis.lines]
    for row, found in enumerate(ACCURACIES.values()):
        np.testing.assert_array_equal(lines[2 * row], [[accuracy, row] for accuracy in found])
        np.testing.assert_allclose(lines[2 * row + 1][:, 0], np.mean(found))
    low, high = axis.get_ylim()
    assert low > high  # the first row is on top


def test_loss_comparison_sets_accuracies_against_minutes():
    minutes = {"triplet loss": [20.0, 24], "softmax": [9.0, 10, 11]}
    figure = plots.loss_comparison(ACCURACIES, minutes)
    (axis,) = figure.axes
    lines = [line.get_xydata() for line in axis.lines]
    for row, (loss, found) in enumerate(ACCURACIES.items()):
        np.testing.assert_array_equal(lines[2 * row], np.transpose([minutes[loss], found]))
        np.testing.assert_allclose(
            lines[2 * row + 1].mean(axis=0), [np.mean(minutes[loss]), np.mean(found)]
        )
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["softmax 0.870", "triplet loss 0.820"]


@pytest.mark.parametrize(
    ("accuracies", "minutes", "told"),
    [
        ({"softmax": []}, None, "softmax"),
        (ACCURACIES, {"softmax": [1, 2, 3]}, "triplet loss"),
        (ACCURACIES, {"softmax": [1, 2], "triplet loss": [1, 2]}, "softmax"),
    ],
)
def test_loss_comparison_needs_runs_with_all_that_is_drawn(accuracies, minutes, told):
    with pytest.raises(FacenetError, match=f"loss_comparison: {told}: expected runs"):
        plots.loss_comparison(accuracies, minutes)


def test_negatives_on_a_line_have_the_colour_of_their_kind():
    to_negatives = np.array([0.05, 0.2, 0.25, 0.6])
    (axis,) = plots.negatives_on_a_line(0.1, to_negatives, margin=0.2).axes
    hard, semi_hard, easy, positive = axis.lines
    np.testing.assert_array_equal(hard.get_xdata(), [0.05])
    np.testing.assert_array_equal(semi_hard.get_xdata(), [0.2, 0.25])
    np.testing.assert_array_equal(easy.get_xdata(), [0.6])
    np.testing.assert_array_equal(positive.get_xdata(), [0.1])
    assert len({line.get_color() for line in axis.lines}) == 4
    stretches = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axis.patches]
    np.testing.assert_allclose(stretches, [(0, 0.1), (0.1, 0.3), (0.3, axis.get_xlim()[1])])
    named = [text.get_text() for text in axis.texts]
    assert named == ["hard", "semi-hard", "easy", "positive"]


def test_accuracy_over_time_has_a_band_of_one_standard_error():
    evaluations = {
        "minutes": np.array([1.0, 2.0]),
        "accuracy": np.array([0.7, 0.8]),
        "standard_error": np.array([0.02, 0.01]),
    }
    (axis,) = plots.accuracy_over_time(evaluations, {"raw pixels": 0.6}).axes
    np.testing.assert_array_equal(axis.lines[0].get_ydata(), [0.7, 0.8])
    assert set(axis.lines[1].get_ydata()) == {0.6}
    band = axis.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose([band[:, 1].min(), band[:, 1].max()], [0.68, 0.81])


def test_threshold_sweep_shows_every_distance_in_its_row_and_the_cut_on_the_roc():
    measured, issame = np.array([1.0, 2, 5, 4, 8, 9]), np.array([1, 1, 1, 0, 0, 0], bool)
    line, roc = plots.threshold_sweep(measured, issame, 5.0).axes
    different, same = line.lines[1:]
    np.testing.assert_array_equal(same.get_xdata(), [1, 2, 5])
    np.testing.assert_array_equal(different.get_xdata(), [4, 8, 9])
    curve = np.transpose(roc.lines[0].get_data())
    by_hand = [(0, 0), (0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (3, 3)]
    np.testing.assert_allclose(curve, np.array(by_hand) / 3)
    np.testing.assert_allclose(np.ravel(roc.lines[1].get_data()), [1 / 3, 2 / 3])


def test_threshold_choice_draws_a_line_for_each_way_and_the_best_possible():
    figure = plots.threshold_choice([10, 100], {"own": [0.9, 0.8], "others": [0.7, 0.77]}, 0.78)
    (axis,) = figure.axes
    assert [line.get_label() for line in axis.lines] == ["own", "others", "best possible"]
    np.testing.assert_array_equal(axis.lines[1].get_ydata(), [0.7, 0.77])
    assert [label.get_text() for label in axis.get_xticklabels()] == ["10", "100"]


def test_pair_sheet_joins_two_images_in_a_frame_of_the_answers_colour():
    images = np.arange(4 * 8 * 6 * 3, dtype=np.uint8).reshape(4, 8, 6, 3)
    pairs = [(images[0], images[1]), (images[2], images[3])]
    figure = plots.pair_sheet(pairs, ["Ann", "Bob, Cy"], [True, False], columns=2)
    expected = zip(pairs, ["Ann", "Bob, Cy"], plots.COLORS[:2], strict=True)
    for axis, (pair, title, color) in zip(figure.axes, expected, strict=True):
        np.testing.assert_array_equal(axis.get_images()[0].get_array(), np.hstack(pair))
        assert to_rgb(axis.patches[0].get_edgecolor()) == to_rgb(color)
        assert axis.texts[0].get_text() == title


def test_pair_distances_counts_every_pair_in_its_class():
    distances, issame = np.array([0.1, 0.2, 0.3, 0.9, 1.0]), np.array([1, 1, 1, 0, 0], bool)
    figure = plots.pair_distances({"a": distances, "b": 2 * distances}, issame, [0.5, 1.0])
    for axis, threshold in zip(figure.axes, (0.5, 1.0), strict=True):
        heights = [[bar.get_height() for bar in bars] for bars in axis.containers]
        assert [sum(counts) for counts in heights] == [3, 2]
        assert axis.lines[0].get_xdata()[0] == threshold


def test_threshold_trade_says_which_share_of_the_pairs_is_on_the_wrong_side():
    issame = np.arange(20) < 10
    measured = np.concatenate([np.linspace(0.05, 0.95, 10), np.linspace(0.55, 1.45, 10)])
    figure = plots.threshold_trade(measured, issame, {"even": 0.8, "careful": 0.6})
    counts, errors = figure.axes
    assert [sum(bar.get_height() for bar in bars) for bars in counts.containers] == [10, 10]
    refused, taken = (line.get_xydata() for line in errors.lines[:2])
    for cut, share in refused:
        assert share == pytest.approx(np.mean(measured[:10] >= cut))
    for cut, share in taken:
        assert share == pytest.approx(np.mean(measured[10:] < cut))
    dots = [line.get_xydata()[0] for line in errors.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots, [(0.8, 0.2), (0.8, 0.3), (0.6, 0.4), (0.6, 0.1)])
    assert [line.get_xdata()[0] for line in counts.lines] == [0.8, 0.6]


def test_throughput_starts_at_zero_and_names_the_batch_sizes():
    figure = plots.throughput([1, 4, 16], {"one": [10, 20, 25], "other": [5, 6, 7]})
    (axis,) = figure.axes
    assert axis.get_ylim()[0] == 0
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "4", "16"]
    np.testing.assert_array_equal(axis.lines[1].get_ydata(), [5, 6, 7])


def test_service_load_counts_clients_and_weighs_batches_by_their_images():
    latencies = {"p50": [5.0, 8, 20], "p99": [6.0, 12, 50]}
    formed = [{1: 7}, {1: 2, 2: 3}, {4: 5}]
    left, right = plots.service_load([1, 2, 8], [100.0, 150, 160], latencies, formed).axes
    for line, values in zip(left.lines, latencies.values(), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.transpose([[100, 150, 160], values]))
    assert [text.get_text() for text in left.texts] == ["1", "2", "8"] * 2
    assert left.get_xlim()[0] == left.get_ylim()[0] == 0
    assert [label.get_text() for label in right.get_xticklabels()] == ["1", "2", "8"]
    for position, (dots, counts) in enumerate(zip(right.collections, formed, strict=True)):
        np.testing.assert_array_equal(dots.get_offsets(), [[position, size] for size in counts])
    one, two = right.collections[1].get_sizes()
    assert two == pytest.approx(3 * one)  # six images against two


def test_answers_over_time_have_the_colour_of_their_version():
    versions = np.array([1, 1, 2])
    seconds, milliseconds = np.array([0.0, 1, 2]), np.array([5.0, 6, 9])
    figure = plots.answers_over_time(seconds, milliseconds, versions, {"copied": 0.5, "gone": 1.5})
    (axis,) = figure.axes
    first, second, copied, gone = axis.lines
    np.testing.assert_array_equal(first.get_xydata(), [[0, 5], [1, 6]])
    np.testing.assert_array_equal(second.get_xydata(), [[2, 9]])
    assert first.get_color() != second.get_color()
    assert (first.get_label(), second.get_label()) == ("version 1", "version 2")
    assert [copied.get_xdata()[0], gone.get_xdata()[0]] == [0.5, 1.5]
    assert [text.get_text().strip() for text in axis.texts] == ["copied", "gone"]


def test_roc_curves_draw_every_result_and_guessing():
    embeddings = np.random.default_rng(0).standard_normal((80, 3))
    result = evaluate(embeddings, np.arange(40) % 2 == 0, folds=4)
    figure = plots.roc_curves({"one": result, "other": result})
    for axis in figure.axes:
        assert [line.get_label() for line in axis.lines] == ["one", "other", "guessing"]
        np.testing.assert_array_equal(axis.lines[0].get_xdata(), result.false_positive_rates)
    assert figure.axes[1].get_xlim()[0] == 1 / result.different_pairs


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


def test_accuracies_shows_each_with_its_error_and_its_runs():
    measured = {"frozen": (0.8, 0.01), "fine-tuned": (0.9, 0.02)}
    runs = {"fine-tuned": [0.88, 0.91, 0.91]}
    (axis,) = plots.accuracies(measured, runs).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == list(measured)
    assert [text.get_text() for text in axis.texts] == ["0.800 ± 0.010", "0.900 ± 0.020"]
    drawn = [line.get_xydata().tolist() for line in axis.lines]
    for row, (label, (accuracy, error)) in enumerate(measured.items()):
        assert [[accuracy, row]] in drawn
        assert [[single, row] for single in runs.get(label, [])] in drawn
        (ends,) = axis.containers[row].lines[2][0].get_segments()
        np.testing.assert_allclose(ends, [[accuracy - error, row], [accuracy + error, row]])
    low, high = axis.get_ylim()
    assert low > high  # the first row is on top
