import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from toy_training import full_disk

from facenet_lib.errors import FacenetError
from facenet_lib.runs.tables import (
    RATES,
    MetricsFiles,
    last_evaluation,
    last_validation,
    read_metrics,
    read_prelogits_histograms,
)

TERMS = ("total", "cross_entropy", "center_loss", "prelogits_norm", "weight_decay")
COLUMNS = (*TERMS, "accuracy", "images_per_second")
VALIDATION = ("cross_entropy", "accuracy")


def step_row(step):
    figures = {name: step + number / 7 for number, name in enumerate(TERMS)}
    rest = {"learning_rate": 1e-3, "accuracy": 0.5, "images_per_second": 64.25}
    return {"epoch": step // 3, "step": step} | figures | rest


def evaluation_row(step):
    rates = {name: step / (number + 3) for number, name in enumerate(RATES)}
    return {"epoch": step // 3, "step": step, "minutes": step / 60} | rates


def validation_row(step):
    return {"epoch": step // 3, "step": step, "minutes": 0.5, "cross_entropy": 3, "accuracy": step}


def prelogits_counts(step):
    return np.random.default_rng(step).integers(0, 10**9, 50)


def write(run, steps, after=0):
    """A row for each step and, in every other table, one for each third."""
    with MetricsFiles(run, after, COLUMNS, VALIDATION) as files:
        for step in steps:
            files.add_step(step_row(step))
            if step % 3 == 0:
                files.add_evaluation(evaluation_row(step))
                files.add_validation(validation_row(step))
                files.add_prelogits_histogram(step // 3 - 1, step, prelogits_counts(step))


def summaries(run):
    """TensorBoard's files read without TensorBoard: tag -> step -> value."""
    found = {}
    for path in sorted((run / "tensorboard").iterdir()):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = tf.make_ndarray(value.tensor)
    return found


def test_tables_and_tensorboard_hold_what_was_added(tmp_path):
    write(tmp_path, range(1, 7))
    table, tensorboard = read_metrics(tmp_path / "metrics.csv"), summaries(tmp_path)
    assert list(table) == [
        *("epoch", "step", "learning_rate", *TERMS, "accuracy", "images_per_second")
    ]
    for name, column in table.items():
        expected = [step_row(step)[name] for step in range(1, 7)]
        np.testing.assert_allclose(column, expected, rtol=1e-6)
        if name not in ("epoch", "step"):
            assert list(tensorboard[f"train/{name}"]) == list(range(1, 7))
            np.testing.assert_allclose(
                list(tensorboard[f"train/{name}"].values()), column, rtol=1e-6
            )
    evaluations = read_metrics(tmp_path / "evaluations.csv")
    assert evaluations["step"].tolist() == [3, 6]
    for name in RATES:
        np.testing.assert_allclose(
            list(tensorboard[f"pairs/{name}"].values()), evaluations[name], rtol=1e-6
        )


def test_the_caller_says_what_is_measured(tmp_path):
    """Here a run with another loss, whose figures have other names."""
    columns = ("total", "triplet_loss", "active_fraction")
    row = {"epoch": 0, "step": 1, "learning_rate": 0.1, "unused": 9}
    with MetricsFiles(tmp_path, 0, columns) as files:
        files.add_step(row | dict.fromkeys(columns, 0.25))
    assert (tmp_path / "metrics.csv").read_text().splitlines() == [
        "epoch,step,learning_rate,total,triplet_loss,active_fraction",
        "0,1,0.1,0.25,0.25,0.25",
    ]
    assert set(summaries(tmp_path)) == {
        f"train/{name}" for name in ("learning_rate", "total", "triplet_loss", "active_fraction")
    }


def test_a_table_of_other_columns_is_refused_and_left_alone(tmp_path):
    write(tmp_path, [1, 2, 3])
    before = {path: path.read_bytes() for path in tmp_path.glob("*.csv")}
    for columns, validation, name in (
        (COLUMNS[1:], VALIDATION, "metrics"),
        (COLUMNS, VALIDATION[::-1], "validations"),
    ):
        with pytest.raises(FacenetError, match=rf"{name}\.csv: expected the columns epoch, step"):
            MetricsFiles(tmp_path, 3, columns, validation)
    assert {path: path.read_bytes() for path in tmp_path.glob("*.csv")} == before


def test_validations_have_a_table_where_there_are_any(tmp_path):
    with MetricsFiles(tmp_path, 0, COLUMNS):
        assert not (tmp_path / "validations.csv").exists()
    assert last_validation(tmp_path, 9) is None
    write(tmp_path, range(1, 10))
    table = read_metrics(tmp_path / "validations.csv")
    assert list(table) == ["epoch", "step", "minutes", *VALIDATION]
    assert table["step"].tolist() == table["accuracy"].tolist() == [3, 6, 9]
    accuracy = summaries(tmp_path)["validation/accuracy"]
    assert {step: float(value) for step, value in accuracy.items()} == {3: 3, 6: 6, 9: 9}
    assert last_validation(tmp_path, 8) == validation_row(6)


def test_prelogits_histograms_are_kept_to_the_last_digit(tmp_path):
    write(tmp_path, range(1, 10))
    epochs, edges, counts = read_prelogits_histograms(tmp_path / "prelogits.csv")
    assert epochs.tolist() == [0, 1, 2]
    np.testing.assert_allclose(edges, [number / 5 for number in range(51)])
    np.testing.assert_array_equal(counts, [prelogits_counts(step) for step in (3, 6, 9)])
    header = (tmp_path / "prelogits.csv").read_text().splitlines()[0].split(",")
    assert header[:5] + header[-1:] == ["epoch", "step", "0.0", "0.2", "0.4", "9.8"]


def test_tensorboard_takes_the_counts_of_prelogits_for_a_histogram_of_its_own(tmp_path):
    write(tmp_path, [1, 2, 3])
    with MetricsFiles(tmp_path, 3, COLUMNS, VALIDATION) as files:
        files.add_histograms(3, {"its own": np.arange(9.0)})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    ours, its_own = (events.SummaryMetadata(tag) for tag in ("train/absolute_prelogits", "its own"))
    assert (ours.plugin_data, ours.data_class) == (its_own.plugin_data, its_own.data_class)
    buckets = summaries(tmp_path)["train/absolute_prelogits"][3]
    np.testing.assert_allclose(buckets[:, 0], [number / 5 for number in range(50)])
    np.testing.assert_allclose(buckets[:, 1], [number / 5 for number in range(1, 51)])
    np.testing.assert_array_equal(buckets[:, 2], prelogits_counts(3))


@pytest.mark.parametrize(
    "wrong", [np.zeros(50), np.zeros(51, int), np.zeros((50, 1), int), np.full(50, -1), np.empty(0)]
)
def test_what_is_no_count_of_prelogits_is_refused(tmp_path, wrong):
    with (
        MetricsFiles(tmp_path, 0, COLUMNS) as files,
        pytest.raises(FacenetError, match=r"prelogits: expected 50 counts, .* found array\("),
    ):
        files.add_prelogits_histogram(0, 6, wrong)
    assert read_prelogits_histograms(tmp_path / "prelogits.csv")[2].shape == (0, 50)


def test_another_table_is_no_histogram(tmp_path):
    write(tmp_path, [1, 2, 3])
    with pytest.raises(FacenetError, match=r"metrics\.csv: expected the columns epoch, step and"):
        read_prelogits_histograms(tmp_path / "metrics.csv")


def test_tensorboard_has_histograms_of_arrays(tmp_path):
    arrays = {"weights/kernel": np.arange(12.0).reshape(3, 4), "weights/bias": np.zeros(5)}
    with MetricsFiles(tmp_path, 0, COLUMNS) as files:
        files.add_histograms(7, arrays)
    found = summaries(tmp_path)
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        (step, bins), *_ = found[name].items()
        assert step == 7
        assert bins[:, 2].sum() == array.size
        assert (bins[0, 0], bins[-1, 1]) == (array.min(), array.max())


def test_large_steps_are_written_to_the_last_digit(tmp_path):
    write(tmp_path, [123456789, 123456790])
    assert read_metrics(tmp_path / "metrics.csv")["step"].tolist() == [123456789, 123456790]


def test_rows_after_the_checkpoint_are_dropped_and_the_others_kept_to_the_byte(tmp_path):
    write(tmp_path, range(1, 10))
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    write(tmp_path, [5, 6], after=4)
    again = (tmp_path / "metrics.csv").read_text().splitlines()
    assert again == lines[:7]
    for name in ("evaluations", "validations", "prelogits"):
        assert read_metrics(tmp_path / f"{name}.csv")["step"].tolist() == [3, 6]


@pytest.mark.parametrize("cut", [1, 3, 20])
def test_a_half_written_row_is_left_out_and_repaired(tmp_path, cut):
    write(tmp_path, range(1, 6))
    path = tmp_path / "metrics.csv"
    path.write_bytes(path.read_bytes()[:-cut])
    assert read_metrics(path)["step"].tolist() == [1, 2, 3, 4]
    write(tmp_path, [5], after=4)
    np.testing.assert_allclose(
        read_metrics(path)["total"], [step_row(step)["total"] for step in range(1, 6)], rtol=1e-6
    )


def test_the_last_evaluation_is_not_from_after_the_checkpoint(tmp_path):
    assert last_evaluation(tmp_path, 9) is None
    write(tmp_path, range(1, 7))
    assert last_evaluation(tmp_path, 2) is None
    assert last_evaluation(tmp_path, 5)["step"] == 3
    assert last_evaluation(tmp_path, 6)["step"] == 6


def test_a_table_can_be_read_before_its_first_row(tmp_path):
    write(tmp_path, [])
    for name in ("metrics", "evaluations", "validations", "prelogits"):
        assert {len(column) for column in read_metrics(tmp_path / f"{name}.csv").values()} == {0}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"epoch,step\n1,2\n1,x\n1\n1,2,3\n", "3 problems"),
        (b"epoch,step\n\xff,2\n", "found byte 11"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(tmp_path, content, told):
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    with pytest.raises(FacenetError, match=told):
        read_metrics(path)
    with pytest.raises(FacenetError, match=r"metrics\.csv"):
        write(tmp_path, [3], after=2)
    assert path.read_bytes() == content  # nothing is lost for having been refused


def test_what_is_missing_is_refused(tmp_path):
    with pytest.raises(FacenetError, match="No such file"):
        read_metrics(tmp_path / "metrics.csv")


def test_a_file_in_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "tensorboard").touch()
    with pytest.raises(FacenetError, match="cannot be written"):
        write(tmp_path, [1])
    (tmp_path / "run").touch()
    with pytest.raises(FacenetError, match="cannot be written"):
        write(tmp_path / "run", [1])


def test_a_full_disk_while_writing_rows_is_told_and_leaves_whole_rows(tmp_path):
    with full_disk(2000), pytest.raises(FacenetError, match=r"cannot be .*File too large"):
        write(tmp_path, range(1, 100))
    steps = read_metrics(tmp_path / "metrics.csv")["step"].tolist()
    assert 0 < len(steps) < 99
    assert steps == list(range(1, len(steps) + 1))
