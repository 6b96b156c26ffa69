"""Limits, counts, and the line that a refusal leaves in the log."""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import urllib3
from asking_servers import BODY, IMAGE, PREDICT, SECONDS, ask, predict_request, stub, wait_until
from prometheus_client.parser import text_string_to_metric_families
from serving_models import NAME, png
from tensorflow_serving.apis import predict_pb2

from facenet_lib.errors import FacenetError
from facenet_lib.serving import bounded_log, limits
from facenet_lib.serving.limits import Limits, RequestRecord, connections_per_port
from facenet_lib.serving.server import LocalServer
from facenet_lib.serving.versions import ServedModels


@pytest.mark.parametrize("name", list(vars(Limits())))
@pytest.mark.parametrize("value", [0, -1, float("nan"), "many"])
def test_limits_that_cannot_be_are_refused(name, value):
    with pytest.raises(FacenetError, match=f"{name}: expected a number above 0"):
        Limits(**{name: value})


# Counts and the log


def counts(server):
    """Each number by its name and labels, and that the counters are typed as such."""
    answer = ask(server, "/monitoring/prometheus/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    page = answer.data.decode()
    families = list(text_string_to_metric_families(page))
    types = {family.name: family.type for family in families}
    assert types[":tensorflow:serving:request_latency"] == "histogram"
    assert types["facenet_rows_waiting"] == "gauge"
    found = {}
    for family in families:
        for sample in family.samples:
            # The parser calls a counter by OpenMetrics' name for it, which is longer.
            name = sample.name.removesuffix("_total") if family.type == "counter" else sample.name
            found[name, *sorted(sample.labels.values())] = sample.value
    for counter in (":tensorflow:serving:request_count", "facenet_batches"):
        assert f"# TYPE {counter} counter\n" in page
        assert types[counter] == "counter"
    return found


@pytest.mark.slow
def test_requests_and_batches_are_counted(models):
    requests = ":tensorflow:serving:request_count"
    with LocalServer({NAME: models}) as server:
        for _ in range(3):
            ask(server, body=BODY)
        ask(server, body=b"{}")
        for number in range(50):
            ask(server, f"/v1/models/unknown{number}:predict", body=BODY)
        with grpc.insecure_channel(server.grpc_address) as channel:
            stub(channel).Predict(predict_request(png(IMAGE), png(IMAGE)), timeout=SECONDS)
        found = counts(server)
    assert found[requests, "OK", NAME] == 4
    assert found[requests, "INVALID_ARGUMENT", NAME] == 1
    assert found[requests, "", "NOT_FOUND"] == 50
    assert not [key for key in found if any("unknown" in part for part in key)]
    latency = ":tensorflow:serving:request_latency_count"
    assert found[latency, "REST", "predict", NAME] == 4
    assert found[latency, "GRPC", "Predict", NAME] == 1
    assert found["facenet_batches", "1", NAME] == 3
    assert found["facenet_batches", "2", NAME] == 1
    assert found["facenet_rows_waiting", NAME] == 0


def test_requests_refused_before_they_are_read_are_counted_too(models):
    limits = Limits(body_bytes=len(BODY), total_body_bytes=len(BODY) - 1)
    with LocalServer({NAME: models}, limits=limits) as server:
        assert ask(server, body=BODY + b" ").status == 413
        assert ask(server, body=BODY, **{"Content-Encoding": "br"}).status == 415
        assert ask(server, body=BODY).status == 503
        found = counts(server)
    requests = ":tensorflow:serving:request_count"
    assert found[requests, "INVALID_ARGUMENT", NAME] == 2
    assert found[requests, "UNAVAILABLE", NAME] == 1


def test_no_count_is_lost_between_threads(models):
    class Slow(dict):
        def get(self, *arguments):
            found = super().get(*arguments)
            time.sleep(0.001)  # others have their turn here
            return found

    served = ServedModels({NAME: models})
    record = RequestRecord(served)
    record._counts = Slow()
    with ThreadPoolExecutor(8) as clients:
        for _ in range(100):
            clients.submit(record.done, "GRPC", "Predict", NAME, "OK", 0.1)
    served.close()
    assert record._counts == {(NAME, "OK"): 100}


def test_what_is_refused_leaves_one_line_without_its_bytes(server, caplog):
    secret = base64.b64encode(b"secret" * 1000).decode()
    for body in (
        json.dumps({"instances": [{"images": {"b64": secret}, "more": 1}]}).encode(),
        json.dumps({"instances": [[secret]]}).encode(),
        json.dumps({"inputs": {"x": secret}}).encode(),
        json.dumps({"signature_name": "no\nline", "inputs": [secret]}).encode(),
        f'{{"instances": ["{secret}'.encode(),
    ):
        caplog.clear()
        answer = ask(server, body=body)
        assert answer.status == 400
        (line,) = caplog.messages
        assert line.startswith("REST 127.0.0.1 ")
        assert f"POST {PREDICT}: 400: " in line
        for told in (line, answer.json()["error"]):
            assert secret[:40] not in told
            assert "\n" not in told
            assert len(told) < 500
    with grpc.insecure_channel(server.grpc_address) as channel:
        for request in (b"\xff\xff", predict_pb2.PredictRequest().SerializeToString()):
            caplog.clear()
            with pytest.raises(grpc.RpcError):
                channel.unary_unary("/tensorflow.serving.PredictionService/Predict")(request)
            wait_until(lambda: caplog.messages)
            (line,) = caplog.messages
            assert line.startswith("gRPC ipv4:127.0.0.1:")
            assert "INVALID_ARGUMENT" in line


def test_what_is_answered_leaves_no_line(server, caplog):
    ask(server, body=BODY)
    ask(server, "/")
    assert caplog.messages == []


def test_a_line_cannot_be_forged(server, caplog):
    server._record.refused("REST", "peer", "GET /a\nb\x1b[31m\u2028", "404", "no\r\nsuch")
    (line,) = caplog.messages
    assert line.isprintable()
    assert line.startswith("REST peer GET /a b")
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    ("allowed", "expected"), [(None, 400), (10**6, 400), (1000, 400), (532, 200), (140, 4)]
)
def test_both_ports_share_the_files_that_the_process_may_open(monkeypatch, allowed, expected):
    monkeypatch.setattr(limits, "_files_allowed", lambda: allowed)
    monkeypatch.setattr(limits, "_files_open", lambda: 100)
    assert connections_per_port(Limits()) == expected
    assert connections_per_port(Limits(connections=3)) == 3


