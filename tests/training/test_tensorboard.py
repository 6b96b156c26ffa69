"""What a run measures, as TensorBoard's files hold it, and the tables beside them."""

import numpy as np
import pytest
import tensorflow as tf
from table_rows import COLUMNS, VALIDATION, add_rows, prelogits_counts
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from toy_training import full_disk

from facenet_lib.errors import FacenetError
from facenet_lib.runs.tables import METRICS_FILE, RATES, read_metrics
from facenet_lib.training.tensorboard import MetricsFiles


def write(run, steps, after=0):
    with MetricsFiles(run, after, COLUMNS, VALIDATION) as files:
        add_rows(files, steps)


def summaries(run):
    """TensorBoard's files read without TensorBoard: tag -> step -> value."""
    found = {}
    for path in sorted((run / "tensorboard").iterdir()):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = tf.make_ndarray(value.tensor)
    return found


def test_tensorboard_holds_what_the_tables_do(tmp_path):
    write(tmp_path, range(1, 7))
    table, tensorboard = read_metrics(tmp_path / "metrics.csv"), summaries(tmp_path)
    for name, column in table.items():
        if name not in ("epoch", "step"):
            assert list(tensorboard[f"train/{name}"]) == list(range(1, 7))
            np.testing.assert_allclose(
                list(tensorboard[f"train/{name}"].values()), column, rtol=1e-6
            )
    evaluations = read_metrics(tmp_path / "evaluations.csv")
    for name in RATES:
        np.testing.assert_allclose(
            list(tensorboard[f"pairs/{name}"].values()), evaluations[name], rtol=1e-6
        )
    accuracy = tensorboard["validation/accuracy"]
    assert {step: float(value) for step, value in accuracy.items()} == {3: 3, 6: 6}


def test_what_is_not_measured_is_not_in_tensorboard(tmp_path):
    columns = ("total", "triplet_loss")
    row = {"epoch": 0, "step": 1, "learning_rate": 0.1, "unused": 9}
    with MetricsFiles(tmp_path, 0, columns) as files:
        files.add(METRICS_FILE, row | dict.fromkeys(columns, 0.25))
    assert set(summaries(tmp_path)) == {
        f"train/{name}" for name in ("learning_rate", "total", "triplet_loss")
    }


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


def test_a_file_in_place_of_a_folder_is_told(tmp_path):
    (tmp_path / "tensorboard").touch()
    with pytest.raises(FacenetError, match="cannot be written"):
        write(tmp_path, [1])
    (tmp_path / "run").touch()
    with pytest.raises(FacenetError, match="cannot be written"):
        write(tmp_path / "run", [1])


def test_a_full_disk_while_writing_is_told_and_leaves_whole_rows(tmp_path):
    with full_disk(2000), pytest.raises(FacenetError, match=r"cannot be .*File too large"):
        write(tmp_path, range(1, 100))
    steps = read_metrics(tmp_path / "metrics.csv")["step"].tolist()
    assert 0 < len(steps) < 99
    assert steps == list(range(1, len(steps) + 1))
