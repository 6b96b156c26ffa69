"""Passes, batches and epochs: the script cuts the stream as a queue hands it out."""

from __future__ import annotations

import numpy as np
import pytest
from headless_chromium import in_browser
from running_scripts import evaluate_script, use_figure

from facenet_lib import explorables
from facenet_lib.errors import FacenetError
from facenet_lib.index_queue import IndexQueue

SEED = 4


def make(range_size: int = 5):
    stream = IndexQueue(range_size, SEED).dequeue_many(15)
    return explorables.index_stream({"3 at a time": (stream, 3)}, range_size, SEED)


def test_streams_are_those_of_queues():
    streams = make().data["streams"]
    assert list(map(int, streams)) == list(range(2, 13))
    for size, stream in streams.items():
        assert stream == IndexQueue(int(size), SEED).dequeue_many(len(stream)).tolist()


@pytest.mark.parametrize("range_size", [1, 13, 2.5])
def test_refuses_a_range_that_its_slider_does_not_have(range_size):
    with pytest.raises(FacenetError, match="range_size: expected"):
        explorables.index_stream({"one": ([0, 1], 1)}, range_size, SEED)


@pytest.mark.parametrize(
    ("streams", "told"),
    [
        ({}, "streams: expected at least one"),
        ({"one": ([], 1)}, "one: expected integers"),
        ({"one": (np.array([], int), 1)}, "one: expected at least one"),
        ({"one": ([0.5], 1)}, "one: expected integers"),
        ({"one": ([0, 1], 0)}, "one: taken at a time: expected an integer of at least 1, found 0"),
    ],
)
def test_refuses_streams_that_cannot_be_drawn(streams, told):
    with pytest.raises(FacenetError, match=told):
        explorables.index_stream(streams, 5, SEED)


@pytest.mark.slow
@in_browser
def test_batches_passes_and_times_seen_are_those_of_the_queue(tmp_path):
    rng = np.random.default_rng(0)
    cases = [[int(n) for n in rng.integers([2, 1, 1, 2], [13, 9, 7, 3])] for _ in range(60)]
    expression = """given.cases.map(([of, batch, epoch, epochs]) => {
      const cut = cutStream(given.streams[of], of, batch, epoch, epochs);
      const taken = batch * epoch * epochs;
      return [cut, cut.map((batches) => batches.map(passesOf)), timesSeen(taken, of)];
    })"""
    given = {"cases": cases, "streams": make().data["streams"]}
    found = evaluate_script("index_stream", given, expression, tmp_path)
    for (of, batch, epoch, epochs), (cut, passes, seen) in zip(cases, found, strict=True):
        queue, counts = IndexQueue(of, SEED), np.zeros(of, int)
        for batches, passes_of_epoch in zip(cut, passes, strict=True):
            for cells, ends in zip(batches, passes_of_epoch, strict=True):
                owners = (queue.position + np.arange(batch)) // of
                indices = queue.dequeue_many(batch)
                assert [cell["index"] for cell in cells] == indices.tolist()
                assert [cell["pass"] for cell in cells] == owners.tolist()
                assert ends == [owners[0], owners[-1]]
                counts += np.bincount(indices, minlength=of)
        assert (len(cut), len(cut[0])) == (epochs, epoch)
        expected = np.where(np.arange(of) < seen["more"], seen["times"] + 1, seen["times"])
        assert sorted(counts, reverse=True) == expected.tolist()


@pytest.mark.slow
@in_browser
def test_sliders_change_the_batches_and_what_is_told(tmp_path):
    program = """
    const look = () => [
      told(), block.querySelectorAll(".epoch").length, block.querySelectorAll(".batch").length,
      block.querySelectorAll(".cells span").length,
      [...block.querySelectorAll("small")].map((one) => one.textContent),
    ];
    const found = [look()];
    slide(1, 7); found.push(look());
    slide(0, 2); slide(1, 8); slide(2, 6); found.push(look());
    slide(0, 4); slide(1, 4); slide(2, 1); found.push(look());
    return found;
    """
    first, sevens, most, one = use_figure(make(), program, tmp_path)
    assert first[1:4] == [6, 6, 18]
    assert first[4] == ["pass 1", "1 and 2", "pass 2", "2 and 3", "pass 3", "pass 4"]
    assert "= 3 indices of a range of 5: 0.6 passes" in first[0]
    assert sevens[1:4] == [6, 6, 42] and sevens[4][0] == "1 and 2"
    assert most[1:4] == [2, 12, 96] and most[4][0] == "1 to 4"
    assert "48 indices of a range of 2: 24 passes" in most[0]
    assert "all images were seen 48 times" in most[0]
    assert "indices of a range of 4: 1 pass. 0 of" in one[0]
