"""What several modules ask of an argument, so that all of them ask and answer alike.

A function ``..._problems`` returns what is wrong, as sentences for
:func:`facenet_lib.errors.refuse`, where all problems are to be told at once; ``check_...`` raises
the first. A sentence reads ``NAME: expected THIS, found THAT``.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Sequence
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facenet_lib.errors import FacenetError, shown

Kind = Literal["integers", "floating point numbers", "numbers"]
"""What an array holds."""
Shape = Sequence[int | str | None]
"""A length for each axis; a word, or None, stands for any length."""

_KIND_CODES = {"integers": "iu", "floating point numbers": "f", "numbers": "iuf"}  # NumPy's


def check_integer(
    name: str, value: object, at_least: int | None = None, at_most: int | None = None
) -> int:
    """Return an integer, of Python or NumPy, as Python's own.

    Args:
        name: what an error calls it.
        value: what should be an integer; True and False are none.
        at_least: the smallest that will do; None: any.
        at_most: the largest that will do; None: any.

    Raises:
        FacenetError: for anything else.

    >>> check_integer("batch_size", 90, at_least=1)
    90
    >>> check_integer("batch_size", 0, at_least=1)
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: batch_size: expected an integer of at least 1, found 0
    """
    _raise_first(integer_problems(name, value, at_least, at_most))
    return operator.index(value)  # type: ignore[arg-type]  # it has just been looked at


def integer_problems(
    name: str, value: object, at_least: int | None = None, at_most: int | None = None
) -> list[str]:
    """Tell why ``value`` is no such integer: :func:`check_integer` without raising.

    >>> integer_problems("folds", 11, at_least=2, at_most=10)
    ['folds: expected an integer from 2 to 10, found 11']
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
        is_integer = not isinstance(value, bool | np.bool_)
    except TypeError:
        number, is_integer = 0, False
    large_enough = at_least is None or number >= at_least
    if is_integer and large_enough and (at_most is None or number <= at_most):
        return []
    span = "" if at_least is None else f" of at least {at_least}"
    if at_most is not None:
        span = f" of at most {at_most}" if at_least is None else f" from {at_least} to {at_most}"
    return [f"{name}: expected an integer{span}, found {shown(value)}"]


def number_problems(name: str, value: object, interval: str) -> list[str]:
    """Tell why ``value`` is no number in an interval.

    Args:
        name: what an error calls it.
        value: what should be a number; True, False and not-a-number are none.
        interval: such as ``"[0, 1)"``: from 0, and below 1; ``inf`` stands for no limit.

    >>> number_problems("margin", 0.2, "(0, inf)")
    []
    >>> number_problems("alpha", 1.5, "[0, 1]")
    ['alpha: expected a number in [0, 1], found 1.5']
    """
    low, high = map(float, interval[1:-1].split(","))
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # an integer that is larger than every float
            number = math.inf
        above = low < number or (low == number and interval[0] == "[")
        if above and (number < high or (number == high and interval[-1] == "]")):
            return []
    return [f"{name}: expected a number in {interval}, found {shown(value)}"]


def word_problems(name: str, value: object, words: Sequence[str]) -> list[str]:
    """Tell why ``value`` is none of the words that ``name`` may be.

    >>> word_problems("on_error", "stop", ["raise", "skip"])
    ["on_error: expected 'raise' or 'skip', found 'stop'"]
    """
    if isinstance(value, str) and value in words:
        return []
    return [f"{name}: expected {' or '.join(map(repr, words))}, found {shown(value)}"]


def check_array(name: str, values: ArrayLike, kind: Kind, shape: Shape) -> NDArray[Any]:
    """Return what should be an array of a kind and shape as that array.

    Args:
        name: what an error calls it.
        values: an array, or what NumPy makes one of.
        kind: integers, floating point numbers or both, of any size.
        shape: such as ``("n", 3)``, for any number of rows of three.

    Raises:
        FacenetError: for values of another kind or shape, or rows of different lengths.

    >>> check_array("triplets", [[0, 1, 2]], "integers", ("n", 3)).shape
    (1, 3)
    """
    array = as_array(name, values)
    fits = array.dtype.kind in _KIND_CODES[kind]
    _raise_first(_array_problems(name, fits, array.dtype, array.shape, kind, shape))
    return array


