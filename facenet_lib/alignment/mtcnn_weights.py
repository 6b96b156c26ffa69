"""The weights of MTCNN's three networks, from the package ``mtcnn`` that pip installed.

Its author calls the weights fit for research only: they were trained on WIDER FACE. Nothing else
of the package is used. Derived in chapter 10.
"""

from __future__ import annotations

import hashlib
import io
from importlib.metadata import distribution
from typing import Any, NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray

from facenet_lib.errors import FacenetError, explain_missing

Weights = list[NDArray[np.float32]]
"""Of one network, layer by layer: kernel, bias, and slopes where a PReLU follows."""

PACKAGE_VERSION = "1.0.0"
_SUMS = {  # sha256 of the files of this version
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}


class MtcnnWeights(NamedTuple):
    """Weights of the networks, in the order in which they look at an image."""

    proposal: Weights
    refinement: Weights
    output: Weights


def read_mtcnn_weights() -> MtcnnWeights:
    """Read the weights of the installed package ``mtcnn``, of no other place.

    Raises:
        FacenetError: when the package is not installed, or its files are not those known.

    >>> [len(weights) for weights in read_mtcnn_weights()]
    [13, 16, 21]
    """
    with explain_missing("MTCNN", "alignment"):
        import lz4.frame

        package = distribution("mtcnn")
    networks = []
    for name, expected in _SUMS.items():
        path: Any = package.locate_file(f"mtcnn/assets/weights/{name}.lz4")
        try:
            packed = path.read_bytes()
        except OSError as error:
            raise _unknown(f"{path}: {error.strerror}") from error
        # A pickle can run anything: these bytes are read because they are known, whoever put
        # them there, and not because of where they are.
        if hashlib.sha256(packed).hexdigest() != expected:
            raise _unknown(f"{path}: another file, of version {package.version}")
        networks.append(joblib.load(io.BytesIO(lz4.frame.decompress(packed))))
    return MtcnnWeights(*networks)


def _unknown(found: str) -> FacenetError:
    return FacenetError(
        f"MTCNN: expected the weights of the package mtcnn {PACKAGE_VERSION}, found {found}: "
        "pip install --force-reinstall 'facenet-lib[alignment]'"
    )
