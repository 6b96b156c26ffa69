"""Whole folders of drawn faces, in the layout of Labeled Faces in the Wild (LFW)."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from facenet_lib.drawn_faces.identity import draw_identity
from facenet_lib.drawn_faces.mathematics import IndexArray
from facenet_lib.drawn_faces.names import person_name
from facenet_lib.drawn_faces.nuisance import draw_nuisance
from facenet_lib.drawn_faces.render import SMALLEST_SIZE, render_face
from facenet_lib.drawn_faces.seeds import IDENTITY_SEED, NUISANCE_SEED, PAIR_SEED, is_whole
from facenet_lib.errors import FacenetError, refuse
from facenet_lib.lfw_pairs import PairList, draw_fold_pairs, write_pairs, write_people


@dataclass(frozen=True)
class DrawnFaces:
    """What :func:`write_faces` wrote.

    Attributes:
        root: the folder.
        train_names: people of ``peopleDevTrain.txt``, sorted.
        test_names: people of ``people.txt`` and ``pairs.txt``, sorted.
        images: images in the folder.
        images_drawn: images that this call drew; the others were there already.
        pairs: pairs in ``pairs.txt``.
    """

    root: Path
    train_names: tuple[str, ...]
    test_names: tuple[str, ...]
    images: int
    images_drawn: int
    pairs: int


def write_faces(
    out: str | os.PathLike[str],
    identities: int,
    images_per_identity: int,
    *,
    seed: int = 0,
    size: int = 160,
    test_identities: int | None = None,
    pairs_per_fold: int | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> DrawnFaces:
    """Draw a dataset of people in the layout of LFW.

    Written are ``Name/Name_0001.jpg`` and so on for each person; ``peopleDevTrain.txt``, the
    people to train on; ``people.txt``, ten folds of other people to test on; last of all
    ``pairs.txt``, ten folds of pairs of images of the test people, as many of one person as of
    two, each fold with its own people only. A folder with a ``pairs.txt`` is thus complete.

    Image j of person i depends on ``seed``, i, j and ``size`` alone, not on the number of
    people, images or workers. An interrupted call leaves no half-written file, and the same call
    later draws what is missing.

    Args:
        out: the folder; made where there is none.
        identities: number of people, those to test on included.
        images_per_identity: images of each, at least 2.
        seed: seed of everything.
        size: side of the images, pixels.
        test_identities: how many of the people are to test on, at least 20; None: a fifth, at
            least 20.
        pairs_per_fold: pairs of one person in each fold, and also pairs of two; None: 300, as LFW
            has, or as many as there are.
        workers: processes that draw; None: one per processor, or only this one for a few images.
        progress: whether to show a progress bar.

    Returns:
        What the folder holds now.

    Raises:
        FacenetError: if an argument is unusable, the folder holds other files already or faces
            drawn with other arguments, or it cannot be written.
    """
    plan = _plan(identities, images_per_identity, seed, size, test_identities, pairs_per_fold)
    if workers is not None and (not is_whole(workers) or workers < 1):
        raise FacenetError(f"workers: expected a whole number of at least 1, found {workers!r}")
    root = Path(out)
    names = [person_name(index, seed) for index in range(identities)]
    try:
        _claim_folder(root, plan)
        abandoned = list(root.rglob(f"*{_PART}"))
        tasks = _missing_images(root, names, plan)
        drawn = sum(len(task.missing) for task in tasks)
        if workers is None:
            workers = _processors() if drawn >= _FEWEST_FOR_WORKERS else 1
        with tqdm(total=drawn, unit="image", desc="drawing faces", disable=not progress) as bar:
            for count in _draw_all(tasks, min(workers, max(1, len(tasks)))):
                bar.update(count)
        pairs = _write_protocol(root, names, plan)
        for path in abandoned:  # by a call that was killed
            path.unlink(missing_ok=True)
    except OSError as error:
        raise FacenetError(f"{error.filename or root}: cannot be written: {error}") from error
    return DrawnFaces(
        root=root,
        train_names=tuple(sorted(names[: plan.train_identities])),
        test_names=tuple(sorted(names[plan.train_identities :])),
        images=identities * images_per_identity,
        images_drawn=drawn,
        pairs=len(pairs),
    )


FOLDS = 10

_MOST_PAIRS_PER_FOLD = 300  # of each kind, as in LFW

_MOST_IMAGES = 9999  # names of files have four digits

_FEWEST_FOR_WORKERS = 150  # images for which starting processes takes less time than it saves

_SETTINGS = "drawn_faces.json"

DRAWING_VERSION = 1

"""Raised whenever the same seed gives other pictures than before."""


@dataclass(frozen=True)
class _Task:
    """One person whose missing images are to be drawn, by whichever process is free."""

    folder: Path
    index: int
    missing: tuple[int, ...]
    seed: int
    size: int


@dataclass(frozen=True)
class _Plan:
    """The arguments of :func:`write_faces` that decide what is written, checked and complete."""

    identities: int
    images_per_identity: int
    seed: int
    size: int
    test_identities: int
    pairs_per_fold: int
    drawing: int = DRAWING_VERSION

    @property
    def train_identities(self) -> int:
        return self.identities - self.test_identities

    def folds(self) -> list[IndexArray]:
        """Indices of the people of each fold."""
        return np.array_split(np.arange(self.train_identities, self.identities), FOLDS)


def _plan(
    identities: int,
    images_per_identity: int,
    seed: int,
    size: int,
    test_identities: int | None,
    pairs_per_fold: int | None,
) -> _Plan:
    problems = []
    if not is_whole(identities) or identities < 2 * FOLDS + 1:
        problems.append(
            f"identities: expected a whole number of at least {2 * FOLDS + 1} "
            f"(two to test on in each of {FOLDS} folds, one to train on), found {identities!r}"
        )
    if not is_whole(images_per_identity) or not 2 <= images_per_identity <= _MOST_IMAGES:
        problems.append(
            f"images per identity: expected 2 to {_MOST_IMAGES}, found {images_per_identity!r}"
        )
    if not is_whole(seed) or seed < 0:
        problems.append(f"seed: expected a whole number >= 0, found {seed!r}")
    if not is_whole(size) or size < SMALLEST_SIZE:
        problems.append(
            f"size: expected a whole number of pixels of at least {SMALLEST_SIZE}, found {size!r}"
        )
    refuse("drawn faces", problems)
    tested = max(2 * FOLDS, identities // 5) if test_identities is None else test_identities
    if not is_whole(tested) or not 2 * FOLDS <= tested < identities:
        problems.append(
            f"test identities: expected {2 * FOLDS} to {identities - 1}, found {tested!r}"
        )
    refuse("drawn faces", problems)
    smallest_fold = tested // FOLDS
    same = smallest_fold * math.comb(images_per_identity, 2)
    different = math.comb(smallest_fold, 2) * images_per_identity**2
    most = min(same, different)
    count = min(_MOST_PAIRS_PER_FOLD, most) if pairs_per_fold is None else pairs_per_fold
    if not is_whole(count) or not 1 <= count <= most:
        raise FacenetError(
            f"pairs per fold: expected 1 to {most} (a fold has {smallest_fold} people with "
            f"{images_per_identity} images each), found {count!r}"
        )
    return _Plan(identities, images_per_identity, seed, size, tested, count)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _claim_folder(root: Path, plan: _Plan) -> None:
    """Note the plan in a new folder, or make sure that the folder was begun with the same one."""
    root.mkdir(parents=True, exist_ok=True)
    settings = root / _SETTINGS
    wanted = {key: int(value) for key, value in asdict(plan).items()}
    if not settings.exists():
        strangers = sorted(path.name for path in root.iterdir() if not path.name.endswith(_PART))
        if strangers:
            raise FacenetError(
                f"{root}: expected a new or empty folder, or faces drawn before, found "
                f"{strangers[0]!r} and no {_SETTINGS}"
            )
        _write_whole(settings, (json.dumps(wanted, indent=2) + "\n").encode())
        return
    try:
        found = json.loads(settings.read_bytes())
    except ValueError as error:
        raise FacenetError(
            f"{settings}: expected JSON as write_faces writes it: {error}"
        ) from error
    if not isinstance(found, dict):
        raise FacenetError(f"{settings}: expected a JSON object, found {found!r}")
    refuse(
        f"{root} holds faces drawn otherwise (choose another folder)",
        [
            f"{key}: expected {value}, found {found.get(key)!r}"
            for key, value in wanted.items()
            if found.get(key) != value
        ],
    )


def _missing_images(root: Path, names: list[str], plan: _Plan) -> list[_Task]:
    tasks = []
    for index, name in enumerate(names):
        folder = root / name
        folder.mkdir(exist_ok=True)
        there = {path.name for path in folder.iterdir()}
        missing = tuple(
            image
            for image in range(plan.images_per_identity)
            if _image_name(name, image) not in there
        )
        if missing:
            tasks.append(_Task(folder, index, missing, plan.seed, plan.size))
    return tasks


def _image_name(name: str, image: int) -> str:
    return f"{name}_{image + 1:04d}.jpg"


def _draw_all(tasks: list[_Task], workers: int) -> Iterator[int]:
    """Draw every task and yield its number of images when it is done."""
    if workers == 1:
        yield from map(_draw_task, tasks)
        return
    # Programs of their own: a fork of a process that runs TensorFlow may hang, and the processes
    # that multiprocessing spawns would run the caller's script again.
    answers, answering = os.pipe()
    programs: list[subprocess.Popen[bytes]] = []
    try:
        for share in range(workers):
            programs.append(_start_worker(tasks[share::workers], answering))
        os.close(answering)  # the workers' copies are left: the pipe ends when the last one does
        with os.fdopen(answers) as lines:
            for line in lines:
                answer = json.loads(line)
                if isinstance(answer, str):
                    raise OSError(answer)
                yield answer
        if any(program.wait() for program in programs):
            raise FacenetError("a drawing process ended too early; the same call draws the rest")
    finally:
        for program in programs:
            program.kill()
            program.communicate()


def _start_worker(tasks: list[_Task], answering: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", f"import {__name__}; {__name__}._work()"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=answering, env=environment)
    wanted = [{**asdict(task), "folder": str(task.folder)} for task in tasks]
    assert program.stdin is not None
    program.stdin.write(json.dumps(wanted).encode() + b"\n")
    program.stdin.flush()  # and left open: when it closes, the caller is gone
    return program


def _work() -> None:
    """Draw what a line of standard input asks for; the main function of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's
    wanted = json.loads(sys.stdin.buffer.readline())

    def end_with_caller() -> None:
        sys.stdin.buffer.read()
        os._exit(1)

    threading.Thread(target=end_with_caller, daemon=True).start()
    for task in wanted:
        task |= {"folder": Path(task["folder"]), "missing": tuple(task["missing"])}
        try:
            answer: int | str = _draw_task(_Task(**task))
        except OSError as error:
            answer = str(error)
        os.write(1, json.dumps(answer).encode() + b"\n")  # one write: workers share the pipe
        if isinstance(answer, str):
            break
    os._exit(0)  # without waiting for the thread, which holds standard input


