"""The one exception that means: the caller's input is at fault, and this sentence says how.

Every module raises :class:`FacenetError` for what a user can mend (a damaged file, a wrong
shape, a missing folder), so that the command line can print its message and exit with 1,
while a mistake of our own keeps its traceback.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

_MOST_SHOWN = 20
_LONGEST_SHOWN = 2000  # characters; a name in a stranger's file may have many


class FacenetError(ValueError):
    """Input that cannot be used; the message names what was expected and what was found."""


def refuse(heading: str, problems: Sequence[str]) -> None:
    """Raise one error that tells all ``problems`` at once; do nothing when there are none.

    Args:
        heading: what was being read, for example ``"pairs.txt"``.
        problems: one sentence each, in the order in which they were found.

    Raises:
        FacenetError: if ``problems`` is not empty. A single problem stands on the heading's
            own line; of very many, the first 20 are shown and the rest are counted, and of a very
            long one its beginning.
    """
    if not problems:
        return
    told = [
        problem if len(problem) <= _LONGEST_SHOWN else f"{problem[:_LONGEST_SHOWN]}..."
        for problem in problems[:_MOST_SHOWN]
    ]
    if len(problems) == 1:
        raise FacenetError(f"{heading}: {told[0]}")
    lines = [f"{heading}: {len(problems)} problems", *(f"  {problem}" for problem in told)]
    if len(problems) > _MOST_SHOWN:
        lines.append(f"  ... and {len(problems) - _MOST_SHOWN} more")
    raise FacenetError("\n".join(lines))


def shown(found: object, most: int = 60) -> str:
    """Return what was found as a message shows it: quoted as Python does, and not at length.

    >>> shown("a name"), shown("x" * 99, most=8)
    ("'a name'", "'xxxxxxx...")
    """
    text = repr(found)
    return text if len(text) <= most else f"{text[:most]}..."


@contextlib.contextmanager
def explain_missing(what: str, extra: str) -> Iterator[None]:
    """Explain a package that is missing by the extra that brings it.

    Args:
        what: what needs the package, for example ``"facenet serve"``.
        extra: of ``pip install 'facenet-lib[extra]'``.

    Raises:
        FacenetError: in place of a ModuleNotFoundError.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise FacenetError(
            f"{what} needs the package {package}, which is not installed: "
            f"pip install 'facenet-lib[{extra}]'"
        ) from error
