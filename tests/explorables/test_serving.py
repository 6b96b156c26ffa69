"""A server under load: the script averages what was measured as Python does."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

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


def make(clients=CLIENTS, loads=None):
    return explorables.service_load(clients, loads or {1: ONE, 32: MANY})


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
        ({}, "loads: expected at least one"),
        ({0: ONE}, "loads: expected an integer of at least 1, found 0"),
        ({4: replace(ONE, latencies={})}, "latencies: expected at least one"),
        ({4: replace(ONE, rates=[1, 2])}, r"loads\[4\]: rates: expected numbers of shape \(3,\)"),
        ({4: replace(ONE, rates=[1, 2, np.nan])}, r"loads\[4\]: rates: expected finite"),
        ({4: replace(ONE, rates=[1, 2, 0])}, r"rates: expected numbers above 0, found 0"),
        ({4: replace(ONE, latencies={"p50": [1]})}, r"latencies\['p50'\]: .* \(3,\)"),
        ({4: replace(ONE, latencies={"p50": [1, -1, 2]})}, r"above 0, found -1"),
        ({4: replace(ONE, batch_sizes=[{1: 1}])}, "batch_sizes: expected 3 of them, found 1"),
        (
            {4: replace(ONE, batch_sizes=[{}] * 3)},
            r"loads\[4\]: batch_sizes: expected at least one",
        ),
        ({4: replace(ONE, batch_sizes=[{2: 0}] * 3)}, r"batch_sizes: expected at least one"),
        ({4: replace(ONE, batch_sizes=[{0: 1}] * 3)}, "batch_sizes: expected an integer of at lea"),
        ({4: replace(ONE, batch_sizes=[{2: 0.5}] * 3)}, r"batch_sizes\[2\]: expected an integer"),
        (
            {1: replace(ONE, latencies={"p99": [1, 2, 3]}), 4: ONE},
            r"loads\[1\]: expected latencies named \['p50'\], found \['p99'\]",
        ),
    ],
)
def test_refuses_servers_without_figures_for_each_number_of_clients(loads, told):
    with pytest.raises(FacenetError, match=told):
        explorables.service_load(CLIENTS, loads)


@pytest.mark.parametrize(
    ("clients", "told"),
    [([], "clients: expected at least one"), ([0, 1, 2], "clients: .* found 0")],
)
def test_refuses_no_clients(clients, told):
    with pytest.raises(FacenetError, match=told):
        make(clients)


def test_latencies_come_in_one_order_for_the_legend():
    both = {"p50": [90, 120, 250.0], "p99": [95, 130, 300.0]}
    turned = replace(ONE, latencies=dict(reversed(both.items())))
    loads = make(loads={1: turned, 32: replace(MANY, latencies=both)}).data["loads"]
    assert [list(load["latencies"]) for load in loads] == [["p50", "p99"]] * 2


def test_numpys_numbers_are_numbers():
    many = replace(MANY, batch_sizes=[Counter(np.array([1, 2, 2]).tolist())] * 3)
    arrays = replace(
        many,
        rates=np.array(MANY.rates),
        latencies={name: np.array(values) for name, values in MANY.latencies.items()},
        batch_sizes=[{np.int64(1): np.int64(1), np.int64(2): np.int64(2)}] * 3,
    )
    figure = make(np.array(CLIENTS), {np.int64(32): arrays})
    assert figure._repr_html_() == make(loads={32: many})._repr_html_()


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
def test_one_answer_is_no_answers(tmp_path):
    loads = {1: ServiceLoad([1.001], {"p50": [999.0]}, [{1: 9}])}
    assert "image: 1 answer a second;" in use_figure(make([1], loads), "return told();", tmp_path)


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
    assert single.endswith("A batch held 1 image on average.")
    assert two.startswith("2 clients") and two.endswith("held 1.5 images on average.")
    assert single.startswith("2 clients, batches of 1 image: 11 answers a second; p50: 170 ms")
