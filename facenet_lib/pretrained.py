"""Weights of the reference implementation, put into our network by their TF 1 names.

Derived in chapter 4, "The network", which checks the network against the reference with it.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from facenet_lib.errors import refuse

TF1_SCOPE = "InceptionResnetV1"
_TF1_VARIABLES = {
    "kernel": "weights",
    "bias": "biases",
    "beta": "beta",
    "moving_mean": "moving_mean",
    "moving_variance": "moving_variance",
}


def tf1_variable_names(network: keras.Model) -> dict[str, keras.Variable]:
    """Return the network's variables by the names that they had in davidsandberg/facenet.

    Args:
        network: what :func:`facenet_lib.network.inception_resnet_v1` built.

    Returns:
        TF 1 name (``InceptionResnetV1/Conv2d_1a_3x3/weights``) to variable, in the network's
        order. Moving averages are included, as in the reference's own list.

    Derived in chapter 4, "The network".
    """
    named = {}
    for layer in network.layers:
        for variable in layer.variables:
            if variable.name in _TF1_VARIABLES:  # a dropout layer's seed has no counterpart
                scope = layer.name.replace(".", "/")
                named[f"{TF1_SCOPE}/{scope}/{_TF1_VARIABLES[variable.name]}"] = variable
    return named


def assign_tf1_variables(network: keras.Model, mapping: Mapping[str, np.ndarray]) -> None:
    """Load every variable of ``network`` from ``mapping``, all or nothing.

    Args:
        network: what :func:`facenet_lib.network.inception_resnet_v1` built.
        mapping: TF 1 name to an array of that variable's shape, of any real dtype.

    Raises:
        FacenetError: naming at once every variable that is missing, left over, no array of
            real numbers, of another shape or not finite. The network is then unchanged.

    Derived in chapter 4, "The network".
    """
    variables = tf1_variable_names(network)
    problems = [f"{name}: missing" for name in variables if name not in mapping]
    problems += [f"{name}: not part of the network" for name in mapping if name not in variables]
    values = {}
    for name in variables.keys() & mapping.keys():
        variable, found = variables[name], np.asarray(mapping[name])
        if found.dtype.kind not in "fiu":
            problems.append(f"{name}: expected real numbers, found dtype {found.dtype}")
        elif found.shape != tuple(variable.shape):
            problems.append(f"{name}: expected shape {tuple(variable.shape)}, found {found.shape}")
        else:
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinity
                values[name] = found.astype(variable.dtype)
            if not np.isfinite(values[name]).all():
                problems.append(f"{name}: holds NaN, infinity or a number beyond {variable.dtype}")
    refuse("TF 1 variables", sorted(problems))
    for name, variable in variables.items():
        variable.assign(values[name])
