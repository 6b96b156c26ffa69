"""A server under load: the script averages what was measured as Python does."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from headless_chromium import in_browser
from running_scripts import evaluate_script, use_figure

from facenet_lib import explorables
from facenet_lib.errors import FacenetError
from facenet_lib.explorables import ServiceLoad

CLIENTS = [1, 2, 8]
ONE = ServiceLoad([10, 11, 12], {"p50": [90, 170, 640.0]}, [{1: 9}, {1: 9}, {1: 9}])
MANY = ServiceLoad([10, 15, 31.23456], {"p50": [90, 120, 250.0]}, [{1: 9}, {1: 3, 2: 3}, {8: 9}])


def make():
    return explorables.service_load(CLIENTS, {1: ONE, 32: MANY})


def test_figures_are_those_that_were_measured():
    data = make().data
    assert (data["clients"], data["largest"]) == (CLIENTS, [1, 32])
    assert data["loads"][1] == {
        "rates": [10, 15, 31.23],
        "latencies": {"p50": [90, 120, 250]},
        "batches": [{"1": 9}, {"1": 3, "2": 3}, {"8": 9}],
    }


@pytest.mark.parametrize(
    ("loads", "told"),
    [
        ({}, "loads: expected at least one server"),
        ({4: ServiceLoad([1, 2], {}, [{1: 1}, {1: 1}])}, r"loads\[4\]: expected 3 figures"),
        ({4: ServiceLoad([1, 2, 3], {"p50": [1]}, [{1: 1}] * 3)}, r"found \[1, 3\]"),
    ],
)
def test_refuses_servers_without_a_figure_for_each_number_of_clients(loads, told):
    with pytest.raises(FacenetError, match=told):
        explorables.service_load(CLIENTS, loads)


@pytest.mark.slow
@in_browser
def test_means_and_shares_of_batches_are_pythons(tmp_path):
    rng = np.random.default_rng(2)
    drawn = [Counter(rng.integers(1, 33, size=size).tolist()) for size in (1, 3, 50, 400)]
    given = [{str(size): number for size, number in batches.items()} for batches in drawn]
    expression = "given.map((batches) => [meanBatch(batches), shareOfImages(batches)])"
    found = evaluate_script("service_load", given, expression, tmp_path)
    for batches, (mean, shares) in zip(drawn, found, strict=True):
        sizes = np.array(list(batches.elements()))
        assert np.isclose(mean, sizes.mean())
        assert {size for size, _ in shares} == set(sizes.tolist())
        for size, share in shares:
            assert np.isclose(share, sizes[sizes == size].sum() / sizes.sum())


@pytest.mark.slow
@in_browser
def test_clients_and_batches_change_what_is_told(tmp_path):
    program = """
    const found = [told()];
    slide(0, 1); found.push(told());
    press("1 image"); found.push(told());
    return found;
    """
    many, two, single = use_figure(make(), program, tmp_path)
    assert many.startswith("8 clients, batches of up to 32: 31.2 answers a second; p50: 250 ms")
    assert many.endswith("A batch held 8 images on average.")
    assert two.startswith("2 clients") and two.endswith("held 1.5 images on average.")
    assert single.startswith("2 clients, batches of 1 image: 11 answers a second; p50: 170 ms")
