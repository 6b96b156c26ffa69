"""The explorable figure of chapter 5: centers on their way, and when they run away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from facenet_lib.checks import check_array, check_integer, number_problems
from facenet_lib.errors import FacenetError, shown
from facenet_lib.explorables.figure import Explorable, check_finite, check_some, draw_png
from facenet_lib.plots.center_loss import center_errors

_MOST_IMAGES = 50
_ALPHAS = 20  # steps of the slider for alpha


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
        alpha: where its slider stands at first: 0, 0.05, 0.1 and so on up to 1.
        images: likewise, at least 1; at most as many as are shown.
        panels: of the still figure, as :func:`facenet_lib.plots.center_errors` takes them.

    Returns:
        At most 50 features of a class are shown, and no more of any than of the smallest.

    Raises:
        FacenetError: for other arguments, or if the first features of every class are on average
            at the origin, so that the centers have no way to go.

    >>> features, labels = np.array([[1.0, 2.0], [3.0, 1.0]]), np.array([0, 1])
    >>> panels = {"undivided": {"k = 1": np.array([1.0, 0.6, 0.36])}}
    >>> center_steps(features, labels, 0.6, 1, panels).data["people"]
    [[[1.0, 2.0]], [[3.0, 1.0]]]
    """
    owners = check_array("labels", labels, "integers", ("n",))
    places = check_finite("features", features, (len(owners), 2))
    if (
        number_problems("alpha", alpha, "[0, 1]")
        or abs(_ALPHAS * alpha - round(_ALPHAS * alpha)) > 1e-9
    ):
        raise FacenetError(f"alpha: expected 0, 0.05, 0.1 ... or 1, found {shown(alpha)}")
    check_some("panels", panels)
    for title, lines in panels.items():
        for line, distances in lines.items():
            check_finite(f"panels[{title!r}][{line!r}]", distances, ("steps",))
    fewest = min(_MOST_IMAGES, *np.unique(owners, return_counts=True)[1].tolist())
    people = [
        [[float(f"{value:.4g}") for value in row] for row in places[owners == label][:fewest]]
        for label in np.unique(owners)
    ]
    for number, sums in enumerate(np.cumsum(people, axis=1).swapaxes(0, 1), start=1):
        if not sums.any():
            raise FacenetError(
                f"features: expected classes away from the origin, where the centers start, found "
                f"all on average at it by the first {number} of each"
            )
    data = {
        "people": people,
        "alpha": round(_ALPHAS * alpha) / _ALPHAS,
        "images": min(check_integer("images", images, at_least=1), fewest),
    }
    alt = (
        "Distance of a center to its class over steps, on a logarithmic axis, in two panels. "
        "Undivided, lines for few images of a person fall, and those for many rise by orders of "
        "magnitude. Divided by 1 + k, all lines fall."
    )
    still = draw_png(center_errors(panels))
    label = "Centers and features; alpha and the images of a person in a batch"
    return Explorable("center_steps", label, data, still, alt)
