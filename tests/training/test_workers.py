"""Several workers: what TF_CONFIG says, and two processes here that train one network."""

from __future__ import annotations

import json
import signal
import socket
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace

import fresh_processes
import numpy as np
import pytest
import yaml
from toy_training import SIZE, changed, draw_people, load_run

from facenet_lib.cli import main
from facenet_lib.errors import FacenetError
from facenet_lib.runs.checkpoints import last_checkpoint
from facenet_lib.runs.tables import read_metrics
from facenet_lib.training.workers import Worker, check_sharing, worker_of_environment

# The smallest network of the real architecture, with all that several workers must share:
# batch statistics, dropout, centers, averages and the queue. Training amplifies rounding, so
# that at usual rates even one process parts from itself when its additions are ordered anew;
# at this one the steps of two runs can be compared, and the momentum still holds every gradient.
SETTINGS = {
    "image_size": SIZE,
    "embedding_size": 16,
    "width": 0.1,
    "blocks": [0, 1, 0],
    "dropout_rate": 0.3,
    "batch_norm_momentum": 0.9,
    "batch_size": 16,
    "epoch_size": 10,
    "epochs": 2,
    "learning_rates": {0: 1e-6},
    "optimizer": "MOM",
    "ema_decay": 0.9,
    "center_loss_factor": 0.01,
    "center_loss_alpha": 0.9,
}
WORKERS = 2

FACENET = """
import sys
from facenet_lib.cli import main
sys.exit(main(sys.argv[1:]))
"""

# The same command with the small network, which compiles fast; the last worker may kill itself.
TOY_FACENET = """
import functools, keras, os, signal, sys
import toy_training
from facenet_lib.cli import main
from facenet_lib.training import loop
from facenet_lib.training.workers import worker_of_environment

kill_after = int(sys.argv.pop(1))

class Kill(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if logs["step"] == kill_after and worker_of_environment().index == 1:
            os.kill(os.getpid(), signal.SIGKILL)

loop.train = functools.partial(toy_training.train, callbacks=[Kill()])
sys.exit(main(sys.argv[1:]))
"""
LONGEST = 600  # seconds, against a hang: what is waited for takes a fraction, on any machine


# ------------------------------------------------------------------------------ TF_CONFIG


def tf_config(kind: str = "worker", index: object = 0, **cluster: object) -> str:
    cluster = cluster or {"worker": ["a:1", "b:1"]}
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("text", "worker"),
    [
        ("", Worker(0, 1)),
        ("{}", Worker(0, 1)),
        (json.dumps({"cluster": {}, "task": {}}), Worker(0, 1)),
        (tf_config(worker=["a:1"]), Worker(0, 1)),
        (tf_config(), Worker(0, 2)),
        (tf_config(index=1), Worker(1, 2)),
        (tf_config(index="1"), Worker(1, 2)),  # as some schedulers write it
        (tf_config("chief", 0, chief=["c:1"], worker=["a:1", "b:1"]), Worker(0, 3)),
        (tf_config("worker", 1, chief=["c:1"], worker=["a:1", "b:1"]), Worker(2, 3)),
    ],
)
def test_the_worker_is_the_one_that_tf_config_names(text: str, worker: Worker) -> None:
    assert worker_of_environment(text) == worker
    assert worker.is_chief == (worker.index == 0)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "expected JSON"),
        ("[]", "expected an object"),
        ("3", "expected an object"),
        (json.dumps({"cluster": {"worker": ["a:1"]}}), "expected a type of the cluster's"),
        (tf_config("worker", 2), "expected an index below the 2 of worker, found 2"),
        (tf_config("worker", -1), "found -1"),
        (tf_config("worker", None), "found None"),
        (tf_config("evaluator", 0), "found 'evaluator'"),
        (tf_config(worker=["a:1"], ps=["b:1"]), "found 'ps'"),
        (tf_config(worker="a:1"), "expected 'host:port', found 'a:1'"),
        (tf_config(worker=["a"]), "expected 'host:port', found 'a'"),
        (tf_config(worker=[":1"]), "expected 'host:port', found ':1'"),
        (tf_config(worker=["a:x", 7]), "found 7"),
        (tf_config(worker=5), "expected a type of the cluster's"),
        (tf_config(worker=None), "expected a type of the cluster's"),
        (tf_config(chief=["c:1", "d:1"], worker=["a:1"]), "chief: expected one, found 2"),
        (tf_config("worker", "²"), "found '²'"),
    ],
)
def test_what_tf_config_cannot_mean_is_refused(text: str, found: str) -> None:
    with pytest.raises(FacenetError, match="TF_CONFIG") as refused:
        worker_of_environment(text)
    assert found in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"batch_size": 9}, "batch_size: expected equal parts for 2 replicas, found 9"),
        (
            {"loss": "triplet", "images_per_person": 4, "batch_size": 12},
            "batch_size: expected equal parts of whole people for 2 replicas, found 12",
        ),
        ({"damaged_images": "skip"}, "damaged_images: expected raise, because replicas"),
        ({}, ""),
    ],
)
def test_a_batch_that_replicas_cannot_share_is_refused(
    settings: dict[str, object], told: str
) -> None:
    strategy = SimpleNamespace(num_replicas_in_sync=2)
    if not told:
        check_sharing(changed(**settings), strategy)
        return
    with pytest.raises(FacenetError, match=f"this run cannot be shared: {told}"):
        check_sharing(changed(**settings), strategy)


