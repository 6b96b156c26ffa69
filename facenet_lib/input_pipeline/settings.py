"""How an image becomes a network's input, in numbers: sizes, standardization, control bits."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

from facenet_lib.checks import integer_problems, word_problems
from facenet_lib.errors import refuse


@dataclass(frozen=True)
class Preprocessing:
    """How a face image becomes the network's input; training, evaluation and export share it.

    Attributes:
        image_size: side of the network's square input, in pixels.
        crop_size: side of the square window that is cut from the frame; None: ``image_size``.
            A window of another size than ``image_size`` is resized to it.
        frame_size: side of the centre square of the source image that may be seen at all;
            None: the whole image. Where the source is smaller than the window, the window is
            padded with zeros (black) on all sides alike.
        standardization: ``"fixed"`` for (x - 127.5) / 128, ``"per_image"`` for zero mean and
            unit deviation of every image.

    Raises:
        FacenetError: if a size is below 1, the window larger than the frame, or the
            standardization unknown.

    >>> Preprocessing(image_size=80, crop_size=112).window_size
    112
    """

    image_size: int = 160
    crop_size: int | None = None
    frame_size: int | None = None
    standardization: Literal["fixed", "per_image"] = "fixed"

    def __post_init__(self) -> None:
        problems = integer_problems("image_size", self.image_size, at_least=1)
        for name in ("crop_size", "frame_size"):
            if (size := getattr(self, name)) is not None:
                problems += integer_problems(name, size, at_least=1)
        if not problems and self.frame_size is not None and self.window_size > self.frame_size:
            problems.append(
                f"expected the window to fit the frame, found a window of {self.window_size} "
                f"pixels in a frame_size of {self.frame_size}"
            )
        problems += word_problems("standardization", self.standardization, ("fixed", "per_image"))
        refuse("preprocessing", problems)

    @property
    def window_size(self) -> int:
        """Side of the window that is cut from the source image, in pixels."""
        return self.image_size if self.crop_size is None else self.crop_size

    @property
    def window_alone(self) -> Preprocessing:
        """The same window without resizing, in the standardization that can be undone."""
        return Preprocessing(self.window_size, None, self.frame_size)

    @property
    def control(self) -> Control:
        """The control bits of inference: the standardization and no augmentation."""
        return Control.FIXED_STANDARDIZATION if self.standardization == "fixed" else Control(0)


class Control(enum.IntFlag):
    """What to do with one image: the bits of the reference implementation, which may be added.

    >>> int(Control.RANDOM_CROP | Control.FIXED_STANDARDIZATION)
    10
    """

    #: Turn the image by an angle drawn uniformly from -10 to 10 degrees.
    RANDOM_ROTATE = 1
    #: Cut the window at a random place of the frame; without this bit, at its centre.
    RANDOM_CROP = 2
    #: Mirror left to right with probability one half.
    RANDOM_FLIP = 4
    #: Standardize with (x - 127.5) / 128; without this bit, by the image's own mean and deviation.
    FIXED_STANDARDIZATION = 8
    #: Mirror left to right always (after the random flip).
    FLIP = 16