def test_a_process_that_may_open_too_few_files_serves_nobody(monkeypatch):
    monkeypatch.setattr(limits, "_files_open", lambda: 100)
    monkeypatch.setattr(limits, "_files_allowed", lambda: 120)
    with pytest.raises(FacenetError, match="open 140 files at least, found one that may open 120"):
        connections_per_port(Limits())
    monkeypatch.setattr(limits, "_files_allowed", lambda: 140)
    assert connections_per_port(Limits()) == 4


def test_files_that_are_open_are_counted(tmp_path):
    before = limits._files_open()
    with (tmp_path / "one").open("w"), (tmp_path / "two").open("w"):
        assert limits._files_open() == before + 2
    assert limits._files_allowed() is None or limits._files_allowed() > before


@pytest.mark.slow
def test_a_flood_of_refusals_is_counted_in_few_lines(models, caplog):
    with LocalServer({NAME: models}) as server, urllib3.PoolManager(timeout=SECONDS) as pool:
        for _ in range(300):
            assert pool.request("GET", server.rest_url + "/nowhere").status == 404
        assert len(caplog.messages) == bounded_log._LINES_AT_FIRST
        ask(server, body=b"{")
        assert ": 400: JSON Parse error" in caplog.messages[-1]
    told = [line for line in caplog.messages if line.startswith("REST 404: 280 more in ")]
    assert len(told) == 1