# ------------------------------------------------------------------------------ two processes


def free_addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{server.getsockname()[1]}" for server in sockets]
    for server in sockets:
        server.close()
    return addresses


class Workers:
    """`facenet train` in several processes; what each one says goes to a file."""

    def __init__(self, folder: Path, program: str, arguments: list[list[str]]) -> None:
        addresses = free_addresses(len(arguments))
        self.program, self.arguments, self.addresses = program, arguments, addresses
        self.logs = [folder / f"worker_{index}.log" for index in range(len(arguments))]
        self.processes: list[BaseProcess] = []

    def __enter__(self) -> Workers:
        for index, (log, words) in enumerate(zip(self.logs, self.arguments, strict=True)):
            task = {"type": "worker", "index": index}
            config = json.dumps({"cluster": {"worker": self.addresses}, "task": task})
            process = fresh_processes.start(self.program, *words, log=log, TF_CONFIG=config)
            self.processes.append(process)
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self.processes:
            process.kill()
            process.join()

    def wait(self) -> list[int | None]:
        for process in self.processes:
            process.join(LONGEST)
        return [process.exitcode for process in self.processes]

    def said(self, index: int) -> str:
        return self.logs[index].read_text()

    def all_said(self) -> str:
        return "\n".join(log.read_text() for log in self.logs)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    draw_people(root, "Person", people=4, images=8)
    return root


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(yaml.safe_dump(SETTINGS))
    return path


def words(faces: Path, config: Path, out: Path, *more: str) -> list[str]:
    return ["train", str(faces), "--config", str(config), "--out", str(out), *more]


@pytest.mark.slow
def test_two_workers_compute_what_one_process_does(
    tmp_path: Path, faces: Path, config: Path
) -> None:
    """Statistics, dropout, gradients, centers and averages are those of the global batch."""
    runs = tmp_path / "one", tmp_path / "two"
    assert main(words(faces, config, runs[0])) == 0
    with Workers(tmp_path, FACENET, [words(faces, config, runs[1])] * WORKERS) as workers:
        assert workers.wait() == [0] * WORKERS, workers.all_said()
    one, two = (read_metrics(run / "metrics.csv") for run in runs)
    for name in one.keys() - {"images_per_second"}:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-4, atol=1e-6, err_msg=name)
    assert len(one["total"]) == 20
    alone, together = (last_checkpoint(run / "checkpoints").arrays for run in runs)
    assert alone.keys() == together.keys()
    for name, array in alone.items():
        size = np.abs(array).max()
        np.testing.assert_allclose(together[name], array, atol=0.1 * size, err_msg=name)


@pytest.mark.slow
def test_a_killed_worker_ends_the_others_and_all_go_on_later(
    tmp_path: Path, faces: Path, config: Path
) -> None:
    def toy_words(out: str, kill_after: int = 0) -> list[str]:
        return [str(kill_after), *words(faces, config, tmp_path / out, "--checkpoint-every", "3")]

    with Workers(tmp_path, TOY_FACENET, [toy_words("run", kill_after=7)] * WORKERS) as workers:
        assert workers.wait() == [1, -signal.SIGKILL], workers.all_said()
        assert "facenet: worker 0 of 2: another worker is gone" in workers.said(0)
    assert load_run(tmp_path / "run").step == 6  # from where they go on
    for out in ("run", "whole"):
        with Workers(tmp_path, TOY_FACENET, [toy_words(out)] * WORKERS) as workers:
            assert workers.wait() == [0] * WORKERS, workers.all_said()
    runs = [load_run(tmp_path / out) for out in ("run", "whole")]
    assert [run.step for run in runs] == [20, 20]
    for resumed, whole in zip(*[run.network.get_weights() for run in runs], strict=True):
        np.testing.assert_array_equal(resumed, whole)


@pytest.mark.slow
def test_workers_that_were_told_different_things_do_not_begin(
    tmp_path: Path, faces: Path, config: Path
) -> None:
    out = tmp_path / "run"
    arguments = [words(faces, config, out), words(faces, config, out, "--seed", "1")]
    with Workers(tmp_path, FACENET, arguments) as workers:
        assert workers.wait() == [1, 1], workers.all_said()
        assert "the workers do not agree: seed: here 0, elsewhere" in workers.said(0)
    assert not (out / "config.json").exists()
