"""What a run says on standard error."""

import pytest
from toy_training import (
    changed,
    train,
)


@pytest.mark.slow
def test_progress_is_a_line_an_epoch_or_nothing(tmp_path, faces, pairs, capsys):
    config = changed(epoch_size=1, epochs=2)
    train(config, faces, tmp_path / "said", pairs)
    said = capsys.readouterr().err
    assert "epoch 1: loss" in said
    assert "epoch 2: loss" in said
    assert "pairs " in said
    train(config, faces, tmp_path / "silent", pairs, progress=False)
    assert capsys.readouterr() == ("", "")
