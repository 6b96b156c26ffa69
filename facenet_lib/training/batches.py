"""What a run trains on: the faces that it keeps, their order, and the batches of an epoch.

Mirrors sections 2 and 3 of the article, as a run puts them together; derived in
chapter 6, "Training".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import tensorflow as tf

from facenet_lib.datasets import LeftOut
from facenet_lib.errors import FacenetError
from facenet_lib.filtering import filter_faces, read_distances
from facenet_lib.index_queue import IndexQueue, PeopleQueue, Sampler
from facenet_lib.input_pipeline.pipeline import input_pipeline
from facenet_lib.input_pipeline.settings import Control
from facenet_lib.models import preprocessing_of
from facenet_lib.runs.config import TrainingConfig
from facenet_lib.splitting import split_faces

Faces = Mapping[str, Sequence[Path]]
MakeSampler = Callable[[TrainingConfig, Sequence[int]], Sampler]
"""From a run's settings and the label of every image to the order of its images."""


@dataclass(frozen=True)
class PreparedFaces:
    """What a run does with the faces that it is given.

    Attributes:
        training: the faces to train on.
        held_out: those to validate with, which are none where nothing is held out.
        left_out: what is neither, an entry for each reason.
    """

    training: Faces
    held_out: Faces
    left_out: tuple[LeftOut, ...]

    def __str__(self) -> str:
        training = f"training on {_count(self.training)}"
        return f"{training}, validating on {_count(self.held_out)}" if self.held_out else training


def _count(faces: Faces) -> str:
    people, images = len(faces), sum(map(len, faces.values()))
    who = "person" if people == 1 else "people"
    return f"{people:,} {who} with {images:,} image{'' if images == 1 else 's'}"


def prepare_faces(config: TrainingConfig, faces: Faces) -> PreparedFaces:
    """Leave out and hold out what a run's settings say.

    Args:
        config: ``filter_distances``, ``minimum_images``, ``validation_part`` ... are read.
        faces: person to images.

    Raises:
        FacenetError: when fewer than two people are left to train on, or the file of distances
            is not about these faces.
    """
    kept: Faces = faces
    left_out: dict[str, Sequence[str]] = {}
    if config.filter_distances:
        distances = read_distances(config.filter_distances)
        kept = filter_faces(kept, distances, config.filter_percentile, minimum_images=1)
        near = {path for paths in kept.values() for path in paths}
        far = [f"{name}/{path.name}" for name in faces for path in faces[name] if path not in near]
        left_out[f"images beyond percentile {config.filter_percentile:g} of the distances"] = far
    # Of a person with one image there is no triplet.
    minimum = max(config.minimum_images, 2) if config.loss == "triplet" else config.minimum_images
    few = [name for name, paths in kept.items() if len(paths) < minimum]
    left_out[f"people with fewer than {minimum} images"] = few
    kept = {name: paths for name, paths in kept.items() if len(paths) >= minimum}
    held_out: Faces = {}
    if config.validation_part and kept:
        by = cast(Literal["images", "identities"], config.validation_by)
        kept, held_out = split_faces(kept, config.validation_part, by, config.seed, minimum)
    if len(kept) < 2:
        raise FacenetError(
            f"training needs at least 2 people with {minimum} or more images, found {len(kept)}"
        )
    told = tuple(LeftOut(what, tuple(names)) for what, names in left_out.items() if names)
    return PreparedFaces(kept, held_out, told)


def sampler_of(config: TrainingConfig, label_list: Sequence[int]) -> Sampler:
    """Return what decides the order of a run's images: for triplets, batches of people.

    Args:
        config: the run's settings.
        label_list: the person of every image.

    Raises:
        FacenetError: when a triplet run has too few people for a batch.

    >>> sampler_of(TrainingConfig(), [0, 0, 1, 1]).peek_many(8)
    array([2, 0, 1, 3, 3, 0, 2, 1])
    """
    if config.loss == "triplet":
        people = config.batch_size // config.images_per_person
        able = sum(count >= 2 for count in Counter(label_list).values())
        if able < people:
            raise FacenetError(
                f"batch_size: {config.batch_size}, with {config.images_per_person} images_per_"
                f"person, needs at least {people} people with two images or more, found {able} "
                f"among {len(set(label_list))} people"
            )
        return PeopleQueue(label_list, people, config.images_per_person, config.seed)
    return IndexQueue(len(label_list), config.seed)


def augmentation_of(config: TrainingConfig) -> Control:
    """Return the control bits of this run's training images."""
    control = preprocessing_of(config).control
    for wanted, bit in (
        (config.random_rotate, Control.RANDOM_ROTATE),
        (config.random_crop, Control.RANDOM_CROP),
        (config.random_flip, Control.RANDOM_FLIP),
    ):
        control |= bit if wanted else Control(0)
    return control


def training_batches(
    config: TrainingConfig, paths: Sequence[str], labels: Sequence[int], first_index: int
) -> Any:
    """Return the batches of images to train on, read by each worker for its own replicas.

    Args:
        config: the run's settings.
        paths: image files, in the order in which they are taken.
        labels: the person of each.
        first_index: how many images the run has taken before; augmentation follows from it.

    Returns:
        A ``tf.distribute.DistributedDataset`` of what
        :func:`facenet_lib.input_pipeline.input_pipeline` yields, under the current strategy.
    """

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        workers = context.num_input_pipelines
        return input_pipeline(
            paths,
            labels=labels,
            controls=augmentation_of(config),
            preprocessing=preprocessing_of(config),
            # A worker with several replicas takes one batch for each of them.
            batch_size=config.batch_size * workers // context.num_replicas_in_sync,
            seed=config.seed,
            first_index=first_index,
            on_error=cast(Any, config.damaged_images),
            shard=(context.input_pipeline_id, workers),
        )

    return tf.distribute.get_strategy().distribute_datasets_from_function(of_worker)
