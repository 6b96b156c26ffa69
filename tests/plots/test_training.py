from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from facenet_lib import plots
from facenet_lib.errors import FacenetError

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


@pytest.mark.slow
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


def test_run_comparison_has_room_for_long_labels():
    metrics, *_ = softmax_tables()
    figure = plots.run_comparison(
        {f"{word} " * 6: metrics for word in ("first", "second")}, "total"
    )
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert legend.get_window_extent().x0 >= 0
    assert legend.get_window_extent().x1 <= figure.bbox.width


def test_run_comparison_has_no_half_steps():
    short = {"step": np.arange(1, 4), "total": np.ones(3), "minutes": np.array([0.1, 0.2, 0.3])}
    (axis,) = plots.run_comparison({"run": short}, "total").axes
    assert all(tick == int(tick) for tick in axis.get_xticks())
    (axis,) = plots.run_comparison({"run": short}, "total", against="minutes").axes
    assert any(tick != int(tick) for tick in axis.get_xticks())


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
