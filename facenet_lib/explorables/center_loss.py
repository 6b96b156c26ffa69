"""The explorable figure of chapter 5: centers on their way, and when they run away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from facenet_lib.checks import check_array
from facenet_lib.errors import FacenetError
from facenet_lib.explorables.figure import Explorable, draw_png
from facenet_lib.plots.center_loss import center_errors

_MOST_IMAGES = 50


def center_steps(
    features: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    alpha: float,
    images: int,
    panels: Mapping[str, Mapping[str, npt.NDArray[Any]]],
) -> Explorable:
    """Let a reader choose alpha and the images of a person in a batch, and see where centers go.

    The centers start at the origin and the features stand still, the same ones in every batch.

    Args:
        features: (n, 2) finite numbers.
        labels: integers (n,), the class of each.
        alpha: where its slider stands at first, in [0, 1].
        images: likewise, at least 1.
        panels: of the still figure, as :func:`facenet_lib.plots.center_errors` takes them.

    Returns:
        At most 50 features of a class are shown, and no more of any than of the smallest.

    Raises:
        FacenetError: for other features or labels.
    """
    owners = check_array("labels", labels, "integers", ("n",))
    places = check_array("features", features, "numbers", (len(owners), 2))
    if not len(owners) or not np.isfinite(places).all():
        raise FacenetError("features: expected finite numbers, found none or others")
    people = [places[owners == label][:_MOST_IMAGES] for label in np.unique(owners)]
    fewest = min(map(len, people))
    data = {
        "people": [
            [[float(f"{value:.4g}") for value in row] for row in rows[:fewest]] for rows in people
        ],
        "alpha": alpha,
        "images": min(images, fewest),
    }
    alt = (
        "Distance of a center to its class over steps, on a logarithmic axis, in two panels. "
        "Undivided, lines for few images of a person fall, and those for many rise by orders of "
        "magnitude. Divided by 1 + k, all lines fall."
    )
    still = draw_png(center_errors(panels))
    label = "Centers and features; alpha and the images of a person in a batch"
    return Explorable("center_steps", label, data, still, alt)