def as_array(name: str, values: ArrayLike) -> NDArray[Any]:
    """Return what NumPy makes of ``values``.

    Raises:
        FacenetError: for rows of different lengths.

    >>> as_array("rows", [[0, 1], [2]])
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: rows: expected rows of one length: ...
    """
    try:
        return np.asarray(values)
    except ValueError as error:
        raise FacenetError(f"{name}: expected rows of one length: {error}") from error


LEAST_PIXEL, MOST_PIXEL = -0.5, 255.5
"""What rounds to a pixel of 0 to 255: resizing leaves a 255.00002 behind."""


def pixel_problems(name: str, images: NDArray[Any]) -> list[str]:
    """Tell which of several images hold what no pixels of 0 to 255 are.

    A network answers any numbers with an embedding of length one, and standardizes what is
    standardized already. What is told: a value that is not from 0 to 255, not-a-number among
    them; fractions of at most 1, as of an image that was divided by 255; and no pixels at all. The
    wrong order of the colours cannot be known.

    Args:
        name: what an error calls the images.
        images: numbers ``(n, height, width, 3)``.

    >>> pixel_problems("images", np.array([[[[0, 128, 255]]], [[[np.nan, 0, 0]]]]))
    ['images[1]: expected pixels from 0 to 255, found values from nan to nan']
    >>> pixel_problems("images", np.array([[[[0, 0.5, 1]]]]))
    ['images[0]: expected pixels from 0 to 255, found fractions from 0 to 1']
    """
    problems = []
    for row, image in enumerate(images):
        where = f"{name}[{row}]: expected pixels from 0 to 255, found"
        if not image.size:
            problems.append(f"{where} none")
            continue
        least, most = image.min(), image.max()  # of not-a-number among others, that
        if not (least >= LEAST_PIXEL and most <= MOST_PIXEL):
            problems.append(f"{where} values from {least:g} to {most:g}")
        elif most <= 1 and (image != np.floor(image)).any():
            problems.append(f"{where} fractions from {least:g} to {most:g}")
    return problems


def check_tensor(name: str, tensor: Any, kind: Kind, shape: Shape) -> None:
    """Refuse a tensor of another kind or shape, as far as the shape is known.

    Args:
        name: what an error calls it.
        tensor: of TensorFlow, which this module does not load.
        kind: integers or floating point numbers, of any size.
        shape: such as ``("n", 3)``.

    Raises:
        FacenetError: for a tensor of another kind or shape.
    """
    fits = tensor.dtype.is_integer if kind == "integers" else tensor.dtype.is_floating
    found = None if tensor.shape.rank is None else tensor.shape.as_list()
    _raise_first(_array_problems(name, fits, tensor.dtype.name, found, kind, shape))


def check_model_name(name: str, what: str = "model name") -> None:
    """Refuse what cannot be a model's name or label in a URL, a folder and TF Serving's files.

    TF Serving takes any name without ``/`` and ``:``, and reads it percent-encoded from a URL. We
    take less, so that it needs no quoting anywhere else.

    Raises:
        FacenetError: for anything but letters and digits of any script, ``.``, ``_`` and ``-``.

    >>> check_model_name("größe-2.1")
    >>> check_model_name("a/b")
    Traceback (most recent call last):
    facenet_lib.errors.FacenetError: model name: expected letters, digits, '.', '_' and '-', ...
    """
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise FacenetError(
            f"{what}: expected letters, digits, '.', '_' and '-', not '.' at first, found "
            f"{shown(name)}"
        )


def _array_problems(
    name: str, kind_fits: bool, dtype: object, found: Shape | None, kind: Kind, shape: Shape
) -> list[str]:
    fits = found is None or (
        len(found) == len(shape)
        and all(
            not isinstance(wanted, int) or there in (wanted, None)
            for wanted, there in zip(shape, found, strict=True)
        )
    )
    if kind_fits and fits:
        return []
    expected = f"{kind} of shape {_shape_text(shape)}"
    return [f"{name}: expected {expected}, found {dtype} of shape {_shape_text(found)}"]


def _shape_text(shape: Shape | None) -> str:
    if shape is None:
        return "unknown"
    lengths = ["?" if length is None else str(length) for length in shape]
    return f"({lengths[0]},)" if len(lengths) == 1 else f"({', '.join(lengths)})"


def _raise_first(problems: Sequence[str]) -> None:
    if problems:
        raise FacenetError(problems[0])
