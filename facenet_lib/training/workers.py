"""Several workers: which strategy this process trains under, and what its peers must agree on.

A worker is one process, on one machine of several or beside others on one; all train one network
with one global batch. TensorFlow's ``MultiWorkerMirroredStrategy`` adds up their gradients; the
environment variable ``TF_CONFIG`` tells each process who the others are and which of them it is.
The first worker, the chief, also writes the run's files. Derived in chapter 13, "Scaling".
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from facenet_lib import __version__
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.runs.config import TrainingConfig

TF_CONFIG = "TF_CONFIG"
"""The environment variable that names the workers and says which of them a process is."""

_EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
_TRAINING_JOBS = ("chief", "worker")
# What a step raises when another process is gone; anything else is a mistake of our own.
_PEER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


@dataclass(frozen=True)
class Worker:
    """Which of the training processes this one is.

    Attributes:
        index: from 0; 0 is the chief.
        count: how many processes train together.
    """

    index: int = 0
    count: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run's files."""
        return self.index == 0

    def __str__(self) -> str:
        return f"worker {self.index} of {self.count}"


def worker_of_environment(tf_config: str | None = None) -> Worker:
    """Read which worker this process is.

    Args:
        tf_config: the JSON text; None: what ``TF_CONFIG`` holds.

    Returns:
        The only one where there is no ``TF_CONFIG`` or it names no workers.

    Raises:
        FacenetError: telling all that is wrong with the text at once.

    >>> cluster = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}'
    >>> worker_of_environment(cluster)
    Worker(index=1, count=2)
    """
    text = os.environ.get(TF_CONFIG, "") if tf_config is None else tf_config
    if not text.strip():
        return Worker()
    try:
        config = json.loads(text)
    except ValueError as error:
        raise FacenetError(
            f"{TF_CONFIG}: expected JSON such as {_EXAMPLE}, found: {error}"
        ) from error
    if not isinstance(config, dict):
        config = {"cluster": config}
    cluster, task = config.get("cluster", {}), config.get("task", {})
    refuse(TF_CONFIG, _cluster_problems(cluster, task))
    if not cluster:
        return Worker()
    addresses = {job: len(cluster.get(job, ())) for job in _TRAINING_JOBS}
    before = 0 if task["type"] == "chief" else addresses["chief"]
    return Worker(before + int(task["index"]), sum(addresses.values()))


def strategy_of_environment() -> tf.distribute.Strategy:
    """Return the strategy under which this process trains; call it before any computation.

    Several workers in ``TF_CONFIG``: ``MultiWorkerMirroredStrategy``, which waits until all have
    come. Otherwise several GPUs: ``MirroredStrategy``. Otherwise TensorFlow's default.

    Raises:
        FacenetError: as :func:`worker_of_environment`, or when the workers cannot be reached.

    >>> strategy_of_environment().num_replicas_in_sync > 0
    True
    """
    worker = worker_of_environment()
    if worker.count == 1:
        several_gpus = len(tf.config.list_physical_devices("GPU")) > 1
        return tf.distribute.MirroredStrategy() if several_gpus else tf.distribute.get_strategy()
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        raise FacenetError(f"{worker}: cannot join the others: {error}") from error


def worker_of(strategy: tf.distribute.Strategy) -> Worker:
    """Return which worker this process is under a strategy."""
    several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    return worker_of_environment() if several else Worker()


def check_sharing(config: TrainingConfig, strategy: tf.distribute.Strategy) -> None:
    """Refuse settings whose batches the replicas of a strategy cannot share.

    Raises:
        FacenetError: telling all that hinders them.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return
    whole = config.images_per_person if config.loss == "triplet" else 1
    problems = []
    if config.batch_size % (replicas * whole):
        of_whom = " of whole people" if whole > 1 else ""
        problems.append(
            f"batch_size: expected equal parts{of_whom} for {replicas} replicas, "
            f"found {config.batch_size}"
        )
    if config.damaged_images == "skip":
        problems.append(
            "damaged_images: expected raise, because replicas that leave out images would no "
            "longer have equal parts of a batch, found skip"
        )
    refuse("this run cannot be shared", problems)


def check_agreement(strategy: tf.distribute.Strategy, facts: Mapping[str, Any]) -> None:
    """Refuse to go on unless all workers hold the same; also a barrier, which all must reach.

    Args:
        strategy: what this process trains under; alone, it agrees with itself.
        facts: name to what can be told as text; the order counts.

    Raises:
        FacenetError: naming every fact in which the workers differ.
    """
    if worker_of(strategy).count == 1:
        return
    facts = {"facenet_lib": __version__, **facts}  # one at least: nothing cannot be gathered
    sums = np.array([zlib.crc32(repr(fact).encode()) for fact in facts.values()], np.int64)
    everyones = _gather(strategy, sums)
    refuse(
        "the workers do not agree",
        [
            f"{name}: here {fact!r}, elsewhere something else"
            for (name, fact), column in zip(facts.items(), everyones.T, strict=True)
            if len(set(column.tolist())) > 1
        ],
    )


def _gather(strategy: tf.distribute.Strategy, values: np.ndarray) -> np.ndarray:
    """Return everyone's values, a row a replica."""

    @tf.function
    def gather() -> tf.Tensor:
        def of_replica() -> tf.Tensor:
            row = tf.constant(values[np.newaxis])
            return tf.distribute.get_replica_context().all_gather(row, axis=0)

        return strategy.run(of_replica)

    gathered: np.ndarray = strategy.experimental_local_results(gather())[0].numpy()
    return gathered


@contextmanager
def watch_peers(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Say in one line that another worker is gone, when a step fails for that.

    TensorFlow notices a process that ended at once, by its closed connection, and a machine that
    went silent within a minute, by asking every half minute.

    Raises:
        FacenetError: in place of TensorFlow's error.
    """
    worker = worker_of(strategy)
    try:
        yield
    except _PEER_ERRORS as error:
        if worker.count == 1:
            raise
        raise FacenetError(
            f"{worker}: another worker is gone, and nothing can be trained without it; start all "
            "of them again, and they go on from the last checkpoint"
        ) from error


def _cluster_problems(cluster: Any, task: Any) -> list[str]:
    if not isinstance(cluster, dict) or not isinstance(task, dict):
        return [f"expected an object such as {_EXAMPLE}"]
    if not cluster:
        return []
    problems = [
        f"cluster: expected the jobs {' and '.join(_TRAINING_JOBS)}, found {job!r}"
        for job in cluster
        if job not in _TRAINING_JOBS
    ]
    for job in _TRAINING_JOBS:
        addresses = cluster.get(job, [])
        is_list = isinstance(addresses, list)
        for address in addresses if is_list else [addresses]:
            if not is_list or not _is_address(address):
                problems.append(f"cluster: {job}: expected 'host:port', found {address!r}")
    if isinstance(cluster.get("chief"), list) and len(cluster["chief"]) > 1:
        problems.append(f"cluster: chief: expected one, found {len(cluster['chief'])}")
    kind, index = task.get("type"), task.get("index")
    if kind not in _TRAINING_JOBS or not isinstance(cluster.get(kind), list):
        problems.append(f"task: expected a type of the cluster's, found {kind!r}")
    elif not (str(index).isdecimal() and int(str(index)) < len(cluster[kind])):
        problems.append(
            f"task: expected an index below the {len(cluster[kind])} of {kind}, found {index!r}"
        )
    return problems


def _is_address(address: Any) -> bool:
    host, _, port = str(address).rpartition(":")
    return isinstance(address, str) and bool(host) and port.isdecimal()
