import numpy as np
import pytest
from table_rows import (
    COLUMNS,
    TERMS,
    VALIDATION,
    add_rows,
    prelogits_counts,
    step_row,
    validation_row,
)
from toy_training import full_disk

from facenet_lib.errors import FacenetError
from facenet_lib.runs.tables import (
    METRICS_FILE,
    RunTables,
    last_row,
    read_metrics,
    read_prelogits_histograms,
)


def write(run, steps, after=0):
    with RunTables(run, after, COLUMNS, VALIDATION) as tables:
        add_rows(tables, steps)


def test_the_tables_hold_what_was_added(tmp_path):
    write(tmp_path, range(1, 7))
    table = read_metrics(tmp_path / "metrics.csv")
    assert list(table) == [
        *("epoch", "step", "learning_rate", *TERMS, "accuracy", "images_per_second")
    ]
    for name, column in table.items():
        expected = [step_row(step)[name] for step in range(1, 7)]
        np.testing.assert_allclose(column, expected, rtol=1e-6)
    assert read_metrics(tmp_path / "evaluations.csv")["step"].tolist() == [3, 6]


def test_the_caller_says_what_is_measured(tmp_path):
    """Here a run with another loss, whose figures have other names."""
    columns = ("total", "triplet_loss", "active_fraction")
    row = {"epoch": 0, "step": 1, "learning_rate": 0.1, "unused": 9}
    with RunTables(tmp_path, 0, columns) as files:
        files.add(METRICS_FILE, row | dict.fromkeys(columns, 0.25))
    assert (tmp_path / "metrics.csv").read_text().splitlines() == [
        "epoch,step,learning_rate,total,triplet_loss,active_fraction",
        "0,1,0.1,0.25,0.25,0.25",
    ]


def test_a_table_of_other_columns_is_refused_and_left_alone(tmp_path):
    write(tmp_path, [1, 2, 3])
    before = {path: path.read_bytes() for path in tmp_path.glob("*.csv")}
    for columns, validation, name in (
        (COLUMNS[1:], VALIDATION, "metrics"),
        (COLUMNS, VALIDATION[::-1], "validations"),
    ):
        with pytest.raises(FacenetError, match=rf"{name}\.csv: expected the columns epoch, step"):
            RunTables(tmp_path, 3, columns, validation)
    assert {path: path.read_bytes() for path in tmp_path.glob("*.csv")} == before


def test_validations_have_a_table_where_there_are_any(tmp_path):
    with RunTables(tmp_path, 0, COLUMNS):
        assert not (tmp_path / "validations.csv").exists()
    assert last_row(tmp_path / "validations.csv", 9) is None
    write(tmp_path, range(1, 10))
    table = read_metrics(tmp_path / "validations.csv")
    assert list(table) == ["epoch", "step", "minutes", *VALIDATION]
    assert table["step"].tolist() == table["accuracy"].tolist() == [3, 6, 9]
    assert last_row(tmp_path / "validations.csv", 8) == validation_row(6)


def test_prelogits_histograms_are_kept_to_the_last_digit(tmp_path):
    write(tmp_path, range(1, 10))
    epochs, edges, counts = read_prelogits_histograms(tmp_path / "prelogits.csv")
    assert epochs.tolist() == [0, 1, 2]
    np.testing.assert_allclose(edges, [number / 5 for number in range(51)])
    np.testing.assert_array_equal(counts, [prelogits_counts(step) for step in (3, 6, 9)])
    header = (tmp_path / "prelogits.csv").read_text().splitlines()[0].split(",")
    assert header[:5] + header[-1:] == ["epoch", "step", "0.0", "0.2", "0.4", "9.8"]


@pytest.mark.parametrize(
    "wrong", [np.zeros(50), np.zeros(51, int), np.zeros((50, 1), int), np.full(50, -1), np.empty(0)]
)
def test_what_is_no_count_of_prelogits_is_refused(tmp_path, wrong):
    with (
        RunTables(tmp_path, 0, COLUMNS) as files,
        pytest.raises(FacenetError, match=r"prelogits: expected 50 counts, .* found array\("),
    ):
        files.add_prelogits(0, 6, wrong)
    assert read_prelogits_histograms(tmp_path / "prelogits.csv")[2].shape == (0, 50)


def test_another_table_is_no_histogram(tmp_path):
    write(tmp_path, [1, 2, 3])
    with pytest.raises(
        FacenetError, match=r"metrics\.csv: expected the columns 0\.0, 0\.2, .*, found epoch"
    ):
        read_prelogits_histograms(tmp_path / "metrics.csv")


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
    assert last_row(tmp_path / "evaluations.csv", 9) is None
    write(tmp_path, range(1, 7))
    assert last_row(tmp_path / "evaluations.csv", 2) is None
    assert last_row(tmp_path / "evaluations.csv", 5)["step"] == 3
    assert last_row(tmp_path / "evaluations.csv", 6)["step"] == 6


def test_a_table_can_be_read_before_its_first_row(tmp_path):
    write(tmp_path, [])
    for name in ("metrics", "evaluations", "validations", "prelogits"):
        assert {len(column) for column in read_metrics(tmp_path / f"{name}.csv").values()} == {0}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"epoch,step\n1,2\n1,x\n1\n1,2,3\n", "3 problems"),
        (b"epoch,step\n\xff,2\n", "found byte 0xff at position 1 of line 2"),
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
    (tmp_path / "run").touch()
    with pytest.raises(FacenetError, match="cannot be written"):
        write(tmp_path / "run", [1])


def test_a_full_disk_while_writing_rows_is_told_and_leaves_whole_rows(tmp_path):
    with full_disk(2000), pytest.raises(FacenetError, match=r"cannot be .*File too large"):
        write(tmp_path, range(1, 100))
    steps = read_metrics(tmp_path / "metrics.csv")["step"].tolist()
    assert 0 < len(steps) < 99
    assert steps == list(range(1, len(steps) + 1))