def _draw_task(task: _Task) -> int:
    identity = draw_identity(
        np.random.SeedSequence(task.seed, spawn_key=(IDENTITY_SEED, task.index))
    )
    for image in task.missing:
        nuisance = draw_nuisance(
            np.random.SeedSequence(task.seed, spawn_key=(NUISANCE_SEED, task.index, image))
        )
        encoded = io.BytesIO()
        picture = Image.fromarray(render_face(identity, nuisance, task.size))
        picture.save(encoded, "JPEG", quality=nuisance.jpeg_quality)
        _write_whole(task.folder / _image_name(task.folder.name, image), encoded.getvalue())
    return len(task.missing)


_PART = ".part"


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file that is either not there or complete, whenever this process is killed."""
    part = path.with_name(f".{path.name}.{os.getpid()}{_PART}")
    try:
        part.write_bytes(content)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _write_protocol(root: Path, names: list[str], plan: _Plan) -> PairList:
    """Write who is to train on, who to test on, and who is compared with whom."""
    generator = np.random.default_rng(np.random.SeedSequence(plan.seed, spawn_key=(PAIR_SEED,)))
    count = plan.images_per_identity
    test = [dict.fromkeys(sorted(names[index] for index in fold), count) for fold in plan.folds()]
    pairs = [
        pair for fold in test for pair in draw_fold_pairs(generator, fold, plan.pairs_per_fold)
    ]
    pair_list = PairList(tuple(pairs), FOLDS)
    train = dict.fromkeys(sorted(names[: plan.train_identities]), count)
    write_people(root / "peopleDevTrain.txt", [train])
    write_people(root / "people.txt", test)
    write_pairs(root / "pairs.txt", pair_list)
    return pair_list
