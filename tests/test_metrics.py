import numpy as np
import pytest
import tensorflow as tf
from toy_training import full_disk

from facenet_lib.errors import FacenetError
from facenet_lib.metrics import RATES, MetricsFiles, last_evaluation, read_metrics

TERMS = ("total", "cross_entropy", "center_loss", "prelogits_norm", "weight_decay")


def step_row(step):
    figures = {name: step + number / 7 for number, name in enumerate(TERMS)}
    rest = {"learning_rate": 1e-3, "accuracy": 0.5, "images_per_second": 64.25}
    return {"epoch": step // 3, "step": step} | figures | rest


def evaluation_row(step):
    rates = {name: step / (number + 3) for number, name in enumerate(RATES)}
    return {"epoch": step // 3, "step": step, "minutes": step / 60} | rates


def write(run, steps, after=0):
    with MetricsFiles(run, after) as files:
        for step in steps:
            files.add_step(step_row(step))
            if step % 3 == 0:
                files.add_evaluation(evaluation_row(step))


def scalars(run):
    """TensorBoard's files read without TensorBoard: tag -> step -> value."""
    found = {}
    for path in sorted((run / "tensorboard").iterdir()):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
    return found


def test_tables_and_tensorboard_hold_what_was_added(tmp_path):
    write(tmp_path, range(1, 7))
    table, tensorboard = read_metrics(tmp_path / "metrics.csv"), scalars(tmp_path)
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


def test_large_steps_are_written_to_the_last_digit(tmp_path):
    write(tmp_path, [123456789, 123456790])
    assert read_metrics(tmp_path / "metrics.csv")["step"].tolist() == [123456789, 123456790]


def test_rows_after_the_checkpoint_are_dropped_and_the_others_kept_to_the_byte(tmp_path):
    write(tmp_path, range(1, 10))
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    write(tmp_path, [5, 6], after=4)
    again = (tmp_path / "metrics.csv").read_text().splitlines()
    assert again == lines[:7]
    assert read_metrics(tmp_path / "evaluations.csv")["step"].tolist() == [3, 6]


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
    assert {len(column) for column in read_metrics(tmp_path / "metrics.csv").values()} == {0}


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
