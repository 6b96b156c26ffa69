"""A run that begins with the weights of another model, and may keep a part of them.

Derived in chapter 11, "The published weights".
"""

from __future__ import annotations

import keras

from facenet_lib.errors import refuse
from facenet_lib.models import SHARED_SETTINGS, BuildNetwork, load_network
from facenet_lib.runs.config import TrainingConfig


def take_initial_weights(
    network: keras.Model, config: TrainingConfig, build_network: BuildNetwork
) -> None:
    """Give a run's network the weights of its initial model.

    Args:
        network: of the settings, in which the weights are replaced.
        config: the run's settings, which name the initial model.
        build_network: from the initial model's settings to its network.

    Raises:
        FacenetError: naming every setting in which the two disagree, or when the folder holds no
            network.
    """
    initial = load_network(config.initial_model, build_network=build_network)
    theirs, ours = initial.config.to_dict(), config.to_dict()
    problems = [
        f"{name} is {theirs[name]!r} in the initial model, but {ours[name]!r} in the settings"
        for name in SHARED_SETTINGS
        if ours[name] != theirs[name]
    ]
    refuse(f"{config.initial_model}: cannot be the beginning of this run", problems)
    network.set_weights(initial.network.get_weights())


def freeze(network: keras.Model, end_point: str) -> None:
    """Keep what every layer up to an end point holds, moving statistics included.

    Keras lists layers so that each comes after all that lead to it, and at an end point
    everything comes together.

    Args:
        network: whose layers become untrainable.
        end_point: the name of the last one; see ``runs.config.END_POINTS``.
    """
    for layer in network.layers:
        layer.trainable = False
        if layer.name == end_point:
            return
